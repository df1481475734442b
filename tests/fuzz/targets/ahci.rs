//! See [`chukka_fuzz::ahci`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::ahci::run(bytes);
});
