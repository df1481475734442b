//! The configuration of isolinux, syslinux, pxelinux and extlinux: a word and its value on a line
//! (syslinux's doc/syslinux.txt, doc/menu.txt and com32/elflink/ldlinux/readconfig.c).

use std::rc::Rc;

use super::{ENTRIES, Entry, Files, Menu, Module, Step, without_device};
use storage::TreePath;

/// How deep menus and configurations can be nested.
const DEPTH: usize = 16;
/// How many steps lead from one label or menu to another.
const HOPS: usize = 4;
/// Bytes that a line can have, as in syslinux (`MAX_LINE`).
const LINE: usize = 4095;

/// What was read so far.
#[derive(Default)]
struct Reader {
    labels: Vec<Label>,
    /// The menus: the top one first, then those in it.
    menus: Vec<LabelMenu>,
    /// The menu that the current line is in.
    current: usize,
    /// The menu that is shown first (`MENU START`).
    start: usize,
    /// The label whose lines are being read. The beginning or end of a menu ends it.
    label: Option<Label>,
    /// The last `DEFAULT`: a label or a kernel with its command line, or a program that shows a
    /// menu.
    default: String,
    /// The program that shows a menu (`UI`); it comes before `DEFAULT`.
    ui: Option<String>,
    /// The same as `default`: what is booted if nobody chooses.
    on_timeout: String,
    /// The same: what is booted if the kernel is not there.
    on_error: String,
    /// Whether a menu or prompt waits only for a time.
    has_timeout: bool,
    /// Whether there is a prompt (`PROMPT 1`).
    has_prompt: bool,
    /// Whether only labels boot, and `DEFAULT` cannot name a kernel without one (`IMPLICIT 0`).
    has_only_labels: bool,
    /// `APPEND` outside labels: for the labels behind it that have none.
    append: String,
    /// Whether the lines are a text (`TEXT HELP`).
    in_text: bool,
    /// The configurations that lead to this one, with their directories, and itself.
    chain: Vec<(TreePath, Rc<[String]>)>,
    /// Which of the loaders reads it.
    variant: Variant,
    /// What was not read, for the user.
    warnings: Vec<String>,
}

/// The loaders differ in the types of files that they know.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Variant {
    #[default]
    Syslinux,
    Isolinux,
    Pxelinux,
}

/// A menu of labels.
#[derive(Default)]
struct LabelMenu {
    /// What `MENU GOTO` calls it.
    tag: String,
    /// What the menu above calls it.
    title: String,
    parent: usize,
    items: Vec<Item>,
    /// The item that is chosen unasked.
    default: usize,
}

#[derive(Clone, Copy)]
enum Item {
    Label(usize),
    Menu(usize),
}

#[derive(Clone, Default)]
struct Label {
    name: String,
    title: Option<String>,
    kind: Kind,
    /// A file, and perhaps words for it.
    command: String,
    append: Option<String>,
    initrd: Option<String>,
    menu: usize,
    action: Action,
    is_menu_default: bool,
    /// Whether the menu does not show it.
    is_hidden: bool,
}

/// What type of file a label names.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// The file's name says it (`KERNEL`).
    #[default]
    ByName,
    Linux,
    /// A program of syslinux's (`COM32`).
    Program,
    /// Another configuration.
    Config,
    /// A boot sector, a disk or the like.
    Other,
}

/// What choosing a label in a menu does.
#[derive(Clone, Default, PartialEq, Eq)]
enum Action {
    #[default]
    Boot,
    /// It shows the menu of this tag (`MENU GOTO`).
    Goto(String),
    /// It shows the menu above (`MENU EXIT`).
    Leave,
    /// Nothing: it is disabled, or leaves the menus.
    Nothing,
}

/// What a label boots.
enum Target {
    /// A kernel with its command line.
    Linux {
        kernel: String,
        words: String,
    },
    /// What mboot.c32 loads: files with words of their own, `---` between.
    Multiboot(String),
    /// What another label boots.
    Label(String),
    /// Other configurations, the directory that their names begin in, and whether they are shown
    /// as a menu.
    Configs {
        names: Vec<String>,
        directory: String,
        is_menu: bool,
    },
    /// A menu of this configuration.
    OwnMenu,
    Nothing,
}

/// Reads the entries. The default is what the loader boots if nobody presses a key.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    let directory = files.directory.to_string();
    let variant = match directory.rsplit('/').next() {
        Some("isolinux") => Variant::Isolinux,
        Some("pxelinux.cfg") => Variant::Pxelinux,
        _ => Variant::Syslinux,
    };
    let texts: Rc<[String]> = Rc::new([text.to_owned()]);
    read_menu(&texts, files, Reader { variant, ..Reader::default() })
}

fn read_menu(texts: &Rc<[String]>, files: &mut Files<'_>, reader: Reader) -> Menu {
    let mut reader = Reader { menus: vec![LabelMenu::default()], ..reader };
    reader.chain.push((files.directory.clone(), Rc::clone(texts)));
    for text in &**texts {
        reader.read(text, files);
    }
    reader.record();
    reader.finish(files)
}

impl Reader {
    fn finish(self, files: &mut Files<'_>) -> Menu {
        let mut menu = Menu { warnings: self.warnings.clone(), ..Menu::default() };
        // The first entry of each label.
        let mut first = Vec::new();
        for at in 0..self.labels.len() {
            first.push(menu.entries.len());
            self.add_entries(at, &mut menu, files);
        }
        menu.entries.truncate(ENTRIES);
        menu.defaults = self.defaults(&first, &mut menu, files);
        menu
    }

    /// Adds what a label boots: an entry, or those of another configuration.
    fn add_entries(&self, at: usize, menu: &mut Menu, files: &mut Files<'_>) {
        let own = self.steps(at);
        let Some(label) = self.resolved(at) else { return };
        let target = label.target(self.variant);
        if menu.entries.len() < ENTRIES
            && let Some(inner) = self.nested(&target, files)
        {
            let directory =
                if let Target::Configs { directory, .. } = &target { directory } else { "" };
            add_nested(menu, &own, inner, directory);
            return;
        }
        menu.entries.push(label.entry(own, self.variant));
    }

    /// The menu of other configurations. `None` if none of them is there, or if they are those that
    /// lead here: the loader would show a menu again that is in the list already.
    fn nested(&self, target: &Target, files: &mut Files<'_>) -> Option<Menu> {
        let Target::Configs { names, directory, is_menu } = target else { return None };
        if self.chain.len() > DEPTH {
            return None;
        }
        let read = |name: &String| {
            let name = path(name);
            let inside = (!directory.is_empty() && !name.starts_with('/'))
                .then(|| files.include(&format!("{directory}/{name}")))
                .flatten();
            inside.or_else(|| files.include(&name))
        };
        let texts: Rc<[String]> = names.iter().filter_map(read).collect();
        // The loader changes its directory.
        let own = files.directory.clone();
        let inner = if directory.is_empty() { own.clone() } else { own.join(directory) };
        let leads_here =
            |(directory, above): &(TreePath, Rc<[String]>)| *directory == inner && *above == texts;
        if texts.is_empty() || self.chain.iter().any(leads_here) {
            return None;
        }
        let ui = is_menu.then(|| "menu.c32".to_owned());
        let (chain, variant) = (self.chain.clone(), self.variant);
        let reader = Reader { chain, ui, variant, ..Reader::default() };
        files.directory = inner;
        let menu = read_menu(&texts, files, reader);
        files.directory = own;
        Some(menu)
    }

    /// The label itself, or the one that it stands for.
    fn resolved(&self, at: usize) -> Option<&Label> {
        let mut label = self.labels.get(at)?;
        for _ in 0..HOPS {
            let Target::Label(name) = label.target(self.variant) else { break };
            match self.find(&name) {
                Some(next) => label = self.labels.get(next)?,
                None => break,
            }
        }
        Some(label)
    }

    /// The menus that a label is in, and itself.
    fn steps(&self, at: usize) -> Vec<Step> {
        let Some(label) = self.labels.get(at) else { return Vec::new() };
        let title = label.title.as_deref().unwrap_or(&label.name);
        let step =
            |title: &str, id: &str| Step { position: at, title: title.into(), id: id.into() };
        let mut steps = vec![step(title, &label.name)];
        let mut menu = label.menu;
        while let Some(own) = self.menus.get(menu).filter(|_| menu > 0) {
            steps.push(step(&own.title, ""));
            menu = own.parent;
        }
        steps.reverse();
        steps
    }

    /// The label of this name; names are case-sensitive.
    fn find(&self, name: &str) -> Option<usize> {
        let is_named = |label: &Label| label.name == name && label.action != Action::Nothing;
        self.labels.iter().position(is_named)
    }

    /// What boots by default, and what boots if its files are missing.
    fn defaults(&self, first: &[usize], menu: &mut Menu, files: &mut Files<'_>) -> Vec<usize> {
        let shown = self.ui.as_deref().unwrap_or(&self.default);
        let program = self.command_target(shown);
        let has_menu =
            self.ui.is_some() || matches!(program, Target::OwnMenu | Target::Configs { .. });
        let mut found = Vec::new();
        if self.has_timeout && (has_menu || self.has_prompt) {
            found.extend(self.command(&self.on_timeout, first, menu, files));
        }
        if self.find(split_word(shown)).is_none()
            && let Some(inner) = self.nested(&program, files)
        {
            // The program shows the menu of another configuration.
            let offset = menu.entries.len();
            let default = inner.defaults.first().copied().unwrap_or(0);
            found.push(offset + default);
            menu.warnings.extend(inner.warnings);
            menu.entries.extend(inner.entries);
        } else if has_menu {
            let named = self.find(split_word(&self.default));
            let is_shown = |at: &usize| {
                let label = self.labels.get(*at);
                label.is_some_and(|label| !label.is_hidden && !self.shows_menu(label))
            };
            let chosen = named.filter(is_shown).or_else(|| self.menu_default(self.start, HOPS));
            found.extend(chosen.and_then(|at| first.get(at).copied()));
        } else if !self.default.is_empty() {
            found.extend(self.command(&self.default, first, menu, files));
        } else if menu.entries.len() > 1 && self.chain.len() == 1 {
            let first = menu.entries.first().map(|entry| entry.title.clone()).unwrap_or_default();
            menu.warnings.push(format!(
                "the configuration has no DEFAULT, so the loader would wait for a choice; '{first}' boots instead"
            ));
        }
        found.extend(self.command(&self.on_error, first, menu, files));
        found
    }

    fn shows_menu(&self, label: &Label) -> bool {
        matches!(label.target(self.variant), Target::OwnMenu)
    }

    /// The label that a menu chooses unasked.
    fn menu_default(&self, menu: usize, hops: usize) -> Option<usize> {
        let hops = hops.checked_sub(1)?;
        let menu = self.menus.get(menu)?;
        for item in menu.items.iter().skip(menu.default) {
            let at = match *item {
                Item::Menu(inner) => return self.menu_default(inner, hops),
                Item::Label(at) => at,
            };
            match &self.labels.get(at)?.action {
                Action::Boot => return Some(at),
                Action::Leave => return self.menu_default(menu.parent, hops),
                Action::Goto(tag) => {
                    let target = self.menus.iter().position(|menu| menu.tag == *tag)?;
                    return self.menu_default(target, hops);
                }
                Action::Nothing => {}
            }
        }
        None
    }

    /// What could be typed at the prompt as a label: one of the configuration, or one that is made
    /// of it.
    fn command_label(&self, command: &str) -> (Option<usize>, Label) {
        let (name, words) = split_at_space(command);
        let at = self.find(name);
        let label = match at.and_then(|at| self.resolved(at)) {
            Some(label) if words.is_empty() => label.clone(),
            Some(label) => {
                let own = label.append.as_deref().filter(|append| *append != "-");
                let append = format!("{} {words}", own.unwrap_or_default());
                Label { append: Some(append), ..label.clone() }
            }
            None => {
                let append = Some(format!("{} {words}", self.append));
                let name = name.to_owned();
                Label { command: name.clone(), name, append, ..Label::default() }
            }
        };
        (at, label)
    }

    fn command_target(&self, command: &str) -> Target {
        if command.is_empty() {
            return Target::Nothing;
        }
        let label = self.command_label(command).1;
        match label.target(self.variant) {
            Target::Label(name) => {
                let found = self.find(&name).and_then(|at| self.resolved(at));
                found.map_or(Target::Nothing, |label| label.target(self.variant))
            }
            target => target,
        }
    }

    /// The entry for what could be typed at the prompt: a label or a kernel, with words for the
    /// command line behind it.
    fn command(
        &self,
        command: &str,
        first: &[usize],
        menu: &mut Menu,
        files: &mut Files<'_>,
    ) -> Option<usize> {
        if command.is_empty() {
            return None;
        }
        let (at, label) = self.command_label(command);
        let has_words = !split_at_space(command).1.is_empty();
        if let Some(at) = at {
            let index = *first.get(at)?;
            if has_words && !matches!(label.target(self.variant), Target::Configs { .. }) {
                *menu.entries.get_mut(index)? = label.entry(self.steps(at), self.variant);
            }
            return Some(index);
        }
        // `ifcpu64.c32 LABEL -- LABEL`
        if let Target::Label(name) = label.target(self.variant) {
            return self.find(&name).and_then(|at| first.get(at).copied());
        }
        if self.has_only_labels || !files.exists(&path(&label.name)) {
            let similar = |own: &Label| own.name.eq_ignore_ascii_case(&label.name);
            let similar = self.labels.iter().position(similar);
            if let Some(index) = similar.and_then(|at| first.get(at).copied()) {
                menu.warnings.push(format!(
                    "'{}' differs in case from a label, so syslinux would not find it",
                    label.name
                ));
                return Some(index);
            }
        }
        if self.has_only_labels {
            menu.warnings.push(format!("there is no label '{}'", label.name));
            return None;
        }
        let steps = vec![Step {
            position: self.labels.len(),
            title: label.name.clone(),
            id: label.name.clone(),
        }];
        menu.entries.push(label.entry(steps, self.variant));
        let own = menu.entries.len() - 1;
        Some(own)
    }

    fn read(&mut self, text: &str, files: &mut Files<'_>) {
        for line in text.lines() {
            let end = line.floor_char_boundary(LINE);
            if end < line.len() && self.warnings.is_empty() {
                self.warnings
                    .push(format!("a line has more than {LINE} bytes: its end was not read"));
            }
            let (key, value) = split(&line[..end]);
            if self.in_text {
                self.in_text = key != "endtext";
                continue;
            }
            if self.labels.len() >= ENTRIES || self.menus.len() >= ENTRIES {
                return;
            }
            self.line(&key, value, files);
        }
    }

    fn line(&mut self, key: &str, value: &str, files: &mut Files<'_>) {
        let is_set = |value: &str| split_word(value).parse().is_ok_and(|number: i64| number != 0);
        match key {
            "text" => self.in_text = true,
            "include" => self.include(split_word(value), files),
            "menu" => self.menu_line(value, files),
            "default" => self.default = value.to_owned(),
            "ui" => self.ui = Some(value.to_owned()),
            "prompt" => self.has_prompt = is_set(value),
            "timeout" | "totaltimeout" => self.has_timeout |= is_set(value),
            "implicit" => self.has_only_labels = !is_set(value),
            "ontimeout" => self.on_timeout = value.to_owned(),
            "onerror" => self.on_error = value.to_owned(),
            "label" => {
                self.record();
                let name = split_word(value).to_owned();
                let (command, menu) = (name.clone(), self.current);
                self.label = Some(Label { name, command, menu, ..Label::default() });
            }
            "append" if self.label.is_none() => self.append = value.to_owned(),
            key => {
                if let Some(label) = &mut self.label {
                    label.line(key, value);
                }
            }
        }
    }

    fn include(&mut self, name: &str, files: &mut Files<'_>) {
        if let Some(text) = files.include(&path(name)) {
            self.read(&text, files);
        }
    }

    /// Ends the label whose lines were read.
    fn record(&mut self) {
        let Some(mut label) = self.label.take().filter(|label| !label.name.is_empty()) else {
            return;
        };
        label.append.get_or_insert_with(|| self.append.clone());
        let at = self.labels.len();
        if let Some(menu) = self.menus.get_mut(label.menu).filter(|_| !label.is_hidden) {
            if label.is_menu_default && label.action == Action::Boot {
                menu.default = menu.items.len();
            }
            menu.items.push(Item::Label(at));
        }
        self.labels.push(label);
    }

    fn begin_menu(&mut self, tag: &str) {
        self.record();
        let at = self.menus.len();
        let (tag, title) = (tag.to_owned(), tag.to_owned());
        if let Some(parent) = self.menus.get_mut(self.current) {
            parent.items.push(Item::Menu(at));
        }
        self.menus.push(LabelMenu { tag, title, parent: self.current, ..LabelMenu::default() });
        self.current = at;
    }

    fn end_menu(&mut self) {
        self.record();
        self.current = self.menus.get(self.current).map_or(0, |menu| menu.parent);
    }

    fn depth_of_menus(&self) -> usize {
        let mut menu = self.current;
        let mut depth = 0;
        while let Some(own) = self.menus.get(menu).filter(|_| menu > 0) {
            (menu, depth) = (own.parent, depth + 1);
        }
        depth
    }

    fn menu_line(&mut self, line: &str, files: &mut Files<'_>) {
        let (command, value) = split(line);
        // A caret marks the key that picks the entry.
        let title = || value.replace('^', "");
        let is_inner = self.current > 0;
        match command.as_str() {
            "begin" if self.depth_of_menus() < DEPTH => self.begin_menu(value),
            "begin" | "separator" => self.record(),
            "end" => self.end_menu(),
            "include" => {
                let (name, tag) = split_at_space(value);
                let is_nested = !tag.is_empty() && self.depth_of_menus() < DEPTH;
                if is_nested {
                    self.begin_menu(tag);
                }
                self.include(name, files);
                if is_nested {
                    self.end_menu();
                }
            }
            "start" => self.start = self.current,
            "default" if self.label.is_none() && is_inner => {
                let current = self.current;
                let parent = self.menus.get(current).map_or(0, |menu| menu.parent);
                if let Some(parent) = self.menus.get_mut(parent) {
                    let is_own = |item: &Item| matches!(item, Item::Menu(at) if *at == current);
                    parent.default = parent.items.iter().position(is_own).unwrap_or(0);
                }
            }
            "label" if self.label.is_none() && is_inner => {
                if let Some(menu) = self.menus.get_mut(self.current) {
                    menu.title = title();
                }
            }
            "title" if is_inner => {
                if let Some(menu) = self.menus.get_mut(self.current)
                    && menu.title == menu.tag
                {
                    menu.title = title();
                }
            }
            command => {
                if let Some(label) = &mut self.label {
                    label.menu_line(command, value, is_inner);
                }
            }
        }
    }
}

/// Adds the entries of a configuration that a label leads to; what the label boots comes first.
fn add_nested(menu: &mut Menu, label: &[Step], inner: Menu, directory: &str) {
    let in_directory = |name: &str| match directory {
        "" => name.to_owned(),
        _ if name.is_empty() || name.starts_with('/') => name.to_owned(),
        directory => format!("{}/{name}", directory.trim_end_matches('/')),
    };
    let default = inner.defaults.first().copied().unwrap_or(0);
    let mut entries = inner.entries;
    if default < entries.len() {
        entries[..=default].rotate_right(1);
    }
    menu.warnings.extend(inner.warnings);
    for entry in entries {
        let at = Entry::at([label, &entry.steps[..]].concat());
        let initrds = entry.initrds.iter().map(|name| in_directory(name)).collect();
        let kernel = in_directory(&entry.kernel);
        menu.entries.push(Entry { steps: at.steps, title: at.title, kernel, initrds, ..entry });
    }
}

/// A path: `::` in front of it, for pxelinux, means the server's root; a backslash is a slash.
fn path(name: &str) -> String {
    let name = name.replace('\\', "/");
    match name.strip_prefix("::") {
        Some(rest) => format!("/{}", without_device(rest).trim_start_matches('/')),
        None => without_device(&name),
    }
}

impl Label {
    fn line(&mut self, key: &str, value: &str) {
        let kind = match key {
            "kernel" => Kind::ByName,
            "linux" => Kind::Linux,
            "com32" => Kind::Program,
            "config" => Kind::Config,
            "localboot" | "boot" | "bss" | "pxe" | "fdimage" | "comboot" => Kind::Other,
            "initrd" => {
                self.initrd = Some(value.to_owned());
                return;
            }
            "append" => {
                self.append = Some(value.to_owned());
                return;
            }
            _ => return,
        };
        (self.kind, self.command) = (kind, value.to_owned());
    }

    fn menu_line(&mut self, command: &str, value: &str, is_inner: bool) {
        match command {
            "label" => self.title = Some(value.replace('^', "")),
            "default" => self.is_menu_default = true,
            "hide" => self.is_hidden = true,
            "disable" | "disabled" | "quit" => self.action = Action::Nothing,
            "goto" => self.action = Action::Goto(value.to_owned()),
            "exit" if is_inner && value.is_empty() => self.action = Action::Leave,
            "exit" if is_inner => self.action = Action::Goto(value.to_owned()),
            _ => {}
        }
    }

    /// What it boots: syslinux tells the types of files apart by their names.
    fn target(&self, variant: Variant) -> Target {
        let (file, own) = split_at_space(&self.command);
        let append = self.append.as_deref().filter(|append| *append != "-").unwrap_or_default();
        let words = [own, append].join(" ").trim().to_owned();
        let name = file.to_ascii_lowercase();
        let is_program = self.kind == Kind::Program || name.ends_with(".c32");
        if self.action != Action::Boot || file.is_empty() || self.kind == Kind::Other {
            return Target::Nothing;
        }
        match self.kind {
            Kind::Linux => Target::Linux { kernel: file.to_owned(), words },
            Kind::Config => {
                let directory = path(split_word(&words));
                Target::Configs { names: vec![file.to_owned()], directory, is_menu: false }
            }
            _ if is_program => program_target(&name, words, variant),
            _ if is_other(&name, variant) => Target::Nothing,
            _ => Target::Linux { kernel: file.to_owned(), words },
        }
    }

    fn entry(&self, steps: Vec<Step>, variant: Variant) -> Entry {
        let mut entry = Entry::at(steps);
        let (kernel, mut words) = match self.target(variant) {
            Target::Linux { kernel, words } => (kernel, words),
            Target::Multiboot(files) => {
                let files = files.split("---").map(module).filter(|(name, _)| !name.is_empty());
                let mut files: Vec<_> = files.collect();
                if files.len() > 2 {
                    entry.hypervisor = files.remove(0).0;
                }
                let mut files = files.into_iter();
                (entry.kernel, entry.arguments) = files.next().unwrap_or_default();
                entry.initrds = files.map(|(name, _)| name).collect();
                return entry;
            }
            _ => return entry,
        };
        if let Some(initrd) = &self.initrd {
            words = format!("{words} initrd={initrd}");
        }
        // Of several, the first counts (com32/elflink/ldlinux/kernel.c).
        let mut initrds = None;
        let mut arguments = Vec::new();
        for word in words.split_ascii_whitespace() {
            match word.strip_prefix("initrd=") {
                Some(names) => initrds = initrds.or(Some(names)),
                None => arguments.push(word),
            }
        }
        entry.kernel = path(&kernel);
        let initrds = initrds.unwrap_or_default().split(',').filter(|name| !name.is_empty());
        entry.initrds = initrds.map(path).collect();
        entry.arguments = arguments.join(" ");
        entry
    }
}

/// Whether a file is a boot sector, a disk or another loader (doc/syslinux.txt, "OTHER OPERATING
/// SYSTEMS").
fn is_other(name: &str, variant: Variant) -> bool {
    const OTHERS: [&str; 6] = [".cbt", ".bin", ".bs", ".bss", ".com", ".img"];
    OTHERS.iter().any(|ending| name.ends_with(ending))
        || variant == Variant::Pxelinux && name.ends_with(".0")
}

/// What a program of syslinux's boots.
fn program_target(name: &str, words: String, variant: Variant) -> Target {
    let name = name.rsplit('/').next().unwrap_or_default();
    match name.strip_suffix(".c32").unwrap_or(name) {
        "mboot" => Target::Multiboot(words),
        "linux" => {
            let mut words = words.split_ascii_whitespace().skip_while(|word| word.starts_with('-'));
            let kernel = words.next().unwrap_or_default().to_owned();
            Target::Linux { kernel, words: words.collect::<Vec<_>>().join(" ") }
        }
        // The guest's processor has 64 bits.
        "ifcpu64" => Target::Label(words.split(" -- ").next().unwrap_or_default().trim().into()),
        "whichsys" => {
            let option = match variant {
                Variant::Isolinux => "-iso-",
                Variant::Pxelinux => "-pxe-",
                Variant::Syslinux => "-sys-",
            };
            let words = words.split_ascii_whitespace();
            let label = words.skip_while(|word| *word != option).nth(1);
            Target::Label(label.unwrap_or_default().to_owned())
        }
        "menu" | "vesamenu" | "gfxmenu" => {
            let names: Vec<_> = words.split_ascii_whitespace().map(str::to_owned).collect();
            match names.iter().any(|name| name == "~") || names.is_empty() {
                true => Target::OwnMenu,
                false => Target::Configs { names, directory: String::new(), is_menu: true },
            }
        }
        "gfxboot" => Target::OwnMenu,
        _ => Target::Nothing,
    }
}

/// A file of mboot.c32's, and its words.
fn module(text: &str) -> Module {
    let (name, words) = split_at_space(text.trim());
    (path(name), words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The first word in small letters, and the rest.
fn split(line: &str) -> (String, &str) {
    let (word, rest) = split_at_space(line.trim());
    (word.to_ascii_lowercase(), rest)
}

/// The first word, and the rest.
fn split_at_space(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    (word, rest.trim())
}

fn split_word(text: &str) -> &str {
    split_at_space(text).0
}

#[cfg(test)]
mod tests;
