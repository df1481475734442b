//! Checks what is published, where it is placed, and what is rejected.

use fw_cfg::Data;

use super::*;
use crate::image::KernelKind;
use crate::image::tests::bzimage;
use crate::testing::TempFile;

const MIB: u64 = 1 << 20;
/// The area QEMU's "pc" machine reserves when it places the initrd (`acpi_data_size`).
const PC: u64 = 0x2_8000;
/// Where the kernel of [`bzimage`] ends: `pref_address` and `init_size`.
const KERNEL_END: u64 = 0x300_0000;

fn try_publish(
    kernel: &[u8],
    initrd: Option<&[u8]>,
    cmdline: &str,
    memory: u64,
) -> Result<Items, KernelError> {
    let kernel_file = TempFile::new(kernel);
    let kernel = KernelImage::open(&kernel_file.0).unwrap();
    let initrd_file = initrd.map(TempFile::new);
    let initrd = initrd_file.as_ref().map(|file| SourceFile::open(&file.0, "initrd").unwrap());
    let map = MemoryMap::new(memory);
    let mut items = Items::new();
    publish(&mut items, &kernel, initrd.as_ref(), cmdline.as_bytes(), &map, PC)?;
    Ok(items)
}

/// [`super::publish`] for a file that is a bzImage.
fn publish(
    items: &mut Items,
    kernel: &KernelImage,
    initrd: Option<&SourceFile>,
    cmdline: &[u8],
    map: &MemoryMap,
    reserved: u64,
) -> Result<(), KernelError> {
    let KernelKind::BzImage(image) = &kernel.kind else { panic!("{:?}", kernel.kind) };
    super::publish(items, kernel, image, initrd, cmdline, map, reserved)
}

fn bytes(items: &Items, key: u16) -> Vec<u8> {
    items.get(key).expect("it is published").read_to_vec().unwrap()
}

fn number(items: &Items, key: u16) -> u32 {
    u32::from_le_bytes(bytes(items, key).try_into().expect("4 bytes"))
}

fn word(setup: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(setup[at..at + 4].try_into().unwrap())
}

#[test]
fn twelve_keys_contain_addresses_sizes_and_bytes() {
    let mut kernel = bzimage(8192);
    kernel[2048..2052].copy_from_slice(b"code");
    kernel.extend(b"signature");
    let items = try_publish(&kernel, Some(b"initrd"), "console=ttyS0", 256 * MIB).unwrap();
    assert_eq!(number(&items, key::SETUP_ADDR), 0x1_0000);
    assert_eq!(number(&items, key::SETUP_SIZE), 2048);
    assert_eq!(bytes(&items, key::SETUP_DATA).len(), 2048);
    assert_eq!(number(&items, key::CMDLINE_ADDR), 0x2_0000);
    assert_eq!(number(&items, key::CMDLINE_SIZE), 14);
    assert_eq!(bytes(&items, key::CMDLINE_DATA), b"console=ttyS0\0");
    assert_eq!(number(&items, key::KERNEL_ADDR), 0x10_0000);
    assert_eq!(number(&items, key::KERNEL_SIZE), 8201, "all the file has");
    assert_eq!(bytes(&items, key::KERNEL_DATA), kernel[2048..]);
    // QEMU 7.2's value for -M pc -m 256 and an initrd of less than a page: 0x10000000 - 0x28000 - 1
    // - 6, rounded down to a page.
    assert_eq!(number(&items, key::INITRD_ADDR), 0xffd_7000);
    assert_eq!(number(&items, key::INITRD_SIZE), 6);
    assert_eq!(bytes(&items, key::INITRD_DATA), b"initrd");
}

/// QEMU: `initrd_addr = (initrd_max - initrd_size) & ~4095`, and `initrd_max` is the last byte that
/// ACPI leaves free.
#[test]
fn an_initrd_of_whole_pages_has_qemus_address() {
    let items = try_publish(&bzimage(64), Some(&[1; 4096]), "", 256 * MIB).unwrap();
    assert_eq!(number(&items, key::INITRD_ADDR), 0xffd_6000);
}

#[test]
fn an_initrd_stays_clear_of_a_large_reserved_area() {
    let (kernel, initrd) = (TempFile::new(&bzimage(64)), TempFile::new(&[1; 8192]));
    let kernel = KernelImage::open(&kernel.0).unwrap();
    let initrd = SourceFile::open(&initrd.0, "initrd").unwrap();
    let map = MemoryMap::new(KERNEL_END + 8192 + MIB);
    let error = publish(&mut Items::new(), &kernel, Some(&initrd), b"", &map, MIB).unwrap_err();
    assert!(
        matches!(error, KernelError::Load(LoadError::InitrdTooBig { reserved: 0x10_1000, .. })),
        "{error}"
    );
}

/// Before protocol 2.02, the command line ends below 0x9a000, and the setup code says where it
/// begins (QEMU's `x86_load_linux`; boot.rst, "The Kernel Command Line").
#[test]
fn old_kernels_find_their_command_line_by_its_offset() {
    for (length, address) in [(0, 0x9_9ff0u32), (3, 0x9_9ff0), (15, 0x9_9ff0), (16, 0x9_9fe0)] {
        let mut kernel = bzimage(64);
        kernel[0x206..0x208].copy_from_slice(&0x201u16.to_le_bytes());
        let items = try_publish(&kernel, None, &"x".repeat(length), 256 * MIB).unwrap();
        assert_eq!(number(&items, key::CMDLINE_ADDR), address, "{length}");
        assert_eq!(number(&items, key::SETUP_ADDR), 0x9_0000);
        assert_eq!(number(&items, key::KERNEL_ADDR), 0x10_0000);
        let setup = bytes(&items, key::SETUP_DATA);
        assert_eq!(word(&setup, 0x20), (address - 0x9_0000) << 16 | 0xa33f);
        assert_eq!(word(&setup, 0x224) & 0xffff, address - 0x9_0200, "heap_end_ptr");
    }
}

#[test]
fn a_zimage_must_fit_below_its_setup_code() {
    let zimage = |size: usize| {
        let mut kernel = bzimage(size);
        kernel[0x211] = 0;
        kernel
    };
    for size in [64, 0x8_0000] {
        let items = try_publish(&zimage(size), None, "", 256 * MIB).unwrap();
        assert_eq!(number(&items, key::KERNEL_ADDR), 0x1_0000);
        assert_eq!(number(&items, key::SETUP_ADDR), 0x9_0000);
    }
    let error = try_publish(&zimage(0x8_0001), None, "", 256 * MIB).unwrap_err();
    assert!(error.to_string().ends_with("is a zImage of 524289 bytes, expected 524288 at most"));
    assert_eq!(error.hint(), "the file is damaged; build, copy or download it again");
}

#[test]
fn the_built_in_firmware_refuses_kernels_without_a_32_bit_entry() {
    let checked = |loadflags: u8| {
        let mut kernel = bzimage(64);
        kernel[0x211] = loadflags;
        let file = TempFile::new(&kernel);
        let kernel = KernelImage::open(&file.0).unwrap();
        let KernelKind::BzImage(image) = &kernel.kind else { panic!("{:?}", kernel.kind) };
        check_builtin(&kernel, image).map_err(|error| error.to_string())
    };
    assert_eq!(checked(1), Ok(()));
    let error = checked(0).unwrap_err();
    assert!(error.starts_with("-bios builtin cannot start the kernel '"), "{error}");
    assert!(error.contains("': it has no 32-bit entry point"), "{error}");
}

#[test]
fn a_kernel_that_says_it_can_use_a_heap_still_does() {
    let mut kernel = bzimage(64);
    kernel[0x211] = 0x81;
    let items = try_publish(&kernel, None, "", 256 * MIB).unwrap();
    assert_eq!(bytes(&items, key::SETUP_DATA)[0x211], 0x81);
}

#[test]
fn files_are_published_as_files() {
    let items = try_publish(&bzimage(8192), Some(b"initrd"), "", 256 * MIB).unwrap();
    for key in [key::KERNEL_DATA, key::INITRD_DATA] {
        assert!(matches!(items.get(key), Some(Data::File(_))), "{key:#x} is not on the heap");
    }
}

#[test]
fn without_an_initrd_its_keys_are_absent() {
    let items = try_publish(&bzimage(8192), None, "", 256 * MIB).unwrap();
    for key in [key::INITRD_ADDR, key::INITRD_SIZE, key::INITRD_DATA] {
        assert!(items.get(key).is_none(), "{key:#x}");
    }
    let setup = bytes(&items, key::SETUP_DATA);
    assert_eq!((word(&setup, 0x218), word(&setup, 0x21c)), (0, 0));
}

#[test]
fn the_set_up_header_is_completed_and_nothing_else_is_touched() {
    let kernel = bzimage(8192);
    let items = try_publish(&kernel, Some(b"initrd"), "", 256 * MIB).unwrap();
    let setup = bytes(&items, key::SETUP_DATA);
    let mut expected = kernel[..2048].to_vec();
    expected[0x210..0x212].copy_from_slice(&[0xb0, 0x81]); // type_of_loader, loadflags
    expected[0x218..0x220].copy_from_slice(&[0, 0x70, 0xfd, 0x0f, 6, 0, 0, 0]); // ramdisk_image, ramdisk_size
    expected[0x224..0x226].copy_from_slice(&[0x00, 0xfe]); // heap_end_ptr
    expected[0x228..0x22c].copy_from_slice(&[0, 0, 2, 0]); // cmd_line_ptr
    assert!(setup == expected, "first difference: {:x?}", first_difference(&setup, &expected));
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<(usize, u8, u8)> {
    let mut pairs = a.iter().zip(b).enumerate();
    pairs.find(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, *a, *b))
}

#[test]
fn vga_sets_the_video_mode() {
    let mode = |cmdline: &str| {
        let items = try_publish(&bzimage(64), None, cmdline, 256 * MIB).unwrap();
        word(&bytes(&items, key::SETUP_DATA), 0x1fa) & 0xffff
    };
    for (cmdline, expected) in [
        ("quiet", 0),
        ("vga=normal", 0xffff),
        ("quiet vga=ext", 0xfffe),
        ("vga=ask quiet", 0xfffd),
        ("vga=791", 791),
        ("vga=0x317", 0x317),
        ("vga=0X317", 0x317),
        ("vga=017", 0o17),
        ("vga=0 vga=1", 0),
        ("xvga=1", 0),
    ] {
        assert_eq!(mode(cmdline), expected, "{cmdline}");
    }
    for bad in ["vga=", "vga=nice", "vga=65536", "vga=-1", "vga=+1", "vga=0x+1", "vga=09"] {
        let error = try_publish(&bzimage(64), None, bad, 256 * MIB).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
        assert!(error.hint().contains("leave vga= out"));
    }
}

#[test]
fn a_command_line_is_refused_when_longer_than_the_kernel_takes() {
    assert!(try_publish(&bzimage(64), None, &"x".repeat(2047), 256 * MIB).is_ok());
    let error = try_publish(&bzimage(64), None, &"x".repeat(2048), 256 * MIB).unwrap_err();
    assert!(error.to_string().contains("has 2048 bytes"), "{error}");
}

#[test]
fn a_kernel_is_refused_when_its_init_size_is_beyond_memory() {
    assert!(try_publish(&bzimage(64), None, "", KERNEL_END + FIRMWARE_RAM).is_ok());
    let error = try_publish(&bzimage(64), None, "", KERNEL_END + FIRMWARE_RAM - 1).unwrap_err();
    assert!(error.to_string().contains("needs 49 MiB of guest memory to start"), "{error}");
    assert!(error.hint().contains("-m 49M"), "{}", error.hint());
    let mut huge = bzimage(64);
    huge[0x260..0x264].copy_from_slice(&[0xff; 4]);
    let error = try_publish(&huge, None, "", 8192 * MIB).unwrap_err();
    assert!(error.hint().contains("below 3 GiB"), "{}", error.hint());
}

#[test]
fn a_kernel_is_refused_when_the_file_itself_does_not_fit() {
    let file = TempFile::new(&bzimage(64));
    // Sparse: 5 GiB of what a signature might be.
    std::fs::OpenOptions::new().write(true).open(&file.0).unwrap().set_len(5120 * MIB).unwrap();
    let kernel = KernelImage::open(&file.0).unwrap();
    let map = MemoryMap::new(8192 * MIB);
    let error = publish(&mut Items::new(), &kernel, None, b"", &map, PC).unwrap_err();
    assert!(matches!(error, KernelError::Load(LoadError::KernelTooBig { .. })), "{error}");
}

#[test]
fn an_initrd_never_overlaps_memory_of_the_kernel_or_the_firmware() {
    let least = KERNEL_END + 8192 + FIRMWARE_RAM;
    let items = try_publish(&bzimage(64), Some(&[1; 8192]), "", least).unwrap();
    assert!(u64::from(number(&items, key::INITRD_ADDR)) >= KERNEL_END);
    let error = try_publish(&bzimage(64), Some(&[1; 8192]), "", least - 1).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("(8 KiB) does not fit: between the kernel's end at 0x3000000"), "{text}");
    assert!(text.contains("256 KiB are reserved for the firmware"), "{text}");
    assert!(error.hint().contains("-m 49M"), "{}", error.hint());
}

#[test]
fn an_initrd_beyond_32_bits_is_refused() {
    let (kernel, initrd) = (TempFile::new(&bzimage(64)), TempFile::new(b"1"));
    std::fs::OpenOptions::new()
        .write(true)
        .open(&initrd.0)
        .and_then(|file| file.set_len((1 << 32) + 1))
        .unwrap();
    let initrd = SourceFile::open(&initrd.0, "initrd").unwrap();
    let kernel = KernelImage::open(&kernel.0).unwrap();
    let map = MemoryMap::new(8192 * MIB);
    let error = publish(&mut Items::new(), &kernel, Some(&initrd), b"", &map, PC).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("(4097 MiB) does not fit: between the kernel's end at 0x3000000"),
        "{text}"
    );
    assert!(text.contains("and 0xbffc0000 there are 3024 MiB (256 KiB are reserved"), "{text}");
    let hint = "firmware can only use memory below 3 GiB; boot it directly, without -bios, with -m 7169M or more, or make \
                the initrd smaller";
    assert_eq!(error.hint(), hint);
}

/// The error and hint for a sparse initrd of `size` bytes; empty if it is published.
fn told(kernel: &[u8], size: u64, memory: u64) -> String {
    let (kernel, initrd) = (TempFile::new(kernel), TempFile::new(b"1"));
    let file = std::fs::OpenOptions::new().write(true).open(&initrd.0).unwrap();
    file.set_len(size).unwrap();
    let initrd = SourceFile::open(&initrd.0, "initrd").unwrap();
    let kernel = KernelImage::open(&kernel.0).unwrap();
    let map = MemoryMap::new(memory);
    let published = publish(&mut Items::new(), &kernel, Some(&initrd), b"", &map, PC);
    published.err().map_or_else(String::new, |error| format!("{error}. {}", error.hint()))
}

#[test]
fn an_initrd_can_be_placed_between_2_and_3_gib_if_the_kernel_allows() {
    let most = layout::MMIO_HOLE - FIRMWARE_RAM - KERNEL_END;
    assert_eq!(told(&bzimage(64), most, 8192 * MIB), "");
    assert_eq!(told(&bzimage(64), 2560 * MIB, 3072 * MIB), "");
    let text = told(&bzimage(64), 2560 * MIB, 2048 * MIB);
    assert!(text.contains("and 0x7ffc0000 there are 2000 MiB"), "{text}");
    assert!(text.ends_with("give the guest more memory: -m 2609M or more"), "{text}");
    let text = told(&bzimage(64), most + 1, 8192 * MIB);
    assert!(text.contains("there are 3024 MiB") && text.contains("boot it directly"), "{text}");
    let mut low = bzimage(64);
    low[0x236] = 1; // not XLF_CAN_BE_LOADED_ABOVE_4G: so initrd_addr_max 0x7fffffff applies
    let text = told(&low, 2560 * MIB, 8192 * MIB);
    assert!(text.contains("and 0x7fffffff there are 2000 MiB"), "{text}");
    assert!(text.ends_with("above that address; make the initrd smaller"), "{text}");
    // QEMU's formula leaves the last byte free.
    let most = 0x7fff_f000 - KERNEL_END;
    assert_eq!(told(&low, most, 8192 * MIB), "");
    let text = told(&low, most, 1024 * MIB);
    assert!(text.ends_with("give the guest more memory: -m 2049M or more"), "{text}");
    let text = told(&low, most + 4096, 1024 * MIB);
    assert!(text.ends_with("above that address; make the initrd smaller"), "{text}");
}

#[test]
fn the_kernel_limit_applies_when_memory_is_large() {
    let mut kernel = bzimage(64);
    let items = try_publish(&kernel, Some(&[1; 5000]), "", 4096 * MIB).unwrap();
    assert_eq!(number(&items, key::INITRD_ADDR), 0xc000_0000 - 0x2_8000 - 0x2000, "anywhere");
    kernel[0x236] = 1; // not XLF_CAN_BE_LOADED_ABOVE_4G: so initrd_addr_max 0x7fffffff applies
    let items = try_publish(&kernel, Some(&[1; 5000]), "", 4096 * MIB).unwrap();
    assert_eq!(number(&items, key::INITRD_ADDR), 0x8000_0000 - 0x2000);
}

#[test]
fn set_up_code_beyond_its_segment_is_refused() {
    let mut kernel = bzimage(80 << 10);
    kernel[0x1f1] = 0x7f;
    kernel[0x1f4..0x1f8].copy_from_slice(&1u32.to_le_bytes());
    let error = try_publish(&kernel, None, "", 256 * MIB).unwrap_err();
    assert!(error.to_string().contains("has 65536 bytes of setup code"), "{error}");
}
