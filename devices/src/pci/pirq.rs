//! The interrupt pins of PCI functions: to the four inputs PIRQA to PIRQD of the ISA bridge, and
//! from there to ISA interrupts.
//!
//! Which input a pin is wired to depends on its slot, as on QEMU's pc (`pci_slot_get_pirq`,
//! hw/i386/pc_piix.c) and in SeaBIOS (`piix_pci_slot_get_irq`, src/fw/pciinit.c). Which interrupt
//! an input raises is in the registers `PIRQRC` of [`super::isa_bridge`]. An ISA interrupt is high
//! as long as a pin that leads to it is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bus::Devfn;
use crate::irq::LevelLine;

/// How many inputs there are.
pub const PIRQS: usize = 4;
/// ISA interrupts that an input can be routed to: 0 to 15.
pub const ISA_IRQS: usize = 16;
/// The interrupts that firmware routes the inputs to, as SeaBIOS does (`pci_irqs`).
pub const ROUTES: [u8; PIRQS] = [10, 10, 11, 11];
/// A route that leads nowhere.
pub const NO_ROUTE: u8 = 0x80;

/// The input that INTA of a slot is wired to.
pub fn pirq(place: Devfn) -> u8 {
    place.device().wrapping_sub(1) % 4
}

struct Router {
    lines: [Box<dyn LevelLine>; ISA_IRQS],
    routes: [u8; PIRQS],
    /// Input and level of each pin.
    pins: Vec<(u8, bool)>,
    levels: [bool; ISA_IRQS],
}

impl Router {
    fn update(&mut self) {
        let mut levels = [false; ISA_IRQS];
        for (pirq, _) in self.pins.iter().filter(|(_, high)| *high) {
            let route = self.routes.get(usize::from(*pirq)).copied().unwrap_or(NO_ROUTE);
            if route & NO_ROUTE == 0 {
                levels[usize::from(route & 0xf)] = true;
            }
        }
        for ((line, new), old) in self.lines.iter().zip(levels).zip(&mut self.levels) {
            if new != *old {
                line.set(new);
                *old = new;
            }
        }
    }
}

/// The wires between pins and interrupts. Clones share them.
#[derive(Clone)]
pub struct PirqRouter(Arc<Mutex<Router>>);

impl PirqRouter {
    /// Creates a router to ISA interrupts, of which `line` gives the level-triggered line.
    pub fn new(line: impl FnMut(u8) -> Box<dyn LevelLine>) -> Self {
        let mut line = line;
        let lines = std::array::from_fn(|irq| line(u8::try_from(irq).unwrap_or_default()));
        let routes = [NO_ROUTE; PIRQS];
        let router = Router { lines, routes, pins: Vec::new(), levels: [false; ISA_IRQS] };
        Self(Arc::new(Mutex::new(router)))
    }

    /// INTA of the function at `place`.
    pub fn pin(&self, place: Devfn) -> Box<dyn LevelLine> {
        let mut router = self.lock();
        router.pins.push((pirq(place), false));
        Box::new(Pin { router: self.clone(), index: router.pins.len() - 1 })
    }

    /// Routes the inputs: to an interrupt in bits 3:0, or nowhere if bit 7 is set.
    pub(super) fn set_routes(&self, routes: [u8; PIRQS]) {
        let mut router = self.lock();
        if router.routes != routes {
            router.routes = routes;
            router.update();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Router> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PirqRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PirqRouter").field(&self.lock().routes).finish()
    }
}

struct Pin {
    router: PirqRouter,
    index: usize,
}

impl LevelLine for Pin {
    fn set(&self, high: bool) {
        let mut router = self.router.lock();
        if let Some((_, level)) = router.pins.get_mut(self.index)
            && *level != high
        {
            *level = high;
            router.update();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::RecordingLine;

    fn router() -> (PirqRouter, [RecordingLine; ISA_IRQS]) {
        let lines = [(); ISA_IRQS].map(|()| RecordingLine::default());
        let router = PirqRouter::new(|irq| Box::new(lines[usize::from(irq)].clone()));
        (router, lines)
    }

    fn high(lines: &[RecordingLine]) -> Vec<usize> {
        (0..lines.len()).filter(|irq| lines[*irq].is_high()).collect()
    }

    #[test]
    fn slots_take_turns() {
        let pirqs = [1, 2, 3, 4, 5, 31].map(|slot| pirq(Devfn::new(slot, 0)));
        assert_eq!(pirqs, [0, 1, 2, 3, 0, 2]);
    }

    #[test]
    fn an_interrupt_is_high_while_any_of_its_pins_is() {
        let (router, lines) = router();
        let pins = [3, 4].map(|slot| router.pin(Devfn::new(slot, 0)));
        pins[0].set(true);
        assert!(high(&lines).is_empty(), "not routed");
        router.set_routes(ROUTES);
        assert_eq!(high(&lines), [11]);
        pins[1].set(true);
        pins[0].set(false);
        assert_eq!(high(&lines), [11]);
        pins[1].set(false);
        assert!(high(&lines).is_empty());
    }

    #[test]
    fn a_level_follows_the_route() {
        let (router, lines) = router();
        let pin = router.pin(Devfn::new(4, 0));
        router.set_routes(ROUTES);
        pin.set(true);
        router.set_routes([10, 10, 11, 5]);
        assert_eq!(high(&lines), [5]);
        router.set_routes([10, 10, 11, NO_ROUTE]);
        assert!(high(&lines).is_empty());
        router.set_routes([0xff, 10, 11, 0x7f]);
        assert_eq!(high(&lines), [15]);
    }
}
