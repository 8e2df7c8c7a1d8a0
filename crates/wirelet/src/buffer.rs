//! Received bytes on their way to messages: in a block of the thread's pool, or, where they need more or less than that,
//! in memory of their own.

use bytes::{Buf, Bytes, BytesMut};

use crate::pool::{self, BLOCK};

/// A message smaller than this part of the memory that it is in is copied out where it must not pin that.
const SMALL: usize = 8;
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
    /// Small messages are copied out: the memory behind `bytes` is larger than a block, or it is one and the thread has enough of
    /// those that messages refer to.
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
            // Why: it may have held a larger message before, and small ones may follow.
            self.copies = true;
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

    /// Removes the first `skip` bytes and takes the `n` behind them, uncopied unless they would pin memory that is much larger.
    #[inline]
    pub(crate) fn detach_front(&mut self, skip: usize, n: usize) -> Bytes {
        if n == 0 || self.copies && n < self.allocated / SMALL {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that was received where a larger one had been, and one behind it, kept all of that memory for as long as the
    /// application kept them.
    #[test]
    fn small_messages_kept_the_memory_of_large_ones() {
        const LARGE: usize = 2 * 1024 * 1024;
        // Each test has a thread, and so a pool, of its own.
        let test = || {
            for (kept, reused) in [([100 * 1024, 100], true), ([LARGE / 2, 100], false)] {
                pool::put_large(BytesMut::with_capacity(LARGE), LARGE);
                let mut buffer = Buffer::default();
                buffer.make_room(0, LARGE / 2);
                assert_eq!(buffer.bytes.capacity(), LARGE);
                buffer.bytes.resize(10 + kept[0] + kept[1], 7);
                let messages = [buffer.detach_front(10, kept[0]), buffer.detach_front(0, kept[1])];
                assert!(messages.iter().zip(kept).all(|(message, len)| message[..] == vec![7; len]));
                buffer.release();
                let [first, second] = messages;
                assert_eq!(pool::take_large(LARGE).is_some(), reused);
                drop(first);
                assert_eq!(pool::take_large(LARGE).is_some(), !reused);
                drop(second);
            }
        };
        std::thread::spawn(test).join().unwrap();
    }
}
