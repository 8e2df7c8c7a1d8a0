//! Where received bytes live: a block of the thread's pool while there is something to read, and nothing, or as
//! little as the beginning of a message needs, while there is not.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use tokio::io::AsyncReadExt;
use wirelet_proto::{Detach, FIXED_OVERHEAD, Storage};

use crate::buffer::Buffer;
use crate::transport::Transport;

/// A read is not begun into less room than this, or than what is announced.
const WORTH_A_READ: usize = 4 * 1024;

/// Received bytes.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    buffer: Buffer,
    /// Bytes that are announced and not received; more than 32 bits can say counts as that.
    want: u32,
    /// The last attempt to read has left nothing in the socket.
    drained: bool,
}

impl Inbound {
    /// Bytes that were received together with the opening handshake.
    pub(crate) fn new(leftover: &[u8]) -> Self {
        Self { buffer: Buffer::of(leftover), want: 0, drained: false }
    }

    /// Reads once, at most `most` bytes, into memory that is there only if there is something to read.
    pub(crate) fn poll_read(
        &mut self,
        transport: &mut Transport,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let idle = self.buffer.is_pooled() || self.buffer.bytes.is_empty();
        // Whoever asks again has been woken, most likely because there is something.
        if (std::mem::take(&mut self.drained) || !idle) && transport.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        self.prepare();
        let room = self.buffer.bytes.spare_capacity_mut().len().min(most);
        let read = pin!(transport.read_buf(&mut (&mut self.buffer.bytes).limit(most))).poll(cx);
        self.drained = matches!(read, Poll::Ready(Ok(n)) if n < room);
        read
    }

    /// Nothing will be read for a while: keeps as little memory as the received bytes need.
    pub(crate) fn rest(&mut self) {
        self.buffer.rest(self.buffer.bytes.len());
    }

    /// Gives up everything.
    pub(crate) fn release(&mut self) {
        self.buffer.release();
    }

    /// Makes sure of room that is worth a read.
    fn prepare(&mut self) {
        let len = self.buffer.bytes.len();
        let spare = self.buffer.bytes.capacity() - len;
        let want = self.want as usize;
        if spare >= want.clamp(1, WORTH_A_READ) && (self.buffer.is_pooled() || len > 0) {
            return;
        }
        // A header and a control frame may stand between the fragments that are joined here.
        self.buffer.make_room(len, want.saturating_add(FIXED_OVERHEAD + 1));
    }
}

impl Storage for Inbound {
    #[inline]
    fn filled(&self) -> &[u8] {
        &self.buffer.bytes
    }

    #[inline]
    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes
    }

    #[inline]
    fn discard_front(&mut self, n: usize) {
        let bytes = &mut self.buffer.bytes;
        bytes.advance(n.min(bytes.len()));
    }

    fn truncate(&mut self, len: usize) {
        self.buffer.bytes.truncate(len);
    }

    #[inline]
    fn make_room(&mut self, want: usize) -> bool {
        self.want = u32::try_from(want).unwrap_or(u32::MAX);
        true
    }

    fn message_capacity(&self) -> u64 {
        u64::MAX
    }
}

impl Detach for Inbound {
    type Piece = Bytes;

    #[inline]
    fn detach_front(&mut self, skip: usize, n: usize) -> Bytes {
        self.buffer.detach_front(skip, n)
    }
}
