//! # wirelet
//!
//! WebSocket for tokio: strict (RFC 6455), bounded, and idle for nothing.
//!
//! ```
//! use wirelet::server::{Page, Router, Server, ws};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let router = Router::new()
//!     .page("/", Page::html("<h1>an echo is at /ws</h1>"))
//!     .ws("/ws", ws(|mut ws, _context| async move {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?; // the message is not copied, all answers to a read leave in one write
//!         }
//!         Ok::<_, wirelet::Error>(())
//!     }));
//! let server = Server::bind("127.0.0.1:0").await?;
//! # server.handle().stop();
//! server.serve(router).await // until `Server::shutdown_on`
//! # }
//! ```
//!
//! ```text
//!  socket ──read──▶ block of the thread's pool ──▶ core (wirelet-proto) ──▶ Message, a slice of the block ──▶ handler
//!    ▲                 (given back when nothing          │ pongs, close                                       │
//!    │                  refers to it)                    ▼                                                    │
//!    └──one write── block of the pool ◀──────────────────┴────────────────── send, when the handler waits ────┘
//!                                     ◀── queue, bounded by bytes ◀── Senders of other tasks
//! ```
//!
//! - **Receiving** costs no copy and no allocation: a [`Message`] is a counted slice of the memory that it was read into. A
//!   connection that waits holds no buffer; one that waits for the rest of a message holds little more than what has come.
//! - **Sending** needs no flush: in a server's handler everything that was sent leaves in one system call when the handler waits
//!   for something. The same future answers pings and sees the peer's close meanwhile.
//! - **A handler that never waits** can have each message lent to a callback: [`WebSocket::for_each_message`].
//! - **Any task** sends through a [`Sender`], whose queue is bounded by bytes, or through the server's
//!   [`ServerHandle`](server::ServerHandle) by number.
//! - **Cancelling** any future loses no message and never leaves half a frame.
//!
//! | module | what is there |
//! |---|---|
//! | [`server`] | [`Server`](server::Server) on [any listener](server::Listener), [`Router`](server::Router), pages, HTTP services and whole applications on the same port, [`WebSockets`](server::WebSockets) on other servers, who may connect, all connections by number, stopping, [a thread for each core](server::Server::serve_per_core) |
//! | `axum` | an extractor for axum, by the feature `axum` |
//! | [`client`] | a client that reconnects, and one that connects once |
//! | [`io`] | a WebSocket as a byte stream: `AsyncRead` and `AsyncWrite` |
//! | here | [`WebSocket`] and its halves, [`Message`], [`Sender`], fragments, errors; [`WebSocket::from_upgraded`] for other HTTP libraries |
//! | [`proto`] | the protocol core: limits, keepalive, close codes |
//!
//! ## Compression
//!
//! permessage-deflate (RFC 7692), for servers, single routes and clients that ask for it: [`Compression`]. By default no
//! connection has memory for it, and a broadcast is compressed once. It is the feature `deflate`, which is on by default.
//!
//! ```
//! # #[cfg(feature = "deflate")]
//! # fn with(server: wirelet::server::Server) -> wirelet::server::Server {
//! use wirelet::Compression;
//!
//! server.compression(Compression::shared().threshold(256))
//! # }
//! ```
//!
//! ## Limits
//!
//! All are on by default; see [`Limits`], [`Keepalive`] and [`Capacity`](server::Capacity).
//!
//! | what | default | what happens |
//! |---|---|---|
//! | message, decompressed | 1 MiB, 131,072 fragments, 60 s + 1 ms a byte | close 1009, 1008, 3008 |
//! | head of a request | 8 KiB, 64 fields, 10 s | 431 or 414, 408 |
//! | the application's decision on a request | what is left of the 10 s | 503 |
//! | silence | ping after 20 s, answer within 20 s, 120 s in all | close 3008 |
//! | a peer that takes nothing of what waits to be sent, HTTP or WebSocket | 120 s | the socket is closed |
//! | a peer that takes it slowly | 32 bytes a second, over 10 minutes of waiting | the socket is closed |
//! | closing handshake | 5 s from when the close frame has left | the socket is closed |
//! | a fragmented message of this end that is not continued | 60 s | close 1011 |
//! | queue of [`Sender`]s | 1 MiB | [`SlowReceiver`] |
//! | what a handler has sent and the peer has not read | 64 KiB + one message | `send` waits |
//! | connections | 65,536, 1,024 of one address | 503 |
//! | connections before the end of their handshake | 1,024, 64 of one address | 503 |
//! | one turn of a connection | 512 messages, 1 MiB read, 2 MiB written, 128 KiB decompressed | others have their turn |
//! | a server that stops | 10 s for all | 503, close 1001, then the sockets |

#[cfg(feature = "axum")]
pub mod axum;
mod buffer;
pub mod client;
mod connection;
#[cfg_attr(not(feature = "deflate"), path = "deflate/absent.rs")]
mod deflate;
mod error;
mod fragments;
mod halves;
pub mod io;
#[cfg(feature = "serde")]
mod json;
mod kernels;
mod keys;
mod message;
mod peer;
mod pool;
mod race;
mod sender;
pub mod server;
mod sync;
mod system;
mod time;
#[cfg(feature = "__tls")]
mod tls;
mod transport;
mod websocket;

pub use bytes::Bytes;
pub use client::Client;
#[cfg(feature = "deflate")]
pub use deflate::{Compress, Compression, CompressionInfo, Volume};
pub use error::{Error, Timeout};
pub use fragments::{BinaryFragments, TextFragments};
pub use halves::{ReceiveHalf, SendHalf};
pub use message::{Chunk, Event, Message, MessageRef, Text};
pub use peer::Peer;
pub use sender::{SendError, Sender, SlowReceiver, TrySendError};
pub use websocket::WebSocket;
pub use wirelet_proto as proto;
pub use wirelet_proto::{
    CloseCode, CloseInfo, Config, Delivery, Keepalive, Limits, MessageKind, Outcome, Role, State,
};

/// For tests and diagnosis.
pub mod diagnostics {
    pub use crate::pool::Usage;

    /// What the block pool of the current thread holds.
    pub fn pool() -> Usage {
        crate::pool::usage()
    }
}
