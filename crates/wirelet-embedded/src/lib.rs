//! # wirelet-embedded
#![doc = ""]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::large_futures)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod handle;
mod handler;
pub mod http;
pub mod net;
mod outgoing;
mod queue;
pub mod server;
mod session;
mod table;
mod time;

pub use handle::{Broadcast, Handle};
pub use handler::{Cause, End, Handler, Peer};
pub use server::{Resources, Server};
pub use table::{ConnectionId, ConnectionInfo, Message, Overflow, Phase, SendError, SendReason};
pub use time::Clock;
#[cfg(feature = "embassy-time")]
pub use time::EmbassyClock;
pub use wirelet_proto as proto;

#[cfg(test)]
mod tests;
