//! What counts as worse.

use crate::table::Values;

/// In percent, where everything that numbers depend on is what the table was measured with.
const SAME: u64 = 2;
/// In percent, where it is not.
const OTHER: u64 = 10;

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What the numbers depend on and is not as in the table.
    pub environment: Vec<String>,
    /// Worse than the table allows.
    pub worse: Vec<String>,
    /// Better by as much: the table is out of date.
    pub better: Vec<String>,
}

/// Compares what was measured with the table. Both must have the same names.
pub fn compare(table: &Values, measured: &Values) -> Verdict {
    let names = |values: &Values| values.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(table), names(measured), "costs.toml has other entries than are measured");
    let mut verdict = Verdict::default();
    let is_environment = |name: &str| name.starts_with("environment.");
    for (name, value) in measured.iter().filter(|(name, _)| is_environment(name)) {
        if table[name] != *value {
            verdict.environment.push(format!("{name} is {value}, the table has {}", table[name]));
        }
    }
    let percent = if verdict.environment.is_empty() { SAME } else { OTHER };
    for (name, value) in measured.iter().filter(|(name, _)| !is_environment(name)) {
        let (old, new) = (number(&table[name]), number(value));
        let allowed = (old * percent / 100).max(floor(name));
        let line = || format!("{name}: {new}, the table has {old} (allowed: {allowed} more)");
        if new > old + allowed {
            verdict.worse.push(line());
        } else if new + allowed < old {
            verdict.better.push(line());
        }
    }
    verdict
}

fn number(value: &str) -> u64 {
    value.parse().unwrap()
}

/// The least difference that counts. Times and the binary have none: 2 % of them is a lot. A
/// timer's interrupt on this or the other side of the mark is chance. So are some 200 KiB of
/// resident memory: around a page of a file that is touched, the kernel maps what its page cache
/// has.
fn floor(name: &str) -> u64 {
    match name.rsplit('.').next() {
        Some("us" | "bytes") => 0,
        Some("resident") => 512,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[(&str, &str)]) -> Values {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn three_percent_more_is_worse_and_one_is_not() {
        let table = values(&[("entry.x.us", "79000"), ("environment.qemu", "\"7\"")]);
        let with = |us| values(&[("entry.x.us", us), ("environment.qemu", "\"7\"")]);
        assert_eq!(compare(&table, &with("79000")), Verdict::default());
        assert_eq!(compare(&table, &with("79800")), Verdict::default());
        assert_eq!(compare(&table, &with("81370")).worse.len(), 1);
        assert_eq!(compare(&table, &with("77000")).better.len(), 1);
    }

    #[test]
    fn another_environment_is_named_and_still_compared() {
        let table = values(&[("binary.bytes", "1000"), ("environment.rustc", "\"1\"")]);
        let with = |bytes| values(&[("binary.bytes", bytes), ("environment.rustc", "\"2\"")]);
        let verdict = compare(&table, &with("1090"));
        assert_eq!((verdict.environment.len(), verdict.worse.len()), (1, 0));
        assert_eq!(compare(&table, &with("1110")).worse.len(), 1);
    }

    #[test]
    fn small_counts_may_differ_by_a_few() {
        let table = values(&[("userspace.x.faults", "50")]);
        assert_eq!(compare(&table, &values(&[("userspace.x.faults", "58")])), Verdict::default());
        assert_eq!(compare(&table, &values(&[("userspace.x.faults", "59")])).worse.len(), 1);
    }
}
