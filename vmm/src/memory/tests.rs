//! Placement and size limits of guest memory.

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
