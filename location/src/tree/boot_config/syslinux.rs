//! The configuration of isolinux, syslinux, pxelinux and extlinux (syslinux's doc/syslinux.txt and doc/menu.txt): a word and its value on a line.

use super::{ENTRIES, Entry, Files, Menu, Module, Step, without_device};

/// What was read so far.
#[derive(Default)]
struct Reader {
    labels: Vec<Label>,
    /// The last `DEFAULT`: a label, or a program that shows a menu.
    default: String,
    /// `APPEND` before the first label: for all labels that have none.
    append: String,
    /// What the menus are called that lines are read of, outermost first; the top one, which is not among them, is called nothing.
    menus: Vec<String>,
    /// Whether lines belong to the last label; a menu that begins or ends takes them away from it.
    in_label: bool,
}

#[derive(Default)]
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
}

/// The entries; that with `MENU DEFAULT` is booted unasked, else that of `DEFAULT`.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    let mut reader = Reader::default();
    reader.read(text, files);
    let Reader { labels, default, append, .. } = reader;
    // In a menu further down it is that menu's default only.
    let boots = |label: &&Label| label.boots_kernel();
    let is_first = |label: &Label| label.is_menu_default && label.menus.is_empty() && boots(&label);
    // A label may have words behind it.
    let default = split_word(&default);
    let is_named = |label: &Label| label.name.eq_ignore_ascii_case(default) && boots(&label);
    let first = labels.iter().rposition(is_first).or_else(|| labels.iter().position(is_named));
    let of = |(position, label): (usize, &Label)| label.entry(position, &append);
    let entries = labels.iter().enumerate().map(of).collect();
    Menu { entries, defaults: first.into_iter().collect(), saved: String::new() }
}

impl Reader {
    fn read(&mut self, text: &str, files: &mut Files<'_>) {
        for line in text.lines() {
            let (key, value) = split(line);
            let (second, rest) = split(value);
            let (is_first, is_full) = (self.labels.is_empty(), self.labels.len() >= ENTRIES);
            let label = self.labels.last_mut().filter(|_| self.in_label);
            match (key.as_str(), second.as_str(), label) {
                ("include", ..) | ("menu", "include", _) => {
                    let name = if key == "menu" { split_word(rest) } else { split_word(value) };
                    if let Some(text) = files.include(name) {
                        self.read(&text, files);
                    }
                }
                ("default", ..) => self.default = value.to_owned(),
                ("label", ..) if is_full => return,
                ("label", ..) => {
                    let menus = self.menus.clone();
                    self.labels.push(Label { name: value.to_owned(), menus, ..Label::default() });
                    self.in_label = true;
                }
                ("menu", "begin", _) => {
                    // Deeper than this nobody goes.
                    if self.menus.len() < 16 {
                        self.menus.push(rest.to_owned());
                    }
                    self.in_label = false;
                }
                ("menu", "end", _) => {
                    self.menus.pop();
                    self.in_label = false;
                }
                ("menu", "label" | "title", None) => {
                    if let Some(menu) = self.menus.last_mut() {
                        *menu = rest.replacen('^', "", 1);
                    }
                }
                ("menu", "default", Some(label)) => label.is_menu_default = true,
                // A caret marks the key that picks the entry.
                ("menu", "label", Some(label)) => label.title = Some(rest.replacen('^', "", 1)),
                ("kernel" | "linux", _, Some(label)) => {
                    label.is_linux = key == "linux";
                    label.kernel = value.to_owned();
                }
                ("com32", _, Some(label)) => label.kernel = value.to_owned(),
                ("initrd", _, Some(label)) => label.initrd = Some(value.to_owned()),
                ("append", _, Some(label)) => label.append = Some(value.to_owned()),
                ("append", _, None) if is_first => self.append = value.to_owned(),
                _ => {}
            }
        }
    }
}

impl Label {
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
        entry.kernel = without_device(&self.kernel);
        let initrds = initrds.split(',').filter(|name| !name.is_empty());
        entry.initrds = initrds.map(without_device).collect();
        entry.arguments = arguments.join(" ");
        entry
    }
}

/// A file of mboot.c32's, and its words.
fn module(text: &str) -> Module {
    let mut words = text.split_whitespace();
    let name = words.next().map(without_device).unwrap_or_default();
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

    /// As in Debian's installer: a menu in the menu, with a default of its own and a title that is no label's.
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
    fn a_file_that_includes_itself_ends() {
        let entries = read(&[("extlinux.conf", "label a\nkernel k\ninclude extlinux.conf\n")]);
        assert_eq!((entries.len(), &entries[0].kernel[..]), (256, "k"));
    }
}
