//! Firmware boots a kernel that it fetches by fw_cfg: on both machines, with every image that the
//! table in docs/firmware.md names.
//!
//! SeaBIOS's log (`-debugcon stdio`) comes on standard output, beside the guest's console.

use chukka_tests::assets;
use chukka_tests::runner::Guest;

mod boots;
mod esp;
mod guest_items;
mod native;
mod ovmf;
mod table;

/// The machines there are.
const MACHINES: [&str; 2] = ["microvm", "pc"];
/// What every start of SeaBIOS puts into its log once, behind the line "SeaBIOS (version …", which
/// comes again later.
const SEABIOS_STARTS: &str = "BUILD: gcc: ";
/// SeaBIOS's log on standard output.
const LOG: [&str; 4] = ["-debugcon", "stdio", "-global", "isa-debugcon.iobase=0x402"];

/// A guest that firmware boots: `-bios IMAGE`, a name of those in docs/firmware.md. None where the
/// image is not there: the test has then been skipped loudly.
fn firmware(image: &str, machine: &str) -> Option<Guest> {
    let path = assets::or_skip(assets::firmware(image))?;
    // What is not installed is found by its path only.
    let is_unpacked = path.starts_with(assets::assets_folder());
    let word = if is_unpacked { path.to_string_lossy() } else { image.into() };
    let guest = Guest::new().args(["-bios", &word, "-machine", machine]).args(LOG);
    Some(guest.with(|job| job.need(&path)).timeout_secs(300))
}

/// The same with SeaBIOS.
fn seabios(machine: &str) -> Option<Guest> {
    firmware("bios-256k.bin", machine)
}
