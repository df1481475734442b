//! Work before a guest runs that may take long, and that Ctrl-C ends at once.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use vmm::error::StartError;

use crate::error::{ResolveError, RunError};
use vmm::host::signals::{self, Signals};

/// Does `work` on a thread of its own, until it is done or a signal comes that ends chukka. Then
/// the thread is left where it is: the process is about to die, and the cache is consistent at any
/// moment.
///
/// # Errors
/// Those of `work`; [`RunError::Stopped`], with what `stop` says was under way.
pub fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ResolveError> + Send + 'static,
    stop: impl FnOnce() -> Option<String>,
) -> Result<T, RunError> {
    let host = StartError::host;
    let mut signals = Signals::listen().map_err(host("signals"))?;
    let done = Arc::new(EventFd::new(EFD_NONBLOCK).map_err(host("file descriptors"))?);
    let epoll = Epoll::new().map_err(host("epoll"))?;
    for fd in [signals.as_raw_fd(), done.as_raw_fd()] {
        let event = EpollEvent::new(EventSet::IN, 0);
        epoll.ctl(ControlOperation::Add, fd, event).map_err(host("epoll"))?;
    }
    let tell = Done(Arc::clone(&done));
    let worker = thread::Builder::new().name("fetch".into()).spawn(move || {
        let _tell = tell;
        work()
    });
    let worker = worker.map_err(host("a thread"))?;
    while !worker.is_finished() && done.read().is_err() {
        while let Some(signal) = signals.take_one() {
            match signal {
                libc::SIGTSTP => signals::stop_self(),
                signal if signals::ENDING.contains(&signal) => {
                    return Err(RunError::Stopped { signal, during: stop() });
                }
                _ => {}
            }
        }
        match epoll.wait(-1, &mut [EpollEvent::default(); 2]) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(host("epoll")(error).into());
            }
            _ => {}
        }
    }
    Ok(worker.join().map_err(|_| StartError::Defect("fetching"))??)
}

/// Signals that the work is done, even if it panicked.
struct Done(Arc<EventFd>);

impl Drop for Done {
    fn drop(&mut self) {
        // An empty counter takes any number.
        let _ = self.0.write(1);
    }
}
