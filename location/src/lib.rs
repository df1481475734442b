//! From an install tree to what a guest boots: where it is, which kernel and initrd are in it, what
//! goes with them.
//!
//! | stage | module |
//! |---|---|
//! | what the user named, made into a place to read from | [`place`] |
//! | a tree of files that can be read at any offset, and images with such trees | the crate [`storage`] |
//! | the same on another host | [`remote`] |
//! | bytes from there onto this host, once | [`fetch`] |
//! | which kernel and initrd are in it, and whose installer they are | [`tree`] |
//! | the menus of the boot loaders in a place, and what one of their entries boots | [`menu`] |
//! | what the guest's command line needs beside the user's words | [`arguments`] |
//! | files of the user's, put into the initrd | [`inject`] |
//!
//! Knows nothing of guests, memory or KVM. The rules and where they come from: docs/location.md.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod checksum;
mod cmdline;
pub mod fetch;

pub mod inject;
pub mod menu;
mod path_as_bytes;
pub mod place;
pub mod remote;

pub mod tree;

#[cfg(test)]
mod testing;

pub use fetch::Fetcher;
pub use inject::{InjectError, Injected};
pub use place::{Place, PlaceError, SpellingError};
pub use storage::{FileError, FileTree, RandomAccess, TreePath};
pub use tree::{Query, Tree, TreeError};
