//! GRUB's other commands: whether each succeeds, and what it does to variables.

use std::collections::BTreeMap;

use super::super::super::{legacy, syslinux};
use super::super::conditions::{self, FileTests};
use super::super::regexp;
use super::{Flow, Interpreter, Status};

impl FileTests for super::Files<'_> {
    fn exists(&mut self, name: &str) -> bool {
        self.exists(name)
    }

    fn is_directory(&mut self, name: &str) -> bool {
        self.is_directory(name)
    }

    fn has_content(&mut self, name: &str) -> bool {
        self.has_content(name)
    }
}

impl Interpreter<'_, '_> {
    /// Runs a command of GRUB's that is not a menu entry. `None`: there is no such command.
    pub(super) fn built_in(&mut self, name: &str, arguments: &[String]) -> Option<Flow> {
        let by_file = self.load(name, arguments).or_else(|| self.file_command(name, arguments));
        if let Some(status) = by_file {
            self.status = status;
            return Some(Flow::Next);
        }
        self.status = Status::Known(match name {
            "set" => self.set(arguments),
            "unset" => {
                arguments.iter().take(1).for_each(|name| self.variables.unset(name));
                !arguments.is_empty()
            }
            "export" => {
                arguments.iter().for_each(|name| self.variables.export(name));
                !arguments.is_empty()
            }
            "[" | "test" => {
                let expression = arguments.strip_suffix(&["]".to_owned()]).unwrap_or(arguments);
                conditions::is_true(expression, self.files)
            }
            "load_env" => self.load_env(arguments),
            "blscfg" | "bls_import" => self.blscfg(arguments),
            // The images in EFI/Linux as entries (grub-core/commands/blsuki.c).
            "uki" => {
                self.warn("chukka does not support GRUB's uki: its entries are not in the menu");
                false
            }
            "search" | "search.file" | "search.fs_label" | "search.fs_uuid" => {
                self.search(name, arguments)
            }
            "regexp" => self.regexp(arguments),
            "loopback" => self.loopback(arguments),
            "insmod" => {
                let is_loaded = |name: &str| arguments.first().is_some_and(|own| own == name);
                self.has_patterns |= is_loaded("regexp");
                self.has_date |= is_loaded("datehook");
                !arguments.is_empty()
            }
            // The guest's processor has 64 bits.
            "cpuid" => true,
            "setparams" => {
                self.parameters = arguments.to_vec();
                true
            }
            "shift" => {
                // Too large a number shifts nothing.
                let count = count(arguments);
                let is_possible = count <= self.parameters.len();
                if is_possible {
                    self.parameters.drain(..count);
                }
                is_possible
            }
            // No key is pressed, and the firmware has no settings.
            "false" | "keystatus" | "fwsetup" => false,
            "tr" => self.tr(arguments),
            "increment" => self.count_in_variable(arguments, 1),
            "decrement" => self.count_in_variable(arguments, -1),
            // `ls` succeeds whatever it lists (grub-core/commands/ls.c).
            "true" | "echo" | "save_env" | "list_env" | "terminal_input" | "terminal_output"
            | "serial" | "sleep" | "clear" | "rmmod" | "play" | "hexdump" | "ls" => true,
            // These usually succeed, and change nothing of what is booted here.
            "acpi" | "authenticate" | "background_color" | "background_image" | "badram"
            | "cutmem" | "date" | "drivemap" | "efitextmode" | "help" | "keymap" | "loadfont"
            | "lsefimmap" | "lsmmap" | "lspci" | "nativedisk" | "parttool" | "password"
            | "password_pbkdf2" | "terminfo" | "usb" | "vbeinfo" | "videoinfo" | "videotest"
            | "write_byte" => true,
            _ => return self.control(name, arguments),
        });
        Some(Flow::Next)
    }

    /// Commands that decide what runs next.
    fn control(&mut self, name: &str, arguments: &[String]) -> Option<Flow> {
        Some(match name {
            "source" | "." | "extract_entries_source" => self.source(arguments),
            "normal" if arguments.is_empty() => {
                let own = format!("{}/grub.cfg", self.variables.value("prefix"));
                self.configfile(&[own])
            }
            "configfile" | "normal" | "extract_entries_configfile" => self.configfile(arguments),
            "eval" => self.run_text(&arguments.join(" "), "eval"),
            "break" | "continue" => {
                let count = self.loops_to_leave(arguments);
                self.status = Status::Known(count.is_some());
                match count {
                    Some(count) if name == "break" => Flow::Break(count),
                    Some(count) => Flow::Continue(count),
                    None => Flow::Next,
                }
            }
            "return" => self.end_body(arguments),
            "boot" => {
                self.has_booted = self.loaded.is_anything();
                self.status = Status::Known(self.has_booted);
                if self.has_booted { Flow::Stop } else { Flow::Next }
            }
            "exit" | "halt" | "reboot" => {
                self.left_by = Some(name.to_owned());
                Flow::Stop
            }
            "legacy_configfile" | "extract_legacy_entries_configfile" => {
                self.foreign_menu(arguments, true, legacy::menu)
            }
            "legacy_source" | "extract_legacy_entries_source" => {
                self.foreign_menu(arguments, false, legacy::menu)
            }
            "syslinux_configfile" | "extract_syslinux_entries_configfile" => {
                self.foreign_menu(arguments, true, syslinux::menu)
            }
            "syslinux_source" | "extract_syslinux_entries_source" => {
                self.foreign_menu(arguments, false, syslinux::menu)
            }
            _ => return None,
        })
    }

    /// `return [NUMBER]`, which fails outside functions and menu entries (`grub_script_return` in
    /// grub-core/script/execute.c).
    fn end_body(&mut self, arguments: &[String]) -> Flow {
        let number = arguments.first().map(|number| number.parse::<u64>());
        if !self.is_in_body || arguments.len() > 1 || matches!(number, Some(Err(_))) {
            self.status = Status::Known(false);
            return Flow::Next;
        }
        // Without a number, `$?` stays.
        if let Some(Ok(number)) = number {
            self.status = Status::Known(number == 0);
        }
        Flow::Return
    }

    /// `set NAME=VALUE`; what is not an assignment fails (GRUB's grub-core/kern/corecmd.c).
    fn set(&mut self, arguments: &[String]) -> bool {
        let Some(assignment) = arguments.first() else { return true };
        assignment.split_once('=').is_some_and(|(name, value)| self.variables.set(name, value))
    }

    /// `search [--set[=NAME]] [--file|--label|--fs-uuid] NAME` (GRUB's
    /// grub-core/commands/search.c and search_wrap.c).
    fn search(&mut self, command: &str, arguments: &[String]) -> bool {
        let mut kind = match command {
            "search.file" => Some("file"),
            "search.fs_label" => Some("label"),
            "search.fs_uuid" => Some("fs-uuid"),
            _ => None,
        };
        let (mut variable, mut names): (Option<String>, Vec<&str>) = (None, Vec::new());
        let mut hints = Vec::new();
        let is_efi = self.variables.value("grub_platform") == "efi";
        let is_meant = |option: &str| match option {
            "--hint-bios" => !is_efi,
            "--hint-efi" => is_efi,
            option => ["-h", "--hint", "--hint-baremetal"].contains(&option),
        };
        let mut arguments = arguments.iter().map(String::as_str).peekable();
        while let Some(argument) = arguments.next() {
            match argument {
                "-f" | "--file" => kind = Some("file"),
                "-l" | "--label" | "--fs-label" => kind = Some("label"),
                "-u" | "--fs-uuid" => kind = Some("fs-uuid"),
                "-s" | "--set" => {
                    let own = arguments.next_if(|next| !next.starts_with('-'));
                    variable = Some(own.unwrap_or("root").to_owned());
                }
                _ if argument.starts_with("--set=") => variable = Some(argument[6..].to_owned()),
                "-h" | "--hint" | "--hint-bios" | "--hint-efi" | "--hint-baremetal"
                | "--hint-ieee1275" | "--hint-arc" => {
                    hints.extend(arguments.next().filter(|_| is_meant(argument)));
                }
                _ if argument.starts_with("--hint") => {
                    let hint = argument.split_once('=').filter(|(option, _)| is_meant(option));
                    hints.extend(hint.map(|(_, hint)| hint));
                }
                _ if argument.starts_with('-') => {}
                _ => names.push(argument),
            }
        }
        // `search.fs_uuid NAME VARIABLE HINTS…`
        if command != "search" && names.len() > 1 {
            hints.extend(names.drain(2..));
            variable = Some(names.remove(1).to_owned());
        }
        // `search --label --set=NAME`
        let own = names.is_empty().then(|| variable.replace("root".to_owned())).flatten();
        let (Some(kind), Some(name)) = (kind, own.as_deref().or(names.first().copied())) else {
            return false;
        };
        let found = match kind {
            "file" => self.files.with_file(name, &hints),
            "label" => self.files.with_label(name, &hints),
            _ => self.files.with_uuid(name, &hints),
        };
        let Some(device) = found else { return false };
        if let Some(variable) = variable {
            self.variables.set(&variable, &device);
        }
        true
    }

    /// `regexp [--set [NUMBER:]NAME] PATTERN TEXT`.
    fn regexp(&mut self, arguments: &[String]) -> bool {
        self.has_patterns = true;
        let (mut sets, mut rest): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-s" | "--set" => sets.extend(arguments.next().map(String::as_str)),
                set if set.starts_with("--set=") => sets.push(&set[6..]),
                "--" if rest.is_empty() => {}
                other => rest.push(other),
            }
        }
        let [pattern, text] = rest[..] else { return false };
        let groups = match regexp::groups(pattern, text, &mut self.matching) {
            Ok(Some(groups)) => groups,
            Ok(None) => return false,
            Err(()) => {
                self.warn(format!("the pattern '{pattern}' of regexp could not be read"));
                return false;
            }
        };
        for set in sets {
            let (number, name) = set.split_once(':').unwrap_or(("1", set));
            let group = number.parse::<usize>().ok().and_then(|number| groups.get(number));
            match group {
                Some(Some(value)) => {
                    self.variables.set(name, value);
                }
                _ => self.variables.unset(name),
            }
        }
        true
    }

    /// `tr [--set NAME] [--upcase|--downcase|FROM TO] [TEXT]` (GRUB's grub-core/commands/tr.c).
    /// Without a text, the variable's own value is translated.
    fn tr(&mut self, arguments: &[String]) -> bool {
        let (mut set, mut case, mut rest): (Option<&str>, Option<bool>, Vec<&str>) =
            (None, None, Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-s" | "--set" => set = arguments.next().map(String::as_str),
                option if option.starts_with("--set=") => set = Some(&option[6..]),
                "-U" | "--upcase" => case = Some(true),
                "-D" | "--downcase" => case = Some(false),
                other => rest.push(other),
            }
        }
        let sets = if case.is_some() { 0 } else { 2 };
        let own = set.and_then(|name| self.variables.get(name)).map(str::to_owned);
        let (Some(texts), Some(text)) =
            (rest.get(..sets), rest.get(sets).copied().or(own.as_deref()))
        else {
            return false;
        };
        let translated: String = match (case, texts) {
            (Some(true), _) => text.to_ascii_uppercase(),
            (Some(false), _) => text.to_ascii_lowercase(),
            (None, [from, to]) if from.chars().count() == to.chars().count() => {
                // Of a character that is there twice, the first counts.
                let pairs: BTreeMap<_, _> = from.chars().rev().zip(to.chars().rev()).collect();
                let of = |c: char| pairs.get(&c).copied().unwrap_or(c);
                text.chars().map(of).collect()
            }
            (None, _) => return false,
        };
        set.is_none_or(|name| self.variables.set(name, &translated))
    }

    /// `increment NAME` and `decrement NAME`, which Fedora's GRUB has.
    fn count_in_variable(&mut self, arguments: &[String], by: i64) -> bool {
        let [name] = arguments else { return false };
        let number: i64 = self.variables.value(name).parse().unwrap_or(0);
        self.variables.set(name, &number.saturating_add(by).to_string())
    }
}

/// The number that `shift` takes; 1 by default.
fn count(arguments: &[String]) -> usize {
    arguments.first().and_then(|count| count.parse().ok()).unwrap_or(1)
}
