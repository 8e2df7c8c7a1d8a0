//! Where received bytes live: a block of the thread's pool while there is something to read, and nothing, or as
//! little as the beginning of a message needs, while there is not.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use wirelet_proto::{Detach, FIXED_OVERHEAD, Storage};

use crate::pool::{self, BLOCK};
use crate::transport::Transport;

/// A read is not begun into less room than this, or than what is announced.
const WORTH_A_READ: usize = 4 * 1024;
/// A message smaller than this is copied out when the thread's blocks are pinned by too many others.
const SMALL: usize = BLOCK / 8;
/// An incomplete message of at least this size keeps the block that it is in.
const KEEPS_BLOCK: usize = BLOCK / 4;

/// Received bytes.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    bytes: BytesMut,
    /// The memory behind `bytes` is a block of the pool.
    pooled: bool,
    /// The size of the memory behind `bytes` when it is not, bytes.
    allocated: usize,
    /// Bytes that are announced and not received.
    want: usize,
}

impl Inbound {
    /// Bytes that were received together with the opening handshake.
    pub(crate) fn new(leftover: &[u8]) -> Self {
        Self { bytes: BytesMut::from(leftover), pooled: false, allocated: leftover.len(), want: 0 }
    }

    /// Reads once, into memory that is there only if there is something to read.
    pub(crate) fn poll_read(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.pooled && !self.bytes.is_empty() && transport.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        self.prepare();
        pin!(transport.read_buf(&mut self.bytes)).poll(cx)
    }

    /// Nothing will be read for a while: keeps as little memory as the received bytes need.
    pub(crate) fn rest(&mut self) {
        let len = self.bytes.len();
        if len == 0 {
            self.release();
        } else if self.pooled && len < KEEPS_BLOCK || !self.pooled && self.allocated > 4 * len + 256 {
            let tail = BytesMut::from(&self.bytes[..]);
            self.replace(tail, false);
        }
    }

    /// Gives up everything.
    pub(crate) fn release(&mut self) {
        self.replace(BytesMut::new(), false);
    }

    /// Makes sure of room that is worth a read.
    fn prepare(&mut self) {
        let len = self.bytes.len();
        let spare = self.bytes.capacity() - len;
        if spare >= self.want.clamp(1, WORTH_A_READ) && (self.pooled || len > 0) {
            return;
        }
        if self.pooled && len == 0 && self.bytes.try_reclaim(BLOCK) {
            return;
        }
        // A header and a control frame may stand between the fragments that are joined here.
        let most = len.saturating_add(self.want).saturating_add(FIXED_OVERHEAD + 1);
        let (mut next, pooled) = if most <= BLOCK {
            (pool::take(), true)
        } else {
            // Memory grows with what was received, not with what is announced.
            (BytesMut::with_capacity(most.min((2 * len).max(BLOCK))), false)
        };
        next.extend_from_slice(&self.bytes);
        self.replace(next, pooled);
    }

    fn replace(&mut self, bytes: BytesMut, pooled: bool) {
        self.allocated = bytes.capacity();
        let old = std::mem::replace(&mut self.bytes, bytes);
        if std::mem::replace(&mut self.pooled, pooled) {
            pool::put(old);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.release();
    }
}

impl Storage for Inbound {
    #[inline]
    fn filled(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    #[inline]
    fn discard_front(&mut self, n: usize) {
        self.bytes.advance(n.min(self.bytes.len()));
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    #[inline]
    fn make_room(&mut self, want: usize) -> bool {
        self.want = want;
        true
    }

    fn message_capacity(&self) -> u64 {
        u64::MAX
    }
}

impl Detach for Inbound {
    type Piece = Bytes;

    #[inline]
    fn detach_front(&mut self, n: usize) -> Bytes {
        let n = n.min(self.bytes.len());
        if n == 0 {
            return Bytes::new();
        }
        if n < SMALL && self.pooled && pool::is_crowded() {
            let copy = Bytes::copy_from_slice(&self.bytes[..n]);
            self.bytes.advance(n);
            return copy;
        }
        self.bytes.split_to(n).freeze()
    }
}
