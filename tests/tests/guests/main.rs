//! Real kernels, booted every way chukka supports, on the host or in the lab. They are one program
//! so that all of them share one pool of outer machines, each of which takes seconds to boot.

mod boot;
mod bootdisk;
mod builtin;
mod cdrom;
mod disks;
mod firmware;
mod gdb;
mod installation;
mod installer;
mod kdump;
mod kexec;
mod killed;
mod kunit;
mod location;
mod network;
mod old_ways;
mod oops;
mod other_kernels;
mod pxe;
