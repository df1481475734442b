//! A CD on an HTTP server: what is fetched of it, and what the guest sees if the server fails.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{BOOT_SECTOR, Boot, bootable_cd_of, boots_by_default};

/// Blocks of the CD: 64 MiB.
const BLOCKS: usize = 32 << 10;
/// The block with the CD's name, which is far from the others.
const NAME: u16 = 20_000;

/// What the server does when it is asked for the CD's name.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    /// It says nothing.
    Silence,
    /// It closes the connection, and takes no other.
    Gone,
    /// It sends a byte now and then.
    Trickle,
}

/// A server of one CD.
struct Server {
    port: u16,
    /// Bytes of the CD that it has sent.
    sent: Arc<AtomicUsize>,
}

impl Server {
    fn start(trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
        let port = listener.local_addr().expect("its number").port();
        let (sent, is_gone) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (cd, counter) = (bootable_cd_of(BLOCKS, NAME, "http", &BOOT_SECTOR), Arc::clone(&sent));
        let cd = Arc::new(cd);
        // The threads end with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_gone.load(Ordering::SeqCst) {
                    continue;
                }
                let (cd, sent, is_gone) =
                    (Arc::clone(&cd), Arc::clone(&counter), Arc::clone(&is_gone));
                thread::spawn(move || serve(&client, &cd, trouble, &sent, &is_gone));
            }
        });
        Self { port, sent }
    }
}

/// Answers the requests of one connection.
fn serve(
    mut client: &TcpStream,
    cd: &[u8],
    trouble: Trouble,
    sent: &AtomicUsize,
    is_gone: &AtomicBool,
) -> Option<()> {
    let mut lines = BufReader::new(client).lines();
    loop {
        let mut range = None;
        loop {
            let line = lines.next()?.ok()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some((from, to)) =
                line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
            {
                let last = cd.len() - 1;
                range = Some((from.parse().ok()?, to.parse().unwrap_or(last).min(last)));
            }
        }
        let (from, to): (usize, usize) = range?;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\nContent-Length: {}\r\n\
             Content-Range: bytes {from}-{to}/{}\r\n\r\n",
            to - from + 1,
            cd.len()
        );
        let is_name = (from..=to).contains(&(usize::from(NAME) * 2048));
        match trouble {
            Trouble::Silence if is_name => thread::sleep(Duration::from_secs(600)),
            Trouble::Gone if is_name => {
                is_gone.store(true, Ordering::SeqCst);
                return None;
            }
            _ => {}
        }
        client.write_all(head.as_bytes()).ok()?;
        if is_name && matches!(trouble, Trouble::Trickle) {
            for byte in &cd[from..=to] {
                client.write_all(&[*byte; 100]).ok()?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        client.write_all(&cd[from..=to]).ok()?;
        sent.fetch_add(to - from + 1, Ordering::SeqCst);
    }
}

/// Boots it. How long that took.
fn boot(server: &Server) -> Option<(Boot, Duration)> {
    let url = format!("http://127.0.0.1:{}/cd.iso", server.port);
    let began = Instant::now();
    let words = ["-cdrom", &url, "-fetch", "timeout=2,retries=1"];
    Some((boots_by_default(&[], &words)?, began.elapsed()))
}

#[test]
fn a_cd_on_a_server_is_booted_and_only_what_is_read_is_fetched() {
    let server = Server::start(Trouble::None);
    let Some((boot, _)) = boot(&server) else { return };
    boot.assert_booted_cd("http");
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent <= 512 << 10, "{sent} bytes of {} were fetched", BLOCKS * 2048);
}

/// The boot sector ends with status 35 where its read fails.
#[test]
fn a_server_that_fails_is_a_read_error_for_the_guest_and_one_line() {
    for (trouble, says) in [
        (Trouble::Silence, "the server sent no complete answer within 2 s"),
        (Trouble::Gone, ""),
        (Trouble::Trickle, "the server sent only "),
    ] {
        let server = Server::start(trouble);
        let Some((boot, took)) = boot(&server) else { return };
        assert!(took < Duration::from_secs(90), "{trouble:?}: {took:?}");
        let text = &boot.ended.stderr;
        assert_eq!(boot.ended.code(), Some(35), "{trouble:?}: {text}{}", boot.text());
        assert_eq!(text.matches("read failed").count(), 1, "{trouble:?}: {text}");
        assert!(text.contains(says), "{trouble:?}: {text}");
    }
}
