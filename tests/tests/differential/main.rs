//! chukka against QEMU: with the same command line and the same firmware image, both guests see the
//! same fw_cfg, except for the differences listed in `list.rs` and shown in
//! docs/differences-from-qemu.md.
//!
//! The image (`dump.S`) reads every well-known key, the directory and every file by DMA and by
//! port, and tries DMA operations that a guest may perform. An unlisted difference fails the test,
//! and so does an entry of the list that no longer applies.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "this is how a test fails"
)]

mod compare;
mod elf_kernels;
mod frame;
mod list;
mod machine;
mod rom;
mod script;
mod tables;
mod virtio_pci;

use std::fs;
use std::path::Path;

use chukka_tests::assets;
use chukka_tests::cpio::Cpio;
use chukka_tests::native::Scratch;
use chukka_tests::native::image::{BzImage, payload};

use frame::Told;
use list::Machine;
use script::Sizes;

/// Both machines have the hole for devices from here to 4 GiB where they have more RAM than that.
const HOLE: u64 = 3 << 30;

/// One start of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub machine: Machine,
    pub mib: u64,
    pub kernel: Option<&'a Path>,
    pub kind: Kind<'a>,
    pub initrd: usize,
    /// A user's option ROM, and its place in the boot order.
    pub option_rom: Option<&'a str>,
    pub words: &'a [&'a str],
}

/// A kind of kernel, by the option ROM that boots it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Linux,
    /// The item that has the kernel has this many bytes, of which these ranges are not used.
    Multiboot(u32, &'a [(usize, usize)]),
    /// The item has this many bytes.
    Pvh(u32),
}

impl Case<'_> {
    /// Whether some word contains this.
    fn has(&self, text: &str) -> bool {
        self.words.iter().any(|word| word.contains(text))
    }
}

/// Words that are about firmware.
const OPTIONS: [&str; 16] = [
    "-device",
    "vmcoreinfo",
    "-smp",
    "4",
    "-uuid",
    "00112233-4455-6677-8899-aabbccddeeff",
    "-fw_cfg",
    "name=opt/org.example/text,string=some text",
    "-fw_cfg",
    "opt/b,string=b",
    "-boot",
    "menu=on,splash-time=1234,reboot-timeout=4321",
    "-smbios",
    "type=11,value=first,value=second",
    "-smbios",
    "type=1,manufacturer=A,product=B,version=C,serial=D,sku=E,family=F",
];
const APPEND: [&str; 2] = ["-append", "console=ttyS0 quiet vga=0x317 more words"];

/// Starts both and compares.
fn same(case: Case<'_>) {
    if !machine::both_there() {
        return;
    }
    let scratch = Scratch::new();
    let mut words = Vec::new();
    let mut sizes = Sizes::default();
    if let Some(kernel) = case.kernel {
        words.extend(["-kernel".into(), kernel.display().to_string()]);
        words.extend(APPEND.map(String::from));
        match case.kind {
            Kind::Linux => {
                let image = fs::read(kernel).unwrap();
                let setup = payload(&image).start;
                sizes.setup = u32::try_from(setup).unwrap();
                sizes.kernel = u32::try_from(image.len() - setup).unwrap();
            }
            Kind::Multiboot(size, _) => sizes.kernel = size,
            // Of the file's first 8 KiB, QEMU 7.2 publishes the place on its stack where they were
            // (`x86_load_linux`, hw/i386/x86.c). Only the first bytes are compared.
            Kind::Pvh(size) => sizes.kernel = size,
        }
    }
    if case.initrd > 0 {
        let mut archive = Cpio::new();
        archive.file("content", 0o644, &pattern(case.initrd));
        let archive = archive.finish();
        sizes.initrd = u32::try_from(archive.len()).unwrap();
        words.extend(["-initrd".into(), scratch.file("initrd", &archive).display().to_string()]);
    }
    words.extend(["-m".into(), case.mib.to_string()]);
    words.extend(case.words.iter().map(|word| (*word).into()));
    // Big enough not to be one read, and of no round size.
    let file = scratch.file("file", &pattern(9999));
    words.extend(["-fw_cfg".into(), format!("name=opt/org.example/file,file={}", file.display())]);

    if let Some(place) = case.option_rom {
        // Nothing runs it: the first sector of an option ROM is all there has to be.
        let mut rom = pattern(512);
        rom[..3].copy_from_slice(&[0x55, 0xaa, 1]);
        let rom = scratch.file("user.rom", &rom).display().to_string();
        words.extend(["-option-rom".into(), rom + place]);
    }

    let ram = case.mib << 20;
    let ram_end = if ram > HOLE { ram - HOLE + (4 << 30) } else { ram };
    let script = script::operations(sizes, ram_end);
    let rom = scratch.file("rom", &rom::assemble(&scratch, &script));
    let all = [machine::words(case.machine.name(), &rom), words].concat();
    let (mut theirs, ours) = (machine::qemu(&all, Told::parse), machine::chukka(&all, Told::parse));
    if let Kind::Multiboot(_, unused) = case.kind {
        compare::clear(&script, &mut theirs, &ours, unused);
    }
    let differences = compare::differences(&script, &theirs, &ours);
    list::check(&case, &differences);
}

/// Bytes of which no two neighbourhoods are the same.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| ((at % 251) ^ (at / 251)).to_le_bytes()[0]).collect()
}

const CASE: Case<'_> = Case {
    machine: Machine::Pc,
    mib: 256,
    kernel: None,
    kind: Kind::Linux,
    initrd: 0,
    option_rom: None,
    words: &[],
};

/// One test for each machine.
macro_rules! on_both_machines {
    ($name:ident, $case:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn pc() {
                let case: fn(Machine) = $case;
                case(Machine::Pc);
            }

            #[test]
            fn microvm() {
                let case: fn(Machine) = $case;
                case(Machine::Microvm);
            }
        }
    };
}

on_both_machines!(without_a_kernel, |machine| same(Case {
    machine,
    words: &["-boot", "strict=on"],
    ..CASE
}));

on_both_machines!(with_an_option_rom, |machine| same(Case {
    machine,
    option_rom: Some(",bootindex=1"),
    words: &["-boot", "strict=on,reboot-timeout=0"],
    ..CASE
}));

on_both_machines!(with_every_option, |machine| same(Case { machine, words: &OPTIONS, ..CASE }));

on_both_machines!(with_debians_kernel, |machine| {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let kernel = Some(&*kernel.vmlinuz);
    same(Case { machine, kernel, initrd: 300_000, words: &OPTIONS, ..CASE });
});

on_both_machines!(with_the_generic_kernel_and_6_gib, |machine| {
    let Some(kernel) = assets::or_skip(assets::generic()) else { return };
    let kernel = Some(&*kernel.vmlinuz);
    let words = &["-smp", "2", "-boot", "strict=on"];
    let case = Case { machine, mib: 6144, kernel, initrd: 1, option_rom: Some(""), ..CASE };
    same(Case { words, ..case });
});

on_both_machines!(with_3200_mib, |machine| {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let kernel = Some(&*kernel.vmlinuz);
    same(Case { machine, mib: 3200, kernel, initrd: 5000, ..CASE });
});

on_both_machines!(without_an_initrd, |machine| {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &BzImage::default().file());
    same(Case { machine, kernel: Some(&kernel), ..CASE });
});

on_both_machines!(with_a_kernel_that_wants_its_initrd_low, |machine| {
    let scratch = Scratch::new();
    let old = BzImage { xloadflags: 1, initrd_addr_max: 0x37ff_ffff, ..BzImage::default() };
    let kernel = scratch.file("kernel", &old.file());
    same(Case { machine, mib: 1024, kernel: Some(&kernel), initrd: 70_000, ..CASE });
});
