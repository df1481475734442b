//! The limit of every copy: memcpy(3) from memory that has been read before, or memset(3), and
//! nothing else.
#![expect(unsafe_code, reason = "memcpy(3) and memset(3) on guest memory")]

use std::ptr;

use super::Way;
use crate::Error;
use crate::transfer::{Case, Origin, Source};

pub fn way(case: &Case, source: &Source) -> Result<Way, Error> {
    if case.origin == Origin::Zeros {
        return Ok(Box::new(|slot| {
            // SAFETY: the slot has as many bytes of guest memory, to which no reference exists.
            unsafe { ptr::write_bytes(slot.host.as_ptr(), 0, slot.len) };
            Ok(())
        }));
    }
    let from = source.bytes(case)?;
    Ok(Box::new(move |slot| {
        let len = slot.len.min(from.len());
        // SAFETY: both have `len` bytes; they do not overlap, and no reference to guest memory
        // exists.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), slot.host.as_ptr(), len) };
        Ok(())
    }))
}
