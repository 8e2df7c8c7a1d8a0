//! What a process has in the place of a board: sockets, a clock, random numbers.

pub mod net;
pub mod system;
pub mod trust;
