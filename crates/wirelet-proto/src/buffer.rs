//! Received bytes and the message that is assembled among them, in place.

use core::ops::Range;

use crate::ProtocolError;
use crate::kernels;
use crate::utf8::Utf8Validator;

/// What a fixed buffer needs besides the largest message: a header and a control frame that may stand inside.
pub const FIXED_OVERHEAD: usize = 139;

/// Where received bytes live. [`RecvBuffer`] keeps cursors into it, counted from its front.
///
/// Implemented by [`Fixed`] (caller-owned, for microcontrollers) and `Growable` (feature `alloc`); a driver may bring its own,
/// as blocks out of a pool.
pub trait Storage {
    /// The bytes that were received and not discarded.
    fn filled(&self) -> &[u8];

    /// The same, to unmask and assemble in place.
    fn filled_mut(&mut self) -> &mut [u8];

    /// Forgets the first `n` bytes; the next one becomes the front.
    fn discard_front(&mut self, n: usize);

    /// Forgets all but the first `len` bytes.
    fn truncate(&mut self, len: usize);

    /// Makes room for at least one more byte, moving or growing where it must; `false` when there can be none.
    ///
    /// `want` bytes are announced. Memory may grow with what has been received, never with what was only
    /// announced.
    fn make_room(&mut self, want: usize) -> bool;

    /// The largest message that fits, in bytes.
    fn message_capacity(&self) -> u64;

    /// The first `len` bytes as text, which `proof` says they are; checked again unless the storage belongs to
    /// this crate.
    fn text<'a>(&'a self, len: usize, proof: Proof<'a>) -> Option<&'a str> {
        let _ = proof;
        kernels::safe_str(self.filled().get(..len)?)
    }
}

/// Storage whose free part is initialised and can be read into.
pub trait Spare: Storage {
    /// The free part behind the received bytes.
    fn spare_mut(&mut self) -> &mut [u8];

    /// `n` bytes of the free part have been received; more than there are count as all.
    fn commit(&mut self, n: usize);
}

/// Storage that can hand out its front as a piece of its own, uncopied.
pub trait Detach: Storage {
    /// What is handed out.
    type Piece;

    /// Removes the first `skip` bytes and the `n` that follow them, and returns the latter.
    fn detach_front(&mut self, skip: usize, n: usize) -> Self::Piece;
}

/// The bytes at the front of a storage were validated as text and have not been touched since.
///
/// Only [`RecvBuffer`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a>(core::marker::PhantomData<&'a [u8]>);

/// Received bytes, the cursors of the frame decoder, and the message that is assembled at their front.
///
/// ```text
///  0            message_end     piece_start      parsed            filled
///  ├── message ──┤ (headers that ├── payload of a ─┤ not parsed yet ─┤ spare
///                   were eaten)      control frame
/// ```
#[derive(Debug)]
pub struct RecvBuffer<S> {
    storage: S,
    message_end: usize,
    piece_start: usize,
    parsed: usize,
    utf8: Utf8Validator,
    /// How much of the message has been checked as text.
    checked_end: usize,
    /// Nobody could change the message since.
    untouched: bool,
}

impl<S: Storage> RecvBuffer<S> {
    /// Received bytes that live in `storage`; what it is filled with already counts as received.
    pub const fn new(storage: S) -> Self {
        Self {
            storage,
            message_end: 0,
            piece_start: 0,
            parsed: 0,
            utf8: Utf8Validator::new(),
            checked_end: 0,
            untouched: true,
        }
    }

    /// The storage.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, for a driver that reads into it by its own means. Bytes may be appended; those that are
    /// there must stay.
    pub const fn storage_mut(&mut self) -> &mut S {
        self.untouched = false;
        &mut self.storage
    }

    /// Whether no byte is held, so that the memory behind it may be given back.
    ///
    /// The beginning of a header, and the phase of a payload that is delivered in chunks, live elsewhere.
    pub fn is_empty(&self) -> bool {
        self.storage.filled().is_empty()
    }

    /// Where the message, or the chunk, that is ready stands in [`Storage::filled`].
    pub const fn message_range(&self) -> Range<usize> {
        0..self.message_end
    }

    pub(crate) fn message(&self) -> &[u8] {
        self.storage.filled().get(..self.message_end).unwrap_or_default()
    }

    /// The message as text; `None` unless it is.
    pub(crate) fn text(&self) -> Option<&str> {
        if self.untouched && self.checked_end == self.message_end && self.utf8.is_complete() {
            return self.storage.text(self.message_end, Proof(core::marker::PhantomData));
        }
        kernels::safe_str(self.message())
    }

    pub(crate) fn piece(&self) -> &[u8] {
        self.storage.filled().get(self.piece_start..self.parsed).unwrap_or_default()
    }

    pub(crate) fn unparsed_mut(&mut self) -> &mut [u8] {
        self.storage.filled_mut().get_mut(self.parsed..).unwrap_or_default()
    }

    pub(crate) fn unparsed(&self) -> &[u8] {
        self.storage.filled().get(self.parsed..).unwrap_or_default()
    }

    /// A whole message of `len` bytes follows a header of `header_len`: makes it the current one and answers it.
    #[inline]
    pub(crate) fn begin_whole_message(&mut self, header_len: usize, len: usize) -> &mut [u8] {
        self.storage.discard_front(self.parsed.wrapping_add(header_len));
        self.parsed = len;
        self.message_end = len;
        self.piece_start = len;
        self.checked_end = 0;
        self.utf8 = Utf8Validator::new();
        self.untouched = true;
        self.storage.filled_mut().get_mut(..len).unwrap_or_default()
    }

    /// `n` bytes of a header were consumed; a message starts with the next byte when it is its first.
    pub(crate) fn eat_header(&mut self, n: usize, starts_message: bool) {
        self.parsed = self.parsed.wrapping_add(n);
        if starts_message {
            self.begin_message();
        } else if self.message_end == 0 {
            self.discard_parsed();
        }
        self.piece_start = self.parsed;
    }

    pub(crate) fn begin_message(&mut self) {
        self.discard_parsed();
        self.utf8 = Utf8Validator::new();
        self.untouched = true;
    }

    /// The first `n` bytes have been parsed, and nothing of them has to be kept.
    #[inline]
    pub(crate) const fn eat_whole_message(&mut self, n: usize) {
        self.parsed = n;
        self.piece_start = n;
    }

    /// Drops all that has been parsed, where nothing of it is held.
    #[inline]
    pub(crate) fn discard_released(&mut self) {
        if self.parsed > 0 {
            self.discard_parsed();
        }
    }

    fn discard_parsed(&mut self) {
        self.storage.discard_front(self.parsed);
        self.parsed = 0;
        self.message_end = 0;
        self.piece_start = 0;
        self.checked_end = 0;
    }

    /// `n` bytes of payload were unmasked where they are.
    pub(crate) fn eat_payload(&mut self, n: usize) {
        self.parsed = self.parsed.wrapping_add(n);
    }

    /// A codec has used up the first `n` bytes of the current piece.
    pub(crate) fn eat_piece(&mut self, n: usize) {
        self.piece_start = self.piece_start.saturating_add(n).min(self.parsed);
    }

    /// A codec has used up the first `n` bytes of the message.
    pub(crate) fn eat_message(&mut self, n: usize) {
        let n = n.min(self.message_end);
        self.storage.discard_front(n);
        self.message_end = self.message_end.wrapping_sub(n);
        self.piece_start = self.piece_start.wrapping_sub(n);
        self.parsed = self.parsed.wrapping_sub(n);
        self.checked_end = 0;
    }

    /// Appends the current piece to the message: it moves down over the headers between.
    #[inline]
    pub(crate) fn join_piece(&mut self) {
        let len = self.parsed.wrapping_sub(self.piece_start);
        if self.piece_start != self.message_end {
            move_down(self.storage.filled_mut(), self.piece_start, self.message_end, len);
        }
        self.message_end = self.message_end.wrapping_add(len);
        self.piece_start = self.parsed;
    }

    /// Checks what was appended to the message last, `n` bytes, as text.
    #[inline]
    pub(crate) fn check_text(&mut self, n: usize, ascii: bool) -> Result<(), ProtocolError> {
        let from = self.message_end.wrapping_sub(n);
        if !ascii || !self.utf8.is_complete() {
            let added = self.storage.filled().get(from..self.message_end).unwrap_or_default();
            self.utf8.push(added).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        // After the check, not before: what failed it must never count as checked.
        if from == self.checked_end {
            self.checked_end = self.message_end;
        }
        Ok(())
    }

    pub(crate) const fn ends_with_whole_character(&self) -> bool {
        self.utf8.is_complete()
    }

    /// Gives up the message or chunk that was delivered. Its bytes go with the next header, or when the buffer settles.
    #[inline]
    pub(crate) const fn release_message(&mut self) {
        self.message_end = 0;
        self.checked_end = 0;
        self.piece_start = self.parsed;
        // The next chunk of a text continues the check; its bytes alone may begin inside a character.
        self.untouched = false;
    }

    /// Drops the message or chunk that was delivered at once, so that the next piece is written to the front.
    pub(crate) fn discard_message(&mut self) {
        self.discard_parsed();
        self.untouched = false;
    }

    /// Drops the control payload that was delivered; the message around it stays.
    pub(crate) const fn release_piece(&mut self) {
        self.piece_start = self.parsed;
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.parsed = self.storage.filled().len();
        self.discard_parsed();
        // The check of a text may stand inside a character that is gone now.
        self.untouched = false;
    }

    /// All that was received is parsed: closes the gap of eaten headers and makes room for more.
    pub(crate) fn settle(&mut self, want: u64) -> bool {
        let piece = self.parsed.wrapping_sub(self.piece_start);
        if self.message_end < self.piece_start {
            move_down(self.storage.filled_mut(), self.piece_start, self.message_end, piece);
            self.piece_start = self.message_end;
            self.parsed = self.message_end.wrapping_add(piece);
            self.storage.truncate(self.parsed);
        }
        self.storage.make_room(usize::try_from(want).unwrap_or(usize::MAX))
    }
}

impl<S: Spare> RecvBuffer<S> {
    /// Where the driver reads into; never empty after `NeedInput`.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.storage.spare_mut()
    }

    /// The driver has read `n` bytes into [`spare_mut`](Self::spare_mut).
    pub fn commit(&mut self, n: usize) {
        self.storage.commit(n);
    }

    /// `n` bytes of the spare part have become part of the message: a codec wrote them.
    pub(crate) fn append(&mut self, n: usize) {
        self.storage.commit(n);
        self.message_end = self.message_end.wrapping_add(n);
        self.parsed = self.message_end;
        self.piece_start = self.message_end;
    }
}

impl<S: Detach> RecvBuffer<S> {
    /// Hands out the message or chunk that is ready, uncopied, which releases it.
    pub(crate) fn take_message(&mut self) -> S::Piece {
        let len = self.message_end;
        self.release_message();
        self.parsed = self.parsed.saturating_sub(len);
        self.piece_start = self.parsed;
        self.storage.detach_front(0, len)
    }

    /// Hands out the `n` bytes behind a header of `skip` bytes, uncopied, where no message is held and nothing has been parsed
    /// of them.
    #[inline]
    pub(crate) fn take_front(&mut self, skip: usize, n: usize) -> S::Piece {
        self.storage.detach_front(skip, n)
    }
}

/// Moves `len` bytes from `from` down to `to`. Written so that the compiler sees that nothing can be out of bounds.
#[inline]
fn move_down(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    let by = from.wrapping_sub(to);
    let region = bytes.get_mut(to..).and_then(|bytes| bytes.get_mut(..by.saturating_add(len)));
    if let Some(region) = region
        && len > 0
        && by <= region.len()
    {
        region.copy_within(by.., 0);
    }
}

/// Caller-owned memory of fixed size: an array or a mutable slice.
#[derive(Debug)]
pub struct Fixed<B> {
    bytes: B,
    start: usize,
    end: usize,
}

/// An array or a mutable slice of bytes.
pub trait FixedBytes: sealed::Sealed {
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
    #[doc(hidden)]
    fn bytes_mut(&mut self) -> &mut [u8];
}

mod sealed {
    pub trait Sealed {}
    impl<const N: usize> Sealed for [u8; N] {}
    impl Sealed for &mut [u8] {}
}

impl<const N: usize> FixedBytes for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl FixedBytes for &mut [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl<B: FixedBytes> Fixed<B> {
    /// An empty buffer in `bytes`. It should have at least 140 bytes: less than
    /// [`FIXED_OVERHEAD`] + 1 cannot hold every legal control frame beside a message.
    pub const fn new(bytes: B) -> Self {
        Self { bytes, start: 0, end: 0 }
    }

    fn compact(&mut self) {
        let len = self.end.saturating_sub(self.start);
        move_down(self.bytes.bytes_mut(), self.start, 0, len);
        self.start = 0;
        self.end = len;
    }
}

impl<B: FixedBytes> Storage for Fixed<B> {
    fn filled(&self) -> &[u8] {
        self.bytes.bytes().get(self.start..self.end).unwrap_or_default()
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.bytes_mut().get_mut(self.start..self.end).unwrap_or_default()
    }

    fn discard_front(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.start.saturating_add(len).min(self.end);
        self.discard_front(0);
    }

    fn make_room(&mut self, want: usize) -> bool {
        let capacity = self.bytes.bytes().len();
        if self.start > 0 && capacity.saturating_sub(self.end) < want.max(FIXED_OVERHEAD) {
            self.compact();
        }
        self.end < capacity
    }

    fn message_capacity(&self) -> u64 {
        self.bytes.bytes().len().saturating_sub(FIXED_OVERHEAD) as u64
    }

    fn text<'a>(&'a self, len: usize, proof: Proof<'a>) -> Option<&'a str> {
        kernels::proven_str(self.filled().get(..len)?, proof)
    }
}

impl<B: FixedBytes> Spare for Fixed<B> {
    fn spare_mut(&mut self) -> &mut [u8] {
        self.bytes.bytes_mut().get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.bytes.bytes().len());
    }
}

#[cfg(feature = "alloc")]
pub use growable::Growable;

#[cfg(feature = "alloc")]
mod growable {
    use alloc::vec::Vec;

    use super::{FIXED_OVERHEAD, Proof, Spare, Storage, move_down};
    use crate::kernels;

    /// Memory that grows with what was received, up to a maximum, and is given back when nothing is held.
    #[derive(Debug)]
    pub struct Growable {
        bytes: Vec<u8>,
        start: usize,
        end: usize,
        max: usize,
    }

    /// The first allocation.
    const SMALLEST: usize = 512;
    /// An empty storage larger than this frees its memory.
    const KEPT_WHEN_EMPTY: usize = 4096;

    impl Growable {
        /// Empty, without memory, for messages of up to `max_message` bytes.
        pub const fn new(max_message: usize) -> Self {
            Self { bytes: Vec::new(), start: 0, end: 0, max: max_message.saturating_add(FIXED_OVERHEAD) }
        }

        /// Bytes of memory held now.
        pub fn capacity(&self) -> usize {
            self.bytes.capacity()
        }

        fn compact(&mut self) {
            let len = self.end.saturating_sub(self.start);
            move_down(&mut self.bytes, self.start, 0, len);
            self.start = 0;
            self.end = len;
        }

        /// Twice the size, but not more than was announced.
        fn grow(&mut self, want: usize) {
            let announced = self.end.saturating_add(want.max(FIXED_OVERHEAD));
            let doubled = self.bytes.len().saturating_mul(2).max(SMALLEST);
            let size = doubled.min(announced.max(SMALLEST)).min(self.max);
            if size > self.bytes.len() {
                self.bytes.reserve_exact(size.saturating_sub(self.bytes.len()));
                self.bytes.resize(size, 0);
            }
        }
    }

    impl Storage for Growable {
        fn filled(&self) -> &[u8] {
            self.bytes.get(self.start..self.end).unwrap_or_default()
        }

        fn filled_mut(&mut self) -> &mut [u8] {
            self.bytes.get_mut(self.start..self.end).unwrap_or_default()
        }

        fn discard_front(&mut self, n: usize) {
            self.start = self.start.saturating_add(n).min(self.end);
            if self.start == self.end {
                self.start = 0;
                self.end = 0;
                if self.bytes.len() > KEPT_WHEN_EMPTY {
                    self.bytes = Vec::new();
                }
            }
        }

        fn truncate(&mut self, len: usize) {
            self.end = self.start.saturating_add(len).min(self.end);
            self.discard_front(0);
        }

        fn make_room(&mut self, want: usize) -> bool {
            // A header may be wanted of which nothing is announced: at least one byte must fit.
            if self.start > 0 && self.bytes.len().saturating_sub(self.end) < want.max(1) {
                self.compact();
            }
            if self.end >= self.bytes.len() {
                self.grow(want);
            }
            self.end < self.bytes.len()
        }

        fn message_capacity(&self) -> u64 {
            self.max.saturating_sub(FIXED_OVERHEAD) as u64
        }

        fn text<'a>(&'a self, len: usize, proof: Proof<'a>) -> Option<&'a str> {
            kernels::proven_str(self.filled().get(..len)?, proof)
        }
    }

    impl Spare for Growable {
        fn spare_mut(&mut self) -> &mut [u8] {
            self.bytes.get_mut(self.end..).unwrap_or_default()
        }

        fn commit(&mut self, n: usize) {
            self.end = self.end.saturating_add(n).min(self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_buffer_compacts_only_when_it_must() {
        let mut fixed = Fixed::new([0u8; 400]);
        fixed.spare_mut()[..300].fill(7);
        fixed.commit(300);
        fixed.discard_front(200);
        assert!(fixed.make_room(50));
        assert_eq!(fixed.spare_mut().len(), 300);
        assert_eq!(fixed.filled(), [7; 100]);
        fixed.commit(1000);
        assert!(!fixed.make_room(1));
        assert_eq!(fixed.filled().len(), 400);
        assert_eq!(fixed.message_capacity(), 400 - 139);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn growable_memory_follows_what_was_received() {
        let mut growable = Growable::new(1 << 20);
        assert_eq!(growable.capacity(), 0);
        let mut received = 0;
        while received < 100_000 {
            assert!(growable.make_room(usize::MAX));
            assert!(growable.capacity() <= 2 * received.max(SMALLEST_OF_ALL), "{received}");
            received += growable.spare_mut().len();
            growable.commit(usize::MAX);
        }
        growable.discard_front(received);
        assert_eq!(growable.capacity(), 0);
    }

    #[cfg(feature = "alloc")]
    const SMALLEST_OF_ALL: usize = 512;

    #[cfg(feature = "alloc")]
    #[test]
    fn growable_memory_stays_below_what_was_announced_and_below_the_maximum() {
        let mut growable = Growable::new(1000);
        assert!(growable.make_room(10));
        assert_eq!(growable.capacity(), 512);
        growable.commit(512);
        assert!(growable.make_room(600));
        assert_eq!(growable.capacity(), 1024);
        growable.commit(512);
        assert!(growable.make_room(600));
        assert_eq!(growable.capacity(), 1139);
        growable.commit(1139);
        assert!(!growable.make_room(1));
    }
}
