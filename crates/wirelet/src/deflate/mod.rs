//! permessage-deflate (RFC 7692): what compresses and decompresses.
//!
//! ```text
//!  Compression ──▶ Plan ──(opening handshake)──▶ Negotiated ──▶ Deflate, part of a connection
//!                                                                │ in: SharedInflater, Inflater, Borrower ──▶ Inflated
//!                                                                └ out: Encoder of the thread, Deflater
//! ```

mod config;
mod deflater;
mod inflated;
mod inflater;
mod loan;
mod negotiation;
mod prepared;
mod state;
mod traffic;
mod weight;

pub use config::{Compress, Compression, CompressionInfo, Volume};
pub(crate) use loan::Right;
pub(crate) use negotiation::{Negotiated, Plan};
pub(crate) use prepared::Prepared;
pub(crate) use state::Deflate;
pub(crate) use traffic::Traffic;
