//! The completion for bash.

use std::fmt::Write;

use super::item::{self, Item, Values};

const HEAD: &str = r#"# Made by: cargo run -p chukka --example manual
# bash completion for chukka

# Completes one of the option names $1 with the dashes that were typed, or with $2.
_chukka_options() {
    local cur=${COMP_WORDS[COMP_CWORD]} dashes=$2
    case $cur in
        --*) dashes=-- ;;
        -?*) dashes=- ;;
    esac
    cur=${cur#-}
    mapfile -t COMPREPLY < <(compgen -P "$dashes" -W "$1" -- "${cur#-}")
}

_chukka_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_chukka_paths() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_chukka() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=
    COMPREPLY=()
    ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
    case $command in
"#;

/// The whole file.
pub(super) fn completion() -> String {
    let mut text = HEAD.to_owned();
    let commands = item::commands();
    let words: Vec<_> = commands.iter().map(|command| command.name).collect();
    for command in &commands {
        let subcommands: Vec<_> =
            command.subcommands.iter().map(|(name, ..)| name.as_str()).collect();
        let nested = command.subcommands.iter().flat_map(|(.., options)| options);
        let options: Vec<_> = command.options.iter().chain(nested).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "        {})", command.name);
        values(&mut text, &options, 12);
        let _ = writeln!(
            text,
            "            if [[ $cur == -* ]]; then\n                _chukka_options \"{}\" --",
            names(&options)
        );
        let otherwise = match command.name {
            "help" => format!("_chukka_words \"{}\"", words.join(" ")),
            _ if !subcommands.is_empty() => format!("_chukka_words \"{}\"", subcommands.join(" ")),
            _ if command.arguments.is_empty() => ":".to_owned(),
            _ => "_chukka_paths -f".to_owned(),
        };
        let _ = writeln!(
            text,
            "            else\n                {otherwise}\n            fi\n            return ;;"
        );
    }
    text += "    esac\n";
    let options = item::options();
    let options: Vec<_> = options.iter().collect();
    values(&mut text, &options, 4);
    let _ = writeln!(
        text,
        "    if [[ $cur == -* || COMP_CWORD -gt 1 ]]; then\n        _chukka_options \"{}\" -\n    \
         else\n        _chukka_words \"{}\"\n    fi\n}}\n\ncomplete -F _chukka chukka",
        names(&options),
        words.join(" ")
    );
    text
}

fn names(options: &[&Item]) -> String {
    // A command's short options have one dash, and are not worth completing.
    let is_shown =
        |option: &Item, name: &str| name != "?" && (option.group.is_some() || name.len() > 1);
    let names =
        options.iter().flat_map(|option| option.names().filter(move |name| is_shown(option, name)));
    names.collect::<Vec<_>>().join(" ")
}

/// Completes the value of the option before the cursor.
fn values(text: &mut String, options: &[&Item], indent: usize) {
    let with_values: Vec<_> = options.iter().filter(|option| option.metavar.is_some()).collect();
    if with_values.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}case $prev in", "");
    for option in with_values {
        let names: Vec<_> = option.names().map(|name| format!("-{name}|--{name}")).collect();
        let does = match option.values() {
            Values::Files => "_chukka_paths -f; return".to_owned(),
            Values::Directories => "_chukka_paths -d; return".to_owned(),
            Values::Words(words) => format!("_chukka_words \"{}\"; return", words.join(" ")),
            Values::Unknown => "return".to_owned(),
        };
        let _ = writeln!(text, "{:indent$}    {}) {does} ;;", "", names.join("|"));
    }
    let _ = writeln!(text, "{:indent$}esac", "");
}
