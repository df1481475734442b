//! The commands that load kernels, initrds and modules, and those that read more of the
//! configuration.

use std::rc::Rc;

use super::super::super::bls::{self, GrubEntry};
use super::super::super::{ENTRIES, Loop, Menu, environment, is_in_menu_named};
use super::super::command_line;
use super::super::lexer::tokens;
use super::super::parser::parse;
use super::super::{devices, without_device};
use super::status::Part;
use super::{Files, Flow, Interpreter, MenuBody, MenuItem, Module, Status};
use storage::TreePath;

impl Interpreter<'_, '_> {
    /// A command that loads something. `None`: it is another one.
    pub(super) fn load(&mut self, name: &str, arguments: &[String]) -> Option<Status> {
        Some(match name {
            "linux" | "linux16" | "linuxefi" => {
                self.loaded.initrds.clear();
                self.loaded.kernel = self.module(arguments);
                Self::loads(Part::Kernel, arguments)
            }
            "initrd" | "initrd16" | "initrdefi" => self.load_initrds(arguments),
            "multiboot" | "multiboot2" | "xen_hypervisor" => {
                self.loaded.multiboot = self.module(arguments);
                Self::loads(Part::Multiboot, arguments)
            }
            "module" | "module2" | "xen_module" => {
                self.loaded.modules.extend(self.module(arguments));
                Self::loads(Part::Module, arguments)
            }
            "chainloader" => {
                self.loaded.chained = self.module(arguments);
                Self::loads(Part::Chained, arguments)
            }
            _ => return None,
        })
    }

    /// The status of a command that loads the file behind its options.
    fn loads(part: Part, arguments: &[String]) -> Status {
        match arguments.iter().find(|word| !word.starts_with("--")) {
            Some(file) => Status::IfThere { files: vec![file.clone()], part: Some(part) },
            None => Status::Known(false),
        }
    }

    /// `initrd FILES…`; `newc:PATH:FILE` is a file that goes into an archive. It fails if no
    /// kernel is loaded.
    fn load_initrds(&mut self, arguments: &[String]) -> Status {
        if self.loaded.kernel.is_none() {
            return Status::Known(false);
        }
        let files = arguments.iter().filter(|argument| !argument.starts_with("--"));
        let files: Vec<_> = files.cloned().collect();
        if files.iter().any(|file| file.starts_with("newc:")) {
            self.warn("the entry puts files into its initrd (newc:…), which is not supported");
        }
        let files = files.into_iter().filter(|file| !file.starts_with("newc:"));
        let files: Vec<_> = files.collect();
        self.loaded.initrds = files.iter().map(|file| self.files.absolute(file)).collect();
        Status::IfThere { files, part: Some(Part::Initrds) }
    }

    /// The file of a command that loads one, and the command line for it. grub-mkconfig writes
    /// "placeholder" in front of a command line whose first word would be dropped.
    fn module(&self, arguments: &[String]) -> Option<Module> {
        let mut arguments = arguments.iter().skip_while(|word| word.starts_with("--"));
        let file = self.files.absolute(arguments.next()?);
        let arguments: Vec<_> =
            arguments.skip_while(|word| *word == "placeholder").cloned().collect();
        Some((file, command_line::join(&arguments)))
    }

    /// `loopback [-d] DEVICE [FILE]` (GRUB's grub-core/disk/loopback.c): `(DEVICE)/…` is in the
    /// image FILE from then on.
    pub(super) fn loopback(&mut self, arguments: &[String]) -> bool {
        let (options, names): (Vec<_>, Vec<_>) =
            arguments.iter().partition(|word| word.starts_with('-'));
        let is_deleted = options.iter().any(|option| ["-d", "--delete"].contains(&option.as_str()));
        let is_open = |looped: Loop| looped.is_open;
        match names[..] {
            [device, ..] if is_deleted => self.files.loops.remove(device).is_some_and(is_open),
            [device, file] if !self.files.loops.get(device).cloned().is_some_and(is_open) => {
                let image = self.files.absolute(file);
                let is_path = without_device(file).starts_with('/');
                let is_open = is_path && self.files.find(file).is_some();
                if !self.charge(device.len() + image.len()) {
                    return false;
                }
                self.files.loops.insert(device.clone(), Loop { image, is_open });
                is_open
            }
            _ => false,
        }
    }

    /// `source FILE`: its commands, as if they were here. It succeeds, also without the file
    /// (`grub_cmd_source` in grub-core/commands/configfile.c).
    pub(super) fn source(&mut self, arguments: &[String]) -> Flow {
        let text = arguments.last().and_then(|name| Some((name, self.files.include(name)?)));
        self.status = Status::Known(!arguments.is_empty());
        let Some((name, text)) = text else { return Flow::Next };
        let outer = self.enter_file(name);
        let flow = self.run_text(&text, &without_device(name));
        self.status = Status::Known(true);
        for (variable, value) in outer {
            match value {
                Some(value) => {
                    self.variables.set(variable, &value);
                }
                None => self.variables.unset(variable),
            }
        }
        if flow == Flow::Return { Flow::Next } else { flow }
    }

    /// Notes which file is read, in the variables that GRUB has for that. Returns their values of
    /// before.
    fn enter_file(&mut self, name: &str) -> [(&'static str, Option<String>); 2] {
        let with_device = format!("({}){name}", self.variables.value("root"));
        let name = if name.starts_with('(') { name } else { &with_device };
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        [("config_file", name), ("config_directory", directory)].map(|(variable, value)| {
            let outer = self.variables.get(variable).map(str::to_owned);
            self.variables.set(variable, value);
            self.variables.export(variable);
            (variable, outer)
        })
    }

    /// `configfile FILE`: a menu of its own, which replaces the one that is being read.
    pub(super) fn configfile(&mut self, arguments: &[String]) -> Flow {
        let inherited = self.variables.exported();
        let outer = std::mem::replace(&mut self.variables, inherited);
        let outer_menu = std::mem::take(&mut self.menu);
        let flow = self.source(arguments);
        self.has_own_menu = true;
        if self.menu.is_empty() && !self.has_booted && self.left_by.is_none() {
            (self.variables, self.menu) = (outer, outer_menu);
            self.has_own_menu = false;
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
        let Some(block) = environment::read(&file, self.files) else { return false };
        for (name, value) in block {
            if names.is_empty() || names.contains(&name.as_str()) {
                self.variables.set(&name, &value);
            }
        }
        true
    }

    /// `blscfg [default|non-default|ID|(DEVICE)/DIRECTORY]`: the entries of the Boot Loader
    /// Specification, which Fedora's GRUB reads (its grub-core/commands/blscfg.c). An entry is in
    /// the menu only once.
    pub(super) fn blscfg(&mut self, arguments: &[String]) -> bool {
        let argument = if let [argument] = arguments { argument.as_str() } else { "" };
        let own = self.variables.value("blsdir");
        let directory = if argument.starts_with('(') { argument } else { own }.to_owned();
        let directory = match devices::split(&directory) {
            (None, directory) => format!("({}){directory}", self.files.root),
            (Some(_), _) => directory,
        };
        let entries = match self.bls_entries.get(&directory) {
            Some(entries) => Rc::clone(entries),
            None => Rc::from(bls::grub_entries(self.files, &directory)),
        };
        self.bls_entries.insert(directory, Rc::clone(&entries));
        let default = self.variables.value("default").to_owned();
        for (position, entry) in entries.iter().enumerate() {
            let is_default = is_in_menu_named(position, &entry.title, &entry.id, &default);
            let is_wanted = match argument {
                "default" => is_default,
                "non-default" => !is_default,
                id => id.is_empty() || id.starts_with('(') || id == entry.id,
            };
            if is_wanted && self.menu.len() < ENTRIES && self.bls_shown.insert(entry.id.clone()) {
                self.add_bls_entry(entry);
            }
        }
        true
    }

    /// GRUB makes commands of an entry's file, and runs them when the entry is chosen: quotes and
    /// variables in the file are those of its language.
    fn add_bls_entry(&mut self, entry: &GrubEntry) {
        let get = |name: &str| self.variables.get(name).map(str::to_owned);
        let mut missing = Vec::new();
        let whole = if entry.options.is_empty() {
            self.variables.value("default_kernelopts")
        } else {
            &entry.options
        };
        let options = bls::expanded(whole, &get, &mut missing);
        let above = |path: &str| path.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
        let directory = above(entry.initrds.first().unwrap_or(&entry.linux));
        let early = self.variables.value("early_initrd").split_ascii_whitespace();
        let early = early.map(|name| format!("{directory}/{name}"));
        let initrds: Vec<_> = early.chain(entry.initrds.iter().cloned()).collect();
        let mut script = format!("linux {} {options}\n", entry.linux);
        if !initrds.is_empty() {
            script += &format!("initrd {}\n", initrds.join(" "));
        }
        for name in missing {
            self.warn(bls::missing(&name));
        }
        if !self.charge(script.len()) {
            return;
        }
        self.menu.push(MenuItem {
            arguments: std::iter::once(&entry.title).chain(&entry.arguments).cloned().collect(),
            title: entry.title.clone(),
            id: entry.id.clone(),
            is_submenu: false,
            is_hidden: false,
            body: MenuBody::Script(parse(&tokens(&script)).script),
        });
    }

    /// The menu of another loader: GRUB legacy or syslinux. It is either a menu of its own, or its
    /// entries are added to this one.
    pub(super) fn foreign_menu(
        &mut self,
        arguments: &[String],
        is_own: bool,
        read: fn(&str, &mut Files<'_>) -> Menu,
    ) -> Flow {
        self.status = Status::Known(false);
        let Some(name) = arguments.last() else { return Flow::Next };
        let Some(text) = self.files.include(name) else { return Flow::Next };
        let directory = TreePath::new(without_device(name)).parent();
        let outer = std::mem::replace(&mut self.files.directory, directory.clone());
        let menu = read(&text, self.files);
        self.files.directory = outer;
        menu.warnings.into_iter().for_each(|warning| self.warn(warning));
        if is_own {
            self.menu.clear();
            self.has_own_menu = true;
        }
        let offset = self.menu.len();
        // What has no device is on `$root`.
        let files = &self.files;
        let absolute = |name: String| match name.as_str() {
            "" => name,
            _ if devices::split(&name).0.is_some() => name,
            _ if name.starts_with('/') => files.absolute(&name),
            _ => files.absolute(&format!("/{}", directory.join(&name))),
        };
        for mut entry in menu.entries.into_iter().take(ENTRIES.saturating_sub(offset)) {
            entry.kernel = absolute(entry.kernel);
            entry.initrds = entry.initrds.into_iter().map(absolute).collect();
            self.menu.push(MenuItem {
                arguments: vec![entry.title.clone()],
                title: entry.title.clone(),
                id: entry.id().to_owned(),
                is_submenu: false,
                is_hidden: false,
                body: MenuBody::Entry(Box::new(entry)),
            });
        }
        self.status = Status::Known(true);
        if !is_own {
            return Flow::Next;
        }
        let default = menu.defaults.first().copied().unwrap_or(0);
        self.variables.set("default", &default.to_string());
        Flow::Stop
    }
}
