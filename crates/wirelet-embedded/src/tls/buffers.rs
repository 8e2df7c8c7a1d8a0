//! The caller's memory of a connection: records that arrive, and records that leave.

use core::ops::Range;

/// RFC 8446 5.1: what stands before each record.
const HEADER: usize = 5;

/// Records that arrive. Text that was decrypted stands where its record stood, until it has been read.
#[derive(Debug)]
pub(super) struct Inbox<'m> {
    bytes: &'m mut [u8],
    text: Range<usize>,
    /// What rustls has not taken yet.
    raw: Range<usize>,
}

impl<'m> Inbox<'m> {
    pub(super) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, text: 0..0, raw: 0..0 }
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Reads text.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let text = self.bytes.get(self.text.clone()).unwrap_or_default();
        let len = text.len().min(into.len());
        into.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
        self.text.start += len;
        len
    }

    /// What rustls may look at: nothing while there is text to be read.
    pub(super) fn raw(&mut self) -> &mut [u8] {
        let range = if self.has_text() { 0..0 } else { self.raw.clone() };
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// rustls has done with so many bytes of `raw`.
    pub(super) fn discard(&mut self, n: usize) {
        self.raw.start = self.raw.start.saturating_add(n).min(self.raw.end);
    }

    /// Puts the text of a record in the place of the record, which is longer; false when it is not.
    pub(super) fn put(&mut self, text: &[u8]) -> bool {
        let Some(start) = self.raw.start.checked_sub(text.len()) else { return false };
        let range = start..self.raw.start;
        let Some(to) = self.bytes.get_mut(range.clone()) else { return false };
        to.copy_from_slice(text);
        self.text = range;
        true
    }

    /// Whether a whole record is left: the beginning of a handshake message, since rustls takes all others at once.
    pub(super) fn holds_record(&self) -> bool {
        match self.bytes.get(self.raw.clone()).unwrap_or_default() {
            raw @ [_, _, _, high, low, ..] => {
                raw.len() - HEADER >= usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => false,
        }
    }

    /// Where what arrives next is put. Empty when a record is larger than the memory.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        if !self.has_text() {
            self.bytes.copy_within(self.raw.clone(), 0);
            self.raw = 0..self.raw.len();
        }
        self.bytes.get_mut(self.raw.end..).unwrap_or_default()
    }

    /// So many bytes have been put into `spare`.
    pub(super) fn commit(&mut self, n: usize) {
        self.raw.end = self.raw.end.saturating_add(n).min(self.bytes.len());
    }
}

/// Records that leave.
#[derive(Debug)]
pub(super) struct Outbox<'m> {
    bytes: &'m mut [u8],
    waiting: Range<usize>,
    /// Bytes of a write that was dropped, which are in the records that wait.
    pub(super) claimed: usize,
}

impl<'m> Outbox<'m> {
    pub(super) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, waiting: 0..0, claimed: 0 }
    }

    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.waiting.clone()).unwrap_or_default()
    }

    pub(super) fn written(&mut self, n: usize) {
        self.waiting.start = self.waiting.start.saturating_add(n).min(self.waiting.end);
        if self.waiting.is_empty() {
            self.waiting = 0..0;
        }
    }

    pub(super) fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.waiting.end..).unwrap_or_default()
    }

    pub(super) fn commit(&mut self, n: usize) {
        self.waiting.end = self.waiting.end.saturating_add(n).min(self.bytes.len());
    }
}
