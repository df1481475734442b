//! Debian's gdb with real kernels, from their first instruction into a hang: `make test-kunit`.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use chukka_tests::guest::{MARKER, command_word, initrd};
use chukka_tests::lab::Bochs;
use chukka_tests::native::Scratch;
use chukka_tests::{assets, binaries, sys};

/// What gdb prints before the last `continue`.
const HANGING: &str = "nothing but Ctrl-C stops it now";
/// The longest time for gdb.
const LIMIT: Duration = Duration::from_secs(1800);
/// Symbols of Debian's kernel that gdb is told about.
const SYMBOLS: [&str; 3] = ["start_kernel", "jiffies", "kernel_execve"];

/// The first bytes of `/init`: the kernel runs modprobe before.
const INI: u32 = u32::from_le_bytes(*b"/ini");

/// What a session has printed.
struct Session {
    gdb: String,
    console: String,
}

impl Session {
    /// Has gdb debug a guest with this kernel and this command line. `commands` makes gdb's from
    /// the console, on which the machine, running Debian's kernel too, has printed [`SYMBOLS`].
    fn run(
        kernel: &Path,
        words: &str,
        symbols: Option<&Path>,
        commands: impl Fn(&str) -> String,
    ) -> Self {
        let files = Scratch::new();
        let chukka = binaries::chukka().expect("it is built");
        let initrd = initrd().expect("busybox is there");
        let script = format!(
            "stty -F /dev/ttyS1 raw -echo 115200
grep -E ' ({})$' /proc/kallsyms
{} -kernel {} -initrd {} -nographic -no-reboot {words} -S -gdb tcp::1234 </dev/null & chukka=$!
until netstat -tln | grep -q :1234; do sleep 1; done
echo the server for gdb is ready
nc 127.0.0.1 1234 </dev/ttyS1 >/dev/ttyS1
wait $chukka
echo the status of chukka: $?",
            SYMBOLS.join("|"),
            chukka.display(),
            kernel.display(),
            initrd.display(),
        );
        let socket = files.path("gdb");
        let machine = Bochs::start(files.as_ref(), &script, &[&chukka, kernel, &initrd], &socket);
        let mut machine = machine.expect("make test-kunit installs Bochs");
        machine.wait_for("the server for gdb is ready").expect("the machine boots");
        let mut all = String::from(
            "set pagination off\nset confirm off\nset style enabled off\nset remotetimeout 600\n",
        );
        write!(all, "target remote {}\n{}", socket.display(), commands(&machine.console()))
            .expect("it is a string");
        let gdb = gdb(&files, &all, symbols, || machine.console().contains(MARKER));
        let ended = machine.wait_for("the status of chukka: 0");
        assert!(ended.is_ok(), "gdb has not ended it: {gdb}\n{ended:?}");
        Self { gdb, console: machine.console() }
    }

    /// Checks that gdb has printed these in this order, and the console these.
    fn check(&self, printed: &[&str], console: &[&str]) {
        let mut rest = self.gdb.as_str();
        for expected in printed {
            let found = rest.split_once(expected);
            assert!(found.is_some(), "{expected:?} in order: {}\n{}", self.gdb, self.console);
            rest = found.map_or(rest, |(_, rest)| rest);
        }
        for line in console.iter().chain(&[MARKER, "chukka: ended by the debugger"]) {
            assert!(self.console.contains(line), "{line:?}: {}", self.console);
        }
        // That it prints nothing while gdb has not started it is no surprise.
        assert!(!self.console.contains("has printed nothing"), "{}", self.console);
    }
}

/// Runs gdb to its end; presses Ctrl-C 20 s after it has printed [`HANGING`] and userspace runs.
fn gdb(
    files: &Scratch,
    commands: &str,
    symbols: Option<&Path>,
    userspace: impl Fn() -> bool,
) -> String {
    let (script, printed) = (files.file("commands.gdb", commands.as_bytes()), files.path("out"));
    let output = File::create(&printed).expect("the folder is there");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-x"]).arg(&script).args(symbols).stdin(Stdio::null());
    gdb.stdout(output.try_clone().expect("it is open")).stderr(output);
    sys::die_with_parent_thread(&mut gdb);
    let mut gdb = gdb.spawn().expect("make test-kunit installs gdb");
    let text = || fs::read_to_string(&printed).unwrap_or_default();
    let start = Instant::now();
    let mut interrupted = false;
    while gdb.try_wait().expect("it is ours").is_none() {
        if !interrupted && text().contains(HANGING) && userspace() {
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
    text()
}

/// A small kernel with debug information, as its developers have. LKDTM hangs it with interrupts
/// off.
#[test]
#[ignore = "needs a kernel, gdb and Bochs: make test-kunit"]
fn gdb_follows_a_kernel_from_its_first_instruction_into_a_hang() {
    let built = |name: &str| -> PathBuf { assets::assets_folder().join("kunit/build").join(name) };
    let hang = "mount -t debugfs none /sys/kernel/debug; echo the guest hangs now; sleep 1; \
        echo HARDLOCKUP >/sys/kernel/debug/provoke-crash/DIRECT";
    // Without CONFIG_SERIAL_8250_PNP, the kernel knows the interrupt of a serial port on pc only.
    let words =
        format!("-machine pc -m 128M -append 'console=ttyS0 nokaslr {}'", command_word(hang));
    let commands = |_: &str| {
        format!(
            "hbreak start_kernel
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
"
        )
    };
    let vmlinux = built("vmlinux");
    let session = Session::run(&built("arch/x86/boot/bzImage"), &words, Some(&vmlinux), commands);
    session.check(
        &[
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
        ],
        &["the guest hangs now"],
    );
}

/// Debian's kernel, which has no symbols: their addresses are in /proc/kallsyms, here that of the
/// machine, which runs the same kernel.
#[test]
#[ignore = "needs gdb and Bochs: make test-kunit"]
fn gdb_follows_debian_s_kernel_by_addresses() {
    let kernel = assets::cloud().expect("make test-kunit downloads it");
    let commands = |console: &str| {
        let address = |name: &str| {
            let end = format!(" {name}");
            let line = console.lines().find(|line| line.ends_with(&end));
            let address = line.and_then(|line| line.split_once(' ')).map(|(address, _)| address);
            format!("0x{}", address.expect("the machine has printed it"))
        };
        let [start_kernel, jiffies, execve] = SYMBOLS.map(address);
        format!(
            "hbreak *{start_kernel}
continue
printf \"start_kernel: %d\\n\", $pc == {start_kernel}
printf \"jiffies: %lu\\n\", *(unsigned long *){jiffies}
stepi
printf \"stepped: %d\\n\", $pc != {start_kernel}
delete
watch *(unsigned long *){jiffies}
continue
delete
break *{execve} if *(int *)$rdi == {INI}
continue
printf \"execve of %s\\n\", (char *)$rdi
delete
echo {HANGING}\\n
continue
info threads
kill
"
        )
    };
    let words = "-m 256M -smp 2 -append 'console=ttyS0 quiet nokaslr guest.run=busy'";
    let session = Session::run(&kernel.vmlinuz, words, None, commands);
    session.check(
        &[
            "start_kernel: 1\n",
            "jiffies: 4294892296\n",
            "stepped: 1\n",
            "Hardware watchpoint 2: ",
            "Old value = 4294892296\nNew value = 4294892297\n",
            "Breakpoint 3, ",
            "execve of /init\n",
            HANGING,
            " received signal SIGINT, Interrupt.\n",
            "Thread 1.1 (CPU 0)",
            "Thread 1.2 (CPU 1)",
            "[Inferior 1 (process 1) killed]\n",
        ],
        &[],
    );
}
