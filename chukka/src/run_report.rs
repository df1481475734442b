//! `-json`: how a run ended, for programs. docs/exit-codes.md has the schema.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use devices::disk::{self, Disk};
use devices::virtio::net;
use serde_json::{Value, json};
use vmm::kvm::examine::CpuReport;
use vmm::outcome::Outcome;
use vmm::run::record::RunRecord;

use crate::args;
use crate::own_file::Kind;
use crate::report;
use crate::request::{CardConfig, DiskConfig, Request};
use crate::resolve::Resolved;

/// The report on one run. It is written once, whatever way the run ends.
#[derive(Debug, Default)]
pub struct RunReport {
    to: Option<(PathBuf, Option<File>)>,
    ran: Value,
    record: Option<RunRecord>,
    disks: Value,
    cards: Value,
}

/// How chukka ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict<'a> {
    /// How the guest ended; `None` if it did not start.
    pub outcome: Option<&'a Outcome>,
    /// The exit status; `None` if chukka dies of a signal.
    pub status: Option<u8>,
    /// That signal.
    pub signal: Option<i32>,
    /// What the user is told.
    pub message: &'a str,
    /// What the user can do.
    pub hint: Option<&'a str>,
    /// The time since chukka was started.
    pub elapsed: Duration,
}

impl RunReport {
    /// Creates the file that `args` asks for, if any. A report that cannot be written is an error
    /// before the guest starts: it is reported, and there is no value.
    #[must_use]
    pub fn open(args: &[OsString]) -> Option<Self> {
        let (path, error) = match Self::try_open(args) {
            Ok(report) => return Some(report),
            Err(failed) => failed,
        };
        let text = format!("Cannot create '{}' for -json: {error}", path.display());
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "-json FILE writes to FILE: name a new one",
            _ => "check that its directory exists and is writable",
        };
        report::message(&text, Some(hint));
        None
    }

    fn try_open(args: &[OsString]) -> Result<Self, (PathBuf, io::Error)> {
        let Some(path) = args::json_asked_for(args) else { return Ok(Self::default()) };
        let file = match path.as_os_str() {
            name if name == OsStr::new("-") => None,
            name => Some(
                REPORT.create(Path::new(name)).map_err(|error| (PathBuf::from(&path), error))?,
            ),
        };
        Ok(Self { to: Some((path.into(), file)), ..Self::default() })
    }

    /// Whether one was asked for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.to.is_some()
    }

    /// Notes what is run.
    pub fn set_ran(&mut self, request: &Request, resolved: Option<&Resolved>) {
        if !self.is_wanted() {
            return;
        }
        let text = |path: &Path| path.display().to_string();
        let vm = &request.vm;
        let firmware = vm.firmware.as_ref().map(|firmware| match &firmware.bios {
            Some(bios) => bios.to_string_lossy().into_owned(),
            None => "flash".into(),
        });
        let boot = resolved.map(|resolved| &resolved.boot);
        let disks = request.disks.iter().chain(request.all_cds());
        self.ran = json!({
            "name": vm.name,
            "kernel": boot.map(|boot| text(boot.kernel.file().path())),
            "kernel_kind": boot.map(|boot| boot.kernel.kind.name()),
            "initrd": boot.and_then(|boot| boot.initrd.as_ref()).map(|file| text(file.path())),
            "command_line": boot.map(|boot| String::from_utf8_lossy(&boot.cmdline).into_owned()),
            "firmware": firmware,
            "machine": vm.machine.name(),
            "memory": vm.memory,
            "cpus": vm.cpus,
            "disks": disks.map(|disk| text(&disk.path)).collect::<Vec<_>>(),
            "cards": request.cards.iter().map(|card| args::shown_mac(card.mac)).collect::<Vec<_>>(),
        });
    }

    /// Notes what is known of the guest.
    pub fn set_record(&mut self, record: RunRecord) {
        self.record = Some(record);
    }

    /// Notes what the guest's disks and network cards did, in the order of `request`.
    pub fn set_counts(&mut self, request: &Request, disks: &[Arc<Disk>], cards: &[net::Counts]) {
        self.disks =
            request.disks.iter().zip(disks).map(|(config, disk)| of_disk(config, disk)).collect();
        self.cards = request
            .cards
            .iter()
            .zip(cards)
            .map(|(config, counts)| of_card(config, counts))
            .collect();
    }

    /// Writes the report, if it is wanted.
    pub fn write(&mut self, name: Option<&str>, verdict: &Verdict<'_>) {
        let Some((path, file)) = self.to.take() else { return };
        let text = report::json(&self.value(name, verdict));
        let Some(mut file) = file else { return report::lines(&text) };
        if let Err(error) = file.write_all(text.as_bytes()) {
            report::message(&format!("Cannot write '{}': {error}", path.display()), None);
        }
    }

    fn value(&self, name: Option<&str>, verdict: &Verdict<'_>) -> Value {
        let outcome = verdict.outcome;
        let record = self.record.as_ref();
        let then = match outcome {
            Some(Outcome::Problem { then, .. } | Outcome::Mute(then)) => Some(then.name()),
            _ => None,
        };
        let cpus = record.map(|record| record.cpus.as_slice()).unwrap_or_default();
        let exits = record.and_then(|record| record.exits);
        json!({
            "chukka": env!("CARGO_PKG_VERSION"),
            "outcome": outcome.map(Outcome::name).or(name).unwrap_or("refused"),
            "then": then,
            "status": verdict.status,
            "signal": verdict.signal,
            "message": verdict.message,
            "hint": verdict.hint,
            "evidence": {
                "line": outcome.and_then(Outcome::line),
                "cpus": cpus.iter().map(cpu).collect::<Vec<_>>(),
            },
            "seconds": seconds(verdict.elapsed),
            "guest_seconds": record.map(|record| seconds(record.guest_time)),
            "boots": record.map_or(0, |record| record.boots),
            "printed": record.is_some_and(|record| record.has_printed),
            "exits": exits.map(|exits| json!({
                "port_reads": exits.port_reads,
                "port_writes": exits.port_writes,
                "coalesced_writes": exits.coalesced_writes,
                "memory_reads": exits.memory_reads,
                "memory_writes": exits.memory_writes,
            })),
            "disks": self.disks,
            "cards": self.cards,
            "ran": self.ran,
        })
    }
}

/// The file of a report.
const REPORT: Kind = Kind {
    name: "a report of chukka's",
    length: BEGINNING.len(),
    is_own: |beginning| beginning == BEGINNING,
};

/// How a report begins.
const BEGINNING: &[u8] = b"{\n";

/// To the microsecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// What a disk did, by the names of QEMU's `query-blockstats` (qapi/block-core.json).
fn of_disk(config: &DiskConfig, disk: &Disk) -> Value {
    let disk::Counts { read, write, flush, discard } = disk.counts();
    json!({
        "file": config.path.display().to_string(),
        "rd_bytes": read.bytes,
        "wr_bytes": write.bytes,
        "unmap_bytes": discard.bytes,
        "rd_operations": read.done,
        "wr_operations": write.done,
        "flush_operations": flush.done,
        "unmap_operations": discard.done,
        "failed_rd_operations": read.failed,
        "failed_wr_operations": write.failed,
        "failed_flush_operations": flush.failed,
        "failed_unmap_operations": discard.failed,
    })
}

/// What a network card did, by the names of Linux' statistics of an interface (`struct
/// rtnl_link_stats64`, include/uapi/linux/if_link.h).
fn of_card(config: &CardConfig, counts: &net::Counts) -> Value {
    let net::Counts { received, transmitted } = counts;
    json!({
        "mac": args::shown_mac(config.mac),
        "rx_packets": received.done,
        "rx_bytes": received.bytes,
        "rx_dropped": received.failed,
        "tx_packets": transmitted.done,
        "tx_bytes": transmitted.bytes,
        "tx_dropped": transmitted.failed,
    })
}

fn cpu(report: &CpuReport) -> Value {
    let at = &report.at;
    let is_known = at.mode != 0;
    let bytes = at.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
    json!({
        "cpu": at.cpu,
        "rip": is_known.then(|| format!("{:#x}", at.rip)),
        "mode": is_known.then_some(at.mode),
        "instruction": bytes.join(" "),
        "interrupts": report.interrupts,
        "activity": report.sentence(),
        "last_exits": report.exits,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_report_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        REPORT.create(&path).unwrap().write_all(b"{\n  1\n}\n").unwrap();
        REPORT.create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        REPORT.create(&path).unwrap();
        fs::write(&path, b"MZ a kernel").unwrap();
        assert_eq!(REPORT.create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"MZ a kernel");
        assert!(REPORT.create(Path::new("/dev/null")).is_ok());
    }
}
