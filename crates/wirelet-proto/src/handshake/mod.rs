//! The opening handshake of both roles (RFC 6455 4) without I/O and without allocation.
//!
//! Everything borrows from the caller's buffer, and everything that is written goes into a buffer of the
//! caller's. What follows a head in the buffer is left alone: its length is reported, and the rest belongs to
//! [`Connection`](crate::Connection)'s receive buffer.
//!
//! # Server
//!
//! ```
//! use wirelet_proto::handshake::{AcceptOptions, HeadLimits, HeadScanner, RequestHead, UpgradeRequest, is_upgrade};
//!
//! let buffer = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
//!     Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
//! let mut scanner = HeadScanner::new();
//! // One call for each read: bytes already scanned are not looked at again.
//! let len = scanner.scan(buffer, &HeadLimits::default())?.expect("the head is complete");
//! let head = RequestHead::parse(buffer)?;
//! assert_eq!((head.len(), head.path()), (len, "/chat"));
//! assert!(is_upgrade(&head)); // otherwise: an ordinary HTTP request, somebody else's
//!
//! let request = UpgradeRequest::verify(head)?;
//! let supported = ["superchat", "chat"];
//! let subprotocol = request.select_subprotocol(&supported).and_then(|index| supported.get(index).copied());
//! let mut out = [0; 512];
//! let written = request.accept(&AcceptOptions { subprotocol, ..Default::default() }, &mut out).unwrap();
//! assert!(out[..written].starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), wirelet_proto::handshake::HandshakeError>(())
//! ```
//!
//! # Client
//!
//! ```
//! use wirelet_proto::handshake::{Answer, ClientHandshake, HeadLimits, RequestOptions, Uri};
//!
//! let uri = Uri::parse("ws://server.example.com/chat").unwrap();
//! let nonce = *b"the sample nonce"; // 16 bytes from a secure random source
//! let mut handshake = ClientHandshake::new(nonce, RequestOptions::from_uri(&uri));
//! let mut out = [0; 512];
//! let written = handshake.write_request(&mut out).unwrap();
//! assert!(out[..written].starts_with(b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"));
//!
//! let mut received = *b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x00";
//! let limits = HeadLimits::default();
//! match handshake.read_response(&mut received, &limits)? {
//!     None => { /* read more and call again with the whole buffer */ }
//!     Some(Answer::Accepted(accepted)) => assert_eq!(accepted.rest(), b"\x81\x00"),
//!     Some(Answer::Refused(refusal)) => println!("refused with {}", refusal.head().status()),
//! }
//! # Ok::<(), wirelet_proto::handshake::HandshakeError>(())
//! ```

mod accept;
mod allowed;
mod authority;
mod client;
mod error;
mod head;
mod percent;
mod retry;
mod server;
mod text;
mod token;
mod uri;
mod write;

pub use accept::{accept_key, is_valid_key};
pub use allowed::{HostPattern, OriginPattern, PatternError};
pub use authority::origin_matches_host;
pub use client::{
    Accepted, Answer, BodyLength, ClientHandshake, MAX_INTERIM_RESPONSES, Refusal, RequestOptions,
};
pub use error::{Field, HandshakeError, WriteError};
pub use head::{
    HeadLimits, HeadScanner, Header, Headers, HttpVersion, RequestHead, ResponseHead, is_head_request,
};
pub use percent::PercentDecoded;
pub use server::{AcceptOptions, Rejection, UpgradeRequest, is_upgrade, reason_phrase};
pub use text::decimal;
pub use token::{
    ExtensionOffer, ExtensionOffers, ExtensionParam, List, MAX_SUBPROTOCOLS, ParamValue, Params, Subprotocols,
};
pub use uri::{Uri, UriError};
