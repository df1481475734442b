//! No two files of a crate import each other, not even by way of others.
//!
//! A file may import its parents' public types, and declares its children; both are no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chukka_tests::assets::workspace;

/// Crates whose modules import one way.
const ONE_WAY: [&str; 4] = ["devices", "fw_cfg", "guest_memory", "network"];

/// The path of a module in its crate: `["pci", "bus"]`. Empty for lib.rs.
type Module = Vec<String>;

/// The source of each module, without tests.
fn modules(directory: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner: Module = module.iter().cloned().chain([name.to_owned()]).collect();
        if path.is_dir() {
            modules(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            let source = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = source
                .lines()
                .take_while(|line| *line != "mod tests {")
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let key = if name == "lib" { Module::new() } else { inner };
            found.insert(key, code.join("\n"));
        }
    }
}

/// The modules that a path's rest, such as `::file::{HostFile, Content}` or `::host;`, leads to.
fn targets(rest: &str, base: &Module, all: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let Some(rest) = rest.strip_prefix("::") else { return BTreeSet::from([base.clone()]) };
    if let Some(group) = rest.strip_prefix('{') {
        // To the brace that closes the group; its names may have groups of their own.
        let mut depth = 0;
        let mut starts = vec![0];
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts.push(at + 1),
                _ => {}
            }
        }
        let rest = |at: usize| format!("::{}", group[at..].trim_start());
        return starts.into_iter().flat_map(|at| targets(&rest(at), base, all)).collect();
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let mut next = base.clone();
    if &rest[..end] == "super" {
        next.pop();
    } else {
        next.push(rest[..end].to_owned());
    }
    if all.contains_key(&next) {
        targets(&rest[end..], &next, all)
    } else {
        BTreeSet::from([base.clone()])
    }
}

/// What each module imports, without its parents and children.
fn imports(all: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let imports_of = |(module, code): (&Module, &String)| {
        let parent = module.split_last().map_or(Module::new(), |(_, parent)| parent.to_vec());
        let mut found = BTreeSet::new();
        for (word, base) in [("crate", &Module::new()), ("super", &parent)] {
            for (at, _) in code.match_indices(&format!("{word}::")) {
                let before = code[..at].chars().next_back().unwrap_or(' ');
                if !before.is_alphanumeric() && before != '_' && before != ':' {
                    found.extend(targets(&code[at + word.len()..], base, all));
                }
            }
        }
        found.retain(|other| !module.starts_with(other) && !other.starts_with(module));
        found
    };
    all.iter().map(|entry| (entry.0, imports_of(entry))).collect()
}

/// A chain of imports that leads from `module` back to it.
fn cycle(module: &Module, imports: &BTreeMap<&Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![module]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in &imports[*way.last()?] {
            let way: Vec<_> = way.iter().copied().chain([next]).collect();
            if next == module {
                return Some(way.into_iter().map(|module| module.join("::")).collect());
            }
            if seen.insert(next) {
                ways.push(way);
            }
        }
    }
    None
}

#[test]
fn modules_import_one_way() {
    for name in ONE_WAY {
        let mut all = BTreeMap::new();
        modules(&workspace().join(name).join("src"), &Module::new(), &mut all);
        let imports = imports(&all);
        assert!(imports.values().any(|found| !found.is_empty()), "{name} has no imports at all");
        for module in all.keys() {
            let cycle = cycle(module, &imports);
            assert!(
                cycle.is_none(),
                "{name}: imports in a circle: {}",
                cycle.unwrap().join(" -> ")
            );
        }
    }
}

#[test]
fn a_circle_is_found() {
    let code = [
        ("a", "use crate::b::{self, B};"),
        ("b", "use super::{c::C, d};"),
        ("c", "fn f() { crate::a::f(); }"),
        ("d", "use crate::B;"),
    ];
    let all = code.map(|(name, code)| (vec![name.to_owned()], code.to_owned()));
    let mut all = BTreeMap::from(all);
    all.insert(Module::new(), "pub use b::B;".into());
    let imports = imports(&all);
    for name in ["a", "b", "c"] {
        assert_eq!(cycle(&vec![name.into()], &imports).map(|way| way.len()), Some(4), "{name}");
    }
    assert_eq!(cycle(&vec!["d".into()], &imports), None);
}
