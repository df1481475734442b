//! See [`chukka_fuzz::boot_config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chukka_fuzz::boot_config::run(bytes);
});
