//! Files that change before, while or after the guest gets their bytes.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use guest_memory::{Engine, Leases, Source, TransferError};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::support::{MIB, PAGE, TempFile, bytes, mapping, memory, pattern, place};

fn host_error(ended: Result<(), TransferError>) -> (ErrorKind, String) {
    match ended {
        Err(TransferError::Host(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    }
}

fn engines() -> [Engine<GuestMemoryMmap>; 2] {
    [Engine::new(memory(MIB)), mapping(memory(MIB))]
}

/// Waits until the clock for file timestamps has advanced.
fn later() {
    thread::sleep(Duration::from_millis(20));
}

#[test]
fn a_file_truncated_before_the_transfer_is_an_error_that_says_where_it_ends() {
    for engine in engines() {
        let file = TempFile::new(&pattern(16 * PAGE));
        let range = file.range(0..16 * PAGE);
        file.write().set_len(5000).unwrap();
        for at in [0, 3] {
            let (kind, text) = host_error(place(&engine, &range, at));
            assert_eq!(kind, ErrorKind::UnexpectedEof);
            assert!(text.contains("it now ends at byte 5000, before byte 65536"), "{text}");
        }
    }
}

#[test]
fn a_file_modified_before_the_transfer_is_an_error() {
    for engine in engines() {
        let file = TempFile::new(&pattern(16 * PAGE));
        let range = file.range(0..16 * PAGE);
        later();
        file.write().write_all(b"other").unwrap();
        for at in [0, 3] {
            let (kind, text) = host_error(place(&engine, &range, at));
            assert_eq!(
                (kind, text.contains("modified after it was opened")),
                (ErrorKind::InvalidData, true),
                "{text}"
            );
        }
    }
}

#[test]
fn a_file_that_has_grown_is_an_error() {
    for engine in engines() {
        let file = TempFile::new(&pattern(16 * PAGE));
        let range = file.range(0..16 * PAGE);
        later();
        file.write().set_len(1 << 20).unwrap();
        assert_eq!(host_error(place(&engine, &range, 0)).0, ErrorKind::InvalidData);
    }
}

/// Runs `change` on the file while its pages are mapped, as another process would, and detaches
/// them.
fn change_while_mapped(change: impl FnOnce(&TempFile) + Send + 'static) {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    let range = file.range(0..64 * PAGE);
    place(&engine, &range, 0).unwrap();
    assert_eq!(engine.mapped_bytes(), 64 * PAGE);
    let (done, is_done) = mpsc::channel();
    later();
    let writer = thread::spawn(move || {
        change(&file);
        done.send(()).unwrap();
        file
    });
    let waits = is_done.recv_timeout(Duration::from_millis(100));
    assert!(waits.is_err(), "the writer has to wait until the pages are copied");
    assert!(bytes(&memory, 0, 64 * PAGE) == content);
    engine.detach(Leases::Wanted);
    let file = writer.join().unwrap();
    assert_ne!(std::fs::read(&file.0).unwrap(), content, "the file has not changed");
    assert!(bytes(&memory, 0, 64 * PAGE) == content, "the guest sees a change to the file");
    assert_eq!((engine.mapped_bytes(), engine.cut_file()), (0, None));
    // The next transfer, as after a reboot, fails.
    host_error(place(&engine, &range, 0));
}

#[test]
fn the_guest_does_not_see_a_mapped_file_truncated() {
    change_while_mapped(|file| file.write().set_len(10).unwrap());
}

#[test]
fn the_guest_does_not_see_a_mapped_file_emptied_by_a_shell() {
    change_while_mapped(|file| drop(File::create(&file.0).unwrap()));
}

#[test]
fn the_guest_does_not_see_a_mapped_file_rewritten() {
    change_while_mapped(|file| {
        let mut writer = file.write();
        writer.seek(SeekFrom::Start(9 * PAGE)).unwrap();
        writer.write_all(&[0xff; 8192]).unwrap();
    });
}

#[test]
fn replacing_or_deleting_a_mapped_file_does_not_block() {
    let content = pattern(64 * PAGE);
    let (file, new) = (TempFile::new(&content), TempFile::new(b"new"));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    let range = file.range(0..64 * PAGE);
    place(&engine, &range, 0).unwrap();
    std::fs::rename(&new.0, &file.0).unwrap();
    std::fs::remove_file(&file.0).unwrap();
    assert!(bytes(&memory, 0, 64 * PAGE) == content);
    place(&engine, &range, 0).unwrap();
    assert!(bytes(&memory, 0, 64 * PAGE) == content, "the engine uses the file that was opened");
}

#[test]
fn a_file_mapped_twice_is_copied_for_both() {
    let content = pattern(64 * PAGE);
    let file = TempFile::new(&content);
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    // Opened twice, as by -initrd and -fw_cfg file=: one lease each.
    let ranges = [file.range(0..64 * PAGE), file.range(0..32 * PAGE)];
    place(&engine, &ranges[0], 0).unwrap();
    place(&engine, &ranges[1], 64 * PAGE).unwrap();
    assert_eq!(engine.mapped_bytes(), 96 * PAGE);
    later();
    let path = file.0.clone();
    let writer = thread::spawn(move || std::fs::write(path, b"new").unwrap());
    while engine.mapped_bytes() > 0 {
        engine.detach(Leases::Wanted);
        thread::sleep(Duration::from_millis(5));
    }
    writer.join().unwrap();
    assert!(bytes(&memory, 0, 64 * PAGE) == content);
    assert!(bytes(&memory, 64 * PAGE, 32 * PAGE) == content[..32 * 4096]);
}

/// Opens a file for writing, unless that has to wait for a lease.
fn open_at_once(file: &TempFile) -> Result<(), ErrorKind> {
    let opened = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&file.0);
    opened.map(drop).map_err(|error| error.kind())
}

#[test]
fn writers_are_not_blocked_after_the_guest_has_ended() {
    let file = TempFile::new(&pattern(64 * PAGE));
    let engine = mapping(memory(MIB));
    place(&engine, &file.range(0..64 * PAGE), 0).unwrap();
    engine.release();
    assert_eq!(open_at_once(&file), Ok(()));
    assert_eq!(engine.mapped_bytes(), 64 * PAGE, "nothing was copied for that");
}

#[test]
fn writers_are_not_blocked_by_a_file_of_which_nothing_is_mapped() {
    let file = TempFile::new(&pattern(64 * PAGE));
    let engine = mapping(memory(MIB));
    let range = file.range(0..64 * PAGE);
    place(&engine, &range, 3).unwrap();
    assert_eq!(engine.mapped_bytes(), 0, "its pages do not fit the guest's");
    assert_eq!(open_at_once(&file), Ok(()));
    place(&engine, &range, MIB - PAGE).unwrap_err();
    engine.transfer(Source::Bytes(&[0; 1 << 16]), GuestAddress(MIB - (1 << 16))).unwrap();
    assert_eq!(open_at_once(&file), Ok(()), "what was mapped before the hole is overwritten");
}

/// A hole in guest memory is the guest's mistake, whatever happened to the file.
#[test]
fn a_transfer_to_a_hole_is_the_guest_s_error_though_the_file_was_modified() {
    let file = TempFile::new(&pattern(16 * PAGE));
    let range = file.range(0..16 * PAGE);
    later();
    file.write().write_all(b"other").unwrap();
    let copying = Engine::new(memory(MIB));
    for at in [MIB, MIB - PAGE] {
        let ended = place(&copying, &range, at);
        assert!(matches!(ended, Err(TransferError::Guest)), "{ended:?} at {at:#x}");
    }
}

#[test]
fn a_range_reads_the_bytes_of_its_file_and_notices_changes() {
    let content = pattern(4 * PAGE);
    let file = TempFile::new(&content);
    let range = file.range(100..3 * PAGE);
    let mut bytes = [0; 500];
    range.read_at(PAGE, &mut bytes).unwrap();
    assert_eq!(bytes, content[4196..4696]);
    later();
    file.write().set_len(100 + PAGE + 499).unwrap();
    let error = range.read_at(PAGE, &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    let error = range.read_at(0, &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let error = range.read_at(2 * PAGE, &mut bytes[..1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
}

#[test]
fn a_lease_lasts_as_long_as_pages_of_its_file_are_mapped() {
    let files = [16, 32, 8].map(|pages| TempFile::new(&pattern(pages * PAGE)));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    for (file, (pages, at)) in files.iter().zip([(16, 0), (32, 64 * PAGE), (8, 128 * PAGE)]) {
        place(&engine, &file.range(0..pages * PAGE), at).unwrap();
    }
    engine.transfer(Source::Bytes(&[0; 16 * 4096]), GuestAddress(0)).unwrap();
    assert_eq!(open_at_once(&files[0]), Ok(()), "all of its pages are overwritten");
    assert_eq!(engine.mapped_bytes(), 40 * PAGE);
    assert_eq!(open_at_once(&files[1]), Err(ErrorKind::WouldBlock));
    engine.detach(Leases::Wanted);
    assert_eq!(engine.mapped_bytes(), 8 * PAGE, "nobody waits for the third file");
    assert_eq!(open_at_once(&files[1]), Ok(()));
    assert!(bytes(&memory, 64 * PAGE, 32 * PAGE) == pattern(32 * PAGE));
    assert_eq!(open_at_once(&files[2]), Err(ErrorKind::WouldBlock));
}
