//! One thread per vCPU for the whole run. A vCPU moves to its thread to run, and back when it is
//! stopped: a pause neither ends threads nor makes new ones.
//!
//! That matters beyond the cost of a thread: when another thread enters KVM_RUN than the last time,
//! KVM waits for a grace period of the host's kernel (`kvm_vcpu_ioctl`, virt/kvm/kvm_main.c), some
//! milliseconds for each vCPU.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vmm_sys_util::signal::Killable;

use super::flusher::Flusher;
use crate::host::notices::Notifier;
use crate::host::signals;
use crate::kvm::vcpu::Vcpu;
use crate::outcome::Outcome;
use crate::sandbox;

/// How long to wait for vCPUs to stop before they are kicked again.
const KICK_AGAIN: Duration = Duration::from_micros(200);

/// The threads.
#[derive(Debug)]
pub struct VcpuThreads {
    threads: Vec<Thread>,
    /// Each vCPU that has stopped; `None` for one that has ended the run.
    stopped: Receiver<Option<Vcpu>>,
    /// How many vCPUs run.
    running: usize,
}

#[derive(Debug)]
struct Thread {
    /// `None` once the thread is to end.
    vcpus: Option<Sender<Vcpu>>,
    handle: Option<JoinHandle<()>>,
}

impl VcpuThreads {
    /// Makes `count` threads, which wait for their vCPUs; in the sandbox if they are `confined`.
    ///
    /// # Errors
    /// The host cannot create a thread.
    pub fn new(count: u8, notifier: &Notifier, confined: bool) -> io::Result<Self> {
        let (back, stopped) = channel();
        let mut this = Self { threads: Vec::new(), stopped, running: 0 };
        for cpu in 0..count {
            let (vcpus, to_run) = channel();
            let (notifier, back) = (notifier.clone(), back.clone());
            let run = move || {
                if confined && sandbox::enter_vcpu().is_err() {
                    let outcome = Outcome::Defect("the sandbox of a vCPU");
                    return notifier.end(outcome);
                }
                while let Ok(vcpu) = to_run.recv() {
                    // The main thread is gone if this fails.
                    let _ = back.send(run(vcpu, &notifier));
                }
            };
            let handle = Some(Builder::new().name(format!("vcpu{cpu}")).spawn(run)?);
            this.threads.push(Thread { vcpus: Some(vcpus), handle });
        }
        Ok(this)
    }

    /// Lets vCPUs run, each in its thread. Those that the debugger holds stay in `vcpus`.
    pub fn start(&mut self, vcpus: &mut Vec<Vcpu>) {
        for vcpu in vcpus.extract_if(.., |vcpu| !vcpu.debug.held) {
            let thread = self.threads.get(usize::from(vcpu.cpu));
            if let Some(run) = thread.and_then(|thread| thread.vcpus.as_ref()) {
                // A thread never ends by itself.
                self.running += usize::from(run.send(vcpu).is_ok());
            }
        }
    }

    /// Waits until all vCPUs have stopped, which they have been told to do, and puts those that can
    /// continue back into `vcpus`, in their order. A thread that is about to enter KVM_RUN, or to
    /// wait for a reader of its output, may miss a kick, so kicks are repeated. All threads are
    /// kicked, because one may wait for a device that another thread or the flusher holds.
    pub fn stop(&mut self, vcpus: &mut Vec<Vcpu>, flusher: &Flusher) {
        let mut wait = Duration::ZERO;
        while self.running > 0 {
            match self.stopped.recv_timeout(wait) {
                Ok(stopped) => {
                    self.running -= 1;
                    vcpus.extend(stopped);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.kick();
                    flusher.kick();
                    wait = KICK_AGAIN;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        vcpus.sort_by_key(|vcpu| vcpu.cpu);
    }

    fn kick(&self) {
        for handle in self.threads.iter().filter_map(|thread| thread.handle.as_ref()) {
            // A kick does nothing to a thread that waits for its vCPU.
            let _ = handle.kill(signals::kick_number());
        }
    }
}

impl Drop for VcpuThreads {
    fn drop(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.vcpus = None);
        if self.running > 0 {
            return; // chukka has failed, and ends
        }
        for handle in self.threads.iter_mut().filter_map(|thread| thread.handle.take()) {
            let _ = handle.join();
        }
    }
}

/// Runs a vCPU until it stops. Returns it unless it has ended the run.
fn run(mut vcpu: Vcpu, notifier: &Notifier) -> Option<Vcpu> {
    // A panic here is a bug in chukka. Report it to the main thread, which would otherwise wait
    // forever.
    let ended = catch_unwind(AssertUnwindSafe(|| vcpu.run()));
    let outcome = ended.unwrap_or(Some(Outcome::Defect("a vCPU's thread")));
    let Some(outcome) = outcome else { return Some(vcpu) };
    if vcpu.log.is_some() {
        let registers = vcpu.core_registers();
        notifier.add_ended_cpu(vcpu.examine(), registers);
    }
    notifier.end(outcome);
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::config::MachineKind;
    use crate::tests::{END, Guest, machine};

    /// CPU 1 waits in KVM_RUN for CPU 0 to start it.
    #[test]
    fn cpus_run_in_their_threads_and_come_back_in_their_order() {
        let Some(Guest { mut vcpus, .. }) = Guest::with(&END, 2, &[]) else { return };
        let machine = machine(MachineKind::Microvm, |_| ());
        signals::prepare_kick().unwrap();
        let flusher = Flusher::start(Arc::new(machine.devices())).unwrap();
        flusher.flush();
        let mut threads = VcpuThreads::new(2, &machine.notifier, false).unwrap();
        for _ in 0..3 {
            vcpus[0].notifier.start_over();
            for vcpu in &vcpus {
                vcpu.stop.store(false, Ordering::Release);
            }
            let stops: Vec<_> = vcpus.iter().map(|vcpu| Arc::clone(&vcpu.stop)).collect();
            threads.start(&mut vcpus);
            assert!(vcpus.is_empty());
            // Meanwhile CPU 1 enters KVM_RUN, from which only a kick brings it back.
            std::thread::sleep(Duration::from_millis(20));
            stops.iter().for_each(|stop| stop.store(true, Ordering::Release));
            threads.stop(&mut vcpus, &flusher);
            assert_eq!(vcpus.iter().map(|vcpu| vcpu.cpu).collect::<Vec<_>>(), [0, 1]);
        }
        // One that is held stays.
        vcpus[0].debug.held = true;
        threads.start(&mut vcpus);
        assert_eq!(vcpus.iter().map(|vcpu| vcpu.cpu).collect::<Vec<_>>(), [0]);
        threads.stop(&mut vcpus, &flusher);
        assert_eq!(vcpus.len(), 2);
        threads.stop(&mut vcpus, &flusher);
        assert_eq!(vcpus.len(), 2, "nothing runs");
    }
}
