//! The DMA address register.

use fw_cfg::dma::{Descriptor, READ};

use crate::guest::{BUFFER, DATA, DESC, Guest, MEMORY, OK};

/// Start of the memory above 4 GiB.
const HIGH: u64 = 0x1_0000_0000;

fn guest() -> Guest {
    let guest = Guest::with_memory(&[(0, MEMORY as usize), (HIGH, MEMORY as usize)]);
    let control = Guest::select_and(DATA, READ);
    for at in [DESC, HIGH + DESC] {
        guest.poke(at, &Descriptor { control, length: 4, address: BUFFER }.to_bytes());
    }
    guest
}

fn has_run(guest: &Guest, at: u64) -> bool {
    guest.control(at) == OK
}

#[test]
fn the_low_half_alone_starts_an_operation() {
    let mut guest = guest();
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, DESC));
}

#[test]
fn the_high_half_does_not_start_an_operation_and_the_low_half_completes_it() {
    let mut guest = guest();
    guest.outl(0x514, 1u32.swap_bytes());
    assert!(!has_run(&guest, DESC) && !has_run(&guest, HIGH + DESC));
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, HIGH + DESC) && !has_run(&guest, DESC));
}

#[test]
fn the_high_half_is_cleared_when_the_operation_starts() {
    let mut guest = guest();
    guest.start(HIGH + DESC);
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, DESC));
}

#[test]
fn the_register_is_cleared_by_a_failed_operation_too() {
    let mut guest = guest();
    guest.start(0x77_0000_0000);
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, DESC));
}

#[test]
fn the_last_write_of_the_high_half_counts() {
    let mut guest = guest();
    guest.outl(0x514, u32::MAX);
    guest.outl(0x514, 1u32.swap_bytes());
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, HIGH + DESC));
}

#[test]
fn a_high_half_of_0_replaces_the_previous_one() {
    let mut guest = guest();
    guest.outl(0x514, 1u32.swap_bytes());
    guest.outl(0x514, 0);
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, DESC) && !has_run(&guest, HIGH + DESC));
}

#[test]
fn eight_bytes_at_once_write_the_whole_address() {
    let mut guest = guest();
    guest.outl(0x514, u32::MAX);
    guest.device.write_dma_register(0, &(HIGH + DESC).to_be_bytes());
    assert!(has_run(&guest, HIGH + DESC));
}

#[test]
fn other_widths_and_offsets_are_ignored() {
    let mut guest = guest();
    let address = (HIGH + DESC).to_be_bytes();
    guest.outl(0x514, 1u32.swap_bytes());
    for offset in 0..12 {
        for width in 0..=8 {
            if !matches!((offset, width), (0 | 4, 4) | (0, 8)) {
                guest.device.write_dma_register(offset, &address[8 - width..]);
                assert!(!has_run(&guest, DESC) && !has_run(&guest, HIGH + DESC));
            }
        }
    }
    guest.device.write_dma_register(usize::MAX, &address);
    guest.device.write_dma_register(0, &[0; 16]);
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, HIGH + DESC), "the high half has changed");
}

#[test]
fn the_register_always_reads_as_the_signature() {
    let mut guest = guest();
    for _ in 0..2 {
        assert_eq!(guest.inl(0x514), 0x554d_4551);
        assert_eq!(guest.inl(0x518), 0x4746_4320);
        let mut all = [0; 8];
        guest.device.read_dma_register(0, &mut all);
        assert_eq!(u64::from_be_bytes(all), 0x5145_4d55_2043_4647);
        let mut part = [0xff; 3];
        guest.device.read_dma_register(6, &mut part);
        assert_eq!(part, *b"FG\0");
        guest.device.read_dma_register(usize::MAX, &mut part);
        assert_eq!(part, [0; 3]);
        guest.outl(0x514, 0x1234_5678);
    }
}

#[test]
fn a_reset_clears_the_high_half_and_selects_the_signature() {
    let mut guest = guest();
    guest.outw(0x510, DATA);
    guest.inb(0x511);
    guest.outl(0x514, 1u32.swap_bytes());
    guest.device.reset();
    assert_eq!(guest.insb(5), *b"QEMU\0");
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert!(has_run(&guest, DESC));
}
