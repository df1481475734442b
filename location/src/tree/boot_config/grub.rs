//! grub.cfg: the part of GRUB's shell that says what is booted (GRUB's manual, "Writing full configuration files directly").
//!
//! Variables, quoting, `if` with comparisons, menu entries and submenus, `source` and `configfile`. Nothing is executed: what asks the machine
//! something (`search`, `loadfont`) is taken to have failed as a condition and to have done nothing as a command.

mod words;

use std::collections::BTreeMap;

use super::{Entry, Files};
use words::{Token, tokens};

/// How deep menus, conditions and included files may lie in one another.
const DEPTH: usize = 16;
/// Values of variables may have so many bytes together with the text around them.
const VALUE: usize = 4096;

/// The entries that boot a kernel; the one that is booted unasked first, as `default` says: a number, a title, an `--id`, or several
/// of them with `>` between.
pub(super) fn entries(text: &str, files: &mut Files<'_>) -> Vec<Entry> {
    let mut shell =
        Shell { files, variables: BTreeMap::new(), items: Vec::new(), counts: BTreeMap::new() };
    let prefix = shell.files.directory.to_string();
    shell.set("prefix", &format!("/{}", prefix.trim_start_matches('/')));
    // What is asked about the machine most, as of a PC that its BIOS starts.
    shell.set("grub_platform", "pc");
    shell.set("grub_cpu", "i386");
    let tokens = tokens(text);
    shell.run(&mut tokens.iter().peekable(), &[], 0, true);
    let default = shell.get("default").to_owned();
    let chosen = shell.chosen(&default);
    let Shell { mut items, .. } = shell;
    if let Some(chosen) = chosen {
        items[..=chosen].rotate_right(1);
    }
    let boots = items.into_iter().filter(|item| !item.entry.kernel.is_empty());
    boots.map(|item| item.entry).collect()
}

/// Position, title and `--id` of an entry or a menu.
type Step = (usize, String, String);

type Tokens<'t> = std::iter::Peekable<std::slice::Iter<'t, Token>>;

/// An entry and where it is in the menus.
struct Item {
    entry: Entry,
    /// The menus it is in, outermost first, and itself.
    place: Vec<Step>,
}

struct Shell<'a, 'f> {
    files: &'a mut Files<'f>,
    variables: BTreeMap<String, String>,
    items: Vec<Item>,
    /// How many entries each menu has so far, by the positions that lead to it.
    counts: BTreeMap<Vec<usize>, usize>,
}

/// What ended a run of commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Text,
    Brace,
    Else,
    /// Whether its condition holds.
    Elif(bool),
    Fi,
    Done,
}

impl Shell<'_, '_> {
    fn set(&mut self, name: &str, value: &str) {
        if value.len() <= VALUE {
            self.variables.insert(name.into(), value.into());
        }
    }

    fn get(&self, name: &str) -> &str {
        self.variables.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The position of the next entry of a menu.
    fn position(&mut self, menu: &[Step], live: bool) -> usize {
        let menu = menu.iter().map(|(position, ..)| *position).collect();
        let count = self.counts.entry(menu).or_default();
        let position = *count;
        *count += usize::from(live);
        position
    }

    /// Takes commands in until something ends them. With `live` false they are only read over.
    fn run(&mut self, tokens: &mut Tokens<'_>, menu: &[Step], depth: usize, live: bool) -> End {
        if depth > DEPTH {
            // Nobody writes that: the rest is left unread.
            tokens.by_ref().for_each(drop);
        }
        while let Some(token) = tokens.peek() {
            if **token == Token::End {
                tokens.next();
                continue;
            }
            let words = self.command(tokens);
            let first = words.first().map(String::as_str).unwrap_or_default();
            match first {
                "}" => return End::Brace,
                "else" => return End::Else,
                "elif" => return End::Elif(is_true(&words[1..])),
                "fi" => return End::Fi,
                "done" => return End::Done,
                "if" => self.condition(tokens, menu, depth + 1, live, &words[1..]),
                "for" | "while" | "until" => {
                    self.run(tokens, menu, depth + 1, false);
                }
                "menuentry" | "submenu" => {
                    let mut place = menu.to_vec();
                    place.push((self.position(menu, live), title(&words), option(&words, "--id")));
                    self.block(tokens, &place, depth + 1, live, first == "menuentry");
                }
                "function" => {
                    self.run(tokens, menu, depth + 1, false);
                }
                _ if live => self.execute(&words, menu, depth),
                _ => {}
            }
        }
        End::Text
    }

    /// One command's words, up to its end; what opens or closes a block ends it too, and so do the words that lead another one.
    fn command(&self, tokens: &mut Tokens<'_>) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(token) = tokens.peek() {
            let Token::Word(word) = token else { break };
            let text = word.expand(|name| self.get(name), VALUE);
            match (word.is_plain(), text.as_str(), words.is_empty()) {
                // It is a command of its own, also without a semicolon in front.
                (true, "}", false) => return words,
                (true, "then" | "do", true) => {}
                (true, "}" | "else", true) | (true, "{", _) => {
                    words.push(text);
                    break;
                }
                _ => words.push(text),
            }
            tokens.next();
        }
        // What ended it: a newline, or the word that did.
        tokens.next();
        words
    }

    fn block(
        &mut self,
        tokens: &mut Tokens<'_>,
        place: &[Step],
        depth: usize,
        live: bool,
        is_entry: bool,
    ) {
        if live && is_entry {
            let titles: Vec<_> = place.iter().map(|(_, title, _)| title.as_str()).collect();
            let entry = Entry { title: titles.join(" > "), ..Entry::default() };
            self.items.push(Item { entry, place: place.to_vec() });
        }
        self.run(tokens, place, depth, live);
    }

    fn condition(
        &mut self,
        tokens: &mut Tokens<'_>,
        menu: &[Step],
        depth: usize,
        live: bool,
        words: &[String],
    ) {
        let mut holds = is_true(words);
        let mut had_one = false;
        loop {
            let end = self.run(tokens, menu, depth, live && holds && !had_one);
            had_one |= holds;
            match end {
                End::Else => holds = !had_one,
                End::Elif(is_true) => holds = !had_one && is_true,
                _ => return,
            }
        }
    }

    fn execute(&mut self, words: &[String], menu: &[Step], depth: usize) {
        let Some(first) = words.first() else { return };
        match first.as_str() {
            "set" => {
                if let Some((name, value)) = words.get(1).and_then(|word| word.split_once('=')) {
                    self.set(name, value);
                }
            }
            "linux" | "linux16" | "linuxefi" => {
                if let (Some(item), Some(kernel)) = (self.items.last_mut(), words.get(1)) {
                    item.entry.kernel = without_device(kernel).to_owned();
                    item.entry.arguments = words[2..].join(" ");
                }
            }
            "initrd" | "initrd16" | "initrdefi" => {
                if let Some(item) = self.items.last_mut() {
                    let names = words[1..].iter().map(|name| without_device(name).to_owned());
                    item.entry.initrds = names.collect();
                }
            }
            "source" | "configfile" | "." | "normal" => {
                let text = words.get(1).and_then(|name| self.files.include(without_device(name)));
                if let Some(text) = text {
                    let tokens = tokens(&text);
                    self.run(&mut tokens.iter().peekable(), menu, depth + 1, true);
                }
            }
            assignment => {
                if let Some((name, value)) = assignment.split_once('=').filter(|_| words.len() == 1)
                {
                    let (name, value) = (name.to_owned(), value.to_owned());
                    self.set(&name, &value);
                }
            }
        }
    }

    /// Which item `default` means.
    fn chosen(&self, default: &str) -> Option<usize> {
        let wanted: Vec<_> = default.split('>').map(str::trim).collect();
        let fits = |item: &Item| {
            wanted.iter().zip(&item.place).all(|(wanted, (position, title, id))| {
                wanted == title
                    || (!wanted.is_empty() && wanted == id)
                    || wanted.parse() == Ok(*position)
            })
        };
        self.items.iter().position(|item| fits(item) && !item.entry.kernel.is_empty())
    }
}

/// The title in `menuentry --hotkey=g 'Title' --id x {`: the first word that is no option or an option's value.
fn title(words: &[String]) -> String {
    const WITH_VALUE: [&str; 6] =
        ["--class", "--users", "--hotkey", "--source", "--id", "--unrestricted-to"];
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with("--") {
            return word.clone();
        }
    }
    String::new()
}

/// The value of an option, after a space or `=`.
fn option(words: &[String], name: &str) -> String {
    let at = words.iter().position(|word| {
        word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let Some(at) = at else { return String::new() };
    let own = words[at].split_once('=').map(|(_, value)| value.to_owned());
    own.or_else(|| words.get(at + 1).cloned()).unwrap_or_default()
}

/// `(hd0,gpt2)/boot/vmlinuz` and `($root)/…` without the device: it is the place that is looked at.
fn without_device(path: &str) -> &str {
    match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, path)) => path,
        None => path,
    }
}

/// Whether a comparison holds; what asks the machine something does not.
fn is_true(words: &[String]) -> bool {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let words = match words[..] {
        [ref rest @ .., "then"] => rest,
        ref all => all,
    };
    let inner = match words {
        ["[", inner @ .., "]"] | ["test", inner @ ..] => inner,
        ["true"] => return true,
        _ => return false,
    };
    match inner {
        ["!", rest @ ..] if !rest.is_empty() => match rest {
            [one] => one.is_empty(),
            _ => !compare(rest),
        },
        inner => compare(inner),
    }
}

fn compare(words: &[&str]) -> bool {
    match words {
        [one] => !one.is_empty(),
        ["-n", one] => !one.is_empty(),
        ["-z", one] => one.is_empty(),
        [a, "=" | "==" | "-eq", b] => a == b,
        [a, "!=" | "-ne", b] => a != b,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
