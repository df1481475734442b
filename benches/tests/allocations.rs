//! No small access to fw_cfg allocates.

use chukka_benches::allocations::{self, Counting};
use chukka_benches::operations::{Machine, Operation};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations::during(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations::during(|| ()), 0);
}

#[test]
fn small_operations_do_not_allocate() {
    let guest = Machine::new().unwrap();
    for operation in Operation::ALL {
        // Already the first time: a guest makes some only once.
        let count = allocations::during(|| guest.run(operation).unwrap());
        assert_eq!(count, 0, "{operation:?}");
    }
}
