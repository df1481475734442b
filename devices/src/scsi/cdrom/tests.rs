use super::*;

/// A disc of this many bytes, each block filled with its number.
#[derive(Debug)]
struct Blocks {
    len: u64,
    fails: bool,
}

impl Disc for Blocks {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        if self.fails {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        for slice in to {
            let bytes: Vec<u8> = (at..at + slice.len() as u64)
                .map(|at| {
                    assert!(at < self.len);
                    (at / BLOCK).to_le_bytes()[0]
                })
                .collect();
            slice.copy_from(&bytes);
            at += slice.len() as u64;
        }
        Ok(())
    }
}

fn drive(len: u64) -> CdRom {
    CdRom::new(Box::new(Blocks { len, fails: false }), "S1".into())
}

/// A disc of ten blocks.
fn ten() -> CdRom {
    drive(10 * BLOCK)
}

fn execute(drive: &CdRom, cdb: &[u8]) -> Result<Reply, Sense> {
    drive.execute(&Cdb::new(cdb))
}

#[track_caller]
fn data(drive: &CdRom, cdb: &[u8]) -> Vec<u8> {
    match execute(drive, cdb) {
        Ok(Reply::Data(data)) => data,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fails(drive: &CdRom, cdb: &[u8], sense: Sense) {
    assert_eq!(execute(drive, cdb), Err(sense), "{cdb:x?}");
}

const READY: [u8; 6] = [0; 6];
const EJECT: [u8; 6] = [opcode::START_STOP_UNIT, 0, 0, 0, 2, 0];
const LOAD: [u8; 6] = [opcode::START_STOP_UNIT, 0, 0, 0, 3, 0];
const LOCK: [u8; 6] = [opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 1, 0];
const UNLOCK: [u8; 6] = [opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 0, 0];
/// What Linux asks for (`sr_get_events`).
const EVENTS: [u8; 10] = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0];

#[test]
fn inquiry_says_that_it_is_a_removable_cd_drive() {
    let standard = data(&ten(), &[0x12, 0, 0, 0, 36, 0]);
    assert_eq!(standard.len(), 36);
    assert_eq!(standard[..8], [5, 0x80, 5, 0x12, 31, 0, 0, 2]);
    assert_eq!(&standard[8..], b"QEMU    QEMU CD-ROM     2.5+");
    assert_eq!(data(&ten(), &[0x12, 0, 0, 0, 5, 0]), standard[..5]);
    fails(&ten(), &[0x12, 0, 1, 0, 36, 0], Sense::INVALID_FIELD);
}

#[test]
fn vital_product_data_has_the_serial_number() {
    let page = |drive: &CdRom, page| data(drive, &[0x12, 1, page, 0, 255, 0]);
    assert_eq!(page(&ten(), 0), [5, 0, 0, 3, 0, 0x80, 0x83]);
    assert_eq!(page(&ten(), 0x80), [5, 0x80, 0, 2, b'S', b'1']);
    assert_eq!(page(&ten(), 0x83), [5, 0x83, 0, 6, 2, 0, 0, 2, b'S', b'1']);
    fails(&ten(), &[0x12, 1, 0xb0, 0, 255, 0], Sense::INVALID_FIELD);
    let disc = Box::new(Blocks { len: 1, fails: false });
    let without = CdRom::new(disc, String::new());
    assert_eq!(page(&without, 0), [5, 0, 0, 2, 0, 0x83]);
    assert_eq!(page(&without, 0x83), [5, 0x83, 0, 0]);
    fails(&without, &[0x12, 1, 0x80, 0, 255, 0], Sense::INVALID_FIELD);
    let long = CdRom::new(Box::new(Blocks { len: 1, fails: false }), "x".repeat(99));
    assert_eq!(page(&long, 0x80).len(), 4 + 36);
}

#[test]
fn capacity_is_the_last_block_and_the_block_size() {
    assert_eq!(data(&ten(), &[0x25]), [0, 0, 0, 9, 0, 0, 8, 0]);
    // A partial block counts.
    assert_eq!(data(&drive(10 * BLOCK + 1), &[0x25])[3], 10);
    let long = data(&ten(), &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32]);
    assert_eq!((long.len(), &long[..12]), (32, &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 8, 0][..]));
    // More than READ CAPACITY(10) can say.
    let huge = drive(u64::MAX);
    assert_eq!(data(&huge, &[0x25])[..4], [0xff; 4]);
    let long = data(&huge, &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(long, (u64::MAX / BLOCK).to_be_bytes());
    fails(&ten(), &[0x25, 0, 0, 0, 0, 1], Sense::INVALID_FIELD);
    fails(&ten(), &[0x9e, 0x11], Sense::INVALID_FIELD);
    fails(&drive(0), &[0x25], Sense::NO_MEDIUM);
}

#[test]
fn reads_name_the_bytes_of_their_blocks() {
    let blocks = |first: u64, end: u64| Ok(Reply::Medium(first * BLOCK..end * BLOCK));
    for (cdb, expected) in [
        (&[0x08, 0, 0, 3, 2, 0][..], blocks(3, 5)),
        (&[0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0], blocks(3, 5)),
        (&[0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0], blocks(3, 5)),
        (&[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0], blocks(3, 5)),
        (&[0x28, 0, 0, 0, 0, 0, 0, 0, 10, 0], blocks(0, 10)),
        // No blocks, even at the end.
        (&[0x28, 0, 0, 0, 0, 10, 0, 0, 0, 0], blocks(10, 10)),
        (&[0x28, 0, 0, 0, 0, 11, 0, 0, 0, 0], Err(Sense::LBA_OUT_OF_RANGE)),
        (&[0x28, 0, 0, 0, 0, 9, 0, 0, 2, 0], Err(Sense::LBA_OUT_OF_RANGE)),
        // READ(6) of no blocks means 256.
        (&[0x08, 0, 0, 0, 0, 0], Err(Sense::LBA_OUT_OF_RANGE)),
        (&[0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err(Sense::LBA_OUT_OF_RANGE)),
        (&[0x88; 16], Err(Sense::LBA_OUT_OF_RANGE)),
        (&[[0x88, 0].as_slice(), &[0xff; 14]].concat(), Err(Sense::LBA_OUT_OF_RANGE)),
    ] {
        assert_eq!(execute(&ten(), cdb), expected, "{cdb:x?}");
    }
    assert_eq!(execute(&drive(256 * BLOCK), &[0x08, 0, 0, 0, 0, 0]), blocks(0, 256));
    let far = execute(&drive(0x1f_ffff * BLOCK), &[0x08, 0x1f, 0xff, 0xfe, 1, 0]);
    assert_eq!(far, blocks(0x1f_fffe, 0x1f_ffff));
}

#[test]
fn blocks_are_read_and_the_last_one_is_filled_up_with_zeros() {
    let drive = drive(BLOCK + 3);
    let mut memory = vec![0xee; 2 * 2048];
    let (front, back) = memory.split_at_mut(1500);
    drive.read(&[VolatileSlice::from(front), VolatileSlice::from(back)], 0).unwrap();
    assert_eq!(memory[..2048], [0; 2048]);
    assert_eq!(memory[2048..2051], [1; 3]);
    assert_eq!(memory[2051..], [0; 2045]);
    drive.read(&[], 0).unwrap();
    let failing = CdRom::new(Box::new(Blocks { len: BLOCK, fails: true }), String::new());
    let slice = [VolatileSlice::from(&mut memory[..2048])];
    assert_eq!(failing.read(&slice, 0), Err(Sense::READ_ERROR));
}

#[test]
fn a_disc_cannot_be_written_to() {
    for code in [0x0a, 0x2a, 0xaa, 0x8a] {
        fails(&ten(), &[code], Sense::WRITE_PROTECTED);
    }
}

#[test]
fn commands_that_are_not_known_are_refused() {
    let known = [
        0x00, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x35, 0x43, 0x46, 0x4a, 0x51,
        0x5a, 0x88, 0x8a, 0x91, 0x9e, 0xa8, 0xaa, 0xbd,
    ];
    for code in (0..=255).filter(|code| !known.contains(code)) {
        fails(&ten(), &[code], Sense::INVALID_OPCODE);
    }
}

#[test]
fn the_tray_opens_and_closes() {
    let drive = ten();
    assert_eq!(data(&drive, &READY), []);
    assert_eq!(data(&drive, &EVENTS), [0, 6, 4, 0x10, 0, 2, 0, 0]);
    // Stopping the motor, and power conditions, do not open it.
    data(&drive, &[0x1b, 0, 0, 0, 0, 0]);
    data(&drive, &[0x1b, 0, 0, 0, 0x32, 0]);
    assert_eq!(data(&drive, &READY), []);

    data(&drive, &EJECT);
    fails(&drive, &READY, Sense::TRAY_OPEN);
    fails(&drive, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1], Sense::TRAY_OPEN);
    assert_eq!(data(&drive, &EVENTS)[4..6], [0, 1]);
    assert_eq!(data(&drive, &[0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8])[1], 0x10);
    data(&drive, &EJECT);

    data(&drive, &LOAD);
    assert_eq!(data(&drive, &EVENTS)[4..6], [0, 2], "the same disc");
    assert_eq!(data(&drive, &READY), []);
    // Closed already.
    data(&drive, &LOAD);
    assert_eq!(data(&drive, &READY), []);
    assert_eq!(data(&drive, &[0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8]), [0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_locked_tray_does_not_open() {
    let drive = ten();
    let lock = |drive: &CdRom| data(drive, &[0x1a, 0, 0x2a, 0, 255, 0])[4 + 6] & 2;
    assert_eq!(lock(&drive), 0);
    data(&drive, &LOCK);
    assert_eq!(lock(&drive), 2);
    fails(&drive, &EJECT, Sense::REMOVAL_PREVENTED);
    data(&drive, &UNLOCK);
    data(&drive, &EJECT);
    fails(&drive, &READY, Sense::TRAY_OPEN);
    data(&drive, &LOCK);
    drive.reset();
    assert_eq!(data(&drive, &READY), []);
    data(&drive, &EJECT);
}

#[test]
fn the_table_of_contents_has_one_track() {
    let toc = |cdb: [u8; 10]| data(&ten(), &cdb);
    let all = [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x16, 0xaa, 0, 0, 0, 0, 10];
    assert_eq!(toc([0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0]), all);
    assert_eq!(toc([0x43, 0, 0, 0, 0, 0, 1, 0, 12, 0]), all[..12]);
    let lead_out = toc([0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255, 0]);
    assert_eq!(lead_out, [0, 10, 1, 1, 0, 0x16, 0xaa, 0, 0, 0, 2, 10], "2 s and 10 frames");
    // The last session: where Linux looks for the volume descriptor.
    let sessions = toc([0x43, 0, 1, 0, 0, 0, 0, 0, 12, 0]);
    assert_eq!(sessions, [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
    fails(&ten(), &[0x43, 0, 0, 0, 0, 0, 2, 0, 12, 0], Sense::INVALID_FIELD);
    fails(&ten(), &[0x43, 0, 5, 0, 0, 0, 0, 0, 12, 0], Sense::INVALID_FIELD);
    // Far beyond 99 minutes.
    let huge = data(&drive(u64::MAX), &[0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255, 0]);
    assert_eq!(huge[9], 0xff);
}

#[test]
fn the_configuration_tells_cds_from_dvds() {
    let all = [0x46, 0, 0, 0, 0, 0, 0, 0, 255, 0];
    let cd = data(&ten(), &all);
    assert_eq!((cd[3], cd[7], cd.len()), (48, 8, 52));
    assert_eq!(cd[8..20], [0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0]);
    assert_eq!(cd[20..32], [0, 1, 0x0b, 8, 0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(cd[32..40], [0, 3, 0x0b, 4, 0x39, 0, 0, 0]);
    assert_eq!(cd[40..], [0, 0x10, 1, 8, 0, 0, 8, 0, 0, 1, 0, 0]);
    let dvd = data(&drive(4 << 30), &all);
    assert_eq!((dvd[7], &dvd[12..20]), (0x10, &[0, 0x10, 1, 0, 0, 8, 0, 0][..]));
    let open = ten();
    data(&open, &EJECT);
    let none = data(&open, &all);
    assert_eq!((none[7], none[14], none[18], none[42]), (0, 0, 0, 0));
    assert_eq!(data(&open, &[0x46, 1, 0, 0, 0, 0, 0, 0, 255, 0]).len(), 40, "current features");
    assert_eq!(data(&ten(), &[0x46, 2, 0, 3, 0, 0, 0, 0, 255, 0])[3], 12, "one feature");
    assert_eq!(data(&ten(), &[0x46, 2, 0, 9, 0, 0, 0, 0, 255, 0])[3], 4, "an unknown feature");
    assert_eq!(data(&ten(), &[0x46, 0, 0, 0, 0, 0, 0, 0, 8, 0]), cd[..8]);
}

#[test]
fn events_are_for_those_who_ask() {
    fails(&ten(), &[0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8], Sense::INVALID_FIELD);
    assert_eq!(data(&ten(), &[0x4a, 1, 0, 0, 0x40, 0, 0, 0, 8]), [0, 2, 0x80, 0x10]);
}

#[test]
fn modes_are_told_as_linux_reads_them() {
    let mode = data(&ten(), &[0x1a, 0, 0x2a, 0, 128, 0]);
    assert_eq!((mode.len(), &mode[..6]), (26, &[25, 0, 0, 0, 0x2a, 20][..]));
    assert_eq!(mode[4 + 6] >> 5, 1, "a tray");
    assert_eq!(u16::from_be_bytes([mode[12], mode[13]]) / 176, 50, "the speed");
    let long = data(&ten(), &[0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(long[..8], [0, 28, 0, 0, 0, 0, 0, 0]);
    assert_eq!(long[8..], mode[4..]);
    let all = data(&ten(), &[0x5a, 0, 0x3f, 0, 0, 0, 0, 4, 0, 0]);
    assert_eq!((all.len(), all[8], all[20]), (8 + 12 + 22, 1, 0x2a));
    let changeable = data(&ten(), &[0x1a, 0, 0x6a, 0, 128, 0]);
    assert_eq!(changeable[6..], [0; 20]);
    fails(&ten(), &[0x1a, 0, 0xea, 0, 128, 0], Sense::NO_SAVED_PARAMETERS);
    fails(&ten(), &[0x1a, 0, 0x08, 0, 128, 0], Sense::INVALID_FIELD);
    fails(&ten(), &[0x1a, 0, 0x2a, 1, 128, 0], Sense::INVALID_FIELD);
}

#[test]
fn disc_information_is_that_of_a_finished_disc() {
    let information = data(&ten(), &[0x51, 0, 0, 0, 0, 0, 0, 0, 34]);
    assert_eq!((information.len(), &information[..8]), (34, &[0, 32, 14, 1, 1, 1, 1, 0x20][..]));
    fails(&ten(), &[0x51, 1, 0, 0, 0, 0, 0, 0, 34], Sense::INVALID_FIELD);
}

/// Every command, with every parameter at its extremes.
#[test]
fn no_command_panics() {
    for len in [0, 1, BLOCK, u64::MAX] {
        let drive = drive(len);
        for code in 0..=255 {
            for fill in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut cdb = [fill; 32];
                cdb[0] = code;
                if let Ok(Reply::Data(data)) = execute(&drive, &cdb) {
                    assert!(data.len() < 300);
                }
            }
        }
    }
}

#[test]
fn subpages_are_only_those_of_all_pages() {
    let all = data(&ten(), &[0x1a, 0, 0x3f, 0, 255]);
    assert_eq!(data(&ten(), &[0x1a, 0, 0x3f, 0xff, 255]), all);
    for (page, subpage) in [(0x3f, 1), (0x01, 0xff), (0x2a, 1)] {
        fails(&ten(), &[0x1a, 0, page, subpage, 255], Sense::INVALID_FIELD);
    }
    // 50 times 176 kB/s, at most and now.
    let capabilities = data(&ten(), &[0x1a, 0, 0x2a, 0, 255]);
    assert_eq!(
        (&capabilities[12..14], &capabilities[18..20]),
        (&[0x22, 0x60][..], &[0x22, 0x60][..])
    );
}

/// SBC-3, 5.16: an address is only allowed together with PMI.
#[test]
fn the_long_capacity_takes_an_address_only_with_pmi() {
    let capacity = |address: u8, pmi: u8| {
        let cdb = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, address, 0, 0, 0, 32, pmi, 0];
        execute(&ten(), &cdb).map(|_| ())
    };
    assert_eq!([capacity(0, 0), capacity(0, 1), capacity(1, 1), capacity(0, 2)], [Ok(()); 4]);
    assert_eq!([capacity(1, 0), capacity(1, 2)], [Err(Sense::INVALID_FIELD); 2]);
}

#[test]
fn a_locked_tray_only_refuses_to_open() {
    let drive = ten();
    for cdb in [EJECT, LOCK, EJECT, LOAD, LOAD] {
        assert_eq!(execute(&drive, &cdb), Ok(Reply::NONE), "{cdb:x?}");
    }
    fails(&drive, &EJECT, Sense::REMOVAL_PREVENTED);
}

#[test]
fn what_the_disc_lacks_is_zeros_however_long_the_buffer_is() {
    let drive = drive(10);
    assert_eq!(
        (drive.size(), drive.disc.is_empty(), self::drive(0).disc.is_empty()),
        (10, false, true)
    );
    let mut memory = vec![0xee; 5000];
    let slice = VolatileSlice::from(memory.as_mut_slice());
    assert_eq!(LogicalUnit::read(&drive, &[slice], 0), Ok(()));
    assert_eq!(memory, vec![0; 5000]);
}
