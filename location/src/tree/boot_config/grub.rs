//! grub.cfg: the part of GRUB's shell that says what is booted (GRUB's manual, "Writing full configuration files directly").
//!
//! Variables, those of `load_env` too, quoting, `if` with comparisons, menu entries and submenus, `source` and `configfile`, `blscfg`. Nothing is
//! executed: what asks the machine something (`search`, `loadfont`) is taken to have failed as a condition and to have done nothing as a
//! command; loops and functions are read over.

mod words;

use std::collections::BTreeMap;

use super::{ENTRIES, Entry, Files, Menu, Module, Step, bls, environment, without_device};
use words::{Token, tokens};

/// How deep menus, conditions and included files may lie in one another.
const DEPTH: usize = 16;
/// Values of variables may have so many bytes together with the text around them.
const VALUE: usize = 4096;
/// All words together may have so many bytes once their variables are in them: behind that nothing is read.
const EXPANDED: usize = 16 << 20;
/// What GRUB says it can do (`features` in its grub-core/normal/main.c), as far as menus ask.
const FEATURES: [&str; 5] = [
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_platform_search_hint",
    "feature_default_font_path",
    "feature_timeout_style",
];

/// The entries, as `default` says: a number, a title, an `--id`, or several of them with `>` between.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    let mut shell = Shell {
        files,
        variables: BTreeMap::new(),
        items: Vec::new(),
        current: None,
        counts: BTreeMap::new(),
        has_blscfg: false,
        left: EXPANDED,
    };
    let prefix = shell.files.directory.to_string();
    let prefix = format!("/{}", prefix.trim_start_matches('/'));
    shell.set("prefix", &prefix);
    shell.set("config_directory", &prefix);
    // What is asked about the machine most, as of a PC that its BIOS starts.
    shell.set("grub_platform", "pc");
    shell.set("grub_cpu", "i386");
    for feature in FEATURES {
        shell.set(feature, "y");
    }
    let tokens = tokens(text);
    shell.run(&mut tokens.iter().peekable(), &[], 0, true);
    let default = shell.get("default").to_owned();
    let mut saved = shell.get("saved_entry").to_owned();
    if saved.is_empty() {
        let block = environment::read(&format!("{prefix}/grubenv"), shell.files);
        saved = block.into_iter().find(|(name, _)| name == "saved_entry").unwrap_or_default().1;
    }
    let default = if default == "saved" { &saved } else { &default };
    let entries: Vec<_> = shell.items.into_iter().map(Item::finish).collect();
    let meant = |entry: &Entry| !entry.kernel.is_empty() && entry.is_meant_by(default);
    let chosen = entries.iter().position(meant);
    Menu { entries, defaults: chosen.into_iter().collect(), saved }
}

type Tokens<'t> = std::iter::Peekable<std::slice::Iter<'t, Token>>;

/// An entry, and what a multiboot kernel of it has.
#[derive(Default)]
struct Item {
    entry: Entry,
    multiboot: Option<Module>,
    modules: Vec<Module>,
}

impl Item {
    fn finish(mut self) -> Entry {
        if let Some(kernel) = self.multiboot {
            self.entry.set_multiboot(kernel, self.modules);
        }
        self.entry
    }
}

struct Shell<'a, 'f> {
    files: &'a mut Files<'f>,
    variables: BTreeMap<String, String>,
    items: Vec<Item>,
    /// The entry whose commands are read.
    current: Option<usize>,
    /// How many entries each menu has so far, by the positions that lead to it.
    counts: BTreeMap<Vec<usize>, usize>,
    /// Whether the entries that lie in files of their own were read.
    has_blscfg: bool,
    /// So many bytes may words still have.
    left: usize,
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
        let menu = menu.iter().map(|step| step.position).collect();
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
                "elif" => return End::Elif(self.is_true(&words[1..])),
                "fi" => return End::Fi,
                "done" => return End::Done,
                "if" => self.condition(tokens, menu, depth + 1, live, &words[1..]),
                "for" | "while" | "until" => {
                    self.run(tokens, menu, depth + 1, false);
                }
                "menuentry" | "submenu" => {
                    let position = self.position(menu, live);
                    let (title, id) = (title(&words), option(&words, "--id"));
                    let steps = [menu, &[Step { position, title, id }]].concat();
                    self.block(tokens, &steps, depth + 1, live, first == "menuentry");
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
    fn command(&mut self, tokens: &mut Tokens<'_>) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(token) = tokens.peek() {
            let Token::Word(word) = token else { break };
            let text = word.expand(|name| self.get(name), VALUE);
            self.left = self.left.saturating_sub(text.len() + 1);
            if self.left == 0 {
                tokens.by_ref().for_each(drop);
                return words;
            }
            match (word.is_plain(), text.as_str(), words.is_empty()) {
                // It is a command of its own, also without a semicolon in front.
                (true, "}", false) => return words,
                (true, "then" | "do", true) => {}
                (true, "}" | "else", true) | (true, "{", _) => {
                    words.push(text);
                    break;
                }
                // As a shell does: what comes out of a variable is as many words as there are in it.
                _ if word.is_variable() => {
                    words.extend(text.split_whitespace().map(str::to_owned));
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
        steps: &[Step],
        depth: usize,
        live: bool,
        is_entry: bool,
    ) {
        if live && is_entry && self.items.len() < ENTRIES {
            self.current = Some(self.items.len());
            self.items.push(Item { entry: Entry::at(steps.to_vec()), ..Item::default() });
        }
        self.run(tokens, steps, depth, live);
        if live {
            self.current = None;
        }
    }

    fn condition(
        &mut self,
        tokens: &mut Tokens<'_>,
        menu: &[Step],
        depth: usize,
        live: bool,
        words: &[String],
    ) {
        let mut holds = live && self.is_true(words);
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
                if let Some((kernel, arguments)) = file(words) {
                    self.change(|item| {
                        (item.entry.kernel, item.entry.arguments) = (kernel, arguments);
                    });
                }
            }
            "initrd" | "initrd16" | "initrdefi" => {
                let names = words[1..].iter().map(|name| without_device(name)).collect();
                self.change(|item| item.entry.initrds = names);
            }
            "multiboot" | "multiboot2" | "xen_hypervisor" => {
                self.change(|item| item.multiboot = file(words));
            }
            "module" | "module2" | "xen_module" => {
                self.change(|item| item.modules.extend(file(words)));
            }
            "load_env" => self.load_env(words),
            "blscfg" => self.entries_of_files(menu),
            "source" | "configfile" | "." | "normal" => {
                let text = words.get(1).and_then(|name| self.files.include(&without_device(name)));
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

    fn change(&mut self, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.current.and_then(|current| self.items.get_mut(current)) {
            change(item);
        }
    }

    /// `load_env [-f FILE] [NAME…]`.
    fn load_env(&mut self, words: &[String]) {
        let mut name = format!("{}/grubenv", self.get("prefix"));
        let mut wanted: Vec<&str> = Vec::new();
        let mut words = words[1..].iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-f" | "--file" => {
                    name = words.next().map(|name| without_device(name)).unwrap_or_default();
                }
                option if option.starts_with("--file=") => name = without_device(&option[7..]),
                option if option.starts_with('-') => {}
                other => wanted.push(other),
            }
        }
        for (name, value) in environment::read(&name, self.files) {
            if wanted.is_empty() || wanted.contains(&name.as_str()) {
                self.set(&name, &value);
            }
        }
    }

    /// What `blscfg` does.
    fn entries_of_files(&mut self, menu: &[Step]) {
        if std::mem::replace(&mut self.has_blscfg, true) {
            return;
        }
        let variables = &self.variables;
        let get = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let entries = bls::of_grub(self.files, &get, menu);
        for mut entry in entries {
            if self.items.len() >= ENTRIES {
                return;
            }
            let position = self.position(menu, true);
            if let Some(step) = entry.steps.last_mut() {
                step.position = position;
            }
            self.items.push(Item { entry, ..Item::default() });
        }
    }

    /// Whether a comparison holds; what asks the machine something does not.
    fn is_true(&mut self, words: &[String]) -> bool {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let words = match words[..] {
            [ref rest @ .., "then"] => rest,
            ref all => all,
        };
        match words {
            ["[", inner @ .., "]"] | ["test", inner @ ..] => inner
                .split(|word| *word == "-o")
                .any(|part| part.split(|word| *word == "-a").all(|part| self.holds(part))),
            ["true"] => true,
            _ => false,
        }
    }

    fn holds(&mut self, words: &[&str]) -> bool {
        let last = words.len().saturating_sub(1);
        let not = words[..last].iter().take_while(|word| **word == "!").count();
        let holds = match &words[not..] {
            ["-f" | "-e" | "-s", name] => self.files.has(&without_device(name)),
            ["-n", one] | [one] => !one.is_empty(),
            ["-z", one] => one.is_empty(),
            [a, "=" | "==" | "-eq", b] => a == b,
            [a, "!=" | "-ne", b] => a != b,
            _ => false,
        };
        holds == not.is_multiple_of(2)
    }
}

/// The file of a command that loads one, behind the command's options, and the words for it. Where a first word would only be the
/// file's own name, grub-mkconfig writes "placeholder".
fn file(words: &[String]) -> Option<Module> {
    let mut words = words[1..].iter().skip_while(|word| word.starts_with("--"));
    let name = without_device(words.next()?);
    let words: Vec<_> =
        words.map(String::as_str).skip_while(|word| *word == "placeholder").collect();
    Some((name, words.join(" ")))
}

/// The title in `menuentry --hotkey=g 'Title' --id x {`: the first word that is no option or an option's value.
fn title(words: &[String]) -> String {
    const WITH_VALUE: [&str; 6] =
        ["--class", "--users", "--hotkey", "--source", "--id", "--unrestricted-to"];
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with("--") && word != "{" {
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

#[cfg(test)]
mod tests;
