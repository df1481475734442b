//! Network cards: a kernel configures them, and data gets through as it is, in both directions.

use std::path::{Path, PathBuf};

use chukka_tests::guest::Initrd;
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Guest, Run, Runner};
use chukka_tests::{assets, binaries, pack};

/// What udhcpc does with a lease.
const LEASE: &str = r#"#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
[ "$interface" = eth0 ] && ip route add default via "$router" && echo "nameserver $dns" >/etc/resolv.conf
echo "lease of $interface: $ip/$mask router=$router dns=$dns domain=$domain hostname=$hostname"
"#;

/// The beginning of each script: what gets a card its lease.
const UP: &str = r#"
mkdir -p /etc
ip link set lo up
lease() {
	ip link set "$1" up
	udhcpc -i "$1" -n -q -t 10 -T 1 -s /lease.sh >/lease 2>&1
	grep '^lease' /lease
}
sum() { sha256sum | cut -c 1-16; }
"#;

/// Perl is essential in Debian, and this needs no module of it.
const PERL: &str = "/usr/bin/perl";
/// A name server on 127.0.0.1 that knows every name as 192.0.2.7.
const NAME_SERVER: &str = r#"
socket(S, 2, 2, 17) or die; bind(S, pack("Sna4x8", 2, 53, "\x7f\0\0\1")) or die "$!";
while (defined($from = recv(S, $query, 512, 0))) {
	$answer = "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7";
	send(S, substr($query, 0, 2) . "\x81\x80\0\1\0\1\0\0\0\0" . substr($query, 12) . $answer, 0, $from);
}"#;
/// Prints what one client sends to port 9000, by IPv4 or IPv6.
const RECEIVER: &str = r#"
socket(S, 10, 1, 6) or die; setsockopt(S, 1, 2, 1); bind(S, pack("SnNx16N", 10, 9000, 0, 0)) or die "$!";
listen(S, 1) and accept(C, S) or die;
while (sysread(C, $bytes, 65536)) { print $bytes; }"#;
/// Prints 1 GiB that begins differently in each MiB, made of the file that it is given; with a
/// second argument it serves that to everyone who connects to port 8000, by HTTP.
const GIBIBYTE: &str = r#"
open(F, "<", $ARGV[0]) or die; sysread(F, $bytes, 1 << 20) == 1 << 20 or die;
sub all { for $n (0 .. 1023) { print pack("N", $n), substr($bytes, 4) or exit; } }
unless ($ARGV[1]) { all; exit; }
socket(S, 10, 1, 6) or die; bind(S, pack("SnNx16N", 10, 8000, 0, 0)) or die "$!"; listen(S, 5) or die;
while (accept(C, S)) {
	next if fork; sysread(C, $request, 65536); select(C);
	print "HTTP/1.0 200 OK\r\nContent-Length: ", 1 << 30, "\r\n\r\n"; all; exit;
}"#;

/// Makes descriptor 7 the tap interface tap2, with headers for virtio.
const TAP: &str = r#"
open(T, "+<&=7") or die; $request = pack("a16sx22", "tap2", 0x5002); ioctl(T, 0x400454ca, $request) or die "$!";"#;

/// Starts passt as docs/network.md does, on a host with an interface that has a default route: it
/// gives the guest that interface's address. The network's gateway leads to the host's loopback.
/// passt calls pivot_root(2), which the lab's initramfs refuses, so its root directory is another.
const PASST: &str = "tunctl -t up0 >/dev/null; ip addr add 192.0.2.1/24 dev up0; \
     ip link set up0 up; ip route add default via 192.0.2.254; chmod 1777 /tmp; \
     mkdir $dir/root; mount -t tmpfs root $dir/root; \
     for folder in bin dev etc lib lib64 proc tmp usr; do \
     mkdir $dir/root/$folder; mount -o bind /$folder $dir/root/$folder; done; \
     (cd $dir/root; unshare -m sh -c 'mount -o move . /; exec chroot . {passt}') \
     >/tmp/passt.log 2>&1 || cat /tmp/passt.log; ";

/// What a second guest does: it gets the file from the host, and serves it to the first one.
const OTHER: &str = r#"
lease eth0
mkdir /www
wget -q -O /www/big http://10.0.2.2/big
ip addr add 10.8.0.1/24 dev eth1
ip link set eth1 up
httpd -p 80 -h /www
while :; do sleep 1000; done
"#;

/// What the host does beside the guest on pc. Its client tries again until the guest's server
/// answers, and then the guest may power off.
const CLIENTS: &str = "mkdir -p $dir/mirror/dists/stable; echo Suite: stable >$dir/mirror/dists/stable/Release; \
     httpd -p 127.0.0.1:8000 -h $dir/mirror; \
     (for way in 'by IPv4' 'by IPv6' 'without offloads'; do \
     receive >$dir/up; echo \"uploaded $way: $(sum <$dir/up)\"; done) & background=$!; \
     (for try in $(seq 1000); do timeout 5 wget -q -O - http://127.0.0.1:8080/ 2>/dev/null && \
     echo yes >$dir/received && break; sleep 1; done) & \
     background=\"$background $!\";";

/// The words of a command, which docs/network.md has too.
fn documented(words: &str) -> impl Iterator<Item = &str> {
    let page = include_str!("../../../docs/network.md");
    assert!(page.contains(words), "docs/network.md does not have {words}");
    words.split(' ')
}

/// [`PASST`], with the words of docs/network.md.
fn start_passt(program: &Path) -> String {
    let words: Vec<_> = documented("passt --socket /tmp/passt.socket").skip(1).collect();
    PASST.replace("{passt}", &format!("{} {}", program.display(), words.join(" ")))
}

/// An initrd whose first process has network cards and runs `script`.
fn initrd(kernel: &assets::Kernel, script: &str) -> PathBuf {
    let initrd = Initrd::new().expect("busybox is there").file("lease.sh", LEASE.as_bytes());
    let modules = ["virtio_mmio", "virtio_pci", "virtio_net", "af_packet", "ipv6"];
    let (initrd, load) = initrd.modules(kernel, &modules).expect("Debian has them");
    initrd.script(&format!("{load}{UP}{script}")).write().expect("there is room")
}

/// Runs a guest of `kernel` that reboots, with `args`, for so many `seconds` at most: see [`run`].
fn run_again(
    kernel: &assets::Kernel,
    script: &str,
    host: &str,
    args: &[&str],
    seconds: u64,
) -> Option<Run> {
    let guest = Guest::new().reboots().kernel(&kernel.vmlinuz).initrd(&initrd(kernel, script));
    run(&guest.args(args.iter().copied()).timeout_secs(seconds), host)
}

/// Runs a guest whose kernel and initrd are in a directory that `-location` names.
fn run_from_location(
    kernel: &assets::Kernel,
    script: &str,
    host: &str,
    args: &[&str],
    change: impl FnOnce(Guest) -> Guest,
) -> Option<Run> {
    let scratch = Scratch::new();
    let put = |name: &str, from: &Path| {
        let path = scratch.path(name);
        std::fs::copy(from, &path).expect("there is room");
        path
    };
    let files = [put("vmlinuz", &kernel.vmlinuz), put("initrd", &initrd(kernel, script))];
    let place = scratch.as_ref().to_str().expect("text");
    let guest = Guest::argv(["-location", place, "-kernel", "vmlinuz", "-initrd", "initrd"]);
    let guest = guest.args(["-append", "console=ttyS0 panic=-1 quiet", "-m", "256", "-nographic"]);
    let guest = guest.args(["-no-reboot"]).args(args.iter().copied());
    let guest = guest.with(|job| files.iter().fold(job, |job, file| job.need(file)));
    let host = format!("echo \"the kernel has $(sum <{place}/vmlinuz)\"; {host}");
    run(&change(guest).timeout_secs(300), &host)
}

/// Runs a guest while `host` runs beside it, which has 4 MiB of random bytes in
/// `/srv/big` to serve, by IPv4 and IPv6. Each of them writes what it finds to standard output.
fn run(guest: &Guest, host: &str) -> Option<Run> {
    let runner = Runner::get()?;
    let mut job = guest.job().expect("set-up is done");
    let prepare = format!(
        "sum() {{ sha256sum | cut -c 1-16; }}; ifconfig lo 127.0.0.1 up; \
         dir=$(mktemp -d); head -c 4194304 /dev/urandom >$dir/big; \
         mkdir -p /etc; echo 'nameserver 127.0.0.1' >/etc/resolv.conf; {PERL} -e '{NAME_SERVER}' & \
         httpd -p 127.0.0.1:80 -h $dir; httpd -p '[::1]:80' -h $dir; \
         receive() {{ {PERL} -e '{RECEIVER}'; }}; \
         echo \"the host has $(sum <$dir/big)\";"
    );
    // Guests share the lab's machine, so each has a network namespace of its own as its host.
    let host = format!(
        "{prepare} {host} \"$@\"; status=$?; wait $background; \
         [ $(cat /tmp/wire.pcap 2>/dev/null | wc -c) -gt 8388608 ] && echo the recording is complete; \
         exit $status"
    );
    let wrapper = ["/bin/busybox", "unshare", "-nm", "/bin/sh", "-c", &host, "sh"];
    job.command.splice(0..0, wrapper.map(String::from));
    let run = runner.run(&job.need(Path::new(PERL)));
    run.assert_stdout("lease of eth0").assert_exit(0);
    Some(run)
}

/// The sum of the file that the host serves.
fn sum(run: &Run) -> &str {
    sum_after(run, "the host has ")
}

/// The sum that the host prints behind `words`.
fn sum_after<'a>(run: &'a Run, words: &str) -> &'a str {
    let line = run.stdout.lines().find_map(|line| line.strip_prefix(words));
    line.expect("the host says so").trim()
}

#[test]
fn cards_on_pc_carry_ipv4_and_ipv6_both_ways() {
    const SCRIPT: &str = r#"
for card in eth0 eth1 eth2 eth3; do lease $card; done
echo "cards: $(cat /sys/class/net/eth0/address) $(cat /sys/class/net/eth2/address) $(cat /sys/class/net/eth0/carrier)"
echo "slot: $(readlink -f /sys/class/net/eth0/device | sed 's#.*/\(0000[^/]*\)/.*#\1#')"
nslookup -type=a www.example 10.0.2.3 | grep -A 1 '^Name:' | tr '\n' ' '
echo
wget -q -O /tmp/big http://10.0.2.2/big
echo "by IPv4: $(sum </tmp/big)"
echo "without offloads: $(wget -q -O - http://192.168.77.2/big | sum)"
echo "by passt: $(wget -q -O - http://192.0.2.254/big | sum)"
wget -q -O - http://10.0.2.2:8000/dists/stable/Release
wget -q -O - http://10.0.2.4/tree/vmlinuz | head -c 1000000 >/tmp/kernel
wget -q -c -O /tmp/kernel http://10.0.2.4/tree/vmlinuz
echo "from the location: $(sum </tmp/kernel)"
for try in $(seq 30); do
	ip -6 addr show dev eth0 scope site | grep -v tentative | grep -q fec0:: && break
	sleep 1
done
echo "by IPv6: $(wget -q -O - 'http://[fec0::2]/big' | sum)"
# The receiver takes one client after the other.
upload() {
	for try in $(seq 100); do nc "$1" 9000 </tmp/big 2>/dev/null && return; sleep 0.2; done
}
upload 10.0.2.2
upload fec0::2
upload 192.168.77.2
for card in eth0 eth3; do
	echo "segmentation of $card: $(cut -c 8,9,12,13 </sys/class/net/$card/device/features)"
done
echo "refused: $(wget -O - http://10.0.2.2:1/ 2>&1 | grep -o refused)"
mkdir /www
echo hello from the guest >/www/index.html
httpd -p 80 -h /www
for try in $(seq 1000); do
	wget -q -O - http://10.0.2.2/received | grep -q yes && break
	sleep 1
done
poweroff -f
"#;
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let passt = pack::which("passt").expect("set-up is done");
    let host = format!("{}{CLIENTS}", start_passt(&passt));
    let mut args = vec![
        "-M",
        "pc",
        "-nic",
        "user,hostfwd=tcp:127.0.0.1:8080-:80,hostname=chukka,domainname=example.org",
        "-netdev",
        "user,id=second,net=192.168.76.0/24,restrict=on,ipv6=off",
        "-device",
        "virtio-net-pci,netdev=second,mac=52:54:00:00:00:99",
        "-netdev",
        "user,id=third,net=192.168.77.0/24,ipv6=off",
        "-device",
        "virtio-net-pci,netdev=third,csum=off,guest_csum=off,mrg_rxbuf=off",
    ];
    args.extend(documented("-nic stream,addr.type=unix,addr.path=/tmp/passt.socket"));
    let change = |guest: Guest| guest.with(|job| job.need(&passt));
    let Some(run) = run_from_location(&kernel, SCRIPT, &host, &args, change) else { return };
    run.assert_stdout("cards: 52:54:00:12:34:56 52:54:00:00:00:99 1");
    run.assert_stdout("slot: 0000:00:03.0");
    run.assert_stdout(
        "lease of eth0: 10.0.2.15/24 router=10.0.2.2 dns=10.0.2.3 domain=example.org hostname=chukka",
    );
    // The cards of -nic come first.
    run.assert_stdout("lease of eth1: 192.0.2.1/24 router=192.0.2.254");
    run.assert_stdout("lease of eth2: 192.168.76.15/24");
    run.assert_stdout("www.example Address: 192.0.2.7");
    run.assert_stdout(&format!("by passt: {}", sum(&run)));
    run.assert_stdout("Suite: stable");
    for way in ["by IPv4", "by IPv6", "without offloads"] {
        run.assert_stdout(&format!("{way}: {}", sum(&run)));
        run.assert_stdout(&format!("uploaded {way}: {}", sum(&run)));
    }
    // VIRTIO_NET_F_GUEST_TSO4 and 6, VIRTIO_NET_F_HOST_TSO4 and 6.
    run.assert_stdout("segmentation of eth0: 1111");
    run.assert_stdout("segmentation of eth3: 0000");
    let served = sum_after(&run, "the kernel has ");
    run.assert_stdout(&format!("from the location: {served}"));
    run.assert_stdout("refused: refused");
    run.assert_stdout("hello from the guest");
}

#[test]
fn cards_on_microvm_work_again_after_a_reboot() {
    // The second boot finds the file that the first one has sent.
    const SCRIPT: &str = r#"
lease eth0
echo "fetched: $(wget -q -O - http://10.0.2.2/big | sum)"
ip addr add 10.9.0.2/24 dev eth1
ip addr add 10.8.0.2/24 dev eth2
ip link set eth1 up
ip addr add 10.6.0.2/24 dev eth3
ip link set eth2 up
ip link set eth3 up
echo "by tap: $(wget -q -O - http://10.9.0.1/big | sum)"
until wget -q -O /tmp/big http://10.8.0.1/big; do sleep 1; done
echo "by stream: $(sum </tmp/big)"
echo "by descriptor: $(wget -q -O - http://10.6.0.1/big | sum)"
if wget -q -O - http://10.0.2.2/boots | grep -q first; then
	echo "boot 2"
	poweroff -f
fi
echo "boot 1"
echo first | nc 10.0.2.2 9000
reboot -f
"#;
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let other = initrd(&kernel, OTHER);
    let server = "-nic stream,server=on,addr.type=unix,addr.path=/tmp/wire";
    let server = documented(server).collect::<Vec<_>>().join(" ");
    let host = format!(
        "receive >$dir/boots & background=$!; tunctl -t tap0 >/dev/null; \
         ip addr add 10.9.0.1/24 dev tap0; ip link set tap0 up; httpd -p 10.9.0.1:80 -h $dir; \
         {} -kernel {} -initrd {} -append 'console=ttyS0 quiet' -m 256 -nographic -nic user {server} \
         >/tmp/other 2>&1 & trap \"kill $!; cat /tmp/other\" EXIT; \
         for try in $(seq 100); do [ -S /tmp/wire ] || sleep 0.1; done; \
         exec 7<>/dev/net/tun; {PERL} -e '{TAP}'; \
         ip addr add 10.6.0.1/24 dev tap2; ip link set tap2 up; httpd -p 10.6.0.1:80 -h $dir; ",
        binaries::chukka().expect("set-up is done").display(),
        kernel.vmlinuz.display(),
        other.display()
    );
    let args = [
        "-M",
        "microvm",
        "-net",
        "nic,model=virtio",
        "-net",
        "user",
        "-netdev",
        "tap,id=t,ifname=tap0,script=no,downscript=no",
        "-device",
        "virtio-net-device,netdev=t",
        "-netdev",
        "stream,id=s,addr.type=unix,addr.path=/tmp/wire",
        "-device",
        "virtio-net-device,netdev=s",
        "-object",
        "filter-dump,id=f,netdev=s,file=/tmp/wire.pcap",
        "-netdev",
        "tap,id=u,fd=7",
        "-device",
        "virtio-net-device,netdev=u",
    ];
    let guest = Guest::new().reboots().kernel(&kernel.vmlinuz).initrd(&initrd(&kernel, SCRIPT));
    let guest = guest.args(args).timeout_secs(300).with(|job| job.need(&other));
    let Some(run) = run(&guest, &host) else { return };
    run.assert_stdout("boot 1");
    run.assert_stdout("boot 2");
    let fetched = format!("fetched: {}", sum(&run));
    run.assert(run.stdout.matches(&fetched).count() == 2, "both boots fetch the file");
    for way in ["by tap", "by stream", "by descriptor"] {
        let fetched = format!("{way}: {}", sum(&run));
        run.assert(run.stdout.matches(&fetched).count() == 2, way);
    }
    run.assert_stdout("the recording is complete");
    run.assert(
        run.stdout.matches("lease of eth0: 10.0.2.15").count() == 3,
        "all boots have a lease",
    );
}

/// A GiB by HTTP, on both machines: with TSO by IPv4, and after a reboot without it by IPv6.
#[test]
#[ignore = "minutes: `make soak` runs it"]
fn a_gibibyte_arrives_whole_on_both_machines() {
    const SCRIPT: &str = r#"
lease eth0
lease eth1
card=eth0 from=10.0.2.2 boot=1
if wget -q -O - http://10.0.2.2/boots | grep -q first; then
	card=eth1 from='[fec1::2]' boot=2
fi
for try in $(seq 30); do
	ip -6 addr show dev eth1 scope site | grep -v tentative | grep -q fec1:: && break
	sleep 1
done
echo "boot $boot of $(cut -c 8,9,12,13 </sys/class/net/$card/device/features)"
start=$(cut -d . -f 1 /proc/uptime)
echo "whole in boot $boot: $(wget -q -O - http://$from:8000/ | md5sum | cut -c 1-32)"
echo "boot $boot took $(($(cut -d . -f 1 /proc/uptime) - start)) s"
[ $boot = 2 ] && poweroff -f
echo first | nc 10.0.2.2 9000
reboot -f
"#;
    let host = format!(
        "receive >$dir/boots & background=$!; \
         echo \"the GiB has $({PERL} -e '{GIBIBYTE}' $dir/big | md5sum | cut -c 1-32)\"; \
         {PERL} -e '{GIBIBYTE}' $dir/big serve & "
    );
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    for machine in ["pc", "microvm"] {
        let plain = "virtio-net,netdev=n,csum=off,guest_csum=off";
        let second = "user,id=n,net=192.168.77.0/24,ipv6-prefix=fec1::";
        let args = ["-M", machine, "-nic", "user,ipv6=off", "-netdev", second, "-device", plain];
        let Some(run) = run_again(&kernel, SCRIPT, &host, &args, 3000) else { return };
        let whole = sum_after(&run, "the GiB has ");
        run.assert_stdout("boot 1 of 1111").assert_stdout("boot 2 of 0000");
        run.assert_stdout(&format!("whole in boot 1: {whole}"));
        run.assert_stdout(&format!("whole in boot 2: {whole}"));
        eprintln!("{machine}: {}", run.stdout);
    }
}
