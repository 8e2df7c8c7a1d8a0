//! Messages on their way to the server: those that wait, and those whose bytes have not all left.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::connection::outbox::Outbox;
use crate::connection::queue::Queued;
use crate::deflate::Compress;
use crate::{Message, SendError, TrySendError};

/// What the senders and the client's task share.
#[derive(Debug)]
pub(super) struct Queue {
    outbox: Outbox,
    /// Told when a message has been queued.
    filled: Notify,
    /// Told when no message waits or is on its way any more.
    idle: Notify,
    transit: Mutex<Transit>,
}

/// Messages that have left the outbox. Their places are counted in bytes of one connection's output.
#[derive(Debug, Default)]
struct Transit {
    /// The current connection has taken them. A message has left when so many bytes of output have.
    taken: VecDeque<(Queued, u64)>,
    /// A connection broke before all of their bytes had left: the next one takes them first.
    again: VecDeque<Queued>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            outbox: Outbox::new(limit),
            filled: Notify::new(),
            idle: Notify::new(),
            transit: Mutex::default(),
        }
    }

    // ---- for senders ----

    pub(super) async fn send(&self, message: Message, compress: Compress) -> Result<(), SendError> {
        self.outbox.send(message, |message| self.try_send(message, compress)).await
    }

    pub(super) fn try_send(&self, message: Message, compress: Compress) -> Result<(), TrySendError> {
        self.outbox.push(Queued::new(message, compress))?;
        self.filled.notify_one();
        Ok(())
    }

    /// Bytes that wait for a connection to take them.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.bytes()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    // ---- for the client's task ----

    /// Waits until there is a message to take.
    pub(super) async fn filled(&self) {
        while self.lock().again.is_empty() && self.outbox.bytes() == 0 {
            self.filled.notified().await;
        }
    }

    /// The next message, which the current connection takes. It has not left before [`took`](Self::took) and
    /// [`left`](Self::left) say so.
    pub(super) fn take(&self) -> Option<Queued> {
        let mut transit = self.lock();
        let message = transit.again.pop_front().or_else(|| self.outbox.pop())?;
        transit.taken.push_back((message.clone(), u64::MAX));
        Some(message)
    }

    /// The message taken last ends behind byte `end` of the connection's output.
    pub(super) fn took(&self, end: u64) {
        if let Some((_, known)) = self.lock().taken.back_mut() {
            *known = end;
        }
    }

    /// So many bytes of the connection's output have left.
    pub(super) fn left(&self, written: u64) {
        let mut transit = self.lock();
        while transit.taken.pop_front_if(|(_, end)| *end <= written).is_some() {}
        if self.is_idle_with(&transit) {
            self.idle.notify_waiters();
        }
    }

    /// The connection has ended. What it had taken, and what had not left, comes first in the next one; answers how
    /// many messages that are.
    pub(super) fn again(&self) -> usize {
        let transit = &mut *self.lock();
        let count = transit.taken.len();
        while let Some((message, _)) = transit.taken.pop_back() {
            transit.again.push_front(message);
        }
        count
    }

    /// Waits until everything has left.
    pub(super) async fn idle(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.is_idle_with(&self.lock()) {
                return;
            }
            idle.await;
        }
    }

    /// Takes no messages any more; answers those that have not left, in their order.
    pub(super) fn end(&self) -> Vec<Message> {
        self.again();
        let again = std::mem::take(&mut self.lock().again);
        again.into_iter().chain(self.outbox.end()).map(Queued::into_message).collect()
    }

    fn is_idle_with(&self, transit: &Transit) -> bool {
        transit.taken.is_empty() && transit.again.is_empty() && self.outbox.bytes() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_of(texts: &[&str]) -> Queue {
        let queue = Queue::new(1 << 20);
        for text in texts {
            queue.try_send(Message::from(*text), Compress::default()).unwrap();
        }
        queue
    }

    fn taken(queue: &Queue) -> Vec<String> {
        let text = |message: Queued| message.into_message().as_text().unwrap().to_owned();
        std::iter::from_fn(|| queue.take()).map(text).collect()
    }

    #[test]
    fn what_has_not_left_comes_first_and_in_order() {
        let queue = queue_of(&["a", "b", "c", "d"]);
        for end in [10, 20, 30] {
            queue.take();
            queue.took(end);
        }
        queue.left(19);
        assert_eq!(queue.again(), 2);
        assert_eq!(taken(&queue), ["b", "c", "d"]);
        // Broken again, before any of it was appended.
        assert_eq!(queue.again(), 3);
        assert_eq!(taken(&queue), ["b", "c", "d"]);
    }

    #[test]
    fn what_was_sent_again_in_part_keeps_its_order() {
        let queue = queue_of(&["a", "b", "c"]);
        assert_eq!(taken(&queue).len(), 3);
        assert_eq!(queue.again(), 3);
        queue.take();
        queue.took(10);
        assert_eq!(queue.again(), 1);
        assert_eq!(taken(&queue), ["a", "b", "c"]);
    }

    #[test]
    fn the_end_hands_everything_back() {
        let queue = queue_of(&["a", "b", "c"]);
        queue.take();
        queue.took(10);
        queue.left(10);
        queue.take();
        let unsent = queue.end();
        assert_eq!(unsent, [Message::from("b"), Message::from("c")]);
        let late = queue.try_send(Message::from("d"), Compress::default());
        assert!(matches!(late, Err(TrySendError::Closed(_))));
        assert!(queue.is_closed());
    }

    #[tokio::test]
    async fn idle_is_when_everything_has_left() {
        let queue = queue_of(&["a"]);
        let (wait, work) = (queue.idle(), async {
            queue.filled().await;
            queue.take();
            queue.took(5);
            queue.left(4);
            queue.left(5);
        });
        tokio::join!(wait, work);
    }
}
