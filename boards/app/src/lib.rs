//! The application that every board runs: a server with a console, an echo, a status and telemetry, or a client that
//! talks to another server. It knows neither the network stack nor the chip.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod autobahn;
pub mod configuration;
mod console;
mod crc;
pub mod demo;
#[cfg(feature = "embassy")]
pub mod embassy;
pub mod line;
#[cfg(feature = "embassy")]
pub mod mdns;
pub mod name;
pub mod panics;
pub mod serial;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wifi;

pub use configuration::{Configuration, Mode};
pub use serial::Serial;
pub use server::{Application, Guest, ROUTES};

use core::fmt::Arguments;

/// Bytes that a connection receives into: a request with its head, or a chunk of a message.
pub const RX: usize = 4096;
/// Bytes that it sends from: an echo of as much as was received, and a page's first bytes with the head of the response.
pub const TX: usize = RX + 256;
/// Bytes that wait for it, from other tasks.
pub const QUEUE: usize = 1024;

/// What compressed connections have besides: windows of 1 KiB both ways, 2 KiB for what is decompressed; 20 KiB each.
#[cfg(feature = "deflate")]
pub type Lanes<const LANES: usize> =
    wirelet_embedded::compression::Pool<1024, 2048, { wirelet_embedded::compression::encoder(10) }, LANES>;
/// Connections of a server that may be compressed at the same time.
#[cfg(feature = "deflate")]
pub const LANES: usize = 4;

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

/// The log of a board, for what the libraries say by the crate `log`.
pub struct Logger(pub &'static dyn Board);

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(*record.args());
        }
    }

    fn flush(&self) {}
}
