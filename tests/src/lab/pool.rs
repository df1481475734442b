//! A pool of labs, as many as the work and the host's memory allow.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Lab;
use super::memory::{room, usual_memory_mib};
use crate::job::{Chunk, Job, Report};
use crate::{Error, Result};

/// More would only wait for each other: few tests need a lab.
const MOST: usize = 4;

/// How often a lab that fails is replaced for a job.
const RETRIES: u32 = 2;

/// Labs that share the jobs.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    freed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State {
    free: Vec<Lab>,
    started: usize,
}

impl Pool {
    /// Starts the first lab. Others start when jobs would have to wait, as many as there are
    /// processors and memory for.
    ///
    /// # Errors
    /// If the lab does not start.
    pub fn start() -> Result<Self> {
        let state = State { free: vec![Lab::start(usual_memory_mib())?], started: 1 };
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let most = cpus.min(room()).clamp(1, MOST);
        Ok(Self { state: Mutex::new(state), freed: Condvar::new(), most })
    }

    /// Runs a job in the first lab that is free; hands its output to `sink` as it comes.
    ///
    /// A lab that fails is replaced, twice if need be, and the failure is printed: it is not the
    /// job's fault.
    ///
    /// # Errors
    /// If a file that the job needs is not there, or labs fail: never for what the job does.
    pub fn run(&self, job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Result<Report> {
        for _ in 0..RETRIES {
            match self.run_once(job, sink) {
                // Straight to the descriptor: a test harness would capture it.
                Err(error @ Error::Lab { .. }) => drop(writeln!(
                    std::io::stderr().lock(),
                    "{error}\nTrying again in a new lab: {}",
                    job.line()
                )),
                result => return result,
            }
        }
        self.run_once(job, sink)
    }

    fn run_once(&self, job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Result<Report> {
        let lab = self.take()?;
        let result = lab.run(job, sink);
        let mut state = self.lock();
        match result {
            Err(Error::Lab { .. }) => state.started -= 1,
            _ => state.free.push(lab),
        }
        self.freed.notify_one();
        result
    }

    fn take(&self) -> Result<Lab> {
        let mut state = self.lock();
        loop {
            if let Some(lab) = state.free.pop() {
                return Ok(lab);
            }
            if state.started < self.most {
                state.started += 1;
                break;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Lab::start(usual_memory_mib()).inspect_err(|_| {
            self.lock().started -= 1;
            self.freed.notify_one();
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
