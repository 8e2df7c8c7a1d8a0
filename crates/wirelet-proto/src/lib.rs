//! # wirelet-proto
//!
//! The WebSocket protocol as a state machine: no I/O, no allocation, no clock, no source of randomness.
//! The same code answers on a microcontroller with 4 KiB of buffers and on a server with a hundred
//! thousand connections.
//!
//! ```text
//!            bytes in                                       events
//!  socket ──────────────▶ RecvBuffer ──▶ Connection::advance ──────────▶ application
//!                                             │   ▲
//!            bytes out                        ▼   │ commands: begin_frame, ping, close, fail
//!  socket ◀────────────── poll_transmit (pong, ping, close) + the caller's own payloads
//!                                             ▲
//!  clock  ──▶ poll_deadline / handle_deadline ┘
//! ```
//!
//! A [`Connection`] is one endpoint of a WebSocket connection after its opening handshake (see
//! [`handshake`] for that). Its methods come in five families:
//!
//! | family | methods |
//! |---|---|
//! | bytes in | [`advance`](Connection::advance), [`event`](Connection::event), [`take_message`](Connection::take_message), [`received_eof`](Connection::received_eof), [`hold_reading`](Connection::hold_reading) |
//! | bytes out | [`poll_transmit`](Connection::poll_transmit), [`transmitted`](Connection::transmitted), [`sent`](Connection::sent), [`acknowledged`](Connection::acknowledged), [`output_failed`](Connection::output_failed), [`begin_frame`](Connection::begin_frame), [`mask`](Connection::mask), [`copy_masked`](Connection::copy_masked) |
//! | commands | [`ping`](Connection::ping), [`close`](Connection::close), [`fail`](Connection::fail) |
//! | time | [`poll_deadline`](Connection::poll_deadline), [`handle_deadline`](Connection::handle_deadline), [`end_by`](Connection::end_by) |
//! | getters | [`state`](Connection::state), [`role`](Connection::role), [`close_info`](Connection::close_info), [`subprotocol`](Connection::subprotocol), [`extensions`](Connection::extensions), [`is_sending_message`](Connection::is_sending_message) |
//!
//! ## The one rule for drivers
//!
//! **Flush `poll_transmit`, report with `sent`, then act on [`Status`]; await nothing between reading bytes and `commit`.**
//!
//! ```
//! use wirelet_proto::{Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, Status};
//!
//! let config = Config::new();
//! let mut connection = Connection::new(Role::Server, &config, Instant::from_millis(0));
//! let mut rx = RecvBuffer::new(Fixed::new([0u8; 1024]));
//!
//! // RFC 6455 5.7: a masked text message with the payload "Hello".
//! let wire = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! rx.spare_mut()[..wire.len()].copy_from_slice(&wire); // the driver's read
//! rx.commit(wire.len());
//!
//! let mut out = Vec::new(); // the driver's socket
//! loop {
//!     let status = connection.advance(&mut rx, &mut NoKeys, Instant::from_millis(1)).unwrap();
//!     let slot = connection.poll_transmit().len();
//!     out.extend_from_slice(connection.poll_transmit());
//!     connection.transmitted(slot);
//!     connection.sent(slot, 0, Instant::from_millis(1)); // all of it has left
//!     match status {
//!         Status::Ready(_) => {
//!             let Event::Text(text) = connection.event(&rx) else { continue };
//!             assert_eq!(text, "Hello");
//!             let head = connection.begin_frame(MessageKind::Text, text.len() as u64, true, &mut NoKeys).unwrap();
//!             out.extend_from_slice(&head);
//!             out.extend_from_slice(text.as_bytes());
//!             connection.sent(head.len() + text.len(), 0, Instant::from_millis(1));
//!         }
//!         _ => break, // NeedInput: read more
//!     }
//! }
//! assert_eq!(out, b"\x81\x05Hello");
//! ```
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `alloc` | `Growable`, receive storage that grows with what was received |
//! | `std` | vector kernels picked at run time, SIMD validation of UTF-8 |
//! | `defmt` | `defmt::Format` on the small types |

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod buffer;
mod close;
mod codec;
mod config;
mod connection;
mod decoder;
pub mod deflate;
mod error;
mod event;
mod frame;
pub mod handshake;
pub mod kernels;
mod keys;
mod outcome;
pub mod reconnect;
mod time;
mod utf8;

#[cfg(feature = "alloc")]
pub use buffer::Growable;
pub use buffer::{Detach, FIXED_OVERHEAD, Fixed, RecvBuffer, Spare, Storage};
pub use close::{CloseCode, CloseFrame, CloseInfo, Initiator};
pub use codec::{Codec, CodecError, Compressor, Flush, Progress};
pub use config::{Config, Delivery, Keepalive, Limits};
pub use connection::{CONTROL_SLOT, Connection, ControlSlot, Extensions, OutputWatch, State, Upgraded};
pub use decoder::{Decoded, Decoder};
pub use error::{Failure, LimitError, ProtocolError, SendError};
pub use event::{Chunk, Event, EventKind, Expired, FrameSpan, Front, Status};
pub use frame::{FrameHead, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER, MessageKind, OpCode, Role};
pub use keys::{MaskKeys, NoKeys};
pub use outcome::Outcome;
pub use reconnect::{Reconnect, ReconnectConfig};
pub use time::Instant;
pub use utf8::Utf8Validator;
