//! See [`chukka_fuzz::loader_script`].
#![no_main]

use chukka_fuzz::loader_script::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| run(&input));
