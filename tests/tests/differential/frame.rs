//! What the image writes to the serial port.

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The operation, as the image did it.
    pub control: u32,
    /// The descriptor's control word afterwards.
    pub result: u32,
    /// What the data port has next.
    pub tail: [u8; 8],
    /// Whether the data port had the same bytes, where it was asked.
    pub by_port: Option<bool>,
    /// What was in the buffer.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The key it was about, if it selected one.
    pub fn key(&self) -> u16 {
        u16::try_from(self.control >> 16).unwrap()
    }
}

/// All that one machine told.
#[derive(Debug)]
pub struct Told {
    /// What the ports of fw_cfg read as.
    pub registers: Vec<u8>,
    /// What came of the script, and then of each file.
    pub frames: Vec<Frame>,
}

/// Bytes before those of the buffer.
const HEAD: usize = 35;

impl Told {
    /// Reads it from the bytes of the serial port. `None`: they are not complete.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut told = Self { registers: Vec::new(), frames: Vec::new() };
        loop {
            let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
            let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let length = usize::from(u16::from_le_bytes([head[18], head[19]]));
            let (body, rest) = rest.split_at_checked(length)?;
            bytes = rest;
            match &head[..2] {
                b"RG" => told.registers = body.to_vec(),
                b"CK" => told.frames.push(Frame {
                    control: word(2),
                    result: word(22).swap_bytes(),
                    tail: head[26..34].try_into().unwrap(),
                    by_port: [None, Some(true), Some(false)][usize::from(head[34])],
                    bytes: body.to_vec(),
                }),
                b"ED" => return Some(told),
                other => panic!("no frame begins with {other:x?}"),
            }
        }
    }
}

/// A file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: usize,
    pub key: u16,
}

/// Reads the directory, and checks that it is as docs/specs/fw_cfg.rst wants it: sorted, numbered,
/// unused slots zero.
pub fn directory(who: &str, bytes: &[u8]) -> Vec<Entry> {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let count = number(0) as usize;
    let (used, unused) = bytes[4..].split_at(64 * count);
    assert!(unused.iter().all(|byte| *byte == 0), "{who}: something after the directory");
    let entries: Vec<Entry> = used
        .chunks(64)
        .enumerate()
        .map(|(index, entry)| {
            let (name, zeros) =
                entry[8..].split_at(entry[8..].iter().position(|b| *b == 0).unwrap());
            assert!(zeros.iter().all(|byte| *byte == 0), "{who}: something after a name");
            assert_eq!(entry[6..8], [0, 0], "{who}: the reserved field");
            Entry {
                name: String::from_utf8(name.to_vec()).unwrap(),
                size: number(4 + 64 * index) as usize,
                key: u16::from_be_bytes([entry[4], entry[5]]),
            }
        })
        .collect();
    assert!(entries.is_sorted_by(|a, b| a.name < b.name), "{who}: not sorted: {entries:#?}");
    let keys: Vec<u16> = entries.iter().map(|entry| entry.key).collect();
    let expected: Vec<u16> = (0x20..0x20 + u16::try_from(count).unwrap()).collect();
    assert_eq!(keys, expected, "{who}: numbered in order");
    entries
}
