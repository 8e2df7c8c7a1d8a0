//! Blocks of memory that a thread lends to the connections it is working on.
//!
//! A connection takes a block when its socket has something to read, or when it has something to write, and
//! gives it back as soon as nothing refers to it. Messages are counted slices of their block: a block that a
//! message still refers to is *pinned*; the pool keeps a handle of it and tries again later. Pinned blocks are
//! limited; past the limit small messages get memory of their own.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

pub(crate) use crate::connection::outbound::Segments;

/// A block, bytes: a message of 64 KiB with its header, and some more.
pub(crate) const BLOCK: usize = 68 * 1024;
/// Blocks that a thread keeps in reserve.
const RESERVE: usize = 16;
/// Pinned blocks of a thread.
const PINNED: usize = 64;
/// Pinned blocks that are looked at each time.
const LOOK_AT: usize = 8;
/// Memory of large messages that a thread keeps for the next ones, bytes in all. Why: fresh memory costs a page fault for every
/// 4 KiB, and to grow step by step costs a copy each time.
const LARGE: usize = 4 * 1024 * 1024;
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

struct Pool {
    lent: isize,
    free: Vec<BytesMut>,
    pinned: VecDeque<BytesMut>,
    large: Large,
    #[allow(clippy::vec_box, reason = "a connection has a pointer to it, and it goes from one to another")]
    queues: Vec<Box<Segments>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
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

/// An empty block to receive into, and whether so many blocks are pinned that small messages must not pin this one.
pub(crate) fn take_to_receive() -> (BytesMut, bool) {
    with(|pool| (pool.take(), pool.is_crowded())).unwrap_or_else(|| (BytesMut::with_capacity(BLOCK), false))
}

/// Gives a block back that [`take`] has answered.
pub(crate) fn put(block: BytesMut) {
    with(|pool| pool.put(block));
}

/// Empty memory for at least `size` bytes that has held a large message before, if there is some.
pub(crate) fn take_large(size: usize) -> Option<BytesMut> {
    with(|pool| pool.large.take(size)).flatten()
}

/// Gives back memory of `size` bytes that has held a large message.
pub(crate) fn put_large(memory: BytesMut, size: usize) {
    with(|pool| pool.large.put(memory, size));
}

/// An empty queue, with memory.
pub(crate) fn take_queue() -> Box<Segments> {
    with(|pool| pool.queues.pop()).flatten().unwrap_or_else(|| Box::new(Segments::with_capacity(8)))
}

/// Gives back a queue that [`take_queue`] has answered.
pub(crate) fn put_queue(mut queue: Box<Segments>) {
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
    const fn new() -> Self {
        Self { lent: 0, free: Vec::new(), pinned: VecDeque::new(), large: Large::new(), queues: Vec::new() }
    }

    fn take(&mut self) -> BytesMut {
        self.lent += 1;
        if self.free.is_empty() {
            self.unpin();
        }
        self.free.pop().unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
    }

    /// Whether so many blocks are pinned that small messages must not pin more.
    fn is_crowded(&mut self) -> bool {
        self.pinned.len() >= PINNED && !self.unpin()
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

/// Memory of large messages, free or still referred to by one, oldest first, with its size in bytes.
struct Large {
    memory: VecDeque<(BytesMut, usize)>,
    bytes: usize,
}

impl Large {
    const fn new() -> Self {
        Self { memory: VecDeque::new(), bytes: 0 }
    }

    fn take(&mut self, least: usize) -> Option<BytesMut> {
        let fits = |(memory, size): &mut (BytesMut, usize)| *size >= least && memory.try_reclaim(*size);
        let found = self.memory.iter_mut().position(fits)?;
        let (memory, size) = self.memory.remove(found)?;
        self.bytes -= size;
        Some(memory)
    }

    fn put(&mut self, mut memory: BytesMut, size: usize) {
        if size > LARGE / 2 {
            return;
        }
        memory.clear();
        self.bytes += size;
        self.memory.push_back((memory, size));
        while self.bytes > LARGE
            && let Some((_, size)) = self.memory.pop_front()
        {
            self.bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test has a thread, and so a pool, of its own.
    fn is_crowded() -> bool {
        with(Pool::is_crowded).unwrap()
    }

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
    fn memory_of_large_messages_is_kept_up_to_a_limit_and_taken_when_no_message_refers_to_it() {
        on_own_thread(|| {
            const SIZE: usize = 1024 * 1024;
            assert!(take_large(SIZE).is_none());
            let mut memory = BytesMut::zeroed(SIZE);
            let at = memory.as_ptr();
            let message = memory.split_to(SIZE / 2).freeze();
            put_large(memory, SIZE);
            assert!(take_large(SIZE).is_none());
            drop(message);
            assert!(take_large(SIZE + 1).is_none());
            let memory = take_large(SIZE).unwrap();
            assert_eq!((memory.as_ptr(), memory.len(), memory.capacity()), (at, 0, SIZE));
            for _ in 0..10 {
                put_large(BytesMut::with_capacity(SIZE), SIZE);
            }
            put_large(BytesMut::with_capacity(LARGE), LARGE);
            assert_eq!(std::iter::from_fn(|| take_large(1)).count(), LARGE / SIZE);
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
