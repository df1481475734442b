//! Linker-loader scripts: what our builder writes down, run as a firmware runs it.
//!
//! `execute` does what `romfile_loader_execute` does in SeaBIOS's src/fw/romfile_loader.c, with the
//! same checks. Of a script by
//! [`Script`] each command has to say what was asked for, and one that stays within the files must be done. Of the ACPI
//! tables' script, the outcome has to be what a direct boot puts into memory.

use std::collections::BTreeMap;

use acpi_tables::{Aml, AmlSink};
use arbitrary::{Arbitrary, Result, Unstructured};
use firmware::acpi::{AcpiConfig, AcpiTables, PowerManagement};
use fw_cfg::Items;
use fw_cfg::loader::{self, Script, Zone};

use crate::wire::{put_list, take_list, take_rest};
use crate::{Wire, wire_enum, wire_struct};

/// Files of the tables (`firmware::acpi`).
const RSDP: &str = "etc/acpi/rsdp";
const TABLES: &str = "etc/acpi/tables";
/// Longest name.
const NAME: usize = 55;
/// Bytes of a command.
const COMMAND: usize = 128;

/// Files, a script for them, and tables of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The machine.
    pub tables: Tables,
    /// The files that there are: at most 4.
    pub files: Vec<FileOf>,
    /// What is asked of the builder: at most 64; to the end of the input.
    pub calls: Vec<Call>,
}

/// What [`AcpiTables::build`] is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// CPUs.
    pub cpus: u8,
    /// Reset register, and the port of the power management timer.
    pub ports: u32,
    /// Where the tables go, in units of 64 bytes below 4 GiB.
    pub at: u32,
    /// The DSDT's devices.
    pub aml: Vec<u8>,
}

/// A file of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOf {
    /// Its name.
    pub name: String,
    /// Bytes of it.
    pub size: u16,
    /// Where firmware puts it.
    pub address: u32,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Script::allocate`]. An odd zone is the F segment.
    Allocate {
        /// The file.
        file: String,
        /// Alignment in bytes.
        align: u32,
        /// Which zone.
        zone: u8,
    },
    /// [`Script::add_pointer`].
    AddPointer {
        /// The file with the field.
        dest: String,
        /// The file pointed at.
        source: String,
        /// Of the field.
        offset: u32,
        /// Of the field.
        size: u8,
    },
    /// [`Script::add_checksum`].
    AddChecksum {
        /// The file.
        file: String,
        /// Offset of the sum.
        at: u32,
        /// First byte.
        start: u32,
        /// Bytes.
        length: u32,
    },
    /// [`Script::write_pointer`].
    WritePointer {
        /// The writable file.
        dest: String,
        /// The file pointed at.
        source: String,
        /// Of the field.
        offset: u32,
        /// Within `source`.
        source_offset: u32,
        /// Of the field.
        size: u8,
    },
}

wire_struct!(Tables { cpus, ports, at, aml });
wire_struct!(FileOf { name, size, address });
wire_enum!(Call, 4 {
    0 => Allocate { file, align, zone },
    1 => AddPointer { dest, source, offset, size },
    2 => AddChecksum { file, at, start, length },
    3 => WritePointer { dest, source, offset, source_offset, size },
});

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            tables: Tables::take(input)?,
            files: take_list(input, 4)?,
            calls: take_rest(input, 64)?,
        })
    }
}

impl Input {
    /// The bytes that [`Arbitrary`] makes it of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.tables.put(&mut bytes);
        put_list(&self.files, &mut bytes);
        self.calls.iter().for_each(|call| call.put(&mut bytes));
        bytes
    }
}

/// Builds both scripts and runs them.
///
/// # Panics
/// A command does not say what was asked for, or does not do it, or touches what it should not.
pub fn run(input: &Input) {
    tables(&input.tables);
    let (mut script, mut taken) = (Script::new(), Vec::new());
    for call in &input.calls {
        let accepted = call.build(&mut script);
        assert_eq!(accepted, call.is_sound(), "{call:?}");
        if accepted {
            taken.push(call);
        }
    }
    let script = script.into_bytes();
    assert_eq!(script.len(), taken.len() * COMMAND);
    let commands = script.chunks(COMMAND);
    for (command, call) in commands.zip(taken) {
        assert_eq!(Call::read(command), Some(call.said()), "what firmware reads");
    }
    let mut files: Files = input.files.iter().map(FileOf::published).collect();
    let before = files.clone();
    let written = execute(&script, &mut files);
    for (name, file) in &files {
        let old = &before[name].bytes;
        assert_eq!(old.len(), file.bytes.len(), "{name}");
        let changed = |at: &usize| old[*at] != file.bytes[*at];
        let outside = (0..old.len())
            .filter(changed)
            .find(|at| !written.iter().any(|(file, range)| file == name && range.contains(at)));
        assert_eq!(outside, None, "{name}");
    }
}

impl FileOf {
    fn published(&self) -> (String, Placed) {
        let byte = |at: u16| at.to_le_bytes()[0] ^ 0x5a;
        let bytes = (0..self.size).map(byte).collect();
        (self.name.clone(), Placed { bytes, address: self.address.into(), allocated: false })
    }
}

impl Call {
    /// Asks the builder for it. Whether it was written down.
    fn build(&self, script: &mut Script) -> bool {
        match self {
            Self::Allocate { file, align, zone } => {
                let zone = if zone & 1 == 1 { Zone::FSeg } else { Zone::High };
                script.allocate(file, *align, zone)
            }
            Self::AddPointer { dest, source, offset, size } => {
                script.add_pointer(dest, source, *offset, *size)
            }
            Self::AddChecksum { file, at, start, length } => {
                script.add_checksum(file, *at, *start, *length)
            }
            Self::WritePointer { dest, source, offset, source_offset, size } => {
                script.write_pointer(dest, source, *offset, *source_offset, *size)
            }
        }
        .is_ok()
    }

    /// Whether it can be written down: SeaBIOS's checks of form.
    fn is_sound(&self) -> bool {
        let name = |name: &str| (1..=NAME).contains(&name.len()) && !name.contains('\0');
        let width = |size: u8| matches!(size, 1 | 2 | 4 | 8);
        match self {
            Self::Allocate { file, align, .. } => name(file) && align.is_power_of_two(),
            Self::AddPointer { dest, source, size, .. }
            | Self::WritePointer { dest, source, size, .. } => {
                name(dest) && name(source) && width(*size)
            }
            Self::AddChecksum { file, .. } => name(file),
        }
    }

    /// As it is written down: there are two zones.
    fn said(&self) -> Self {
        let mut said = self.clone();
        if let Self::Allocate { zone, .. } = &mut said {
            *zone &= 1;
        }
        said
    }

    /// A command as firmware reads it.
    pub fn read(command: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = command.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let name = |at: usize| {
            let field = command.get(at..at + NAME + 1)?;
            let end = field.iter().position(|byte| *byte == 0)?;
            Some(String::from_utf8_lossy(&field[..end]).into_owned())
        };
        let byte = |at: usize| command.get(at).copied();
        Some(match number(0)? {
            1 => Self::Allocate {
                file: name(4)?,
                align: number(60)?,
                zone: byte(64)?.wrapping_sub(1),
            },
            2 => Self::AddPointer {
                dest: name(4)?,
                source: name(60)?,
                offset: number(116)?,
                size: byte(120)?,
            },
            3 => Self::AddChecksum {
                file: name(4)?,
                at: number(60)?,
                start: number(64)?,
                length: number(68)?,
            },
            4 => Self::WritePointer {
                dest: name(4)?,
                source: name(60)?,
                offset: number(116)?,
                source_offset: number(120)?,
                size: byte(124)?,
            },
            _ => return None,
        })
    }
}

/// Files by their names.
type Files = BTreeMap<String, Placed>;

/// A file, and where firmware puts it.
#[derive(Clone, Debug)]
struct Placed {
    bytes: Vec<u8>,
    address: u64,
    allocated: bool,
}

/// Runs a script. What it has written to: file and offsets.
fn execute(script: &[u8], files: &mut Files) -> Vec<(String, std::ops::Range<usize>)> {
    let mut written = Vec::new();
    for command in script.chunks_exact(COMMAND) {
        let done = match Call::read(command) {
            Some(Call::Allocate { file, .. }) => {
                if let Some(file) = files.get_mut(&file) {
                    file.allocated = !file.bytes.is_empty();
                }
                None
            }
            Some(Call::AddPointer { dest, source, offset, size }) => {
                add_pointer(files, &dest, &source, offset, size)
            }
            Some(Call::AddChecksum { file, at, start, length }) => {
                add_checksum(files, &file, at, start, length)
            }
            Some(Call::WritePointer { .. }) | None => None,
        };
        written.extend(done);
    }
    written
}

fn add_pointer(
    files: &mut Files,
    dest: &str,
    source: &str,
    offset: u32,
    size: u8,
) -> Option<(String, std::ops::Range<usize>)> {
    let base = files.get(source).filter(|file| file.allocated)?.address;
    let file = files.get_mut(dest).filter(|file| file.allocated)?;
    let range = offset as usize..offset as usize + usize::from(size);
    let field = file.bytes.get_mut(range.clone())?;
    let mut old = [0; 8];
    old[..field.len()].copy_from_slice(field);
    let new = u64::from_le_bytes(old).wrapping_add(base).to_le_bytes();
    field.copy_from_slice(&new[..field.len()]);
    Some((dest.to_owned(), range))
}

fn add_checksum(
    files: &mut Files,
    name: &str,
    at: u32,
    start: u32,
    length: u32,
) -> Option<(String, std::ops::Range<usize>)> {
    let bytes = &mut files.get_mut(name).filter(|file| file.allocated)?.bytes;
    let at = at as usize;
    let before = *bytes.get(at)?;
    let range = start as usize..start as usize + length as usize;
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = before.wrapping_sub(sum(bytes.get(range.clone())?));
    if before == 0 && range.contains(&at) {
        assert_eq!(sum(&bytes[range]), 0, "{name}");
    }
    Some((name.to_owned(), at..at + 1))
}

/// A device of these bytes.
struct Bytes<'a>(&'a [u8]);

impl Aml for Bytes<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        self.0.iter().for_each(|byte| sink.byte(*byte));
    }
}

/// The machine's tables: firmware that puts both files where a direct boot puts their bytes makes
/// the same of them.
fn tables(input: &Tables) {
    let [reset, timer] =
        [input.ports.to_le_bytes()[..2].to_vec(), input.ports.to_be_bytes()[..2].to_vec()]
            .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let config = AcpiConfig {
        cpus: input.cpus,
        reset_port: reset,
        reset_value: input.cpus ^ 0x55,
        power: PowerManagement::HardwareReduced {
            sleep_control_port: 0x600,
            sleep_status_port: 0x601,
        },
        pm_timer_port: (timer != 0).then_some(timer),
    };
    let built = AcpiTables::build(&config, &[&Bytes(&input.aml)]);
    // Below 3 GiB, so that the fields of 32 bits hold it.
    let base = u64::from(input.at) % (0xb000_0000 / 64) * 64;
    let direct = built.relocate(base);

    let mut items = Items::new();
    built.publish(&mut items).expect("room for three files");
    let file = |name: &str| items.file(name).expect("published").read_to_vec().expect("bytes");
    let (rsdp, tables) = (file(RSDP), file(TABLES));
    let tables_at = direct.len() - tables.len();
    let placed = |bytes: Vec<u8>, address| Placed { bytes, address, allocated: false };
    let mut files = Files::from([
        (RSDP.to_owned(), placed(rsdp, base)),
        (TABLES.to_owned(), placed(tables, base + tables_at as u64)),
    ]);
    execute(&file(loader::FILE_NAME), &mut files);
    let rsdp = &files[RSDP].bytes;
    assert!(direct.starts_with(rsdp), "the RSDP by script and by relocation");
    assert!(direct.ends_with(&files[TABLES].bytes), "the tables by script and by relocation");
}
