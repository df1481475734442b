//! The timeline as an SVG picture, for light and dark backgrounds.
//!
//! Three parts, one below the other: a bar with the phases and an axis; a row of figures for each
//! phase; and a row for each fw_cfg item, on an axis of its own, as all of them together take but a
//! few milliseconds.

use std::fmt::Write;
use std::time::Duration;

use vmm::host::printable::printable;
use vmm::timeline::{Recorded, Span};

/// How the file begins.
pub(super) const BEGINNING: &str =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chukka-timeline\"";

/// Everything is in pixels from here on.
const WIDTH: f64 = 960.0;
/// Left and right of everything.
const MARGIN: f64 = 28.0;
/// Where the bars of fw_cfg items begin and end; the names are to the left.
const ITEMS: (f64, f64) = (300.0, 780.0);
/// The average width of a character at the size of 12, and a little more.
const CHARACTER: f64 = 7.0;
/// The longest name of a fw_cfg item that fits to the left of [`ITEMS`], in characters.
const NAME: usize = 38;
/// The height of a row of text.
const ROW: f64 = 22.0;

const STYLE: &str = "\
<style>
.chukka-timeline { color-scheme: light dark; font: 12px system-ui, 'Helvetica Neue', Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
.paper { fill: #ffffff; } text { fill: #1b2430; } .soft { fill: #5b6775; }
.title { font-size: 16px; font-weight: 600; } .head { font-weight: 600; } .end { text-anchor: end; }
.mid { text-anchor: middle; } .bar { fill: #ffffff; font-weight: 600; }
.line { stroke: #d5dbe3; } .mark { stroke: #1b2430; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #10161d; } text { fill: #e8edf3; } .soft { fill: #9aa7b6; } .bar { fill: #ffffff; }
  .line { stroke: #2f3a47; } .mark { stroke: #e8edf3; }
}
</style>
";

/// A scale from times to places.
#[derive(Clone, Copy)]
struct Scale {
    begin: f64,
    end: f64,
    left: f64,
    right: f64,
}

impl Scale {
    fn at(self, ms: f64) -> f64 {
        let share = (ms - self.begin) / (self.end - self.begin).max(1e-6);
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// Round times for an axis: 1, 2 or 5 times a power of ten apart.
    fn ticks(self) -> impl Iterator<Item = f64> {
        let rough = ((self.end - self.begin) / 8.0).max(1e-3);
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.begin / step).ceil();
        let all = (0..12).map(move |n| (first + f64::from(n)) * step);
        all.take_while(move |ms| *ms <= self.end)
    }
}

/// The file's text. The run ended like `end`.
pub(super) fn text(recorded: &Recorded, end: &str) -> String {
    let mut body = String::new();
    let total = recorded.phases.last().map(|span| ms(span.end.time)).unwrap_or_default();
    let scale = Scale { begin: 0.0, end: total, left: MARGIN, right: WIDTH - MARGIN };
    put(&mut body, (MARGIN, 38.0), "title", end);
    put(&mut body, (WIDTH - MARGIN, 38.0), "title end", &shown(total));
    let y = bar(&mut body, recorded, scale, 58.0);
    let y = figures(&mut body, &recorded.phases, y + 20.0);
    let y = if recorded.items.is_empty() { y } else { items(&mut body, &recorded.items, y + 26.0) };
    let height = y + 12.0;
    format!(
        "{BEGINNING} viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>{}</title>\n{STYLE}\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n{body}</svg>\n",
        escaped(end)
    )
}

/// The bar with its axis and its moments. Returns where it ends.
fn bar(body: &mut String, recorded: &Recorded, scale: Scale, y: f64) -> f64 {
    for span in &recorded.phases {
        let (left, right) = (scale.at(ms(span.begin.time)), scale.at(ms(span.end.time)));
        let label = if width(&span.name) + 12.0 < right - left { span.name.as_str() } else { "" };
        rect(body, (left, y, right - left, 34.0), colour(&span.name), &tip(span));
        put(body, (f64::midpoint(left, right), y + 22.0), "bar mid", label);
    }
    axis(body, scale, y + 34.0);
    // Labels that would touch each other are in different rows, the last ones above: so no line
    // crosses the label of a later moment.
    let mut rows: Vec<f64> = Vec::new();
    for (name, mark) in recorded.moments.iter().rev() {
        let x = scale.at(ms(mark.time));
        let label = format!("{name} {}", shown(ms(mark.time)));
        let is_right = x + width(&label) + 8.0 > WIDTH - MARGIN;
        let left = if is_right { x - width(&label) - 8.0 } else { x };
        let end = left + width(&label) + 8.0;
        let row = rows.iter().position(|begin| end + 10.0 < *begin).unwrap_or(rows.len());
        match rows.get_mut(row) {
            Some(begin) => *begin = left,
            None => rows.push(left),
        }
        let bottom = y + 76.0 + ROW * small(row);
        let _ =
            writeln!(body, "<path class=\"mark\" d=\"M{x:.1} {y:.1}V{bottom:.1}\" fill=\"none\"/>");
        let (x, class) = if is_right { (x - 5.0, "end") } else { (x + 5.0, "") };
        put(body, (x, bottom), class, &label);
    }
    y + 66.0 + ROW * small(rows.len())
}

fn axis(body: &mut String, scale: Scale, y: f64) {
    let mut free = 0.0;
    for tick in scale.ticks() {
        let (x, label) = (scale.at(tick), shown(tick));
        let _ = writeln!(body, "<path class=\"line\" d=\"M{x:.1} {y:.1}v6\" fill=\"none\"/>");
        // At the edges there is room on one side only.
        let half = width(&label) / 2.0;
        let (class, left) = match x {
            x if x < scale.left + half => ("soft", x),
            x if x > scale.right - half => ("soft end", x - 2.0 * half),
            x => ("soft mid", x - half),
        };
        if left >= free {
            put(body, (x, y + 20.0), class, &label);
            free = left + 2.0 * half + 6.0;
        }
    }
}

/// A row for each phase. Returns where they end.
fn figures(body: &mut String, phases: &[Span], mut y: f64) -> f64 {
    const COLUMNS: [f64; 3] = [420.0, 540.0, 660.0];
    put(body, (MARGIN, y), "head", "phase");
    for (x, name) in COLUMNS.into_iter().zip(["from", "time", "exits to chukka"]) {
        put(body, (x, y), "head end", name);
    }
    for span in phases {
        y += ROW;
        let cells = [
            shown(ms(span.begin.time)),
            shown(took(span)),
            (span.end.exits - span.begin.exits).to_string(),
        ];
        rect(body, (MARGIN, y - 10.0, 12.0, 12.0), colour(&span.name), "");
        put(body, (MARGIN + 20.0, y), "", &span.name);
        for (x, cell) in COLUMNS.into_iter().zip(cells) {
            put(body, (x, y), "end", &cell);
        }
    }
    y + 8.0
}

/// A row for each fw_cfg item. Returns where they end.
fn items(body: &mut String, items: &[Span], mut y: f64) -> f64 {
    let begin = items.iter().map(|span| ms(span.begin.time)).fold(f64::INFINITY, f64::min);
    let end = items.iter().map(|span| ms(span.end.time)).fold(0.0, f64::max);
    let scale = Scale { begin, end, left: ITEMS.0, right: ITEMS.1 };
    let heads = [(MARGIN, "head", "fw_cfg item"), (WIDTH - MARGIN, "head end", "bytes read")];
    heads.into_iter().for_each(|(x, class, text)| put(body, (x, y), class, text));
    axis(body, scale, y - 16.0);
    y += 6.0;
    for span in items {
        y += ROW - 4.0;
        let (left, right) = (scale.at(ms(span.begin.time)), scale.at(ms(span.end.time)));
        let name: String = printable(&span.name).chars().take(NAME).collect();
        put(body, (MARGIN, y), "", &name);
        let _ = writeln!(
            body,
            "<path class=\"line\" d=\"M{:.1} {:.1}H{:.1}\" fill=\"none\"/>",
            ITEMS.0,
            y - 4.0,
            ITEMS.1
        );
        rect(body, (left, y - 9.0, (right - left).max(3.0), 10.0), "#a84a6b", &tip(span));
        put(body, (WIDTH - MARGIN, y), "soft end", &span.bytes.to_string());
    }
    y + 8.0
}

fn colour(name: &str) -> &'static str {
    match name {
        "firmware" | "firmware and boot loader" => "#b5651d",
        "option ROM" | "loading" => "#a84a6b",
        "kernel" => "#3b6ea5",
        "userspace" => "#3d8b57",
        _ => "#64748b",
    }
}

fn rect(body: &mut String, (x, y, width, height): (f64, f64, f64, f64), fill: &str, tip: &str) {
    let _ = writeln!(
        body,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" \
         fill=\"{fill}\"><title>{tip}</title></rect>"
    );
}

fn put(body: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    if !text.is_empty() {
        let text = escaped(text);
        let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>");
    }
}

/// What is shown where the pointer is: already escaped.
fn tip(span: &Span) -> String {
    let exits = span.end.exits - span.begin.exits;
    escaped(&format!("{}: {}, {exits} exits", span.name, shown(took(span))))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn took(span: &Span) -> f64 {
    ms(span.end.time) - ms(span.begin.time)
}

/// A time in its unit.
fn shown(ms: f64) -> String {
    match ms {
        ms if ms >= 9_999.5 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 999.5 => format!("{:.2} s", ms / 1e3),
        ms if ms >= 99.5 => format!("{ms:.0} ms"),
        0.0 => "0".into(),
        ms => format!("{ms:.2} ms"),
    }
}

fn width(text: &str) -> f64 {
    small(text.chars().count()) * CHARACTER
}

/// A small number.
fn small(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Text for XML, without control characters.
fn escaped(text: &str) -> String {
    let text = printable(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use vmm::timeline::Mark;

    use super::super::table::tests::recorded;
    use super::*;

    /// The names of the elements that are open at the end, of which there are none in a whole file.
    fn unclosed(svg: &str) -> Vec<String> {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("each tag ends");
            assert!(!text.contains('>') || text.contains("--"), "{text}");
            let name = tag.split(' ').next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(name.to_owned()),
            }
        }
        open
    }

    #[test]
    fn the_picture_is_well_formed_and_has_everything() {
        let svg = text(&recorded(), "the guest said \u{1b}[31m <&>");
        assert!(svg.starts_with(BEGINNING));
        assert_eq!(unclosed(&svg), Vec::<String>::new(), "{svg}");
        for text in [
            ">firmware<",
            ">etc/&quot;odd&quot; &lt;&amp;&gt;<",
            ">first console byte 41.00 ms<",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(!svg.contains('\u{1b}'));
    }

    #[test]
    fn labels_do_not_overlap() {
        let mut crowded = recorded();
        let mark = |ms| Mark { time: Duration::from_millis(ms), exits: 0 };
        crowded.moments = (0..10).map(|n| ("a moment with a long name", mark(n))).collect();
        let svg = text(&crowded, "end");
        let heights = svg
            .lines()
            .filter(|line| line.contains("a moment"))
            .filter_map(|line| line.split("y=\"").nth(1).and_then(|rest| rest.split('"').next()));
        let mut heights: Vec<_> = heights.collect();
        heights.dedup();
        assert_eq!(heights.len(), 10, "{svg}");
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (end, first) in [(1700.0, 500.0), (87.0, 20.0), (0.4, 0.05)] {
            let scale = Scale { begin: 0.0, end, left: 0.0, right: 100.0 };
            let ticks: Vec<_> = scale.ticks().collect();
            assert!((3..=9).contains(&ticks.len()), "{ticks:?}");
            assert!((ticks[1] - first).abs() < 1e-9, "{ticks:?}");
        }
    }
}
