//! What was counted, as often as it was, and the value that stands for it in the table.

use std::collections::BTreeMap;

use crate::table::Values;

/// Counts by the names of the table, and its strings.
#[derive(Debug, Default)]
pub struct Samples {
    texts: BTreeMap<String, String>,
    counts: BTreeMap<String, Vec<u64>>,
}

impl Samples {
    pub fn text(&mut self, name: String, value: &str) {
        self.texts.insert(name, format!("\"{value}\""));
    }

    pub fn count(&mut self, name: String, value: u64) {
        self.counts.entry(name).or_default().push(value);
    }

    /// Adds another measurement of the same.
    pub fn extend(&mut self, other: Self) {
        self.texts.extend(other.texts);
        for (name, values) in other.counts {
            self.counts.entry(name).or_default().extend(values);
        }
    }

    /// The least of each count, but the median of those of a boot to userspace: see
    /// `measure::USERSPACE_BOOTS`.
    pub fn values(&self) -> Values {
        let counts = self.counts.iter().map(|(name, counts)| {
            let mut counts = counts.clone();
            counts.sort_unstable();
            let is_userspace = name.starts_with("userspace.");
            let at = if is_userspace { (counts.len() - 1) / 2 } else { 0 };
            (name.clone(), counts[at].to_string())
        });
        self.texts.clone().into_iter().chain(counts).collect()
    }
}

#[test]
fn the_least_counts_but_the_median_of_boots_to_userspace() {
    let mut samples = Samples::default();
    samples.text("environment.qemu".into(), "7");
    for (entry, userspace) in [(82, 2393), (80, 2160), (81, 3190)] {
        let mut more = Samples::default();
        more.count("entry.x.us".into(), entry);
        more.count("userspace.x.exits".into(), userspace);
        samples.extend(more);
    }
    let values = samples.values();
    assert_eq!(values["environment.qemu"], "\"7\"");
    assert_eq!((&*values["entry.x.us"], &*values["userspace.x.exits"]), ("80", "2393"));
    samples.count("userspace.x.exits".into(), 3190);
    assert_eq!(samples.values()["userspace.x.exits"], "2393");
}
