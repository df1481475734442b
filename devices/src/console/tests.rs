use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;

/// A writer and event listener that records everything. Writes first return scripted results, then
/// succeed.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    writes: Vec<Vec<u8>>,
    script: VecDeque<io::Result<usize>>,
    flushes_wanted: usize,
    lost: Vec<ErrorKind>,
    said: Vec<ConsoleEvent>,
}

impl Recorder {
    fn with_script(script: Vec<io::Result<usize>>) -> Self {
        let recorder = Self::default();
        recorder.0.lock().unwrap().script = script.into();
        recorder
    }

    pub(crate) fn sink(&self) -> ConsoleSink {
        self.sink_with(Arc::default())
    }

    fn sink_with(&self, stopping: Arc<AtomicBool>) -> ConsoleSink {
        ConsoleSink::new(Box::new(self.clone()), Box::new(self.clone()), stopping)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().writes.concat()).unwrap()
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes.len()
    }

    fn flushes_wanted(&self) -> usize {
        self.0.lock().unwrap().flushes_wanted
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut record = self.0.lock().unwrap();
        let count = record.script.pop_front().unwrap_or(Ok(bytes.len()))?;
        record.writes.push(bytes[..count].to_vec());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ConsoleEvents for Recorder {
    fn flush_soon(&self) {
        self.0.lock().unwrap().flushes_wanted += 1;
    }

    fn output_lost(&self, error: &io::Error) {
        self.0.lock().unwrap().lost.push(error.kind());
    }

    fn guest_said(&self, event: ConsoleEvent) {
        self.0.lock().unwrap().said.push(event);
    }
}

/// Writes as vm-superio does.
fn print(sink: &mut ConsoleSink, text: &str) {
    for byte in text.bytes() {
        sink.write_all(&[byte]).unwrap();
        sink.flush().unwrap();
    }
}

#[test]
fn writes_once_per_line() {
    let recorder = Recorder::default();
    let mut sink = recorder.sink();

    print(&mut sink, "one\r\ntwo\r\n");

    assert_eq!(recorder.writes(), 2);
    assert_eq!(recorder.text(), "one\r\ntwo\r\n");
    assert!(!sink.needs_flush());
}

#[test]
fn requests_one_flush_for_an_incomplete_line() {
    let recorder = Recorder::default();
    let mut sink = recorder.sink();

    print(&mut sink, "line\nlogin: ");
    assert!(sink.needs_flush());
    assert_eq!(recorder.text(), "line\n");
    assert_eq!(recorder.flushes_wanted(), 1);

    sink.flush_now();
    assert!(!sink.needs_flush());
    assert_eq!(recorder.text(), "line\nlogin: ");

    print(&mut sink, "x");
    assert_eq!(recorder.flushes_wanted(), 2);
}

#[test]
fn writes_when_buffer_is_full() {
    let recorder = Recorder::default();
    let mut sink = recorder.sink();

    sink.write_all(&vec![b'x'; 2 * CAPACITY + 1]).unwrap();

    assert_eq!(recorder.writes(), 2);
    assert_eq!(recorder.text().len(), 2 * CAPACITY);
    assert!(sink.needs_flush());
}

#[test]
fn continues_after_a_short_or_interrupted_write() {
    let recorder = Recorder::with_script(vec![Ok(2), Err(ErrorKind::Interrupted.into()), Ok(1)]);
    print(&mut recorder.sink(), "hello\n");
    assert_eq!(recorder.text(), "hello\n");
}

#[test]
fn does_not_retry_interrupted_write_when_stopping() {
    let recorder = Recorder::with_script(vec![Ok(3), Err(ErrorKind::Interrupted.into())]);
    let mut sink = recorder.sink_with(Arc::new(AtomicBool::new(true)));

    print(&mut sink, "held up\n");
    assert_eq!(recorder.text(), "hel");

    print(&mut sink, "last words\n");
    assert_eq!(recorder.text(), "held up\nlast words\n");
}

#[test]
fn reports_failed_output_once_and_drops_the_rest() {
    for failure in [Err(ErrorKind::BrokenPipe.into()), Err(ErrorKind::StorageFull.into()), Ok(0)] {
        let recorder = Recorder::with_script(vec![failure]);
        let mut sink = recorder.sink();

        print(&mut sink, "one\ntwo\n");

        assert_eq!(recorder.0.lock().unwrap().lost.len(), 1);
        assert_eq!(recorder.text(), "");
        assert!(!sink.needs_flush());
    }
}

#[test]
fn keeps_bytes_buffered_when_writer_would_block() {
    let recorder = Recorder::with_script(vec![Ok(1), Err(ErrorKind::WouldBlock.into())]);
    let mut sink = recorder.sink();

    print(&mut sink, "one\n");
    assert!(sink.needs_flush());
    assert_eq!(recorder.flushes_wanted(), 1);

    sink.flush_now();
    assert_eq!(recorder.text(), "one\n");
}

#[test]
fn drops_excess_bytes_while_writer_would_block() {
    let script = (0..10).map(|_| Err(ErrorKind::WouldBlock.into())).collect();
    let recorder = Recorder::with_script(script);
    let mut sink = recorder.sink();

    sink.write_all(&vec![b'x'; 3 * CAPACITY]).unwrap();
    assert_eq!(sink.buffer.len(), CAPACITY);

    recorder.0.lock().unwrap().script.clear();
    sink.flush_now();
    assert_eq!(recorder.text().len(), CAPACITY);
}

#[test]
fn a_sink_is_bounded_while_the_guest_is_stopped() {
    let script = (0..100).map(|_| Err(ErrorKind::Interrupted.into())).collect();
    let recorder = Recorder::with_script(script);
    let stopping = Arc::new(AtomicBool::new(true));
    let mut sink = recorder.sink_with(Arc::clone(&stopping));
    assert!(!sink.should_wait());

    sink.write_all(&vec![b'x'; CAPACITY - 1]).unwrap();
    assert!(!sink.should_wait());
    for _ in 0..10 {
        sink.write_all(&vec![b'x'; CAPACITY]).unwrap();
        assert!(sink.should_wait());
    }
    assert_eq!(sink.buffer.len(), 2 * CAPACITY);

    stopping.store(false, Ordering::SeqCst);
    assert!(!sink.should_wait());
    sink.flush_now();
    assert_eq!(recorder.text().len(), 2 * CAPACITY);
}

#[test]
fn watch_sees_output_after_output_is_lost() {
    let recorder = Recorder::with_script(vec![Err(ErrorKind::BrokenPipe.into())]);
    let mut sink = recorder.sink().with_watch(PanicWatch::new());

    print(&mut sink, "x\nKernel panic - not syncing: y\n");

    let panic = ConsoleEvent::Panic("Kernel panic - not syncing: y".into());
    assert_eq!(recorder.0.lock().unwrap().said, [panic]);
}

#[test]
fn empty_lines_are_lines() {
    let recorder = Recorder::default();
    let mut sink = recorder.sink();
    sink.write_all(b"a\n\nb").unwrap();
    assert_eq!(recorder.text(), "a\n\n");
    assert!(sink.needs_flush());
}
