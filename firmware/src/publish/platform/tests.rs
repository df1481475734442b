//! Compares items byte by byte with those of Debian's QEMU 7.2.

use super::*;
use fw_cfg::ItemError;

use crate::roms::files::OptionRom;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn config(memory: u64) -> PlatformConfig {
    PlatformConfig {
        cpus: 3,
        map: MemoryMap::new(memory),
        uuid: None,
        nographic: false,
        boot: BootOptions::default(),
        boot_order: Vec::new(),
    }
}

fn publish(config: &PlatformConfig) -> Items {
    let mut items = Items::new();
    config.publish(&mut items).unwrap();
    items
}

fn key(items: &Items, key: u16) -> Vec<u8> {
    items.get(key).unwrap().read_to_vec().unwrap()
}

fn file(items: &Items, name: &str) -> Vec<u8> {
    items.file(name).unwrap().read_to_vec().unwrap()
}

/// `qemu-system-x86_64 -M pc -accel kvm -m 6G -smp 3 -uuid …`, read through `-qtest`.
#[test]
fn keys_have_the_bytes_of_qemu() {
    let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeffu128.to_be_bytes();
    let items = publish(&PlatformConfig { uuid: Some(uuid), ..config(6 * GIB) });
    assert_eq!(key(&items, key::UUID), uuid);
    assert_eq!(key(&items, key::RAM_SIZE), [0, 0, 0, 0x80, 1, 0, 0, 0]);
    assert_eq!(key(&items, key::NOGRAPHIC), [0, 0]);
    assert_eq!(key(&items, key::NB_CPUS), [3, 0]);
    assert_eq!(key(&items, key::MAX_CPUS), [3, 0]);
    assert_eq!(key(&items, key::NUMA), [0; 32]);
    assert_eq!(key(&items, key::BOOT_MENU), [0, 0]);
    assert_eq!(key(&items, key::ACPI_TABLES), []);
    // The only difference: QEMU has 1, and a matching MADT.
    assert_eq!(key(&items, key::IRQ0_OVERRIDE), [0; 4]);
    assert_eq!(key(&publish(&config(MIB)), key::UUID), [0; 16]);
}

#[test]
fn the_memory_map_is_that_of_qemu_with_kvm() {
    let entry = |bytes: &[u8]| {
        (
            u64::from_le_bytes(bytes[..8].try_into().unwrap()),
            u64::from_le_bytes(bytes[8..16].try_into().unwrap()),
            u32::from_le_bytes(bytes[16..].try_into().unwrap()),
        )
    };
    let map = |memory| {
        let bytes = file(&publish(&config(memory)), "etc/e820");
        bytes.chunks(20).map(entry).collect::<Vec<_>>()
    };
    let kvm = (0xfeff_c000, 0x4000, 2);
    assert_eq!(map(6 * GIB), [kvm, (0, 0xc000_0000, 1), (0x1_0000_0000, 0xc000_0000, 1)]);
    assert_eq!(map(512 * MIB), [kvm, (0, 0x2000_0000, 1)]);
}

/// `-boot menu=on,splash-time=70,reboot-timeout=7,strict=on` with a kernel.
#[test]
fn boot_options_have_the_bytes_of_qemu() {
    let boot =
        BootOptions { menu: true, splash_time: Some(70), reboot_timeout: Some(7), strict: true };
    let boot_order = vec![x86::rom_path("genroms/linuxboot_dma.bin")];
    let items = publish(&PlatformConfig {
        nographic: true,
        boot,
        boot_order: boot_order.clone(),
        ..config(GIB)
    });
    assert_eq!(key(&items, key::BOOT_MENU), [1, 0]);
    assert_eq!(key(&items, key::NOGRAPHIC), [1, 0]);
    assert_eq!(file(&items, "etc/boot-menu-wait"), [70, 0]);
    assert_eq!(file(&items, "etc/boot-fail-wait"), [7, 0, 0, 0]);
    assert_eq!(file(&items, "bootorder"), b"/rom@genroms/linuxboot_dma.bin\nHALT\0");
    let items = publish(&PlatformConfig { boot_order, ..config(GIB) });
    assert_eq!(file(&items, "etc/boot-fail-wait"), [0xff; 4]);
    assert_eq!(file(&items, "bootorder"), b"/rom@genroms/linuxboot_dma.bin\0");
}

#[test]
fn files_without_content_are_omitted() {
    let boot = BootOptions { strict: true, ..BootOptions::default() };
    let items = publish(&PlatformConfig { boot, ..config(GIB) });
    assert_eq!(items.file_names().collect::<Vec<_>>(), ["etc/boot-fail-wait", "etc/e820"]);
}

#[test]
fn an_option_rom_is_a_file_below_genroms_and_there_only_once() {
    let mut image = vec![0; 512];
    image[..3].copy_from_slice(&[0x55, 0xaa, 1]);
    let temporary = crate::testing::TempFile::new(&image);
    let rom = OptionRom::open(temporary.0.as_os_str(), &[]).unwrap();
    let mut items = publish(&config(GIB));
    rom.publish(&mut items).unwrap();
    assert_eq!(file(&items, &rom.fw_cfg_name()), image);
    assert!(matches!(
        rom.publish(&mut items),
        Err(PublishError::Item(ItemError::Duplicate { .. }))
    ));
}
