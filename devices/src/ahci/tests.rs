use std::io::ErrorKind;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::ata::disk::AtaDisk;
use crate::ata::testing::MemoryDisk;
use crate::ata::{Command, HostBuffers, Outcome, Reset, Signature, code, error};
use crate::irq::{RecordingLine, RecordingSender};
use crate::pci::function::tests::{read, write};
use crate::pci::function::{COMMAND, COMMAND_MEMORY};

const LIST: u64 = 0x1000;
const FRAMES: u64 = 0x2000;
const TABLE: u64 = 0x3000;
const DATA: u64 = 0x8000;
const PORT: u64 = 2;
const GHC: u64 = 0x04;
const IS: u64 = 0x10;
const IE: u64 = 0x14;
const CMD: u64 = 0x18;
const SCTL: u64 = 0x2c;
const SACT: u64 = 0x34;
const CI: u64 = 0x38;

#[derive(Clone, Debug, Default)]
struct Notified(Arc<Mutex<Vec<u8>>>);

impl PortNotifier for Notified {
    fn notify(&self, port: u8) {
        self.0.lock().unwrap().push(port);
    }
}

/// A driver of a controller with a disk at port 2, after its set-up.
struct Driver {
    ahci: Ahci,
    medium: MemoryDisk,
    memory: GuestMemoryMmap,
    pin: RecordingLine,
    messages: RecordingSender,
    notified: Notified,
}

impl Driver {
    fn new() -> Self {
        let medium = MemoryDisk::default();
        let disk = AtaDisk::new(medium.disk(), "QM00005".into());
        Self::with_drive(Some(Arc::new(disk)), medium)
    }

    fn with_drive(drive: Option<Arc<dyn AtaDevice>>, medium: MemoryDisk) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        let mut drives: [Option<Arc<dyn AtaDevice>>; PORTS] = Default::default();
        drives[2] = drive;
        let (pin, messages, notified) =
            (RecordingLine::default(), RecordingSender::default(), Notified::default());
        let connections = Connections {
            pin: Box::new(pin.clone()),
            messages: Box::new(messages.clone()),
            notifier: Box::new(notified.clone()),
        };
        let ahci = Ahci::new(drives, memory.clone(), connections);
        let mut driver = Self { ahci, medium, memory, pin, messages, notified };
        driver.start();
        driver
    }

    fn start(&mut self) {
        write(&mut self.ahci, COMMAND, u32::from(COMMAND_MEMORY | COMMAND_MASTER));
        self.write(GHC, CONTROL_INTERRUPTS);
        for (register, value) in [(0x00, LIST), (0x08, FRAMES), (IE, 0xffff_ffff), (CMD, 0x11)] {
            self.write_port(register, u32::try_from(value).unwrap());
        }
        self.write_port(IS, u32::MAX);
        self.write(0x08, u32::MAX);
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.ahci.read_bar(5, offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.ahci.write_bar(5, offset, &value.to_le_bytes());
    }

    fn read_port(&mut self, register: u64) -> u32 {
        self.read(0x100 + 0x80 * PORT + register)
    }

    fn write_port(&mut self, register: u64, value: u32) {
        self.write(0x100 + 0x80 * PORT + register, value);
    }

    fn put<T: vm_memory::ByteValued>(&self, at: u64, value: T) {
        self.memory.write_obj(value, GuestAddress(at)).unwrap();
    }

    fn bytes<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    /// Puts a command with one buffer into a slot.
    fn prepare(&self, slot: u64, frame: &[u8], bytes: u32) {
        let (header, table) = (LIST + 32 * slot, TABLE + 0x100 * slot);
        self.put(header, 5u32 | 1 << 16);
        self.put(header + 4, 0u32);
        self.put(header + 8, table);
        self.memory.write_slice(&[0; 20], GuestAddress(table)).unwrap();
        self.memory.write_slice(frame, GuestAddress(table)).unwrap();
        self.put(table + 0x80, DATA + 0x1000 * slot);
        self.put(table + 0x8c, bytes - 1);
    }

    fn serve(&self) -> bool {
        self.ahci.hba().serve(2)
    }

    /// Has a command served in slot 0.
    fn run(&mut self, frame: &[u8], bytes: u32) {
        self.prepare(0, frame, bytes);
        self.write_port(CI, 1);
        assert!(!self.serve());
    }
}

/// A command of one sector at `lba`.
fn frame(code: u8, lba: u8) -> [u8; 13] {
    [0x27, 0x80, code, 0, lba, 0, 0, 0x40, 0, 0, 0, 0, 1]
}

#[test]
fn the_function_is_qemus_ich9_ahci() {
    let mut driver = Driver::new();
    let ids = [0x00, 0x08, 0x2c].map(|offset| read(&mut driver.ahci, offset));
    assert_eq!(ids, [0x2922_8086, 0x0106_0102, 0x1100_1af4]);
    write(&mut driver.ahci, 0x24, u32::MAX);
    assert_eq!(read(&mut driver.ahci, 0x24), 0xffff_f000);
    // `ahci_save_initial_config` in Linux's drivers/ata/libahci.c: ports, slots, NCQ, 64 bits.
    let capabilities = driver.read(0);
    assert_eq!((capabilities & 0x1f, capabilities >> 8 & 0x1f), (5, 31));
    assert_eq!((capabilities >> 30, driver.read(0x0c), driver.read(0x10)), (3, 4, 0x1_0301));
    assert_eq!(driver.read(GHC), 1 << 31 | 2);
    driver.write(GHC, 0);
    assert_eq!(driver.read(GHC), 1 << 31, "interrupts are off, and AHCI stays on");
    assert_eq!(driver.read(0x900), 0, "beyond the ports");
    let mut empty = Driver::with_drive(None, MemoryDisk::default());
    assert_eq!(empty.read(0x0c), 0x3f, "PI: at least one port has to be there");
}

#[test]
fn a_command_moves_data_and_raises_the_pin_until_it_is_cleared() {
    let mut driver = Driver::new();
    assert!(!driver.pin.is_high());
    driver.run(&frame(code::READ_DMA, 7), 512);
    assert_eq!(*driver.notified.0.lock().unwrap(), [2, 2], "bus master, command");
    assert_eq!(driver.bytes::<512>(DATA), [7; 512]);
    assert_eq!(driver.bytes::<4>(LIST + 4), 512u32.to_le_bytes());
    assert_eq!(driver.bytes::<4>(FRAMES + 0x40), [0x34, 0x40, 0x50, 0]);
    assert_eq!((driver.read_port(CI), driver.read_port(IS), driver.read(8)), (0, 1, 4));
    assert!(driver.pin.is_high());
    assert_eq!(read(&mut driver.ahci, 0x04) >> 19 & 1, 1, "the status register");
    driver.write_port(IS, 1);
    driver.write(8, 4);
    assert!(!driver.pin.is_high());
}

#[test]
fn queued_commands_send_one_message_until_the_driver_has_seen_it() {
    let mut driver = Driver::new();
    let message = |driver: &mut Driver, offset, value| write(&mut driver.ahci, offset, value);
    message(&mut driver, 0x84, 0xfee0_0000);
    message(&mut driver, 0x8c, 0x31);
    message(&mut driver, 0x80, 1 << 16);
    let queued = |tag: u8, lba| {
        let mut queued = frame(code::READ_FPDMA_QUEUED, lba);
        (queued[3], queued[12]) = (1, tag << 3);
        queued
    };
    for slot in 0..3u8 {
        driver.prepare(slot.into(), &queued(slot, 10 + slot), 512);
    }
    driver.write_port(SACT, 7);
    driver.write_port(CI, 7);
    driver.serve();
    assert_eq!(driver.messages.take().len(), 1);
    assert_eq!((driver.read_port(SACT), driver.read_port(CI), driver.read_port(IS)), (0, 0, 8));
    for slot in 0..3u8 {
        assert_eq!(driver.bytes::<512>(DATA + 0x1000 * u64::from(slot)), [10 + slot; 512]);
    }
    assert!(!driver.pin.is_high());
}

#[test]
fn a_failed_command_is_reported_and_the_port_restarts() {
    let mut driver = Driver::new();
    driver.run(&frame(code::IDENTIFY_PACKET_DEVICE, 0), 512);
    assert_eq!(driver.read_port(IS), 1 << 30 | 1);
    assert_eq!(driver.read_port(0x20), u32::from(error::ABORTED) << 8 | 0x51);
    driver.write_port(CMD, 0x10);
    driver.start();
    driver.run(&frame(code::IDENTIFY_DEVICE, 0), 512);
    assert_eq!((driver.read_port(IS), driver.bytes::<3>(FRAMES + 0x20)), (2, [0x5f, 0x60, 0x58]));
}

#[test]
fn resets_end_in_the_signature() {
    let mut driver = Driver::new();
    let resets: [fn(&mut Driver); 3] = [
        |driver| {
            driver.write_port(SCTL, 0x301);
            driver.write_port(SCTL, 0x300);
        },
        |driver| {
            let control = |srst| {
                let mut frame = [0; 16];
                (frame[0], frame[15]) = (0x27, srst);
                frame
            };
            driver.run(&control(4), 512);
            driver.run(&control(0), 512);
        },
        |driver| {
            driver.write(GHC, CONTROL_RESET);
            assert_eq!(driver.read(GHC), CONTROL_AHCI);
            driver.start();
        },
    ];
    for (number, reset) in resets.into_iter().enumerate() {
        // No settings revert after a software reset; no write cache.
        for features in [0x66, 0x82] {
            let mut set = frame(code::SET_FEATURES, 0);
            set[3] = features;
            driver.run(&set, 512);
        }
        driver.memory.write_slice(&[0; 256], GuestAddress(FRAMES)).unwrap();
        reset(&mut driver);
        let found = (driver.read_port(0x20), driver.read_port(0x24), driver.read_port(0x28));
        assert_eq!(found, (0x150, 0x101, 0x133), "{number}");
        assert_eq!(driver.bytes::<8>(FRAMES + 0x40), [0x34, 0x40, 0x50, 1, 1, 0, 0, 0], "{number}");
        driver.write_port(IS, u32::MAX);
        driver.medium.calls();
        driver.run(&frame(code::WRITE_DMA, 1), 512);
        assert_eq!(driver.read_port(CI), 0, "{number}");
        let is_software = number == 1;
        let expected = if is_software { &["write 1", "flush"][..] } else { &["write 1"] };
        assert_eq!(driver.medium.calls(), expected, "{number}");
    }
}

#[test]
fn what_is_not_in_memory_stops_the_port_and_nothing_else() {
    let mut driver = Driver::new();
    driver.write_port(CMD, 0x10);
    driver.write_port(0x04, 0xffff_ffff);
    driver.write_port(CMD, 0x11);
    driver.write_port(CI, u32::MAX);
    driver.serve();
    assert_eq!(driver.read_port(IS), 1 << 29);
    driver.write_port(CMD, 0x10);
    driver.write_port(0x04, 0);
    driver.write_port(0x0c, 0xffff_ffff);
    driver.start();
    driver.run(&frame(code::READ_DMA, 1), 512);
    assert_eq!(driver.read_port(IS), 1, "only the frame is lost");
    // Buffers that are too few, and that are nowhere.
    driver.run(&frame(code::READ_DMA, 1), 100);
    assert_eq!(driver.read_port(IS), 1 << 30 | 1 << 24 | 1);
    driver.write_port(CMD, 0x10);
    driver.start();
    driver.prepare(0, &frame(code::READ_DMA, 1), 512);
    driver.put(TABLE + 0x80, u64::MAX);
    driver.write_port(CI, 1);
    driver.serve();
    assert_eq!(driver.read_port(IS), 1 << 30 | 1);
}

#[test]
fn nothing_is_served_without_the_bus() {
    let mut driver = Driver::new();
    write(&mut driver.ahci, COMMAND, COMMAND_MEMORY.into());
    driver.run(&frame(code::READ_DMA, 7), 512);
    assert_eq!((driver.bytes::<1>(DATA), driver.read_port(CI)), ([0], 1));
    write(&mut driver.ahci, COMMAND, u32::from(COMMAND_MEMORY | COMMAND_MASTER));
    assert_eq!(*driver.notified.0.lock().unwrap(), [2, 2, 2], "bus master, command, bus master");
    write(&mut driver.ahci, COMMAND, u32::from(COMMAND_MEMORY | COMMAND_MASTER));
    assert_eq!(driver.notified.0.lock().unwrap().len(), 3, "it was bus master already");
    driver.serve();
    assert_eq!((driver.bytes::<1>(DATA), driver.read_port(CI)), ([7], 0));
}

#[test]
fn a_command_that_is_held_waits_and_a_reset_gives_it_up() {
    let mut driver = Driver::new();
    driver.medium.fail(Some(ErrorKind::StorageFull));
    driver.prepare(0, &frame(code::WRITE_DMA, 3), 512);
    driver.prepare(1, &frame(code::READ_DMA, 4), 512);
    driver.write_port(CI, 3);
    assert!(driver.serve() && driver.serve());
    assert_eq!(driver.read_port(CI), 3);
    driver.medium.fail(None);
    assert!(!driver.serve());
    assert_eq!(
        (driver.read_port(CI), driver.medium.calls().last().unwrap().as_str()),
        (0, "read 4")
    );
    driver.medium.fail(Some(ErrorKind::StorageFull));
    driver.write_port(CI, 1);
    assert!(driver.serve());
    driver.ahci.reset();
    assert!(!driver.serve());
    assert_eq!((driver.read_port(CI), driver.read_port(CMD)), (0, 6));
}

#[test]
fn accesses_of_other_widths_are_parts_of_registers() {
    let mut driver = Driver::new();
    let mut wide = [0; 8];
    driver.ahci.read_bar(5, 0x100 + 0x80 * PORT, &mut wide);
    assert_eq!(u64::from_le_bytes(wide), LIST);
    let mut part = [0; 2];
    driver.ahci.read_bar(5, 0x0e, &mut part);
    assert_eq!(part, [0, 0]);
    driver.ahci.read_bar(5, 0x10, &mut part);
    assert_eq!(part, [1, 3]);
    driver.ahci.read_bar(5, 0x0c, &mut wide);
    assert_eq!(u64::from_le_bytes(wide), 0x1_0301 << 32 | 4, "PI and VS");
    driver.ahci.write_bar(5, 0x100 + 0x80 * PORT, &[0xff; 2]);
    driver.ahci.write_bar(5, 0x102 + 0x80 * PORT, &[0xff; 4]);
    // The rest of 8 bytes that begin in the page before.
    driver.ahci.write_bar(5, 0x100 + 0x80 * PORT, &[0xff; 6]);
    assert_eq!(driver.read_port(0), 0x1000);
}

/// A drive whose commands take until they are told to end, or two seconds.
#[derive(Debug)]
struct SlowDrive {
    begun: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
    /// How many commands have ended, and whether they were told to.
    ended: Arc<Mutex<Vec<bool>>>,
}

impl AtaDevice for SlowDrive {
    fn signature(&self) -> Signature {
        Signature::DISK
    }

    fn execute(&self, command: &Command, _: &dyn HostBuffers) -> Outcome {
        self.begun.send(()).unwrap();
        let was_told = self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(2)).is_ok();
        self.ended.lock().unwrap().push(was_told);
        Outcome::Ended(command.done())
    }

    fn cancel(&self) {}

    fn reset(&self, _: Reset) {}

    fn finish(&self) {}
}

/// `Hba::set_master`: PCI 3.0, 6.2.2: a function without Bus Master Enable accesses no memory.
#[test]
fn only_the_end_of_bus_mastering_waits_for_the_command_in_service() {
    let (begun, has_begun) = mpsc::channel();
    let (tell, go_on) = mpsc::channel();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let drive = SlowDrive { begun, go_on: Mutex::new(go_on), ended: ended.clone() };
    let mut driver = Driver::with_drive(Some(Arc::new(drive)), MemoryDisk::default());
    driver.prepare(0, &frame(code::READ_DMA, 1), 512);
    driver.write_port(CI, 1);
    let hba = driver.ahci.hba().clone();
    std::thread::scope(|scope| {
        scope.spawn(move || hba.serve(2));
        has_begun.recv().unwrap();
        write(&mut driver.ahci, COMMAND, u32::from(COMMAND_MEMORY | COMMAND_MASTER));
        assert_eq!(*ended.lock().unwrap(), [], "it is bus master as before");
        let teller = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            tell.send(()).unwrap();
        });
        write(&mut driver.ahci, COMMAND, COMMAND_MEMORY.into());
        assert_eq!(*ended.lock().unwrap(), [true], "the command has ended");
        teller.join().unwrap();
    });
}
