//! Options and commands as the man page and the completions show them.

use chukka::args::{COMMANDS, Group, OPTIONS};
use chukka::commands;

/// One option.
pub(super) struct Item {
    /// Its name, without dashes.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What its value is called; `None` if it takes none.
    pub metavar: Option<String>,
    pub help: String,
    /// `None` for the option of a command.
    pub group: Option<Group>,
}

/// One command.
pub(super) struct Command {
    pub name: &'static str,
    pub help: &'static str,
    pub options: Vec<Item>,
    /// Its positional arguments: what they are called, and their help.
    pub arguments: Vec<(String, String)>,
    /// The words that may follow it, with their help and their own options.
    pub subcommands: Vec<(String, String, Vec<Item>)>,
}

/// What completes a value.
pub(super) enum Values {
    Files,
    Directories,
    Words(&'static [&'static str]),
    Unknown,
}

impl Item {
    pub fn values(&self) -> Values {
        match (self.name.as_str(), self.metavar.as_deref().unwrap_or_default()) {
            ("bios", _) => Values::Words(&["builtin", "seabios", "seabios-microvm", "qboot"]),
            ("machine", _) => Values::Words(&["microvm", "pc", "help"]),
            ("cpu", _) => Values::Words(&["host", "max", "help"]),
            ("accel", _) => Values::Words(&["kvm"]),
            ("serial", _) => Values::Words(&["stdio", "mon:stdio", "file:", "null", "none"]),
            ("debugcon", _) => Values::Words(&["stdio", "file:", "null", "none"]),
            ("device", _) => Values::Words(&["isa-debugcon", "isa-debug-exit", "vmcoreinfo"]),
            ("boot", _) => {
                Values::Words(&["menu=on", "strict=on", "splash-time=", "reboot-timeout="])
            }
            ("trace", _) => Values::Words(&["fw_cfg"]),
            ("msg", _) => Values::Words(&["timestamp"]),
            ("rtc", _) => Values::Words(&["base=utc", "base=localtime"]),
            ("format", _) => Values::Words(&["text", "json"]),
            ("output-format", _) => Values::Words(&["text", "json", "sxp", "simple", "simple0"]),
            ("display" | "vnc" | "vga" | "monitor" | "parallel" | "net" | "nic", _) => {
                Values::Words(&["none"])
            }
            (_, "DIR") => Values::Directories,
            (_, "FILE" | "PLACE" | "DISK") => Values::Files,
            _ => Values::Unknown,
        }
    }

    /// Its names, the first one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.name].into_iter().chain(&self.aliases).map(String::as_str)
    }
}

/// The options of `chukka` itself.
pub(super) fn options() -> Vec<Item> {
    let all = OPTIONS.iter().map(|option| Item {
        name: option.name.to_owned(),
        aliases: option.aliases.iter().map(|&alias| alias.to_owned()).collect(),
        metavar: option.metavar().map(str::to_owned),
        help: option.help.join(" "),
        group: Some(option.group),
    });
    all.collect()
}

/// The commands, with their options.
pub(super) fn commands() -> Vec<Command> {
    let described: Vec<_> = commands::described().collect();
    let all = COMMANDS.iter().map(|&(name, help)| {
        let clap = described.iter().find(|(known, _)| *known == name).map(|(_, clap)| clap);
        let arguments = clap.into_iter().flat_map(clap::Command::get_positionals);
        let subcommands = clap.into_iter().flat_map(clap::Command::get_subcommands);
        Command {
            name,
            help,
            options: clap.map(options_of).unwrap_or_default(),
            arguments: arguments.map(|arg| (metavar(arg), help_of(arg.get_help()))).collect(),
            subcommands: subcommands
                .map(|sub| (sub.get_name().to_owned(), help_of(sub.get_about()), options_of(sub)))
                .collect(),
        }
    });
    all.collect()
}

fn options_of(command: &clap::Command) -> Vec<Item> {
    let all = command.get_arguments().filter_map(|arg| {
        let takes_value = arg.get_action().takes_values();
        Some(Item {
            name: arg.get_long()?.to_owned(),
            aliases: arg.get_short().map(String::from).into_iter().collect(),
            metavar: takes_value.then(|| metavar(arg)),
            help: help_of(arg.get_help()),
            group: None,
        })
    });
    all.collect()
}

fn metavar(arg: &clap::Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}

fn help_of(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default()
}
