//! What waits to be written: frames in a block of the thread's pool, and large payloads by reference.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::later::{self, Thing};
use crate::pool::{self, BLOCK};
use crate::transport::Transport;

/// From this many queued bytes on, senders wait and what is queued is written at once.
pub(crate) const HIGH_WATER: usize = 64 * 1024;
/// Owned payloads of at least this size are written from where they are.
pub(crate) const BY_REFERENCE: usize = 8 * 1024;
/// Pieces in one vectored write.
const PIECES: usize = 16;

/// Pieces of what is queued, in order.
pub(crate) type Segments = VecDeque<Bytes>;

/// Encoded frames, in order: `segments`, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// `None` while there are none: most connections never have one.
    segments: Option<Box<Segments>>,
    tail: BytesMut,
    /// The memory behind `tail` is a block of the pool.
    pooled: bool,
    len: usize,
    /// The transport itself has something to flush.
    unflushed: bool,
    /// Written since the beginning, bytes.
    written: u64,
    /// Something was queued that will not be written.
    lost: bool,
}

impl Outbound {
    /// Queued, bytes.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0 && !self.unflushed
    }

    /// Written since the beginning, bytes.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Written since the beginning when all has been that is queued now, bytes.
    pub(crate) const fn end(&self) -> u64 {
        self.written + self.len as u64
    }

    /// Whether the transport has bytes that it may keep until it is flushed.
    pub(crate) const fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Whether something was queued that will not be written.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Appends a copy of `bytes`, and answers it, to be masked.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> &mut [u8] {
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            self.make_room(bytes.len());
        }
        let start = self.tail.len();
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
        &mut self.tail[start..]
    }

    /// Appends a frame's header and a copy of its payload, and answers the latter, to be masked.
    #[inline]
    pub(crate) fn push_frame(&mut self, head: &[u8], payload: &[u8]) -> &mut [u8] {
        let len = head.len() + payload.len();
        if self.tail.capacity() - self.tail.len() < len {
            self.make_room(len);
        }
        self.tail.extend_from_slice(head);
        let start = self.tail.len();
        self.tail.extend_from_slice(payload);
        self.len += len;
        &mut self.tail[start..]
    }

    /// Appends `bytes` by reference.
    pub(crate) fn push_owned(&mut self, bytes: Bytes) {
        self.close_tail();
        self.len += bytes.len();
        self.push_segment(bytes);
    }

    fn push_segment(&mut self, bytes: Bytes) {
        self.segments.get_or_insert_with(pool::take_queue).push_back(bytes);
    }

    /// What is in the tail becomes a segment.
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let segment = self.tail.split().freeze();
            self.push_segment(segment);
        }
    }

    #[cold]
    fn make_room(&mut self, n: usize) {
        self.close_tail();
        self.release_tail();
        // A payload larger than a block lives in memory of its own until it is written.
        self.pooled = n <= BLOCK;
        self.tail = if self.pooled { pool::take() } else { BytesMut::with_capacity(n) };
    }

    /// Writes until nothing is queued, or about `most` bytes have been written; one system call for up to 16 pieces.
    ///
    /// # Errors
    /// The transport's.
    pub(crate) fn poll_flush(
        &mut self,
        transport: &mut Transport,
        mut most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.len > 0 && most > 0 {
            let written = if self.segments.as_ref().is_none_or(|segments| segments.is_empty()) {
                let len = self.tail.len().min(most);
                ready!(Pin::new(&mut *transport).poll_write(cx, &self.tail[..len]))?
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let used = self.gather(&mut slices, most);
                ready!(Pin::new(&mut *transport).poll_write_vectored(cx, &slices[..used]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            most = most.saturating_sub(written);
            self.consume(written);
        }
        if self.unflushed {
            ready!(Pin::new(transport).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The first `most` bytes, as far as there are slices for them.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES], mut most: usize) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let segments = self.segments.iter().flat_map(|segments| segments.iter());
        let pieces = segments.map(|segment| &segment[..]).chain(tail).map_while(|piece| {
            let piece = &piece[..piece.len().min(most)];
            most -= piece.len();
            (!piece.is_empty()).then_some(piece)
        });
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn consume(&mut self, mut n: usize) {
        self.len -= n;
        self.written += n as u64;
        if let Some(segments) = &mut self.segments {
            while let Some(first) = segments.front_mut() {
                if n < first.len() {
                    first.advance(n);
                    return;
                }
                n -= first.len();
                later::dispose(segments.pop_front().map(Thing::Payload));
            }
        }
        self.tail.advance(n);
    }

    /// Nothing will be sent for a while: gives memory back when nothing is queued.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.len == 0 && (self.pooled || self.tail.capacity() > 0 || self.segments.is_some()) {
            self.release();
        }
    }

    /// Nothing of what is queued will be written. What has been counted stays.
    pub(crate) fn clear(&mut self) {
        self.lost |= self.len > 0;
        self.unflushed = false;
        self.release();
    }

    /// Gives up all memory.
    fn release(&mut self) {
        self.len = 0;
        if let Some(segments) = self.segments.take() {
            later::dispose(Thing::Segments(segments));
        }
        self.release_tail();
    }

    fn release_tail(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        if std::mem::take(&mut self.pooled) {
            pool::put(tail);
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.release();
    }
}
