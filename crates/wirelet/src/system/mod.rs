//! What the operating system knows of a TCP socket.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unknown;

#[cfg(target_os = "linux")]
pub(crate) use linux::{limit_unsent, unacknowledged};
#[cfg(not(target_os = "linux"))]
pub(crate) use unknown::{limit_unsent, unacknowledged};
