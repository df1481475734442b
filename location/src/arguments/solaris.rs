//! The command line of Solaris' kernel, as xVM's virt-install composed it: the kernel's own path,
//! the options in one group, the properties after `-B`, and, for Nevada, a `-` followed by the
//! options of the installer in the miniroot.
//!
//! Rules: virt-manager's virtinst/OSDistro.py before 4378e40a (`SolarisDistro`,
//! `OpenSolarisDistro`), and virt-install(1M) of xVM for JumpStart, the Automated Installer (AI)
//! and ZFS. The kernel ignores the order of properties, except that the first of two with the same
//! name wins. So the user's properties come first, and no default is added for them.

/// The kind of Solaris.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Nevada, and Solaris Express.
    Nevada,
    /// OpenSolaris and its successors.
    OpenSolaris,
}

/// The installation source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media<'a> {
    /// A medium in the guest's drive.
    Cdrom,
    /// NFS.
    Nfs {
        /// The server's address.
        server: &'a str,
        /// The path there.
        path: &'a str,
        /// The guest's own address if its name resolves to one; otherwise the guest uses DHCP.
        guest: Option<Guest<'a>>,
    },
    /// A tree at this URL.
    Http(&'a str),
    /// A source that is not passed to the installer.
    Other,
}

/// A guest with a known address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest<'a> {
    /// Its IP address.
    pub address: &'a str,
    /// Its default router.
    pub router: Option<&'a str>,
    /// Its MAC address: six hexadecimal numbers, separated by colons.
    pub mac: Option<&'a str>,
}

/// The answers to the installer's questions (`--autocf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers<'a> {
    /// JumpStart: an NFS directory with `sysidcfg` and the rules.
    JumpStart {
        /// The server's address.
        server: &'a str,
        /// The path there.
        path: &'a str,
    },
    /// The Automated Installer: properties, as `k=v`.
    Ai(&'a [&'a str]),
}

/// The parts of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs<'a> {
    /// The kind of Solaris.
    pub system: System,
    /// Its path in the tree.
    pub kernel: &'a str,
    /// The user's options: `-B k=v`, `-kdv`, `-m SMF`, and others.
    pub extra: &'a str,
    /// Whether the guest has no screen, for an installer that would draw on one.
    pub no_window: bool,
    /// The installation source.
    pub media: Media<'a>,
    /// The answers, if there are any.
    pub answers: Option<Answers<'a>>,
}

/// The user's options, sorted by kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extra {
    /// The option letters, in one group.
    options: String,
    /// Properties, `k=v`.
    properties: Vec<String>,
    /// Everything else.
    words: Vec<String>,
}

/// Sorts the user's options (`process_extra_args`). The arguments of all `-B` become one list of
/// properties, the argument of `-m` is for SMF and is ignored here, and the letters of other
/// options become one group.
fn sorted(extra: &str) -> Extra {
    let mut sorted = Extra::default();
    let mut words = extra.split_ascii_whitespace();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some("m") => drop(words.next()),
            Some(option) if option.starts_with('B') => {
                let glued = Some(&option[1..]).filter(|list| !list.is_empty());
                let list = glued.or_else(|| words.next()).unwrap_or_default();
                sorted.properties.extend(properties(list).map(str::to_owned));
            }
            Some(letters) if !letters.is_empty() => sorted.options.push_str(letters),
            _ => sorted.words.push(word.to_owned()),
        }
    }
    sorted
}

/// Splits a list of properties at commas, except inside quotes: `bootpath='/x,y'`.
pub fn properties(list: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    let parts = list.split(move |c| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        c == ',' && quote.is_none()
    });
    parts.filter(|part| !part.is_empty())
}

/// The kernel's command line.
#[must_use]
pub fn command_line(inputs: &Inputs<'_>) -> String {
    let mut extra = sorted(inputs.extra);
    let kernel = inputs.kernel.trim_start_matches('/');
    let kernel = match inputs.system {
        // The miniroot's root corresponds to the tree's boot/.
        System::Nevada => kernel.strip_prefix("boot/").unwrap_or(kernel),
        System::OpenSolaris => kernel,
    };
    if inputs.system == System::OpenSolaris {
        add_ai(&mut extra.properties, inputs);
    }
    let mut line = vec![format!("/{kernel}")];
    if !extra.options.is_empty() {
        line.push(format!("-{}", extra.options));
    }
    if !extra.properties.is_empty() {
        line.push(format!("-B {}", extra.properties.join(",")));
    }
    let is_mask = |word: &String| word.starts_with("subnet-mask");
    let mask = extra.words.iter().find(|word| is_mask(word)).and_then(|word| word.split_once('='));
    if inputs.system == System::Nevada {
        line.extend(extra.words.iter().filter(|word| !is_mask(word)).cloned());
        line.push("-".into());
        line.extend(installer_words(inputs, mask.map(|(_, mask)| mask)));
    } else {
        line.extend(extra.words);
    }
    line.join(" ")
}

/// The options of the miniroot's installer.
fn installer_words(inputs: &Inputs<'_>, mask: Option<&str>) -> Vec<String> {
    let mut words = Vec::new();
    if inputs.no_window {
        words.push("nowin".to_owned());
    }
    let jumpstart = match inputs.answers {
        Some(Answers::JumpStart { server, path }) => {
            words.push("install".into());
            vec![format!("sysid_config={server}:{path}"), format!("install_config={server}:{path}")]
        }
        _ => Vec::new(),
    };
    let mut properties = match inputs.media {
        Media::Cdrom => vec!["install_media=cdrom".to_owned()],
        Media::Nfs { guest: None, .. } => {
            words.push("dhcp".into());
            Vec::new()
        }
        Media::Nfs { server, path, guest: Some(guest) } => {
            let mut properties = vec![format!("install_media={server}:{path}")];
            properties.push(format!("host-ip={}", guest.address));
            properties.extend(mask.map(|mask| format!("subnet-mask={mask}")));
            properties.extend(guest.router.map(|router| format!("router-ip={router}")));
            properties.extend(guest.mac.map(|mac| format!("boot-mac={}", short_mac(mac))));
            properties
        }
        Media::Http(_) | Media::Other => Vec::new(),
    };
    properties.extend(jumpstart);
    if !properties.is_empty() {
        words.push(format!("-B {}", properties.join(",")));
    }
    words
}

/// Removes leading zeros from each octet.
fn short_mac(mac: &str) -> String {
    let short = |octet: &'_ str| match octet.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => octet.to_owned(),
    };
    mac.split(':').map(short).collect::<Vec<_>>().join(":")
}

/// Properties that the Automated Installer needs in addition to the user's. On a medium, it is the
/// bootable AI.
fn add_ai(list: &mut Vec<String>, inputs: &Inputs<'_>) {
    let Some(Answers::Ai(given)) = inputs.answers else { return };
    let mut add = |property: &str| {
        let key = |property: &str| property.split('=').next().unwrap_or_default().to_owned();
        if !list.iter().any(|known| key(known) == key(property)) {
            list.push(property.to_owned());
        }
    };
    given.iter().for_each(|property| add(property));
    match inputs.media {
        Media::Http(url) => add(&format!("install_media={url}")),
        Media::Cdrom => {
            let medium = ["media_boot=true", "auto-shutdown=enable", "aimanifest=default"];
            medium.into_iter().for_each(&mut add);
        }
        Media::Nfs { .. } | Media::Other => {}
    }
    // xVM's defaults are for a guest that Xen starts: its card is xnf. A fully virtualized guest
    // has a virtio card, whose driver in illumos is vioif (usr/src/uts/common/io/vioif), and does
    // not know xpv-hcp.
    let network: &[_] = if inputs.kernel.contains("i86xpv") {
        &["network-interface=xnf0", "xpv-hcp=dhcp"]
    } else {
        &["network-interface=vioif0"]
    };
    network.iter().copied().chain(["livemode=text"]).for_each(add);
}

/// The command line of an installed system with its root in a ZFS pool. `bootfs` is the pool and
/// the object set ("rpool/57"); `bootpath` is the disk's path in the guest's kernel.
#[must_use]
pub fn zfs_root(kernel: &str, bootfs: &str, bootpath: &str) -> String {
    format!("/{} -B zfs-bootfs={bootfs},bootpath='{bootpath}'", kernel.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
