//! What Linux sees of the items and tables that chukka publishes, in a booted guest: its own
//! qemu_fw_cfg driver, which finds the device by ACPI, and its SMBIOS.

use std::collections::BTreeSet;
use std::path::Path;

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::modules::Modules;
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Guest, Run, Runner};

use super::{MACHINES, seabios};

const UUID: &str = "01234567-89ab-cdef-0011-223344556677";

/// Loads the driver, and shows what it and SMBIOS have.
const SCRIPT: &str =
    "for module in $(cat /modules); do insmod /$module || echo cannot load $module; done
cd /sys/firmware/qemu_fw_cfg
echo device: $(cat /sys/bus/acpi/devices/QEMU0002:00/path) revision $(cat rev)
for item in by_key/*; do
    size=$(wc -c <$item/raw)
    [ $size = $(cat $item/size) ] || echo wrong size: $item
    echo item: $(cat $item/name)
done
cd by_name
echo string: $(cat opt/org.example/string/raw)
cmp opt/org.example/file/raw /expected && echo file: as it should be
echo credential: $(cat opt/io.systemd.credentials/short/raw)
echo uuid: $(cat /sys/class/dmi/id/product_uuid)
strings /sys/firmware/dmi/entries/11-0/raw | while read -r string; do echo oem string: $string; done
echo vmcoreinfo: $(cat /sys/kernel/vmcoreinfo)";

/// A guest with items of every kind, and what shows them. The files in `scratch` have to stay until
/// it has run.
fn with_items(guest: Guest, scratch: &Scratch) -> Option<Guest> {
    let kernel = assets::or_skip(assets::cloud())?;
    // Every byte there is, over more than a page.
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(5000).collect();
    let file = scratch.file("content", &content);
    let initrd = Initrd::new().and_then(|initrd| {
        let (mut initrd, mut names) = (initrd, Vec::new());
        for module in Modules::find(&kernel.modules)?.closure(&["qemu_fw_cfg"])? {
            initrd = initrd.file(&format!("{}.ko", module.name), &module.content);
            names.push(format!("{}.ko\n", module.name));
        }
        let initrd = initrd.file("modules", names.concat().as_bytes());
        initrd.file("expected", &content).script(SCRIPT).write()
    });
    let guest = guest.initrd(&initrd.expect("busybox and the module are there"));
    let guest = guest.args(["-fw_cfg", "opt/org.example/string,string=a string"]);
    let guest = guest.args(["-fw_cfg".into(), named_file("opt/org.example/file", &file)]);
    let guest = guest.args(["-credential", "short=by fw_cfg"]);
    let guest = guest.args(["-credential", "a-name-longer-than-fw-cfg-takes=by SMBIOS"]);
    let guest = guest.args(["-smbios", "type=11,value=first,value=second", "-uuid", UUID]);
    Some(guest.args(["-device", "vmcoreinfo"]).timeout_secs(300))
}

fn named_file(name: &str, file: &Path) -> String {
    format!("name={name},file={}", file.display())
}

/// Checks all that does not depend on the way of booting, and that there are `also` these items.
fn sees_them(run: &Run, also: &[&str]) {
    run.assert_userspace().assert_exit(0).assert_stdout("run.sh ended with status 0");
    let said = |key: &str| -> Vec<&str> {
        let start = format!("{key}: ");
        run.stdout.lines().filter_map(|line| line.trim_end().strip_prefix(&start)).collect()
    };
    let says = |key: &str, wanted: &[&str]| {
        let found = said(key);
        run.assert(found == wanted, &format!("{key}: expected {wanted:?}, found {found:?}"));
    };
    says("device", &["\\_SB_.FWCF revision 3"]);
    let common = [
        "etc/vmcoreinfo",
        "etc/e820",
        "opt/io.systemd.credentials/short",
        "opt/org.example/file",
        "opt/org.example/string",
    ];
    let items: BTreeSet<&str> = said("item").into_iter().collect();
    for name in common.iter().chain(also) {
        run.assert(items.contains(name), &format!("{name} is listed among {items:?}"));
    }
    says("string", &["a string"]);
    says("file", &["as it should be"]);
    says("credential", &["by fw_cfg"]);
    says("uuid", &[UUID]);
    let long = "io.systemd.credential:a-name-longer-than-fw-cfg-takes=by SMBIOS";
    says("oem string", &["first", "second", long]);
    says("wrong size", &[]);
    // "ADDRESS SIZE", both in base 16.
    let note = said("vmcoreinfo").concat();
    let numbers: Vec<u64> = note
        .split_whitespace()
        .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let [address, size] = numbers[..] else {
        run.assert(false, "the guest has a vmcoreinfo");
        return;
    };
    run.assert_stderr(&format!("chukka: the guest's vmcoreinfo: {size} bytes at {address:#x}"));
}

/// With SeaBIOS, which brings the ACPI and SMBIOS tables to where Linux looks.
fn through_seabios(machine: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(guest) = seabios(machine) else { return };
    let scratch = Scratch::new();
    let Some(guest) = with_items(guest, &scratch) else { return };
    sees_them(&guest.run(runner), &["bootorder", "genroms/chukka-linux.bin", "etc/table-loader"]);
}

#[test]
fn linux_lists_and_reads_the_items_that_seabios_saw_on_microvm() {
    through_seabios(MACHINES[0]);
}

#[test]
fn linux_lists_and_reads_the_items_that_seabios_saw_on_pc() {
    through_seabios(MACHINES[1]);
}

#[test]
fn linux_lists_and_reads_the_items_after_a_direct_boot() {
    let Some(runner) = Runner::get() else { return };
    let scratch = Scratch::new();
    let Some(guest) = with_items(Guest::new(), &scratch) else { return };
    sees_them(&guest.run(runner), &[]);
}
