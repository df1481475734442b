//! `$?`: whether the last command succeeded. What a file or the machine would have to be asked for
//! is found out only where something depends on it: a menu has many entries, and a server is asked
//! for each file.

use super::Interpreter;
use super::file_commands::{HEAD, has_setup_code, is_kind};
use storage::{RandomAccess, head};

/// Whether a command succeeded.
#[derive(Debug)]
pub(super) enum Status {
    /// It is known.
    Known(bool),
    /// It did if these files are there, and a kernel is one.
    IfThere {
        /// Their names.
        files: Vec<String>,
        /// What the command loaded from them.
        part: Option<Part>,
    },
    /// chukka cannot tell what this command would say: it counts as failed, with a warning.
    Unanswered(String),
    /// chukka does not know this command. It counts as true, with a warning: one that GRUB does not
    /// know either succeeds there.
    Unknown(String),
}

/// What a command loads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Kernel,
    /// A kernel for GRUB's `linux16`, which takes older ones, too.
    Kernel16,
    Initrds,
    Multiboot,
    Module,
    Chained,
}

impl Part {
    /// Whether GRUB loads such a file as this: a kernel must be one for x86 (`grub_cmd_linux` in
    /// GRUB's grub-core/loader/i386/linux.c, in i386/pc/linux.c for `linux16`, and in efi/linux.c).
    fn takes(self, file: &dyn RandomAccess, is_efi: bool) -> bool {
        if matches!(self, Self::Initrds | Self::Multiboot | Self::Module | Self::Chained) {
            return true;
        }
        let Ok(head) = head(file, HEAD) else { return false };
        let is = |kind| is_kind(kind, &head, file.len()) == Some(true);
        match self {
            Self::Kernel16 => has_setup_code(&head),
            _ => is("x86-linux32") || is_efi && is("x86_64-efi"),
        }
    }
}

impl Interpreter<'_, '_> {
    /// Whether the last command succeeded. What it did not find is not loaded.
    pub(super) fn has_succeeded(&mut self) -> bool {
        let has_succeeded = match &self.status {
            Status::Known(is_true) => *is_true,
            Status::IfThere { files, part } => {
                let part = *part;
                let is_efi = self.variables.value("grub_platform") == "efi";
                let are_there = files.iter().all(|name| {
                    let file = self.files.find(name);
                    file.is_some_and(|file| part.is_none_or(|part| part.takes(&*file, is_efi)))
                });
                if let Some(part) = part.filter(|_| !are_there) {
                    self.unload(part);
                }
                are_there
            }
            Status::Unanswered(command) => {
                let warning = format!(
                    "the condition '{command}' counts as false: chukka does not support GRUB's {}",
                    command.split(' ').next().unwrap_or_default()
                );
                self.warn(warning);
                false
            }
            Status::Unknown(command) => {
                let warning = format!(
                    "the condition '{command}' counts as true, as any unknown command does in GRUB: \
                     chukka knows no such command"
                );
                self.warn(warning);
                true
            }
        };
        self.status = Status::Known(has_succeeded);
        has_succeeded
    }

    /// Whether a condition is met that has just run.
    pub(super) fn is_met(&mut self) -> bool {
        let Some(outcome) = self.outcome.take() else { return self.has_succeeded() };
        let status = std::mem::replace(&mut self.status, outcome);
        let is_met = self.has_succeeded();
        self.status = status;
        is_met
    }

    fn unload(&mut self, part: Part) {
        match part {
            Part::Kernel | Part::Kernel16 => self.loaded.missing = self.loaded.kernel.take(),
            Part::Initrds => self.loaded.initrds.clear(),
            Part::Multiboot => self.loaded.missing = self.loaded.multiboot.take(),
            Part::Module => drop(self.loaded.modules.pop()),
            Part::Chained => self.loaded.chained = None,
        }
    }
}
