//! What the numbers were measured on.

use std::fs;
use std::thread::available_parallelism;

/// Processors, memory and kernel, in one line.
#[must_use]
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cpus = available_parallelism().map_or(1, usize::from);
    let name = value(&cpu, "model name").unwrap_or("unknown processor");
    let kib = value(&memory, "MemTotal").and_then(|kib| kib.strip_suffix(" kB")?.parse().ok());
    let gib = kib.map_or(0, |kib: u64| kib >> 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpus} CPUs, {name}; {gib} GiB; Linux {}", kernel.trim())
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_follows_the_colon() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.50GHz\nmodel name\t: B\n";
        assert_eq!(value(text, "model name"), Some("A CPU @ 2.50GHz"));
        assert_eq!(value(text, "MemTotal"), None);
    }
}
