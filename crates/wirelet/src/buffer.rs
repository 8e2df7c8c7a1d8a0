//! Received bytes on their way to messages: in a block of the thread's pool, or, where they need more or less than that,
//! in memory of their own.

use bytes::{Buf, Bytes, BytesMut};

use crate::pool::{self, BLOCK};

/// A message smaller than this is copied out when the thread's blocks are pinned by too many others.
const SMALL: usize = BLOCK / 8;
/// Bytes of an incomplete message keep the block that they are in when there are at least so many.
const KEEPS_BLOCK: usize = BLOCK / 4;

/// Received bytes, in a block of the pool or in memory of their own.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: BytesMut,
    /// The memory behind `bytes` is a block of the pool.
    pooled: bool,
    /// The size of the memory behind `bytes` when it is not, bytes.
    allocated: usize,
}

impl Buffer {
    /// A copy, in memory of its own.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: BytesMut::from(bytes), pooled: false, allocated: bytes.len() }
    }

    pub(crate) const fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Makes room for `want` bytes behind the first `len`, which stay: in a block where they fit, otherwise in memory that
    /// grows with them, whatever is wanted.
    pub(crate) fn make_room(&mut self, len: usize, want: usize) {
        if self.pooled && len == 0 {
            self.bytes.clear();
            if self.bytes.try_reclaim(BLOCK) {
                return;
            }
        }
        let most = len.saturating_add(want);
        let (mut next, pooled) = if most <= BLOCK {
            (pool::take(), true)
        } else {
            (BytesMut::with_capacity(most.min((2 * len).max(BLOCK))), false)
        };
        next.extend_from_slice(&self.bytes[..len]);
        self.replace(next, pooled);
    }

    /// Nothing happens for a while: keeps as little memory as the first `len` bytes need. Answers whether the rest is gone.
    pub(crate) fn rest(&mut self, len: usize) -> bool {
        if len == 0 {
            self.release();
        } else if self.pooled && len < KEEPS_BLOCK || !self.pooled && self.allocated > 4 * len + 256 {
            let kept = BytesMut::from(&self.bytes[..len]);
            self.replace(kept, false);
        } else {
            return false;
        }
        true
    }

    /// Gives up everything.
    pub(crate) fn release(&mut self) {
        self.replace(BytesMut::new(), false);
    }

    /// Takes the first `n` bytes, uncopied unless they would pin one block too many.
    #[inline]
    pub(crate) fn detach_front(&mut self, n: usize) -> Bytes {
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

    fn replace(&mut self, bytes: BytesMut, pooled: bool) {
        self.allocated = bytes.capacity();
        let old = std::mem::replace(&mut self.bytes, bytes);
        if std::mem::replace(&mut self.pooled, pooled) {
            pool::put(old);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}
