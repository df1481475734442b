//! See [`chukka_fuzz::image`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::image::run(bytes);
});
