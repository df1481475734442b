//! chukka's device, with the engine that the VMM gives it.

use fw_cfg::{Data, FwCfg, Items};
use guest_memory::FileRange;
use guest_memory::{Engine, MappingOptions, Source as Bytes};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm::memory::MAP_FROM;

use super::Way;
use crate::Error;
use crate::transfer::{Before, Case, Guest, KEY, Origin, Pages, Source};

/// As in the VMM where the processor translates guest addresses by itself (`x-map-initrd=on`):
/// small pages are mapped, too. Who reads them here is the host, which takes a page fault for each
/// as such a guest does. The signal that says that somebody wants to write to a mapped file is
/// another one: nobody does, and this one kills nobody.
const OPTIONS: MappingOptions =
    MappingOptions { from: MAP_FROM, small_pages: true, signal: libc::SIGURG };

/// The engine as the VMM makes it.
pub fn engine(memory: &GuestMemoryMmap) -> Engine<GuestMemoryMmap> {
    Engine::mapping(memory.clone(), OPTIONS)
}

pub(super) fn way(case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
    let mut items = Items::new();
    let data: Option<Data> = match case.origin {
        Origin::Memory => Some(source.bytes(case)?.into()),
        Origin::Copied | Origin::Mapped => Some(range(case, source)?.into()),
        Origin::Zeros => None,
    };
    if let Some(data) = data {
        items.set(KEY, data)?;
    }
    let mut device = FwCfg::new(items, engine(memory));
    Ok(Box::new(move |slot| {
        // As firmware does: the low half alone starts the operation.
        device.write_dma_register(4, &u32::try_from(slot.descriptor.0)?.to_be_bytes());
        Ok(())
    }))
}

fn range(case: &Case, source: &Source) -> Result<FileRange, Error> {
    let start = case.origin.offset();
    Ok(FileRange::new(source.open()?, start..start + case.size as u64))
}

/// Whether files are mapped at all: it takes a file system that knows leases, and a file of one's
/// own.
///
/// # Errors
/// The source is too short, or there is no memory.
pub fn can_map(source: &Source) -> Result<bool, Error> {
    let size = usize::try_from(MAP_FROM)?;
    let (origin, pages, before) = (Origin::Mapped, Pages::Small, Before::Untouched);
    let case = Case { origin, pages, before, size };
    let guest = Guest::new(&case)?;
    let engine = engine(guest.memory());
    let file = range(&case, source)?;
    let to = guest.slots().first().map_or(GuestAddress(0), |slot| slot.address);
    engine.transfer(Bytes::File { file: &file, part: 0..MAP_FROM }, to)?;
    Ok(engine.mapped_bytes() == MAP_FROM)
}
