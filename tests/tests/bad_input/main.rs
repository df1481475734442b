//! What bad input gets: at once, and before a guest runs, one message with what was found and what
//! was expected, a hint, and exit status 125. `Start::refused` checks all of that but the words.

mod cdrom;
mod files;
mod firmware;
mod firmware_files;
mod host;
mod kernels;
mod outputs;
mod sizes;
mod usage;
