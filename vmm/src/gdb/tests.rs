//! The server as a client sees it, with a guest on the host's KVM.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvm_bindings::kvm_debug_exit_arch;
use kvm_ioctls::Kvm;

use super::*;
use crate::config::SocketAddress;
use crate::kvm::debug_flags;
use crate::tests::{CODE, END, Guest as TestGuest};

/// A client, and the guest that it debugs.
struct Client {
    server: Debugger,
    guest: TestGuest,
    stream: UnixStream,
    ended: Option<Outcome>,
}

const NOP: u8 = 0x90;
const INT3: u8 = 0xcc;

impl Client {
    fn new(code: &[u8]) -> Option<Self> {
        Some(Self::of(TestGuest::new(code)?, false))
    }

    fn of(mut guest: TestGuest, hold: bool) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("chukka-gdb-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let address = SocketAddress::Unix(path.clone());
        let memory = Slots { ram: guest.ram.slots().collect(), rom: Vec::new() };
        let config = GdbConfig { address, hold };
        let supported = debug_flags(&Kvm::new().unwrap()).unwrap();
        let mut server = Debugger::listen(&config, memory, supported).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        server.attend(&mut guest.vcpus);
        Self { server, guest, stream, ended: None }
    }

    /// Sends bytes, and has the server take them.
    fn send(&mut self, bytes: &[u8]) {
        Write::write_all(&mut self.stream, bytes).unwrap();
        self.ended = self.server.attend(&mut self.guest.vcpus);
    }

    /// Whatever the server has sent, without acknowledgements, and with runs of equal characters in
    /// full ("Packet Acknowledgment" and "Overview" of "Remote Protocol" in gdb's manual).
    fn received(&mut self) -> String {
        self.stream.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        // It fails when nothing more is there.
        let _ = self.stream.read_to_end(&mut bytes);
        self.stream.set_nonblocking(false).unwrap();
        let (mut text, mut rest) = (String::new(), bytes.into_iter().filter(|byte| *byte != b'+'));
        while let Some(byte) = rest.next() {
            if byte == b'*' {
                let (last, count) = (text.chars().last().unwrap(), rest.next().unwrap() - 29);
                text.extend((0..count).map(|_| last));
            } else {
                text.push(byte.into());
            }
        }
        text
    }

    /// Sends a packet and returns the contents of the answers, one a line.
    fn ask(&mut self, packet: &str) -> String {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.send(format!("${packet}#{sum:02x}").as_bytes());
        let text = self.received();
        let packets = text.split('$').skip(1).map(|packet| packet.split('#').next().unwrap());
        packets.collect::<Vec<_>>().join("\n")
    }

    /// Lets the guest go on until the server reports a stop, or a CPU ends the run.
    fn resume(&mut self, packet: &str) -> String {
        let told = self.ask(packet);
        if told.is_empty() { self.go_on() } else { told }
    }

    fn go_on(&mut self) -> String {
        loop {
            self.server.attend(&mut self.guest.vcpus);
            let told = self.received();
            if !told.is_empty() {
                return told;
            }
            for vcpu in self.guest.vcpus.iter_mut().filter(|vcpu| !vcpu.debug.held) {
                assert_eq!(vcpu.run(), None);
                if vcpu.notifier.is_exiting() {
                    return "end".into();
                }
            }
        }
    }

    fn pc(&self) -> u64 {
        self.guest.vcpus[0].fd.get_regs().unwrap().rip
    }

    /// The answers to a command of the monitor, as text.
    fn monitor(&mut self, command: &str) -> String {
        let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        let answers = self.ask(&format!("qRcmd,{hex}"));
        let text =
            answers.lines().filter_map(|line| line.strip_prefix('O')).filter(|line| *line != "K");
        let byte =
            |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        let bytes = text.flat_map(|hex| hex.as_bytes().chunks(2).map(byte)).collect();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn memory_is_accessed_by_the_guest_s_page_tables() {
    let Some(guest) = TestGuest::new(&END) else { return };
    // In the upper half, as a kernel is; pages that follow each other are elsewhere in memory.
    const KERNEL: u64 = 0xffff_ffff_8100_0000;
    guest.map(&[(KERNEL, 0x5000), (KERNEL + 0x1000, 0x3000), (KERNEL + 0x3000, 0x7000)]);
    guest.set_memory(0x5ffe, &[1, 2]);
    guest.set_memory(0x3000, &[3, 4]);
    guest.set_memory(0x3ffe, &[5, 6]);
    let mut client = Client::of(guest, false);
    assert_eq!(client.ask("mffffffff81000ffe,4"), "01020304");
    assert_eq!(client.ask("mffffffff81001ffe,4"), "0506", "the next page is not there");
    assert!(client.ask("mffffffff81002000,4").starts_with('E'));
    assert_eq!(client.ask("Mffffffff81000fff,3:0a0b0c"), "OK");
    assert_eq!(client.guest.memory(0x5ffe), [1, 10]);
    assert_eq!(client.guest.memory(0x3000), [11, 12]);
    assert!(client.ask("Mffffffff81001fff,2:0d0e").starts_with('E'), "not all was written");
    // An address that would wrap round.
    assert!(client.ask("mfffffffffffffffe,4").starts_with('E'));
}

#[test]
fn a_cpu_steps_by_one_instruction_or_through_a_range() {
    let Some(mut client) = Client::new(&[[NOP; 8].as_slice(), &END].concat()) else { return };
    let told = client.resume("vCont;s:1");
    assert!(told.starts_with("$T05"), "{told}");
    assert_eq!(client.pc(), CODE + 1);
    client.resume("vCont;r1000,1004:1");
    assert_eq!(client.pc(), CODE + 4);
    let ended = client.resume("vCont;c");
    assert_eq!(ended, "end", "without a step, it runs");
}

#[test]
fn a_breakpoint_in_memory_stops_the_guest_and_leaves_no_trace() {
    let Some(mut client) = Client::new(&[[NOP; 8].as_slice(), &END].concat()) else { return };
    assert_eq!(client.ask("Z0,1001,1"), "OK");
    assert_eq!(client.ask("Z0,1001,1"), "OK", "it is there already");
    assert_eq!(client.ask("Z0,1005,1"), "OK");
    assert_eq!(client.guest.memory(CODE), [NOP, INT3, NOP, NOP, NOP, INT3]);
    assert_eq!(client.ask("vCont;c"), "");
    client.guest.vcpus[0].debug.exit = exception(3, CODE + 1, 0);
    let told = client.go_on();
    assert!(told.contains("swbreak:"), "{told}");
    // What the guest itself has written in its place stays.
    client.guest.set_memory(CODE + 5, &[0x55]);
    assert_eq!(client.ask("z0,1001,1"), "OK");
    assert_eq!(client.ask("z0,1005,1"), "OK");
    assert_eq!(client.guest.memory(CODE), [NOP, NOP, NOP, NOP, NOP, 0x55]);
    assert!(!client.ask("Z0,900000,1").starts_with("OK"), "no memory is there");
    assert_eq!(client.ask("Z0,1002,1"), "OK");
    drop(std::mem::replace(&mut client.stream, UnixStream::pair().unwrap().0));
    client.server.attend(&mut client.guest.vcpus);
    assert_eq!(client.guest.memory(CODE + 2), [NOP], "the client has gone");
    assert!(!client.server.holds());
}

/// The handlers note that they were called.
#[test]
fn breakpoints_of_the_guest_s_own_go_to_the_guest() {
    for (number, other, handler) in [(3u32, 1u32, 0x1010u16), (1, 3, 0x1020)] {
        // mov byte ptr [0x3000], 7
        let note = [&[0xc6, 0x06, 0x00, 0x30, 7][..], &END].concat();
        let mut code = [NOP; 0x40].to_vec();
        code[..2].copy_from_slice(&END);
        code[usize::from(handler - 0x1000)..][..note.len()].copy_from_slice(&note);
        let Some(mut client) = Client::new(&code) else { return };
        client.guest.set_memory(u64::from(number) * 4, &handler.to_le_bytes());
        client.guest.set_memory(u64::from(other) * 4, &[0, 0x10]);
        assert_eq!(client.ask("vCont;c"), "");
        client.guest.vcpus[0].debug.exit = exception(number, CODE, 0);
        assert_eq!(client.go_on(), "end");
        assert_eq!(client.guest.memory(0x3000), [7], "exception {number}");
    }
}

#[test]
fn debug_registers_stop_the_guest_before_an_instruction_and_after_an_access() {
    let Some(mut client) = Client::new(&[[NOP; 8].as_slice(), &END].concat()) else { return };
    assert_eq!(client.ask("Z1,1001,1"), "OK");
    let told = client.resume("vCont;c");
    assert!(told.contains("hwbreak:"), "{told}");
    assert_eq!(client.pc(), CODE + 1);
    assert_eq!(client.ask("z1,1001,1"), "OK");
    assert_eq!(client.ask("Z2,3000,2"), "OK");
    assert_eq!(client.ask("vCont;c"), "");
    client.guest.vcpus[0].debug.exit = exception(1, CODE + 2, 0xffff_0ff1);
    let told = client.go_on();
    assert!(told.contains("watch:3000;") || told.contains("watch:0000000000003000;"), "{told}");
    assert_eq!(client.ask("z2,3000,2"), "OK");
    assert_eq!(client.resume("vCont;c"), "end");
}

/// What KVM tells of an exception: its number, the address and DR6.
fn exception(exception: u32, pc: u64, dr6: u64) -> Option<kvm_debug_exit_arch> {
    Some(kvm_debug_exit_arch { exception, pc, dr6, ..Default::default() })
}

/// DR6.BS and DR6.B0 (Intel SDM vol. 3, 18.2.3); the bits from 4 to 11 are always set.
#[test]
fn debug_exceptions_of_the_guest_s_own_go_to_the_guest() {
    const STEPPED: u64 = 0xffff_4ff0;
    const HIT: u64 = 0xffff_0ff1;
    const NEITHER: u64 = 0xffff_0ff0;
    for (resume, dr6, stops) in [
        ("vCont;s:1", STEPPED, true),
        ("vCont;s:1", NEITHER, false),
        ("vCont;c:1", STEPPED, false),
        ("vCont;r1000,2000:1", STEPPED, false),
        ("vCont;r3000,4000:1", STEPPED, true),
        ("vCont;r3000,4000:1", NEITHER, false),
        ("vCont;c:1", HIT, true),
        ("vCont;c:1", NEITHER, false),
    ] {
        let Some(mut client) = Client::new(&END) else { return };
        assert_eq!(client.ask("Z1,1500,1"), "OK");
        assert_eq!(client.ask(resume), "");
        client.guest.vcpus[0].debug.exit = exception(1, CODE, dr6);
        client.server.attend(&mut client.guest.vcpus);
        let told = client.received();
        assert_eq!(told.contains("T05"), stops, "{resume} {dr6:x}: {told}");
        assert_eq!(told.contains("hwbreak"), dr6 == HIT, "{resume} {dr6:x}: {told}");
        assert_eq!(client.server.holds(), stops);
    }
}

#[test]
fn of_two_cpus_that_stop_at_once_the_first_is_reported() {
    let Some(guest) = TestGuest::with(&END, 2, &[]) else {
        return;
    };
    let mut client = Client::of(guest, false);
    assert_eq!(client.ask("vCont;s:1;s:2"), "");
    for vcpu in &mut client.guest.vcpus {
        vcpu.debug.exit = exception(1, CODE, 1 << 14);
    }
    client.server.attend(&mut client.guest.vcpus);
    let told = client.received();
    assert!(told.contains("thread:p01.01;") || told.contains("thread:01;"), "{told}");
    assert!(client.guest.vcpus.iter().all(|vcpu| vcpu.debug.exit.is_none()));
}

#[test]
fn only_the_cpus_that_are_named_run() {
    let Some(guest) = TestGuest::with(&END, 2, &[]) else {
        return;
    };
    let mut client = Client::of(guest, false);
    let mut held = |packet: &str| {
        assert_eq!(client.ask(packet), "");
        let held = client.guest.vcpus.iter().map(|vcpu| vcpu.debug.held).collect::<Vec<_>>();
        // Ctrl-C stops it again.
        client.send(&[3]);
        let told = client.received();
        assert!(told.starts_with("$T02"), "{told}");
        held
    };
    assert_eq!(held("vCont;c:2"), [true, false]);
    assert_eq!(held("vCont;c"), [false, false]);
    assert_eq!(held("vCont;s:1"), [false, true]);
    assert_eq!(held("vCont;s:1;c"), [false, false]);
}

#[test]
fn the_reset_of_the_machine_forgets_what_was_in_memory() {
    let Some(guest) = TestGuest::with(&[NOP; 8], 2, &[]) else {
        return;
    };
    let mut client = Client::of(guest, false);
    assert_eq!(client.ask("Z0,1001,1"), "OK");
    assert_eq!(client.ask("vCont;s:2"), "");
    client.guest.set_memory(CODE + 1, &[INT3]);
    client.server.adopt(&mut client.guest.vcpus);
    assert_eq!(client.guest.vcpus.len(), 2);
    assert!(client.guest.vcpus.iter().all(|vcpu| !vcpu.debug.held), "all run");
    client.send(&[3]);
    client.received();
    assert_eq!(client.ask("z0,1001,1"), "OK");
    assert_eq!(client.guest.memory(CODE + 1), [INT3], "an INT3 of the new kernel's own");
}

#[test]
fn the_monitor_shows_cpus_and_their_registers() {
    let Some(mut client) = Client::new(&END) else { return };
    let threads = client.ask("qThreadExtraInfo,1");
    assert_eq!(threads, "43505520 30".replace(' ', ""), "CPU 0");
    let cpus = client.monitor("info cpus");
    assert!(cpus.starts_with("CPU 0 ") && cpus.contains("RIP 0x1000 in real mode"), "{cpus}");
    let registers = client.monitor("info registers");
    assert!(
        registers.starts_with("CPU 0\n    cs  0000 base 0000000000000000 limit "),
        "{registers}"
    );
    assert!(
        registers.contains("    idt      base 0000000000000000 limit 0000ffff\n"),
        "{registers}"
    );
    let help = "monitor info cpus: where each CPU is, and what it was doing\n\
        monitor info registers: segments, tables, control registers\n";
    assert_eq!(client.monitor(" help "), help);
    assert_eq!(client.monitor("reboot"), format!("unknown command\n{help}"));
}

#[test]
fn a_guest_that_waits_for_a_client_goes_on_when_the_client_lets_it() {
    let Some(guest) = TestGuest::new(&END) else { return };
    let mut client = Client::of(guest, true);
    assert!(client.server.holds() && client.server.waiting);
    assert!(client.ask("?").starts_with('T') || client.server.waiting);
    client.ask("mffffffffffffff00,1");
    assert!(client.server.waiting, "no answer lets it go on");
    assert_eq!(client.ask("vCont;c"), "");
    assert!(!client.server.holds());
    client.send(&[3]);
    assert!(client.server.holds() && !client.server.waiting);
}

#[test]
fn a_client_can_end_the_run() {
    let Some(mut client) = Client::new(&END) else { return };
    client.ask("vKill;1");
    assert!(matches!(client.ended, Some(Outcome::Killed)), "{:?}", client.ended);
    assert!(!client.server.holds());
}

/// Packets, however many, may be as long as the buffer; one that is longer ends the session.
#[test]
fn a_packet_without_an_end_ends_the_session() {
    let Some(mut client) = Client::new(&END) else { return };
    for _ in 0..40 {
        client.ask(&format!("m1000,{:0>600}", 1));
        assert!(client.server.session.is_some());
    }
    for _ in 0..PACKET / 1024 {
        assert!(client.server.session.is_some());
        client.send(&[b'$'; 1024]);
        client.server.attend(&mut client.guest.vcpus);
    }
    assert!(client.server.session.is_none());
    assert!(!client.server.holds());
}
