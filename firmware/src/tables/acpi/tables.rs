//! What is in each table. The machine is "hardware-reduced" (ACPI 6.5, 4.1): no SCI, no PM1 blocks, no FACS.

use acpi_tables::Aml;
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::sdt::Sdt;

use super::{AcpiConfig, OEM_ID, OEM_TABLE_ID, SDT_HEADER};
use crate::layout;

/// IAPC_BOOT_ARCH (ACPI 6.5, table 5.11): no VGA to probe. 8042 (bit 1) is left clear: there is a reset line, but no keyboard;
/// "CMOS RTC not present" (bit 5) too, for there is one.
const VGA_NOT_PRESENT: u16 = 1 << 2;

/// Index of the century in the real-time clock's memory (ACPI 6.5, table 5.9, CENTURY): where every PC has it.
const CMOS_CENTURY: u8 = 0x32;

/// Bytes of the power management timer's register (ACPI 6.5, table 5.9, PM_TMR_LEN).
const PM_TIMER_LENGTH: u8 = 4;

/// The FADT, with the addresses of the DSDT left open.
///
/// A hardware-reduced machine needs no power management timer, and ACPICA does not look at its registers there
/// (`acpi_tb_convert_fadt`, drivers/acpi/acpica/tbfadt.c). Linux's clocksource does all the same (`acpi_parse_fadt`,
/// arch/x86/kernel/acpi/boot.c): it takes the address of X_PM_TMR_BLK if that is in I/O space, and counts 24 bits. TMR_VAL_EXT,
/// "32 bits", is never set. SeaBIOS on QEMU finds its timer without the FADT.
pub(super) fn fadt(config: &AcpiConfig) -> FADT {
    let port =
        |port: u16| GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, port.into());
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, 1)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        // Set means "no fixed-hardware button": the power button is a control-method device in the DSDT.
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        // The clock's alarm has no fixed-hardware wake-up status either.
        .flag(Flags::FixRtc);
    fadt.century = CMOS_CENTURY;
    fadt.iapc_boot_arch = VGA_NOT_PRESENT.into();
    fadt.reset_reg = port(config.reset_port);
    fadt.reset_value = config.reset_value;
    fadt.sleep_control_reg = port(config.sleep_control_port);
    if let Some(pm_timer) = config.pm_timer_port {
        fadt.pm_tmr_blk = u32::from(pm_timer).into();
        fadt.pm_tmr_len = PM_TIMER_LENGTH;
        fadt.x_pm_tmr_blk =
            GAS::new(AddressSpace::SystemIo, 32, 0, AccessSize::DwordAccess, pm_timer.into());
    }
    fadt.sleep_status_reg = port(config.sleep_status_port);
    fadt.hypervisor_vendor_identity = u64::from_le_bytes(*b"CHUKKA\0\0").into();
    fadt.finalize()
}

/// The MADT: one local APIC a CPU, one I/O APIC for global interrupts 0 to 23. ISA interrupts are identity-mapped,
/// the timer's too: KVM leads line 0 to input 0 unless told otherwise (`default_routing`, arch/x86/kvm/irq_comm.c), where QEMU
/// tells it to lead it to input 2 and says so in its MADT.
pub(super) fn madt(config: &AcpiConfig) -> MADT {
    let mut madt =
        MADT::new(OEM_ID, OEM_TABLE_ID, 1, LocalInterruptController::Address(layout::LOCAL_APIC));
    for cpu in 0..config.cpus {
        madt.add_structure(ProcessorLocalApic::new(cpu, cpu, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, layout::IO_APIC, 0));
    madt
}

/// The DSDT: a header and the devices' definitions.
pub(super) fn dsdt(devices: &[&dyn Aml]) -> Vec<u8> {
    let mut aml = Vec::new();
    for device in devices {
        device.to_aml_bytes(&mut aml);
    }
    let mut dsdt = Sdt::new(
        *b"DSDT",
        u32::try_from(SDT_HEADER).unwrap_or_default(),
        6,
        OEM_ID,
        OEM_TABLE_ID,
        1,
    );
    dsdt.append_slice(&aml);
    dsdt.as_slice().to_vec()
}
