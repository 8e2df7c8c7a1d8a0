//! How much one poll of a connection's task may do before other tasks have their turn.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

/// Messages, chunks and control frames.
const MESSAGES: u16 = 512;
/// Bytes that are read from the socket.
const READ: u32 = 1024 * 1024;
/// Bytes that are written to the socket.
const WRITTEN: u32 = 2 * 1024 * 1024;
/// Work of compression: bytes that are compressed, bytes that are decompressed, and what else costs a decompressor as much.
const DECOMPRESSION: u32 = 128 * 1024;
/// After so many messages the clock is looked at.
const CLOCK: u16 = 64;

/// What is left for the current poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    messages: u16,
    read: u32,
    written: u32,
    pub(crate) decompression: u32,
    /// The owner was told to let others have their turn: the next poll begins anew.
    refused: bool,
    /// Some of the above but `decompression` is used up.
    spent: bool,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            messages: MESSAGES,
            read: READ,
            written: WRITTEN,
            decompression: DECOMPRESSION,
            refused: false,
            spent: false,
        }
    }

    /// One more message is looked for; `false`: not in this poll.
    #[inline]
    pub(crate) const fn take_message(&mut self) -> bool {
        let some = self.messages > 0;
        if some {
            self.messages -= 1;
            self.spent |= self.messages == 0;
        }
        some
    }

    /// Whether one more message may be looked for.
    #[inline]
    pub(crate) const fn has_messages(&self) -> bool {
        self.messages > 0
    }

    /// Whether it is time to look at the clock.
    #[inline]
    pub(crate) const fn clock_is_due(&self) -> bool {
        self.messages.is_multiple_of(CLOCK)
    }

    pub(crate) const fn has_read(&mut self, n: usize) {
        self.read = self.read.saturating_sub(bytes(n));
        self.spent |= self.read == 0;
    }

    pub(crate) const fn has_written(&mut self, n: usize) {
        self.written = self.written.saturating_sub(bytes(n));
        self.spent |= self.written == 0;
    }

    /// How much may be read, bytes.
    pub(crate) const fn readable(&self) -> usize {
        self.read as usize
    }

    /// How much may be written, bytes.
    pub(crate) const fn writable(&self) -> usize {
        self.written as usize
    }

    /// So many bytes of messages have been compressed.
    pub(crate) const fn has_compressed(&mut self, n: usize) {
        self.decompression = self.decompression.saturating_sub(bytes(n));
    }

    /// The owner goes on when others have had their turn. Once for each budget: it is woken then.
    pub(crate) fn refuse(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.refused, true) {
            again(cx);
        }
    }

    /// Whether the owner was told to let others have their turn.
    pub(crate) const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether something of it is used up, so that the task has to let others in before it goes on.
    #[inline]
    pub(crate) const fn is_spent(&self) -> bool {
        self.spent || self.decompression == 0
    }
}

/// More than a budget has counts as all of it.
const fn bytes(n: usize) -> u32 {
    if n > u32::MAX as usize { u32::MAX } else { n as u32 }
}

/// Wakes the task when the runtime has looked at all sockets and others have had their turn. Why not at once: a runtime with a
/// task that is always ready looks at its sockets every 61 polls only.
fn again(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
