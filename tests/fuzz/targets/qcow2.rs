//! See [`chukka_fuzz::qcow2`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::qcow2::run(bytes);
});
