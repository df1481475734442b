//! PCI: a host bridge, an ISA bridge, and access to their configuration space.
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
//! | [`host_bridge`], [`isa_bridge`] | the two functions of the machine `pc` |
//! | [`description`] | the host bridge in the DSDT |
//!
//! There is one bus, and no PCI interrupt is routed. A device with BARs stores them in its
//! [`function::ConfigSpace`], whose write masks implement the BAR sizing protocol, and checks in
//! its `write_config` where the guest has placed them.
//!
//! Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism 1) and 6.1 (the header of type 0).

pub mod bus;
pub mod config;
pub mod description;
pub mod function;
pub mod host_bridge;
pub mod isa_bridge;
