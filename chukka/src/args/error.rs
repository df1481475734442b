//! What can be wrong with an argv.

use std::borrow::Cow;
use std::slice;

use location::SpellingError;
use thiserror::Error;

use guest_memory::hint::Hint;

/// A command line that worked, for the hints.
pub(super) const EXAMPLE: &str =
    "chukka -kernel /boot/vmlinuz -initrd /boot/initrd.img -append console=ttyS0";

/// Why chukka does not start: each message names what was found and, unless it is a plain refusal,
/// what was expected. Options are shown with one dash, whatever was typed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ArgsError {
    /// No option of that name, here or in QEMU.
    #[error("{given} is not an option of chukka")]
    UnknownOption {
        /// What was typed.
        given: String,
        /// The option it resembles most.
        nearest: Option<&'static str>,
    },
    /// A QEMU option that chukka does not have.
    #[error("-{option} is a QEMU option that chukka does not have")]
    QemuOption {
        /// Its name, without the dash.
        option: &'static str,
        /// What to do instead; empty where there is nothing to say.
        instead: &'static str,
    },
    /// Several of them.
    #[error("{} are QEMU options that chukka does not have", listed(missing))]
    QemuOptions {
        /// Their names, without the dash, and what to do instead, which may be empty.
        missing: Vec<(&'static str, &'static str)>,
    },
    /// argv ends where a value was due.
    #[error("-{option} needs a value: -{option} {metavar}")]
    MissingValue {
        /// The option's name.
        option: &'static str,
        /// What the value is.
        metavar: &'static str,
    },
    /// `--option=value` for an option that takes none.
    #[error("-{option} takes no value, {value:?} was given")]
    UnwantedValue {
        /// The option's name.
        option: &'static str,
        /// The value.
        value: String,
    },
    /// A first argument that is almost the name of a command.
    #[error("{given:?} is not a command of chukka")]
    UnknownCommand {
        /// What was typed.
        given: String,
        /// The command it resembles most.
        nearest: &'static str,
    },
    /// Something that is neither an option nor an option's value.
    #[error("Found {given:?} where an option was expected")]
    Positional {
        /// What was typed.
        given: String,
    },
    /// A value that cannot be read.
    #[error("{given}: expected {expected}")]
    BadValue {
        /// The option with its value, or the part of the value it is about.
        given: String,
        /// What would be right.
        expected: Cow<'static, str>,
        /// What to do; may be empty.
        hint: Cow<'static, str>,
    },
    /// A value that is right in QEMU and that chukka cannot do.
    #[error("{given}: {why}")]
    Unsupported {
        /// The option with its value, or the part of the value it is about.
        given: String,
        /// What chukka cannot do.
        why: Cow<'static, str>,
        /// What to do; may be empty.
        hint: Cow<'static, str>,
    },
    /// A path of no characters.
    #[error("-{option} was given an empty path")]
    EmptyPath {
        /// The option's name.
        option: &'static str,
    },
    /// A value that has to be text and is not UTF-8.
    #[error("-{option} {given:?}: expected text in UTF-8")]
    NotUtf8 {
        /// The option's name.
        option: &'static str,
        /// The value, with U+FFFD for what is not UTF-8.
        given: String,
    },
    /// No `-kernel`.
    #[error("There is no kernel to boot: -kernel is missing")]
    NoKernel,
    /// `-initrd` or `-append` without `-kernel`.
    #[error("-{option} is only allowed with -kernel, which is missing")]
    NeedsKernel {
        /// The option's name.
        option: &'static str,
    },
    /// A `-location` that cannot be read.
    #[error(transparent)]
    Location(#[from] SpellingError),
    /// Several errors.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several {
        /// At least two, in the order of the command line.
        errors: Vec<ArgsError>,
    },
}

impl Hint for ArgsError {
    /// There always is one.
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint: String = match self {
            Self::UnknownOption { nearest: Some(nearest), .. } => {
                format!("did you mean -{nearest}?")
            }
            Self::UnknownOption { .. } | Self::QemuOption { instead: "", .. } => {
                "chukka -help lists the options".into()
            }
            Self::QemuOption { instead, .. } => (*instead).into(),
            Self::QemuOptions { missing } => instead_of(missing),
            Self::BadValue { hint, .. } | Self::Unsupported { hint, .. } if hint.is_empty() => {
                "chukka -help shows what each option takes".into()
            }
            Self::BadValue { hint, .. } | Self::Unsupported { hint, .. } => hint.to_string(),
            Self::UnknownCommand { nearest, .. } => format!("did you mean chukka {nearest}?"),
            Self::Positional { given } => positional_hint(given),
            Self::EmptyPath { option } => {
                format!("is a shell variable unset? Leave -{option} out or name a file")
            }
            Self::NoKernel | Self::NeedsKernel { .. } => format!("for example: {EXAMPLE}"),
            Self::MissingValue { option, .. } => {
                format!("for an empty value, write -{option} ''")
            }
            Self::UnwantedValue { option, .. } => format!("use -{option} without a value"),
            Self::NotUtf8 { .. } => {
                "only paths and the kernel's command line may be arbitrary bytes".into()
            }
            Self::Location(error) => error.hint().into(),
            Self::Several { errors } => {
                let hints = errors.iter().filter_map(Hint::hint);
                hints.collect::<Vec<_>>().join("; ")
            }
        };
        Some(hint.into())
    }
}

/// The names of options, for a sentence.
fn listed(missing: &[(&str, &str)]) -> String {
    let names: Vec<_> = missing.iter().map(|(name, _)| format!("-{name}")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// What to do instead of options, each piece of advice once.
fn instead_of(missing: &[(&str, &str)]) -> String {
    let mut advice: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, instead) in missing.iter().filter(|(_, instead)| !instead.is_empty()) {
        match advice.iter_mut().find(|(known, _)| known == instead) {
            Some((_, names)) => names.push(format!("-{name}")),
            None => advice.push((instead, vec![format!("-{name}")])),
        }
    }
    if advice.is_empty() {
        return "chukka -help lists the options".into();
    }
    let lines = advice.iter().map(|(instead, names)| format!("{}: {instead}", names.join(", ")));
    lines.collect::<Vec<_>>().join("; ")
}

/// What an argument without an option is likely to be: the name of a disk image, of an ISO, or of a
/// kernel.
fn positional_hint(given: &str) -> String {
    let is = |extension: &str| given.to_ascii_lowercase().ends_with(extension);
    if is(".iso") {
        return format!("to boot an installer's ISO: -location {given}");
    }
    if DISKS.into_iter().any(is) || given.starts_with("/dev/") {
        return format!(
            "to boot this disk: -hda {given}, or without its boot loader -bootdisk {given}"
        );
    }
    format!(
        "to boot a kernel: -kernel {given}; quote a value that has spaces: \
         -append \"console=ttyS0 quiet\""
    )
}

/// How the names of disk images end.
const DISKS: [&str; 7] = [".qcow2", ".qcow", ".img", ".raw", ".vmdk", ".vdi", ".vhd"];

impl ArgsError {
    /// The errors that this one consists of: itself, but for [`Self::Several`].
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Several { errors } => errors,
            one => slice::from_ref(one),
        }
    }

    /// The same, by value.
    pub(super) fn into_parts(self) -> Vec<Self> {
        match self {
            Self::Several { errors } => errors,
            one => vec![one],
        }
    }

    /// The option with its value, or the part of the value it is about, as the message shows it.
    pub(super) fn given(&self) -> String {
        match self {
            Self::BadValue { given, .. } | Self::Unsupported { given, .. } => given.clone(),
            other => other.to_string(),
        }
    }

    /// Whether it only says that no kernel is named.
    pub(super) fn is_about_no_kernel(&self) -> bool {
        matches!(self, Self::NoKernel | Self::NeedsKernel { .. })
    }

    /// A value that cannot be read.
    pub(crate) fn bad(given: impl Into<String>, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::BadValue { given: given.into(), expected: expected.into(), hint: "".into() }
    }

    /// A value that chukka cannot do.
    pub(crate) fn unsupported(
        given: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Unsupported { given: given.into(), why: why.into(), hint: hint.into() }
    }

    /// The same error with a hint, where it is one that can carry it.
    pub(super) fn with_hint(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        if let Self::BadValue { hint, .. } | Self::Unsupported { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }
}
