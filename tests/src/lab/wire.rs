//! What host and lab-agent say to each other: one JSON object a line; after `Put` follow its bytes
//! as they are.

use std::io::{BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::job::{Chunk, Job, Report};
use crate::{Doing, Result};

/// Where the outer initramfs keeps what the agent needs.
pub const FOLDER: &str = "/lab";
/// The modules to load, one file name a line, in order.
pub const MODULES: &str = "/lab/modules";
/// The jobs of a batch; absent where the host sends them one by one.
pub const JOBS: &str = "/lab/jobs.json";
/// Where the reports of a batch go.
pub const REPORTS: &str = "/dev/ttyS1";
/// The name of the virtio port to the host.
pub const PORT: &str = "chukka.lab";

/// How often the agent says that the machine is still running.
pub const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// From the host.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Write a file of this size; its bytes follow.
    Put {
        /// Where.
        path: String,
        /// Its permissions.
        mode: u32,
        /// How many bytes follow.
        size: u64,
    },
    /// Run a job.
    Run {
        /// The host's number for it.
        id: u64,
        /// What to run.
        job: Box<Job>,
    },
    /// Nothing: its arrival is an interrupt.
    Wake,
}

/// From the agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// The agent is ready for orders.
    Ready,
    /// The machine is still running: sent every [`ALIVE_EVERY`].
    Alive,
    /// A job printed something.
    Output {
        /// The host's number for the job.
        id: u64,
        /// What.
        chunk: Chunk,
    },
    /// A job has ended. The output in the report is empty: it was sent before.
    Done {
        /// The host's number for the job.
        id: u64,
        /// What it did.
        report: Box<Report>,
    },
    /// A file could not be written.
    Failed(String),
}

/// Sends a message.
///
/// # Errors
/// If it cannot be written.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).and_then(|()| to.flush()).doing("Writing a message of the lab")
}

/// Takes the next message; none at the end.
///
/// # Errors
/// If it cannot be read or understood.
pub fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).doing("Reading a message of the lab")?;
    if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&line)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        send(&mut wire, &Event::Ready).unwrap();
        send(&mut wire, &Event::Failed("a\nb".into())).unwrap();
        let mut from = wire.as_slice();
        assert!(matches!(receive(&mut from).unwrap(), Some(Event::Ready)));
        assert!(matches!(receive(&mut from).unwrap(), Some(Event::Failed(why)) if why == "a\nb"));
        assert!(receive::<Event>(&mut from).unwrap().is_none());
    }
}
