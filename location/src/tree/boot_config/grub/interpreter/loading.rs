//! The commands that load kernels, initrds and modules, and those that read more of the
//! configuration.

use super::super::super::{ENTRIES, bls, environment};
use super::super::command_line;
use super::super::without_device;
use super::{Flow, Interpreter, MenuBody, MenuItem, Module};

impl Interpreter<'_, '_> {
    /// `linux FILE ARGUMENTS…` and its relatives.
    pub(super) fn load_kernel(&mut self, arguments: &[String]) -> bool {
        self.loaded.initrds.clear();
        self.loaded.kernel = self.module(arguments);
        self.loaded.kernel.is_some()
    }

    /// `initrd FILES…`; `newc:PATH:FILE` is a file that goes into an archive.
    pub(super) fn load_initrds(&mut self, arguments: &[String]) -> bool {
        let files = arguments.iter().filter(|argument| !argument.starts_with("--"));
        let files: Vec<_> = files.cloned().collect();
        if files.iter().any(|file| file.starts_with("newc:")) {
            self.warn("the entry puts files into its initrd (newc:…), which is not supported");
        }
        let files = files.iter().filter(|file| !file.starts_with("newc:"));
        self.loaded.initrds = files.map(|file| self.path(file)).collect();
        true
    }

    pub(super) fn load_multiboot(&mut self, arguments: &[String]) -> bool {
        self.loaded.multiboot = self.module(arguments);
        self.loaded.multiboot.is_some()
    }

    pub(super) fn load_module(&mut self, arguments: &[String]) -> bool {
        let module = self.module(arguments);
        let is_there = module.is_some();
        self.loaded.modules.extend(module);
        is_there
    }

    /// The file of a command that loads one, and the command line for it. grub-mkconfig writes
    /// "placeholder" in front of a command line whose first word would be dropped.
    fn module(&self, arguments: &[String]) -> Option<Module> {
        let mut arguments = arguments.iter().skip_while(|word| word.starts_with("--"));
        let file = self.path(arguments.next()?);
        let arguments: Vec<_> =
            arguments.skip_while(|word| *word == "placeholder").cloned().collect();
        Some((file, command_line::join(&arguments)))
    }

    /// A path without its device, as all devices are searched; a loopback device stays, as its
    /// files are inside another file.
    fn path(&self, name: &str) -> String {
        let device = name.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        match device {
            Some((device, _)) if self.loopbacks.contains(device) => name.to_owned(),
            _ => without_device(name),
        }
    }

    /// `loopback [-d] DEVICE [FILE]`.
    pub(super) fn loopback(&mut self, arguments: &[String]) -> bool {
        let names: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
        let [device, file] = names[..] else { return true };
        self.loopbacks.insert(device.clone());
        let exists = self.files.exists(&without_device(file));
        if exists {
            self.warn(format!(
                "chukka cannot boot files inside the image {file}: use that image itself"
            ));
        }
        exists
    }

    /// `source FILE`: its commands, as if they were here.
    pub(super) fn source(&mut self, arguments: &[String]) -> Flow {
        let Some(name) = arguments.last() else {
            self.status = false;
            return Flow::Next;
        };
        let name = without_device(name);
        let Some(text) = self.files.include(&name) else {
            self.status = false;
            return Flow::Next;
        };
        self.status = true;
        match self.run_text(&text, &name) {
            Flow::Return => Flow::Next,
            other => other,
        }
    }

    /// `configfile FILE`: a menu of its own, which replaces the one that is being read.
    pub(super) fn configfile(&mut self, arguments: &[String]) -> Flow {
        let inherited = self.variables.exported();
        let outer = std::mem::replace(&mut self.variables, inherited);
        let outer_menu = std::mem::take(&mut self.menu);
        let flow = self.source(arguments);
        if self.menu.is_empty() && !self.has_booted {
            (self.variables, self.menu) = (outer, outer_menu);
            // GRUB comes back where the file has no menu.
            return if flow == Flow::Stop && !self.is_exhausted() { Flow::Next } else { flow };
        }
        Flow::Stop
    }

    fn is_exhausted(&self) -> bool {
        self.steps == 0 || self.bytes == 0
    }

    /// `load_env [-f FILE] [NAMES…]`.
    pub(super) fn load_env(&mut self, arguments: &[String]) -> bool {
        let mut file = format!("{}/grubenv", self.variables.value("prefix"));
        let mut names: Vec<&str> = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-f" | "--file" => file = arguments.next().cloned().unwrap_or_default(),
                option if option.starts_with("--file=") => file = option[7..].to_owned(),
                option if option.starts_with('-') => {}
                name => names.push(name),
            }
        }
        let block = environment::read(&without_device(&file), self.files);
        let is_there = !block.is_empty();
        for (name, value) in block {
            if names.is_empty() || names.contains(&name.as_str()) {
                self.variables.set(&name, &value);
            }
        }
        is_there
    }

    /// `blscfg`: the entries of the Boot Loader Specification, which Fedora's GRUB reads.
    pub(super) fn blscfg(&mut self) -> bool {
        if std::mem::replace(&mut self.has_blscfg, true) {
            return true;
        }
        let variables = &self.variables;
        let get = |name: &str| variables.get(name).map(str::to_owned);
        let (entries, warnings) = bls::grub_entries(self.files, &get);
        for warning in warnings {
            self.warn(warning);
        }
        for entry in entries.into_iter().take(ENTRIES.saturating_sub(self.menu.len())) {
            let title = entry.steps.last().map(|step| step.title.clone()).unwrap_or_default();
            self.menu.push(MenuItem {
                arguments: vec![title.clone()],
                title,
                id: entry.id().to_owned(),
                is_submenu: false,
                is_hidden: false,
                body: MenuBody::Entry(Box::new(entry)),
            });
        }
        true
    }
}
