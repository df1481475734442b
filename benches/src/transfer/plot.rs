//! The measurements as a plot: throughput against size, both by decades, a panel for each origin
//! and destination. Plain SVG.

use std::fmt::Write;

use super::case::{DESTINATIONS, destination};
use super::{Measured, Origin, Until};
use crate::rivals::Rival;
use crate::table::bytes;

/// Width and height of a panel's axes.
const PANEL: (f64, f64) = (250.0, 170.0);
/// From one panel to the next.
const STEP: (f64, f64) = (268.0, 228.0);
/// Of the first panel, from the left and from the top.
const START: (f64, f64) = (50.0, 106.0);
/// Powers of ten of the speed axis, in GB/s.
const DECADES: (i32, i32) = (-2, 6);
/// Powers of two of the size axis, in bytes: 16 to 1 GiB.
const SIZES: (u32, u32) = (4, 30);
/// Those that are written down, and the end of the text that is there.
const MARKS: [(u32, &str); 4] = [(4, "start"), (12, "middle"), (20, "middle"), (30, "end")];

/// One line of each panel.
struct Series {
    rival: Rival,
    until: Until,
    name: &'static str,
    colour: &'static str,
    width: f64,
}

/// Those behind come first. Colours as Okabe and Ito's, which people who see fewer colours can tell
/// apart.
const SERIES: [Series; 7] = [
    series(Rival::Memcpy, Until::Moved, "memcpy, memset", "#999999", 1.2),
    series(Rival::CloudHypervisor, Until::Moved, "cloud-hypervisor's way", "#cc79a7", 1.2),
    series(Rival::Alioth, Until::Moved, "alioth's way", "#009e73", 1.2),
    series(Rival::Qemu, Until::Read, "QEMU's way, every byte read", "#e69f00", 1.2),
    series(Rival::Qemu, Until::Moved, "QEMU's way", "#e69f00", 1.4),
    series(Rival::Chukka, Until::Read, "chukka, every byte read", "#0072b2", 1.8),
    series(Rival::Chukka, Until::Moved, "chukka", "#0072b2", 2.2),
];

const fn series(
    rival: Rival,
    until: Until,
    name: &'static str,
    colour: &'static str,
    width: f64,
) -> Series {
    Series { rival, until, name, colour, width }
}

impl Series {
    /// How its line is drawn: dashed where every byte has been read.
    fn stroke(&self) -> String {
        let dashes = if self.until == Until::Read { r#" stroke-dasharray="4 3""# } else { "" };
        format!(r#"fill="none" stroke="{}" stroke-width="{}"{dashes}"#, self.colour, self.width)
    }
}

/// The plot as an SVG document.
#[must_use]
pub fn svg(all: &[Measured], machine: &str) -> String {
    let (width, height) = (START.0 + 4.0 * STEP.0, START.1 + 4.0 * STEP.1 - 30.0);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="{}" y="20" font-size="15">One fw_cfg DMA read: throughput in GB/s against its size</text>
<text x="{}" y="37" fill="#555555">{machine}</text>
"##,
        START.0, START.0
    );
    legend(&mut svg);
    for (row, origin) in Origin::ALL.into_iter().enumerate() {
        let y = place(row, START.1, STEP.1);
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{}" font-weight="bold">{origin}</text>"#,
            START.0,
            y - 21.0
        );
        for (column, (pages, before)) in DESTINATIONS.into_iter().enumerate() {
            let of = all.iter().filter(|one| {
                (one.case.origin, one.case.pages, one.case.before) == (origin, pages, before)
            });
            let of: Vec<&Measured> = of.collect();
            let x = place(column, START.0, STEP.0);
            let _ = writeln!(svg, r#"<g transform="translate({x} {y})">"#);
            let title = format!("pages of {}", destination(pages, before));
            axes(&mut svg, &title, column == 0);
            lines(&mut svg, &of);
            svg.push_str("</g>\n");
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a panel's number")]
fn place(at: usize, start: f64, step: f64) -> f64 {
    start + at as f64 * step
}

fn legend(svg: &mut String) {
    let mut x = START.0;
    for series in SERIES.iter().rev() {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            r#"<path d="M{x} 52h22" {}/><text x="{}" y="56">{}</text>"#,
            series.stroke(),
            x + 27.0,
            series.name
        );
        x += 48.0 + f64::from(u8::try_from(series.name.len()).unwrap_or(u8::MAX)) * 5.6;
    }
}

/// Of one panel: its title, and the grid with its labels; the speeds' only where they are asked
/// for.
fn axes(svg: &mut String, title: &str, speeds: bool) {
    let _ = writeln!(svg, r#"<text y="-6">{title}</text>"#);
    for decade in DECADES.0..=DECADES.1 {
        let at = PANEL.1 - across(f64::from(decade), DECADES) * PANEL.1;
        let _ = writeln!(svg, r##"<path d="M0 {at:.1}h{}" stroke="#e4e4e4"/>"##, PANEL.0);
        if speeds {
            let (label, y) = (10_f64.powi(decade), at + 3.0);
            let anchor = r#"text-anchor="end" font-size="9""#;
            let _ = writeln!(svg, r#"<text x="-5" y="{y:.1}" {anchor}>{label}</text>"#);
        }
    }
    for (mark, end) in MARKS {
        let at = across_sizes(f64::from(mark)) * PANEL.0;
        let _ = writeln!(svg, r##"<path d="M{at:.1} 0v{}" stroke="#e4e4e4"/>"##, PANEL.1);
        let (label, y) = (bytes(1 << mark), PANEL.1 + 12.0);
        let anchor = format!(r#"text-anchor="{end}" font-size="9""#);
        let _ = writeln!(svg, r#"<text x="{at:.1}" y="{y}" {anchor}>{label}</text>"#);
    }
}

fn lines(svg: &mut String, of: &[&Measured]) {
    for series in &SERIES {
        let points = points(series, of);
        if !points.is_empty() {
            let _ = writeln!(svg, r#"<polyline points="{points}" {}/>"#, series.stroke());
        }
    }
}

/// "x,y x,y" of a series in a panel, by size.
fn points(series: &Series, of: &[&Measured]) -> String {
    let mut of = of.to_vec();
    of.sort_by_key(|one| one.case.size);
    let point = |one: &&Measured| {
        let speed = one.speed(series.rival, series.until)?;
        #[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
        let x = across_sizes((one.case.size as f64).log2()) * PANEL.0;
        let y = PANEL.1 - across(speed.log10(), DECADES) * PANEL.1;
        Some(format!("{x:.1},{y:.1}"))
    };
    of.iter().filter_map(point).collect::<Vec<_>>().join(" ")
}

fn across_sizes(power: f64) -> f64 {
    (power - f64::from(SIZES.0)) / f64::from(SIZES.1 - SIZES.0)
}

/// How far along an axis, 0 to 1; what is beyond its ends stays on them.
fn across(power: f64, (from, to): (i32, i32)) -> f64 {
    ((power - f64::from(from)) / f64::from(to - from)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stats::Summary;
    use crate::transfer::{Before, Case, Pages, Times};

    #[test]
    fn a_speed_is_drawn_where_its_decade_is() {
        let case = |size| Case {
            origin: Origin::Memory,
            pages: Pages::Small,
            before: Before::Touched,
            size,
        };
        let all = Summary::of(&[Duration::from_nanos(1 << 30)]).unwrap();
        let times = vec![Times { rival: Rival::Chukka, moved: all, read: all }];
        // 1 GiB at 1 GB/s: at the right end, two of eight decades up.
        let one = Measured { case: case(1 << 30), rounds: 1, times };
        let expected = format!("{:.1},{:.1}", PANEL.0, PANEL.1 * 6.0 / 8.0);
        assert_eq!(points(&SERIES[6], &[&one]), expected);
        assert_eq!(points(&SERIES[0], &[&one]), "");
        let svg = svg(&[one], "a machine");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        assert_eq!(svg.matches("<g ").count(), 16);
    }
}
