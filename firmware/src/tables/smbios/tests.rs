//! Compares the tables with those of Debian's QEMU 7.2, and checks that invalid ones are rejected.

use super::*;

const GIB: u64 = 1 << 30;

fn config(memory: u64) -> SmbiosConfig {
    SmbiosConfig {
        uuid: None,
        memory,
        cpus: 3,
        oem_strings: Vec::new(),
        system: SystemStrings::default(),
    }
}

fn oem(strings: &[&[u8]]) -> SmbiosConfig {
    SmbiosConfig { oem_strings: strings.iter().map(|text| text.to_vec()).collect(), ..config(GIB) }
}

/// A structure: type, handle, fields, strings.
type Structure = (u8, u16, Vec<u8>, Vec<Vec<u8>>);

/// Walks the structures as Linux does (`dmi_decode_table`, drivers/firmware/dmi_scan.c).
fn walk(mut bytes: &[u8]) -> Vec<Structure> {
    let mut all = Vec::new();
    while let [kind, length, low, high, ..] = *bytes {
        let fields = bytes[4..usize::from(length)].to_vec();
        bytes = &bytes[usize::from(length)..];
        let end = bytes.windows(2).position(|two| two == [0, 0]).unwrap();
        let strings = bytes[..end].split(|byte| *byte == 0).filter(|text| !text.is_empty());
        all.push((
            kind,
            u16::from_le_bytes([low, high]),
            fields,
            strings.map(Into::into).collect(),
        ));
        bytes = &bytes[end + 2..];
    }
    assert!(bytes.is_empty());
    all
}

fn published(tables: &SmbiosTables) -> (Vec<u8>, Vec<u8>) {
    let mut items = Items::new();
    tables.publish(&mut items).unwrap();
    let file = |name| items.file(name).unwrap().read_to_vec().unwrap();
    (file("etc/smbios/smbios-anchor"), file("etc/smbios/smbios-tables"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// `qemu-system-x86_64 -M pc -m 6G -smp 3 -uuid 00112233-4455-6677-8899-aabbccddeeff -smbios
/// type=11,value=hello,value=world -smbios
/// type=1,manufacturer=M,product=P,version=V,serial=S,sku=K,family=F`, read through `-qtest`. The
/// ID and both speeds in type 4 are set to 0.
#[test]
fn firmware_gets_the_bytes_of_qemu() {
    const ANCHOR: &str = "5f534d5f001f020844000000000000005f444d495f004b01000000000a0028";
    const TABLES: &str = "
        011b00010102030433221100554477668899aabbccddeeff0605064d005000560053004b00460000
        0316000301010200000303030200000000000000000051454d550070632d6934343066782d372e320000
        042a0004010301020000000000000000030000000000000041 01ffffffffffff0000000303030200010043505520300051454d550070632d
        6934343066782d372e320000 0b05000e0268656c6c6f00776f726c640000 1017001001030600006000feff0100000000000000000000
        00112800110010feffffffffff0018090001000702000000020000000000000000000000000000000044494d4d20300051454d550000
        131f001300000000ffff2f000010010000000000000000000000000000000000 00
        131f011300004000ffff6f000010010000000000000000000000000000000000 00 200b002000000000000000 0000 7f04007f0000";
    let text = |text: &str| text.as_bytes().to_vec();
    let config = SmbiosConfig {
        uuid: Some(0x0011_2233_4455_6677_8899_aabb_ccdd_eeffu128.to_be_bytes()),
        oem_strings: vec![text("hello"), text("world")],
        system: SystemStrings {
            manufacturer: text("M"),
            product: text("P"),
            version: text("V"),
            serial: text("S"),
            sku: text("K"),
            family: text("F"),
        },
        ..config(6 * GIB)
    };
    let maker = Maker { name: "QEMU", version: "pc-i440fx-7.2" };
    let (anchor, tables) = published(&SmbiosTables::build_as(&config, &maker).unwrap());
    assert_eq!(walk(&tables), walk(&hex(TABLES)));
    assert_eq!(tables, hex(TABLES));
    assert_eq!(anchor, hex(ANCHOR));
}

/// `-m 20G`: the memory devices and their addresses.
#[test]
fn more_than_16_gib_are_two_memory_devices() {
    let (_, tables) = published(&SmbiosTables::build(&config(20 * GIB)).unwrap());
    let all = walk(&tables);
    let of = |kind| all.iter().filter(|s| s.0 == kind).map(|s| s.2.clone()).collect::<Vec<_>>();
    assert_eq!(of(16), [hex("01030600004001feff02000000000000000000")]);
    assert_eq!(
        of(17),
        ["0040", "0010"].map(|size| {
            hex(&format!(
                "0010feffffffffff{size}0900010007020000000200000000000000000000000000000000"
            ))
        })
    );
    assert_eq!(
        of(19),
        [
            hex("00000000ffff2f0000100100000000000000000000000000000000"),
            hex("00004000ffff4f0100100100000000000000000000000000000000")
        ]
    );
}

#[test]
fn sizes_beyond_32_bits_use_the_extended_fields() {
    let memory = 16 << 40;
    let all = walk(&published(&SmbiosTables::build(&config(memory)).unwrap()).1);
    let array = &all.iter().find(|s| s.0 == 16).unwrap().2;
    assert_eq!(array[3..7], [0, 0, 0, 0x80]);
    assert_eq!(array[11..19], memory.to_le_bytes());
    let devices: Vec<_> = all.iter().filter(|s| s.0 == 17).collect();
    assert_eq!((devices.len(), devices[511].1), (512, 0x12ff));
    assert_eq!(
        (&devices[0].2[8..10], &devices[0].2[24..28]),
        (&[0xff, 0x7f][..], &[0, 0x80, 0, 0][..])
    );
    let mapped = &all.iter().filter(|s| s.0 == 19).nth(1).unwrap().2;
    assert_eq!(mapped[..8], [0xff; 8]);
    assert_eq!(mapped[11..19], (4 * GIB).to_le_bytes());
    assert_eq!(mapped[19..27], (memory + GIB - 1).to_le_bytes());
}

/// SMBIOS 2.8: 7.17 (maximum capacity 2 TiB or more), 7.18 (size 32 GiB - 1 MiB or more), 7.20 (an
/// ending address in KiB of all ones).
#[test]
fn the_first_sizes_that_need_the_extended_fields_use_them() {
    let of = |memory: u64, kind: u8| {
        let tables = SmbiosTables::build(&config(memory)).unwrap();
        walk(&published(&tables).1)
            .into_iter()
            .filter(|s| s.0 == kind)
            .map(|s| s.2)
            .collect::<Vec<_>>()
    };
    const TIB: u64 = 1 << 40;
    let array = &of(2 * TIB, 16)[0];
    assert_eq!(
        (&array[3..7], &array[11..19]),
        (&[0, 0, 0, 0x80][..], &(2 * TIB).to_le_bytes()[..])
    );
    let array = &of(2 * TIB - 1024, 16)[0];
    assert_eq!((&array[3..7], &array[11..19]), (&[0xff, 0xff, 0xff, 0x7f][..], &[0; 8][..]));
    for (last, short, extended) in [(0x7ffe, 0x7ffeu16, 0u32), (0x7fff, 0x7fff, 0x7fff)] {
        // 511 devices of 32 GiB and one of `last` MiB.
        let devices = of(511 * (32 << 30) + (last << 20), 17);
        assert_eq!(devices.len(), 512);
        assert_eq!(devices[511][8..10], short.to_le_bytes(), "{last:#x}");
        assert_eq!(devices[511][24..28], extended.to_le_bytes(), "{last:#x}");
    }
    // RAM that ends at 4 TiB, with the hole of 1 GiB below 4 GiB.
    let mapped = &of(4 * TIB - GIB, 19)[1];
    assert_eq!(mapped[..8], [0xff; 8]);
    assert_eq!(mapped[11..19], (4 * GIB).to_le_bytes());
    assert_eq!(mapped[19..27], (4 * TIB - 1).to_le_bytes());
    let mapped = &of(4 * TIB - GIB - 1024, 19)[1];
    assert_eq!(mapped[..8], [0, 0, 0x40, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(mapped[11..27], [0; 16]);
}

#[test]
fn linux_finds_all_types_of_a_direct_boot() {
    let placed =
        SmbiosTables::build(&oem(&[b"io.systemd.credential:a=b"])).unwrap().place(layout::SMBIOS);
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    // dmi_present: both checksums, then size, address and count.
    assert_eq!((&placed[..4], &placed[16..21]), (&b"_SM_"[..], &b"_DMI_"[..]));
    assert_eq!((sum(&placed[..31]), sum(&placed[16..31])), (0, 0));
    assert_eq!(placed[24..28], 0xf_0020u32.to_le_bytes());
    assert_eq!(usize::from(u16::from_le_bytes([placed[22], placed[23]])), placed.len() - 32);
    let all = walk(&placed[32..]);
    assert_eq!(usize::from(placed[28]), all.len());
    assert_eq!(all.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 1, 3, 4, 11, 16, 17, 19, 32, 127]);
    assert_eq!(all[0].3[0], b"chukka");
    assert_eq!(all[0].2.len(), 20);
    assert_eq!(all[1].3[0], b"chukka");
    assert_eq!(all[4].3, [b"io.systemd.credential:a=b"]);
}

#[test]
fn type_0_is_left_to_the_firmware() {
    let (anchor, tables) = published(&SmbiosTables::build(&config(GIB)).unwrap());
    let all = walk(&tables);
    assert!(all.iter().all(|s| s.0 != 0));
    assert_eq!(usize::from(anchor[28]), all.len());
}

#[test]
fn more_than_255_oem_strings_are_several_structures() {
    let strings: Vec<Vec<u8>> = (0..300).map(|n| format!("string {n}").into_bytes()).collect();
    let config = SmbiosConfig { oem_strings: strings.clone(), ..config(GIB) };
    let all = walk(&published(&SmbiosTables::build(&config).unwrap()).1);
    let oem: Vec<_> = all.iter().filter(|s| s.0 == 11).collect();
    assert_eq!(oem.iter().map(|s| (s.1, s.2[0])).collect::<Vec<_>>(), [(0xe00, 255), (0xe01, 45)]);
    assert_eq!(oem.iter().flat_map(|s| s.3.clone()).collect::<Vec<_>>(), strings);
}

#[test]
fn tables_are_limited_to_the_available_size() {
    let room = LIMIT - SmbiosTables::build(&oem(&[b"x"])).unwrap().place(layout::SMBIOS).len()
        + ENTRY_ROOM;
    let fits = vec![b'x'; 1 + room];
    let tables = SmbiosTables::build(&oem(&[&fits])).unwrap();
    assert_eq!(tables.place(layout::SMBIOS).len(), ENTRY_ROOM + LIMIT);
    let error = SmbiosTables::build(&oem(&[&fits, b"y"])).unwrap_err();
    assert_eq!(error, SmbiosError::TooBig { found: LIMIT + 2 });
    assert_eq!(error.to_string(), "The SMBIOS tables have 65282 bytes, expected 65280 at most");
    assert!(error.hint().contains("type=11"));
}

#[test]
fn nul_bytes_and_empty_strings_are_rejected() {
    let error = SmbiosTables::build(&oem(&[b"a", b""])).unwrap_err();
    assert_eq!(error, SmbiosError::Empty { what: "value" });
    let error = SmbiosTables::build(&oem(&[b"a\0b"])).unwrap_err();
    assert_eq!(error.to_string(), "The SMBIOS string value 'a\\x00b' has a zero byte");
    let system = SystemStrings { serial: b"\0".to_vec(), ..SystemStrings::default() };
    let error = SmbiosTables::build(&SmbiosConfig { system, ..config(GIB) }).unwrap_err();
    assert!(matches!(error, SmbiosError::Nul { what: "serial", .. }), "{error}");
    assert!(!error.hint().is_empty());
}
