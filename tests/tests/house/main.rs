//! The documentation is true about the house: ARCHITECTURE.md's map, its table of imports, and
//! every path and link.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_tests::assets::workspace;

fn page() -> String {
    std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap()
}

/// The lines of the section with this heading.
fn section<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let heading = format!("## {heading}");
    page.lines()
        .skip_while(move |line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
}

/// The lines of the map of rooms: (directory, description).
fn rooms(page: &str) -> Vec<(&str, &str)> {
    section(page, "Rooms")
        .skip_while(|line| !line.starts_with("```"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .map(|line| line.split_once(' ').unwrap())
        .collect()
}

/// What is between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What each of our packages imports of the others, without what only its tests need.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            // Ours have a path. Normal dependencies have no kind; there are also "dev" and "build".
            let ours =
                package["dependencies"].as_array().unwrap().iter().filter(|dependency| {
                    dependency["path"].is_string() && dependency["kind"] != "dev"
                });
            (text(&package["name"]), ours.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn every_path_in_architecture_md_exists() {
    let page = page();
    let rooms = rooms(&page);
    let is_path = |text: &&str| {
        let start = text.split('/').next().unwrap_or_default();
        text.contains('/') && rooms.iter().any(|(room, _)| room.split('/').next() == Some(start))
    };
    let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let prose: String = page.split("```").step_by(2).collect();
    let paths: BTreeSet<&str> = rooms
        .iter()
        .map(|(room, _)| *room)
        .chain(code(&prose).filter(is_path))
        .chain(links)
        .collect();
    assert!(paths.len() >= 20, "the page has only these paths: {paths:?}");
    for path in paths {
        assert!(
            workspace().join(path).exists(),
            "ARCHITECTURE.md names {path}, which does not exist"
        );
    }
}

#[test]
fn every_test_that_security_md_names_exists() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).unwrap();
    let sources = [
        "vmm/src/sandbox/tests.rs",
        "storage/src/tests.rs",
        "location/src/tree/tests/remote.rs",
        "tests/tests/sandbox.rs",
        "tests/tests/bad_input/sizes.rs",
    ];
    let sources = sources.map(read).concat();
    let page = read("SECURITY.md");
    // Names of tests are sentences; others here have fewer words.
    let is_sentence = |name: &&str| {
        name.split('_').count() > 4 && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
    };
    let names: BTreeSet<_> = code(&page).filter(is_sentence).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let test = format!("#[test]\nfn {name}() {{");
        assert!(sources.contains(&test), "SECURITY.md names the test {name}, which is not there");
    }
}

#[test]
fn every_package_is_in_the_map() {
    let page = page();
    let rooms: BTreeSet<&str> =
        rooms(&page).iter().map(|(room, _)| room.trim_end_matches('/')).collect();
    for package in imports().keys() {
        let directory = match package.strip_prefix("chukka-").unwrap_or(package) {
            "fuzz" => "tests/fuzz",
            directory => directory,
        };
        assert!(
            rooms.contains(directory),
            "{directory}/ is missing from the map in ARCHITECTURE.md"
        );
    }
}

#[test]
fn the_table_of_imports_is_what_cargo_says() {
    let page = page();
    let documented: BTreeMap<String, BTreeSet<String>> = section(&page, "Rooms")
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            let name = code(cells.next().unwrap()).next().unwrap().to_owned();
            (name, code(cells.next().unwrap()).map(str::to_owned).collect())
        })
        .collect();
    let mut imports = imports();
    imports.retain(|package, _| !package.starts_with("chukka-"));
    assert_eq!(
        documented, imports,
        "ARCHITECTURE.md (left) and the Cargo.toml files (right) differ"
    );
}

#[test]
fn rooms_that_must_not_know_each_other_do_not() {
    let imports = imports();
    let all = |package: &str| {
        let mut found = BTreeSet::new();
        let mut next = vec![package.to_owned()];
        while let Some(package) = next.pop() {
            for import in &imports[&package] {
                if found.insert(import.clone()) {
                    next.push(import.clone());
                }
            }
        }
        found
    };
    for (package, others) in [
        ("vmm", ["location", "storage", "chukka"].as_slice()),
        ("devices", &["firmware", "vmm"]),
        ("firmware", &["devices", "vmm"]),
        ("location", &["guest_memory", "vmm"]),
        ("storage", &["location", "guest_memory"]),
        ("network", &["devices", "guest_memory", "location", "vmm"]),
    ] {
        let imported = all(package);
        for other in others {
            assert!(!imported.contains(*other), "{package} imports {other}");
        }
    }
}

#[test]
fn crates_that_claim_to_forbid_unsafe_code_do() {
    const ATTRIBUTE: &str = "forbid(unsafe_code)";
    let page = page();
    let claims = |description: &str| description.contains(ATTRIBUTE);
    let forbids = |room: &str, file: &str| {
        let source = std::fs::read_to_string(workspace().join(Path::new(room)).join(file));
        source.is_ok_and(|source| source.lines().any(|line| line == format!("#![{ATTRIBUTE}]")))
    };
    let rooms = rooms(&page);
    assert!(rooms.iter().filter(|(_, description)| claims(description)).count() >= 5);
    for (room, description) in rooms {
        let forbidden = forbids(room, "src/lib.rs");
        assert_eq!(claims(description), forbidden, "{room}: the map, and its lib.rs");
    }
}

/// The Markdown files at the top and in docs/, relative to the workspace.
fn documents() -> Vec<PathBuf> {
    ["", "docs", "docs/decisions"]
        .iter()
        .flat_map(|directory| {
            let entries = std::fs::read_dir(workspace().join(directory)).unwrap();
            entries.map(|entry| Path::new(directory).join(entry.unwrap().file_name()))
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// How GitHub derives an anchor from a heading.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let mut seen = 0;
    for document in documents() {
        let text = std::fs::read_to_string(workspace().join(&document)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => workspace().join(&document),
                _ => workspace().join(&document).with_file_name("").join(file),
            };
            assert!(target.exists(), "{}: there is nothing at {link}", document.display());
            if !heading.is_empty() {
                let text = std::fs::read_to_string(target).unwrap();
                let found =
                    text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(found, "{}: there is no heading for {link}", document.display());
            }
        }
    }
    assert!(seen >= 30, "the documentation has only {seen} links");
}

#[test]
fn the_rust_version_in_the_documentation_is_that_of_cargo_toml() {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(workspace().join(document)).unwrap();
        let wanted = format!("Rust {} or newer", version.trim_matches('"'));
        assert!(text.contains(&wanted), "{document} does not say: {wanted}");
    }
}

/// The names of what is in a directory, without their endings.
fn stems(directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(workspace().join(directory)).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

#[test]
fn the_table_of_fuzz_targets_is_complete() {
    let page = std::fs::read_to_string(workspace().join("docs/testing.md")).unwrap();
    let rows = section(&page, "Fuzzing").filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<_> = rows.map(|row| code(row).next().unwrap().to_owned()).collect();
    let targets = stems("tests/fuzz/targets");
    assert_eq!(documented, targets, "docs/testing.md (left) and tests/fuzz/targets differ");
    assert_eq!(
        stems("tests/fuzz/seeds"),
        targets,
        "tests/fuzz/seeds (left) and the targets differ"
    );
    let manifest = std::fs::read_to_string(workspace().join("tests/fuzz/Cargo.toml")).unwrap();
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/"));
    let built: BTreeSet<_> = paths.map(|path| path.trim_end_matches(".rs\"").to_owned()).collect();
    assert_eq!(built, targets, "tests/fuzz/Cargo.toml (left) and tests/fuzz/targets differ");
}
