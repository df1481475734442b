//! The configuration of isolinux, syslinux, pxelinux and extlinux (syslinux's doc/syslinux.txt and
//! doc/menu.txt): a word and its value on a line.

use super::{ENTRIES, Entry, Files, Menu, Module, Step, without_device};

/// How deep menus and configurations can be nested.
const DEPTH: usize = 16;

/// What was read so far.
#[derive(Default)]
struct Reader {
    labels: Vec<Label>,
    /// The last `DEFAULT`: a label or a kernel with its command line, or a program that shows a
    /// menu.
    default: String,
    /// The same of `ONTIMEOUT`: what a menu boots if nobody chooses.
    on_timeout: String,
    /// Whether there is a menu, or a prompt that waits.
    has_prompt: bool,
    /// Whether only labels boot, and `DEFAULT` cannot name a kernel without one (`IMPLICIT 0`).
    has_only_labels: bool,
    /// `APPEND` before the first label: for all labels without one.
    append: String,
    /// The titles of the menus that the current line is in, outermost first, without the top one.
    menus: Vec<String>,
    /// Whether lines belong to the last label; the beginning or end of a menu ends that.
    in_label: bool,
    /// Whether the lines are a help text (`TEXT HELP`).
    in_text: bool,
    /// How many configurations this one is nested in.
    depth: usize,
}

#[derive(Clone, Default)]
struct Label {
    name: String,
    title: Option<String>,
    kernel: String,
    /// Whether it is a kernel whatever its name ends in (`LINUX`).
    is_linux: bool,
    append: Option<String>,
    initrd: Option<String>,
    /// The menus it is in.
    menus: Vec<String>,
    is_menu_default: bool,
    /// Another configuration, and the directory its names begin in (`CONFIG`).
    config: Option<(String, String)>,
}

/// Reads the entries. The default is the first of these that boots a kernel: `ONTIMEOUT` of a menu,
/// the label with `MENU DEFAULT`, `DEFAULT`.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    nested_menu(text, files, 0)
}

fn nested_menu(text: &str, files: &mut Files<'_>, depth: usize) -> Menu {
    let mut reader = Reader { depth, ..Reader::default() };
    reader.read(text, files);
    reader.finish(files)
}

impl Reader {
    fn finish(self, files: &mut Files<'_>) -> Menu {
        let mut menu = Menu::default();
        // The first entry of each label, and whether the label boots.
        let mut first = Vec::new();
        for (position, label) in self.labels.iter().enumerate() {
            first.push(menu.entries.len());
            let entry = label.entry(position, &self.append);
            match label.config(files).filter(|_| self.depth < DEPTH) {
                Some((text, directory)) => {
                    let inner = nested_menu(&text, files, self.depth + 1);
                    add_nested(&mut menu, &entry, inner, &directory);
                }
                None => menu.entries.push(entry),
            }
        }
        menu.entries.truncate(ENTRIES);
        // In a menu further down it is that menu's default only.
        let is_first =
            |label: &Label| label.is_menu_default && label.menus.is_empty() && label.boots();
        let by_menu = || self.labels.iter().rposition(is_first).map(|at| first[at]);
        let on_timeout = if self.has_prompt { self.on_timeout.as_str() } else { "" };
        let by_timeout = self.command(on_timeout, &first, &mut menu);
        let default =
            by_timeout.or_else(by_menu).or_else(|| self.command(&self.default, &first, &mut menu));
        menu.defaults = default.into_iter().collect();
        menu
    }

    /// The entry for what could be typed at the prompt: a label or a kernel, with words for the
    /// command line behind it.
    fn command(&self, command: &str, first: &[usize], menu: &mut Menu) -> Option<usize> {
        let (name, words) = command.trim().split_once(char::is_whitespace).unwrap_or((command, ""));
        let (name, words) = (name.trim(), words.trim());
        let named = |label: &&Label| label.name.eq_ignore_ascii_case(name);
        if name.is_empty() {
            return None;
        }
        let Some(at) = self.labels.iter().position(|label| named(&label)) else {
            let label = Label { name: name.into(), kernel: name.into(), ..Label::default() };
            if self.has_only_labels || !label.boots_kernel() {
                return None;
            }
            let append = format!("{} {words}", self.append);
            let label = Label { append: Some(append), ..label };
            menu.entries.push(label.entry(self.labels.len(), ""));
            return Some(menu.entries.len() - 1);
        };
        let label = self.labels.get(at).filter(|label| label.boots())?;
        let index = *first.get(at)?;
        if !words.is_empty() && label.config.is_none() {
            let append = label.append.as_deref().filter(|append| *append != "-");
            let append = append.unwrap_or(if label.append.is_some() { "" } else { &self.append });
            let whole = Label { append: Some(format!("{append} {words}")), ..label.clone() };
            *menu.entries.get_mut(index)? = whole.entry(at, "");
        }
        Some(index)
    }

    fn read(&mut self, text: &str, files: &mut Files<'_>) {
        for line in text.lines() {
            let (key, value) = split(line);
            let (second, rest) = split(value);
            if self.in_text {
                self.in_text = key != "endtext";
                continue;
            }
            if self.labels.len() >= ENTRIES {
                return;
            }
            match (key.as_str(), second.as_str()) {
                ("text", "help") => self.in_text = true,
                ("include", _) => self.include(split_word(value), files),
                ("menu", "include") => self.include(split_word(rest), files),
                ("menu", command) => self.menu_line(command, rest),
                ("default", _) => {
                    self.has_prompt |= is_program(split_word(value));
                    self.default = value.to_owned();
                }
                ("ui", _) => self.has_prompt = true,
                ("prompt", _) => self.has_prompt |= split_word(value) != "0",
                ("implicit", _) => self.has_only_labels = split_word(value) == "0",
                ("ontimeout", _) => self.on_timeout = value.to_owned(),
                ("label", _) => {
                    let menus = self.menus.clone();
                    self.labels.push(Label { name: value.to_owned(), menus, ..Label::default() });
                    self.in_label = true;
                }
                (key, _) => self.label_line(key, value),
            }
        }
    }

    fn include(&mut self, name: &str, files: &mut Files<'_>) {
        if let Some(text) = files.include(&path(name)) {
            self.read(&text, files);
        }
    }

    fn menu_line(&mut self, command: &str, value: &str) {
        // A caret marks the key that picks the entry.
        let title = || value.replacen('^', "", 1);
        let label = self.labels.last_mut().filter(|_| self.in_label);
        match (command, label) {
            ("begin", _) => {
                if self.menus.len() < DEPTH {
                    self.menus.push(value.to_owned());
                }
                self.in_label = false;
            }
            ("end", _) => {
                self.menus.pop();
                self.in_label = false;
            }
            ("label" | "title", None) => {
                if let Some(menu) = self.menus.last_mut() {
                    *menu = title();
                }
            }
            ("default", Some(label)) => label.is_menu_default = true,
            ("label", Some(label)) => label.title = Some(title()),
            _ => {}
        }
    }

    fn label_line(&mut self, key: &str, value: &str) {
        let is_first = self.labels.is_empty();
        let Some(label) = self.labels.last_mut().filter(|_| self.in_label) else {
            if key == "append" && is_first {
                self.append = value.to_owned();
            }
            return;
        };
        match key {
            "kernel" | "linux" => {
                label.is_linux = key == "linux";
                label.kernel = value.to_owned();
            }
            "com32" => label.kernel = value.to_owned(),
            "initrd" => label.initrd = Some(value.to_owned()),
            "append" => label.append = Some(value.to_owned()),
            "config" => {
                let (name, directory) =
                    value.split_once(char::is_whitespace).unwrap_or((value, ""));
                label.config = Some((name.to_owned(), directory.trim().to_owned()));
            }
            _ => {}
        }
    }
}

/// Adds the entries of a configuration that a label leads to.
fn add_nested(menu: &mut Menu, label: &Entry, inner: Menu, directory: &str) {
    let in_directory = |name: &str| match directory {
        "" => name.to_owned(),
        _ if name.is_empty() || name.starts_with('/') => name.to_owned(),
        directory => format!("{directory}/{name}"),
    };
    let default = inner.defaults.first().copied().unwrap_or(0);
    let mut entries = inner.entries;
    if default < entries.len() {
        // What the label boots comes first.
        entries[..=default].rotate_right(1);
    }
    for entry in entries {
        let steps = [&label.steps[..], &entry.steps[..]].concat();
        let initrds = entry.initrds.iter().map(|name| in_directory(name)).collect();
        let at = Entry::at(steps);
        let (steps, title) = (at.steps, at.title);
        let kernel = in_directory(&entry.kernel);
        menu.entries.push(Entry { steps, title, kernel, initrds, ..entry });
    }
}

/// Whether a file is a program of syslinux's.
fn is_program(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".c32")
}

/// A path: `::` in front of it, for pxelinux, means the server's root.
fn path(name: &str) -> String {
    match name.strip_prefix("::") {
        Some(rest) => format!("/{}", without_device(rest).trim_start_matches('/')),
        None => without_device(name),
    }
}

impl Label {
    /// Whether it boots a kernel, or leads to a configuration that may.
    fn boots(&self) -> bool {
        self.config.is_some() || self.boots_kernel()
    }

    /// The configuration it leads to, and the directory that names in it begin in.
    fn config(&self, files: &mut Files<'_>) -> Option<(String, String)> {
        let (name, directory) = self.config.as_ref()?;
        let directory = path(if directory.is_empty() {
            self.append.as_deref().unwrap_or_default()
        } else {
            directory
        });
        let in_directory = (!directory.is_empty() && !name.starts_with('/'))
            .then(|| files.include(&format!("{directory}/{}", path(name))))
            .flatten();
        let text = in_directory.or_else(|| files.include(&path(name)))?;
        Some((text, directory))
    }

    /// Not a menu, another loader or a boot sector: what they do is in the file's name.
    fn boots_kernel(&self) -> bool {
        const OTHERS: [&str; 9] =
            [".c32", ".cbt", ".bin", ".bs", ".bss", ".com", ".0", ".img", ".efi"];
        let kernel = self.kernel.to_ascii_lowercase();
        let other = OTHERS.iter().any(|ending| kernel.ends_with(ending));
        !kernel.is_empty() && (self.is_linux || !other || self.is_multiboot())
    }

    /// Whether it is the module for multiboot kernels, which has files and words in its own words.
    fn is_multiboot(&self) -> bool {
        self.kernel.to_ascii_lowercase().rsplit('/').next() == Some("mboot.c32")
    }

    fn entry(&self, position: usize, global: &str) -> Entry {
        let append = match self.append.as_deref() {
            None => global,
            // "append -" means none at all.
            Some("-") => "",
            Some(own) => own,
        };
        let step = |title: &str, id: &str| Step { position, title: title.into(), id: id.into() };
        let own = self.title.as_deref().unwrap_or(&self.name);
        let mut steps: Vec<_> = self.menus.iter().map(|menu| step(menu, "")).collect();
        steps.push(step(own, &self.name));
        let mut entry = Entry::at(steps);
        if !self.boots_kernel() {
            return entry;
        }
        if self.is_multiboot() {
            let files = append.split("---").map(module).filter(|(name, _)| !name.is_empty());
            let mut files: Vec<_> = files.collect();
            if files.len() > 2 {
                entry.hypervisor = files.remove(0).0;
            }
            let mut files = files.into_iter();
            (entry.kernel, entry.arguments) = files.next().unwrap_or_default();
            entry.initrds = files.map(|(name, _)| name).collect();
            return entry;
        }
        let mut initrds = self.initrd.as_deref().unwrap_or_default();
        let mut arguments = Vec::new();
        for word in append.split_ascii_whitespace() {
            match word.strip_prefix("initrd=") {
                Some(_) if self.initrd.is_some() => {}
                Some(names) => initrds = names,
                None => arguments.push(word),
            }
        }
        entry.kernel = path(&self.kernel);
        let initrds = initrds.split(',').filter(|name| !name.is_empty());
        entry.initrds = initrds.map(path).collect();
        entry.arguments = arguments.join(" ");
        entry
    }
}

/// A file of mboot.c32's, and its words.
fn module(text: &str) -> Module {
    let mut words = text.split_whitespace();
    let name = words.next().map(path).unwrap_or_default();
    (name, words.collect::<Vec<_>>().join(" "))
}

/// The first word in small letters, and the rest.
fn split(line: &str) -> (String, &str) {
    let line = line.trim();
    let end = line.find(char::is_whitespace).unwrap_or(line.len());
    (line[..end].to_ascii_lowercase(), line[end..].trim_start())
}

fn split_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::BootConfig;
    use super::*;
    use crate::testing::Temp;

    fn read(files: &[(&str, &str)]) -> Vec<Entry> {
        let temp = Temp::new();
        for (path, text) in files {
            temp.file(path, text.as_bytes());
        }
        let mut all = BootConfig::read_all(&temp.source());
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).entries
    }

    type Plain = (String, String, Vec<String>, String);

    fn entry(title: &str, kernel: &str, initrds: &[&str], arguments: &str) -> Plain {
        let initrds = initrds.iter().copied().map(str::to_owned).collect();
        (title.into(), kernel.into(), initrds, arguments.into())
    }

    fn plain(entries: Vec<Entry>) -> Vec<Plain> {
        let of = |entry: Entry| (entry.title, entry.kernel, entry.initrds, entry.arguments);
        entries.into_iter().map(of).collect()
    }

    /// As in Debian's installer: menu.cfg includes txt.cfg and more; one has the default.
    #[test]
    fn included_menus_are_read_and_the_menu_s_default_is_first() {
        let entries = read(&[
            (
                "isolinux/isolinux.cfg",
                "# D-I config version 2.0\npath \ninclude menu.cfg\ndefault vesamenu.c32\nprompt 0\n",
            ),
            (
                "isolinux/menu.cfg",
                "menu hshift 7\ninclude txt.cfg\ninclude gtk.cfg\nlabel help\n\tmenu label ^Help\n\tconfig prompt.cfg\n",
            ),
            (
                "isolinux/txt.cfg",
                "label install\n\tmenu label ^Install\n\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet \n",
            ),
            (
                "isolinux/gtk.cfg",
                "label installgui\n\tmenu label ^Graphical install\n\tmenu default\n\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/gtk/initrd.gz --- quiet\n",
            ),
        ]);
        let vmlinuz = "/install.amd/vmlinuz";
        let expected = [
            entry(
                "Graphical install",
                vmlinuz,
                &["/install.amd/gtk/initrd.gz"],
                "vga=788 --- quiet",
            ),
            entry("Install", vmlinuz, &["/install.amd/initrd.gz"], "vga=788 --- quiet"),
        ];
        assert_eq!(plain(entries), expected);
    }

    /// As in Debian's installer: a menu in the menu, with a default of its own and a title that is
    /// no label's.
    #[test]
    fn a_menu_in_the_menu_has_its_own_title_and_default() {
        let entries = read(&[(
            "syslinux.cfg",
            "menu title Top\nlabel install\n\tmenu label ^Install\n\tkernel k\nmenu begin advanced\n\
             \tmenu label ^Advanced options\n\tmenu title Advanced options\n\tlabel mainmenu\n\t\tmenu label ^Back..\n\
             \t\tmenu exit\n\tlabel expert\n\t\tmenu default\n\t\tkernel e\nmenu end\nmenu label nobody's\n\
             label rescue\n\tkernel r\n",
        )]);
        let titles: Vec<_> = entries.iter().map(|entry| entry.title.as_str()).collect();
        assert_eq!(titles, ["Install", "Advanced options > expert", "rescue"]);
    }

    #[test]
    fn what_boots_no_kernel_is_left_out_and_default_names_a_label() {
        let entries = read(&[(
            "syslinux.cfg",
            "DEFAULT Second\nAPPEND all=1\nLABEL menu\nKERNEL vesamenu.c32\nLABEL first\nLINUX a\nINITRD i,j\n\
             LABEL second\nKERNEL b\nAPPEND -\nLABEL third\nKERNEL c\nAPPEND x=1\nLABEL local\nLOCALBOOT 0\n",
        )]);
        let expected = [
            entry("second", "b", &[], ""),
            entry("first", "a", &["i", "j"], "all=1"),
            entry("third", "c", &[], "x=1"),
        ];
        assert_eq!(plain(entries), expected);
    }

    #[test]
    fn a_file_that_includes_itself_is_read_only_so_often() {
        let entries = read(&[("extlinux.conf", "label a\nkernel k\ninclude extlinux.conf\n")]);
        assert_eq!((entries.len(), &entries[0].kernel[..]), (256, "k"));
    }

    #[test]
    fn help_texts_are_skipped() {
        let entries = read(&[(
            "isolinux.cfg",
            "label a\nkernel k\ntext help\nlabel no\nkernel no\nappend wrong\nendtext\nappend x=1\n",
        )]);
        assert_eq!(plain(entries), [entry("a", "k", &[], "x=1")]);
    }

    #[test]
    fn default_can_be_a_kernel_or_a_label_with_words() {
        let file = (
            "isolinux/isolinux.cfg",
            "DEFAULT vmlinuz initrd=initrd.img root=/dev/vda1 ro\nPROMPT 0\n",
        );
        let expected = entry("vmlinuz", "vmlinuz", &["initrd.img"], "root=/dev/vda1 ro");
        assert_eq!(plain(read(&[file])), [expected]);
        let label =
            ("isolinux.cfg", "default b single\nlabel a\nkernel a\nlabel b\nkernel k\nappend ro\n");
        assert_eq!(plain(read(&[label]))[0], entry("b", "k", &[], "ro single"));
    }

    #[test]
    fn a_menu_that_times_out_boots_ontimeout() {
        let text = "ui menu.c32\ndefault a\nontimeout b\nlabel a\nmenu default\nkernel a\nlabel b\nkernel b\n";
        assert_eq!(read(&[("syslinux.cfg", text)])[0].kernel, "b");
        let text = text.replace("ui menu.c32", "prompt 0");
        assert_eq!(read(&[("syslinux.cfg", &text)])[0].kernel, "a");
    }

    #[test]
    fn two_colons_mean_the_server_s_root() {
        let text = "DEFAULT install\nLABEL install\n KERNEL ::boot/vmlinuz\n APPEND initrd=::boot/initrd x=1\n";
        let expected = entry("install", "/boot/vmlinuz", &["/boot/initrd"], "x=1");
        assert_eq!(plain(read(&[("pxelinux.cfg/default", text)])), [expected]);
    }

    #[test]
    fn a_configuration_can_lead_to_another_with_its_directory() {
        let entries = read(&[
            (
                "syslinux.cfg",
                "default go\nlabel a\nkernel a\nlabel go\nmenu label Go\nconfig inner.cfg /live\n",
            ),
            ("live/inner.cfg", "default y\nlabel x\nkernel x\nlabel y\nkernel k\ninitrd /i\n"),
        ]);
        let expected = [
            entry("Go > y", "/live/k", &["/i"], ""),
            entry("a", "a", &[], ""),
            entry("Go > x", "/live/x", &[], ""),
        ];
        assert_eq!(plain(entries), expected);
        let circle = read(&[("syslinux.cfg", "label a\nconfig syslinux.cfg\nlabel b\nkernel k\n")]);
        assert!(circle.len() <= 64, "{}", circle.len());
    }

    /// petitboot's test-syslinux-explicit has this shape.
    #[test]
    fn only_labels_boot_if_the_configuration_says_so() {
        let text = "DEFAULT boot\nKERNEL /k\nLABEL backup\nLINUX /b\n";
        for (implicit, expected) in
            [("IMPLICIT 0\n", &["backup"][..]), ("IMPLICIT 1\n", &["boot", "backup"])]
        {
            let entries = read(&[("syslinux.cfg", &format!("{text}{implicit}"))]);
            let titles: Vec<_> = entries.iter().map(|entry| &*entry.title).collect();
            assert_eq!(titles, expected);
        }
    }
}
