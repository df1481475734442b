//! Fetching an installer by HTTP: chukka against wget. Prints ratios and counts; `--help` tells the
//! rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::location::iso::Iso;
use chukka_benches::location::requests::{self, percent};
use chukka_benches::location::server::Server;
use chukka_benches::location::tree::Tree;
use chukka_benches::location::{Ratios, Way, empty, fetch, fetched};
use chukka_benches::table::{Table, times};
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, machine};
use chukka_tests::{assets, binaries};

const HELP: &str = "\
usage: bench-location [ROUNDS] [--write] [--also CHUKKA]...

Debian's installer by HTTP on loopback, as fast as it goes and at 1 Gbit/s: chukka fetch with an empty cache and once more, against wget
of the same two files. Each round (default 15) runs everybody once, in turn. Then what chukka reads of an ISO that has the installer.
--also measures another chukka along; --write puts the tables into docs/.";

/// How many rounds there are unless told otherwise.
const ROUNDS: usize = 15;
/// The lines: their names, and bytes a second.
const LINES: [(&str, Option<u64>); 2] = [("loopback", None), ("1 Gbit/s", Some(125_000_000))];
/// The aim: times wget's time, at most.
const COLD: f64 = 1.1;

fn main() -> ExitCode {
    words::run("bench-location", HELP, &["--write"], Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let folder = assets::workspace().join("target/bench/location");
    empty(&folder)?;
    let tree = Tree::make(&folder)?;
    let rounds = words.rounds.unwrap_or(ROUNDS);
    let chukka = binaries::chukka()?;
    let mut chukkas = vec![("chukka".to_owned(), chukka.clone())];
    for path in &words.also {
        chukkas.push((path.display().to_string(), std::path::absolute(path)?));
    }
    let mut text = format!("{}. {rounds} rounds.\n", machine::describe());
    for (name, program) in &chukkas {
        if chukkas.len() > 1 {
            text += &format!("\n{name}:\n");
        }
        text += &format!("\n{}", against_wget(program, &tree, &folder, rounds)?);
        text += &format!("\n{}", of_isos(program, &tree, &folder)?);
    }
    println!("{text}");
    if words.has("--write") {
        document::write("location", &text)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Times, as ratios.
fn against_wget(chukka: &Path, tree: &Tree, folder: &Path, rounds: usize) -> Result<Table, Error> {
    let mut table = Table::new([
        "of the tree",
        "requests",
        "× wget",
        "middle half",
        "× wget, sha256sum -c",
        "× wget, sha256sum -c, sync",
        "met",
    ]);
    for (line, rate) in LINES {
        let server = Server::start(&tree.root, rate)?;
        let mut times = vec![Vec::new(); Way::ALL.len()];
        let mut requests = vec![0; Way::ALL.len()];
        // The first round warms the page cache and does not count.
        for round in 0..=rounds {
            for (number, way) in turns(round) {
                let took = way.run(chukka, &server.url, tree, folder)?;
                let asked = server.requests().len();
                if round > 0 {
                    times[number].push(took);
                    requests[number] = requests[number].max(asked);
                }
            }
        }
        for (number, way) in Way::ALL.into_iter().enumerate() {
            table.row(row(
                &format!("{}, {line}", way.name()),
                way,
                requests[number],
                &times,
                number,
            )?);
        }
    }
    Ok(table)
}

/// Everybody, each round beginning with another one; the warm one follows the cold one.
fn turns(round: usize) -> Vec<(usize, Way)> {
    let mut all: Vec<_> = Way::ALL.into_iter().enumerate().collect();
    let warm = all.pop();
    let count = all.len();
    all.rotate_left(round % count);
    let cold = all.iter().position(|(_, way)| *way == Way::Cold).map_or(count, |at| at + 1);
    all.splice(cold..cold, warm);
    all
}

fn row(
    name: &str,
    way: Way,
    requests: usize,
    all: &[Vec<Duration>],
    number: usize,
) -> Result<[String; 7], Error> {
    let of = |other: usize| Ratios::of(&all[number], &all[other]).ok_or("no rounds, no numbers");
    let [plain, checked, synced] = [of(0)?, of(1)?, of(2)?];
    let met = match way {
        Way::Cold => word(plain.median <= COLD),
        Way::Warm => word(requests == 0),
        _ => "",
    };
    let middle = format!("{}-{}", times(plain.lower), times(plain.upper));
    let [plain, checked, synced] = [plain, checked, synced].map(|ratios| times(ratios.median));
    Ok([name.into(), requests.to_string(), plain, middle, checked, synced, met.into()])
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// What is read of images.
fn of_isos(chukka: &Path, tree: &Tree, folder: &Path) -> Result<Table, Error> {
    let mut table = Table::new([
        "of an ISO",
        "bytes",
        "before the kernel",
        "of the ISO",
        "requests before",
        "in all",
        "sent",
        "× kernel and initrd",
        "neither of them",
        "met",
    ]);
    let server = Server::start(folder, None)?;
    for (name, file, packages) in
        [("the tree alone", "tree.iso", false), ("with 600 packages", "medium.iso", true)]
    {
        let iso = Iso::make(tree, folder, file, packages)?;
        let cache = folder.join(format!("cache of {file}"));
        empty(&cache)?;
        let output = fetch(chukka, &format!("{}/{file}", server.url), &cache).output()?;
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        if !output.status.success() {
            return Err(format!("chukka fetch {file}: {}\n{}", output.status, said[1]).into());
        }
        let files: [PathBuf; 2] = fetched(&said[0])?;
        tree.check(&files)?;
        let asked = server.requests();
        let (before, count) = requests::before(&asked, &iso.files[0]);
        let (sent, outside) = (requests::bytes(&asked), requests::outside(&asked, &iso.files));
        #[expect(clippy::cast_precision_loss, reason = "a ratio for a person to read")]
        let ratio = format!("{:.4}", sent as f64 / tree.bytes() as f64);
        // The aim is for a medium: a tree alone is little more than kernel and initrd.
        let met = if packages { word(before * 100 < iso.len) } else { "" };
        table.row([
            name.into(),
            iso.len.to_string(),
            before.to_string(),
            percent(before, iso.len),
            count.to_string(),
            asked.len().to_string(),
            sent.to_string(),
            ratio,
            outside.to_string(),
            met.into(),
        ]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_turn_and_warm_follows_cold() {
        for round in 0..9 {
            let ways: Vec<_> = turns(round).into_iter().map(|(_, way)| way).collect();
            assert_eq!(ways.len(), Way::ALL.len());
            assert!(Way::ALL.iter().all(|way| ways.contains(way)));
            let cold = ways.iter().position(|way| *way == Way::Cold);
            assert_eq!(cold.and_then(|at| ways.get(at + 1)), Some(&Way::Warm), "{ways:?}");
        }
        assert_ne!(turns(0)[0], turns(1)[0]);
    }
}
