//! Images that QEMU's tools make and check, against a model of the disk.

mod cuts;
mod full;
mod images;
mod model;
