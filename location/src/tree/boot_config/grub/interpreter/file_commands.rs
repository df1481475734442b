//! Commands that answer a question about files or about the machine, for conditions: `cat`, `cmp`,
//! `file`, `hashsum` (each in the file of that name in GRUB's grub-core/commands), and those that
//! cannot be answered here.

use super::super::devices;
use super::{EXAMINED, Interpreter, Status};
use crate::checksum::{self, Checked};
use storage::{RandomAccess, head};

/// GRUB's commands that ask the machine, its firmware or its devices.
const UNANSWERED: [&str; 13] = [
    "cbmemc",
    "cryptomount",
    "getenv",
    "gptprio.next",
    "net_bootp",
    "net_dhcp",
    "pcidump",
    "probe",
    "rdmsr",
    "setpci",
    "smbios",
    "verify_detached",
    "zfs-bootfs",
];
/// The names of `hashsum` that imply a checksum (`aliases` in hashsum.c).
const SUMS: [(&str, &str); 5] = [
    ("sha256sum", "sha256"),
    ("sha512sum", "sha512"),
    ("sha1sum", "sha1"),
    ("md5sum", "md5"),
    ("crc", "crc32"),
];
/// Bytes of a file that `file` looks at: those in which a header of Multiboot 2 can begin.
const HEAD: usize = 32768;

impl Interpreter<'_, '_> {
    /// Runs a command that answers a question. `None`: it is another one.
    pub(super) fn file_command(&mut self, name: &str, arguments: &[String]) -> Option<Status> {
        let sum = SUMS.iter().find(|(alias, _)| *alias == name).map(|(_, sum)| *sum);
        let answer = match name {
            "cat" => {
                let files = names(arguments);
                return Some(match files[..] {
                    [file] => Status::IfThere { files: vec![file.to_owned()], part: None },
                    _ => Status::Known(false),
                });
            }
            "cmp" => self.cmp(arguments),
            "file" => self.file(arguments),
            "hashsum" => self.hashsum("", arguments),
            _ if sum.is_some() => self.hashsum(sum.unwrap_or_default(), arguments),
            "probe" if let Some(is_there) = self.probe(arguments) => Some(is_there),
            _ if UNANSWERED.contains(&name) => {
                let is_told = self.leave_unset(name, arguments);
                is_told.then_some(false)
            }
            _ => return None,
        };
        let whole = || Status::Unanswered([&[name.to_owned()], arguments].concat().join(" "));
        Some(answer.map_or_else(whole, Status::Known))
    }

    /// `probe [--set NAME] --fs-uuid|--label|--partmap DEVICE` (GRUB's grub-core/commands/probe.c).
    /// `None`: it is not known here.
    fn probe(&mut self, arguments: &[String]) -> Option<bool> {
        let (mut set, mut target, mut device) = (None, None, None);
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("-s", _) => set = words.next(),
                ("--set", "") => set = words.next(),
                ("--set", name) => set = Some(name),
                (option, _) if option.starts_with('-') => target = Some(option),
                _ => device = device.or(Some(word)),
            }
        }
        let device = device?;
        let inner = device.strip_prefix('(').and_then(|device| device.strip_suffix(')'));
        let volume = self.files.devices.position(inner.unwrap_or(device))?;
        let tree = *self.files.devices.trees().get(volume)?;
        let value = match target? {
            "-u" | "--fs-uuid" => tree.volume_uuid().filter(|uuid| !uuid.is_empty())?,
            "-l" | "--label" => tree.volume_label()?,
            "-p" | "--partmap" => devices::table_name(tree.partition().last()?.table),
            _ => return None,
        };
        Some(set.is_none_or(|name| self.variables.set(name, value)))
    }

    /// `cmp FILE FILE`: whether both are the same. `None`: they cannot be read.
    fn cmp(&mut self, arguments: &[String]) -> Option<bool> {
        let [a, b] = names(arguments)[..] else { return Some(false) };
        let (Some(a), Some(b)) = (self.files.find(a), self.files.find(b)) else {
            return Some(false);
        };
        if a.len() != b.len() && !a.is_cut() && !b.is_cut() {
            return Some(false);
        }
        if !self.examine(&*a) || !self.examine(&*b) {
            return Some(false);
        }
        Some(checksum::sha256(&*a).ok()? == checksum::sha256(&*b).ok()?)
    }

    /// `file --is-KIND FILE`. `None`: the kind is of another machine or system.
    fn file(&mut self, arguments: &[String]) -> Option<bool> {
        let mut kinds = arguments.iter().filter_map(|word| word.strip_prefix("--is-"));
        let (Some(kind), None, [name, ..]) = (kinds.next(), kinds.next(), &names(arguments)[..])
        else {
            return Some(false);
        };
        let Some(file) = self.files.find(name) else { return Some(false) };
        let head = head(&*file, HEAD).ok()?;
        is_kind(kind, &head, file.len())
    }

    /// `hashsum --hash NAME [--check LIST [--prefix DIRECTORY]] [FILES…]`: whether all files are
    /// there and have the checksums of the list. `None`: the checksum is not known here.
    fn hashsum(&mut self, sum: &str, arguments: &[String]) -> Option<bool> {
        let (mut sum, mut list, mut prefix) = (sum, None, None);
        let (mut keeps_going, mut files) = (false, Vec::new());
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("-h", _) => sum = words.next().unwrap_or_default(),
                ("-c", _) => list = words.next(),
                ("-p", _) => prefix = words.next(),
                ("--hash", value) => sum = value,
                ("--check", value) => list = Some(value),
                ("--prefix", value) => prefix = Some(value),
                ("-k" | "--keep-going", _) => keeps_going = true,
                ("-u" | "--uncompress", _) => return None,
                _ => files.push(word),
            }
        }
        let sum = sum.to_ascii_lowercase();
        let digits = match sum.as_str() {
            "" => return Some(false),
            "sha1" => 40,
            "sha256" => 64,
            "sha512" => 128,
            _ => return None,
        };
        let Some(list) = list else {
            return Some(files.iter().all(|file| self.files.find(file).is_some()));
        };
        let Some(text) = self.files.include(list).filter(|_| files.is_empty()) else {
            return Some(false);
        };
        let mut are_right = true;
        for line in text.replace('\r', "").lines() {
            let Some((expected, name)) = listed(line, digits) else { return Some(false) };
            let name = prefix.map_or(name.to_owned(), |prefix| format!("{prefix}/{name}"));
            let Some(file) = self.files.find(&name) else { return Some(false) };
            if !self.examine(&*file) {
                return Some(false);
            }
            let checked = checksum::check(&*file, &format!("{sum}:{expected}")).ok()?;
            are_right &= matches!(checked, Checked::Right(_));
            if !are_right && !keeps_going {
                break;
            }
        }
        Some(are_right)
    }

    /// Takes a file from what commands can read. Returns whether that is possible; if not, the user is
    /// told.
    fn examine(&mut self, file: &dyn RandomAccess) -> bool {
        let left = self.examined.checked_sub(file.len()).filter(|_| !file.is_cut());
        self.examined = left.unwrap_or(self.examined);
        if left.is_none() {
            self.warn(format!(
                "chukka reads at most {} MiB for GRUB's cmp and hashsum: what they ask beyond that counts as false",
                EXAMINED >> 20
            ));
        }
        left.is_some()
    }

    /// Unsets the variable that a command would set. Returns whether there is one, which the user
    /// is told.
    fn leave_unset(&mut self, command: &str, arguments: &[String]) -> bool {
        let mut words = arguments.iter();
        let set = words.find_map(|word| match word.as_str() {
            // `-s` of smbios is a string's number.
            "-s" if command != "smbios" => Some(String::new()),
            "--set" => Some(String::new()),
            // `gptprio.next -d DEVICE -u UUID` sets both.
            "-u" | "--set-uuid" if command == "gptprio.next" => Some(String::new()),
            word => word.strip_prefix("--set=").map(str::to_owned),
        });
        let Some(name) = set else { return false };
        let name = if name.is_empty() { words.next().cloned() } else { Some(name) };
        let name = name.unwrap_or_default();
        self.variables.unset(&name);
        self.warn(format!("${name} stays empty: chukka does not support GRUB's {command}"));
        true
    }
}

/// The words that are no options.
fn names(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect()
}

/// A line of a list: the checksum, two blanks, and the file's name.
fn listed(line: &str, digits: usize) -> Option<(&str, &str)> {
    let (sum, rest) = line.trim_start().split_at_checked(digits)?;
    let name = rest.strip_prefix([' ', '\t'])?.strip_prefix([' ', '\t'])?;
    sum.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some((sum, name))
}

/// Whether a file with these first bytes begins with Linux' setup code: struct
/// linux_i386_kernel_header has 0x268 bytes, and the code has at most 64 sectors.
fn has_setup_code(head: &[u8]) -> bool {
    head.len() >= 0x268 && head[0x1fe..0x200] == [0x55, 0xaa] && head[0x1f1] <= 64
}

/// Whether a file with these first bytes is of a kind. `None`: chukka does not know the kind.
fn is_kind(kind: &str, head: &[u8], len: u64) -> Option<bool> {
    let bytes = |at: usize, count: usize| head.get(at..at.checked_add(count)?);
    let u16_at = |at| bytes(at, 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let u32_at = |at| {
        let bytes = bytes(at, 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    // The words of a header, at every `step` bytes of the first `most`, have the sum 0.
    let has_header = |magic: u32, words: usize, step: usize, most: usize| {
        let starts = (0..most.min(head.len())).step_by(step);
        head.len() >= 32
            && starts.filter(|at| u32_at(*at) == Some(magic)).any(|at| {
                let words = (0..words).map(|word| u32_at(at + 4 * word).map(u64::from));
                let sum = words.sum::<Option<u64>>();
                sum.is_some_and(|sum| sum.trailing_zeros() >= 32)
            })
    };
    let is_linux = |version: u16| {
        has_setup_code(head)
            && bytes(0x202, 4) == Some(b"HdrS")
            && u16_at(0x206).is_some_and(|own| own >= version)
    };
    let is_efi = |machine: u16, magic: u16| {
        let header = u32_at(0x3c).and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
        let at = |offset: usize| header.saturating_add(offset);
        head.starts_with(b"MZ")
            && bytes(header, 4) == Some(b"PE\0\0")
            && u16_at(at(4)) == Some(machine)
            && u16_at(at(24)) == Some(magic)
            && u16_at(at(24 + 68)) == Some(10)
    };
    Some(match kind {
        "x86-linux" => is_linux(0x200),
        "x86-linux32" => is_linux(0x203) && head[0x211] & 1 != 0,
        "x86_64-efi" => is_efi(0x8664, 0x20b),
        "i386-efi" => is_efi(0x14c, 0x10b),
        "x86-multiboot" => has_header(0x1bad_b002, 3, 4, 8192),
        "x86-multiboot2" => has_header(0xe852_50d6, 4, 8, HEAD),
        "x86-bios-bootsector" => len == 512 && u16_at(510) == Some(0xaa55),
        _ => return None,
    })
}
