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
    use devices::virtio::console::PortConfig;
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

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

    /// What an output answers, one after the other, and what it has taken.
    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<Vec<io::Result<usize>>>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let answer = lock(&self.answers).remove(0);
            if let Ok(count) = answer {
                lock(&self.taken).extend(&bytes[..count]);
            }
            answer
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn port(answers: Vec<io::Result<usize>>) -> (PortOutput, Script) {
        let script = Script { answers: Arc::new(Mutex::new(answers)), ..Script::default() };
        let out: Box<dyn Write + Send> = Box::new(script.clone());
        let notifier = Notifier::new().expect("a descriptor");
        (PortOutput { out: Mutex::new(Some(out)), stopping: Arc::default(), notifier }, script)
    }

    #[test]
    fn a_port_loses_nothing_while_there_is_an_output() {
        let later = |kind: io::ErrorKind| Err(kind.into());
        let (output, script) = port(vec![
            Ok(3),
            later(io::ErrorKind::WouldBlock),
            later(io::ErrorKind::Interrupted),
            Ok(2),
            later(io::ErrorKind::Interrupted),
        ]);
        assert_eq!(output.write(b"abcde"), 3);
        assert_eq!(output.write(b"de"), 0, "there is no room");
        assert_eq!(output.write(b"de"), 2, "a signal does not end it");
        output.stopping.store(true, Ordering::SeqCst);
        assert_eq!(output.write(b"fg"), 0, "unless chukka stops");
        assert_eq!(*lock(&script.taken), b"abcde");
        assert_eq!(output.notifier.take().output_lost, None);
    }

    #[test]
    fn an_output_that_fails_is_told_once_and_the_guest_does_not_wait_for_it() {
        for (failure, told) in
            [(Err(io::ErrorKind::BrokenPipe.into()), "broken pipe"), (Ok(0), "write zero")]
        {
            let (output, script) = port(vec![failure]);
            assert_eq!(output.write(b"lost"), 4);
            assert_eq!(output.write(b"dropped"), 7);
            assert!(lock(&script.answers).is_empty());
            let lost = output.notifier.take().output_lost;
            assert!(lost.as_ref().is_some_and(|lost| lost.contains(told)), "{lost:?}");
        }
    }

    #[test]
    fn room_for_input_is_told_to_the_event_loop() {
        let (output, _) = port(Vec::new());
        assert!(!output.notifier.take().input_wanted);
        output.has_room();
        assert!(output.notifier.take().input_wanted);
        let notifier = Notifier::new().expect("a descriptor");
        let console = ConsoleOutput { sink: Arc::new(Mutex::new(ConsoleSink::null())), notifier };
        console.has_room();
        assert!(console.notifier.take().input_wanted);
    }

    #[test]
    fn a_port_that_the_guest_has_not_opened_keeps_its_input_outside() {
        let event = || Arc::new(EventFd::new(EFD_NONBLOCK).expect("a descriptor"));
        let rung = |event: &EventFd| event.read().is_ok();
        let (receive, transmit, control) = (event(), event(), event());
        let (backend, _) = port(Vec::new());
        let config = PortConfig {
            number: 1,
            is_console: false,
            name: String::new(),
            backend: Box::new(backend),
        };
        let input = Input {
            console: Arc::new(Console::new(2, vec![config])),
            number: 1,
            receive: Arc::clone(&receive),
            transmit: Arc::clone(&transmit),
            control: Arc::clone(&control),
        };
        let mut typed = b"typed".to_vec();
        assert!(input.take_input(&mut typed));
        assert_eq!((typed, rung(&receive)), (b"typed".to_vec(), false));
        input.output_ready();
        assert_eq!((rung(&receive), rung(&transmit), rung(&control)), (false, true, false));
        input.peer_changed(true);
        assert_eq!((rung(&receive), rung(&transmit), rung(&control)), (false, true, true));
        // A port that the device does not have drops its input.
        let mut typed = b"typed".to_vec();
        assert!(Input { number: 7, ..input }.take_input(&mut typed));
        assert_eq!((typed, rung(&receive)), (Vec::new(), true));
    }
}
