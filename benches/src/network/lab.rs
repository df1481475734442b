//! A Linux guest that receives and sends over a user network, in the lab on a clock that counts
//! instructions.

use std::path::Path;
use std::time::Duration;

use chukka_tests::assets::Kernel;
use chukka_tests::guest::Initrd;
use chukka_tests::job::{Job, Mark, Report};
use chukka_tests::{lab, pack};

use crate::Error;
use crate::boot::OUTER_MEMORY;

/// MiB in each direction.
pub const MIB: u32 = 256;
/// What the guest prints before, between and after the transfers.
const MARKS: [&str; 3] = ["net-begin", "net-received", "net-sent"];
/// In virtual time.
const ENOUGH_SECS: u64 = 120;
/// Ticks of /proc's times in a second (`USER_HZ` on x86).
const TICKS: u64 = 100;

/// Perl is essential in Debian, and this needs none of its modules.
const PERL: &str = "/usr/bin/perl";
/// What udhcpc does with a lease.
const LEASE: &str = "#!/bin/sh
[ \"$1\" = bound ] && ip addr add \"$ip/$mask\" dev \"$interface\"
exit 0
";
/// Serves one connection after the other on the host. A client begins with 32 bytes: `receive` and
/// the number of bytes to send to it, or `send`; what it sends is confirmed.
const SERVER: &str = r#"
socket(L, 2, 1, 6) or die; bind(L, pack("Sna4x8", 2, 9000, "\x7f\0\0\1")) or die "$!"; listen(L, 5) or die;
$block = "chukka" x 43690;
while (accept(C, L)) {
	sysread(C, $line, 32); ($what, $left) = split(" ", $line);
	if ($what eq "send") { while (sysread(C, $bytes, 262144)) {} syswrite(C, "done"); close(C); next; }
	while ($left > 0) { $n = syswrite(C, $block, $left < length $block ? $left : length $block) or die "$!"; $left -= $n; }
	close(C);
}"#;
/// The guest's side of it.
const CLIENT: &str = r#"
my ($what, $left) = @ARGV; my $block = "chukka" x 43690;
socket(S, 2, 1, 6) or die; connect(S, pack("Sna4x8", 2, 9000, "\x0a\0\2\2")) or die "$!";
syswrite(S, sprintf("%-32s", "$what $left"));
if ($what eq "receive") {
	while ($n = sysread(S, $bytes, 262144)) { $left -= $n; }
	die "$left are missing: $!" if $left;
} else {
	while ($left > 0) { $n = syswrite(S, $block, $left < length $block ? $left : length $block) or die "$!"; $left -= $n; }
	shutdown(S, 1); sysread(S, $bytes, 16); die if $bytes ne "done";
}"#;

/// What the guest does. It transfers a MiB in each direction before it counts.
const GUEST: &str = "
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 10 -T 1 -s /lease.sh >/lease 2>&1
move() { /usr/bin/perl /client.pl $1 $2; }
move send 1048576
move receive 1048576 && echo net-begin
move receive {BYTES} && echo net-received
move send {BYTES} && echo net-sent
poweroff -f
";

/// What a MiB costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Instructions of the whole machine: VMM, its kernel, the guest and the server.
    pub all: f64,
    /// Instructions in the VMM's process outside of the guest, its system calls included.
    pub vmm: f64,
    /// VM exits.
    pub exits: f64,
}

/// A VMM that has a guest with a card on a user network.
#[derive(Debug, Clone)]
pub struct Vmm {
    /// Its name.
    pub name: String,
    /// Its command, without kernel and initrd.
    pub words: Vec<String>,
}

/// Counts for one VMM what receiving and sending a MiB costs.
///
/// # Errors
/// The guest does not come to its end, or the lab fails.
pub fn count(vmm: &Vmm, kernel: &Kernel) -> Result<[Cost; 2], Error> {
    let bytes = (u64::from(MIB) << 20).to_string();
    let mut initrd = Initrd::new()?.file("lease.sh", LEASE.as_bytes());
    for file in pack::closure(Path::new(PERL))? {
        let name = file.to_string_lossy().trim_start_matches('/').to_owned();
        initrd = initrd.file(&name, &std::fs::read(&file)?);
    }
    let modules = ["virtio_mmio", "virtio_pci", "virtio_net", "af_packet"];
    let (initrd, load) = initrd.file("client.pl", CLIENT.as_bytes()).modules(kernel, &modules)?;
    let initrd = initrd.script(&format!("{load}{}", GUEST.replace("{BYTES}", &bytes))).write()?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let host = format!("ifconfig lo 127.0.0.1 up; {PERL} -e '{SERVER}' & sleep 1; exec \"$@\"");
    let mut command = ["/bin/sh", "-c", &host, "sh"].map(String::from).to_vec();
    command.extend(vmm.words.iter().cloned());
    let files = [text(&kernel.vmlinuz), text(&initrd)];
    command.extend(["-kernel".into(), files[0].clone(), "-initrd".into(), files[1].clone()]);
    command.extend(["-append", "console=ttyS0 quiet panic=-1"].map(String::from));
    let mut job = Job::new(command).need(Path::new(&vmm.words[0])).need(Path::new(PERL));
    job = job.need(&kernel.vmlinuz).need(&initrd).timeout_secs(ENOUGH_SECS);
    job = MARKS.into_iter().fold(job, Job::mark);
    job.proc_files.push("stat".into());
    let reports = lab::icount(&[job], OUTER_MEMORY)?;
    costs(&reports[0]).map_err(|error| format!("{}: {error}", vmm.name).into())
}

fn costs(report: &Report) -> Result<[Cost; 2], Error> {
    let mark = |name: &str| {
        let mark = report.mark(name);
        mark.ok_or_else(|| format!("no {name}: {}\n{}", report.status, report.merged()))
    };
    let marks = [mark(MARKS[0])?, mark(MARKS[1])?, mark(MARKS[2])?];
    Ok([between(marks[0], marks[1])?, between(marks[1], marks[2])?])
}

fn between(from: &Mark, to: &Mark) -> Result<Cost, Error> {
    let exits =
        |mark: &Mark| mark.counters.get("exits").copied().ok_or("KVM's counters are missing");
    let outside = |mark: &Mark| {
        let stat = mark.proc_files.get("stat");
        stat.and_then(|stat| outside(stat)).ok_or("/proc's times are missing")
    };
    let each = |count: u64| count as f64 / f64::from(MIB);
    let time = Duration::from_nanos(to.ns.saturating_sub(from.ns));
    Ok(Cost {
        all: time.as_secs_f64() * 1e9 / f64::from(MIB),
        vmm: each(outside(to)?.saturating_sub(outside(from)?) * (1_000_000_000 / TICKS)),
        exits: each(exits(to)?.saturating_sub(exits(from)?)),
    })
}

/// Ticks of a process outside of its guest: user and system time less the guest's, which is a part
/// of the user's (`proc_pid_stat(5)`).
fn outside(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The state, the third field, is the first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    (field(14)? + field(15)?).checked_sub(field(43)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_time_does_not_count() {
        let mut fields = vec!["0"; 52];
        (fields[2], fields[13], fields[14], fields[42]) = ("S", "70", "20", "60");
        let stat = format!("1 (a ) b) {}", fields[2..].join(" "));
        assert_eq!(outside(&stat), Some(30));
        assert_eq!(outside("1 (a) S 1"), None);
    }
}
