//! The application that every board runs: a server with a console, an echo, a status and telemetry, or a client that
//! talks to another server. It knows neither the network stack nor the chip.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod configuration;
mod console;
pub mod demo;
mod echo;
pub mod line;
pub mod serial;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wifi;

pub use configuration::{Configuration, Mode};
pub use demo::Demo;
pub use serial::Serial;
pub use server::{Application, ROUTES};

use core::fmt::Arguments;

/// What a board brings besides its network.
pub trait Board: Sync {
    /// Its name, for `/status`.
    fn name(&self) -> &'static str;

    /// Writes a line to the log.
    fn log(&self, line: Arguments<'_>);

    /// Milliseconds since it was started.
    fn uptime(&self) -> u64;

    /// Bytes of memory that are free, where that can be known.
    fn free_memory(&self) -> Option<usize>;
}
