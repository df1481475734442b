//! The device against a model of it: random machines and guests, and no difference in what memory
//! holds, what the ports return, and what the observer receives. `make soak` runs a million cases.

#![expect(
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails, in its helpers too"
)]

mod case;
mod compare;
mod model;

use std::sync::Mutex;
use std::thread;

use fw_cfg::event::{DmaError, DmaKind};
use fw_cfg::{FwCfg, Items};
use guest_memory::{Engine, MappingOptions, Memory};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};
use vm_memory::GuestMemoryMmap;

use case::case;
use compare::What;

/// Cases in total, unless `PROPTEST_CASES` is set.
const CASES: u32 = 100_000;
/// The seeds of past failures, which are tried first.
const REGRESSIONS: &str = "tests/model/regressions.txt";

/// The device that copies: the one place where it is made.
fn copying(items: Items, memory: GuestMemoryMmap) -> FwCfg<GuestMemoryMmap> {
    FwCfg::new(items, Engine::new(memory))
}

/// The device that maps the host's file wherever it can, down to a single page.
fn mapping(items: Items, memory: GuestMemoryMmap) -> FwCfg<GuestMemoryMmap> {
    // A signal that does nothing unless it is asked for. It never comes: nobody writes to the file.
    let options = MappingOptions { from: 1, small_pages: true, signal: libc::SIGURG };
    FwCfg::new(items, Engine::mapping(memory, options))
}

/// How many cases to run: the other tests run a fraction of them.
fn total() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap())
}

/// Runs `cases` cases of up to `operations` operations on the device that `build` makes, on every
/// CPU.
fn compare<M: Memory>(
    cases: u32,
    operations: usize,
    build: impl Fn(Items, GuestMemoryMmap) -> FwCfg<M> + Copy + Send,
) {
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let config = ProptestConfig {
        cases: cases.div_ceil(threads),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            let config = config.clone();
            scope.spawn(move || {
                let mut runner = TestRunner::new(config);
                match runner.run(&case(operations), |case| compare::run(&case, build, |_| ())) {
                    Ok(()) => {}
                    Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:#?}"),
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
}

#[test]
fn the_copying_device_agrees_with_the_model() {
    compare(total(), 6, copying);
}

#[test]
fn the_mapping_device_agrees_with_the_model() {
    compare(total() / 5, 6, mapping);
}

#[test]
fn both_devices_agree_with_the_model_in_long_sequences() {
    compare(total() / 200, 100, copying);
    compare(total() / 200, 100, mapping);
}

// What matters is frequent enough, so that the tests above are about it.
#[test]
fn the_cases_reach_every_outcome() {
    let all = Mutex::new(Vec::new());
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(5000)
    });
    let seen = |what| all.lock().unwrap().push(what);
    runner.run(&case(6), |case| compare::run(&case, copying, seen)).unwrap();
    let all = all.into_inner().unwrap();
    for what in [
        What::Done(DmaKind::Read),
        What::Done(DmaKind::Write),
        What::Done(DmaKind::Skip),
        What::Done(DmaKind::Nothing),
        What::Zeros,
        What::Regions,
        What::Pages,
        What::Failed(DmaError::Descriptor),
        What::Failed(DmaError::Address),
        What::Failed(DmaError::ReadOnly),
        What::Failed(DmaError::BeyondEnd),
        What::Failed(DmaError::Host),
    ] {
        let found = all.iter().filter(|other| **other == what).count();
        assert!(found >= 50, "{what:?} is {found} of {} operations", all.len());
    }
}
