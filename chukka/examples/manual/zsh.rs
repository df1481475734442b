//! The completion for zsh (zshcompsys(1)).

use std::fmt::Write;

use super::item::{self, Item, Values};

/// The whole file.
pub(super) fn completion() -> String {
    let mut text =
        "#compdef chukka\n# Made by: cargo run -p chukka --example manual\n\n".to_owned();
    let commands = item::commands();
    text += "local -a commands=(\n";
    for command in &commands {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {}", quoted(&format!("{}:{}", command.name, command.help)));
    }
    text += ")\nif (( CURRENT > 2 )); then\n    case $words[2] in\n";
    for command in &commands {
        let _ = writeln!(text, "        {})", command.name);
        text += "            shift words; (( CURRENT-- ))\n            _arguments";
        let nested = command.subcommands.iter().flat_map(|(.., options)| options);
        for option in command.options.iter().chain(nested) {
            specs(&mut text, option, "--", 16);
        }
        let words: Vec<_> = command.subcommands.iter().map(|(name, ..)| name.as_str()).collect();
        if command.name == "help" {
            let _ = write!(text, " \\\n                '1:command:(({}))'", names(&commands));
        } else if !words.is_empty() {
            let _ = write!(text, " \\\n                '1:command:({})'", words.join(" "));
        }
        for (name, _) in &command.arguments {
            let _ = write!(text, " \\\n                ':{name}:_files'");
        }
        text += "\n            return ;;\n";
    }
    text += "    esac\nelif [[ $words[2] != -* ]]; then\n    _describe command commands\n    return\nfi\n_arguments";
    for option in item::options() {
        specs(&mut text, &option, "-", 4);
    }
    text + "\n"
}

fn names(commands: &[item::Command]) -> String {
    commands.iter().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

/// One option as `_arguments` takes it; it may be repeated.
fn specs(text: &mut String, option: &Item, dashes: &str, indent: usize) {
    for name in option.names().filter(|name| *name != "?") {
        let dashes = if name.len() == 1 { "-" } else { dashes };
        let mut spec = format!("*{dashes}{name}[{}]", plain(&option.help));
        if let Some(metavar) = &option.metavar {
            let does = match option.values() {
                Values::Files => "_files".to_owned(),
                Values::Directories => "_files -/".to_owned(),
                Values::Words(words) => format!("({})", words.join(" ").replace(':', "\\:")),
                Values::Unknown => " ".to_owned(),
            };
            spec += &format!(":{}:{does}", plain(metavar));
        }
        // Writing to a String cannot fail.
        let _ = write!(text, " \\\n{:indent$}{}", "", quoted(&spec));
    }
}

/// Text without what has a meaning in a spec.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:").replace('[', "\\[").replace(']', "\\]")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
