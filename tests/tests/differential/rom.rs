//! The firmware images that tell what a guest sees: `dump.S` of fw_cfg, with the script it runs,
//! and `registers.S` of PCI and memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use chukka_tests::native::Scratch;
use fw_cfg::key;

/// Where the images look for their scripts, and where its RAM is free: it shows what the device put
/// there.
const SCRIPT: usize = 0x1000;
pub const BUFFER: u64 = 0x2_0000;
/// Bits of a descriptor's control word (docs/specs/fw_cfg.rst).
pub const READ: u32 = 1 << 1;
pub const SKIP: u32 = 1 << 2;
pub const SELECT: u32 = 1 << 3;
pub const WRITE: u32 = 1 << 4;

/// One DMA operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What a difference here is called.
    pub name: String,
    pub control: u32,
    pub length: u32,
    pub address: u64,
    /// Bytes of the buffer to tell. They are 0xcc before the operation.
    pub told: u16,
    /// Read as many bytes by port, too, and compare.
    pub by_port: bool,
}

impl Operation {
    /// An operation on the buffer, of which as much is told as it can change.
    pub fn new(name: impl Into<String>, control: u32, length: u32) -> Self {
        let told = u16::try_from(length).unwrap_or(64);
        Self { name: name.into(), control, length, address: BUFFER, told, by_port: false }
    }

    /// An operation somewhere else: the buffer is to stay as it is.
    pub fn at(name: &str, control: u32, length: u32, address: u64) -> Self {
        Self { address, told: 16, ..Self::new(name, control, length) }
    }

    /// Reads an item from its start, by both interfaces.
    pub fn item(key: u16, length: u32) -> Self {
        Self { by_port: true, ..Self::new(key_name(key), select(key) | READ, length) }
    }

    /// The key, if this reads an item from its start.
    pub fn key(&self) -> Option<u16> {
        self.by_port.then(|| u16::try_from(self.control >> 16).unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        let (told, flags) = (self.told.to_le_bytes(), u16::from(self.by_port).to_le_bytes());
        let (control, length) = (self.control.to_le_bytes(), self.length.to_le_bytes());
        [&control, &length, &self.address.to_le_bytes()[..], &told, &flags].concat()
    }
}

/// The control word that selects a key.
pub fn select(key: u16) -> u32 {
    u32::from(key) << 16 | SELECT
}

/// A key with its number.
pub fn key_name(key: u16) -> String {
    // The bit is no part of the key, but may make a difference.
    let name = key::name(key).filter(|_| key & key::WRITE_CHANNEL == 0);
    format!("key {key:#06x}{}", name.map(|name| format!(" {name}")).unwrap_or_default())
}

/// Assembles `dump.S`, with this script in it.
pub fn assemble(scratch: &Scratch, script: &[Operation]) -> Vec<u8> {
    let mut bytes: Vec<u8> = script.iter().flat_map(Operation::bytes).collect();
    bytes.extend([0xff; 4]);
    with_script(scratch, "dump", &bytes)
}

/// Assembles the image `name`, and puts a script into it.
pub fn with_script(scratch: &Scratch, name: &str, script: &[u8]) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let source = folder.join(format!("{name}.S"));
    let [object, image] = ["o", "rom"].map(|kind| scratch.path(&format!("{name}.{kind}")));
    let tool = |variable: &str, default: &str| {
        Command::new(std::env::var(variable).unwrap_or_else(|_| default.into()))
    };
    let mut assembler = tool("AS", "as");
    run(assembler.args(["--32", "-o"]).arg(&object).arg(source));
    let mut linker = tool("LD", "ld");
    linker.args(["-m", "elf_i386", "--oformat", "binary", "-Ttext=0", "-e", "0", "-o"]);
    run(linker.arg(&image).arg(object));
    let mut bytes = fs::read(image).unwrap();
    assert!(bytes.len() == 0x1_0000 && SCRIPT + script.len() < 0xfff0, "the script is too long");
    bytes[SCRIPT..SCRIPT + script.len()].copy_from_slice(script);
    bytes
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error} (GNU binutils)"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
