//! The timeline as JSON, in the Trace Event Format that Perfetto and Chrome open.

use std::time::Duration;

use serde_json::{Value, json};
use vmm::timeline::{Recorded, Span};

/// How the file begins.
pub(super) const BEGINNING: &str =
    "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"chukka\"";

/// The tracks: phases and moments, and the fw_cfg items.
const TRACKS: [(u32, &str); 2] = [(1, "phases"), (2, "fw_cfg")];

/// The file's text. The run ended like `end`.
pub(super) fn text(recorded: &Recorded, end: &str) -> String {
    let named = |name: &str, thread: u32, value: &str| json!({"name": name, "ph": "M", "pid": 1, "tid": thread, "args": {"name": value}});
    let mut events = vec![named("process_name", 1, "chukka")];
    events.extend(TRACKS.map(|(thread, name)| named("thread_name", thread, name)));
    events.extend(recorded.phases.iter().map(|span| complete(span, 1)));
    events.extend(recorded.items.iter().map(|span| complete(span, 2)));
    let last = recorded.phases.last().map(|span| span.end).unwrap_or_default();
    let moments = recorded.moments.iter().map(|(name, mark)| (*name, *mark));
    events.extend(moments.chain([("end", last)]).map(|(name, mark)| {
        json!({
            "name": name, "ph": "i", "s": "p", "pid": 1, "tid": 1,
            "ts": micros(mark.time), "args": {"exits": mark.exits},
        })
    }));
    let events: Vec<_> = events.iter().map(Value::to_string).collect();
    let (version, end) = (json!(env!("CARGO_PKG_VERSION")), json!(end));
    let events = events.join(",\n");
    format!("{BEGINNING},\"version\":{version},\"end\":{end}}},\"traceEvents\":[\n{events}\n]}}\n")
}

fn complete(span: &Span, thread: u32) -> Value {
    let mut args = json!({"exits": span.end.exits - span.begin.exits});
    if span.bytes > 0 {
        args["bytes"] = span.bytes.into();
    }
    json!({
        "name": span.name, "ph": "X", "pid": 1, "tid": thread,
        "ts": micros(span.begin.time),
        "dur": micros(span.end.time.saturating_sub(span.begin.time)),
        "args": args,
    })
}

/// Microseconds, with three digits more.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::recorded;
    use super::*;

    #[test]
    fn the_text_is_json_with_every_span() {
        let text = text(&recorded(), "the guest powered off");
        assert!(text.starts_with(BEGINNING));
        let value: Value = serde_json::from_str(&text).unwrap();
        let events = value["traceEvents"].as_array().unwrap();
        let find = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
        assert_eq!(find("firmware")["ts"], 5000.0);
        assert_eq!(find("firmware")["dur"], 15000.0);
        assert_eq!(find("firmware")["args"]["exits"], 300);
        assert_eq!(find("etc/\"odd\" <&>")["args"]["bytes"], 4096);
        assert_eq!(find("end")["ts"], 100_000.0);
        assert_eq!(value["otherData"]["end"], "the guest powered off");
    }
}
