//! What a run cannot write to or listen on. A dry run says it too, and neither leaves a trace.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use chukka_tests::native::{self, Scratch, Start};

const MISSING: &str = "No such file or directory";
const IN_USE: &str = "Address already in use";
const FOREIGN: &str = "Cannot assign requested address";
const NO_SOCKET: &str = "a file that is not a socket is there";
const CARD: &str = "-device virtio-net-device,netdev=n";

/// Command lines, and what is wrong with them. DIR is a directory with a file, an ELF file, a socket
/// that is taken and one that nobody listens on; PORT is a taken port.
const REFUSED: &[(&str, &str)] = &[
    // Consoles.
    ("-serial file:DIR/no/x", MISSING),
    ("-serial file:DIR", "Is a directory"),
    ("-serial file:DIR/file/x", "Not a directory"),
    ("-serial file:DIR/taken", "No such device or address"),
    ("-serial null -serial file:DIR/no/x", MISSING),
    ("-serial unix:DIR/no/x,server=on,wait=off", MISSING),
    ("-serial unix:DIR/file,server=on,wait=off", NO_SOCKET),
    ("-serial unix:DIR/taken,server=on,wait=off", IN_USE),
    ("-serial unix:DIR/no", MISSING),
    ("-serial unix:DIR/left", "Connection refused"),
    ("-serial unix:DIR/file", "Connection refused"),
    ("-serial tcp:127.0.0.1:PORT,server=on,wait=off", IN_USE),
    ("-serial tcp:192.0.2.1:5,server=on,wait=off", FOREIGN),
    ("-chardev file,id=c,path=DIR/no/x -serial chardev:c", MISSING),
    ("-chardev stdio,id=c,logfile=DIR/no/x -serial chardev:c", MISSING),
    ("-chardev socket,id=c,path=DIR/no/x,server=on,wait=off -serial chardev:c", MISSING),
    ("-debugcon file:DIR/no/x", MISSING),
    (
        "-chardev file,id=c,path=DIR/no/x -device virtio-serial-device \
         -device virtconsole,chardev=c",
        MISSING,
    ),
    // Debuggers and monitors.
    ("-gdb unix:DIR/no/x", MISSING),
    ("-gdb unix:DIR/file", NO_SOCKET),
    ("-gdb tcp:127.0.0.1:PORT", IN_USE),
    ("-gdb tcp:192.0.2.1:5", FOREIGN),
    ("-qmp unix:DIR/no/x,server=on,wait=off", MISSING),
    ("-qmp tcp:127.0.0.1:PORT,server=on,wait=off", IN_USE),
    ("-monitor unix:DIR/taken,server=on,wait=off", IN_USE),
    ("-chardev socket,id=c,path=DIR/no/x,server=on,wait=off -mon chardev=c", MISSING),
    ("-gdb unix:DIR/x -qmp unix:DIR/x,server=on,wait=off", IN_USE),
    // Networks.
    ("-netdev stream,id=n,server=on,addr.type=unix,addr.path=DIR/no/x CARD", MISSING),
    ("-netdev stream,id=n,server=on,addr.type=unix,addr.path=DIR/file CARD", NO_SOCKET),
    (
        "-netdev stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=PORT CARD",
        IN_USE,
    ),
    ("-netdev stream,id=n,addr.type=unix,addr.path=DIR/left CARD", "Connection refused"),
    ("-netdev user,id=n,hostfwd=tcp:127.0.0.1:PORT-:80 CARD", IN_USE),
    (
        "-netdev user,id=n CARD \
         -object filter-dump,id=d,netdev=n,file=DIR/no/x",
        MISSING,
    ),
    // Files on the run.
    ("-pidfile DIR/no/x", MISSING),
    ("-pidfile DIR", "Is a directory"),
    ("-vmcore DIR/no/x", MISSING),
    ("-vmcore DIR/elf", "it is not a core file"),
    ("-vmcore /dev/null", "it is not a regular file"),
    ("-timeline DIR/no/x.svg", MISSING),
    ("-json DIR/no/x", MISSING),
    ("-json DIR/file", "it is not a report of chukka's"),
    // What the guest reads.
    ("-fw_cfg name=opt/x,file=DIR/no", MISSING),
    ("-fw_cfg name=opt/x,file=DIR", "is a directory"),
    ("-smbios type=11,path=DIR/no", MISSING),
    ("-option-rom DIR/no -bios builtin", MISSING),
    ("-bios DIR/no", MISSING),
    ("-initrd DIR/no", MISSING),
    ("-cdrom DIR/no", MISSING),
    ("-drive file=DIR/no,if=virtio", MISSING),
    ("-device isa-debug-exit,iobase=0x3f8,iosize=4", "another device has it"),
    ("-cpu host,phys-bits=32 -m 5G", "which needs 33 bits"),
];

/// All files below a directory, with their contents; `None`: it has none.
fn files(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).map(|path| (path.clone(), fs::read(&path).ok())).collect()
}

#[test]
fn a_dry_run_refuses_what_the_run_refuses_and_neither_leaves_a_trace() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let _file = scratch.file("file", b"of the user");
    let _kernel = scratch.file("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0");
    let _listener = UnixListener::bind(scratch.path("taken")).unwrap();
    drop(UnixListener::bind(scratch.path("left")).unwrap());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let directory = scratch.path("").display().to_string();
    let directory = directory.trim_end_matches('/');
    let before = files(directory.as_ref());
    for (words, expected) in REFUSED {
        let words = words.replace("DIR", directory).replace("PORT", &port).replace("CARD", CARD);
        // It would be created before what is refused.
        let log = format!("file:{directory}/log");
        let log: &[_] = if words.contains("-serial") { &[] } else { &["-serial", &log] };
        let start = |extra: &[&str]| {
            Start::guest("P").args(words.split_ascii_whitespace()).args(log).args(extra)
        };
        let (dry, run) = (start(&["-dry-run"]).refused(), start(&[]).refused());
        assert_eq!(dry, run, "{words}");
        let _ = run.says(expected);
        assert_eq!(files(directory.as_ref()), before, "{words}");
    }
}

#[test]
fn a_dry_run_creates_nothing_that_the_run_would() {
    let scratch = Scratch::new();
    let directory = scratch.path("").display().to_string();
    for words in [
        "-serial file:DIR/x",
        "-serial unix:DIR/x,server=on",
        "-chardev stdio,id=c,logfile=DIR/x -serial chardev:c",
        "-debugcon file:DIR/x",
        "-serial unix:DIR/x,server=on,wait=off -serial unix:DIR/x",
        "-gdb unix:DIR/x",
        "-qmp unix:DIR/x,server=on",
        "-netdev stream,id=n,server=on,addr.type=unix,addr.path=DIR/x CARD",
        "-netdev user,id=n CARD -object filter-dump,id=d,netdev=n,file=DIR/x",
        "-pidfile DIR/x",
        "-vmcore DIR/x",
        "-timeline DIR/x.json",
    ] {
        let words = words.replace("DIR", directory.trim_end_matches('/')).replace("CARD", CARD);
        let ended = Start::guest("P").args(words.split_ascii_whitespace()).args(["-dry-run"]).run();
        assert_eq!(ended.code(), Some(0), "{words}: {ended:?}");
        assert!(files(directory.as_ref()).is_empty(), "{words}");
    }
}

/// Its program may take a single connection.
#[test]
fn a_dry_run_connects_to_nobody() {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let path = path.display();
    for words in [
        format!("-serial unix:{path}"),
        format!(
            "-netdev stream,id=n,addr.type=unix,addr.path={path} -device virtio-net-device,netdev=n"
        ),
    ] {
        let ended = Start::guest("P").args(words.split_ascii_whitespace()).args(["-dry-run"]).run();
        assert_eq!(ended.code(), Some(0), "{words}: {ended:?}");
        assert!(listener.accept().is_err(), "{words}");
    }
}
