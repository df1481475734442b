//! The host as chukka meets it: the terminal, standard input, signals, the clock, and the messages
//! that other threads leave for the main thread.

pub mod input;
pub mod keys;
pub mod notices;
pub mod rtc_clock;
pub mod signals;
pub mod terminal;
