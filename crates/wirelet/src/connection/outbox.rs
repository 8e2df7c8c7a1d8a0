//! Messages of [`Sender`](crate::Sender)s that wait for their connection.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use wirelet_proto::MessageKind;

use crate::deflate::{Compress, Prepared};
use crate::{Message, SendError, TrySendError};

/// What each queued message counts on top of its payload, bytes: empty messages are not free.
const OVERHEAD: usize = std::mem::size_of::<Queued>();

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) body: Body,
    pub(crate) kind: MessageKind,
    pub(crate) compress: Compress,
}

/// Its payload.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Own(Bytes),
    /// Others have it, too.
    Prepared(Arc<Prepared>),
}

impl Queued {
    pub(crate) fn new(message: Message, compress: Compress) -> Self {
        Self { kind: message.kind(), body: Body::Own(message.into_bytes()), compress }
    }

    pub(crate) const fn prepared(kind: MessageKind, message: Arc<Prepared>) -> Self {
        Self { body: Body::Prepared(message), kind, compress: Compress::Auto }
    }

    pub(crate) fn into_message(self) -> Message {
        let payload = match self.body {
            Body::Own(bytes) => bytes,
            Body::Prepared(message) => message.payload().clone(),
        };
        Message::checked(self.kind, payload)
    }

    fn cost(&self) -> usize {
        let len = match &self.body {
            Body::Own(bytes) => bytes.len(),
            Body::Prepared(message) => message.payload().len(),
        };
        len.saturating_add(OVERHEAD)
    }
}

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
    messages: VecDeque<Queued>,
    bytes: usize,
    closed: bool,
    /// Somebody waits for room.
    awaited: bool,
}

/// Why a message was not queued.
pub(crate) enum Refusal {
    Full(Queued),
    Closed(Queued),
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), filled: AtomicBool::new(false), room: Notify::new(), limit }
    }

    /// Queues `message`. Any message is taken while nothing else is queued.
    pub(crate) fn push(&self, message: Queued) -> Result<(), Refusal> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(Refusal::Closed(message));
        }
        let cost = message.cost();
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
    pub(crate) fn drop_oldest_for(&self, message: &Queued) {
        let mut queue = self.lock();
        while queue.bytes.saturating_add(message.cost()) > self.limit && queue.pop().is_some() {}
    }

    /// The oldest message.
    pub(crate) fn pop(&self) -> Option<Queued> {
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
    pub(crate) fn end(&self) -> VecDeque<Queued> {
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
    fn pop(&mut self) -> Option<Queued> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.cost());
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation says.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_message_that_waits_counts_40_bytes_on_top() {
        assert_eq!(OVERHEAD, 40);
    }
}
