//! Compression of messages: permessage-deflate (RFC 7692).
//!
//! [`Settings`] say what an endpoint is ready to do; the opening handshake makes [`Params`] of those of both sides, which
//! a [`Connection`](crate::Connection) is made with ([`Extensions`](crate::Extensions)). What compresses is a
//! [`Compressor`](crate::Compressor), what decompresses a [`Codec`](crate::Codec), both the driver's.
//!
//! The feature `deflate` brings both for memory that the caller owns: `Deflater` and `Inflater`. An endpoint that only sends
//! or only receives compressed messages takes one of them, and pays for it alone, in memory and in flash.

#[cfg(feature = "deflate")]
mod encoder;
#[cfg(feature = "deflate")]
mod inflate;
mod negotiation;

#[cfg(feature = "deflate")]
pub use encoder::Deflater;
#[cfg(feature = "deflate")]
pub use inflate::Inflater;

pub use negotiation::{Agreement, HeaderValue, Params, Settings, Window};
