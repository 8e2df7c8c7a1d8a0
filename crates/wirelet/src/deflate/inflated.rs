//! Where decompressed bytes live: in the same memory as received ones.

use std::cell::RefCell;

use bytes::{Buf, Bytes};
use wirelet_proto::{Detach, RecvBuffer, Spare, Storage};

use crate::buffer::Buffer;
use crate::pool::BLOCK;

/// So much room is made at least, bytes; as much as there is already where that is more.
const STEP: usize = 4 * 1024;
/// Buffers that a thread keeps for connections that receive something.
const KEPT: usize = 16;

/// The front of its memory, all of which is initialised, is filled.
#[derive(Debug, Default)]
pub(super) struct Inflated {
    buffer: Buffer,
    /// Bytes.
    filled: usize,
}

impl Inflated {
    /// A message may begin: what is left of the memory is used if it is worth it.
    pub(super) fn prepare(&mut self) {
        let spare = self.buffer.bytes.len() - self.filled;
        if (1..STEP / 2).contains(&spare) {
            let len = (self.filled + STEP).min(self.buffer.bytes.capacity());
            if len - self.filled >= STEP / 2 {
                self.buffer.bytes.resize(len, 0);
            } else {
                self.buffer.bytes.truncate(self.filled);
            }
        }
    }

    /// Nothing will be decompressed for a while.
    pub(super) fn rest(&mut self) {
        self.buffer.rest(self.filled);
    }
}

impl Storage for Inflated {
    fn filled(&self) -> &[u8] {
        &self.buffer.bytes[..self.filled]
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[..self.filled]
    }

    fn discard_front(&mut self, n: usize) {
        let n = n.min(self.filled);
        self.buffer.bytes.advance(n);
        self.filled -= n;
    }

    fn truncate(&mut self, len: usize) {
        self.filled = self.filled.min(len);
    }

    fn make_room(&mut self, want: usize) -> bool {
        if self.buffer.bytes.len() - self.filled >= want.max(1) {
            return true;
        }
        if self.buffer.bytes.capacity() <= self.filled {
            self.buffer.make_room(self.filled, self.filled.max(STEP));
        }
        let step = self.filled.clamp(STEP, BLOCK);
        let len = (self.filled + step).min(self.buffer.bytes.capacity());
        self.buffer.bytes.resize(len, 0);
        len > self.filled
    }

    fn message_capacity(&self) -> u64 {
        u64::MAX
    }
}

impl Spare for Inflated {
    fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.filled..]
    }

    fn commit(&mut self, n: usize) {
        self.filled = (self.filled + n).min(self.buffer.bytes.len());
    }
}

impl Detach for Inflated {
    type Piece = Bytes;

    fn detach_front(&mut self, skip: usize, n: usize) -> Bytes {
        let skip = skip.min(self.filled);
        let n = n.min(self.filled - skip);
        self.filled -= skip + n;
        self.buffer.detach_front(skip, n)
    }
}

/// What a connection decompresses into, while it receives something.
pub(super) type Inflow = Box<RecvBuffer<Inflated>>;

thread_local! {
    static KEPT_INFLOWS: RefCell<Vec<Inflow>> = const { RefCell::new(Vec::new()) };
}

/// An empty one.
pub(super) fn take_inflow() -> Inflow {
    let kept = KEPT_INFLOWS.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Box::new(RecvBuffer::new(Inflated::default())))
}

/// Gives one back that [`take_inflow`] has answered.
pub(super) fn put_inflow(mut inflow: Inflow) {
    *inflow = RecvBuffer::new(Inflated::default());
    let _ = KEPT_INFLOWS.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(inflow);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_what_is_in_it_and_is_handed_out_uncopied() {
        let mut inflated = Inflated::default();
        let mut total = 0;
        for round in 0..100 {
            assert!(inflated.make_room(1));
            let room = inflated.spare_mut().len();
            assert!(room > 0 && room <= total.max(BLOCK));
            inflated.spare_mut().fill(round);
            inflated.commit(room);
            total += room;
            assert!(inflated.buffer.bytes.capacity() <= 2 * total.max(BLOCK), "{total}");
        }
        let at = inflated.filled().as_ptr();
        let front = inflated.detach_front(0, total - 1);
        assert_eq!((front.as_ptr(), front.len()), (at, total - 1));
        assert_eq!(inflated.filled(), [99]);
        inflated.rest();
        assert!(inflated.buffer.bytes.capacity() < 100);
        inflated.discard_front(1);
        inflated.rest();
        assert_eq!(inflated.buffer.bytes.capacity(), 0);
    }

    #[test]
    fn many_small_messages_share_a_block() {
        let mut inflated = Inflated::default();
        let mut messages = Vec::new();
        for n in 0..60 {
            inflated.prepare();
            assert!(inflated.make_room(1) && inflated.spare_mut().len() >= 2048);
            inflated.spare_mut()[..1000].fill(n);
            inflated.commit(1000);
            messages.push(inflated.detach_front(0, 1000));
        }
        let first = messages[0].as_ptr() as usize;
        for (n, message) in messages.iter().enumerate() {
            assert_eq!(message.as_ptr() as usize, first + 1000 * n);
            assert_eq!(message, &vec![n as u8; 1000]);
        }
    }
}
