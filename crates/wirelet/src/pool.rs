//! Blocks of memory that a thread lends to the connections it is working on.
//!
//! A connection takes a block when its socket has something to read, or when it has something to write, and
//! gives it back as soon as nothing refers to it. Messages are counted slices of their block: a block that a
//! message still refers to is *pinned*; the pool keeps a handle of it and tries again later. Pinned blocks are
//! limited; past the limit small messages get memory of their own.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A block, bytes: a message of 64 KiB with its header, and some more.
pub(crate) const BLOCK: usize = 68 * 1024;
/// Blocks that a thread keeps in reserve.
const RESERVE: usize = 16;
/// Pinned blocks of a thread.
const PINNED: usize = 64;
/// Pinned blocks that are looked at each time.
const LOOK_AT: usize = 8;
/// Segment queues that a thread keeps in reserve.
const QUEUES: usize = 8;

/// What the pool of the current thread holds, in blocks of 68 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Taken by connections and not given back. Connections that move between threads can make one thread's
    /// figure negative and another's too high; the sum is right.
    pub lent: isize,
    /// Given back and free.
    pub free: usize,
    /// Given back, but messages still refer to them.
    pub pinned: usize,
}

#[derive(Default)]
struct Pool {
    lent: isize,
    free: Vec<BytesMut>,
    pinned: VecDeque<BytesMut>,
    queues: Vec<VecDeque<Bytes>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
}

/// The state of the current thread's pool.
pub(crate) fn usage() -> Usage {
    with(|pool| Usage { lent: pool.lent, free: pool.free.len(), pinned: pool.pinned.len() })
        .unwrap_or_default()
}

/// An empty block.
pub(crate) fn take() -> BytesMut {
    with(Pool::take).unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
}

/// Gives a block back that [`take`] has answered.
pub(crate) fn put(block: BytesMut) {
    with(|pool| pool.put(block));
}

/// Whether so many blocks are pinned that small messages must not pin more.
#[inline]
pub(crate) fn is_crowded() -> bool {
    with(|pool| pool.pinned.len() >= PINNED && !pool.unpin()).unwrap_or(false)
}

/// An empty queue, with memory.
pub(crate) fn take_queue() -> VecDeque<Bytes> {
    with(|pool| pool.queues.pop()).flatten().unwrap_or_else(|| VecDeque::with_capacity(8))
}

/// Gives back a queue that [`take_queue`] has answered.
pub(crate) fn put_queue(mut queue: VecDeque<Bytes>) {
    queue.clear();
    with(|pool| {
        if pool.queues.len() < QUEUES && queue.capacity() <= 64 {
            pool.queues.push(queue);
        }
    });
}

/// `None` while the thread ends and its pool is gone.
fn with<T>(f: impl FnOnce(&mut Pool) -> T) -> Option<T> {
    POOL.try_with(|pool| f(&mut pool.borrow_mut())).ok()
}

impl Pool {
    fn take(&mut self) -> BytesMut {
        self.lent += 1;
        if self.free.is_empty() {
            self.unpin();
        }
        self.free.pop().unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
    }

    fn put(&mut self, mut block: BytesMut) {
        self.lent -= 1;
        block.clear();
        if block.try_reclaim(BLOCK) {
            if self.free.len() < RESERVE {
                self.free.push(block);
            }
        } else if self.pinned.len() < PINNED || self.unpin() {
            self.pinned.push_back(block);
        }
    }

    /// Looks at some pinned blocks; whether one has become free.
    fn unpin(&mut self) -> bool {
        let before = self.pinned.len();
        for _ in 0..before.min(LOOK_AT) {
            let Some(mut block) = self.pinned.pop_front() else { break };
            if !block.try_reclaim(BLOCK) {
                self.pinned.push_back(block);
            } else if self.free.len() < RESERVE {
                self.free.push(block);
            }
        }
        self.pinned.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test has a thread, and so a pool, of its own.
    fn on_own_thread(test: fn()) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_block_comes_back_and_is_lent_again() {
        on_own_thread(|| {
            let block = take();
            let at = block.as_ptr();
            assert_eq!(usage(), Usage { lent: 1, free: 0, pinned: 0 });
            put(block);
            assert_eq!(usage(), Usage { lent: 0, free: 1, pinned: 0 });
            assert_eq!(take().as_ptr(), at);
        });
    }

    #[test]
    fn a_pinned_block_is_lent_again_when_its_message_is_gone() {
        on_own_thread(|| {
            let mut block = take();
            let at = block.as_ptr();
            block.extend_from_slice(b"hello, and what follows");
            let message = block.split_to(5).freeze();
            put(block);
            assert_eq!(usage(), Usage { lent: 0, free: 0, pinned: 1 });
            assert_ne!(take().as_ptr(), at);
            assert_eq!(&message[..], b"hello");
            drop(message);
            let block = take();
            assert_eq!((block.as_ptr(), block.capacity(), block.len()), (at, BLOCK, 0));
        });
    }

    #[test]
    fn pinned_blocks_are_limited() {
        on_own_thread(|| {
            let mut messages = Vec::new();
            for n in 0..1000 {
                assert_eq!(is_crowded(), n >= PINNED);
                let mut block = take();
                block.extend_from_slice(b"hello");
                messages.push(block.split_to(5).freeze());
                put(block);
            }
            assert_eq!(usage(), Usage { lent: 0, free: 0, pinned: PINNED });
            messages.clear();
            assert!(!is_crowded());
        });
    }

    #[test]
    fn the_reserve_is_limited() {
        on_own_thread(|| {
            let blocks: Vec<_> = (0..100).map(|_| take()).collect();
            blocks.into_iter().for_each(put);
            assert_eq!(usage(), Usage { lent: 0, free: RESERVE, pinned: 0 });
        });
    }
}
