//! The guest of `bench-disk` reads and writes the disk in chukka, and what a request costs does not
//! grow unseen.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use chukka_benches::disk::{Disk, Machine, Run, Vmm, Work};
use chukka_tests::{binaries, native};

/// Bytes of the disk.
const DISK: u32 = 4 << 20;

const READS: Work = Work { depth: 32, requests: 4000, bytes: 4096, writes: false, polls: true };

fn run(disk: &Disk, machine: Machine, work: Work) -> Run {
    let chukka = binaries::chukka().unwrap();
    let vmm = Vmm { name: "chukka".into(), program: chukka, is_qemu: false };
    disk.run(&vmm, machine, work).unwrap()
}

#[test]
fn a_busy_disk_is_notified_and_interrupts_less_than_once_in_ten_requests() {
    if !native::kvm() {
        return;
    }
    let disk = Disk::new(DISK).unwrap();
    for machine in Machine::ALL {
        let polling = run(&disk, machine, READS);
        assert!(polling.notifications * 10 < u64::from(READS.requests), "{machine:?}: {polling:?}");
        assert_eq!(polling.interrupts, 0, "{machine:?}: {polling:?}");
        let waiting = run(&disk, machine, Work { polls: false, requests: 600, ..READS });
        let exits = waiting.notifications + waiting.interrupts;
        assert!(exits * 10 < 600, "{machine:?}: {waiting:?}");
    }
}

#[test]
fn a_request_alone_is_at_most_one_notification_and_one_interrupt() {
    if !native::kvm() {
        return;
    }
    let disk = Disk::new(DISK).unwrap();
    for machine in Machine::ALL {
        let alone = Work { depth: 1, requests: 100, polls: false, ..READS };
        let run = run(&disk, machine, alone);
        let most = u64::from(alone.requests);
        assert!((1..=most).contains(&run.notifications), "{machine:?}: {run:?}");
        assert!((1..=most).contains(&run.interrupts), "{machine:?}: {run:?}");
    }
}

#[test]
fn large_requests_read_and_write_the_right_sectors() {
    if !native::kvm() {
        return;
    }
    for machine in Machine::ALL {
        let disk = Disk::new(DISK).unwrap();
        let work = Work { bytes: 128 << 10, requests: 64, ..READS };
        run(&disk, machine, work);
        let writes = Work { writes: true, ..work };
        assert!(!disk.is_written(writes).unwrap());
        run(&disk, machine, writes);
        assert!(disk.is_written(writes).unwrap(), "{machine:?}");
    }
}

#[test]
fn a_disk_with_another_content_is_an_error() {
    if !native::kvm() {
        return;
    }
    let disk = Disk::new(DISK).unwrap();
    let writes = Work { writes: true, requests: 32, ..READS };
    run(&disk, Machine::Microvm, writes);
    let chukka = binaries::chukka().unwrap();
    let vmm = Vmm { name: "chukka".into(), program: chukka, is_qemu: false };
    let error = disk.run(&vmm, Machine::Microvm, READS).unwrap_err().to_string();
    assert!(error.contains("a sector has the wrong content"), "{error}");
}
