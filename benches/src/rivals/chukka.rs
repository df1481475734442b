//! chukka's device, as it is.

use fw_cfg::{Data, FileRange, FwCfg, Items};
use vm_memory::GuestMemoryMmap;

use super::Way;
use crate::Error;
use crate::transfer::{Case, KEY, Origin, Source};

pub fn way(case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
    let mut items = Items::new();
    let start = case.origin.offset();
    let data: Option<Data> = match case.origin {
        Origin::Memory => Some(source.bytes(case)?.into()),
        Origin::Copied | Origin::Mapped => {
            Some(FileRange::new(source.open()?, start..start + case.size as u64).into())
        }
        Origin::Zeros => None,
    };
    if let Some(data) = data {
        items.set(KEY, data)?;
    }
    let mut device = FwCfg::new(items, memory.clone());
    Ok(Box::new(move |slot| {
        // As firmware does: the low half alone starts the operation.
        device.write_dma_register(4, &u32::try_from(slot.descriptor.0)?.to_be_bytes());
        Ok(())
    }))
}
