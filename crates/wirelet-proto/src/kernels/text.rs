//! Bytes that the incremental check has passed, as `&str`.
//!
//! The check runs once, while the bytes arrive; a second one over the whole message would cost as much again
//! on a microcontroller.

use crate::buffer::Proof;

/// The text in `bytes`.
///
/// `_proof` says that the receive buffer which owns `bytes` has validated exactly them and that nobody could
/// change them since. Only the receive buffer makes one.
#[inline]
pub(crate) fn proven_str<'a>(bytes: &'a [u8], _proof: Proof<'a>) -> Option<&'a str> {
    debug_assert!(safe_str(bytes).is_some());
    // SAFETY: a `Proof` is only made by `RecvBuffer::text` for the bytes that passed its `Utf8Validator` up
    // to a character boundary, with storage of this crate whose bytes change through the buffer alone.
    Some(unsafe { core::str::from_utf8_unchecked(bytes) })
}

/// The safe twin.
#[inline]
pub(crate) fn safe_str(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}
