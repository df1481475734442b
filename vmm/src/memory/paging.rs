//! How the host's KVM translates guest addresses.

use std::path::Path;

/// Whether the processor translates guest addresses in hardware (EPT or NPT), according to the
/// parameters of KVM's modules. If not, KVM shadows the guest's page tables, and each new page
/// costs a page fault of tens of microseconds.
pub(super) fn is_two_dimensional() -> bool {
    let on = |parameter: &str| {
        let text = std::fs::read_to_string(Path::new("/sys/module").join(parameter));
        text.is_ok_and(|text| matches!(text.trim(), "Y" | "1"))
    };
    on("kvm_intel/parameters/ept") || on("kvm_amd/parameters/npt")
}
