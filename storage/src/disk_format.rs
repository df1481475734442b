//! Disks: image formats with the disk inside, and partition tables.

pub(crate) mod partitions;
pub(crate) mod qcow2;
