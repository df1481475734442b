//! See [`chukka_fuzz::kernel`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::kernel::run(bytes);
});
