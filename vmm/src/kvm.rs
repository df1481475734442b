//! /dev/kvm and the VM: what has to be there, and how it is set up.
#![expect(unsafe_code, reason = "KVM_SET_USER_MEMORY_REGION hands the kernel host addresses")]

pub mod cpuid;
mod snapshot;
pub mod vcpu;
pub mod vcpu_state;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use firmware::layout;
use guest_memory::hint::Hint;
use kvm_bindings::{
    KVM_MEM_READONLY, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, VmFd};
use thiserror::Error;

use crate::memory::Ram;
use crate::memory::rom::Rom;

/// The capabilities chukka cannot do without, with the names of Documentation/virt/kvm/api.rst.
const NEEDED: [(Cap, &str); 7] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::SetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
    (Cap::Pit2, "KVM_CAP_PIT2"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
];

/// Why KVM cannot run a guest.
#[derive(Debug, Error)]
pub enum KvmError {
    /// The device cannot be opened.
    #[error("Cannot open {}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The device is not KVM, or has another API version.
    #[error("{} is not a KVM device: its API version is {found}, expected 12", path.display())]
    Version {
        /// The device.
        path: PathBuf,
        /// What KVM_GET_API_VERSION said.
        found: i32,
    },
    /// The host's KVM lacks a capability.
    #[error("The host's KVM lacks {0}, which chukka needs")]
    Capability(&'static str),
    /// More CPUs than KVM supports.
    #[error("{asked} CPUs requested; the host's KVM supports at most {limit}")]
    Cpus {
        /// CPUs asked for.
        asked: u8,
        /// The most that KVM supports.
        limit: usize,
    },
    /// An ioctl failed.
    #[error("{ioctl} failed")]
    Ioctl {
        /// Its name.
        ioctl: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl KvmError {
    /// The error of a failed ioctl.
    pub(crate) fn ioctl(ioctl: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |error| Self::Ioctl { ioctl, source: io::Error::from_raw_os_error(error.errno()) }
    }
}

impl Hint for KvmError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Open { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied => format!(
                    "add yourself to the group of {}: sudo usermod -aG kvm $USER, and log in again",
                    path.display()
                )
                .into(),
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
            Self::Ioctl { .. } => "see dmesg on the host".into(),
        })
    }
}

/// Opens the KVM device and checks that it can do what a machine of `cpus` CPUs needs.
///
/// # Errors
/// [`KvmError`]: no device, no permission, not KVM, or a KVM that lacks something.
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

/// Makes a VM with in-kernel interrupt controllers and PIT, `ram` as its memory and `rom`, if any,
/// at the top of 4 GiB.
///
/// # Errors
/// [`KvmError::Ioctl`]: the host's KVM refused a step.
pub fn create_vm(kvm: &Kvm, ram: &Ram, rom: Option<&Rom>) -> Result<VmFd, KvmError> {
    // KVM_CREATE_VM gives up with EINTR when a signal is pending (virt/kvm/kvm_main.c); one more
    // try is all it needs.
    let vm = loop {
        match kvm.create_vm() {
            Err(e) if e.errno() == libc::EINTR => {}
            other => break other.map_err(KvmError::ioctl("KVM_CREATE_VM"))?,
        }
    };
    // Memory comes first: once the interrupt controllers are there, KVM waits several milliseconds
    // for readers of the old memslots, which do not exist yet (docs/performance.md). Without
    // read-only memory a ROM can be written to by the guest until it is reset.
    let rom_flags = if kvm.check_extension(Cap::ReadonlyMem) { KVM_MEM_READONLY } else { 0 };
    let ram = ram.slots().map(|slot| (slot, 0));
    let slots = ram.chain(rom.map(|rom| (rom.slot(), rom_flags)));
    for (slot, ((guest_phys_addr, memory_size, userspace_addr), flags)) in (0..).zip(slots) {
        let region = kvm_userspace_memory_region {
            slot,
            guest_phys_addr,
            memory_size,
            userspace_addr,
            flags,
        };
        // SAFETY: the range is guest memory or ROM that stays mapped as long as the process lives,
        // and nothing else is in it.
        unsafe { vm.set_user_memory_region(region) }
            .map_err(KvmError::ioctl("KVM_SET_USER_MEMORY_REGION"))?;
    }
    vm.set_identity_map_address(layout::KVM_IDENTITY_MAP)
        .map_err(KvmError::ioctl("KVM_SET_IDENTITY_MAP_ADDR"))?;
    let tss = usize::try_from(layout::KVM_TSS).unwrap_or_default();
    vm.set_tss_address(tss).map_err(KvmError::ioctl("KVM_SET_TSS_ADDR"))?;
    vm.create_irq_chip().map_err(KvmError::ioctl("KVM_CREATE_IRQCHIP"))?;
    // With the dummy speaker KVM answers port 0x61 too, where a guest without another clock counts
    // the PIT's channel 2.
    let pit = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
    vm.create_pit2(pit).map_err(KvmError::ioctl("KVM_CREATE_PIT2"))?;
    Ok(vm)
}
