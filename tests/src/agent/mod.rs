//! The first process of the outer machine: makes it usable, then runs jobs.

mod serve;
mod setup;

use crate::{Error, Result, sys};

/// Sets the machine up, runs all jobs there are, and switches the machine off.
pub fn main() -> ! {
    if let Err(error) = run() {
        eprintln!("lab-agent: {error}");
    }
    let error = sys::power_off();
    eprintln!("lab-agent: power-off: {error}");
    std::process::abort();
}

fn run() -> Result<()> {
    if std::process::id() != 1 {
        return Err(Error::Other(
            "lab-agent is the first process of the lab and of nothing else".into(),
        ));
    }
    setup::mounts()?;
    setup::modules()?;
    match setup::batch()? {
        Some(jobs) => serve::batch(&jobs),
        None => {
            let port = setup::port()?;
            setup::network()?;
            serve::orders(&port)
        }
    }
}
