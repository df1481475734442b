//! The interface to the host: the terminal, standard input, signals, the clock, and notices from
//! other threads to the main thread.

pub mod chardev;
pub mod daemon;
pub(crate) mod fatal_signal;
pub mod input;
pub mod keys;
pub mod listener;
pub mod notices;
pub mod output_file;
pub mod printable;
pub mod rtc_clock;
pub mod screen;
pub mod signals;
pub mod tap;
pub mod terminal;
pub mod udp;
