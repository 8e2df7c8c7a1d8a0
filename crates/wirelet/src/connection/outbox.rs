//! Messages of [`Sender`](crate::Sender)s that wait for their connection.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Message, SendError, TrySendError};

/// What each queued message counts on top of its payload, bytes: empty messages are not free.
const OVERHEAD: usize = std::mem::size_of::<Message>();

/// A queue, bounded by bytes.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<Queue>,
    /// There is something to take.
    filled: AtomicBool,
    /// Told when there is room again, or none ever.
    room: Notify,
    /// Bytes.
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    closed: bool,
    /// Somebody waits for room.
    awaited: bool,
}

/// Why a message was not queued.
pub(crate) enum Refusal {
    Full(Message),
    Closed(Message),
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), filled: AtomicBool::new(false), room: Notify::new(), limit }
    }

    /// Queues `message`. Any message is taken while nothing else is queued.
    pub(crate) fn push(&self, message: Message) -> Result<(), Refusal> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(Refusal::Closed(message));
        }
        let cost = cost(&message);
        if !queue.messages.is_empty() && queue.bytes.saturating_add(cost) > self.limit {
            queue.awaited = true;
            return Err(Refusal::Full(message));
        }
        queue.bytes = queue.bytes.saturating_add(cost);
        queue.messages.push_back(message);
        self.filled.store(true, Ordering::Release);
        Ok(())
    }

    /// Drops the oldest messages until `bytes` more would fit, or nothing is left.
    pub(crate) fn drop_oldest_for(&self, message: &Message) {
        let mut queue = self.lock();
        while queue.bytes.saturating_add(cost(message)) > self.limit && queue.pop().is_some() {}
    }

    /// The oldest message.
    pub(crate) fn pop(&self) -> Option<Message> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.lock();
        let message = queue.pop();
        if queue.messages.is_empty() {
            // An idle connection keeps no memory for what it once had to send.
            queue.messages.shrink_to(4);
            self.filled.store(false, Ordering::Release);
        }
        let wake = queue.bytes <= self.limit / 2 && std::mem::take(&mut queue.awaited);
        drop(queue);
        if wake {
            self.room.notify_waiters();
        }
        message
    }

    /// Nothing is taken any more; what is queued is dropped.
    pub(crate) fn close(&self) {
        drop(self.end());
    }

    /// Nothing is taken any more; answers what is queued.
    pub(crate) fn end(&self) -> VecDeque<Message> {
        let mut queue = self.lock();
        if queue.closed {
            return VecDeque::new();
        }
        queue.closed = true;
        queue.bytes = 0;
        let messages = std::mem::take(&mut queue.messages);
        self.filled.store(false, Ordering::Release);
        drop(queue);
        self.room.notify_waiters();
        messages
    }

    /// Makes `attempt` with `message` whenever there may be room, until it succeeds or nothing is taken any more.
    pub(crate) async fn send(
        &self,
        mut message: Message,
        attempt: impl Fn(Message) -> Result<(), TrySendError>,
    ) -> Result<(), SendError> {
        loop {
            // Asked for before the attempt, so that no wake-up is lost between the two.
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            match attempt(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(message)) => return Err(SendError(message)),
                Err(TrySendError::Full(back)) => message = back,
            }
            room.await;
        }
    }

    /// Queued, bytes: payload and 40 for each message.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&message));
        Some(message)
    }
}

fn cost(message: &Message) -> usize {
    message.len().saturating_add(OVERHEAD)
}
