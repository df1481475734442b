use super::super::testing::{INDIRECT, NEXT, TABLE, WRITE, memory};
use super::*;

const RING: u64 = 0x1000;
const SIZE: u32 = 8;

fn put(memory: &GuestMemoryMmap, table: u64, descriptors: &[(u64, u32, u16, u16)]) {
    for (index, &(at, len, flags, next)) in (0..).zip(descriptors) {
        let descriptor = Descriptor::new(at, len, flags, next);
        memory.write_obj(descriptor, GuestAddress(table + 16 * index)).unwrap();
    }
}

fn read(memory: &GuestMemoryMmap, head: u16, may_be_indirect: bool) -> Result<Chain, ChainError> {
    let table = Table { at: GuestAddress(RING), count: SIZE, may_be_indirect };
    let mut chain = Chain::default();
    chain.read(memory, table, head).map(|()| chain)
}

/// What becomes of a chain in the ring, beginning at descriptor 0.
fn result_of(descriptors: &[(u64, u32, u16, u16)]) -> Result<Chain, ChainError> {
    let memory = memory();
    put(&memory, RING, descriptors);
    read(&memory, 0, true)
}

fn addresses(segments: &[Segment]) -> Vec<(u64, u32)> {
    segments.iter().map(|segment| (segment.at.0, segment.len)).collect()
}

#[test]
fn readable_buffers_come_before_writable_ones() {
    let chain = result_of(&[
        (0x10, 1, NEXT, 2),
        (0, 0, 0, 0),
        (0x20, 2, NEXT | WRITE, 3),
        (0x30, 3, WRITE, 9),
    ]);
    let chain = chain.unwrap();
    assert_eq!(addresses(chain.readable()), [(0x10, 1)]);
    assert_eq!(addresses(chain.writable()), [(0x20, 2), (0x30, 3)]);

    let error = result_of(&[(0x10, 1, NEXT | WRITE, 1), (0x20, 2, 0, 0)]).unwrap_err();
    assert_eq!(error, ChainError::Order);
}

#[test]
fn buffers_without_bytes_are_left_out() {
    let chain = result_of(&[(0x10, 0, NEXT, 1), (0x20, 2, NEXT, 2), (0x30, 0, WRITE, 0)]).unwrap();
    assert_eq!(addresses(chain.readable()), [(0x20, 2)]);
    assert!(chain.writable().is_empty());
}

#[test]
fn a_chain_that_loops_ends_after_as_many_descriptors_as_the_table_has() {
    assert_eq!(result_of(&[(0x10, 1, NEXT, 0)]).unwrap_err(), ChainError::Loop(SIZE));
    // Also where no byte is in it.
    let empty = result_of(&[(0x10, 0, NEXT, 1), (0x10, 0, NEXT, 0)]).unwrap_err();
    assert_eq!(empty, ChainError::Loop(SIZE));
}

#[test]
fn a_descriptor_outside_its_table_is_refused() {
    let error = ChainError::Index { index: 8, count: SIZE };
    assert_eq!(result_of(&[(0x10, 1, NEXT, 8)]).unwrap_err(), error);
    assert_eq!(read(&memory(), 8, true).unwrap_err(), error);
}

#[test]
fn a_chain_of_more_than_4_gib_is_refused() {
    let error = result_of(&[(0, u32::MAX, NEXT, 1), (0, 1, 0, 0)]).unwrap_err();
    assert_eq!(error, ChainError::TooLarge);
}

#[test]
fn an_indirect_table_follows_descriptors_of_the_ring() {
    let memory = memory();
    // The flag WRITE of a descriptor that names a table does not count (virtio 1.2, 2.7.5.3.2).
    put(&memory, RING, &[(0x10, 1, NEXT, 1), (TABLE, 32, INDIRECT | WRITE, 0)]);
    put(&memory, TABLE, &[(0x20, 2, NEXT, 1), (0x30, 3, WRITE, 0)]);
    let chain = read(&memory, 0, true).unwrap();
    assert_eq!(addresses(chain.readable()), [(0x10, 1), (0x20, 2)]);
    assert_eq!(addresses(chain.writable()), [(0x30, 3)]);
    assert_eq!(read(&memory, 0, false).unwrap_err(), ChainError::Indirect, "not negotiated");
}

#[test]
fn an_indirect_table_of_a_wrong_size_is_refused() {
    for len in [0, 1, 15, 17, 16 * 1025, u32::MAX] {
        let error = result_of(&[(TABLE, len, INDIRECT, 0)]).unwrap_err();
        assert_eq!(error, ChainError::TableSize(len));
    }
}

#[test]
fn an_indirect_table_is_neither_nested_nor_followed() {
    let memory = memory();
    put(&memory, RING, &[(TABLE, 16, INDIRECT, 0)]);
    put(&memory, TABLE, &[(TABLE, 16, INDIRECT, 0)]);
    assert_eq!(read(&memory, 0, true).unwrap_err(), ChainError::Indirect);
    let followed = result_of(&[(TABLE, 16, INDIRECT | NEXT, 1), (0, 1, 0, 0)]).unwrap_err();
    assert_eq!(followed, ChainError::Indirect);
}

#[test]
fn a_table_that_is_not_in_memory_is_refused() {
    for at in [1 << 40, u64::MAX - 15, u64::MAX - 3] {
        let error = result_of(&[(at, 64, INDIRECT, 0)]).unwrap_err();
        assert_eq!(error, ChainError::Memory(at));
    }
    // The second descriptor is beyond the end of the address space.
    let memory = memory();
    put(&memory, RING, &[(super::super::testing::RAM - 16, 32, INDIRECT, 0)]);
    put(&memory, super::super::testing::RAM - 16, &[(0, 1, NEXT, 1)]);
    let end = super::super::testing::RAM;
    assert_eq!(read(&memory, 0, true).unwrap_err(), ChainError::Memory(end));
}
