//! What a kernel finds that goes back to real mode without a BIOS.

use chukka_tests::native::{self, Scratch, Start};

use crate::dump::{MACHINES, dump, kernel, multiboot1, multiboot1_of};

/// Copies its second half to 0x8000, and goes to real mode there, where it calls int 15h with
/// AX=E820h. Prints "C" if the call fails with the carry flag and AX unchanged, "N" otherwise; then
/// resets.
const CALL: &[u8] = &[
    0xfc, // cld
    0xbe, 0x40, 0, 0x10, 0, // mov $0x100040, %esi: the second half
    0xbf, 0, 0x80, 0, 0, 0xb9, 0x64, 0, 0, 0, 0xf3, 0xa4, // copy 100 bytes to 0x8000
    0x0f, 0x01, 0x15, 0x46, 0x80, 0, 0, // lgdt 0x8046
    0xea, 0, 0x80, 0, 0, 8, 0, // ljmp $8, $0x8000
    // 0x8000, in 16-bit protected mode:
    0xb8, 0x10, 0, 0x8e, 0xd0, 0x8e, 0xd8, // SS and DS: selector 0x10
    0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, // clear CR0.PE
    0xea, 0x14, 0x80, 0, 0, // ljmp $0, $0x8014
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, // SS and DS: 0
    0xbc, 0, 0x7c, // mov $0x7c00, %sp
    0x0f, 0x01, 0x1e, 0x40, 0x80, // lidt 0x8040
    0xb8, 0x20, 0xe8, 0xf8, 0xcd, 0x15, // mov $0xe820, %ax; clc; int $0x15
    0xb3, b'N', 0x73, 7, // mov $'N', %bl; jnc to the output
    0x3d, 0x20, 0xe8, 0x75, 2, // cmp $0xe820, %ax; jne to the output
    0xb3, b'C', // mov $'C', %bl
    0xba, 0xf8, 3, 0x88, 0xd8, 0xee, // the output: to COM1
    0xb0, 0xfe, 0xe6, 0x64, // reset by the keyboard controller
    0xf4, 0xeb, 0xfd, // hlt, for ever
    0xff, 3, 0, 0, 0, 0, // 0x8040: IDTR
    0x17, 0, 0x4c, 0x80, 0, 0, // 0x8046: GDTR
    0, 0, 0, 0, 0, 0, 0, 0, // 0x804c: GDT
    0xff, 0xff, 0, 0, 0, 0x9b, 0, 0, // 16-bit code
    0xff, 0xff, 0, 0, 0, 0x93, 0, 0, // 16-bit data
];

const WAYS: [&[&str]; 2] = [&[], &["-bios", "builtin"]];

#[test]
fn a_bios_call_fails_without_a_bios() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = kernel(&scratch, &multiboot1_of(1 << 16, CALL));
    for machine in MACHINES {
        for way in WAYS {
            let start = Start::kernel(&path).args(["-M", machine, "-m", "64M", "-no-reboot"]);
            let ended = start.args(way).run();
            assert_eq!((ended.code(), ended.text().trim()), (Some(0), "C"), "{machine} {way:?}");
        }
    }
}

#[test]
fn the_bios_data_area_says_where_low_ram_ends() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = kernel(&scratch, &multiboot1(1 << 16));
    for way in WAYS {
        let found = dump(&path, "pc", way);
        assert_eq!(found.memory(0x40e)[..2], 0x9fc0u16.to_le_bytes(), "{way:?}");
        assert_eq!(found.memory(0x413)[..2], 639u16.to_le_bytes(), "{way:?}");
    }
}
