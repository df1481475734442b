//! A bench's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Error;

/// What a bench was asked for.
#[derive(Debug, Default)]
pub struct Words {
    /// How many rounds, where it makes any.
    pub rounds: Option<usize>,
    /// Other chukkas to be measured along.
    pub also: Vec<PathBuf>,
    flags: Vec<String>,
}

impl Words {
    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }
}

/// Reads the command line of a bench with these `flags`, and with a number of rounds if it has a
/// usual one; then runs it. `help` is what `--help` prints and what follows the word that is wrong.
pub fn run(
    name: &str,
    help: &str,
    flags: &[&str],
    rounds: Option<usize>,
    bench: impl FnOnce(&Words) -> Result<(), Error>,
) -> ExitCode {
    let args = std::env::args().skip(1);
    let done = match read(args, help, flags, rounds) {
        Ok(None) => {
            println!("{help}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(words)) => bench(&words),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: help is asked for.
fn read(
    mut args: impl Iterator<Item = String>,
    help: &str,
    flags: &[&str],
    rounds: Option<usize>,
) -> Result<Option<Words>, Error> {
    let mut words = Words { rounds, ..Words::default() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--also" => words.also.push(args.next().ok_or("--also needs a path")?.into()),
            flag if flags.contains(&flag) => words.flags.push(arg),
            _ if rounds.is_none() => return Err(format!("unknown word {arg}\n{help}").into()),
            number => {
                let number = number.parse().map_err(|_| format!("{arg} is no number\n{help}"))?;
                words.rounds = Some(number);
            }
        }
    }
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, rounds: Option<usize>) -> Result<Option<Words>, Error> {
        read(line.split_whitespace().map(String::from), "usage", &["--once"], rounds)
    }

    #[test]
    fn flags_rounds_and_other_chukkas_are_taken_in_any_order() {
        let words = of("--also a 7 --once --also b", Some(3)).unwrap().unwrap();
        assert_eq!(words.rounds, Some(7));
        assert_eq!(words.also, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(words.has("--once") && !words.has("--ours"));
        assert_eq!(of("", Some(3)).unwrap().unwrap().rounds, Some(3));
        assert!(of("--once -h x", None).unwrap().is_none());
    }

    #[test]
    fn what_means_nothing_is_named() {
        assert_eq!(of("x", Some(3)).unwrap_err().to_string(), "x is no number\nusage");
        assert_eq!(of("7", None).unwrap_err().to_string(), "unknown word 7\nusage");
        assert_eq!(of("--also", None).unwrap_err().to_string(), "--also needs a path");
    }
}
