//! The devices of the chukka machine, one per file.
//!
//! | device | ports | IRQ | specification |
//! |---|---|---|---|
//! | [`serial`]: COM1 to COM4, 16550A | 0x3f8, 0x2f8, 0x3e8, 0x2e8 (8 each) | 4, 3, 5, 7 | National Semiconductor PC16550D |
//! | [`i8042`]: the reset line | 0x60, 0x64 | – | IBM PS/2 Hardware Interface Technical Reference |
//! | [`cmos`]: real-time clock, memory size | 0x70, 0x71 | – | Motorola MC146818A; QEMU's `pc_cmos_init` |
//! | [`ide_connectors`]: no drives | 0x1f0 to 0x1f7, 0x3f6, 0x170 to 0x177, 0x376 | – | ATA/ATAPI-6 |
//! | [`port92`]: A20, fast reset | 0x92 | – | IBM PS/2 Hardware Interface Technical Reference |
//! | [`debugcon`]: firmware's log | 0x402 or as configured | – | QEMU's `hw/char/debugcon.c` |
//! | [`debug_exit`]: end with a status | 0x501, 0x502 or as configured | – | QEMU's `hw/misc/debugexit.c` |
//! | [`pc_testdev`]: for tests of KVM | 0xe0 to 0xeb, 0x2000 to 0x2017, and memory | any | QEMU's `hw/misc/pc-testdev.c` |
//! | [`acpi_pm`]: power-off, reset, power button | 0x600 to 0x607 | 9 | ACPI 6.5, 4.8.3.6, 4.8.3.7 and 5.6.9 |
//! | [`fw_cfg`](mod@fw_cfg): items that the host passes to the guest | 0x510, 0x511, 0x514 to 0x51b | – | QEMU, hw/nvram/fw_cfg.c |
//! | [`acpi_pm_timer`]: 3.58 MHz counter | 0x608 to 0x60b | – | ACPI 6.5, 4.8.3.3 |
//! | [`reset_control`]: reset | 0xcf9 | – | Intel 82371SB (PIIX3) |
//! | [`pflash`]: firmware and its variables | memory-mapped | – | JEDEC JESD68.01 and JEP137 |
//! | [`virtio`]: disks, CD drives | memory-mapped | – | OASIS virtio 1.2 |
//! | [`scsi`]: CD drives | – | – | SPC-4, SBC-3, MMC-6 |
//! | [`ahci`]: SATA controller | memory-mapped | – | AHCI 1.3.1 |
//! | [`ata`]: its disks and CD drives | – | – | ATA8-ACS |
//! | [`pci`]: configuration, host bridge, ISA bridge | 0xcf8 to 0xcff | – | PCI 3.0; Intel 82441FX and 82371SB |
//!
//! A device implements [`vm_device::MutDevicePio`], so that an `Arc<Mutex<Device>>` can be
//! registered on a `vm_device` bus. Devices do not depend on KVM, threads or file descriptors. They
//! receive what they need through their constructor: an [`irq::IrqLine`] to pulse, an
//! [`exit::ExitHandle`] to end or reset the machine, a [`clock::Clock`] or a
//! [`clock::MonotonicClock`], a [`console::ConsoleSink`] for output.
//!
//! Nothing the guest does makes a device panic, block or allocate: an invalid access reads as all
//! ones or is dropped. Devices listed in the DSDT have a plain description type that implements
//! `acpi_tables::Aml`. Each description is a complete term list for the top level of a definition
//! block, including its own `Scope (\_SB)`.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use devices::exit::{ExitHandle, ExitRequest, ResetSource};
//! use devices::i8042::{self, I8042};
//! use vm_device::bus::{PioAddress, PioRange};
//! use vm_device::device_manager::{IoManager, PioManager};
//!
//! let asked = Arc::new(Mutex::new(Vec::new()));
//! let record = Arc::clone(&asked);
//! let exit = ExitHandle::new(move |request| record.lock().unwrap().push(request));
//!
//! let mut bus = IoManager::new();
//! let device = Arc::new(Mutex::new(I8042::new(exit)));
//! for port in i8042::PORTS {
//!     bus.register_pio(PioRange::new(PioAddress(port), 1).unwrap(), device.clone()).unwrap();
//! }
//! bus.pio_write(PioAddress(0x64), &[0xfe]).unwrap();
//!
//! assert_eq!(*asked.lock().unwrap(), [ExitRequest::Reset(ResetSource::I8042)]);
//! ```

#![forbid(unsafe_code)]

pub mod acpi_pm;
pub mod acpi_pm_timer;
pub mod ahci;
pub mod ata;
pub mod boot_order;
pub mod buffers;
mod calendar;
pub mod clock;
pub mod cmos;
pub mod console;
pub mod counter;
pub mod debug_exit;
pub mod debugcon;
pub mod device;
pub mod disk;
pub mod exit;
pub mod fw_cfg;
pub mod i6300esb;
pub mod i8042;
pub mod ide_connectors;
pub mod irq;
pub mod kernel_problem;
pub mod panic_watch;
pub mod pc_testdev;
pub mod pci;
pub mod pflash;
pub mod piix4_pm;
mod pio;
pub mod port92;
pub mod pvpanic;
pub mod reset_control;
pub mod scsi;
pub mod serial;
pub mod virtio;
