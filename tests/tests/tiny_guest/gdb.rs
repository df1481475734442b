//! The server for gdb, asked by a client of the tests.
//!
//! Software KVMs may know neither INT3 nor data breakpoints: `guests/gdb.rs` stops at those.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use chukka_tests::native::gdb::Remote;
use chukka_tests::native::guest::{ADDRESS, elf_header};
use chukka_tests::native::{self, Chukka, Scratch, Start};

/// `mov rdi, COUNTER`, and then for ever `inc qword ptr [rdi]`, `nop`.
const LOOP: [u8; 13] =
    [0x48, 0xc7, 0xc7, 0x00, 0x00, 0x20, 0x00, 0x48, 0xff, 0x07, 0x90, 0xeb, 0xfa];
/// What the loop counts in.
const COUNTER: u64 = 0x20_0000;
const INC: u64 = ADDRESS + 7;
const NOP: u64 = ADDRESS + 10;

/// A guest under a server for gdb.
struct Debugged {
    chukka: Chukka,
    remote: Remote,
    socket: PathBuf,
    _files: Vec<Scratch>,
}

impl Debugged {
    /// Starts chukka with these words.
    fn start(start: &Start, words: &[&str]) -> Self {
        let files = Scratch::new();
        let socket = files.path("gdb");
        let address = format!("unix:{},server=on,wait=off", socket.display());
        let chukka = start.clone().args(["-gdb", &address]).args(words).start();
        let remote = Remote::connect(&socket);
        let mut this = Self { chukka, remote, socket, _files: vec![files] };
        assert!(this.remote.ask("qSupported:swbreak+;hwbreak+").contains("qXfer:features:read+"));
        assert!(this.remote.ask("?").starts_with("T05thread:"));
        this
    }

    /// The guest that counts.
    fn counting(words: &[&str]) -> Self {
        let files = Scratch::new();
        let mut kernel = elf_header(62, LOOP.len() as u64);
        kernel.resize(0x1000, 0);
        kernel.extend(LOOP);
        let start = Start::kernel(&files.file("kernel", &kernel)).args(["-m", "64M"]);
        let mut this = Self::start(&start, words);
        this._files.push(files);
        this
    }

    fn counter(&mut self) -> u64 {
        let memory = self.remote.memory(COUNTER, 8);
        memory.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[test]
fn a_held_guest_steps_and_stops_at_breakpoints() {
    if !native::kvm() {
        return;
    }
    let mut guest = Debugged::counting(&["-S", "-smp", "2"]);
    let mut threads = guest.remote.ask("qfThreadInfo");
    threads += &guest.remote.ask("qsThreadInfo");
    assert_eq!(threads, "m01,02l");
    assert_eq!(guest.remote.pc(0), ADDRESS, "nothing has been executed");
    assert_eq!(guest.remote.memory(ADDRESS, 7), LOOP[..7]);
    assert_eq!(guest.remote.ask("vCont;s:1;c"), "T05thread:01;");
    assert_eq!((guest.remote.pc(0), guest.remote.general(5)), (INC, COUNTER));
    // A software breakpoint replaces the instruction, which is as it was once it is removed.
    let nop = format!("{NOP:x}");
    assert_eq!(guest.remote.ask(&format!("Z0,{nop},1")), "OK");
    assert_eq!(guest.remote.memory(NOP, 1), [0xcc]);
    assert_eq!(guest.remote.ask(&format!("z0,{nop},1")), "OK");
    assert_eq!(guest.remote.memory(NOP, 1), [0x90]);
    // A watchpoint takes whole words, and cannot be for reads alone.
    for (packet, answer) in [("2,200000,8", "OK"), ("2,200001,8", "E"), ("3,200000,8", "E")] {
        let answered = guest.remote.ask(&format!("Z{packet}"));
        assert!(answered.starts_with(answer), "{packet}: {answered}");
    }
    assert_eq!(guest.remote.ask("z2,200000,8"), "OK");
    // A hardware breakpoint.
    assert_eq!(guest.remote.ask(&format!("Z1,{INC:x},1")), "OK");
    assert_eq!(guest.remote.ask("vCont;c"), "T05thread:01;hwbreak:;");
    assert_eq!(guest.remote.pc(0), INC);
    assert_eq!(guest.remote.ask(&format!("z1,{INC:x},1")), "OK");
    // A range: it goes on as long as it is inside.
    assert_eq!(guest.remote.ask(&format!("vCont;r{INC:x},{:x}:1;c", NOP + 1)), "T05thread:01;");
    assert_eq!(guest.remote.pc(0), NOP + 1);
    // Memory and registers can be changed.
    assert_eq!(guest.remote.ask(&format!("M{COUNTER:x},8:0001000000000000")), "OK");
    let mut registers = guest.remote.registers(0);
    registers[128..136].copy_from_slice(&INC.to_le_bytes());
    let digits: String = registers.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(guest.remote.ask(&format!("G{digits}")), "OK");
    assert_eq!(guest.remote.ask("vCont;s:1;c"), "T05thread:01;");
    assert_eq!((guest.remote.pc(0), guest.counter()), (NOP, 0x101));
    guest.remote.send("k");
    let ended = guest.chukka.wait();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("chukka: ended by the debugger"), "{ended:?}");
    assert!(!guest.socket.exists(), "the socket is gone");
}

#[test]
fn ctrl_c_stops_a_guest_that_spins_and_detaching_lets_it_go_on() {
    if !native::kvm() {
        return;
    }
    let mut guest = Debugged::counting(&["-timeout", "20"]);
    // The first Ctrl-C may come before the first instruction.
    let mut stops = 0;
    while !(INC..=NOP + 1).contains(&guest.remote.pc(0)) {
        guest.remote.send("vCont;c");
        thread::sleep(Duration::from_millis(100));
        guest.remote.send_raw(b"\x03").expect("it is connected");
        assert_eq!(guest.remote.receive().as_deref(), Some("T02thread:01;"));
        stops += 1;
        assert!(stops < 100, "it does not run");
    }
    // As long as it is stopped, nothing counts.
    let before = guest.counter();
    assert_eq!(guest.counter(), before);
    // Detached, with a breakpoint left where it comes by, it goes on.
    assert_eq!(guest.remote.ask(&format!("Z0,{NOP:x},1")), "OK");
    assert_eq!(guest.remote.ask(&format!("Z1,{INC:x},1")), "OK");
    assert_eq!(guest.remote.ask("D"), "OK");
    thread::sleep(Duration::from_millis(300));
    let mut again = Remote::connect(&guest.socket);
    assert!(again.ask("?").starts_with("T05"));
    assert_eq!(again.memory(NOP, 1), [0x90], "the breakpoint is gone");
    guest.remote = again;
    assert!(guest.counter() > before, "the guest went on");
    guest.remote.send("k");
    assert_eq!(guest.chukka.wait().code(), Some(0));
}

#[test]
fn a_second_client_is_turned_away_and_the_first_hears_of_the_guest_s_end() {
    if !native::kvm() {
        return;
    }
    let mut guest = Debugged::start(&Start::guest("DP"), &["-S"]);
    assert_eq!(Remote::connect(&guest.socket).receive(), None);
    assert_eq!(guest.remote.ask("vCont;c"), "W00");
    let ended = guest.chukka.wait();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the guest powered off"), "{ended:?}");
}

#[test]
fn whatever_a_client_sends_ends_at_most_its_session() {
    if !native::kvm() {
        return;
    }
    let mut guest = Debugged::counting(&[]);
    drop(guest.remote);
    let mut seed = 1u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_le_bytes()[3]
    };
    for rubbish in [
        "$m0,ffffffffffffffff#aa",
        "$mffffffffffffffff,20#bb",
        "$Z1,0,1#00",
        "$vCont;s:p1.99#00",
        "$Hg77#00",
        "$G00#00",
        "$P0=1#00",
        "$qXfer:features:read:target.xml:ffffffff,ffff#00",
        "$Z0,ffffffffffffffff,1#00",
        "$Z2,1,7#00",
        "$M0,ffff:00#00",
        "$X0,5:#00",
        "$vCont;r5,1:1#00",
    ] {
        // With a checksum that is right, too.
        let body = &rubbish[1..rubbish.len() - 3];
        let sum = body.bytes().fold(0u8, u8::wrapping_add);
        let mut remote = Remote::connect(&guest.socket);
        drop(remote.send_raw(format!("{rubbish}${body}#{sum:02x}\x03").as_bytes()));
    }
    for _ in 0..5 {
        let mut remote = Remote::connect(&guest.socket);
        let noise: Vec<u8> = (0..5_000).map(|_| random()).collect();
        drop(remote.send_raw(&noise));
    }
    guest.remote = Remote::connect(&guest.socket);
    assert!(guest.remote.ask("?").starts_with("T05"));
    guest.remote.send("k");
    assert_eq!(guest.chukka.wait().code(), Some(0));
}

#[test]
fn a_client_that_sends_rubbish_or_goes_leaves_the_guest_running() {
    if !native::kvm() {
        return;
    }
    for rubbish in [&b"$vCont;x#99"[..], b"$mzz#00", &[b'$'; 40_000], b"\x03\x03\x03$", b"$k"] {
        let mut guest = Debugged::start(&Start::guest("DP"), &["-S"]);
        drop(guest.remote.send_raw(rubbish));
        drop(guest.remote);
        let ended = guest.chukka.wait();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(ended.stderr.contains("the guest powered off"), "{ended:?}");
    }
}

#[test]
fn firmware_is_debugged_from_the_reset_vector_in_real_mode() {
    if !native::kvm() {
        return;
    }
    let start = native::start(["-bios", "/usr/share/seabios/bios-256k.bin", "-nodefaults"]);
    let kernel = Scratch::new();
    let kernel_file = kernel.file("kernel", &native::guest::bzimage("P"));
    let start = start.args(["-machine", "pc", "-serial", "null", "-kernel"]).args([&kernel_file]);
    let mut guest = Debugged::start(&start, &["-S"]);
    let reset = 0xffff_fff0;
    assert_eq!(guest.remote.pc(0), reset);
    let jump = guest.remote.memory(reset, 5);
    assert_eq!(jump[0], 0xea, "a far jump, read from the ROM: {jump:02x?}");
    let entry = u64::from(jump[3]) << 4 | u64::from(jump[4]) << 12;
    let entry = entry + u64::from(jump[1]) + (u64::from(jump[2]) << 8);
    assert_eq!(guest.remote.ask("vCont;s:1;c"), "T05thread:01;");
    assert_eq!(guest.remote.pc(0), entry, "a linear address");
    // ROM takes no software breakpoint; the copy below 1 MiB takes a hardware one.
    assert_ne!(guest.remote.ask(&format!("Z0,{reset:x},1")), "OK");
    assert_eq!(guest.remote.ask("D"), "OK");
    let ended = guest.chukka.wait();
    assert!(ended.stderr.contains("the guest powered off"), "{ended:?}");
}
