//! Placement and size limits of guest memory.

use vm_memory::{Bytes, MemoryRegionAddress};

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn guest_and_host_addresses_are_congruent_modulo_2_mib() {
    let ram = Ram::new(&MemoryMap::new(64 * MIB), MapInitrd::Auto).unwrap();
    for (gpa, size, hva) in ram.slots() {
        assert_eq!((gpa, size, hva % (2 * MIB)), (0, 64 * MIB, 0));
    }
}

#[test]
fn more_memory_than_the_host_has_is_rejected() {
    let error = Ram::new(&MemoryMap::new(1 << 50), MapInitrd::Auto).unwrap_err();
    assert!(error.to_string().contains("the host has"), "{error}");
}

/// The size of this process's address space in bytes (`statm`, proc(5)).
fn address_space() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
}

/// The space reserved to align a region is given back, and nothing else: the regions stay.
#[test]
fn regions_take_no_more_address_space_than_they_have() {
    const SIZE: u64 = 16 << 10;
    const COUNT: u64 = 8000;
    let before = address_space();
    let regions: Vec<_> = (0..COUNT).map(|n| region(n * SIZE..(n + 1) * SIZE).unwrap()).collect();
    let grown = address_space().saturating_sub(before);
    // 2 MiB for each would be 16 GB. Other tests allocate some meanwhile.
    assert!(grown < 6 << 30, "{grown}");
    for (n, region) in (0u64..).zip(&regions) {
        region.write_obj(n, MemoryRegionAddress(0)).unwrap();
        region.write_obj(n, MemoryRegionAddress(SIZE - 8)).unwrap();
    }
    for (n, region) in (0u64..).zip(&regions) {
        let [first, last] =
            [0, SIZE - 8].map(|at| region.read_obj::<u64>(MemoryRegionAddress(at)).unwrap());
        assert_eq!((first, last, region.start_addr().0, region.len()), (n, n, n * SIZE, SIZE));
    }
}

#[test]
fn what_the_host_refuses_is_told_with_its_size() {
    for size in [1 << 50, u64::MAX - (1 << 32)] {
        let error = region(1 << 32..(1 << 32) + size).unwrap_err();
        let told = format!("Cannot allocate {} MiB of guest memory", size >> 20);
        assert_eq!(error.to_string(), told);
        assert!(error.hint().unwrap().starts_with("give the guest less memory with -m"));
    }
}

#[test]
fn what_the_user_can_do_about_too_much_memory_is_a_size_that_fits() {
    let error = Ram::new(&MemoryMap::new(1 << 50), MapInitrd::Auto).unwrap_err();
    assert!(error.hint().unwrap().starts_with("give the guest less: -m "), "{error}");
    let host = host_memory();
    assert!((1 << 28..1 << 50).contains(&host), "{host}");
}

#[test]
fn a_page_keeps_its_contents_when_kvm_discards_its_translations() {
    let ram = Ram::new(&MemoryMap::new(2 * MIB), MapInitrd::Off).unwrap();
    let memory = ram.memory();
    for at in [0, 0x1fff, 2 * MIB - 1] {
        memory.write_obj(7u8, GuestAddress(at)).unwrap();
        discard_translations(memory, at);
        assert_eq!(memory.read_obj::<u8>(GuestAddress(at)).unwrap(), 7);
        memory.write_obj(8u8, GuestAddress(at)).unwrap();
    }
    discard_translations(memory, 2 * MIB);
    discard_translations(memory, u64::MAX);
}
