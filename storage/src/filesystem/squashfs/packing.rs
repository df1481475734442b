//! Decompressing a block. No block becomes larger than its reader allows, whatever is in it.

use std::io::{self, Read};

use super::superblock::REPACK;
use crate::Failure;

/// Most memory for decompressing xz: its dictionary has the size of a block, 1 MiB at most.
const XZ_MEMORY: u64 = 64 << 20;

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Lz4,
    Zstd,
}

impl Compression {
    /// By its number in the superblock.
    ///
    /// # Errors
    /// It is not supported.
    pub fn of(number: u16) -> io::Result<Self> {
        let name = match number {
            1 => return Ok(Self::Gzip),
            2 => "lzma",
            3 => "lzo",
            4 => return Ok(Self::Xz),
            5 => return Ok(Self::Lz4),
            6 => return Ok(Self::Zstd),
            _ => {
                let problem = format!(
                    "squashfs uses the unknown compression {number}, expected gzip, xz, lz4 or zstd"
                );
                return Err(Failure::new(problem, REPACK).into());
            }
        };
        let problem = format!(
            "squashfs compressed with {name} is not supported, expected gzip, xz, lz4 or zstd"
        );
        Err(Failure::new(problem, REPACK).into())
    }

    /// Decompresses a block of at most `most` bytes.
    ///
    /// # Errors
    /// It is damaged, or has more bytes.
    pub fn unpack(self, packed: &[u8], most: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => up_to(flate2::read::ZlibDecoder::new(packed), most),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                up_to(liblzma::read::XzDecoder::new_stream(packed, stream), most)
            }
            Self::Lz4 => {
                let mut bytes = vec![0; most];
                let len = lz4_flex::block::decompress_into(packed, &mut bytes);
                bytes.truncate(len.map_err(io::Error::other)?);
                Ok(bytes)
            }
            Self::Zstd => zstd::bulk::decompress(packed, most),
        }
    }
}

fn up_to(unpacked: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    unpacked.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(io::Error::other("it is too long")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// 64 MiB of zeros, compressed.
    fn bomb(compression: Compression) -> Vec<u8> {
        let zeros = vec![0; 64 << 20];
        match compression {
            Compression::Gzip => {
                let mut to =
                    flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                to.write_all(&zeros).unwrap();
                to.finish().unwrap()
            }
            Compression::Xz => {
                let mut to = liblzma::write::XzEncoder::new(Vec::new(), 0);
                to.write_all(&zeros).unwrap();
                to.finish().unwrap()
            }
            Compression::Lz4 => lz4_flex::block::compress(&zeros),
            Compression::Zstd => zstd::bulk::compress(&zeros, 1).unwrap(),
        }
    }

    #[test]
    fn a_block_that_expands_beyond_its_limit_is_refused() {
        use Compression::{Gzip, Lz4, Xz, Zstd};
        for compression in [Gzip, Xz, Lz4, Zstd] {
            let bomb = bomb(compression);
            assert!(compression.unpack(&bomb, 8192).is_err(), "{compression:?}");
            assert!(compression.unpack(&bomb[..bomb.len() / 2], 8192).is_err(), "{compression:?}");
            assert!(compression.unpack(&[], 8192).map_or(true, |none| none.is_empty()));
        }
    }
}
