//! The host bridge's DSDT entry: `\_SB.PCI0`.

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Name, Path, ResourceTemplate, Scope,
    ZERO,
};
use acpi_tables::{Aml, AmlSink};

use super::config;
use super::interrupt_links::InterruptLinks;

/// Last address of the memory window: the I/O APIC follows.
pub const MEMORY_WINDOW_LAST: u32 = 0xfebf_ffff;

/// The ports below and above the configuration ports.
const IO_WINDOWS: [(u16, u16); 2] =
    [(0x0000, config::BASE_PORT - 1), (config::BASE_PORT + config::PORT_COUNT, 0xffff)];

/// The PCI bus's DSDT entry: PNP0A03, segment 0, buses 0 to 255 as in QEMU (although only bus 0 has
/// functions), all ports except the configuration ports themselves, and one memory window.
///
/// `_PRT` is in [`super::interrupt_links`]. There is no `_OSC`, because this is not PCI Express;
/// and no `_ADR`, which ACPI 6.5, 6.1 forbids in addition to `_HID`. Linux needs none of them.
/// There is no window at 0xa0000 either, because there is no display.
#[derive(Clone, Debug)]
pub struct PciDescription {
    memory_window: u32,
    links: InterruptLinks,
}

impl PciDescription {
    /// Creates a description whose memory window runs from `memory_window`, at or above the end of
    /// memory below 4 GiB, to [`MEMORY_WINDOW_LAST`]. If the window would be empty, it is left out.
    pub fn new(memory_window: u32) -> Self {
        Self { memory_window, links: InterruptLinks::new(Vec::new()) }
    }

    /// Adds the interrupt pins.
    #[must_use]
    pub fn with_links(self, links: InterruptLinks) -> Self {
        Self { links, ..self }
    }
}

impl Aml for PciDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let hid = Name::new(Path::new("_HID"), &EISAName::new("PNP0A03"));
        let [uid, base_bus] = ["_UID", "_BBN"].map(|name| Name::new(Path::new(name), &ZERO));

        let buses = AddressSpace::<u16>::new_bus_number(0x00, 0xff);
        let ports = IO::new(config::BASE_PORT, config::BASE_PORT, 1, 8);
        let [below, above] =
            IO_WINDOWS.map(|(first, last)| AddressSpace::<u16>::new_io(first, last, None));
        let mut resources: Vec<&dyn Aml> = vec![&buses, &ports, &below, &above];
        let not_cacheable = AddressSpaceCacheable::NotCacheable;
        let first = self.memory_window.min(MEMORY_WINDOW_LAST);
        let memory = AddressSpace::new_memory(not_cacheable, true, first, MEMORY_WINDOW_LAST, None);
        if self.memory_window < MEMORY_WINDOW_LAST {
            resources.push(&memory);
        }
        let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(resources));

        let bridge = Device::new(Path::new("PCI0"), vec![&hid, &uid, &base_bus, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&bridge]).to_aml_bytes(sink);
        self.links.to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aml(memory_window: u32) -> Vec<u8> {
        let mut aml = Vec::new();
        PciDescription::new(memory_window).to_aml_bytes(&mut aml);
        aml
    }

    /// Checked with `iasl -d` and recompiled without warnings; the disassembly is next to the
    /// bytes.
    #[test]
    fn has_the_expected_dsdt_entry() {
        let expected = [
            &b"\x10\x43\x08\\_SB_"[..],                            // Scope (\_SB)
            b"\x5b\x82\x4a\x07PCI0",                               // Device (PCI0)
            b"\x08_HID\x0c\x41\xd0\x0a\x03", // Name (_HID, EisaId ("PNP0A03"))
            b"\x08_UID\0",                   // Name (_UID, Zero)
            b"\x08_BBN\0",                   // Name (_BBN, Zero)
            b"\x08_CRS\x11\x48\x05\x0a\x54", // Name (_CRS, ResourceTemplate ()
            b"\x88\x0d\0\x02\x0c\0\0\0\0\0\xff\0\0\0\0\x01", // WordBusNumber (0x0000 to 0x00FF)
            b"\x47\x01\xf8\x0c\xf8\x0c\x01\x08", // IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
            b"\x88\x0d\0\x01\x0c\x03\0\0\0\0\xf7\x0c\0\0\xf8\x0c", // WordIO (0x0000 to 0x0CF7)
            b"\x88\x0d\0\x01\x0c\x03\0\0\0\x0d\xff\xff\0\0\0\xf3", // WordIO (0x0D00 to 0xFFFF)
            b"\x87\x17\0\0\x0c\x01\0\0\0\0\0\0\0\xc0", // DWordMemory (NonCacheable, ReadWrite,
            b"\xff\xff\xbf\xfe\0\0\0\0\0\0\xc0\x3e", //   0xC0000000 to 0xFEBFFFFF, length 0x3EC00000)
            b"\x79\0",
        ];
        assert_eq!(aml(0xc000_0000), expected.concat());
    }

    #[test]
    fn has_no_memory_window_when_there_is_no_room() {
        let with = aml(0xc000_0000).len();
        for start in [MEMORY_WINDOW_LAST, MEMORY_WINDOW_LAST + 1, u32::MAX] {
            // The descriptor, plus one byte for each of the lengths of _CRS, PCI0 and \_SB that
            // fits into 6 bits.
            assert!(aml(start).len() <= with - 26, "{start:#x}");
        }
        assert_eq!(aml(0).len(), with);
    }
}
