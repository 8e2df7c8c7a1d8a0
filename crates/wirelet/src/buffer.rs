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
    /// The memory behind `bytes` is a block, and the thread has enough of those that messages refer to.
    copies: bool,
}

impl Buffer {
    /// A copy, in memory of its own.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: BytesMut::from(bytes), pooled: false, allocated: bytes.len(), copies: false }
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
        if most <= BLOCK {
            let (mut block, crowded) = pool::take_to_receive();
            block.extend_from_slice(&self.bytes[..len]);
            self.replace(block, true);
            self.copies = crowded;
        } else {
            let size = most.min((2 * len).max(BLOCK));
            let mut memory = pool::take_large(size).unwrap_or_else(|| BytesMut::with_capacity(size));
            memory.extend_from_slice(&self.bytes[..len]);
            self.replace(memory, false);
        }
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
        if self.allocated > 0 {
            self.replace(BytesMut::new(), false);
        }
    }

    /// Removes the first `skip` bytes and takes the `n` behind them, uncopied unless they would pin one block too many.
    #[inline]
    pub(crate) fn detach_front(&mut self, skip: usize, n: usize) -> Bytes {
        if n == 0 || self.copies && n < SMALL {
            return self.copy_front(skip, n);
        }
        let mut piece = self.bytes.split_to(skip + n).freeze();
        piece.advance(skip);
        piece
    }

    #[cold]
    fn copy_front(&mut self, skip: usize, n: usize) -> Bytes {
        self.bytes.advance(skip);
        let copy = Bytes::copy_from_slice(&self.bytes[..n]);
        self.bytes.advance(n);
        copy
    }

    #[inline]
    fn replace(&mut self, bytes: BytesMut, pooled: bool) {
        let allocated = std::mem::replace(&mut self.allocated, bytes.capacity());
        self.copies = false;
        let old = std::mem::replace(&mut self.bytes, bytes);
        if std::mem::replace(&mut self.pooled, pooled) {
            pool::put(old);
        } else if allocated > BLOCK {
            pool::put_large(old, allocated);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}
