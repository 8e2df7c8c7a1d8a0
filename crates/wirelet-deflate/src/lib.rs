//! # wirelet-deflate
//!
//! Compression of WebSocket messages, permessage-deflate (RFC 7692): what makes deflated data (RFC 1951) of messages, and
//! messages of it. `no_std`; without the feature `alloc` no allocation either.
//!
//! | | memory | made for | feature |
//! |---|---|---|---|
//! | [`Deflater`] | the caller's, from 2.3 KB | microcontrollers: messages in pieces, with context takeover or without | |
//! | [`Inflater`] | the caller's window and 10.5 KiB | any messages, in pieces | `inflater` (default) |
//! | [`whole::Encoder`] | 130 KiB on the heap | servers: one for all connections of a thread | `alloc` |
//! | [`whole::Decoder`] | 19 KB on the heap | servers: small messages that are there as a whole | `alloc` |
//!
//! [`Deflater`] is a [`Compressor`] and [`Inflater`] a [`Codec`] of wirelet's protocol core, which negotiates what both sides
//! agree on ([`Window`]), has the limits and calls them. Neither needs anything else of it: see the example of each.
//!
//! An endpoint that only sends or only receives compressed messages takes one of them, and pays for it alone, in memory and in
//! flash.

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

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod alphabet;
mod deflater;
mod huffman;
#[cfg(feature = "inflater")]
mod inflater;
#[cfg(feature = "alloc")]
pub mod whole;

pub use deflater::Deflater;
#[cfg(feature = "inflater")]
pub use inflater::Inflater;
pub use wirelet_proto::deflate::Window;
pub use wirelet_proto::{Codec, CodecError, Compressor, Flush, Progress};
