//! `chukka fetch` and the cache: files are fetched only once, interrupted downloads are resumed,
//! and a partial file is never used as a complete one, however chukka ends.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::binaries;
use chukka_tests::native::guest::bzimage;
use chukka_tests::native::{Ended, Scratch, Start, start};

const TREE: &str = "/current/images/netboot/debian-installer/amd64";
const LEN: usize = 3 << 20;

/// A web server with a Debian tree, that knows ranges and counts what it sends. It ends with the
/// test's process.
struct Server {
    address: SocketAddr,
    files: BTreeMap<String, Vec<u8>>,
    requests: AtomicUsize,
    sent: AtomicUsize,
    /// The server stalls after this number of bytes of an answer.
    stalls: Mutex<Option<usize>>,
}

impl Server {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let initrd = (0..LEN).map(|at| (at % 253).to_le_bytes()[0]).collect();
        let files = [("linux", bzimage("=P")), ("initrd.gz", initrd)];
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            files: files.map(|(name, bytes)| (format!("{TREE}/{name}"), bytes)).into(),
            requests: AtomicUsize::default(),
            sent: AtomicUsize::default(),
            stalls: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&serving);
                thread::spawn(move || server.serve(&stream));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests and bytes since this was asked last.
    fn asked_and_sent(&self) -> (usize, usize) {
        (self.requests.swap(0, Ordering::SeqCst), self.sent.swap(0, Ordering::SeqCst))
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        loop {
            let first = lines.next()?.ok()?;
            let mut range = None;
            for line in lines.by_ref() {
                let line = line.ok()?.to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            let mut words = first.split(' ');
            let (method, path) = (words.next()?, words.next()?);
            let Some(bytes) = self.files.get(path) else {
                (&*stream)
                    .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    .ok()?;
                continue;
            };
            let mut head = "Accept-Ranges: bytes\r\nETag: \"one\"\r\n".to_owned();
            let (status, body) = match range.as_deref().and_then(|range| range.split_once('-')) {
                None => ("200 OK", &bytes[..]),
                Some((from, to)) => {
                    let from = from.parse::<usize>().unwrap();
                    let to = to.parse().unwrap_or(usize::MAX).min(bytes.len() - 1);
                    head += &format!("Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
                    ("206 Partial Content", &bytes[from..=to])
                }
            };
            head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{head}\r\n", body.len());
            (&*stream).write_all(head.as_bytes()).ok()?;
            if method == "HEAD" {
                continue;
            }
            let stalls = self.stalls.lock().unwrap().unwrap_or(usize::MAX);
            for piece in body[..body.len().min(stalls)].chunks(16 << 10) {
                (&*stream).write_all(piece).ok()?;
                self.sent.fetch_add(piece.len(), Ordering::SeqCst);
            }
            if body.len() > stalls {
                // Until the other side goes away.
                lines.next();
                return None;
            }
        }
    }
}

fn fetch(cache: &Path, server: &Server, words: &[&str]) -> Start {
    start(["fetch", "--cache"]).args([cache]).args([&server.url()]).args(words)
}

/// Checks that both files were handed out as they are.
fn assert_whole(ended: &Ended, server: &Server) {
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let text = ended.text();
    for (word, name) in [("kernel ", "linux"), ("initrd ", "initrd.gz")] {
        let path = text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        assert!(fs::read(path).unwrap() == server.files[&format!("{TREE}/{name}")], "{text}");
    }
}

#[test]
fn what_was_fetched_is_not_fetched_again() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let cache = scratch.path("cache");
    let ended = fetch(&cache, &server, &["--append", "quiet"]).run();
    assert_whole(&ended, &server);
    assert!(ended.text().ends_with("args quiet\n"), "{}", ended.text());
    assert!(
        ended.stderr.contains(&format!("fetched {}{TREE}/initrd.gz (3M)", server.url())),
        "{}",
        ended.stderr
    );
    server.asked_and_sent();
    let ended = fetch(&cache, &server, &[]).run();
    assert_whole(&ended, &server);
    assert_eq!(ended.stderr, "");
    assert_eq!(server.asked_and_sent(), (0, 0));
    assert_whole(&fetch(&cache, &server, &["--offline"]).run(), &server);
    assert_whole(&fetch(&cache, &server, &["--refresh"]).run(), &server);
    assert!(server.asked_and_sent().1 > LEN);
    let list = start(["cache", "--cache"]).args([&cache]).args(["list"]).run().text();
    assert!(list.contains(&format!("{} {}/initrd.gz\n", server.url(), &TREE[1..])), "{list}");
    assert!(list.ends_with(" in 2 files\n"), "{list}");
    let all = start(["cache", "--cache"]).args([&cache]).args(["prune", "--all"]).run();
    assert!(all.text().starts_with("removed 2 files, 3"), "{}", all.text());
    let ended = fetch(&cache, &server, &["--offline"]).run();
    assert_eq!(ended.code(), Some(125), "{}", ended.text());
    assert!(ended.stderr.contains("without --offline"), "{}", ended.stderr);
}

#[test]
fn files_are_copied_out_under_their_names() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let (cache, output) = (scratch.path("cache"), scratch.path("boot"));
    let preseed = scratch.file("preseed.cfg", b"#\n");
    let ended = fetch(&cache, &server, &["--format", "json", "--output"])
        .args([&output])
        .args(["--preseed".as_ref(), preseed.as_path()])
        .run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
    assert_eq!(told["kernel"], output.join("linux").to_str().unwrap());
    assert!(told["args"].as_str().unwrap().contains("preseed"), "{told}");
    let initrd = fs::read(told["initrd"].as_str().unwrap()).unwrap();
    assert!(initrd.starts_with(&server.files[&format!("{TREE}/initrd.gz")]));
    assert!(initrd.len() > LEN, "the user's file is behind it");
    assert_eq!(fs::read_dir(&output).unwrap().count(), 2);
    // Only in memory.
    let ended = fetch(&cache, &server, &["--preseed"]).args([&preseed]).run();
    assert_eq!(ended.code(), Some(125));
    assert!(ended.stderr.contains("--output DIR"), "{}", ended.stderr);
}

#[test]
fn messages_name_the_options_of_the_command() {
    let scratch = Scratch::new();
    let empty = scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    for (words, says) in [
        (&["--timeout", "0"][..], "chukka: --timeout 0"),
        (&["--checksum", "x"], "chukka: --checksum x"),
        (&["--kernel", "absent"], "The kernel given by --kernel cannot be used"),
        (&[], "name the files: --kernel PATH --initrd PATH"),
    ] {
        let ended = start(["fetch"]).args(words).args([&empty]).run();
        assert_eq!(ended.code(), Some(125), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
        let words = ended.stderr.split_whitespace();
        let single: Vec<_> =
            words.filter(|word| word.starts_with('-') && !word.starts_with("--")).collect();
        assert!(single.is_empty(), "{single:?}: {}", ended.stderr);
    }
}

#[test]
fn what_could_not_be_kept_is_not_fetched() {
    let server = Server::start();
    let words = ["fetch", "--cache", "off", &server.url()];
    let ended = start(words).run();
    assert_eq!(ended.code(), Some(125), "{}", ended.stderr);
    let says = "Without a cache, what is fetched exists only in memory\nhint: use --output DIR";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
    assert_eq!(start(words).args(["--dry-run"]).run().code(), Some(0));
}

/// Whether each is a file of a tree, joined with another one, or in an image.
#[test]
fn a_copy_of_a_file_that_not_everyone_may_read_is_for_the_user_only() {
    let scratch = Scratch::new();
    let menu = "menuentry A { linux /k\n initrd /i\n }\n";
    let joined = "menuentry A { linux /k\n initrd /j /i\n }\n";
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, menu, private, expected) in [
        ("none", menu, None, [false, false]),
        ("initrd", menu, Some("i"), [false, true]),
        ("kernel", menu, Some("k"), [true, false]),
        ("joined", joined, Some("j"), [false, true]),
    ] {
        let tree = scratch.path(name);
        fs::create_dir_all(tree.join("boot/grub")).unwrap();
        fs::write(tree.join("boot/grub/grub.cfg"), menu).unwrap();
        fs::write(tree.join("k"), bzimage("=P")).unwrap();
        for initrd in ["i", "j"] {
            fs::write(tree.join(initrd), b"initrd").unwrap();
        }
        if let Some(private) = private {
            fs::set_permissions(tree.join(private), fs::Permissions::from_mode(0o640)).unwrap();
        }
        let (output, state) = (scratch.path("out").join(name), scratch.path("state").join(name));
        for (option, directory) in [("--output", &output), ("--state", &state)] {
            let ended = start(["fetch", "--cache", "off", "--append", "password=x", option]);
            let ended = ended.args([directory, &tree]).run();
            assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        }
        // A multiple initrd has the first one's name.
        let initrd = fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path());
        let initrd = initrd.filter(|path| *path != output.join("k")).collect::<Vec<_>>();
        for [kernel, initrd] in
            [[&output.join("k"), &initrd[0]], [&state.join("kernel"), &state.join("initrd")]]
        {
            let found = [mode(kernel), mode(initrd)];
            assert_eq!(found.map(|mode| mode == 0o600), expected, "{name}: {found:?}");
            // Whatever the umask is.
            assert!(found.iter().all(|mode| mode & 0o600 == 0o600), "{name}: {found:?}");
        }
        assert_eq!(mode(&state.join("install.json")), 0o600, "it has the command line");
    }
}

#[test]
fn a_fetch_interrupted_by_any_signal_is_resumed() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
        let (scratch, server) = (Scratch::new(), Server::start());
        let cache = scratch.path("cache");
        *server.stalls.lock().unwrap() = Some(1 << 20);
        let running = fetch(&cache, &server, &[]).start();
        // The initrd's transfer has begun: more than the kernel and the probed headers.
        let partial = cache.join("partial");
        let came = || {
            let entries = fs::read_dir(&partial).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.metadata().ok()).any(|about| about.len() >= 1 << 20)
        };
        while !came() {
            thread::yield_now();
        }
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.signal(), Some(signal), "{}", ended.stderr);
        if signal != libc::SIGKILL {
            let said = " of 3M are cached; the next run resumes there\n";
            assert!(
                ended.stderr.contains("chukka: Stopped while fetching http"),
                "{}",
                ended.stderr
            );
            assert!(ended.stderr.ends_with(said), "{}", ended.stderr);
        }
        *server.stalls.lock().unwrap() = None;
        server.asked_and_sent();
        assert_whole(&fetch(&cache, &server, &[]).run(), &server);
        let sent = server.asked_and_sent().1;
        // A header may be read again.
        assert!(sent < LEN - (1 << 19), "{sent}");
        assert_eq!(fs::read_dir(&partial).unwrap().count(), 0);
    }
}

#[test]
fn two_at_once_fetch_it_once() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let cache = scratch.path("cache");
    let both = [(); 2].map(|()| fetch(&cache, &server, &[]).start());
    for one in both {
        assert_whole(&one.wait(), &server);
    }
    let sent = server.asked_and_sent().1;
    assert!(sent < LEN + LEN / 2, "{sent}");
}

#[test]
fn no_space_is_an_error_that_leaves_nothing() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let cache = scratch.path("cache");
    // 1 MiB for each file, and no signal for what is longer (setrlimit(2)).
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"])
        .arg(binaries::chukka().unwrap())
        .args(["fetch", "--cache"])
        .arg(&cache)
        .arg(server.url())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("no space left in the cache"), "{said}");
    assert!(said.contains("hint: free space"), "{said}");
    assert_eq!(fs::read_dir(cache.join("partial")).unwrap().count(), 0);
}

#[test]
fn a_sum_of_the_user_s_counts() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let cache = scratch.path("cache");
    let zeros = "0".repeat(64);
    for (of, file) in [("", "linux"), ("initrd=", "initrd.gz"), ("initrd.gz=", "initrd.gz")] {
        let ended = fetch(&cache, &server, &["--checksum", &format!("{of}sha256:{zeros}")]).run();
        assert_eq!(ended.code(), Some(125));
        assert!(
            ended.stderr.contains(&format!("{TREE}/{file}' has the sha256 ")),
            "{}",
            ended.stderr
        );
    }
    let ended = fetch(&cache, &server, &["--checksum", &format!("other=sha256:{zeros}")]).run();
    assert!(ended.stderr.contains("no such file; kernel and initrd are"), "{}", ended.stderr);
    let list = fetch(&cache, &server, &[]).run().text();
    let sum = list.lines().next().unwrap().rsplit_once("sha256-").unwrap().1.to_owned();
    assert_whole(&fetch(&cache, &server, &["--checksum", &format!("sha256:{sum}")]).run(), &server);
}

#[test]
fn fetching_works_without_a_usable_cache() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let (file, output) = (scratch.file("file", b""), scratch.path("boot"));
    let ended = fetch(&file.join("cache"), &server, &["--output"]).args([&output]).run();
    assert_whole(&ended, &server);
    assert!(ended.stderr.contains("warning: running without a cache"), "{}", ended.stderr);
}

/// A pipe that nobody reads takes 64 KiB, and then nothing: not the warning about this cache
/// either.
#[test]
fn a_signal_ends_chukka_though_its_messages_find_no_reader() {
    let (scratch, server) = (Scratch::new(), Server::start());
    let cache = scratch.path("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "timeout 0.3 yes >&2; exec \"$@\"", "sh"])
        .arg(binaries::chukka().unwrap())
        .args(["fetch", "--cache"])
        .args([&cache])
        .arg(server.url())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let program = format!("/proc/{}/comm", child.id());
    while fs::read_to_string(&program).unwrap() == "sh\n" {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let status = child.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
}
