//! The options that say what is booted, for the commands that find an installer.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches};

use crate::args::{BootArgs, RawPair};

pub(super) fn value(name: &'static str, of: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(of).help(help).value_parser(ValueParser::os_string())
}

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// The options, without the location.
pub(super) fn options() -> [Arg; 16] {
    let path = |name, help| value(name, "FILE", help);
    [
        path("kernel", "The kernel, a path in LOCATION"),
        path("initrd", "The initrd, a path in LOCATION"),
        value("append", "TEXT", "Words for the kernel's command line")
            .aliases(["args", "extra-args"]),
        path("initrd-inject", "Add FILE to the root of the initrd; repeatable")
            .action(ArgAction::Append),
        path(
            "preseed",
            "Answers for Debian's installer, added to the initrd; or a URL that the guest fetches",
        ),
        path("kickstart", "The same for Fedora and RHEL"),
        path("autoyast", "The same for SUSE"),
        value("autocf", "ANSWERS", "Answers for Solaris: nfs:HOST:/DIR, or NAME=VALUE,…"),
        switch("no-location-args", "Do not tell the installer where its tree is"),
        switch("offline", "Use the cache only, fetch nothing"),
        switch("refresh", "Ignore the cache").conflicts_with("offline"),
        value("timeout", "SECONDS", "Idle timeout in seconds [default: 30]"),
        value("retries", "N", "Retries after a failure [default: 3]"),
        value("limit", "SIZE", "Limit for the size of a file [default: 4G]"),
        value("cache", "DIR", "Cache directory, or off"),
        value("checksum", "SUM", "sha256:HEX of the kernel; initrd=sha256:HEX; repeatable")
            .action(ArgAction::Append),
    ]
}

/// The options that `chukka` itself has too: they mean the same here.
pub(super) fn boot_args(matches: &ArgMatches) -> BootArgs {
    let one = |name: &str| matches.get_one::<OsString>(name).cloned();
    let all = |name: &str| matches.get_many(name).into_iter().flatten().cloned().collect();
    let mut fetch: Vec<_> = ["timeout", "retries", "limit", "cache"]
        .into_iter()
        .filter_map(|key| Some(RawPair::new(key, one(key)?.into_vec())))
        .collect();
    if matches.get_flag("refresh") {
        fetch.push(RawPair::new("refresh", b"on".to_vec()));
    }
    BootArgs {
        location: one("location"),
        kernel: one("kernel"),
        initrd: one("initrd"),
        append: one("append"),
        initrd_inject: all("initrd-inject"),
        preseed: one("preseed"),
        kickstart: one("kickstart"),
        autoyast: one("autoyast"),
        autocf: one("autocf"),
        checksum: all("checksum"),
        no_location_args: matches.get_flag("no-location-args"),
        offline: matches.get_flag("offline"),
        fetch,
        ..BootArgs::default()
    }
}
