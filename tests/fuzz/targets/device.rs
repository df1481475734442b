//! See [`chukka_fuzz::device`].
#![no_main]

use chukka_fuzz::device::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| run(&input));
