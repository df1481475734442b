//! Somebody wants to write while something else goes on.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::native::changing::{Change, Initrd, Way};
use chukka_tests::native::{self, Output, Scratch, Start};

/// Has the guest print its initrd's sum and reboot for ever, while somebody opens the file for
/// writing again and again.
fn writers_and_reboots(way: Way, words: &[&str]) {
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let Some(start) = way.start("=A") else { return };
    let chukka = start.args(initrd.words()).args(words).start();
    chukka.wait_for(&initrd.sum);
    let (done, until) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(4));
    let opened = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut opened = 0;
            while !done.load(Ordering::Relaxed) {
                // It changes nothing: what the guest boots again is what it was.
                drop(File::options().write(true).open(&initrd.path).unwrap());
                opened += 1;
                thread::sleep(Duration::from_micros(50 * (opened % 64)));
            }
            opened
        });
        thread::sleep(until.saturating_duration_since(Instant::now()));
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    chukka.signal(libc::SIGTERM);
    let ended = chukka.wait();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{way:?}: {}", ended.stderr);
    let text = ended.text();
    let whole: Vec<&str> = text.split_inclusive(' ').filter(|sum| sum.ends_with(' ')).collect();
    assert!(whole.iter().all(|sum| **sum == initrd.sum), "{way:?}: {whole:?}");
    assert!(whole.len() > 5 && opened > 5, "{way:?}: {} boots, {opened} writers", whole.len());
}

#[test]
fn with_reboots_by_direct_boot_nothing_is_lost_or_hangs() {
    if native::kvm() {
        writers_and_reboots(Way::Direct, &["-smp", "4"]);
    }
}

#[test]
fn with_reboots_by_the_built_in_firmware_nothing_is_lost_or_hangs() {
    if native::kvm() {
        writers_and_reboots(Way::Builtin, &["-smp", "2"]);
    }
}

#[test]
fn with_cpus_that_all_run_the_guest_goes_on() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    // The others read from fw_cfg without end; one of them waits for the device that another has.
    let start = Start::guest("Q=*").args(initrd.words()).args(["-smp", "4"]);
    let chukka = start.start();
    chukka.wait_for(&initrd.sum);
    initrd.change(Change::Rewritten);
    // What was printed before is at most as much as there is room for on the way.
    let before = chukka.printed();
    while chukka.printed() < before + 20 * initrd.sum.len() {
        thread::sleep(Duration::from_millis(5));
    }
    chukka.signal(libc::SIGTERM);
    let ended = chukka.wait();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{}", ended.stderr);
    assert!(ended.text().starts_with(&initrd.sum.repeat(20)), "{ended:?}");
    assert!(!ended.text().replace(&initrd.sum, "").contains(' '), "no other sum");
}

#[test]
fn with_an_output_that_nobody_reads_the_writer_gets_through_and_no_byte_is_lost() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let fifo = scratch.fifo("fifo");
    let output = format!("file:{}", fifo.display());
    let start = Start::guest("F").args(initrd.words()).args(["-serial", &output]);
    let chukka = start.start();
    let mut reader = File::open(&fifo).unwrap();
    const LINE: &[u8] = b"for ever and ever and ever\r\n";
    let mut read = vec![0; LINE.len() * 1000];
    let mut position = 0;
    for _ in 0..3 {
        chukka.wait_until_it_waits_to_write();
        initrd.change(Change::Rewritten);
        // More than pipe and sink hold.
        for _ in 0..10 {
            reader.read_exact(&mut read).unwrap();
            let first = read.chunks(LINE.len()).position(|line| line != LINE);
            assert_eq!(first.map(|line| line + position), None, "a line is not whole");
            position += 1000;
        }
    }
    chukka.signal(libc::SIGTERM);
    assert_eq!(chukka.wait().signal(), Some(libc::SIGTERM));
}

#[test]
fn with_an_end_that_waits_for_a_reader_nobody_waits_for_the_initrd() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    // The guest has powered off some milliseconds before anybody tries to pass its letter on.
    let chukka = Start::guest("xP").args(initrd.words()).output(Output::Full).start();
    chukka.wait_until_it_waits_to_write();
    initrd.change(Change::Emptied);
    chukka.signal(libc::SIGTERM);
    assert_eq!(chukka.wait().signal(), Some(libc::SIGTERM));
}
