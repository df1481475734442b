//! See [`chukka_fuzz::cmdline`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chukka_fuzz::cmdline::run(bytes));
