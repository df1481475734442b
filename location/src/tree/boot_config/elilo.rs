//! elilo.conf (elilo's docs/elilo.txt): `key=value` lines. Lines before the first `image=` apply to
//! all images.

use std::collections::BTreeMap;

use super::{ENTRIES, Entry, Menu, Step};

/// Bytes that a line can have.
const LINE: usize = 4095;

type Options = BTreeMap<String, String>;

/// Reads the entries. `default` is a label.
pub(super) fn menu(text: &str) -> Menu {
    let mut global = Options::new();
    let mut images: Vec<Options> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let line = &line[..line.floor_char_boundary(LINE)];
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let value = value.trim_matches('"').to_owned();
        if key == "image" {
            if images.len() >= ENTRIES {
                break;
            }
            images.push(Options::new());
        }
        images.last_mut().unwrap_or(&mut global).insert(key, value);
    }
    let of = |(position, own)| entry(position, own, &global);
    let entries: Vec<_> = images.iter().enumerate().map(of).collect();
    let default = global.get("default");
    let named =
        entries.iter().position(|entry| default.is_some_and(|default| entry.id() == default));
    Menu { entries, defaults: named.into_iter().collect(), ..Menu::default() }
}

fn entry(position: usize, own: &Options, global: &Options) -> Entry {
    let get = |key: &str| own.get(key).or_else(|| global.get(key)).map(String::as_str);
    let kernel = get("image").unwrap_or_default().to_owned();
    let label = get("label").unwrap_or(&kernel).to_owned();
    let root = get("root").map(|root| format!("root={root}"));
    let access = match (get("read-only"), get("read-write")) {
        (Some(_), _) => Some("ro".to_owned()),
        (None, Some(_)) => Some("rw".to_owned()),
        (None, None) => None,
    };
    let append = get("append").map(str::to_owned);
    let words: Vec<_> = [root, access, append].into_iter().flatten().collect();
    Entry {
        kernel,
        initrds: get("initrd").map(str::to_owned).into_iter().collect(),
        arguments: words.join(" ").trim().to_owned(),
        hypervisor: get("vmm").unwrap_or_default().to_owned(),
        ..Entry::at(vec![Step { position, title: label.clone(), id: label }])
    }
}
