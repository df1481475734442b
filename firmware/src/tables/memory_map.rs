//! The layout of RAM, and the e820 map that reports it to the guest. The only source of both.

use std::ops::Range;

use crate::layout;

/// e820 type of an entry (ACPI 6.5, 15.1; the values are those of INT 15h, AX=E820h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum E820Type {
    /// Memory the OS can use.
    Ram = 1,
    /// Memory or address space the OS must not use.
    Reserved = 2,
}

/// One entry of the e820 map: addresses and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820Entry {
    /// First byte.
    pub addr: u64,
    /// Length in bytes, never 0.
    pub size: u64,
    /// What it is.
    pub kind: E820Type,
}

/// The guest's RAM: one range from 0, and a second one above 4 GiB if the first cannot hold it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    below_hole: u64,
    above_4g: u64,
}

impl MemoryMap {
    /// The map of a guest with `size` bytes of RAM: up to [`layout::MMIO_HOLE`] at address 0, the
    /// rest above 4 GiB.
    pub fn new(size: u64) -> Self {
        let below_hole = size.min(layout::MMIO_HOLE);
        Self { below_hole, above_4g: size - below_hole }
    }

    /// The ranges of RAM in ascending order, without empty ones.
    pub fn ram(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        // Saturating: a size near 2^64 is rejected when memory is allocated, not here.
        let high = layout::MMIO_HOLE_END..layout::MMIO_HOLE_END.saturating_add(self.above_4g);
        [0..self.below_hole, high].into_iter().filter(|range| !range.is_empty())
    }

    /// Total RAM in bytes.
    pub fn size(&self) -> u64 {
        self.below_hole + self.above_4g
    }

    /// Bytes of RAM below 4 GiB, which start at address 0.
    pub fn below_4g(&self) -> u64 {
        self.below_hole
    }

    /// Bytes of RAM above 4 GiB.
    pub fn above_4g(&self) -> u64 {
        self.above_4g
    }

    /// The e820 map: low RAM, the reserved legacy area (EBDA to 1 MiB, which contains the ACPI
    /// tables), and the RAM above it.
    pub fn e820(&self) -> Vec<E820Entry> {
        let entry = |range: Range<u64>, kind| E820Entry {
            addr: range.start,
            size: range.end - range.start,
            kind,
        };
        let mut map = vec![
            entry(0..layout::EBDA, E820Type::Ram),
            entry(layout::EBDA..layout::HIGH_RAM, E820Type::Reserved),
            entry(layout::HIGH_RAM..self.below_hole.max(layout::HIGH_RAM), E820Type::Ram),
        ];
        map.extend(self.ram().skip(1).map(|range| entry(range, E820Type::Ram)));
        map.retain(|entry| entry.size > 0);
        map
    }

    /// The highest page-aligned address for `size` bytes of RAM, from `floor` and below `limit`.
    /// Data of at least one huge page is aligned to a huge page if there is room.
    pub fn highest_fit(&self, size: u64, floor: u64, limit: u64) -> Option<u64> {
        let ranges: Vec<_> = self.ram().collect();
        ranges.iter().rev().find_map(|range| {
            let end = range.end.min(limit);
            let floor = range.start.max(floor);
            let start = end.checked_sub(size)?;
            let at = |page: u64| Some(start & !(page - 1)).filter(|start| *start >= floor);
            let huge = at(layout::HUGE_PAGE_SIZE).filter(|_| size >= layout::HUGE_PAGE_SIZE);
            huge.or_else(|| at(layout::PAGE_SIZE))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn ram_is_one_range_when_it_fits_below_the_hole() {
        assert_eq!(MemoryMap::new(3 * GIB).ram().collect::<Vec<_>>(), vec![0..3 * GIB]);
        assert_eq!(MemoryMap::new(3 * GIB).above_4g(), 0);
    }

    #[test]
    fn ram_continues_at_4_gib_when_it_does_not_fit_below_the_hole() {
        let map = MemoryMap::new(6 * GIB);
        assert_eq!(map.ram().collect::<Vec<_>>(), [0..3 * GIB, 4 * GIB..7 * GIB]);
        assert_eq!((map.size(), map.below_4g(), map.above_4g()), (6 * GIB, 3 * GIB, 3 * GIB));
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        let map = MemoryMap::new(u64::MAX);
        assert_eq!(map.size(), u64::MAX);
        assert_eq!(map.ram().collect::<Vec<_>>(), [0..3 * GIB, 4 * GIB..u64::MAX]);
    }

    #[test]
    fn e820_covers_all_ram_except_the_legacy_area() {
        let map = MemoryMap::new(6 * GIB).e820();
        let ram: u64 = map.iter().filter(|e| e.kind == E820Type::Ram).map(|e| e.size).sum();
        assert_eq!(ram, 6 * GIB - (layout::HIGH_RAM - layout::EBDA));
        assert!(
            map.windows(2).all(|w| w[0].addr + w[0].size <= w[1].addr),
            "sorted, no overlap: {map:?}"
        );
        assert_eq!(map.len(), 4);
    }

    #[test]
    fn e820_has_no_empty_entry_when_ram_is_tiny() {
        let map = MemoryMap::new(layout::HIGH_RAM).e820();
        assert!(map.iter().all(|e| e.size > 0));
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn highest_fit_keeps_limit_floor_and_page() {
        let map = MemoryMap::new(6 * GIB);
        assert_eq!(map.highest_fit(0x1001, 0, u64::MAX), Some(7 * GIB - 0x2000));
        assert_eq!(map.highest_fit(0x1001, 0, 0x8000_0000), Some(0x8000_0000 - 0x2000));
        assert_eq!(map.highest_fit(0x1000, 0, 0x7fff_ffff), Some(0x7fff_e000));
        assert_eq!(map.highest_fit(GIB, 0x8000_0000, 0xc000_0000), Some(0x8000_0000));
        assert_eq!(map.highest_fit(GIB + 1, 0x8000_0000, 0xc000_0000), None);
        assert_eq!(map.highest_fit(u64::MAX, 0, u64::MAX), None);
        assert_eq!(map.highest_fit(0x20_0001, 0, u64::MAX), Some(7 * GIB - 0x40_0000));
        assert_eq!(
            map.highest_fit(0x20_0001, 7 * GIB - 0x3f_0000, u64::MAX),
            Some(7 * GIB - 0x20_1000)
        );
    }
}
