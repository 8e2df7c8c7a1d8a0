//! What the images share: the machine, and a socket on its serial port.

#![no_std]

pub mod core_server;
pub mod deflate;
pub mod echo;

pub mod machine;
pub mod serial;
