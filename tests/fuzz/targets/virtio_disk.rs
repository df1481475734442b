//! See [`chukka_fuzz::virtio_disk`].
#![no_main]

use chukka_fuzz::virtio_disk::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
