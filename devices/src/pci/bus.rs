//! Bus 0: routes configuration accesses to functions.

use std::fmt;

use thiserror::Error;

use super::function::{HEADER_TYPE, PciFunction};
use crate::pio::FLOATING;

/// Header type: the device has several functions.
const MULTIFUNCTION: u8 = 1 << 7;

/// The address of a function on its bus: 32 devices of 8 functions each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Devfn(u8);

impl Devfn {
    /// Function `function` (3 bits) of device `device` (5 bits); higher bits are ignored.
    pub const fn new(device: u8, function: u8) -> Self {
        Self((device & 0x1f) << 3 | function & 0x07)
    }

    /// The device's number, its slot: 0 to 31.
    pub const fn device(self) -> u8 {
        self.0 >> 3
    }

    const fn function(self) -> u8 {
        self.0 & 0x07
    }
}

impl fmt::Display for Devfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00:{:02x}.{}", self.device(), self.function())
    }
}

/// The address on the bus is already occupied.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("PCI function {0} is there already")]
pub struct PlaceTaken(pub Devfn);

/// The functions of bus 0, the only bus. Built once, then only accessed.
#[derive(Default)]
pub struct PciBus {
    functions: Vec<(Devfn, Box<dyn PciFunction>)>,
}

impl PciBus {
    /// Creates an empty bus.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `function` at `place`. A device with several functions needs one with number 0; the bus
    /// sets bit 7 of its header type, so that guests scan the other functions of this device but
    /// not those of others.
    ///
    /// # Errors
    /// The place is occupied.
    pub fn add(&mut self, place: Devfn, function: Box<dyn PciFunction>) -> Result<(), PlaceTaken> {
        if self.functions.iter().any(|(taken, _)| *taken == place) {
            return Err(PlaceTaken(place));
        }
        self.functions.push((place, function));
        Ok(())
    }

    /// Resets every function.
    pub fn reset(&mut self) {
        for (_, function) in &mut self.functions {
            function.reset();
        }
    }

    /// Reads configuration space. Where there is no function, reads return all ones.
    pub fn read_config(&mut self, bus: u8, place: Devfn, offset: u8, data: &mut [u8]) {
        let Some(function) = self.find(bus, place) else {
            data.fill(FLOATING);
            return;
        };
        function.read_config(offset, data);
        if self.is_first_of_several(place) {
            let header_type = usize::from(HEADER_TYPE).checked_sub(offset.into());
            if let Some(byte) = header_type.and_then(|index| data.get_mut(index)) {
                *byte |= MULTIFUNCTION;
            }
        }
    }

    /// Writes configuration space. Where there is no function, writes are dropped.
    pub fn write_config(&mut self, bus: u8, place: Devfn, offset: u8, data: &[u8]) {
        if let Some(function) = self.find(bus, place) {
            function.write_config(offset, data);
        }
    }

    fn find(&mut self, bus: u8, wanted: Devfn) -> Option<&mut Box<dyn PciFunction>> {
        let mut functions = self.functions.iter_mut().filter(|_| bus == 0);
        functions.find(|(place, _)| *place == wanted).map(|(_, function)| function)
    }

    fn is_first_of_several(&self, place: Devfn) -> bool {
        let is_other = |other: Devfn| other != place && other.device() == place.device();
        place.function() == 0 && self.functions.iter().any(|(other, _)| is_other(*other))
    }
}

impl fmt::Debug for PciBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.functions.iter().map(|(place, _)| place.to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::{ConfigSpace, Identity};
    use super::*;

    fn function(device: u16) -> Box<ConfigSpace> {
        Box::new(ConfigSpace::type_0(&Identity {
            vendor: 0x8086,
            device,
            revision: 0,
            class: 0x06_80_00,
            subsystem_vendor: 0,
            subsystem: 0,
        }))
    }

    fn read(bus: &mut PciBus, number: u8, place: Devfn, offset: u8) -> u32 {
        let mut data = [0; 4];
        bus.read_config(number, place, offset, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn rejects_function_when_slot_is_occupied() {
        let mut bus = PciBus::new();
        let place = Devfn::new(31, 7);
        bus.add(place, function(1)).unwrap();
        let error = bus.add(place, function(2)).unwrap_err();
        assert_eq!(error.to_string(), "PCI function 00:1f.7 is there already");
        assert_eq!(read(&mut bus, 0, place, 0), 0x0001_8086);
        assert_eq!(format!("{bus:?}"), r#"{"00:1f.7"}"#);
    }

    #[test]
    fn reads_all_ones_where_there_is_no_function() {
        let mut bus = PciBus::new();
        bus.add(Devfn::new(0, 0), function(1)).unwrap();
        for (number, place) in [(0, Devfn::new(0, 1)), (0, Devfn::new(1, 0)), (1, Devfn::new(0, 0))]
        {
            assert_eq!(read(&mut bus, number, place, 0), 0xffff_ffff);
            bus.write_config(number, place, 0x3c, &[5]);
        }
        assert_eq!(read(&mut bus, 0, Devfn::new(0, 0), 0x3c), 0);
    }

    #[test]
    fn sets_multifunction_bit_when_there_are_several_functions() {
        let mut bus = PciBus::new();
        for place in [Devfn::new(0, 0), Devfn::new(1, 0), Devfn::new(1, 3)] {
            bus.add(place, function(1)).unwrap();
        }
        let mut header_type = |place, offset: u8| {
            let mut data = [0; 4];
            let width = if offset == 0x0c { 4 } else { 1 };
            bus.read_config(0, place, offset, &mut data[..width]);
            u32::from_le_bytes(data)
        };
        assert_eq!(header_type(Devfn::new(1, 0), 0x0e), 0x80);
        assert_eq!(header_type(Devfn::new(1, 0), 0x0c), 0x0080_0000);
        assert_eq!(header_type(Devfn::new(1, 0), 0x0d), 0);
        assert_eq!(header_type(Devfn::new(1, 0), 0x0f), 0);
        assert_eq!(header_type(Devfn::new(1, 3), 0x0e), 0);
        assert_eq!(header_type(Devfn::new(0, 0), 0x0e), 0);
    }

    #[test]
    fn resets_every_function_when_machine_is_reset() {
        let mut bus = PciBus::new();
        let places = [Devfn::new(0, 0), Devfn::new(1, 0)];
        for place in places {
            bus.add(place, function(1)).unwrap();
            bus.write_config(0, place, 0x3c, &[5]);
            assert_eq!(read(&mut bus, 0, place, 0x3c), 5);
        }
        bus.reset();
        assert_eq!(places.map(|place| read(&mut bus, 0, place, 0x3c)), [0, 0]);
    }
}
