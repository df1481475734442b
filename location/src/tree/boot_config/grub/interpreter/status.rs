//! `$?`: whether the last command succeeded. What a file or the machine would have to be asked for
//! is found out only where something depends on it: a menu has many entries, and a server is asked
//! for each file.

use super::Interpreter;

/// Whether a command succeeded.
#[derive(Debug)]
pub(super) enum Status {
    /// It is known.
    Known(bool),
    /// It did if these files are there.
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
    Initrds,
    Multiboot,
    Module,
    Chained,
}

impl Interpreter<'_, '_> {
    /// Whether the last command succeeded. What it did not find is not loaded.
    pub(super) fn has_succeeded(&mut self) -> bool {
        let has_succeeded = match &self.status {
            Status::Known(is_true) => *is_true,
            Status::IfThere { files, part } => {
                let part = *part;
                let are_there = files.iter().all(|file| self.files.find(file).is_some());
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

    fn unload(&mut self, part: Part) {
        match part {
            Part::Kernel => self.loaded.missing = self.loaded.kernel.take(),
            Part::Initrds => self.loaded.initrds.clear(),
            Part::Multiboot => self.loaded.missing = self.loaded.multiboot.take(),
            Part::Module => drop(self.loaded.modules.pop()),
            Part::Chained => self.loaded.chained = None,
        }
    }
}
