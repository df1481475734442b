use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A unit that fails all commands but INQUIRY.
#[derive(Clone, Debug, Default)]
struct Failing {
    resets: Arc<AtomicU32>,
}

impl LogicalUnit for Failing {
    fn execute(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        match cdb.opcode() {
            opcode::INQUIRY => Ok(Reply::data(vec![5], 1)),
            _ => Err(Sense::TRAY_OPEN),
        }
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> Result<(), Sense> {
        Err(Sense::READ_ERROR)
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

fn command<const N: usize>(target: &Target, lun: u16, cdb: [u8; N]) -> Result<Vec<u8>, Sense> {
    target.execute(lun, &Cdb::new(&cdb)).map(|reply| match reply {
        Reply::Data(data) => data,
        Reply::Medium(range) => panic!("{range:?}"),
    })
}

const READY: [u8; 6] = [0; 6];
const SENSE: [u8; 6] = [opcode::REQUEST_SENSE, 0, 0, 0, 18, 0];
const INQUIRY: [u8; 6] = [opcode::INQUIRY, 0, 0, 0, 36, 0];

#[test]
fn request_sense_says_once_why_the_last_command_failed() {
    let target = Target::new(Box::new(Failing::default()));
    assert_eq!(command(&target, 0, SENSE).unwrap(), Sense::NONE.fixed());
    assert_eq!(command(&target, 0, READY), Err(Sense::TRAY_OPEN));
    assert_eq!(command(&target, 0, SENSE).unwrap(), Sense::TRAY_OPEN.fixed());
    assert_eq!(command(&target, 0, SENSE).unwrap(), Sense::NONE.fixed());
    // Another command in between, and it is lost.
    assert_eq!(command(&target, 0, READY), Err(Sense::TRAY_OPEN));
    assert_eq!(command(&target, 0, INQUIRY).unwrap(), [5]);
    assert_eq!(command(&target, 0, SENSE).unwrap(), Sense::NONE.fixed());
    // The descriptor format, and an error of the medium.
    assert_eq!(target.read(&[], 0), Err(Sense::READ_ERROR));
    let descriptors = command(&target, 0, [opcode::REQUEST_SENSE, 1, 0, 0, 4, 0]).unwrap();
    assert_eq!(descriptors, [0x72, 3, 0x11, 0]);
}

#[test]
fn there_is_one_logical_unit() {
    let target = Target::new(Box::new(Failing::default()));
    let luns = |select, allocation| {
        command(&target, 0, [opcode::REPORT_LUNS, 0, select, 0, 0, 0, 0, 0, 0, allocation, 0, 0])
    };
    let list = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SeaBIOS asks with room for one unit.
    assert_eq!(luns(0, 16).unwrap(), list);
    assert_eq!(luns(2, 255).unwrap(), list);
    assert_eq!(luns(0, 8), Err(Sense::INVALID_FIELD));
    assert_eq!(luns(3, 16), Err(Sense::INVALID_FIELD));
}

#[test]
fn other_logical_units_are_not_there() {
    let target = Target::new(Box::new(Failing::default()));
    assert_eq!(command(&target, 1, SENSE).unwrap(), Sense::NO_SUCH_UNIT.fixed());
    assert_eq!(command(&target, 1, READY), Err(Sense::NO_SUCH_UNIT));
    for (flags, page) in [(0, 0x80), (1, 0)] {
        assert_eq!(command(&target, 1, [0x12, flags, page, 0, 36, 0]), Err(Sense::NO_SUCH_UNIT));
    }
    let inquiry = command(&target, 1, INQUIRY).unwrap();
    assert_eq!((inquiry.len(), inquiry[0]), (36, 0x7f));
    assert_eq!(command(&target, 1, [0x12, 1, 0x80, 0, 36, 0]), Err(Sense::NO_SUCH_UNIT));
    assert_eq!(command(&target, 1, SENSE).unwrap(), Sense::NO_SUCH_UNIT.fixed());
    assert_eq!(command(&target, 1, [opcode::REPORT_LUNS; 12]), Err(Sense::NO_SUCH_UNIT));
}

#[test]
fn a_reset_forgets_the_sense_data() {
    let unit = Failing::default();
    let target = Target::new(Box::new(unit.clone()));
    assert_eq!(command(&target, 0, READY), Err(Sense::TRAY_OPEN));
    target.reset();
    assert_eq!(unit.resets.load(Ordering::SeqCst), 1);
    assert_eq!(command(&target, 0, SENSE).unwrap(), Sense::NONE.fixed());
}
