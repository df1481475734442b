//! Runs a command in the lab: `make lab CMD='chukka -kernel …'`.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chukka_tests::guest::{self, MARKER};
use chukka_tests::job::{Chunk, Job, Report, Status, Stream};
use chukka_tests::lab::{self, Lab};
use chukka_tests::{binaries, pack};

const HELP: &str = "\
usage: lab [FLAG...] COMMAND

Runs COMMAND, a line of shell, in an emulated machine with a real KVM. Every file it names is available there under
the same name, and `chukka` is the release build of this workspace. Ends with COMMAND's exit status.

In target/ there are assets/cloud/vmlinuz, assets/cloud/vmlinux and lab/initrd.cpio, whose first process takes orders from
the kernel's command line (tests/src/guest/init.sh).

  --icount         time counts instructions: the same number on every run, but nothing is shown until the end
  --peer-qemu      bring qemu-system-x86_64 along (done without asking where COMMAND names it)
  --timeout SECS   end it after this time (default 120)
  --memory MIB     memory of the emulated machine (default 7168, or what the host has)
  --mark TEXT      report when this was printed (default: when the test guest reaches userspace)
  --json           print the whole report as JSON instead of the output";

struct Words {
    icount: bool,
    peer: bool,
    json: bool,
    timeout: u64,
    memory: u32,
    mark: String,
    command: String,
}

fn main() -> ExitCode {
    match words().and_then(|words| run(&words)) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(125)
        }
    }
}

fn words() -> Result<Words, Box<dyn Error>> {
    let mut words = Words {
        icount: false,
        peer: false,
        json: false,
        timeout: 120,
        memory: lab::usual_memory_mib(),
        mark: MARKER.into(),
        command: String::new(),
    };
    let mut args = std::env::args().skip(1);
    let mut command = Vec::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--icount" => words.icount = true,
            "--peer-qemu" => words.peer = true,
            "--json" => words.json = true,
            "--timeout" => words.timeout = value()?.parse()?,
            "--memory" => words.memory = value()?.parse()?,
            "--mark" => words.mark = value()?,
            "--help" | "-h" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            "--" => command.extend(args.by_ref()),
            _ if arg.starts_with("--") => return Err(format!("unknown flag {arg}\n{HELP}").into()),
            _ => command.extend([arg].into_iter().chain(args.by_ref())),
        }
    }
    words.command = command.join(" ");
    if words.command.trim().is_empty() {
        return Err(
            format!("no command given (hint: make lab CMD='chukka -kernel …')\n{HELP}").into()
        );
    }
    Ok(words)
}

fn run(words: &Words) -> Result<ExitCode, Box<dyn Error>> {
    let job = job(words)?;
    let begin = Instant::now();
    let report = if words.icount {
        let report = lab::icount(&[job], words.memory)?.into_iter().next();
        let report = report.ok_or("the lab gave no report")?;
        if !words.json {
            report.output.iter().for_each(show);
        }
        report
    } else {
        let lab = Lab::start(words.memory)?;
        eprintln!("lab: up after {:.1} s", begin.elapsed().as_secs_f64());
        lab.run(&job, &mut |chunk| {
            if !words.json {
                show(chunk);
            }
        })?
    };
    if words.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    eprintln!("lab: {}", verdict(&report, words.icount));
    Ok(match report.status {
        Status::Exit(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Status::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
        Status::Timeout => ExitCode::from(124),
        Status::NotStarted(_) => ExitCode::from(125),
    })
}

fn job(words: &Words) -> Result<Job, Box<dyn Error>> {
    // There from the first time on, for COMMAND to name.
    guest::initrd()?;
    let folder = std::env::current_dir()?;
    let mut job = Job::shell(&words.command).timeout_secs(words.timeout).mark(&words.mark);
    job.folder = Some(folder.to_string_lossy().into_owned());
    job.needs = pack::files_in_line(&words.command, &folder);
    let mut path = String::from("/bin:/sbin:/usr/bin:/usr/sbin");
    let names = |program: &str| {
        words
            .command
            .split(|c: char| !(c.is_alphanumeric() || "-_".contains(c)))
            .any(|word| word == program)
    };
    if names("chukka") {
        let chukka = binaries::chukka()?;
        let folder = chukka.parent().unwrap_or(Path::new("/"));
        path = format!("{}:{path}", folder.display());
        job.needs.push(chukka);
    }
    if words.peer || names("qemu-system-x86_64") {
        job.needs
            .push(pack::which("qemu-system-x86_64").ok_or("qemu-system-x86_64 is not installed")?);
    }
    job.env.insert("PATH".into(), path);
    Ok(job)
}

fn show(chunk: &Chunk) {
    // The job goes on if the output is closed.
    drop(match chunk.stream {
        Stream::Out => io::stdout().write_all(&chunk.bytes).and_then(|()| io::stdout().flush()),
        Stream::Err => io::stderr().write_all(&chunk.bytes),
    });
}

fn verdict(report: &Report, icount: bool) -> String {
    let time = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let exits = |counters: &std::collections::BTreeMap<String, u64>| {
        counters.get("exits").copied().unwrap_or(0)
    };
    let kind = if icount { " (counted)" } else { "" };
    let mut line = format!(
        "{} after {}{kind}, {} VM exits",
        report.status,
        time(report.elapsed),
        exits(&report.counters)
    );
    for mark in &report.marks {
        line += &format!(
            "; {:?} after {}, {} VM exits",
            mark.name,
            time(Duration::from_nanos(mark.ns)),
            exits(&mark.counters)
        );
    }
    line + &format!("; at most {:.1} MiB resident", kib_to_mib(report.max_rss_kib))
}

#[expect(clippy::cast_precision_loss, reason = "a size for a person to read")]
fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
