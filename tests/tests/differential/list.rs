//! The differences that are left, each with its reason.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::{Case, Kind};

/// The machine that both were told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    Pc,
    Microvm,
}

impl Machine {
    /// As `-M` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Microvm => "microvm",
        }
    }
}

/// In which cases there is a difference.
type When = fn(&Case<'_>) -> bool;

const ALWAYS: (&str, When) = ("always", |_| true);
const PC: (&str, When) = ("`-M pc`", |case| case.machine == Machine::Pc);
const MICROVM: (&str, When) = ("`-M microvm`", |case| case.machine == Machine::Microvm);
const ANY_KERNEL: (&str, When) = ("`-kernel`", is_linux);
const KERNEL: (&str, When) = ("`-kernel`", |case| is_linux(case) && !case.has("strict=on"));
const STRICT: (&str, When) =
    ("`-kernel -boot strict=on`", |case| is_linux(case) && case.has("strict=on"));
const MULTIBOOT: (&str, When) =
    ("a Multiboot kernel", |case| matches!(case.kind, Kind::Multiboot(..)));
const PVH: (&str, When) = ("a PVH kernel", |case| matches!(case.kind, Kind::Pvh(_)));
const NO_ORDER: (&str, When) =
    ("nothing to boot", |case| case.kernel.is_none() && case.option_rom.is_none());
const SILENT: (&str, When) =
    ("`-nographic -kernel`, no menu", |case| case.kernel.is_some() && !case.has("menu=on"));
const UNNAMED: (&str, When) =
    ("`-M pc`", |case| case.machine == Machine::Pc && !case.has("type=1,"));
const BETWEEN: (&str, When) = ("`-M pc -m 3200`", |case| (PC.1)(case) && case.mib == 3200);

fn is_linux(case: &Case<'_>) -> bool {
    case.kernel.is_some() && case.kind == Kind::Linux
}

/// A difference: when there is one, what `compare` calls it (QEMU's value, "against", ours), and
/// why.
struct Difference {
    when: (&'static str, When),
    what: &'static str,
    why: &'static str,
}

const fn differs(when: (&'static str, When), what: &'static str, why: &'static str) -> Difference {
    Difference { when, what, why }
}

const EMPTY: &str = "QEMU's file is empty. SeaBIOS treats that as no file, but reads it with an extra DMA operation.";
const OUR_ROM: &str = "chukka has its own option ROM, with its own name, so that it cannot be confused with QEMU's. It keeps the \
    initrd clear of the kernel and reports errors.";
const OUR_ROM_TOO: &str = "chukka's own option ROM, as for Linux.";
const SEGMENTS: &str = "QEMU loads the segments before the firmware starts, and the firmware may overwrite them. chukka's option ROM \
    reads them by DMA later; the address tells it that it can. QEMU's option ROM finds them in memory.";
const FOLLOWS: &str = "It depends on the number and size of the tables.";
const MAKER: &str = "The manufacturer is chukka.";
const SMBIOS_MICROVM: &str = "QEMU's microvm has no SMBIOS and silently ignores `-smbios`. chukka has it, because \
    systemd's credentials need it.";
const HOLE: &str = "On QEMU's pc, low RAM ends at 3.5 GiB if all of it fits below that, and at 3 GiB otherwise. In chukka, it ends \
    at 3 GiB on both machines, so that there is only one memory map. The initrd's address and SMBIOS change with it.";

/// THE list. It is also in docs/differences-from-qemu.md.
const LIST: [Difference; 46] = [
    differs(
        SILENT,
        "key 0x0004 NOGRAPHIC: 0x1 against 0x0",
        "1 makes SeaBIOS draw its screen on COM1, with a VM exit for each character. With `-kernel`, there is nothing to see, \
         and the kernel's console stays clean. With a menu, or nothing to boot, chukka's value is 1 too.",
    ),
    differs(
        ALWAYS,
        "key 0x8002 IRQ0_OVERRIDE: 0x1 against 0x0",
        "KVM's default routing connects the timer to input 0 of the I/O APIC, and the MADT says so; QEMU routes it to input 2.",
    ),
    differs(
        PC,
        "key 0x8004 HPET: other bytes",
        "chukka has no HPET. Kernels that support kvmclock do not use one.",
    ),
    differs(ALWAYS, "file bios-geometry: empty in QEMU, not in chukka", EMPTY),
    differs(NO_ORDER, "file bootorder: empty in QEMU, not in chukka", EMPTY),
    differs(PC, "file etc/tpm/log: empty in QEMU, not in chukka", EMPTY),
    differs(
        KERNEL,
        "file bootorder: \"/rom@genroms/linuxboot_dma.bin\" against \"/rom@genroms/chukka-linux.bin\"",
        OUR_ROM,
    ),
    differs(
        STRICT,
        "file bootorder: \"/rom@genroms/linuxboot_dma.bin\\nHALT\" against \"/rom@genroms/chukka-linux.bin\\nHALT\"",
        OUR_ROM,
    ),
    differs(ANY_KERNEL, "file genroms/linuxboot_dma.bin: not in chukka", OUR_ROM),
    differs(ANY_KERNEL, "file genroms/chukka-linux.bin: not in QEMU", OUR_ROM),
    differs(
        MULTIBOOT,
        "file bootorder: \"/rom@genroms/multiboot_dma.bin\" against \"/rom@genroms/chukka-multiboot.bin\"",
        OUR_ROM_TOO,
    ),
    differs(MULTIBOOT, "file genroms/multiboot_dma.bin: not in chukka", OUR_ROM_TOO),
    differs(MULTIBOOT, "file genroms/chukka-multiboot.bin: not in QEMU", OUR_ROM_TOO),
    differs(
        PVH,
        "file bootorder: \"/rom@genroms/pvh.bin\" against \"/rom@genroms/chukka-pvh.bin\"",
        OUR_ROM_TOO,
    ),
    differs(PVH, "file genroms/pvh.bin: not in chukka", OUR_ROM_TOO),
    differs(PVH, "file genroms/chukka-pvh.bin: not in QEMU", OUR_ROM_TOO),
    differs(PVH, "key 0x0011 KERNEL_DATA: other bytes", SEGMENTS),
    differs(PVH, "key 0x0013 CMDLINE_ADDR: 0x0 against 0x20000", SEGMENTS),
    differs(
        PC,
        "file genroms/kvmvapic.bin: not in chukka",
        "It patches 32-bit Windows for processors that do not virtualize the APIC's task priority. chukka does not support such guests.",
    ),
    differs(
        PC,
        "file etc/system-states: not in chukka",
        "SeaBIOS reads it only if it builds the ACPI tables itself, without `etc/table-loader`. chukka has no suspend.",
    ),
    differs(
        MICROVM,
        "file etc/fdt: not in chukka",
        "The device tree repeats the ACPI tables. Neither SeaBIOS nor qboot reads it.",
    ),
    differs(
        ALWAYS,
        "file etc/acpi/rsdp: other bytes",
        "It names chukka as the manufacturer, and `etc/table-loader` fills in other addresses.",
    ),
    differs(ALWAYS, "file etc/table-loader: other bytes", FOLLOWS),
    differs(
        ALWAYS,
        "ACPI table DSDT: other bytes",
        "It describes the machine's devices; chukka has fewer.",
    ),
    differs(
        ALWAYS,
        "ACPI table FACP: other bytes",
        "chukka's follows ACPI 6. On microvm, it is hardware-reduced; on pc, it has a reset register and no general-purpose events.",
    ),
    differs(
        ALWAYS,
        "ACPI table APIC: other bytes",
        "chukka's has one interrupt source override, for the SCI on pc. KVM's default routing needs no other: see IRQ0_OVERRIDE.",
    ),
    differs(
        PC,
        "ACPI table XSDT: not in QEMU",
        "chukka uses 64-bit pointers, as QEMU's microvm does.",
    ),
    differs(PC, "ACPI table RSDT: not in chukka", "The XSDT replaces it."),
    differs(MICROVM, "ACPI table XSDT: other bytes", MAKER),
    differs(
        PC,
        "ACPI table FACS: other bytes",
        "chukka's has version 1, with 64-bit wake-up vectors; QEMU's has version 0.",
    ),
    differs(PC, "ACPI table HPET: not in chukka", "chukka has no HPET."),
    differs(
        PC,
        "ACPI table WAET: not in chukka",
        "It saves Windows a second read of the clock and the PM timer. Linux ignores it.",
    ),
    differs(
        UNNAMED,
        "SMBIOS type 1: strings [\"QEMU\", \"Standard PC (i440FX + PIIX, 1996)\", \"pc-i440fx-7.2\"] against [\"chukka\", \
         \"chukka virtual machine\", \"0.2.0\"]",
        "The manufacturer is chukka. `-smbios type=1` sets the strings, in both.",
    ),
    differs(
        PC,
        "SMBIOS type 3: strings [\"QEMU\", \"pc-i440fx-7.2\"] against [\"chukka\", \"0.2.0\"]",
        MAKER,
    ),
    differs(
        PC,
        "SMBIOS type 4: strings [\"CPU 0\", \"QEMU\", \"pc-i440fx-7.2\"] against [\"CPU 0\", \"chukka\", \"0.2.0\"]",
        MAKER,
    ),
    differs(
        PC,
        "SMBIOS type 17: strings [\"DIMM 0\", \"QEMU\"] against [\"DIMM 0\", \"chukka\"]",
        MAKER,
    ),
    differs(
        PC,
        "SMBIOS type 4: other bytes",
        "QEMU always reports 2000 MHz, and copies CPUID. chukka reports 0 for both, which means unknown.",
    ),
    differs(PC, "file etc/smbios/smbios-anchor: other bytes", FOLLOWS),
    differs(MICROVM, "file etc/smbios/smbios-anchor: not in QEMU", SMBIOS_MICROVM),
    differs(MICROVM, "file etc/smbios/smbios-tables: not in QEMU", SMBIOS_MICROVM),
    differs(
        BETWEEN,
        "file etc/e820: 0x0..0xc8000000 type 1 against 0x0..0xc0000000 type 1, 0x100000000..0x108000000 type 1",
        HOLE,
    ),
    differs(BETWEEN, "key 0x000a INITRD_ADDR: 0xc7fd6000 against 0xbffd6000", HOLE),
    differs(BETWEEN, "key 0x0018 SETUP_DATA: bytes 0x21b to 0x21b", HOLE),
    differs(BETWEEN, "SMBIOS type 19: other bytes", HOLE),
    differs(
        PC,
        "READ to the last byte below 1 MiB and on: control 0x1 against 0x0",
        "On QEMU's pc, the BIOS below 1 MiB is ROM until it programs the host bridge to make it RAM, and DMA into ROM is an \
         error. In chukka, as on QEMU's microvm, it is RAM from the start. No known firmware depends on the difference.",
    ),
    differs(
        ALWAYS,
        "the selector read in 16 bits: 0x510000 against 0x51ffff",
        "The device does not support this access. QEMU returns 0; chukka returns all ones, as for a port without a device.",
    ),
];

/// Fails unless what was found is what the list says for this case.
pub fn check(case: &Case<'_>, found: &BTreeSet<String>) {
    let listed = LIST.iter().filter(|difference| (difference.when.1)(case));
    let listed: BTreeSet<String> = listed.map(|difference| difference.what.into()).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(found).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "{case:?}\nnot in the list (QEMU's value against ours): {unlisted:#?}\nin the list, but no difference: {stale:#?}"
    );
}

#[test]
fn the_documentation_has_the_list() {
    let mut table = String::from(
        "| what a guest sees: QEMU's against chukka's | when | why |\n|---|---|---|\n",
    );
    for Difference { when, what, why } in LIST {
        writeln!(table, "| {what} | {} | {why} |", when.0).unwrap();
    }
    let path = chukka_tests::assets::workspace().join("docs/differences-from-qemu.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page.contains(&table), "{} has to have this table:\n\n{table}", path.display());
}
