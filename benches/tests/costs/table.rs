//! `benches/costs.toml`: sections of `key = value # comment`, and nothing else of TOML.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use chukka_tests::assets;

/// Values by `section.key`; strings keep their quotes.
pub type Values = BTreeMap<String, String>;

fn path() -> PathBuf {
    assets::workspace().join("benches/costs.toml")
}

/// The table in the repository.
pub fn read() -> Values {
    values(&fs::read_to_string(path()).unwrap())
}

/// Writes new values into the table; comments stay.
pub fn write(new: &Values) {
    let text = replaced(&fs::read_to_string(path()).unwrap(), new);
    fs::write(path(), text).unwrap();
}

fn values(text: &str) -> Values {
    entries(text).into_iter().filter_map(|(_, entry)| entry).collect()
}

fn replaced(text: &str, new: &Values) -> String {
    let lines = entries(text).into_iter().map(|(line, entry)| {
        let Some((name, old)) = entry else { return format!("{line}\n") };
        let value = new.get(&name).unwrap_or_else(|| panic!("{name} was not measured"));
        format!("{}\n", line.replacen(&format!("= {old}"), &format!("= {value}"), 1))
    });
    lines.collect()
}

/// Each line, and the value in it if there is one.
fn entries(text: &str) -> Vec<(&str, Option<(String, String)>)> {
    let mut section = "";
    let entry = |line| {
        let code = uncommented(line);
        if let Some(name) = code.strip_prefix('[') {
            section = name.trim_end_matches(']');
            return (line, None);
        }
        let value = code.split_once(" = ");
        (line, value.map(|(key, value)| (format!("{section}.{key}"), value.into())))
    };
    text.lines().map(entry).collect()
}

/// A line without its comment. No string in the table contains a `#`.
fn uncommented(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

#[test]
fn values_are_replaced_and_comments_stay() {
    let text = "# a = 1\n[x.y] # z\nus = 5 # = 5\nname = \"5\"\n";
    let mut all = values(text);
    assert_eq!(all.len(), 2);
    assert_eq!((&*all["x.y.us"], &*all["x.y.name"]), ("5", "\"5\""));
    all.insert("x.y.us".into(), "7".into());
    assert_eq!(replaced(text, &all), text.replace("us = 5", "us = 7"));
}
