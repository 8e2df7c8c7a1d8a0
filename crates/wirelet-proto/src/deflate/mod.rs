//! Compression of messages: permessage-deflate (RFC 7692).
//!
//! [`Settings`] say what an endpoint is ready to do; the opening handshake makes [`Params`] of those of both sides, which
//! a [`Connection`](crate::Connection) is made with ([`Extensions`](crate::Extensions)). What compresses is a
//! [`Compressor`](crate::Compressor), what decompresses a [`Codec`](crate::Codec), both the driver's.
//!
//! The crate `wirelet-deflate` has both.

mod negotiation;

pub use negotiation::{Agreement, HeaderValue, Params, Settings, Window};
