//! The contents of each table.

use acpi_tables::Aml;
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::sdt::Sdt;

use super::{AcpiConfig, FixedHardware, OEM_ID, OEM_TABLE_ID, PowerManagement, SDT_HEADER};
use crate::layout;

/// IAPC_BOOT_ARCH (ACPI 6.5, table 5.11): no VGA to probe. The 8042 flag (bit 1) is clear, because
/// there is a reset line but no keyboard. "CMOS RTC not present" (bit 5) is clear, because there is
/// an RTC.
const VGA_NOT_PRESENT: u16 = 1 << 2;

/// Index of the century in the real-time clock's memory (ACPI 6.5, table 5.9, CENTURY), as on every
/// PC.
const CMOS_CENTURY: u8 = 0x32;

/// Size of the power management timer's register in bytes (ACPI 6.5, table 5.9, PM_TMR_LEN).
const PM_TIMER_LENGTH: u8 = 4;

/// Size of the PM1 event block in bytes: two 16-bit registers (ACPI 6.5, table 5.9, PM1_EVT_LEN).
const PM1_EVENT_LENGTH: u8 = 4;
/// Size of the PM1 control block in bytes (ACPI 6.5, table 5.9, PM1_CNT_LEN).
const PM1_CONTROL_LENGTH: u8 = 2;

/// Offset of a table's length, 32 bits (ACPI 6.5, table 5.4).
const SDT_LENGTH: usize = 4;
/// Offset of the MADT's flags, 32 bits (ACPI 6.5, table 5.19).
const MADT_FLAGS: usize = 40;
/// MADT flag: the machine has two 8259s as well (ACPI 6.5, table 5.20).
const PCAT_COMPAT: u8 = 1 << 0;
/// MPS INTI flags: active high, level-triggered (ACPI 6.5, table 5.27).
const LEVEL_ACTIVE_HIGH: u16 = 0b11_01;

/// The FADT, without the addresses of the DSDT.
///
/// A hardware-reduced machine needs no power management timer, and ACPICA ignores its registers
/// there (`acpi_tb_convert_fadt`, drivers/acpi/acpica/tbfadt.c). But Linux's clocksource uses it
/// anyway (`acpi_parse_fadt`, arch/x86/kernel/acpi/boot.c): it takes the address of X_PM_TMR_BLK if
/// that is in I/O space, and uses 24 bits. TMR_VAL_EXT, "32 bits", is never set. SeaBIOS on QEMU
/// finds its timer without the FADT.
pub(super) fn fadt(config: &AcpiConfig) -> FADT {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, 1)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        // Set means "no fixed-hardware button".
        .flag(Flags::SlpButton)
        // The clock's alarm has no fixed-hardware wake-up status.
        .flag(Flags::FixRtc);
    fadt.century = CMOS_CENTURY;
    fadt.iapc_boot_arch = VGA_NOT_PRESENT.into();
    fadt.reset_reg = io_register(config.reset_port, 8);
    fadt.reset_value = config.reset_value;
    match config.power {
        PowerManagement::HardwareReduced { sleep_control_port, sleep_status_port } => {
            // The power button is a control-method device in the DSDT.
            fadt = fadt.flag(Flags::HwReducedAcpi).flag(Flags::PwrButton);
            fadt.sleep_control_reg = io_register(sleep_control_port, 8);
            fadt.sleep_status_reg = io_register(sleep_status_port, 8);
        }
        PowerManagement::Fixed(hardware) => set_fixed_hardware(&mut fadt, &hardware),
    }
    if let Some(pm_timer) = config.pm_timer_port {
        fadt.pm_tmr_blk = u32::from(pm_timer).into();
        fadt.pm_tmr_len = PM_TIMER_LENGTH;
        fadt.x_pm_tmr_blk = io_register(pm_timer, 32);
    }
    fadt.hypervisor_vendor_identity = u64::from_le_bytes(*b"CHUKKA\0\0").into();
    fadt.finalize()
}

/// Sets the registers of a PC, in both the 32-bit and the 64-bit fields.
fn set_fixed_hardware(fadt: &mut FADTBuilder, hardware: &FixedHardware) {
    fadt.sci_int = u16::from(hardware.sci).into();
    fadt.smi_cmd = u32::from(hardware.command_port).into();
    fadt.acpi_enable = hardware.enable;
    fadt.acpi_disable = hardware.disable;
    fadt.pm1a_evt_blk = u32::from(hardware.event_port).into();
    fadt.pm1_evt_len = PM1_EVENT_LENGTH;
    fadt.x_pm1a_evt_blk = io_register(hardware.event_port, 8 * PM1_EVENT_LENGTH);
    fadt.pm1a_cnt_blk = u32::from(hardware.control_port).into();
    fadt.pm1_cnt_len = PM1_CONTROL_LENGTH;
    fadt.x_pm1a_cnt_blk = io_register(hardware.control_port, 8 * PM1_CONTROL_LENGTH);
    // Latencies above 100 and 1000 us mean that C2 and C3 are not supported.
    fadt.p_lvl2_lat = 0xfff.into();
    fadt.p_lvl3_lat = 0xfff.into();
}

/// A register in I/O space, `bits` wide, accessed with the widest port access that fits.
fn io_register(port: u16, bits: u8) -> GAS {
    let access = match bits {
        8 => AccessSize::ByteAccess,
        16 => AccessSize::WordAccess,
        _ => AccessSize::DwordAccess,
    };
    GAS::new(AddressSpace::SystemIo, bits, 0, access, port.into())
}

/// The MADT: one local APIC per CPU and one I/O APIC for global interrupts 0 to 23. ISA interrupts
/// are identity-mapped, including the timer's: by default KVM routes line 0 to input 0
/// (`default_routing`, arch/x86/kvm/irq_comm.c), whereas QEMU routes it to input 2 and reports that
/// in its MADT.
///
/// On a machine with fixed hardware, the MADT also reports the 8259s, and declares the SCI
/// level-triggered and active high: ISA interrupts are assumed to be edge-triggered otherwise.
pub(super) fn madt(config: &AcpiConfig) -> Vec<u8> {
    let mut madt =
        MADT::new(OEM_ID, OEM_TABLE_ID, 1, LocalInterruptController::Address(layout::LOCAL_APIC));
    for cpu in 0..config.cpus {
        madt.add_structure(ProcessorLocalApic::new(cpu, cpu, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, layout::IO_APIC, 0));
    let mut table = super::bytes(&madt);
    if let PowerManagement::Fixed(hardware) = config.power {
        table.extend(source_override(hardware.sci, LEVEL_ACTIVE_HIGH));
        let length = u32::try_from(table.len()).unwrap_or(u32::MAX);
        table[SDT_LENGTH..SDT_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        table[MADT_FLAGS] |= PCAT_COMPAT;
    }
    table
}

/// An interrupt source override: maps ISA interrupt `irq` to global interrupt `irq` with these MPS
/// INTI flags (ACPI 6.5, table 5.26).
fn source_override(irq: u8, flags: u16) -> Vec<u8> {
    let (kind, length, isa_bus) = (2, 10, 0);
    let [low, high] = flags.to_le_bytes();
    vec![kind, length, isa_bus, irq, irq, 0, 0, 0, low, high]
}

/// The DSDT: a header and the definitions of the devices.
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
