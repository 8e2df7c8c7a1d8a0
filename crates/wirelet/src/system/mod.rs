//! What the operating system knows of TCP sockets, and what it does with them, beyond what tokio offers.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unknown;

#[cfg(target_os = "linux")]
pub(crate) use linux::{limit_unsent, listen_beside, unacknowledged};
#[cfg(not(target_os = "linux"))]
pub(crate) use unknown::{limit_unsent, listen_beside, unacknowledged};
