use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
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
    fake_hearing(lie, idle, &Arc::default())
}

/// What a server was called for, each call without the length in front.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

fn fake_hearing(lie: Lie, idle: Duration, heard: &Heard) -> Box<dyn FileTree> {
    let heard = Arc::clone(heard);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for taken in listener.incoming() {
            let mut line = taken.unwrap();
            let heard = Arc::clone(&heard);
            thread::spawn(move || while answer(&mut line, lie, &heard).is_some() {});
        }
    });
    let net = Net { idle, retries: 1, ..Net::default() };
    tree(&format!("127.0.0.1:{port}"), "/srv/", &net).unwrap()
}

fn answer(line: &mut (impl Read + Write), lie: Lie, heard: &Heard) -> Option<()> {
    let mut head = [0; 4];
    line.read_exact(&mut head).ok()?;
    let mut call = vec![0; (u32::from_be_bytes(head) & 0x7fff_ffff).try_into().unwrap()];
    line.read_exact(&mut call).ok()?;
    heard.lock().unwrap().push(call.clone());
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
    read_at(source, "f")
}

fn read_at(source: &dyn FileTree, path: &str) -> Result<Vec<u8>, FileError> {
    let file = source.open(&TreePath::new(path))?;
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

/// How often something came before.
fn before(count: &AtomicU32) -> u32 {
    count.fetch_add(1, Ordering::Relaxed)
}

/// The calls of a procedure (100: MNT).
fn calls(heard: &Heard, procedure: u32) -> Vec<Vec<u8>> {
    let word = |call: &[u8], at: usize| u32::from_be_bytes(call[at * 4..][..4].try_into().unwrap());
    let is_it = |call: &Vec<u8>| match procedure {
        100 => word(call, 3) == 100_005,
        _ => word(call, 3) == 100_003 && word(call, 5) == procedure,
    };
    heard.lock().unwrap().iter().filter(|call| is_it(call)).cloned().collect()
}

/// The names that were looked up.
fn looked_up(heard: &Heard) -> Vec<String> {
    let name = |call: Vec<u8>| {
        let padded = call.rsplit(|byte| *byte < b'\n' && *byte > 0).next().unwrap().to_vec();
        String::from_utf8(padded).unwrap().trim_end_matches('\0').to_owned()
    };
    calls(heard, 3).into_iter().map(name).collect()
}

/// An answer with another result.
fn replaced(record: &[u8], result: &[u8]) -> Vec<u8> {
    let record = [&record[4..28], result].concat();
    [words(&[1 << 31 | u32::try_from(record.len()).unwrap()]), record].concat()
}

/// RFC 5531, 8.2: AUTH_SYS is flavour 1. RFC 1813, 3.3.6: READ has a handle, a place and a count.
#[test]
fn calls_say_who_asks_and_for_what() {
    let heard = Heard::default();
    assert_eq!(read(&*fake_hearing(|_, record| record, PATIENT, &heard)).unwrap(), BYTES);
    for call in heard.lock().unwrap().iter() {
        assert_eq!(call[24..28], [0, 0, 0, 1]);
        assert!(call.windows(8).any(|part| part == b"chukka\0\0"));
    }
    let wanted = [words(&[4]), b"root".to_vec(), words(&[0, 0, 10])].concat();
    let reads = calls(&heard, 6);
    assert_eq!(reads.len(), 1);
    assert!(reads[0].ends_with(&wanted), "{reads:?}");
    let mount = calls(&heard, 100);
    assert!(mount.len() == 1 && mount[0].ends_with(b"\0\0\0\x04/srv"), "{mount:?}");
}

#[test]
fn a_tree_and_its_files_have_names_and_versions() {
    let source = fake(|_, record| record);
    let name = source.name().to_owned();
    assert!(name.starts_with("nfs:127.0.0.1:") && name.ends_with(":/srv"), "{name}");
    let file = source.open(&TreePath::new("d/../f")).unwrap();
    assert_eq!(file.name(), format!("{name}/{}", TreePath::new("d/../f")));
    // Those of the file's id, its length and its times, as `attributes` has them.
    assert!(file.version().starts_with("2a-a-"), "{}", file.version());
    let error = source.list(&TreePath::new("f")).unwrap_err();
    assert!(error.to_string().contains(&format!("{name}/f")), "{error}");
}

#[test]
fn a_file_has_nothing_below_it() {
    let heard = Heard::default();
    let source = fake_hearing(|_, record| record, PATIENT, &heard);
    assert!(source.open(&TreePath::new("f/g")).unwrap_err().is_missing());
    assert_eq!(looked_up(&heard), ["f"]);
}

#[test]
fn a_server_that_asks_for_patience_or_hangs_up_once_is_asked_again() {
    let later: Lie = |p, mut r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if p == 6 && before(&COUNT) == 0 {
            set(&mut r, 7, 10008);
        }
        r
    };
    let hangs_up: Lie = |p, r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if p == 6 && before(&COUNT) == 0 { vec![] } else { r }
    };
    for lie in [later, hangs_up] {
        assert_eq!(read(&*fake(lie)).unwrap(), BYTES);
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_not_asked_for_again() {
    let heard = Heard::default();
    let lie: Lie = |p, r| if p == 6 { words(&[u32::MAX]) } else { r };
    read(&*fake_hearing(lie, PATIENT, &heard)).unwrap_err();
    assert_eq!(calls(&heard, 6).len(), 1);
    let heard = Heard::default();
    let hangs_up: Lie = |p, r| if p == 6 { vec![] } else { r };
    read(&*fake_hearing(hangs_up, PATIENT, &heard)).unwrap_err();
    assert_eq!(calls(&heard, 6).len(), 2, "once, and one more try");
}

/// The link leads to `../x/./f`: not above the root, through the directory x.
#[test]
fn symbolic_links_are_followed_and_stay_below_the_root() {
    let lie: Lie = |p, mut r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        match p {
            3 => match before(&COUNT) {
                0 => set(&mut r, 11, 5),
                1 => set(&mut r, 11, 2),
                _ => {}
            },
            5 => return replaced(&r, &[words(&[0, 0, 8]), b"../x/./f".to_vec()].concat()),
            _ => {}
        }
        r
    };
    let heard = Heard::default();
    assert_eq!(read(&*fake_hearing(lie, PATIENT, &heard)).unwrap(), BYTES);
    assert_eq!(looked_up(&heard), ["f", "x", "f"]);
}

/// As many as Linux follows (MAXSYMLINKS).
#[test]
fn at_most_40_symbolic_links_are_followed() {
    for (links, expected) in [(40, true), (41, false)] {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static LINKS: AtomicU32 = AtomicU32::new(0);
        COUNT.store(0, Ordering::Relaxed);
        LINKS.store(links, Ordering::Relaxed);
        let lie: Lie = |p, mut r| {
            match p {
                3 if before(&COUNT) < LINKS.load(Ordering::Relaxed) => set(&mut r, 11, 5),
                5 => return replaced(&r, &[words(&[0, 0, 1]), b"f\0\0\0".to_vec()].concat()),
                _ => {}
            }
            r
        };
        let told = read(&*fake(lie));
        match told {
            Ok(_) => assert!(expected, "{links} links"),
            Err(error) => {
                let error = format!("{error:?}");
                assert!(!expected && error.contains("more than 40 symbolic links"), "{error}");
            }
        }
    }
}

/// RFC 1813, 3.3.17: `dircount` and `maxcount` are bytes; 0 would be an error.
#[test]
fn a_directory_is_read_in_several_answers() {
    let lie: Lie = |p, mut r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if p == 17 && before(&COUNT) == 0 {
            let end = r.len() / 4 - 1;
            set(&mut r, end, 0);
            // Another cookie than that of the second answer.
            let cookie = r.chunks(4).position(|word| word == b"f\0\0\0").unwrap() + 2;
            set(&mut r, cookie, 4);
        }
        r
    };
    let heard = Heard::default();
    let entries = fake_hearing(lie, PATIENT, &heard).list(&TreePath::root()).unwrap();
    assert_eq!(entries.len(), 2);
    let asked = calls(&heard, 17);
    assert!(asked[0].ends_with(&words(&[0, 0, 0, 0, 1 << 15, 1 << 17])), "{asked:?}");
    assert!(asked[1].ends_with(&words(&[0, 4, 7, 7, 1 << 15, 1 << 17])), "{asked:?}");
}

#[test]
fn as_much_is_asked_for_at_a_time_as_the_server_sends() {
    let long: Lie = |p, mut r| {
        if p == 3 {
            set(&mut r, 17, 1 << 16);
        }
        r
    };
    let heard = Heard::default();
    let file = fake_hearing(long, PATIENT, &heard).open(&TreePath::new("f")).unwrap();
    assert_eq!(file.len(), 1 << 16);
    assert_eq!(file.read_at(&mut vec![0; 1 << 16], 0).unwrap(), BYTES.len());
    assert!(calls(&heard, 6)[0].ends_with(&words(&[0, 0, 1 << 16])));
}

/// The longest path that is exported is looked for; what is forbidden is told, though more of the
/// path is not there.
#[test]
fn an_access_error_is_reported_even_if_the_parent_is_not_exported() {
    let lie: Lie = |p, mut r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if p == 100 {
            let status = if before(&COUNT).is_multiple_of(2) { 13 } else { 2 };
            set(&mut r, 7, status);
        }
        r
    };
    let heard = Heard::default();
    let error = format!("{:?}", read(&*fake_hearing(lie, PATIENT, &heard)).unwrap_err());
    assert!(error.contains("denies access to this host"), "{error}");
    // Root asks again from a reserved port.
    let ways = if rustix::process::geteuid().is_root() { 2 } else { 1 };
    assert_eq!(calls(&heard, 100).len(), 2 * ways);
}

/// RFC 1813, 2.6: `ftype3`.
#[test]
fn what_is_neither_a_file_nor_a_directory_is_called_by_its_name() {
    static KIND: AtomicU32 = AtomicU32::new(0);
    // GETATTR, of the root; LOOKUP, of a file.
    let lie: Lie = |p, mut r| {
        match p {
            1 => set(&mut r, 8, KIND.load(Ordering::Relaxed)),
            3 => set(&mut r, 11, KIND.load(Ordering::Relaxed)),
            _ => {}
        }
        r
    };
    for (kind, words) in [
        (1, "a file"),
        (3, "a block device"),
        (4, "a character device"),
        (5, "a symbolic link"),
        (6, "a socket"),
        (7, "a pipe"),
        (8, "a special file"),
    ] {
        KIND.store(kind, Ordering::Relaxed);
        match fake(lie).list(&TreePath::root()) {
            Err(FileError::Kind { found, expected: "a directory", .. }) => {
                assert_eq!(found, words, "{kind}");
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
    KIND.store(2, Ordering::Relaxed);
    match fake(lie).open(&TreePath::new("f")) {
        Err(FileError::Kind { found, expected: "a regular file", .. }) => {
            assert_eq!(found, "a directory");
        }
        other => panic!("{other:?}"),
    }
}

/// The link `d/l` leads to `../f`: f is looked up in the directory that d is in.
#[test]
fn a_link_to_the_directory_above_leads_there() {
    const D: u32 = u32::from_be_bytes(*b"dddd");
    let lie: Lie = |p, mut r| {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        match p {
            3 => match before(&COUNT) {
                0 => {
                    set(&mut r, 9, D);
                    set(&mut r, 11, 2);
                }
                1 => set(&mut r, 11, 5),
                _ => {}
            },
            5 => return replaced(&r, &[words(&[0, 0, 4]), b"../f".to_vec()].concat()),
            _ => {}
        }
        r
    };
    let heard = Heard::default();
    assert_eq!(read_at(&*fake_hearing(lie, PATIENT, &heard), "d/l").unwrap(), BYTES);
    assert_eq!(looked_up(&heard), ["d", "l", "f"]);
    let is_in_d = |call: &Vec<u8>| call.windows(4).any(|word| word == D.to_be_bytes());
    assert_eq!(calls(&heard, 3).iter().map(is_in_d).collect::<Vec<_>>(), [false, true, false]);
}
