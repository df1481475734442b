//! `chukka template`: the templates of guests that chukka has.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use super::{answer, fail};
use crate::install::template::{KNOWN, Template};

/// Its options.
pub(super) fn command() -> Command {
    let name =
        Arg::new("name").value_name("NAME").required(true).value_parser(ValueParser::path_buf());
    Command::new("chukka template")
        .about("List or show the templates for chukka install --template")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("Name the templates that chukka has"))
        .subcommand(
            Command::new("show")
                .about("Print a template, to start a file of your own with")
                .arg(name.help("A template that chukka has")),
        )
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let Some(("show", matches)) = matches.subcommand() else { return answer(&list()) };
    let name = matches.get_one::<PathBuf>("name").cloned().unwrap_or_default();
    match KNOWN.iter().find(|(known, _)| name.as_os_str() == *known) {
        Some((_, text)) => answer(text),
        None => fail(
            &format!("chukka has no template '{}'", name.display()),
            "chukka template list names those that it has",
        ),
    }
}

fn list() -> String {
    let line = |(name, text): &(&str, &str)| {
        let template = Template::parse(text).unwrap_or_default();
        format!("{name:<8} {}\n", template.description.unwrap_or_default())
    };
    KNOWN.iter().map(line).collect()
}
