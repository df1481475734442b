//! Pages that are gone from a mapped file: what the host reads, and what it is told.

use std::sync::Once;

use guest_memory::{Engine, repair};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::support::{MIB, PAGE, TempFile, bytes, fill, mapping, memory, pattern, place};

/// Does what a process with an engine that maps has to do: repairs lost pages.
fn handle_sigbus() {
    extern "C" fn handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid `siginfo_t`, of a SIGBUS.
        let address = unsafe { (*info).si_addr() }.addr();
        if !repair(address) {
            // SAFETY: only changes the signal's disposition: the access is repeated, and the
            // process ends.
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all zeros is a valid `sigaction`, and `handler` only calls what is
        // async-signal-safe.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = handler;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()), 0);
        }
    });
}

/// Pages 8 to 40 of a file of 64 pages, mapped at page 100, without the lease that would keep the
/// file as it is.
fn mapped_without_lease() -> (TempFile, GuestMemoryMmap, Engine<GuestMemoryMmap>) {
    let file = TempFile::new(&pattern(64 * PAGE));
    let memory = memory(MIB);
    let engine = mapping(memory.clone());
    place(&engine, &file.range(8 * PAGE..40 * PAGE), 100 * PAGE).unwrap();
    assert_eq!(engine.mapped_bytes(), 32 * PAGE);
    engine.release();
    (file, memory, engine)
}

#[test]
fn a_file_that_is_shorter_than_its_mapped_part_is_named_with_both_lengths() {
    let (file, _, engine) = mapped_without_lease();
    assert_eq!(engine.cut_file(), None);
    file.write().set_len(40 * PAGE).unwrap();
    assert_eq!(engine.cut_file(), None, "the guest has all of its part");
    for len in [40 * PAGE - 1, 9 * PAGE, 0] {
        file.write().set_len(len).unwrap();
        assert_eq!(engine.cut_file(), Some((file.0.clone(), 64 * PAGE, len)));
    }
}

#[test]
fn a_lost_page_reads_as_zeros_and_is_reported_once() {
    handle_sigbus();
    let (file, memory, engine) = mapped_without_lease();
    file.write().set_len(10 * PAGE).unwrap();
    assert!(bytes(&memory, 100 * PAGE, 2 * PAGE) == pattern(64 * PAGE)[8 * 4096..10 * 4096]);
    assert!(!engine.take_lost_page(), "the file still has these pages");
    assert_eq!(bytes(&memory, 110 * PAGE - 5, 10), [0; 10]);
    assert!(engine.take_lost_page());
    assert!(!engine.take_lost_page(), "it has been reported");
    // They are plain memory now, and their neighbours are what they were.
    fill(&memory, 109 * PAGE, 2 * PAGE, 0x55);
    assert_eq!(bytes(&memory, 109 * PAGE, 2 * PAGE), [0x55; 2 * 4096]);
    assert!(bytes(&memory, 100 * PAGE, 2 * PAGE) == pattern(64 * PAGE)[8 * 4096..10 * 4096]);
    assert!(!engine.take_lost_page());
}

#[test]
fn only_memory_of_an_engine_that_exists_is_repaired() {
    let (_file, memory, engine) = mapped_without_lease();
    let own = 0u8;
    assert!(!repair((&raw const own).addr()), "this test's stack");
    let host = |at| memory.get_host_address(GuestAddress(at)).unwrap().addr();
    fill(&memory, 0, 3 * PAGE, 0x55);
    assert!(repair(host(PAGE + 7)));
    assert!(engine.take_lost_page());
    let expected = [[0x55; 4096], [0; 4096], [0x55; 4096]].concat();
    assert!(bytes(&memory, 0, 3 * PAGE) == expected, "exactly the page of the address is replaced");
    drop(engine);
    assert!(!repair(host(0)), "its engine is gone");
    assert_eq!(bytes(&memory, 0, 8), [0x55; 8]);
}
