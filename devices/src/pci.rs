//! PCI: a host bridge, an ISA bridge, and what functions on the bus need.
//!
//! ```text
//! ports 0xcf8 to 0xcff ─► PciConfigPorts ─► PciBus ─► 00:00.0 host_bridge (Intel 440FX)
//!                            │                    ├─► 00:01.0 isa_bridge  (PIIX3)
//!                            └─► ResetControl     └─► whatever implements PciFunction
//!                                 (0xcf9)
//! ```
//!
//! | module | |
//! |---|---|
//! | [`config`] | configuration mechanism 1: the ports |
//! | [`bus`] | which function answers |
//! | [`function`] | what a function is: 256 bytes, some of them writable |
//! | [`host_bridge`], [`isa_bridge`] | the two bridges of the machine `pc` |
//! | [`bar`] | registers in memory, where the guest places them |
//! | [`bar_space`] | the configuration space of a function with such registers |
//! | [`msi`], [`msix`] | interrupts by messages |
//! | [`pirq`] | interrupts by pins |
//! | [`description`], [`interrupt_links`] | the host bridge and the interrupt pins in the DSDT |
//!
//! There is one bus. A function with BARs tells a [`bar::BarDecoder`] where the guest has placed
//! them, and answers accesses to them through [`bar::MemoryBars`].
//!
//! Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism 1) and 6.1 (the header of type 0).

pub mod bar;
pub mod bar_space;
pub mod bus;
pub mod config;
pub mod description;
pub mod function;
pub mod host_bridge;
pub mod interrupt_links;
pub mod isa_bridge;
pub mod msi;
pub mod msix;
pub mod pirq;
