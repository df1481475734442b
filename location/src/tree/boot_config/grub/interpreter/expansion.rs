//! Expands words: variables, splitting at spaces, and patterns (GRUB's
//! `grub_script_arglist_to_argv`).

use super::super::lexer::{Content, Part, Word};
use super::Interpreter;
use crate::tree::glob::Pattern;

/// Files that one pattern can stand for.
const MATCHES: usize = 256;

/// The variables of GRUB's module "datehook" (its grub-core/hook/datehook.c).
const DATE: [&str; 7] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEKDAY"];

/// An argument while it is put together.
#[derive(Default)]
struct Argument {
    text: String,
    /// Whether there is one at all: an unset variable without quotes makes none.
    is_begun: bool,
    /// Whether an unquoted `*` or `?` is in it.
    is_pattern: bool,
}

impl Interpreter<'_, '_> {
    /// The arguments that words stand for; `None` if they are too long.
    pub(super) fn expand(&mut self, words: &[Word]) -> Option<Vec<String>> {
        let mut arguments = Vec::new();
        for word in words {
            let mut argument = Argument::default();
            for part in &word.parts {
                self.expand_part(part, &mut argument, &mut arguments)?;
            }
            self.finish(argument, &mut arguments)?;
        }
        Some(arguments)
    }

    fn expand_part(
        &mut self,
        part: &Part,
        argument: &mut Argument,
        arguments: &mut Vec<String>,
    ) -> Option<()> {
        let name = match &part.content {
            Content::Text(text) => {
                self.charge(text.len() + 1).then_some(())?;
                argument.is_begun = true;
                argument.is_pattern |= !part.is_quoted && text.contains(['*', '?']);
                argument.text += text;
                return Some(());
            }
            Content::Variable(name) => name,
        };
        let values = self.values(name, part.is_quoted);
        let size: usize = values.iter().map(|value| value.len() + 1).sum();
        self.charge(size + 1).then_some(())?;
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.finish(std::mem::take(argument), arguments)?;
            }
            argument.is_begun |= part.is_quoted || !value.is_empty();
            argument.is_pattern |= !part.is_quoted && value.contains(['*', '?']);
            argument.text += &value;
        }
        Some(())
    }

    /// The values of a variable: several if it is split.
    fn values(&mut self, name: &str, is_quoted: bool) -> Vec<String> {
        let value = match name {
            "@" if is_quoted => return self.parameters.clone(),
            "@" | "*" => self.parameters.join(" "),
            "#" => self.parameters.len().to_string(),
            _ if self.has_date && DATE.contains(&name) => {
                self.warn(format!("${name} is empty: chukka does not support GRUB's datehook"));
                String::new()
            }
            "?" => u8::from(!self.has_succeeded()).to_string(),
            _ => match name.parse::<usize>() {
                Ok(0) | Err(_) => self.variables.value(name).to_owned(),
                Ok(number) => self.parameters.get(number - 1).cloned().unwrap_or_default(),
            },
        };
        if is_quoted {
            return vec![value];
        }
        let mut values: Vec<_> = value.split_whitespace().map(str::to_owned).collect();
        if values.is_empty() {
            return values;
        }
        // A space at an end separates it from what is beside it.
        if value.starts_with(char::is_whitespace) {
            values.insert(0, String::new());
        }
        if value.ends_with(char::is_whitespace) {
            values.push(String::new());
        }
        values
    }

    fn finish(&mut self, argument: Argument, arguments: &mut Vec<String>) -> Option<()> {
        let Argument { text, is_begun, is_pattern } = argument;
        if !is_begun {
            return Some(());
        }
        let found = if is_pattern && self.has_patterns { self.matches(&text)? } else { Vec::new() };
        if found.is_empty() {
            arguments.push(text);
        } else {
            arguments.extend(found);
        }
        Some(())
    }

    /// The files that a path with patterns in its names stands for, with its device in front as it
    /// was; `None` if they are too long.
    fn matches(&mut self, pattern: &str) -> Option<Vec<String>> {
        let path = super::super::without_device(pattern);
        let Some(inner) = path.strip_prefix('/') else { return Some(Vec::new()) };
        let device = pattern.strip_suffix(path.as_str()).unwrap_or_default();
        let mut found = vec![device.to_owned()];
        let names: Vec<_> = inner.split('/').collect();
        for (at, name) in names.iter().enumerate() {
            let is_pattern = name.contains(['*', '?']);
            let pattern = if is_pattern { Pattern::of_stars(name) } else { None };
            let mut next = Vec::new();
            for above in found {
                let own = match &pattern {
                    Some(_) => self.files.list(&above),
                    // Longer than any file's name.
                    None if is_pattern => Vec::new(),
                    None => vec![(*name).to_owned()],
                };
                let fits = |own: &String| pattern.as_ref().is_none_or(|it| it.matches(own));
                for own in own.into_iter().filter(fits).take(MATCHES - next.len()) {
                    self.charge(above.len() + 1 + own.len()).then_some(())?;
                    next.push(format!("{above}/{own}"));
                }
                if next.len() == MATCHES {
                    break;
                }
            }
            found = next;
            // What is behind the last pattern has to be there.
            if at + 1 == names.len() && !is_pattern {
                found.retain(|path| self.files.exists(path));
            }
        }
        Some(found)
    }
}
