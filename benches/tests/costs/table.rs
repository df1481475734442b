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

/// The least of each count in two measurements; strings are those of the first.
pub fn least(first: Values, second: &Values) -> Values {
    let least = |name: &str, value: &str| {
        let counts = value.parse::<u64>().ok().zip(second.get(name)?.parse::<u64>().ok());
        counts.map(|(first, second)| first.min(second).to_string())
    };
    first
        .into_iter()
        .map(|(name, value)| {
            let value = least(&name, &value).unwrap_or(value);
            (name, value)
        })
        .collect()
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

#[test]
fn the_least_of_two_measurements_counts() {
    let (first, second) =
        ("[x]\nus = 82\nexits = 9\nname = \"5\"\n", "[x]\nus = 9\nexits = 80\nname = \"5\"\n");
    let least = least(values(first), &values(second));
    assert_eq!((&*least["x.us"], &*least["x.exits"], &*least["x.name"]), ("9", "9", "\"5\""));
}
