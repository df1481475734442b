//! See [`chukka_fuzz::virtio_rings`].
#![no_main]

use chukka_fuzz::virtio_rings::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
