//! Decompressors for messages that are delivered in chunks: a message has one until it ends, and only so many messages may have
//! one and wait for their peers.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use wirelet_proto::{Codec, CodecError, Progress};

use super::inflater::{Inflater, Weighed};
use crate::connection::later::{self, Thing};

/// Decompressors that are in use at a time, or wait for a peer, in the whole process: 3 MB. Those of applications that do not
/// take what they have received come on top.
pub(super) const MOST: usize = 64;

static PERMITS: Semaphore = Semaphore::const_new(MOST);
#[allow(clippy::vec_box, reason = "a connection that has none lent must not have the room for it")]
type Free = Vec<Box<Inflater>>;

static FREE: Mutex<Free> = Mutex::new(Vec::new());

type Permit = SemaphorePermit<'static>;
type Waiting = Pin<Box<dyn Future<Output = Result<Permit, AcquireError>> + Send>>;

/// What a connection has borrowed.
#[derive(Default)]
pub(super) struct Borrower {
    right: Right,
    /// The decompressor of a message that has begun.
    inflater: Option<Box<Inflater>>,
    work: usize,
}

/// The right to decompress.
#[derive(Default)]
pub(crate) enum Right {
    #[default]
    None,
    /// It is its turn after others.
    Awaited(Waiting),
    /// As long as it is held.
    Held { _permit: Permit },
}

impl Borrower {
    /// Ready when a message may begin, or go on. Without a context nobody is woken.
    pub(super) fn poll_permit(&mut self, cx: Option<&mut Context<'_>>) -> Poll<()> {
        if let Right::None = self.right {
            self.right = match PERMITS.try_acquire() {
                Ok(permit) => Right::Held { _permit: permit },
                Err(_) => Right::Awaited(Box::pin(PERMITS.acquire())),
            };
        }
        if let Right::Awaited(waiting) = &mut self.right {
            let Some(cx) = cx else { return Poll::Pending };
            self.right = match ready!(waiting.as_mut().poll(cx)) {
                Ok(permit) => Right::Held { _permit: permit },
                // The semaphore is never closed.
                Err(_) => Right::None,
            };
        }
        Poll::Ready(())
    }

    /// The application does not take what came out of a message: others have their turn. Why the decompressor stays: it is
    /// needed to go on, and what the application holds takes as much. Before it goes on it waits for its turn again.
    pub(super) fn step_aside(&mut self) {
        if !matches!(self.right, Right::None) {
            // Whoever is next is woken.
            later::dispose(Thing::Right(std::mem::take(&mut self.right)));
        }
    }

    fn give_back(&mut self) {
        self.step_aside();
        let Some(mut inflater) = self.inflater.take() else { return };
        // The connection may have broken in the middle of a message.
        inflater.reset();
        let mut free = free();
        if free.len() < MOST {
            free.push(inflater);
        }
    }
}

impl Codec for Borrower {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        if self.is_paused() {
            return Err(CodecError);
        }
        let inflater = self
            .inflater
            .get_or_insert_with(|| free().pop().unwrap_or_else(|| Box::new(Inflater::new(false))));
        let progress = inflater.decompress(input, output, last);
        self.work += inflater.take_work();
        if progress.is_err() || last && progress.is_ok_and(|progress| progress.done) {
            self.give_back();
        }
        progress
    }

    /// A message is not begun, and does not go on, before it may; all others, and control frames, go their way.
    fn is_paused(&self) -> bool {
        !matches!(self.right, Right::Held { .. })
    }
}

impl Weighed for Borrower {
    fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }
}

impl Drop for Borrower {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    #[test]
    fn there_are_so_many_and_whoever_waits_is_next() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut begun: Vec<Borrower> = (0..MOST).map(|_| Borrower::default()).collect();
        for borrower in &mut begun {
            assert!(borrower.poll_permit(None).is_ready());
            let progress = borrower.decompress(&HELLO[..4], &mut [0; 9], false).unwrap();
            assert!(progress.done);
        }
        let mut late = Borrower::default();
        let mut later = Borrower::default();
        assert!(late.poll_permit(Some(&mut cx)).is_pending());
        assert!(later.poll_permit(Some(&mut cx)).is_pending());
        // One ends its message, another one breaks in the middle of it.
        assert!(begun[0].decompress(&HELLO[4..], &mut [0; 9], true).unwrap().done);
        assert!(late.poll_permit(Some(&mut cx)).is_ready());
        assert!(later.poll_permit(Some(&mut cx)).is_pending());
        begun.pop();
        assert!(later.poll_permit(Some(&mut cx)).is_ready());
        // What was lent before knows nothing of that.
        for borrower in [&mut late, &mut later] {
            let mut output = [0; 9];
            assert_eq!(borrower.decompress(&HELLO, &mut output, true).unwrap().produced, 5);
            assert_eq!(&output[..5], b"Hello");
        }
        // An application does not go on with its message: one more has its turn, and that message goes on behind it.
        let mut next = Borrower::default();
        assert!(next.poll_permit(Some(&mut cx)).is_ready());
        let mut last = Borrower::default();
        while last.poll_permit(Some(&mut cx)).is_ready() {
            begun.push(std::mem::take(&mut last));
        }
        begun[1].step_aside();
        assert!(begun[1].is_paused() && last.poll_permit(Some(&mut cx)).is_ready());
        assert!(begun[1].poll_permit(Some(&mut cx)).is_pending());
        drop(last);
        assert!(begun[1].poll_permit(Some(&mut cx)).is_ready());
        let mut output = [0; 9];
        let progress = begun[1].decompress(&HELLO[4..], &mut output, true).unwrap();
        assert!(progress.done && b"Hello".ends_with(&output[..progress.produced]));
        drop((begun, next));
        assert_eq!(PERMITS.available_permits(), MOST);
        assert!(free().len() <= MOST);
    }
}
