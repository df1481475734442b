//! What a guest finds in CPUID: the vendor and the other values of `-cpu`.

use chukka_tests::native::{self, Scratch, Start};

use crate::dump::multiboot1_of;

/// The leaves that [`CODE`] prints.
const LEAVES: [u32; 8] =
    [0, 1, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003, 0x8000_0004, 0x8000_0008];

/// 32-bit code that prints EAX, EBX, ECX and EDX of each leaf, raw, and resets by the keyboard
/// controller.
fn code() -> Vec<u8> {
    let mut code = Vec::new();
    for leaf in LEAVES {
        code.push(0xb8); // mov $leaf, %eax
        code.extend(leaf.to_le_bytes());
        code.extend([
            0x31, 0xc9, 0x0f, 0xa2, // xor %ecx, %ecx; cpuid
            0xa3, 0x00, 0x00, 0x08, 0x00, // mov %eax, 0x80000
            0x89, 0x1d, 0x04, 0x00, 0x08, 0x00, // mov %ebx, 0x80004
            0x89, 0x0d, 0x08, 0x00, 0x08, 0x00, // mov %ecx, 0x80008
            0x89, 0x15, 0x0c, 0x00, 0x08, 0x00, // mov %edx, 0x8000c
            0x66, 0xba, 0xf8, 0x03, 0xfc, // mov $0x3f8, %dx; cld
            0xbe, 0x00, 0x00, 0x08, 0x00, // mov $0x80000, %esi
            0xb9, 0x10, 0x00, 0x00, 0x00, 0xf3, 0x6e, // mov $16, %ecx; rep outsb
        ]);
    }
    code.extend([0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd]);
    code
}

/// The registers of each leaf that a guest with `-cpu value` finds.
fn cpuid(value: &str) -> impl Fn(u32) -> [u32; 4] {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &multiboot1_of(1 << 16, &code()));
    let ended = Start::kernel(&kernel).args(["-m", "64M", "-no-reboot", "-cpu", value]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout.len(), LEAVES.len() * 16, "{ended:?}");
    move |leaf| {
        let at = LEAVES.iter().position(|known| *known == leaf).unwrap() * 16;
        [0, 4, 8, 12].map(|more| {
            u32::from_le_bytes(ended.stdout[at + more..at + more + 4].try_into().unwrap())
        })
    }
}

/// EBX, EDX and ECX as text.
fn vendor([_, ebx, ecx, edx]: [u32; 4]) -> String {
    String::from_utf8([ebx, edx, ecx].map(u32::to_le_bytes).concat()).unwrap()
}

#[test]
fn a_guest_finds_the_vendor_that_was_requested() {
    if !native::kvm() {
        return;
    }
    let intel = cpuid("max,vendor=GenuineIntel");
    assert_eq!(vendor(intel(0)), "GenuineIntel");
    assert_eq!(intel(0x8000_0000)[1..], [0; 3]);
    let amd = cpuid("Opteron_G1,vendor=AuthenticAMD");
    assert_eq!(vendor(amd(0)), "AuthenticAMD");
    assert_eq!(vendor(amd(0x8000_0000)), "AuthenticAMD");
    // FPU, TSC, MSR, APIC and FXSR, among others.
    let repeated = 0x0183_f3ff;
    assert_eq!(amd(0x8000_0001)[3] & repeated, amd(1)[3] & repeated);
}

#[test]
fn a_guest_finds_the_other_values_of_its_cpu() {
    if !native::kvm() {
        return;
    }
    let found = cpuid(
        "host,family=0x17,model=49,stepping=3,model-id=A CPU of chukka,level=7,xlevel=0x80000008,\
         phys-bits=36",
    );
    assert_eq!(found(1)[0] & 0x0fff_0fff, 0x0083_0f13);
    assert_eq!((found(0)[0], found(0x8000_0000)[0]), (7, 0x8000_0008));
    assert_eq!(found(0x8000_0008)[0] & 0xff, 36);
    let name = [found(0x8000_0002), found(0x8000_0003), found(0x8000_0004)].concat();
    let name: Vec<u8> = name.into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(name[..16], *b"A CPU of chukka\0");
    assert_eq!(name[16..], [0; 32]);
}

#[test]
fn what_the_host_lacks_is_refused_with_enforce_and_by_default_a_warning() {
    if !native::kvm() {
        return;
    }
    Start::guest("DP")
        .args(["-cpu", "host,phys-bits=52,enforce"])
        .refused()
        .says("-cpu phys-bits=52: the host has")
        .hints("without enforce");
    let ended = Start::guest("DP").args(["-cpu", "host,phys-bits=52"]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("-cpu phys-bits=52: the host has"), "{ended:?}");
    Start::guest("DP")
        .args(["-cpu", "host,phys-bits=32", "-m", "4G"])
        .refused()
        .says("-cpu phys-bits=32: the guest's memory ends at 0x140000000, which needs 33 bits")
        .hints("phys-bits=33");
}
