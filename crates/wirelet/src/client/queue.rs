//! Messages on their way to the server: those that wait, and those whose bytes have not all left.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::connection::outbox::Outbox;
use crate::connection::queue::Queued;
use crate::deflate::Compress;
use crate::{Message, SendError, TrySendError};

/// What happens to messages while there is no connection: for [`Builder::while_away`](super::Builder::while_away).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhileAway {
    /// They wait for the next connection, up to [`Limits::queued`](wirelet_proto::Limits::queued) bytes; then senders wait for room.
    #[default]
    Wait,
    /// They wait for the next connection; when there is no room the oldest are dropped. For readings of which the latest count.
    DropOldest,
    /// They come back to their senders as after the client's end, and what waits when a connection is lost is dropped. For commands that make no sense
    /// when they come late.
    Refuse,
}

/// What the senders and the client's task share.
#[derive(Debug)]
pub(super) struct Queue {
    while_away: WhileAway,
    outbox: Outbox,
    /// Messages that were dropped since there was no connection.
    dropped: AtomicU64,
    /// Told when a message has been queued.
    filled: Notify,
    /// Told when no message waits or is on its way any more.
    idle: Notify,
    transit: Mutex<Transit>,
}

/// Messages that have left the outbox. Their places are counted in bytes of one connection's output.
#[derive(Debug, Default)]
struct Transit {
    /// Whether there is a connection.
    is_connected: bool,
    /// The current connection has taken them. A message has left when so many bytes of output have.
    taken: VecDeque<(Queued, u64)>,
    /// A connection broke before all of their bytes had left: the next one takes them first.
    again: VecDeque<Queued>,
}

impl Queue {
    pub(super) fn new(limit: usize, while_away: WhileAway) -> Self {
        Self {
            while_away,
            dropped: AtomicU64::new(0),
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
        let message = Queued::new(message, compress);
        match self.while_away {
            WhileAway::Wait => self.outbox.push(message)?,
            WhileAway::DropOldest => self.push_over(message)?,
            WhileAway::Refuse => {
                // Held over both, so that nothing is queued behind the loss of a connection.
                let transit = self.lock();
                if !transit.is_connected {
                    return Err(TrySendError::Closed(message.into_message()));
                }
                self.outbox.push(message)?;
            }
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Queues a message; while there is no connection the oldest make room for it.
    fn push_over(&self, message: Queued) -> Result<(), TrySendError> {
        loop {
            let full = match self.outbox.push(message.clone()) {
                Err(full @ TrySendError::Full(_)) => full,
                taken => return taken,
            };
            if self.lock().is_connected {
                return Err(full);
            }
            // A payload of the application is dropped under no lock.
            if self.outbox.pop().is_some() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Messages that were dropped since there was no connection.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Bytes that wait for a connection to take them.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.bytes()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    // ---- for the client's task ----

    /// There is a connection.
    pub(super) fn connected(&self) {
        self.lock().is_connected = true;
    }

    /// There is no connection any more, or there was none. What waits goes on to wait, or is dropped. Answers how many messages the connection
    /// had taken that come first in the next one.
    pub(super) fn lost(&self) -> usize {
        if self.while_away != WhileAway::Refuse {
            self.lock().is_connected = false;
            return self.again();
        }
        let mut dropped = Vec::new();
        {
            let mut transit = self.lock();
            transit.is_connected = false;
            dropped.extend(transit.taken.drain(..).map(|(message, _)| message));
            dropped.extend(transit.again.drain(..));
            dropped.extend(std::iter::from_fn(|| self.outbox.pop()));
        }
        self.dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
        self.idle.notify_waiters();
        0
    }

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

    /// What the connection had taken, and what had not left, comes first in the next one; answers how many messages that are.
    fn again(&self) -> usize {
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
        let queue = Queue::new(1 << 20, WhileAway::Wait);
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

    fn numbered(queue: &Queue, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let _ = queue.try_send(Message::from(number.to_string()), Compress::default());
        }
    }

    #[test]
    fn the_oldest_make_room_while_there_is_no_connection() {
        // Each message counts 40 bytes more than its payload.
        let queue = Queue::new(3 * 41, WhileAway::DropOldest);
        numbered(&queue, 0..5);
        assert_eq!((taken(&queue), queue.dropped()), (vec!["2".into(), "3".into(), "4".into()], 2));
        // What a connection had taken is older than all that waits, and is not dropped.
        queue.connected();
        assert_eq!(queue.lost(), 3);
        queue.connected();
        numbered(&queue, 5..9);
        assert_eq!(
            (taken(&queue), queue.dropped()),
            (["2", "3", "4", "5", "6", "7"].map(str::to_owned).into(), 2)
        );
        assert!(queue.outbox.push(Queued::new(Message::from("x"), Compress::default())).is_ok());
    }

    #[test]
    fn what_is_refused_while_away_comes_back_and_what_waits_is_dropped() {
        let queue = Queue::new(1 << 20, WhileAway::Refuse);
        let refused = queue.try_send(Message::from("early"), Compress::default());
        assert!(matches!(refused, Err(TrySendError::Closed(message)) if message == Message::from("early")));
        queue.connected();
        numbered(&queue, 0..3);
        queue.take();
        assert_eq!((queue.lost(), queue.dropped(), queue.waiting()), (0, 3, 0));
        queue.connected();
        assert!(queue.take().is_none() && !queue.is_closed());
    }
}
