//! `-device isa-debug-exit`: the ports with which a guest ends the run.

use devices::debug_exit::{DEFAULT_PORT, DEFAULT_SIZE};

use super::error::ArgsError;
use super::value::{RawPair, integer};
use vmm::config::DebugExit;

/// Reads `iobase=` and `iosize=`, and `pass=`, which QEMU does not have: the value that ends the
/// run with status 0. Each is a number as of [`integer`].
///
/// # Errors
/// Another property, or ports that are not all between 0 and 0xffff. QEMU takes 32 bits for both
/// and has no port beyond 0xffff either.
pub(super) fn debug_exit<'a>(
    properties: impl Iterator<Item = &'a RawPair>,
) -> Result<DebugExit, ArgsError> {
    let mut wanted = DebugExit { port: DEFAULT_PORT, size: DEFAULT_SIZE, pass: None };
    for pair in properties {
        let text = pair.text("device")?;
        let value = text.value("device")?;
        let bad = |expected| ArgsError::bad(pair.shown("device"), expected).with_hint(HINT);
        let number = integer(value).and_then(|number| u16::try_from(number).ok());
        match pair.key.as_str() {
            "iobase" => wanted.port = number.ok_or_else(|| bad("an I/O port, 0 to 0xffff"))?,
            "iosize" => {
                let size = number.filter(|size| *size > 0);
                wanted.size = size.ok_or_else(|| bad("how many I/O ports, 1 to 0xffff"))?;
            }
            "pass" => {
                let value = number.and_then(|value| u8::try_from(value).ok());
                let value = value.filter(|value| *value <= 0x7f);
                wanted.pass = Some(value.ok_or_else(|| bad("the value of a pass, 0 to 0x7f"))?);
            }
            _ => return Err(bad("isa-debug-exit,iobase=PORT,iosize=PORTS,pass=VALUE")),
        }
    }
    if wanted.port.checked_add(wanted.size - 1).is_none() {
        let given =
            format!("-device isa-debug-exit,iobase={:#x},iosize={:#x}", wanted.port, wanted.size);
        return Err(ArgsError::bad(given, "ports up to 0xffff").with_hint(HINT));
    }
    Ok(wanted)
}

/// What many guests are made for.
const HINT: &str = "for example: -device isa-debug-exit,iobase=0xf4,iosize=0x4";
