//! What chukka makes of a guest: how runs end, what a guest cannot do to it, and where its console
//! goes. The guests are tiny (`chukka_tests::native::guest`): they run on this machine, whatever
//! its KVM.

mod bios_calls;
mod bisect;
mod chardevs;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod console;
mod core;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod cpu;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod daemon;
#[expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
mod dump;
mod ends;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod entries;
mod files;
mod gdb;
mod hangs;
mod hostile;
#[expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
mod kernel_table;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod lava;
#[expect(clippy::panic, clippy::expect_used, reason = "helpers of tests fail as tests do")]
mod monitor;
mod qemu_name;
mod streams;
mod through_firmware;
#[expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod timeline;
mod tools;
#[expect(clippy::panic, reason = "helpers of tests fail as tests do")]
mod verdicts;
mod virtio_console;
