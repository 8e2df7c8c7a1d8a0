//! Messages of a client's senders that wait for a connection, whichever it will be.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::queue::{Queue, Queued};
use crate::{Message, SendError, TrySendError};

/// A queue that is bounded by bytes, for many tasks.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Told when there is room again, or none ever.
    room: Notify,
    /// Bytes.
    limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: Queue,
    closed: bool,
    /// Somebody waits for room.
    awaited: bool,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: Mutex::default(), room: Notify::new(), limit }
    }

    /// Queues `message`. Any message is taken while nothing else is queued.
    pub(crate) fn push(&self, message: Queued) -> Result<(), TrySendError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(TrySendError::Closed(message.into_message()));
        }
        if !waiting.queue.fits(&message, self.limit) {
            waiting.awaited = true;
            return Err(TrySendError::Full(message.into_message()));
        }
        waiting.queue.push(message);
        Ok(())
    }

    /// The oldest message.
    pub(crate) fn pop(&self) -> Option<Queued> {
        let mut waiting = self.lock();
        let message = waiting.queue.pop(false);
        let room = waiting.queue.bytes() <= self.limit / 2 && std::mem::take(&mut waiting.awaited);
        drop(waiting);
        if room {
            self.room.notify_waiters();
        }
        message
    }

    /// Nothing is taken any more; answers what is queued.
    pub(crate) fn end(&self) -> VecDeque<Queued> {
        let mut waiting = self.lock();
        waiting.closed = true;
        let messages = waiting.queue.drain();
        drop(waiting);
        self.room.notify_waiters();
        messages
    }

    /// Makes `attempt` with `message` whenever there may be room, until it succeeds or nothing is taken any more.
    pub(crate) async fn send(
        &self,
        message: Message,
        attempt: impl Fn(Message) -> Result<(), TrySendError>,
    ) -> Result<(), SendError> {
        when_there_is_room(&self.room, message, attempt).await
    }

    /// Queued, bytes: payload and 40 for each message.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes `attempt` with `message` whenever `room` is told, until it succeeds or nothing is taken any more.
pub(super) async fn when_there_is_room(
    room: &Notify,
    mut message: Message,
    attempt: impl Fn(Message) -> Result<(), TrySendError>,
) -> Result<(), SendError> {
    loop {
        // Why before the attempt: no wake-up is lost between the two.
        let mut told = pin!(room.notified());
        told.as_mut().enable();
        match attempt(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendError(message)),
            Err(TrySendError::Full(back)) => message = back,
        }
        told.await;
    }
}
