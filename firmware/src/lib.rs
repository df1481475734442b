//! What is read or runs before the kernel.
