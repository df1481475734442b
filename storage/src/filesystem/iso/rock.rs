//! Rock Ridge: Unix names, links and file types, in the records' system use areas (SUSP 1.12, RRIP
//! 1.12).

use std::io;

use super::fault;
use crate::bytes::le32;

/// Maximum length of a name in bytes.
const NAME: usize = 255;
/// Maximum length of a symbolic link in bytes, as in Linux.
const LINK: usize = 4096;

/// The Rock Ridge information of a record.
#[derive(Debug, Default)]
pub(super) struct Rock {
    /// Whether there is any.
    pub is_used: bool,
    /// The name.
    pub name: Option<Vec<u8>>,
    /// The target of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// The block of a directory that belongs here but was relocated.
    pub child: Option<u32>,
    /// This is a relocated directory.
    pub relocated: bool,
    /// It is compressed by zisofs.
    pub compressed: bool,
    /// The file's mode: `st_mode`.
    mode: u32,
    /// The last component of the link continues in the next one.
    unfinished: bool,
}

/// The continuation of a system use area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Continuation {
    /// The block.
    pub block: u32,
    /// Offset in it.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Rock {
    /// Parses one area, and returns its continuation.
    pub(super) fn read(&mut self, mut area: &[u8]) -> io::Result<Option<Continuation>> {
        let mut next = None;
        while let [first, second, len, _version, ..] = *area {
            let len = usize::from(len);
            // What follows the last entry is padding.
            let Some(fields) = area.get(4..len) else { break };
            match &[first, second] {
                b"CE" if fields.len() >= 24 => {
                    next = Some(Continuation {
                        block: le32(fields, 0),
                        offset: le32(fields, 8),
                        len: le32(fields, 16),
                    });
                }
                b"ER" => self.is_used |= is_rock_ridge(fields),
                b"RR" => self.is_used = true,
                b"PX" if fields.len() >= 8 => {
                    self.is_used = true;
                    self.mode = le32(fields, 0);
                }
                b"NM" => self.name(fields)?,
                b"SL" => self.link(fields)?,
                b"CL" if fields.len() >= 4 => self.child = Some(le32(fields, 0)),
                b"RE" => self.relocated = true,
                b"ZF" => self.compressed = true,
                b"ST" => break,
                _ => {}
            }
            area = &area[len..];
        }
        Ok(next)
    }

    /// RRIP 4.1.4; a name can be split among several entries.
    fn name(&mut self, fields: &[u8]) -> io::Result<()> {
        let [flags, text @ ..] = fields else { return Ok(()) };
        // "." and ".." have no text.
        if flags & 6 == 0 {
            let name = self.name.get_or_insert_default();
            name.extend(text);
            if name.len() > NAME {
                return Err(fault(format!("a name has more than {NAME} bytes")));
            }
        }
        Ok(())
    }

    /// RRIP 4.1.3: components, each with flags, a length and a text.
    fn link(&mut self, fields: &[u8]) -> io::Result<()> {
        let mut rest = fields.get(1..).unwrap_or_default();
        let link = self.link.get_or_insert_default();
        while let [flags, len, after @ ..] = rest {
            let len = usize::from(*len);
            let text = after
                .get(..len)
                .ok_or_else(|| fault("the target of a symbolic link is truncated"))?;
            if !link.is_empty() && !link.ends_with(b"/") && !self.unfinished {
                link.push(b'/');
            }
            match flags & 0x0e {
                2 => link.push(b'.'),
                4 => link.extend(b".."),
                8 => *link = b"/".to_vec(),
                _ => link.extend(text),
            }
            self.unfinished = flags & 1 != 0;
            if link.len() > LINK {
                return Err(fault(format!(
                    "the target of a symbolic link is longer than {LINK} bytes"
                )));
            }
            rest = &after[len..];
        }
        Ok(())
    }

    /// The type of a special file, by its mode.
    pub(super) fn special(&self) -> Option<&'static str> {
        match self.mode & 0o170_000 {
            0o010_000 => Some("a pipe"),
            0o020_000 => Some("a character device"),
            0o060_000 => Some("a block device"),
            0o140_000 => Some("a socket"),
            _ => None,
        }
    }
}

/// SUSP 1.12, 5.5: the extension in use; the identifiers of the versions of Rock Ridge.
fn is_rock_ridge(fields: &[u8]) -> bool {
    let name = fields.first().and_then(|len| fields.get(4..4 + usize::from(*len)));
    name.is_some_and(|name| [&b"RRIP_1991A"[..], b"IEEE_P1282", b"IEEE_1282"].contains(&name))
}
