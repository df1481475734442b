use super::*;

fn opened(backend: CharBackend) -> (Opened, Vec<String>) {
    let mut told = Vec::new();
    let opened = open(&backend.into(), "-serial", "serial0", &mut |message| {
        told.push(message.to_string());
    });
    (opened.expect("it opens"), told)
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("chukka-chardev-{name}-{}", std::process::id())))
    }

    fn socket(&self, server: bool, wait: bool) -> CharBackend {
        let address = SocketAddress::Unix(self.0.clone());
        CharBackend::Socket(CharSocket { address, server, wait })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_socket_takes_one_client_after_the_other_and_drops_what_nobody_hears() {
    let at = Scratch::new("server");
    let (mut device, _) = opened(at.socket(true, false));
    let line = device.line.expect("a line");
    assert_eq!(device.out.write(b"nobody").expect("dropped"), 6);
    for text in [b"first", b"other"] {
        let mut client = UnixStream::connect(&at.0).expect("it listens");
        assert!(line.accept());
        assert!(!line.accept(), "one at a time");
        device.out.write_all(text).expect("there is room");
        let mut found = [0; 5];
        client.read_exact(&mut found).expect("it arrives");
        assert_eq!(&found, text);
        client.write_all(b"typed").expect("there is room");
        let mut typed = Vec::new();
        assert_eq!(line.read(&mut typed), Received::Bytes);
        assert_eq!(typed, b"typed");
        assert_eq!(line.read(&mut typed), Received::Nothing);
        assert!(!line.is_pty() && !line.is_broken());
        drop(client);
        assert!(line.is_broken());
        assert_eq!(device.out.write(b"nobody").expect("dropped"), 6);
        assert_eq!(line.read(&mut typed), Received::End);
        assert!(line.hang_up());
        assert_eq!(device.out.write(b"nobody").expect("dropped"), 6);
    }
    drop((line, device.out));
    assert!(!at.0.exists(), "the socket is removed");
}

#[test]
fn a_client_that_does_not_read_blocks_nobody() {
    let at = Scratch::new("slow");
    let (mut device, _) = opened(at.socket(true, false));
    let _client = UnixStream::connect(&at.0).expect("it listens");
    assert!(device.line.expect("a line").accept());
    let error = loop {
        if let Err(error) = device.out.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn chukka_waits_for_a_client_or_connects_as_one() {
    let at = Scratch::new("wait");
    let address = at.0.clone();
    let client = std::thread::spawn(move || {
        let (mut device, told) = {
            let at = Scratch(address);
            let client = loop {
                if at.0.exists() {
                    break opened(at.socket(false, true));
                }
                std::thread::yield_now();
            };
            std::mem::forget(at);
            client
        };
        assert_eq!(told, [""; 0], "a client does not wait");
        device.out.write_all(b"hello").expect("there is room");
        device
    });
    let (device, told) = opened(at.socket(true, true));
    assert!(told[0].starts_with("waiting for a client at /"), "{told:?}");
    let other = client.join().expect("it connects");
    let mut typed = Vec::new();
    let line = device.line.expect("a line");
    assert_eq!(line.read(&mut typed), Received::Bytes);
    assert_eq!(typed, b"hello");
    drop(other);
    let gone = Scratch::new("gone").socket(false, false);
    let refused = open(&gone.into(), "-serial", "", &mut |_| {});
    assert!(refused.expect_err("nobody listens").to_string().starts_with("Cannot connect -serial"));
}

#[test]
fn a_pseudo_terminal_is_raw_and_drops_what_nobody_hears() {
    let (mut device, told) = opened(CharBackend::Pty);
    let line = device.line.expect("a line");
    assert!(line.is_pty());
    let path = told[0]
        .strip_prefix("char device redirected to ")
        .and_then(|rest| rest.strip_suffix(" (label serial0)"))
        .expect("QEMU's words");
    for _ in 0..100 {
        assert_eq!(device.out.write(&[b'x'; 4096]).expect("dropped"), 4096);
    }
    let mut terminal = File::options().read(true).write(true).open(path).expect("it is there");
    device.out.write_all(b"a\n").expect("there is room");
    let mut found = [0; 2];
    terminal.read_exact(&mut found).expect("it arrives");
    assert_eq!(&found, b"a\n", "no carriage return is added");
    terminal.write_all(b"\x03").expect("there is room");
    let mut typed = Vec::new();
    assert_eq!(line.read(&mut typed), Received::Bytes);
    assert_eq!(typed, b"\x03", "Ctrl-C is a byte");
    drop(terminal);
    assert_eq!(line.read(&mut typed), Received::End);
    assert!(!line.hang_up(), "the next one may open it");
    assert_eq!(device.out.write(b"nobody").expect("dropped"), 6);
}

#[test]
fn files_are_truncated_or_grow_and_logs_have_a_copy() {
    let (file, log) = (Scratch::new("file"), Scratch::new("log"));
    let char_file = |at: &Scratch, append| CharFile { path: at.0.clone(), append };
    for (append, expected) in [(false, "text"), (false, "text"), (true, "texttext")] {
        let chardev = Chardev {
            id: None,
            backend: CharBackend::File(char_file(&file, append)),
            log: Some(char_file(&log, true)),
            timestamps: false,
        };
        let mut device = open(&chardev, "-serial", "", &mut |_| {}).expect("it opens");
        device.out.write_all(b"text").expect("there is room");
        assert_eq!(std::fs::read_to_string(&file.0).expect("it is there"), expected);
    }
    assert_eq!(std::fs::read_to_string(&log.0).expect("it is there"), "texttexttext");
}
