//! Writes the man page and the completions into a directory: `cargo run -p chukka --example manual`
//! refreshes `packaging/`. They are made from the table that argv is read by.

mod bash;
mod fish;
mod item;
mod man;
mod zsh;

use std::path::PathBuf;
use std::{env, fs, io};

/// Each file with its content.
fn files() -> [(&'static str, String); 4] {
    [
        ("chukka.1", man::page()),
        ("chukka.bash", bash::completion()),
        ("chukka.zsh", zsh::completion()),
        ("chukka.fish", fish::completion()),
    ]
}

/// Where the repository has them.
fn packaging() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "packaging"].iter().collect()
}

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).map_or_else(packaging, PathBuf::from);
    fs::create_dir_all(&directory)?;
    for (name, text) in files() {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_packaging_match_the_table() {
        for (name, text) in files() {
            let there = fs::read_to_string(packaging().join(name)).unwrap_or_default();
            assert!(there == text, "{name} is stale: cargo run -p chukka --example manual");
        }
    }

    #[test]
    fn every_option_and_command_is_in_every_file() {
        for (name, text) in files() {
            let text = text.replace("\\-", "-");
            for option in item::options() {
                assert!(text.contains(&option.name), "{name}: {}", option.name);
            }
            for command in item::commands() {
                assert!(text.contains(command.name), "{name}: {}", command.name);
                for option in command.options {
                    assert!(text.contains(&option.name), "{name}: {}", option.name);
                }
            }
        }
    }
}
