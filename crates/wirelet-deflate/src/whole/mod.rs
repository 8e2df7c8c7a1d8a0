//! Whole messages, each by itself: an [`Encoder`] for speed and a [`Decoder`] for small messages.
//!
//! Both keep nothing of a message when the next one begins, and need no time to forget it: one of each can serve all
//! connections of a thread. They have tables on the heap.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "ranges are known where speed matters; fuzzed with overflow checks"
)]

mod block;
mod decoder;
mod encoder;
mod huffman;

pub use decoder::Decoder;
pub use encoder::{Effort, Encoder};
