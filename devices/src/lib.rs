//! The chips of the chukka machine, one to a file.
