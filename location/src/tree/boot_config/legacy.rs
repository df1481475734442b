//! menu.lst, also called grub.conf: GRUB legacy (its manual, "Menu file commands"; Solaris adds
//! `kernel$`, `module$` and `$ISADIR`).

use super::{ENTRIES, Entry, Files, Menu, Module, Step, devices};

/// Reads the entries. `default` is an entry's index or `saved`; `fallback` is a list of indexes.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    let root = files.root.clone();
    let mut reader = Reader::default();
    reader.read(text, files);
    reader.finish_entry();
    files.root = root;
    let Reader { entries, default, fallback, .. } = reader;
    // grub-set-default writes the entry's index to the first line of this file.
    let saved = files.include("default").unwrap_or_default();
    let saved = saved.lines().next().unwrap_or_default().trim().to_owned();
    let default = if default == "saved" { saved.clone() } else { default };
    let places = [&default].into_iter().chain(&fallback);
    let mut defaults: Vec<_> = places.filter_map(|place| place.parse().ok()).collect();
    let mut warnings = Vec::new();
    match default.parse::<usize>() {
        Err(_) => defaults.insert(0, 0),
        Ok(number) if number >= entries.len() => {
            // `cmain` in GRUB legacy's stage2/stage2.c takes the first of `fallback`, or else 0.
            let first = fallback.first().and_then(|place| place.parse().ok());
            let first = first.filter(|place| *place < entries.len()).unwrap_or(0);
            defaults.insert(0, first);
            warnings.extend(entries.get(first).map(|entry| {
                let title = &entry.title;
                format!("the default entry {number} does not exist: '{title}' boots instead, as with GRUB")
            }));
        }
        Ok(_) => {}
    }
    Menu { entries, defaults, saved, warnings }
}

#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    default: String,
    fallback: Vec<String>,
    /// The last entry's kernel with its arguments, and the rest of the entry.
    kernel: Option<Module>,
    modules: Vec<Module>,
}

impl Reader {
    fn read(&mut self, text: &str, files: &mut Files<'_>) {
        let root = files.root.clone();
        for line in text.lines().map(str::trim) {
            // Accepts both `default 0` and `default=0`.
            let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
            let (command, rest) = line.split_at(end);
            let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim_end();
            match (command, self.entries.is_empty()) {
                ("title", _) => {
                    files.root.clone_from(&root);
                    self.finish_entry();
                    if self.entries.len() >= ENTRIES {
                        return;
                    }
                    let (position, title) = (self.entries.len(), rest.to_owned());
                    self.entries.push(Entry::at(vec![Step { position, title, id: String::new() }]));
                }
                ("default", true) => self.default = rest.to_owned(),
                ("fallback", true) => {
                    self.fallback = rest.split_whitespace().map(str::to_owned).collect();
                }
                ("configfile", true) => {
                    if let Some(text) = files.include(&grub_2_name(rest)) {
                        self.read(&text, files);
                    }
                }
                ("root" | "rootnoverify", false) => {
                    let name = grub_2_name(rest);
                    files.root = devices::split(&name).0.unwrap_or_default().to_owned();
                }
                ("uuid", false) => {
                    files.root = files.with_uuid(rest, &[]).unwrap_or_default();
                }
                ("kernel" | "kernel$", false) => self.kernel = Some(module(rest, files)),
                ("module" | "module$", false) => self.modules.push(module(rest, files)),
                ("initrd", false) => {
                    if let Some(entry) = self.entries.last_mut() {
                        let names = rest.split_whitespace().map(grub_2_name);
                        entry.initrds = names.map(|name| files.absolute(&name)).collect();
                    }
                }
                _ => {}
            }
        }
    }

    fn finish_entry(&mut self) {
        let (kernel, modules) = (self.kernel.take(), std::mem::take(&mut self.modules));
        let Some((entry, kernel)) = self.entries.last_mut().zip(kernel) else { return };
        if modules.is_empty() {
            (entry.kernel, entry.arguments) = kernel;
        } else {
            entry.set_multiboot(kernel, modules);
        }
    }
}

/// Splits a line into the file and its arguments. The command's own options come first.
fn module(text: &str, files: &Files<'_>) -> Module {
    // The guest is 64-bit.
    let text = text.replace("$ISADIR", "amd64");
    let mut words = text.split_whitespace().skip_while(|word| word.starts_with("--"));
    let name = words.next().map(|name| files.absolute(&grub_2_name(name))).unwrap_or_default();
    (name, words.collect::<Vec<_>>().join(" "))
}

/// A name with the device as GRUB 2 writes it, which counts partitions from 1 and not from 0
/// (`adjust_file` in GRUB 2's grub-core/lib/legacy_parse.c): `(hd0,1,a)` is `(hd0,2,1)`.
fn grub_2_name(name: &str) -> String {
    let (Some(device), path) = devices::split(name) else { return name.to_owned() };
    let part = |part: &str| match (part.parse::<u32>(), part.as_bytes()) {
        (Ok(number), _) => number.saturating_add(1).to_string(),
        (Err(_), [letter @ b'a'..=b'z']) => (letter - b'a' + 1).to_string(),
        (Err(_), _) => part.to_owned(),
    };
    let mut parts = device.split(',');
    let disk = parts.next().unwrap_or_default().to_owned();
    let parts: Vec<_> = std::iter::once(disk).chain(parts.map(part)).collect();
    format!("({}){path}", parts.join(","))
}
