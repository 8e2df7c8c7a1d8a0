//! # wirelet
//!
//! WebSocket for tokio.

mod connection;
mod error;
mod fragments;
mod halves;
mod kernels;
mod keys;
mod message;
mod pool;
mod sender;
mod time;
mod transport;
mod websocket;

pub use bytes::Bytes;
pub use error::{Error, Timeout};
pub use fragments::{BinaryFragments, TextFragments};
pub use halves::{ReceiveHalf, SendHalf};
pub use message::{Chunk, Event, Message, Text};
pub use sender::{SendError, Sender, SlowReceiver, TrySendError};
pub use websocket::{Outcome, WebSocket};
pub use wirelet_proto as proto;
pub use wirelet_proto::{
    CloseCode, CloseInfo, Config, Delivery, Keepalive, Limits, MessageKind, Role, State,
};

/// For tests and diagnosis.
pub mod diagnostics {
    pub use crate::pool::Usage;

    /// What the block pool of the current thread holds.
    pub fn pool() -> Usage {
        crate::pool::usage()
    }
}
