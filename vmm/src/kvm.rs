//! /dev/kvm and the VM: required capabilities and setup.
#![expect(
    unsafe_code,
    reason = "KVM_SET_USER_MEMORY_REGION hands the kernel host addresses; KVM_REINJECT_CONTROL is not in kvm-ioctls"
)]

mod apic_timer;
pub mod coalesced;
pub mod core_registers;
pub mod cpuid;
pub mod examine;
pub mod exit_log;
mod port_names;
mod snapshot;
pub mod vcpu;
pub mod vcpu_state;
mod xsave_leaf;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use firmware::layout;
use guest_memory::hint::Hint;
use kvm_bindings::{
    KVM_CAP_SET_GUEST_DEBUG2, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_MEM_READONLY,
    KVM_PIT_SPEAKER_DUMMY, kvm_irqchip, kvm_pit_config, kvm_reinject_control,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, VmFd};
use thiserror::Error;
use vmm_sys_util::ioctl::ioctl_with_ref;

use crate::config::LostTicks;
use crate::kvm::coalesced::CoalescedPort;
use crate::memory::Ram;
use crate::memory::rom::Rom;

/// The capabilities chukka requires, by their names in Documentation/virt/kvm/api.rst.
const NEEDED: [(Cap, &str); 8] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::SetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
    (Cap::Pit2, "KVM_CAP_PIT2"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
    (Cap::SignalMsi, "KVM_CAP_SIGNAL_MSI"),
];

/// Why KVM cannot run a guest.
#[derive(Debug, Error)]
pub enum KvmError {
    /// The device cannot be opened.
    #[error("Cannot open {}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The device is not KVM, or has another API version.
    #[error("{} is not a KVM device: its API version is {found}, expected 12", path.display())]
    Version {
        /// The device.
        path: PathBuf,
        /// The value KVM_GET_API_VERSION returned.
        found: i32,
    },
    /// The host's KVM lacks a required capability.
    #[error("The host's KVM lacks {0}, which chukka needs")]
    Capability(&'static str),
    /// More vCPUs requested than KVM supports.
    #[error("{asked} CPUs requested; the host's KVM supports at most {limit}")]
    Cpus {
        /// Number of vCPUs requested.
        asked: u8,
        /// Maximum number of vCPUs KVM supports.
        limit: usize,
    },
    /// The host lacks something that the user requested with `enforce`.
    #[error("{given}: {found}, and enforce requires it")]
    Enforced {
        /// What was requested.
        given: String,
        /// What the host has.
        found: String,
    },
    /// An ioctl failed.
    #[error("{ioctl} failed")]
    Ioctl {
        /// Its name.
        ioctl: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
}

impl KvmError {
    /// Creates the error for a failed ioctl.
    pub(crate) fn ioctl(ioctl: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |error| Self::Ioctl { ioctl, source: io::Error::from_raw_os_error(error.errno()) }
    }
}

impl Hint for KvmError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Open { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied => permission_hint(path).into(),
                io::ErrorKind::NotFound => "load KVM (sudo modprobe kvm_intel or kvm_amd), enable \
                     VT-x or AMD-V in the host's firmware, or, inside a VM, nested virtualization \
                     in its host"
                    .into(),
                _ => "check that KVM is loaded (sudo modprobe kvm_intel or kvm_amd) and see dmesg"
                    .into(),
            },
            Self::Version { .. } => "name the KVM device, usually /dev/kvm".into(),
            Self::Capability(_) => {
                "use a newer host kernel, with KVM built in or as a module".into()
            }
            Self::Cpus { limit, .. } => format!("use -smp {limit} or fewer").into(),
            Self::Enforced { .. } => {
                "without enforce, the guest starts without it, and chukka warns".into()
            }
            Self::Ioctl { .. } => "see dmesg on the host".into(),
        })
    }
}

/// Suggests how to get access to a device the user may not open, based on its mode and group.
fn permission_hint(path: &Path) -> String {
    let shown = path.display();
    let Ok(file) = fs::metadata(path) else {
        return format!("check the permissions of {shown}: ls -l {shown}");
    };
    let mode = file.mode() & 0o777;
    match group_name(file.gid()) {
        Some(group) if mode & 0o060 == 0o060 && file.gid() != 0 => format!(
            "{shown} is open to the group {group}: sudo usermod -aG {group} $USER, and log in again"
        ),
        _ => format!(
            "{shown} has mode {mode:04o} and is closed to you: sudo chown root:kvm {shown}; sudo chmod \
             0660 {shown}; sudo usermod -aG kvm $USER, and log in again"
        ),
    }
}

/// The name of a group according to /etc/group (group(5)).
fn group_name(gid: u32) -> Option<String> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    });
    // A group without a name can still be referred to by its number.
    Some(name.unwrap_or_else(|| gid.to_string()))
}

/// Opens the KVM device and checks that it supports a machine with `cpus` vCPUs.
///
/// # Errors
/// [`KvmError`]: no device, no permission, not KVM, or a missing capability.
pub fn open(path: &Path, cpus: u8) -> Result<Kvm, KvmError> {
    let open_error = |source| KvmError::Open { path: path.into(), source };
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|e| open_error(e.into()))?;
    let kvm = Kvm::new_with_path(&name)
        .map_err(|e| open_error(io::Error::from_raw_os_error(e.errno())))?;
    let found = kvm.get_api_version();
    if found != kvm_bindings::KVM_API_VERSION.cast_signed() {
        return Err(KvmError::Version { path: path.into(), found });
    }
    if let Some((_, name)) = NEEDED.into_iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
        return Err(KvmError::Capability(name));
    }
    let limit = kvm.get_max_vcpus();
    if usize::from(cpus) > limit {
        return Err(KvmError::Cpus { asked: cpus, limit });
    }
    Ok(kvm)
}

/// Creates a VM with in-kernel interrupt controllers and PIT, with `ram` as its memory and `roms`
/// just below 4 GiB. The slots of RAM come first, so the first ROM has the slot number
/// [`first_rom_slot`]. Writes to the ports `coalesced` are, which KVM must support.
///
/// # Errors
/// [`KvmError::Ioctl`] if the host's KVM refused a step.
pub fn create_vm<'a>(
    kvm: &Kvm,
    ram: &Ram,
    roms: impl Iterator<Item = &'a Rom>,
    lost_ticks: LostTicks,
    coalesced: &[CoalescedPort],
) -> Result<VmFd, KvmError> {
    // KVM_CREATE_VM fails with EINTR if a signal is pending (virt/kvm/kvm_main.c), so retry once.
    let vm = loop {
        match kvm.create_vm() {
            Err(e) if e.errno() == libc::EINTR => {}
            other => break other.map_err(KvmError::ioctl("KVM_CREATE_VM"))?,
        }
    };
    // Set up memory first: once the interrupt controllers exist, KVM waits several milliseconds for
    // readers of the old memslots, of which there are none yet (docs/performance.md). Without
    // KVM_CAP_READONLY_MEM, the guest can overwrite a ROM until the next reset.
    let rom_flags = if has_read_only_memory(kvm) { KVM_MEM_READONLY } else { 0 };
    let ram = ram.slots().map(|slot| (slot, 0));
    let slots = ram.chain(roms.map(|rom| (rom.slot(), rom_flags)));
    for (slot, (place, flags)) in (0..).zip(slots) {
        set_slot(&vm, slot, place, flags)?;
    }
    coalesced::register(&vm, coalesced);
    vm.set_identity_map_address(layout::KVM_IDENTITY_MAP)
        .map_err(KvmError::ioctl("KVM_SET_IDENTITY_MAP_ADDR"))?;
    let tss = usize::try_from(layout::KVM_TSS).unwrap_or_default();
    vm.set_tss_address(tss).map_err(KvmError::ioctl("KVM_SET_TSS_ADDR"))?;
    vm.create_irq_chip().map_err(KvmError::ioctl("KVM_CREATE_IRQCHIP"))?;
    set_up_pics(&vm)?;
    // With the dummy speaker, KVM also handles port 0x61, through which guests without another
    // clock count the PIT's channel 2.
    let pit = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
    vm.create_pit2(pit).map_err(KvmError::ioctl("KVM_CREATE_PIT2"))?;
    if lost_ticks == LostTicks::Discard {
        discard_lost_ticks(&vm)?;
    }
    Ok(vm)
}

/// The slot number of the first ROM of [`create_vm`].
pub fn first_rom_slot(ram: &Ram) -> u32 {
    u32::try_from(ram.slots().count()).unwrap_or(u32::MAX)
}

/// Whether the guest's writes to ROM leave KVM_RUN, which flash chips need (KVM_CAP_READONLY_MEM).
pub fn has_read_only_memory(kvm: &Kvm) -> bool {
    kvm.check_extension(Cap::ReadonlyMem)
}

/// The flags of KVM_SET_GUEST_DEBUG that the host's KVM knows (KVM_CAP_SET_GUEST_DEBUG2, Linux
/// 5.13).
///
/// # Errors
/// The host's KVM does not have KVM_SET_GUEST_DEBUG.
pub fn debug_flags(kvm: &Kvm) -> Result<u32, KvmError> {
    if !kvm.check_extension(Cap::SetGuestDebug) {
        return Err(KvmError::Capability("KVM_CAP_SET_GUEST_DEBUG"));
    }
    let flags = kvm.check_extension_raw(KVM_CAP_SET_GUEST_DEBUG2.into());
    Ok(u32::try_from(flags).unwrap_or_default())
}

/// Shows a ROM in the guest's memory, or hides it, so that reads leave KVM_RUN too. `slot` is its
/// slot number from [`create_vm`].
///
/// # Errors
/// [`KvmError::Ioctl`] if the host's KVM refused.
pub fn show_rom(vm: &VmFd, slot: u32, rom: &Rom, shown: bool) -> Result<(), KvmError> {
    let (address, size, host) = rom.slot();
    // A size of 0 deletes the slot.
    set_slot(vm, slot, (address, if shown { size } else { 0 }, host), KVM_MEM_READONLY)
}

/// Sets a memory slot: guest-physical address, size in bytes and host address, of a [`Ram`] or a
/// [`Rom`].
fn set_slot(
    vm: &VmFd,
    slot: u32,
    (guest_phys_addr, memory_size, userspace_addr): (u64, u64, u64),
    flags: u32,
) -> Result<(), KvmError> {
    let region =
        kvm_userspace_memory_region { slot, guest_phys_addr, memory_size, userspace_addr, flags };
    // SAFETY: the range is guest memory or ROM that stays mapped for the lifetime of the process
    // and contains nothing else.
    unsafe { vm.set_user_memory_region(region) }
        .map_err(KvmError::ioctl("KVM_SET_USER_MEMORY_REGION"))
}

/// `_IO(KVMIO, 0x71)` (include/uapi/linux/kvm.h).
const KVM_REINJECT_CONTROL: libc::c_ulong = 0xae71;

/// Makes the PIT's interrupts get lost if the guest does not take them in time.
fn discard_lost_ticks(vm: &VmFd) -> Result<(), KvmError> {
    let control = kvm_reinject_control { pit_reinject: 0, ..Default::default() };
    // SAFETY: the ioctl only reads the structure that it is given.
    let result = unsafe { ioctl_with_ref(vm, KVM_REINJECT_CONTROL, &control) };
    if result == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    Err(KvmError::Ioctl { ioctl: "KVM_REINJECT_CONTROL", source })
}

/// The master 8259, with the vector base and mask that a PC's firmware sets: IRQ 0 is vector 8, and
/// only the cascade is unmasked (`pic_setup` in SeaBIOS's src/hw/pic.c).
const PRIMARY_PIC: (u32, u8, u8) = (KVM_IRQCHIP_PIC_MASTER, 0x08, 0xfb);
/// The slave 8259: IRQ 8 is vector 0x70, and all lines are masked.
const SECONDARY_PIC: (u32, u8, u8) = (KVM_IRQCHIP_PIC_SLAVE, 0x70, 0xff);

/// The slave 8259's interrupts of PCI functions, 10 and 11, which are level-triggered. A kernel
/// that uses neither ACPI nor the I/O APIC relies on the firmware for that (`piix_isa_bridge_setup`
/// in SeaBIOS's src/fw/pciinit.c).
const LEVEL_TRIGGERED: u8 = 1 << 2 | 1 << 3;

/// Initializes the two 8259s as a PC's firmware does.
///
/// KVM starts them unmasked with vector base 0. The boot CPU's LINT0 forwards their interrupts
/// (ExtINT), so a kernel that enables interrupts without initializing the 8259s would receive IRQ 4
/// as exception 4.
fn set_up_pics(vm: &VmFd) -> Result<(), KvmError> {
    for (chip_id, vector_base, mask) in [PRIMARY_PIC, SECONDARY_PIC] {
        let mut chip = kvm_irqchip { chip_id, ..Default::default() };
        vm.get_irqchip(&mut chip).map_err(KvmError::ioctl("KVM_GET_IRQCHIP"))?;
        // SAFETY: for these two chip IDs KVM has initialized `pic`, and any bit pattern is a valid
        // integer.
        let pic = unsafe { &mut chip.chip.pic };
        (pic.irq_base, pic.imr) = (vector_base, mask);
        if chip_id == KVM_IRQCHIP_PIC_SLAVE {
            pic.elcr = LEVEL_TRIGGERED;
        }
        vm.set_irqchip(&chip).map_err(KvmError::ioctl("KVM_SET_IRQCHIP"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use firmware::MemoryMap;
    use kvm_bindings::KVM_CAP_READONLY_MEM;

    use super::*;
    use crate::config::MapInitrd;
    use crate::tests::Guest;

    #[test]
    fn each_reason_why_kvm_cannot_be_opened_has_its_hint() {
        let hint = |kind: io::ErrorKind| {
            let error = KvmError::Open { path: "/dev/no-kvm".into(), source: kind.into() };
            error.hint().unwrap().into_owned()
        };
        assert!(hint(io::ErrorKind::NotFound).starts_with("load KVM"));
        assert!(hint(io::ErrorKind::PermissionDenied).starts_with("check the permissions"));
        assert!(hint(io::ErrorKind::Other).starts_with("check that KVM is loaded"));
    }

    #[test]
    fn a_device_that_is_closed_to_the_user_says_how_to_open_it() {
        let path = std::env::temp_dir().join(format!("chukka-kvm-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let hint = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            permission_hint(&path)
        };
        let closed = hint(0o600);
        assert!(closed.contains("has mode 0600 and is closed to you"), "{closed}");
        // Only root can give the file to another group.
        if chown(&path, None, Some(4_000_000_000)).is_ok() {
            let open = hint(0o660);
            assert!(open.contains("is open to the group 4000000000: sudo usermod"), "{open}");
            for mode in [0o640, 0o620, 0o606] {
                assert!(hint(mode).contains("is closed to you"), "{mode:o}");
            }
            chown(&path, None, Some(0)).unwrap();
            assert!(hint(0o660).contains("is closed to you"), "nobody should join root's group");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(group_name(0).as_deref(), Some("root"));
    }

    #[test]
    fn a_vm_has_ram_then_roms_in_its_slots_and_pics_as_firmware_leaves_them() {
        let Some(guest) = Guest::new(&[]) else { return };
        assert_eq!(first_rom_slot(&guest.ram), 1);
        // RAM goes on above the addresses of devices. The host may have less.
        if let Ok(ram) = Ram::new(&MemoryMap::new((3 << 30) + 4096), MapInitrd::Off) {
            assert_eq!(first_rom_slot(&ram), 2);
        }
        let pic = |chip_id| {
            let mut chip = kvm_irqchip { chip_id, ..Default::default() };
            guest.vm.get_irqchip(&mut chip).unwrap();
            // SAFETY: for these two chips KVM has filled in `pic`.
            let pic = unsafe { chip.chip.pic };
            (pic.irq_base, pic.imr, pic.elcr)
        };
        assert_eq!(pic(KVM_IRQCHIP_PIC_MASTER), (8, 0xfb, 0));
        // IRQ 10 and 11 are bits 2 and 3.
        assert_eq!(pic(KVM_IRQCHIP_PIC_SLAVE), (0x70, 0xff, 0b1100));
    }

    #[test]
    fn a_rom_follows_ram_and_can_be_hidden() {
        let Ok(kvm) = open(Path::new("/dev/kvm"), 1) else { return };
        let ram = Ram::new(&MemoryMap::new(1 << 20), MapInitrd::Off).unwrap();
        let rom = Rom::new(0xffff_0000, 0x1_0000).unwrap();
        let vm = create_vm(&kvm, &ram, [&rom].into_iter(), LostTicks::Delay, &[]).unwrap();
        let slot = first_rom_slot(&ram);
        // KVM refuses to change the place of a slot that it has, and to delete one that it has not.
        assert!(show_rom(&vm, slot, &rom, false).is_ok());
        assert!(show_rom(&vm, slot, &rom, false).is_err());
        assert!(show_rom(&vm, slot, &rom, true).is_ok());
    }

    #[test]
    fn without_a_pit_its_ticks_cannot_be_discarded() {
        let Ok(kvm) = Kvm::new() else { return };
        let vm = kvm.create_vm().unwrap();
        let error = discard_lost_ticks(&vm).unwrap_err();
        assert_eq!(error.to_string(), "KVM_REINJECT_CONTROL failed");
    }

    /// Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG and KVM_CAP_SET_GUEST_DEBUG2.
    #[test]
    fn what_the_hosts_kvm_can_do_is_asked_of_it() {
        let Ok(kvm) = Kvm::new() else { return };
        let flags = kvm.check_extension_raw(KVM_CAP_SET_GUEST_DEBUG2.into());
        assert_eq!(debug_flags(&kvm).ok(), u32::try_from(flags).ok());
        let found = kvm.check_extension_raw(KVM_CAP_READONLY_MEM.into()) > 0;
        assert_eq!(has_read_only_memory(&kvm), found);
        let limit = kvm.get_max_vcpus();
        assert_eq!(open(Path::new("/dev/kvm"), u8::MAX).is_ok(), limit >= u8::MAX.into());
        let error = open(Path::new("/dev/null"), 1).unwrap_err();
        assert!(error.to_string().starts_with("/dev/null is not a KVM device"), "{error}");
        assert!(matches!(open(Path::new("/dev/no-kvm"), 1), Err(KvmError::Open { .. })));
    }
}
