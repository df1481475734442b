//! `-dry-run`: what would be booted and how it was found, for a person to read.

use std::fmt::Write;

use firmware::SourceFile;
use firmware::image::ContainerKind;
use location::checksum::Checked;
use location::tree::Installer;
use location::tree::Sum;
use network::{Forward, Protocol};
use serde_json::{Value, json};

use crate::args;
use crate::cdrom;
use crate::disks::{self, Planned};
use crate::error::RunError;
use crate::flash;
use crate::location_server::{self, TREE};
use crate::networks;
use crate::outputs;
use crate::request::{CardConfig, DiskConfig, NetworkConfig, Request};
use crate::resolve::{Found, Purpose, Resolved};
use storage::disk::DiskOptions;
use vmm::config::{FirmwareConfig, Size};
use vmm::host::printable::printable;
use vmm::run;

/// The column in which the text after a heading begins.
const COLUMN: usize = 14;

/// What one run would do, up to the moment a guest is started: all files are opened and checked,
/// and everything fits into the guest's memory. KVM is not touched. `state` describes the state of
/// `-state`.
///
/// # Errors
/// What would prevent the guest from starting.
pub fn text(request: &Request, state: Option<&str>) -> Result<String, RunError> {
    outputs::check(request)?;
    let config = &request.vm;
    let resolved = request.boot.as_ref();
    let resolved = resolved
        .map(|source| Resolved::open(source, Purpose::Guest(config.memory), request.confinement))
        .transpose()?;
    let mut text = String::new();
    if let Some(state) = state {
        line(&mut text, "state", state);
    }
    let mut boot = None;
    let mut silent = None;
    if let Some(resolved) = resolved {
        describe(&mut text, &resolved);
        silent = resolved.silent_console(config);
        boot = Some(resolved.boot);
    }
    let how = match &config.firmware {
        None => "directly, without firmware".to_owned(),
        Some(FirmwareConfig { bios: Some(bios), .. }) => {
            format!("by the firmware {}", bios.to_string_lossy())
        }
        Some(_) => "by the firmware in the flash chips".to_owned(),
    };
    let cpus = if config.cpus == 1 { "CPU" } else { "CPUs" };
    let (machine, memory) = (config.machine.name(), Size(config.memory));
    line(&mut text, "boots", &how);
    line(&mut text, "machine", &format!("{machine}, {memory} of memory, {} {cpus}", config.cpus));
    let (count, cards) = (request.virtio_disks(), request.cards.len());
    let others = usize::from(request.cds.is_some())
        + usize::from(config.rng.is_some())
        + config.virtio_serial.len();
    run::check_places(config.machine, count, others, cards)?;
    let mut disk_warnings = Vec::new();
    // All of them are open at once, as in a run.
    let disks = request.disks.iter().map(disks::examine).collect::<Result<Vec<_>, _>>()?;
    for (config, disk) in request.disks.iter().zip(disks.iter()) {
        line(&mut text, "disk", &described(config, disk));
        disk_warnings.extend(disk.warning.clone());
    }
    for cds in [&request.cds, &request.sata_cds] {
        cdrom::open(cds.as_deref(), &request.cd_net)?;
    }
    for cd in request.all_cds() {
        line(&mut text, "CD", &format!("'{}'", cdrom::shown(&cd.path).display()));
    }
    networks::check(&request.cards, location_server::open(request)?.as_ref())?;
    for card in &request.cards {
        line(&mut text, "network", &network(card));
    }
    if request.cards.is_empty() {
        line(&mut text, "network", "none");
    }
    if let Some(url) = request.boot.as_ref().and_then(|boot| boot.served_at.as_ref()) {
        line(&mut text, "serves", &format!("the location to the guest at {url}/{TREE}/"));
    }
    let flash = flash::open(&request.flash)?;
    for (config, chip) in request.flash.iter().zip(&flash) {
        let (size, access) = (Size(chip.file.backend.len()), access(config));
        line(&mut text, "flash", &format!("'{}' ({size}, {access})", config.path.display()));
    }
    let warnings = run::check(config, boot, flash)?;
    for warning in request.warnings.iter().chain(&silent).chain(&disk_warnings).chain(&warnings) {
        line(&mut text, "warning", warning);
    }
    Ok(text)
}

/// A disk: its image, and what the guest sees of it.
fn described(config: &DiskConfig, disk: &Planned) -> String {
    let new = if disk.is_new { "new, " } else { "" };
    let (path, size, access) = (config.path.display(), Size(disk.size), access(config));
    format!("'{path}' ({new}{size}, {}, {access})", disk.format.name())
}

/// A network card, and what it is connected to.
fn network(card: &CardConfig) -> String {
    let (mac, network) = (args::shown_mac(card.mac), &card.network);
    match network {
        NetworkConfig::User(config) => {
            let forwards = config.forwards.iter().map(|Forward { protocol, host, guest }| {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
                format!(", {protocol} port {host} leads to {guest}")
            });
            let restricted = if config.restrict { ", restricted" } else { "" };
            format!("card {mac} on a user network{restricted}{}", forwards.collect::<String>())
        }
        NetworkConfig::Tap(tap) => format!("card {mac} on the {tap}"),
        NetworkConfig::Stream(stream) if stream.is_server => {
            format!("card {mac}, reached by a connection to {}", stream.address)
        }
        NetworkConfig::Stream(stream) => format!("card {mac}, connected to {}", stream.address),
    }
}

/// What the guest may do to an image.
fn access(config: &DiskConfig) -> &'static str {
    match config.options {
        DiskOptions { read_only: true, .. } => "read-only",
        DiskOptions { snapshot: true, .. } => "writes are not kept",
        _ => "writable",
    }
}

/// What was found, where, and how it is booted: as lines.
#[must_use]
pub fn of(resolved: &Resolved) -> String {
    let mut text = String::new();
    describe(&mut text, resolved);
    text
}

/// The same as JSON, with the keys of `chukka fetch --format json`, `location`, `looked_for` and
/// `warning`.
#[must_use]
pub fn json(resolved: &Resolved) -> Value {
    let name = |file: &SourceFile| file.path().display().to_string();
    let found = resolved.found.as_ref();
    let attempts = found.map(|found| found.attempts.as_slice()).unwrap_or_default();
    let attempts =
        attempts.iter().map(|attempt| json!({ "what": attempt.what, "found": attempt.found }));
    json!({
        "location": found.map(|found| &found.place),
        "looked_for": attempts.collect::<Vec<_>>(),
        "found": found.map(|found| &found.rule),
        "kernel": name(resolved.boot.kernel.file()),
        "initrd": resolved.boot.initrd.as_ref().map(name),
        "args": String::from_utf8_lossy(&resolved.boot.cmdline),
        "warnings": resolved.warnings,
    })
}

fn describe(text: &mut String, resolved: &Resolved) {
    if let Some(found) = &resolved.found {
        describe_search(text, found);
    }
    let found = resolved.found.as_ref();
    let sum = |sum: Option<&Sum>| sum.map(checksum).unwrap_or_default();
    let kernel = &resolved.boot.kernel;
    let kind = match kernel.container.as_ref().map(|container| container.kind) {
        None => kernel.kind.name().to_owned(),
        Some(ContainerKind::Gzip) => format!("{} packed by gzip", kernel.kind.name()),
        Some(ContainerKind::UnifiedKernelImage) => {
            format!("{} of a unified kernel image", kernel.kind.name())
        }
    };
    let kernel_sum = sum(found.and_then(|found| found.kernel_sum.as_ref()));
    line(text, "kernel", &format!("{}, {kind}{kernel_sum}", file(kernel.file())));
    let initrds = found.map(|found| found.initrds.as_slice()).unwrap_or_default();
    match (&resolved.boot.initrd, initrds) {
        (None, _) => line(text, "initrd", "none"),
        (Some(initrd), []) => line(text, "initrd", &file(initrd)),
        (Some(initrd), [(.., verdict)]) => {
            line(text, "initrd", &format!("{}{}", file(initrd), sum(verdict.as_ref())));
        }
        (Some(initrd), several) => {
            line(text, "initrd", &file(initrd));
            for (name, bytes, verdict) in several {
                let verdict = sum(verdict.as_ref());
                line(text, "  of", &format!("'{name}' ({}){verdict}", Size(*bytes)));
            }
        }
    }
    for module in &resolved.boot.modules {
        line(text, "  module", &file(&module.file));
    }
    for (name, path, size) in &resolved.injected {
        line(text, "  with", &format!("/{name}, from '{path}' ({size} bytes)"));
    }
    let cmdline = String::from_utf8_lossy(&resolved.boot.cmdline);
    line(text, "command line", if cmdline.is_empty() { "(empty)" } else { &cmdline });
    for warning in &resolved.warnings {
        line(text, "warning", warning);
    }
}

fn describe_search(text: &mut String, found: &Found) {
    line(text, "location", &format!("'{}'", found.place));
    for attempt in &found.attempts {
        line(text, "  looked for", &format!("{}: {}", attempt.what, attempt.found));
    }
    line(text, "found", &found.rule);
    let release = format!("{} {}", found.release.family, found.release.version);
    let release = release.trim();
    let of = if release.is_empty() { String::new() } else { format!(", of {release}") };
    if found.installer != Installer::Other || !of.is_empty() {
        line(text, "starts", &format!("{}{of}", found.installer));
    }
}

fn file(source: &SourceFile) -> String {
    format!("'{}' ({})", source.path().display(), Size(source.len()))
}

fn checksum(sum: &Sum) -> String {
    let Sum { checked, by } = sum;
    match checked {
        Checked::Right(algorithm) => format!(", has the tree's {algorithm} ({by})"),
        Checked::Unknown(given) => format!(", not checked: the tree's sum is '{given}' ({by})"),
        // The search ends where one is.
        Checked::Wrong { .. } => String::new(),
    }
}

pub(crate) fn line(text: &mut String, heading: &str, what: &str) {
    let what = printable(what);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{heading:COLUMN$}{what}");
}
