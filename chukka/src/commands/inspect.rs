//! `chukka inspect`: what a kernel file is, as booting it would find, and by which ways it boots.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use firmware::KernelImage;
use firmware::image::{
    BzImage, Class, ContainerKind, Elf, KernelKind, LinuxEntry, Multiboot, Segment, compression,
};
use guest_memory::hint::Hint;
use serde_json::{Value, json};
use vmm::config::Size;
use vmm::run;

use super::{answer, failed};
use crate::args::{self, Invocation};
use crate::error::RunError;
use crate::plan::line;
use crate::report::{self, with_sources};
use crate::request::Request;
use crate::resolve::{Purpose, Resolved};

/// The ways to boot a kernel, and the options for each. The memory is more than any kernel needs.
const WAYS: [(&str, &[&str]); 4] = [
    ("direct", &[]),
    ("builtin", &["-bios", "builtin"]),
    ("qboot", &["-bios", "qboot"]),
    ("seabios", &["-bios", "seabios"]),
];
const MEMORY: &str = "1G";

const AFTER: &str = "\
FILE is all that -kernel takes, also a URL. A file that is not a kernel is refused as -kernel refuses it, with status 125.";

/// `chukka inspect FILE [--json]`.
pub(super) fn command() -> Command {
    let file = Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(ValueParser::os_string())
        .help("The kernel");
    Command::new("chukka inspect")
        .bin_name("chukka inspect")
        .about("Say what a kernel file is, and how it boots")
        .after_help(AFTER)
        .arg(file)
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let file = matches.get_one::<OsString>("file").cloned().unwrap_or_default();
    match inspect(&file) {
        Ok(report) if matches.get_flag("json") => answer(&report::json(&report.json())),
        Ok(report) => answer(&report.text()),
        Err(error) => failed(&error),
    }
}

/// What was found.
struct Report {
    kernel: KernelImage,
    initrd: Option<(PathBuf, u64)>,
    cmdline: String,
    compression: Option<&'static str>,
    ways: Vec<Way>,
}

/// A way to boot it.
struct Way {
    by: &'static str,
    /// How the kernel is entered, or why it cannot be.
    entry: Result<&'static str, (String, Option<String>)>,
}

/// The request to boot a kernel, as the command line makes it.
fn request(file: &OsString, words: &[&str]) -> Result<Box<Request>, RunError> {
    let words = words.iter().chain(&["-m", MEMORY, "-kernel"]).map(OsString::from);
    match args::parse(words.chain([file.clone()]))? {
        Invocation::Boot(request) | Invocation::DryRun(request) => Ok(request),
        Invocation::Print(_) => Err(args::ArgsError::NoKernel.into()),
    }
}

fn open(request: &Request) -> Result<Resolved, RunError> {
    let source = request.boot.as_ref().ok_or(args::ArgsError::NoKernel)?;
    Resolved::open(source, Purpose::Guest(request.vm.memory), request.confinement)
}

fn inspect(file: &OsString) -> Result<Report, RunError> {
    let resolved = open(&*request(file, &[])?)?;
    let boot = resolved.boot;
    let compression = match &boot.kernel.kind {
        KernelKind::BzImage(image) => compression(image, &boot.kernel.source).ok().flatten(),
        KernelKind::Elf(_) | KernelKind::Multiboot(_) => None,
    };
    let mut ways = Vec::new();
    for (by, words) in WAYS {
        let checked = request(file, words).and_then(|request| {
            let boot = open(&request)?.boot;
            Ok(run::check(&request.vm, Some(boot), Vec::new())?)
        });
        let entry = match checked {
            Ok(_) => Ok(entry(&boot.kernel.kind, by)),
            Err(error) => Err((with_sources(&error), error.hint().map(Into::into))),
        };
        ways.push(Way { by, entry });
    }
    Ok(Report {
        initrd: boot.initrd.as_ref().map(|initrd| (initrd.path().to_owned(), initrd.len())),
        cmdline: String::from_utf8_lossy(&boot.cmdline).into_owned(),
        kernel: boot.kernel,
        compression,
        ways,
    })
}

/// The entry point by which a kernel boots: docs/kernels.md.
fn entry(kind: &KernelKind, by: &str) -> &'static str {
    match (kind, by) {
        (KernelKind::BzImage(image), "direct") => match image.direct_entry() {
            Ok(LinuxEntry::Long) => "64-bit entry point",
            Ok(LinuxEntry::Protected) | Err(_) => "32-bit entry point",
        },
        (KernelKind::BzImage(_), "builtin") => "32-bit entry point",
        (KernelKind::BzImage(_), _) => "real-mode entry point",
        (KernelKind::Elf(elf), _) if elf.pvh_entry.is_some() => "PVH entry point",
        (KernelKind::Elf(_), _) => "64-bit entry point",
        (KernelKind::Multiboot(_), _) => "multiboot entry point",
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let file = self.kernel.file();
        let shown = format!("'{}' ({})", file.path().display(), Size(file.len()));
        line(&mut text, "file", &shown);
        if let Some(container) = &self.kernel.container {
            let (kind, unpacked) = (container_kind(container.kind), Size(self.kernel.source.len()));
            line(&mut text, "container", &format!("{kind}; the kernel in it has {unpacked}"));
            for (name, size) in &container.sections {
                line(&mut text, "  section", &format!("{name} ({})", Size(*size)));
            }
        }
        line(&mut text, "kind", self.kernel.kind.name());
        for (heading, what) in self.facts() {
            line(&mut text, heading, &what);
        }
        if let Some((path, size)) = &self.initrd {
            line(&mut text, "initrd", &format!("'{}' ({})", path.display(), Size(*size)));
        }
        if !self.cmdline.is_empty() {
            line(&mut text, "command line", &self.cmdline);
        }
        for Way { by, entry } in &self.ways {
            let what = match entry {
                Ok(entry) => format!("boots by its {entry}"),
                Err((why, _)) => format!("no: {why}"),
            };
            let heading = if *by == "direct" { *by } else { &format!("-bios {by}") };
            line(&mut text, heading, &what);
        }
        text
    }

    fn json(&self) -> Value {
        let file = self.kernel.file();
        let container = self.kernel.container.as_ref().map(|container| {
            let sections = container.sections.iter();
            let sections = sections.map(|(name, size)| json!({ "name": name, "size": size }));
            json!({
                "kind": container_kind(container.kind),
                "sections": sections.collect::<Vec<_>>(),
            })
        });
        let ways = self.ways.iter().map(|Way { by, entry }| {
            let why = entry.as_ref().err();
            json!({
                "by": by,
                "entry": entry.as_ref().ok(),
                "error": why.map(|(text, _)| text),
                "hint": why.and_then(|(_, hint)| hint.as_ref()),
            })
        });
        let facts = match &self.kernel.kind {
            KernelKind::BzImage(image) => bzimage_json(image, self.compression),
            KernelKind::Elf(elf) => elf_json(elf),
            KernelKind::Multiboot(kernel) => multiboot_json(kernel),
        };
        json!({
            "file": file.path().display().to_string(),
            "size": file.len(),
            "container": container,
            "kind": self.kernel.kind.name(),
            "kernel_size": self.kernel.source.len(),
            "kernel": facts,
            "initrd_size": self.initrd.as_ref().map(|(_, size)| size),
            "command_line": self.cmdline,
            "boots": ways.collect::<Vec<_>>(),
        })
    }

    /// What is particular to its kind: headings and what to say.
    fn facts(&self) -> Vec<(&'static str, String)> {
        match &self.kernel.kind {
            KernelKind::BzImage(image) => {
                let protocol = protocol(image);
                let is_64_bit = image.has_64_bit_entry();
                let entries =
                    if is_64_bit { "64 bits, 32 bits, real mode" } else { "32 bits, real mode" };
                let entries =
                    if image.check_32_bit_entry().is_ok() { entries } else { "real mode" };
                vec![
                    ("version", image.version_text().to_owned()),
                    ("protocol", protocol),
                    ("compression", self.compression.unwrap_or("unknown").to_owned()),
                    ("entries", entries.to_owned()),
                    ("loaded at", format!("{:#x}", image.load_address())),
                    ("needs", format!("{} from there (init_size)", Size(image.init_size()))),
                    ("initrd below", format!("{:#x}", image.initrd_limit())),
                    ("command line", format!("up to {} bytes", image.cmdline_size())),
                ]
            }
            KernelKind::Elf(elf) => {
                let notes = match elf.pvh_entry {
                    Some(at) => format!("PVH entry point at {at:#x}"),
                    None => "none of PVH".into(),
                };
                let mut facts = vec![
                    ("entry", format!("{:#x}, {}", elf.entry, class(elf.class))),
                    ("notes", notes),
                ];
                facts.extend(elf.segments.iter().map(|part| ("segment", segment(part))));
                facts
            }
            KernelKind::Multiboot(kernel) => {
                let mut facts = vec![("entry", format!("{:#x}, 32 bits", kernel.entry))];
                facts.extend(kernel.segments.iter().map(|part| ("segment", segment(part))));
                facts
            }
        }
    }
}

fn container_kind(kind: ContainerKind) -> &'static str {
    match kind {
        ContainerKind::Gzip => "gzip data",
        ContainerKind::UnifiedKernelImage => "unified kernel image",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Bits32 => "32 bits",
        Class::Bits64 => "64 bits",
    }
}

/// A version of Linux's boot protocol, as boot.rst writes it.
fn protocol(image: &BzImage) -> String {
    format!("{}.{:02}", image.protocol() >> 8, image.protocol() & 0xff)
}

fn segment(part: &Segment) -> String {
    let (range, size) = (part.range(), Size(part.file_size));
    format!("{:#x} to {:#x}, {size} of it in the file", range.start, range.end)
}

fn bzimage_json(image: &BzImage, compression: Option<&str>) -> Value {
    json!({
        "version": image.version_text(),
        "protocol": protocol(image),
        "compression": compression,
        "entry_64_bit": image.has_64_bit_entry(),
        "entry_32_bit": image.check_32_bit_entry().is_ok(),
        "load_address": image.load_address(),
        "init_size": image.init_size(),
        "initrd_limit": image.initrd_limit(),
        "command_line_limit": image.cmdline_size(),
    })
}

fn elf_json(elf: &Elf) -> Value {
    json!({
        "class": class(elf.class),
        "entry": elf.entry,
        "pvh_entry": elf.pvh_entry,
        "segments": segments_json(&elf.segments),
    })
}

fn multiboot_json(kernel: &Multiboot) -> Value {
    json!({
        "entry": kernel.entry,
        "relocatable": kernel.relocatable,
        "segments": segments_json(&kernel.segments),
    })
}

fn segments_json(segments: &[Segment]) -> Value {
    let each = segments.iter().map(|part| {
        json!({ "address": part.addr, "file_size": part.file_size, "memory_size": part.mem_size })
    });
    each.collect()
}
