//! The interrupt pins in the DSDT: which of the four inputs of the ISA bridge each slot is wired to
//! (`_PRT`), and four link devices through which the operating system routes these inputs.
//!
//! As in QEMU (`build_prt`, `build_piix4_pci0_int`, hw/i386/acpi-build.c): the link devices LNKA to
//! LNKD read and write `PIRQRC`, and can choose among IRQ 5, 10 and 11, level-triggered and active
//! high. They serve both the 8259s and the I/O APIC, whose pins have the same numbers. Only slots
//! that have a pin are listed.

use acpi_tables::aml::{
    And, Arg, CreateDWordField, Device, EISAName, Field, FieldAccessType, FieldEntry,
    FieldLockRule, FieldUpdateRule, If, LessThan, Local, Method, MethodCall, Name, OpRegion,
    OpRegionSpace, Or, Package, Path, ResourceTemplate, Return, Scope, Store, ZERO,
};
use acpi_tables::{Aml, AmlSink};

use super::bus::Devfn;
use super::isa_bridge::{self, PIRQ_ROUTE};
use super::pirq::{NO_ROUTE, PIRQS, pirq};

/// The link devices, and the fields that are their routes.
const LINKS: [(&str, [u8; 4]); PIRQS] =
    [("LNKA", *b"PRQ0"), ("LNKB", *b"PRQ1"), ("LNKC", *b"PRQ2"), ("LNKD", *b"PRQ3")];
/// Interrupts that are free for PCI on a PC.
const POSSIBLE: [u32; 3] = [5, 10, 11];
/// `_STA`: present, working, and enabled or not.
const ENABLED: u8 = 0x0b;
const DISABLED: u8 = 0x09;

/// The pins of the functions in `slots`, which each have INTA.
#[derive(Clone, Debug)]
pub struct InterruptLinks {
    slots: Vec<Devfn>,
}

impl InterruptLinks {
    /// Describes the pins in these slots. Without slots there is nothing to describe.
    pub fn new(slots: Vec<Devfn>) -> Self {
        Self { slots }
    }

    /// `\_SB.PCI0.ISA` with the registers, and `\_SB.PCI0._PRT`.
    fn bus(&self, sink: &mut dyn AmlSink) {
        let isa_slot = u32::from(isa_bridge::PLACE.device()) << 16;
        let address = Name::new(Path::new("_ADR"), &isa_slot);
        let registers =
            OpRegion::new(Path::new("P40C"), OpRegionSpace::PCIConfig, &PIRQ_ROUTE, &4u8);
        let isa = Device::new(Path::new("ISA_"), vec![&address, &registers]);
        let entries: Vec<Route> = self.slots.iter().copied().map(Route).collect();
        let table = Package::new(entries.iter().map(|entry| entry as &dyn Aml).collect());
        let table = Name::new(Path::new("_PRT"), &table);
        Scope::new(Path::new("\\_SB_.PCI0"), vec![&isa, &table]).to_aml_bytes(sink);
    }
}

impl Aml for InterruptLinks {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        if self.slots.is_empty() {
            return;
        }
        self.bus(sink);
        let routes = Field::new(
            Path::new("PCI0.ISA_.P40C"),
            FieldAccessType::Byte,
            FieldLockRule::NoLock,
            FieldUpdateRule::Preserve,
            LINKS.map(|(_, field)| FieldEntry::Named(field, 8)).into(),
        );
        // IQCR: the resources of a link whose route is the argument.
        let nothing = Interrupts(&[0]);
        let template = ResourceTemplate::new(vec![&nothing]);
        let template = Name::new(Path::new("PRR0"), &template);
        let (template_path, number) = (Path::new("PRR0"), Path::new("PRRI"));
        let field = CreateDWordField::new(&number, &template_path, &5u8);
        let set = Store::new(&number, &Arg(0));
        let is_routed = LessThan::new(&Arg(0), &NO_ROUTE);
        let if_routed = If::new(&is_routed, vec![&set]);
        let result = Return::new(&template_path);
        let current =
            Method::new(Path::new("IQCR"), 1, true, vec![&template, &field, &if_routed, &result]);
        let links: Vec<Link> = (0..).zip(LINKS).map(|(index, link)| Link(index, link)).collect();
        let mut content: Vec<&dyn Aml> = vec![&routes, &current];
        content.extend(links.iter().map(|link| link as &dyn Aml));
        Scope::new(Path::new("\\_SB_"), content).to_aml_bytes(sink);
    }
}

/// An entry of `_PRT`: INTA of any function of a slot leads to a link.
struct Route(Devfn);

impl Aml for Route {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let slot = u32::from(self.0.device()) << 16 | 0xffff;
        let link = Path::new(LINKS[usize::from(pirq(self.0))].0);
        Package::new(vec![&slot, &ZERO, &link, &ZERO]).to_aml_bytes(sink);
    }
}

/// A link device.
struct Link(u8, (&'static str, [u8; 4]));

impl Aml for Link {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let Self(index, (name, field)) = self;
        let field = || Path::new(std::str::from_utf8(field).unwrap_or("PRQ0"));
        let hid = Name::new(Path::new("_HID"), &EISAName::new("PNP0C0F"));
        let uid = Name::new(Path::new("_UID"), index);
        let possible = Interrupts(&POSSIBLE);
        let possible = Name::new(Path::new("_PRS"), &ResourceTemplate::new(vec![&possible]));

        let route = field();
        let is_off = And::new(&Local(0), &route, &NO_ROUTE);
        let (off, on) = (Return::new(&DISABLED), Return::new(&ENABLED));
        let if_off = If::new(&Local(0), vec![&off]);
        let status = Method::new(Path::new("_STA"), 0, false, vec![&is_off, &if_off, &on]);

        let turn_off = Or::new(&route, &route, &NO_ROUTE);
        let disable = Method::new(Path::new("_DIS"), 0, false, vec![&turn_off]);

        let current = MethodCall::new(Path::new("IQCR"), vec![&route]);
        let current = Return::new(&current);
        let current = Method::new(Path::new("_CRS"), 0, false, vec![&current]);

        let number = Path::new("PRRI");
        let wanted = CreateDWordField::new(&number, &Arg(0), &5u8);
        let set = Store::new(&route, &number);
        let choose = Method::new(Path::new("_SRS"), 1, false, vec![&wanted, &set]);

        let content: Vec<&dyn Aml> =
            vec![&hid, &uid, &possible, &status, &disable, &current, &choose];
        Device::new(Path::new(name), content).to_aml_bytes(sink);
    }
}

/// An extended interrupt descriptor (ACPI 6.5, 6.4.3.6): consumer, level-triggered, active high,
/// shared.
struct Interrupts<'a>(&'a [u32]);

impl Aml for Interrupts<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        sink.byte(0x89);
        sink.word(2 + 4 * u16::from(count));
        sink.byte(0b1001);
        sink.byte(count);
        self.0.iter().for_each(|number| sink.dword(*number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aml(slots: &[u8]) -> Vec<u8> {
        let slots = slots.iter().map(|slot| Devfn::new(*slot, 0)).collect();
        let mut aml = Vec::new();
        InterruptLinks::new(slots).to_aml_bytes(&mut aml);
        aml
    }

    #[test]
    fn machine_without_pins_has_nothing() {
        assert_eq!(aml(&[]), []);
    }

    #[test]
    fn each_slot_leads_to_its_link() {
        let aml = aml(&[4, 5]);
        let has = |bytes: &[u8]| aml.windows(bytes.len()).any(|window| window == bytes);
        // Package () { 0x0004FFFF, 0, LNKD, 0 }
        assert!(has(b"\x12\x0d\x04\x0c\xff\xff\x04\0\0LNKD\0"));
        assert!(has(b"\x12\x0d\x04\x0c\xff\xff\x05\0\0LNKA\0"));
        assert!(has(b"\x08_ADR\x0c\0\0\x01\0"), "the ISA bridge is device 1, function 0");
        assert!(has(b"\x5b\x80P40C\x02\x0a\x60\x0a\x04"), "OperationRegion");
        assert!(has(b"\x89\x0e\0\x09\x03\x05\0\0\0\x0a\0\0\0\x0b\0\0\0"), "_PRS: 5, 10, 11");
    }
}
