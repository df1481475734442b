//! Hosts without a usable KVM.

use chukka_tests::native::image::BzImage;
use chukka_tests::native::{self, Confinement, Mount, Scratch, Start};

/// Numbers of capabilities (include/uapi/linux/kvm.h).
const NR_VCPUS: u32 = 9;
const MAX_VCPUS: u32 = 66;
/// Those that chukka cannot do without.
const NEEDED: [(u32, &str); 7] = [
    (0, "KVM_CAP_IRQCHIP"),
    (3, "KVM_CAP_USER_MEMORY"),
    (4, "KVM_CAP_SET_TSS_ADDR"),
    (7, "KVM_CAP_EXT_CPUID"),
    (14, "KVM_CAP_MP_STATE"),
    (33, "KVM_CAP_PIT2"),
    (37, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
];

fn kernel(scratch: &Scratch) -> Start {
    Start::kernel(&scratch.file("kernel", &BzImage::default().file()))
}

#[test]
fn a_missing_kvm_device_is_reported_with_a_remedy() {
    let host = Confinement { mount: Some(Mount::EmptyDev), ..Confinement::default() };
    if !host.possible() {
        return;
    }
    let scratch = Scratch::new();
    kernel(&scratch)
        .confined(host)
        .refused()
        .says("Cannot open /dev/kvm: No such file or directory")
        .hints("modprobe kvm_intel or kvm_amd");
}

#[test]
fn no_permission_on_the_kvm_device_is_reported_with_the_group() {
    let scratch = Scratch::new();
    let locked = Mount::Kvm(scratch.file_with_mode("locked", b"", 0o000));
    let host = Confinement { nobody: true, mount: Some(locked), ..Confinement::default() };
    if !native::kvm() || !host.possible() {
        return;
    }
    kernel(&scratch)
        .confined(host)
        .refused()
        .says("Cannot open /dev/kvm: Permission denied")
        .hints("sudo usermod -aG kvm $USER");
}

#[test]
fn a_kvm_device_that_is_none_is_told() {
    let mount = Some(Mount::Kvm("/dev/null".into()));
    let host = Confinement { mount, ..Confinement::default() };
    if !native::kvm() || !host.possible() {
        return;
    }
    kernel(&Scratch::new()).confined(host).refused().says("/dev/kvm is not a KVM device");
}

#[test]
fn a_missing_capability_is_named() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    for (number, name) in NEEDED {
        let without_capabilities = vec![number];
        kernel(&scratch)
            .confined(Confinement { without_capabilities, ..Confinement::default() })
            .refused()
            .says(&format!("The host's KVM lacks {name}, which chukka needs"))
            .hints("newer host kernel");
    }
}

#[test]
fn more_cpus_than_the_host_s_kvm_gives_are_told_with_its_limit() {
    if !native::kvm() {
        return;
    }
    // Without both, 4 CPUs are what KVM promises (Documentation/virt/kvm/api.rst, KVM_CREATE_VCPU).
    let without_capabilities = vec![NR_VCPUS, MAX_VCPUS];
    kernel(&Scratch::new())
        .confined(Confinement { without_capabilities, ..Confinement::default() })
        .args(["-smp", "5"])
        .refused()
        .says("5 CPUs requested; the host's KVM supports at most 4")
        .hints("-smp 4");
}
