use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use storage::{FileError, TreePath};

/// The idle timeout of tests that run into it.
const QUICK: Duration = Duration::from_millis(500);
/// An idle timeout that no answering server runs into, even on a busy host.
const PATIENT: Duration = Duration::from_secs(30);
/// What takes longer is not bounded by the timeout.
const IN_TIME: Duration = Duration::from_secs(20);

/// The bytes of the one file that the server below has.
const BYTES: &[u8] = b"0123456789";

/// What a server makes of an answer to a procedure of NFS; procedure 100 is MNT.
type Lie = fn(u32, Vec<u8>) -> Vec<u8>;

/// A server of a directory that has a file of any name. Its answers go through `lie` on their way:
/// a whole record, its length in front. What is empty hangs up.
fn fake(lie: Lie) -> Box<dyn FileTree> {
    fake_with(lie, PATIENT)
}

fn fake_with(lie: Lie, idle: Duration) -> Box<dyn FileTree> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for taken in listener.incoming() {
            let mut line = taken.unwrap();
            thread::spawn(move || while answer(&mut line, lie).is_some() {});
        }
    });
    let net = Net { idle, retries: 1, ..Net::default() };
    tree(&format!("127.0.0.1:{port}"), "/srv/", &net).unwrap()
}

fn answer(line: &mut (impl Read + Write), lie: Lie) -> Option<()> {
    let mut head = [0; 4];
    line.read_exact(&mut head).ok()?;
    let mut call = vec![0; (u32::from_be_bytes(head) & 0x7fff_ffff).try_into().unwrap()];
    line.read_exact(&mut call).ok()?;
    let word = |at: usize| u32::from_be_bytes(call[at * 4..at * 4 + 4].try_into().unwrap());
    let procedure = if word(3) == 100_005 { 100 } else { word(5) };
    let record = [words(&[word(0), 1, 0, 0, 0, 0]), result(procedure)].concat();
    let whole = [words(&[1 << 31 | u32::try_from(record.len()).unwrap()]), record].concat();
    let told = lie(procedure, whole);
    line.write_all(&told).ok()?;
    (!told.is_empty()).then_some(())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn attributes(kind: u32) -> Vec<u8> {
    let size = u32::try_from(BYTES.len()).unwrap();
    words(&[kind, 0o644, 1, 0, 0, 0, size, 0, size, 0, 0, 0, 1, 0, 42, 1, 1, 2, 2, 3, 3])
}

fn result(procedure: u32) -> Vec<u8> {
    let handle = [words(&[4]), b"root".to_vec()].concat();
    match procedure {
        100 => [words(&[0]), handle, words(&[1, 1])].concat(),
        1 => [words(&[0]), attributes(2)].concat(),
        3 => [words(&[0]), handle, words(&[1]), attributes(1), words(&[0])].concat(),
        6 => [words(&[0, 0, 10, 1, 10]), BYTES.to_vec(), vec![0; 2]].concat(),
        17 => [words(&[0, 0, 7, 7, 1, 0, 9, 1]), b"f\0\0\0".to_vec(), words(&[0, 5, 0, 0, 0, 1])]
            .concat(),
        19 => words(&[0, 0, 1 << 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        _ => words(&[10004]),
    }
}

fn set(record: &mut [u8], word: usize, value: u32) {
    record[word * 4..word * 4 + 4].copy_from_slice(&value.to_be_bytes());
}

fn read(source: &dyn FileTree) -> Result<Vec<u8>, FileError> {
    let file = source.open(&TreePath::new("f"))?;
    let mut bytes = Vec::new();
    let name = file.name().to_owned();
    let read = file.stream(0).and_then(|mut stream| stream.read_to_end(&mut bytes));
    read.map_err(|source| FileError::Io { name, source })?;
    Ok(bytes)
}

fn error(lie: Lie) -> String {
    error_with(lie, PATIENT)
}

fn error_with(lie: Lie, idle: Duration) -> String {
    let begun = Instant::now();
    let error = read(&*fake_with(lie, idle)).unwrap_err();
    assert!(begun.elapsed() < IN_TIME, "{error:?}");
    match error {
        FileError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[test]
fn a_file_is_read_through_whatever_pieces_its_answers_come_in() {
    assert_eq!(read(&*fake(|_, record| record)).unwrap(), BYTES);
    let in_pieces = |_, record: Vec<u8>| {
        let (one, two) = record[4..].split_at(8);
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap();
        [words(&[len(one)]), one.into(), words(&[1 << 31 | len(two)]), two.into()].concat()
    };
    assert_eq!(read(&*fake(in_pieces)).unwrap(), BYTES);
}

#[test]
fn lengths_that_are_not_true_are_not_believed() {
    for (lie, words) in [
        // A record of 2 GiB, and one of pieces without an end.
        ((|_, _| words(&[u32::MAX])) as Lie, "an answer of more than"),
        (|_, _| words(&[0, 0, 0, 0]), "nothing in them"),
        // A verifier of 4 GiB.
        (
            |_, mut record| {
                set(&mut record, 5, u32::MAX);
                record
            },
            "a verifier that is too long",
        ),
        // A handle of 4 GiB.
        (
            |p, mut r| {
                if p == 100 {
                    set(&mut r, 8, u32::MAX);
                }
                r
            },
            "no file handle",
        ),
        (
            |p, mut r| {
                if p == 3 {
                    set(&mut r, 8, u32::MAX);
                }
                r
            },
            "ends in the middle",
        ),
        // More bytes than were asked for.
        (
            |p, mut r| {
                if p == 6 {
                    set(&mut r, 11, 12);
                }
                r
            },
            "ends in the middle",
        ),
        (
            |p, mut r| {
                if p == 6 {
                    set(&mut r, 11, u32::MAX);
                }
                r
            },
            "ends in the middle",
        ),
        // Fewer: none.
        (
            |p, mut r| {
                if p == 6 {
                    set(&mut r, 11, 0);
                }
                r
            },
            "ended after 0 bytes, expected 10",
        ),
    ] {
        let told = error(lie);
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn an_invalid_answer_is_an_error_in_time() {
    for (lie, words) in [
        ((|p, r| if p == 6 { vec![] } else { r }) as Lie, "ended in the middle of an answer"),
        // Another call's answer.
        (
            |_, mut record| {
                set(&mut record, 1, 0);
                record
            },
            "no answer",
        ),
        (|_, _| b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "an answer of more than"),
        (|_, _| [words(&[1 << 31 | 4]), vec![0; 4]].concat(), "no answer"),
        // NFS3ERR_STALE
        (
            |p, mut r| {
                if p == 6 {
                    set(&mut r, 7, 70);
                }
                r
            },
            "stale file handle",
        ),
    ] {
        let told = error(lie);
        assert!(told.contains(words), "{words}: {told}");
    }
    for (lie, words) in [
        // The record is longer than what comes.
        ((|_, r| r[..r.len() - 4].to_vec()) as Lie, "the server sent nothing for 0.5 s"),
        // Come again later, always.
        (
            |p, mut r| {
                if p == 6 {
                    set(&mut r, 7, 10008);
                }
                r
            },
            "NFS error 10008",
        ),
    ] {
        let told = error_with(lie, QUICK);
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_directory_without_an_end_is_not_read_for_ever() {
    let names = |lie: Lie| match fake(lie).list(&TreePath::root()) {
        Ok(entries) => Ok(entries.len()),
        Err(FileError::Io { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(names(|_, record| record), Ok(1));
    // The same name again and again.
    let endless = names(|p, mut r| {
        if p == 17 {
            let end = r.len() / 4 - 1;
            set(&mut r, end, 0);
        }
        r
    });
    assert!(endless.unwrap_err().contains("a directory without an end"));
}

#[test]
fn denied_access_is_reported_and_absent_files_are_missing() {
    let refused = |p, mut r: Vec<u8>| {
        if p == 100 {
            set(&mut r, 7, 13);
        }
        r
    };
    assert!(error(refused).contains("denies access to this host"));
    let source = fake(|p, mut r| {
        if p == 3 {
            set(&mut r, 7, 2);
        }
        r
    });
    assert!(source.open(&TreePath::new("x")).unwrap_err().is_missing());
    assert!(tree("h:x", "/", &Net::default()).is_err());
}
