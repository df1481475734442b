//! `make demo`: boots Debian's cloud kernel in chukka, with its console on this terminal, directly
//! where this host's KVM runs it, else in the lab.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chukka_tests::guest::MARKER;
use chukka_tests::job::{Chunk, Report, Status, Stream};
use chukka_tests::runner::{Guest, HostKvm, Runner, host_kvm};

fn main() -> ExitCode {
    match demo() {
        Ok(report) => {
            println!("demo: {}", verdict(&report));
            if went_well(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<Report, Box<dyn Error>> {
    let job = Guest::new().verbose().timeout_secs(300).job()?;
    if let HostKvm::Unusable(why) = host_kvm()? {
        println!("demo: {why}; so chukka runs in the lab, an emulated machine with a genuine KVM");
    }
    let begin = Instant::now();
    let runner = Runner::start()?;
    if runner.is_lab() {
        println!("demo: the lab is up after {:.1} s", begin.elapsed().as_secs_f64());
    }
    println!("demo: {}", job.line());
    Ok(runner.run_job(&job, &mut show)?)
}

fn show(chunk: &Chunk) {
    // The guest goes on if the output is closed.
    drop(match chunk.stream {
        Stream::Out => io::stdout().write_all(&chunk.bytes).and_then(|()| io::stdout().flush()),
        Stream::Err => io::stderr().write_all(&chunk.bytes),
    });
}

fn went_well(report: &Report) -> bool {
    report.status == Status::Exit(0) && report.mark(MARKER).is_some()
}

/// How long the boot took and how the guest ended, in one line.
fn verdict(report: &Report) -> String {
    let boot = report.mark(MARKER).map_or_else(
        || "the guest did not reach userspace".into(),
        |mark| format!("userspace after {:.2} s", Duration::from_nanos(mark.ns).as_secs_f64()),
    );
    let end = match &report.status {
        Status::Exit(0) => "the guest powered off".into(),
        status => format!("chukka: {status}"),
    };
    format!("{boot}; {end} (after {:.2} s)", report.elapsed.as_secs_f64())
}
