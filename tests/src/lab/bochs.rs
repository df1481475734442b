//! A machine with an Intel processor, which Bochs emulates: its KVM has what a debugger needs.
//!
//! The lab's does not, as QEMU emulates SVM without some of it: a nested guest's debug registers do
//! nothing (target/i386/tcg/sysemu/svm_helper.c, `helper_vmrun`), and INT3 does not leave the guest
//! (target/i386/tcg/excp_helper.c, `raise_interrupt2`).

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::initramfs;
use crate::{Doing, Error, Result, assets, pack, sys};

/// Programs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 2] = [("bochs-bin", "bochs"), ("grub-mkrescue", "grub-common")];
/// The longest wait for a line on the console. The machine boots in a minute of processor time.
const LIMIT: Duration = Duration::from_secs(1800);

/// A running machine; dropping it switches it off.
#[derive(Debug)]
pub struct Bochs {
    process: Child,
    console: PathBuf,
}

impl Bochs {
    /// Boots Debian's cloud kernel from a CD, at the addresses that it is linked for. It loads KVM
    /// and runs `script` by busybox's shell, with the files `needs` under the same names. The other
    /// end of `/dev/ttyS1` is the UNIX socket `serial`. Files of the machine are in `folder`.
    ///
    /// # Errors
    /// If something that it needs is missing.
    pub fn start(folder: &Path, script: &str, needs: &[&Path], serial: &Path) -> Result<Self> {
        for (program, package) in PROGRAMS {
            if pack::which(program).is_none() {
                return Err(Error::Missing(format!("{program} (package {package})")));
            }
        }
        let cd = cd(folder, script, needs)?;
        let port = relay(serial)?;
        let path = |name: &str| folder.join(name);
        let (settings, commands) = (path("bochsrc"), path("commands"));
        let (console, log) = (path("console"), path("log"));
        let text = settings_of(&cd, &console, &log, port);
        fs::write(&settings, text).doing_with("Writing", &settings)?;
        // Debian's Bochs has a debugger, which waits for this.
        fs::write(&commands, "continue\n").doing_with("Writing", &commands)?;
        let mut command = Command::new("bochs-bin");
        command.arg("-q").arg("-f").arg(&settings).arg("-rc").arg(&commands);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        sys::die_with_parent_thread(&mut command);
        let process = command.spawn().doing("Starting bochs-bin")?;
        Ok(Self { process, console })
    }

    /// What the machine has printed.
    #[must_use]
    pub fn console(&self) -> String {
        // Its terminal writes a carriage return before each new line.
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).replace('\r', "")
    }

    /// Waits until the machine has printed this.
    ///
    /// # Errors
    /// If it has ended, or half an hour has passed; then with what it printed.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let ended = self.process.try_wait().doing("Waiting for bochs-bin")?.is_some();
            let console = self.console();
            if console.contains(text) {
                return Ok(());
            }
            if ended || start.elapsed() > LIMIT {
                return Err(Error::Lab { what: format!("has not printed {text:?}"), console });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Bochs {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A CD with the kernel and an initramfs, which GRUB boots.
fn cd(folder: &Path, script: &str, needs: &[&Path]) -> Result<PathBuf> {
    let (tree, cd) = (folder.join("cd"), folder.join("cd.iso"));
    let grub = tree.join("boot/grub");
    fs::create_dir_all(&grub).doing_with("Making", &grub)?;
    initramfs::script(script, needs, &tree.join("boot/initrd"))?;
    let kernel = assets::cloud()?.vmlinuz;
    fs::copy(&kernel, tree.join("boot/vmlinuz")).doing_with("Copying", &kernel)?;
    let words = "console=ttyS0 panic=-1 loglevel=4 nokaslr mitigations=off";
    let clock = "no_timer_check nosmp tsc=reliable";
    let menu =
        format!("set timeout=0\nlinux /boot/vmlinuz {words} {clock}\ninitrd /boot/initrd\nboot\n");
    fs::write(grub.join("grub.cfg"), menu).doing_with("Writing", &grub)?;
    let output = Command::new("grub-mkrescue").arg("-o").arg(&cd).arg(&tree).output();
    let output = output.doing("Starting grub-mkrescue")?;
    if output.status.success() {
        return Ok(cd);
    }
    Err(Error::Tool {
        tool: "grub-mkrescue".into(),
        status: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn settings_of(cd: &Path, console: &Path, log: &Path, port: u16) -> String {
    let (cd, console, log) = (cd.display(), console.display(), log.display());
    format!(
        "config_interface: textconfig
display_library: rfb, options=\"timeout=0\"
cpu: model=corei7_haswell_4770, ips=60000000, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={console}
com2: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
speaker: enabled=0
log: {log}
panic: action=fatal
"
    )
}

/// Connects Bochs, which is a client of a TCP port, with a client of a UNIX socket. Returns the
/// port.
fn relay(socket: &Path) -> Result<u16> {
    let bochs = TcpListener::bind("127.0.0.1:0").doing("Listening for Bochs")?;
    let port = bochs.local_addr().doing("Finding the port")?.port();
    let client = UnixListener::bind(socket).doing_with("Listening at", socket)?;
    thread::spawn(move || {
        let (bochs, client) = (bochs.accept()?.0, client.accept()?.0);
        // An end of either connection ends the copying.
        pump(bochs.try_clone()?, client.try_clone()?);
        io::copy(&mut &client, &mut &bochs)
    });
    Ok(port)
}

fn pump(bochs: TcpStream, client: UnixStream) {
    thread::spawn(move || io::copy(&mut &bochs, &mut &client));
}
