//! `-timeline`: the phases of a run, as a table, as JSON and as a picture.

use chukka_tests::native::{self, Scratch, Start};
use serde_json::Value;

/// Runs a guest with a timeline in a file of this name, and returns the file's text.
fn timeline(start: Start, name: &str) -> String {
    let scratch = Scratch::new();
    let path = scratch.path(name);
    let ended = start.args(["-timeline"]).args([&path]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    std::fs::read_to_string(path).unwrap()
}

/// The names of the events of this kind in the order of their time, on the track of the phases.
fn names(trace: &Value, kind: &str) -> Vec<String> {
    let events = trace["traceEvents"].as_array().unwrap().iter();
    let mut found: Vec<_> = events.filter(|e| e["ph"] == kind && e["tid"] == 1).collect();
    found.sort_by(|a, b| a["ts"].as_f64().unwrap().total_cmp(&b["ts"].as_f64().unwrap()));
    found.iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_phases_of_each_kind_of_boot_are_in_their_order() {
    if !native::kvm() {
        return;
    }
    let moments = ["kernel entry", "first console byte", "end"];
    // The line that Linux prints for its first process.
    let init = "\"[    1.0] Run /init as init process\r\n\"DP";
    let with_init = ["kernel entry", "first console byte", "init", "end"];
    let seabios = ["-bios", "seabios"];
    for (start, phases, expected) in [
        (Start::guest("DP"), &["preparation", "kernel"][..], &moments[..]),
        (Start::guest(init), &["preparation", "kernel", "userspace"], &with_init),
        (
            Start::bzimage("DP").args(["-bios", "builtin"]),
            &["preparation", "firmware", "loading", "kernel"],
            &moments,
        ),
        (
            Start::bzimage("DP").args(seabios).args(["-machine", "pc"]),
            &["preparation", "firmware", "option ROM", "kernel"],
            &moments,
        ),
        (Start::guest("CR"), &["preparation", "kernel", "reset", "kernel", "reset", "kernel"], &[]),
    ] {
        let text = timeline(start, "timeline.json");
        let trace: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(names(&trace, "X"), phases, "{text}");
        if !expected.is_empty() {
            assert_eq!(names(&trace, "i"), expected, "{text}");
        }
        let has_firmware = phases.contains(&"firmware");
        assert_eq!(text.contains("\"tid\":2,\"ts\""), has_firmware, "{text}");
    }
}

#[test]
fn a_picture_and_a_table_say_the_same() {
    if !native::kvm() {
        return;
    }
    let boot = || Start::bzimage("DP").args(["-bios", "builtin"]);
    let svg = timeline(boot(), "timeline.svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    let ended = boot().args(["-timeline", "-"]).run();
    let names = ["preparation", "firmware", "loading", "kernel", "first console byte"];
    for name in names {
        assert!(svg.contains(&format!(">{name}")), "{name}: {svg}");
        assert!(ended.stderr.contains(&format!(" {name}\n")), "{name}: {ended:?}");
    }
}

#[test]
fn a_timeline_overwrites_nothing_else() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.file("data.json", b"{\"mine\": 1}");
    let _ = Start::guest("P")
        .args(["-timeline"])
        .args([&path])
        .refused()
        .says("Cannot create the timeline '")
        .hints("overwrites only timelines");
    assert_eq!(std::fs::read(&path).unwrap(), b"{\"mine\": 1}");
    let refusal = Start::guest("P").args(["-timeline", "a.txt"]).refused();
    let _ = refusal.says("-timeline a.txt: expected FILE.json").hints("a picture");
}
