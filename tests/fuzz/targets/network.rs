//! See [`chukka_fuzz::network`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::network::run(bytes);
});
