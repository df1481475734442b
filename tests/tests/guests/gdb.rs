//! Debian's gdb with a real kernel, from its first instruction into a hang: `make test-kunit`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use chukka_tests::guest::{MARKER, command_word, initrd};
use chukka_tests::lab::Bochs;
use chukka_tests::native::Scratch;
use chukka_tests::{assets, binaries, sys};

/// The kernel has LKDTM, which hangs it with interrupts off.
const HANG: &str = "mount -t debugfs none /sys/kernel/debug; echo the guest hangs now; sleep 1; \
    echo HARDLOCKUP >/sys/kernel/debug/provoke-crash/DIRECT";
/// What gdb prints before the last `continue`.
const HANGING: &str = "nothing but Ctrl-C stops it now";
/// The longest time for gdb.
const LIMIT: Duration = Duration::from_secs(1800);

/// What gdb is told.
fn commands(socket: &Path) -> String {
    format!(
        "set pagination off
set confirm off
set style enabled off
set remotetimeout 600
target remote {}
hbreak start_kernel
continue
printf \"jiffies: %lu\\n\", jiffies
stepi
next
delete
watch jiffies
continue
backtrace
delete
break kernel_execve
continue
delete
finish
hbreak lkdtm_HARDLOCKUP
continue
backtrace
delete
echo {HANGING}\\n
continue
printf \"waited: %d\\n\", jiffies > 4294892296 + 250
info threads
monitor info cpus
kill
",
        socket.display()
    )
}

/// What gdb prints, in this order.
const PRINTED: [&str; 16] = [
    "0x0000000001000", // the first instruction, at the kernel's entry
    "Breakpoint 1, start_kernel () at ",
    // INITIAL_JIFFIES of include/linux/jiffies.h, five minutes before 32 bits overflow.
    "jiffies: 4294892296\n",
    "Hardware watchpoint 2: jiffies\n\nOld value = 4294892296\nNew value = 4294892297\n",
    "do_timer (",
    "tick_periodic (",
    "Breakpoint 3, kernel_execve (kernel_filename=",
    "\"/init\"",
    "Value returned is $1 = 0\n",
    "Breakpoint 4, lkdtm_HARDLOCKUP () at ",
    HANGING,
    "Program received signal SIGINT, Interrupt.\n",
    "waited: 1\n",
    "Thread 1.1 (CPU 0)",
    "with interrupts off\n",
    "[Inferior 1 (process 1) killed]\n",
];

#[test]
#[ignore = "needs a kernel, gdb and Bochs: make test-kunit"]
fn gdb_follows_a_kernel_from_its_first_instruction_into_a_hang() {
    let files = Scratch::new();
    let chukka = binaries::chukka().expect("it is built");
    let kernel = assets::assets_folder().join("kunit/build/arch/x86/boot/bzImage");
    let initrd = initrd().expect("busybox is there");
    // Without CONFIG_SERIAL_8250_PNP, the kernel knows the interrupt of a serial port on pc only.
    let script = format!(
        "stty -F /dev/ttyS1 raw -echo 115200
{} -machine pc -kernel {} -initrd {} -m 128M -nographic -no-reboot \
    -append 'console=ttyS0 nokaslr {}' -S -gdb tcp::1234 </dev/null & chukka=$!
until netstat -tln | grep -q :1234; do sleep 1; done
echo the server for gdb is ready
nc 127.0.0.1 1234 </dev/ttyS1 >/dev/ttyS1
wait $chukka
echo the status of chukka: $?",
        chukka.display(),
        kernel.display(),
        initrd.display(),
        command_word(HANG),
    );
    let socket = files.path("gdb");
    let machine = Bochs::start(files.as_ref(), &script, &[&chukka, &kernel, &initrd], &socket);
    let mut machine = machine.expect("make test-kunit installs Bochs");
    machine.wait_for("the server for gdb is ready").expect("the machine boots");

    let (script, printed) =
        (files.file("commands", commands(&socket).as_bytes()), files.path("out"));
    let output = File::create(&printed).expect("the folder is there");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-x"]).arg(&script);
    gdb.arg(assets::assets_folder().join("kunit/build/vmlinux")).stdin(Stdio::null());
    gdb.stdout(output.try_clone().expect("it is open")).stderr(output);
    sys::die_with_parent_thread(&mut gdb);
    let mut gdb = gdb.spawn().expect("make test-kunit installs gdb");
    let text = || fs::read_to_string(&printed).unwrap_or_default();
    let start = Instant::now();
    let mut interrupted = false;
    while gdb.try_wait().expect("it is ours").is_none() {
        if !interrupted && text().contains(HANGING) {
            sleep(Duration::from_secs(20));
            let pid = i32::try_from(gdb.id()).expect("a small number");
            sys::kill(pid, libc::SIGINT).expect("it runs");
            interrupted = true;
        }
        if start.elapsed() > LIMIT {
            drop(gdb.kill());
        }
        sleep(Duration::from_millis(100));
    }
    let text = text();
    let mut rest = text.as_str();
    for expected in PRINTED {
        let found = rest.split_once(expected);
        assert!(found.is_some(), "{expected:?} in order: {text}\n{}", machine.console());
        rest = found.map_or(rest, |(_, rest)| rest);
    }
    machine.wait_for("the status of chukka: 0").expect("gdb has ended it");
    let console = machine.console();
    for line in [MARKER, "the guest hangs now", "chukka: ended by the debugger"] {
        assert!(console.contains(line), "{line:?}: {console}");
    }
    // That it prints nothing while gdb has not started it is no surprise.
    assert!(!console.contains("has printed nothing"), "{console}");
}
