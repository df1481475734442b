//! The variables of a GRUB script.

use std::collections::BTreeMap;

/// Bytes one value can have.
const VALUE_LIMIT: usize = 1 << 16;
/// Bytes all names and values can have together.
const TOTAL_LIMIT: usize = 1 << 18;

/// Variables, and which of them a new menu inherits.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, Variable>,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Variable {
    value: String,
    is_exported: bool,
}

impl Variables {
    /// The value; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|variable| variable.value.as_str())
    }

    /// The value; empty if it is not set.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Sets a value. Returns whether there was room for it. As in GRUB, `root` loses parentheses
    /// around it (`grub_env_write_root` in its grub-core/kern/main.c).
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let inner = value.strip_prefix('(').and_then(|value| value.strip_suffix(')'));
        let value = inner.filter(|_| name == "root").unwrap_or(value);
        let is_exported = self.values.get(name).is_some_and(|variable| variable.is_exported);
        self.unset(name);
        let bytes = self.bytes + name.len() + value.len();
        if value.len() > VALUE_LIMIT || bytes > TOTAL_LIMIT {
            return false;
        }
        self.bytes = bytes;
        self.values.insert(name.to_owned(), Variable { value: value.to_owned(), is_exported });
        true
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        if let Some(old) = self.values.remove(name) {
            self.bytes -= name.len() + old.value.len();
        }
    }

    /// Has new menus inherit a variable; one that is not set becomes empty.
    pub fn export(&mut self, name: &str) {
        if self.get(name).is_none() {
            self.set(name, "");
        }
        if let Some(variable) = self.values.get_mut(name) {
            variable.is_exported = true;
        }
    }

    /// What a new menu inherits.
    pub fn exported(&self) -> Self {
        let mut inherited = Self::default();
        for (name, variable) in self.values.iter().filter(|(_, variable)| variable.is_exported) {
            inherited.set(name, &variable.value);
            inherited.export(name);
        }
        inherited
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.bytes
    }
}
