//! What a port is connected to: its output, and where its input goes.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use devices::console::{ConsoleEvents, ConsoleSink};
use devices::virtio::console::{Console, PortBackend};
use vmm_sys_util::eventfd::EventFd;

use crate::host::notices::Notifier;
use crate::lock::lock;
use crate::machine::input_port::InputPort;

/// A console: what it prints is buffered and watched as that of a serial port is. What does not fit
/// is dropped, if it would have to wait for a line: Linux waits for a console's output with
/// interrupts off (`put_chars`, drivers/char/virtio_console.c). While the guest is paused, nothing
/// waits for it, so its output is held instead.
pub(super) struct ConsoleOutput {
    pub sink: Arc<Mutex<ConsoleSink>>,
    pub notifier: Notifier,
}

impl PortBackend for ConsoleOutput {
    fn write(&self, bytes: &[u8]) -> usize {
        let mut sink = lock(&self.sink);
        if sink.should_wait() {
            return 0;
        }
        // A sink takes everything.
        let _ = sink.write(bytes);
        bytes.len()
    }

    fn has_room(&self) {
        self.notifier.note(|n| n.input_wanted = true);
    }
}

impl fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsoleOutput")
    }
}

/// A port for programs: nothing is lost, and the guest waits where there is no room.
pub(super) struct PortOutput {
    pub out: Mutex<Option<Box<dyn Write + Send>>>,
    pub stopping: Arc<AtomicBool>,
    pub notifier: Notifier,
}

impl PortBackend for PortOutput {
    fn write(&self, bytes: &[u8]) -> usize {
        let mut place = lock(&self.out);
        while let Some(out) = &mut *place {
            match out.write(bytes) {
                Ok(count @ 1..) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.stopping.load(Ordering::SeqCst) {
                        return 0;
                    }
                }
                lost => {
                    let error = lost.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    self.notifier.output_lost(&error);
                    *place = None;
                }
            }
        }
        bytes.len()
    }

    fn has_room(&self) {
        self.notifier.note(|n| n.input_wanted = true);
    }
}

impl fmt::Debug for PortOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortOutput")
    }
}

/// Where input of a port goes.
pub(super) struct Input {
    pub console: Arc<Console>,
    pub number: u32,
    pub receive: Arc<EventFd>,
    pub transmit: Arc<EventFd>,
    pub control: Arc<EventFd>,
}

impl InputPort for Input {
    fn take_input(&self, typed: &mut Vec<u8>) -> bool {
        let taken = self.console.enqueue(self.number, typed);
        typed.drain(..taken);
        if taken > 0 {
            let _ = self.receive.write(1);
        }
        true
    }

    fn peer_changed(&self, is_there: bool) {
        self.console.set_connected(self.number, is_there);
        let _ = self.control.write(1);
        // What is held for a peer that has gone is dropped.
        let _ = self.transmit.write(1);
    }

    fn output_ready(&self) {
        let _ = self.transmit.write(1);
    }
}

#[cfg(test)]
mod tests {
    use devices::console::CAPACITY;

    use super::*;

    /// An output that has no room.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_console_holds_its_output_while_the_guest_is_paused() {
        let stopping = Arc::new(AtomicBool::new(true));
        let sink = ConsoleSink::new(Box::new(Full), Box::new(()), Arc::clone(&stopping));
        let notifier = Notifier::new().expect("a descriptor");
        let output = ConsoleOutput { sink: Arc::new(Mutex::new(sink)), notifier };
        assert_eq!(output.write(&[b'x'; CAPACITY]), CAPACITY);
        assert_eq!(output.write(b"held"), 0);
        stopping.store(false, Ordering::SeqCst);
        assert_eq!(output.write(b"dropped"), 7, "the guest's kernel would hang");
    }
}
