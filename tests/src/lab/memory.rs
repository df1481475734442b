//! How much memory outer machines get.

use std::fs;

/// Enough for a guest with memory above 4 GiB. The host gives only what is really used.
const WANTED_MIB: u32 = 7168;
/// What a lab with an ordinary guest really uses.
const USED_MIB: u32 = 2048;

/// The usual memory of an outer machine: enough for a guest of 6 GiB, if the host itself has so
/// much.
#[must_use]
pub fn usual_memory_mib() -> u32 {
    WANTED_MIB.min(host("MemTotal:").saturating_sub(1024)).max(USED_MIB)
}

/// How many labs the host has memory for.
pub(super) fn room() -> usize {
    usize::try_from(host("MemAvailable:") / USED_MIB).unwrap_or(1)
}

/// A line of /proc/meminfo, in MiB.
fn host(name: &str) -> u32 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    u32::try_from(kib.unwrap_or(0) / 1024).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_some_memory() {
        assert!(host("MemTotal:") >= host("MemAvailable:") && host("MemAvailable:") > 0);
        assert_eq!(host("NoSuchThing:"), 0);
    }
}
