//! The completion for fish.

use std::fmt::Write;

use super::item::{self, Item, Values};

/// The whole file.
pub(super) fn completion() -> String {
    let mut text = "# Made by: cargo run -p chukka --example manual\n\n".to_owned();
    let commands = item::commands();
    let names: Vec<_> = commands.iter().map(|command| command.name).collect();
    let names = names.join(" ");
    let none = format!("not __fish_seen_subcommand_from {names}");
    text += "complete -c chukka -f\n";
    for command in &commands {
        let (name, help) = (command.name, quoted(command.help));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "complete -c chukka -n '__fish_is_first_arg' -a {name} -d {help}");
    }
    for option in item::options() {
        one(&mut text, &option, &none, "-o");
    }
    for command in &commands {
        let seen = format!("__fish_seen_subcommand_from {}", command.name);
        for option in &command.options {
            one(&mut text, option, &seen, "-l");
        }
        for (name, help, options) in &command.subcommands {
            let help = quoted(help);
            let _ = writeln!(text, "complete -c chukka -n '{seen}' -a {name} -d {help}");
            for option in options {
                one(&mut text, option, &seen, "-l");
            }
        }
        if command.name == "help" {
            let _ = writeln!(text, "complete -c chukka -n '{seen}' -a '{names}'");
        } else if !command.arguments.is_empty() {
            let _ = writeln!(text, "complete -c chukka -n '{seen}' -F");
        }
    }
    text
}

/// One option, where `condition` holds. `style` is fish's: `-o` for one dash, `-l` for two.
fn one(text: &mut String, option: &Item, condition: &str, style: &str) {
    for name in option.names().filter(|name| *name != "?") {
        let style = if name.len() == 1 { "-s" } else { style };
        let value = match (&option.metavar, option.values()) {
            (None, _) => String::new(),
            (_, Values::Files) => " -r -F".to_owned(),
            (_, Values::Directories) => " -x -a '(__fish_complete_directories)'".to_owned(),
            (_, Values::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
            (_, Values::Unknown) => " -x".to_owned(),
        };
        let help = quoted(&option.help);
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "complete -c chukka -n '{condition}' {style} {name}{value} -d {help}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
