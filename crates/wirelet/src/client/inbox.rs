//! Events that wait for the application, bounded.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{Semaphore, mpsc};

use super::event::Event;

/// Events that wait, bytes; the last of them may go beyond.
const ROOM: usize = 64 * 1024;
/// What an event counts besides its payload, bytes.
const OVERHEAD: usize = 256;

/// The task's end.
#[derive(Debug)]
pub(super) struct Producer {
    events: mpsc::UnboundedSender<(Event, usize)>,
    room: Arc<Semaphore>,
}

/// The application's end.
#[derive(Debug)]
pub(super) struct Consumer {
    events: mpsc::UnboundedReceiver<(Event, usize)>,
    room: Arc<Semaphore>,
}

/// Both ends.
pub(super) fn inbox() -> (Producer, Consumer) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(ROOM));
    (Producer { events: sender, room: Arc::clone(&room) }, Consumer { events: receiver, room })
}

impl Producer {
    /// Waits until another event may be put.
    pub(super) async fn room(&self) {
        // It is never closed; the permit goes back at once, since there is one producer.
        drop(self.room.acquire().await);
    }

    /// Puts an event. It is taken in any case; [`room`](Self::room) keeps the bound.
    pub(super) fn put(&self, event: Event) {
        let len = match &event {
            Event::Message(message) => message.len(),
            Event::Chunk(chunk) => chunk.data.len(),
            _ => 0,
        };
        let cost = self.room.forget_permits(len.saturating_add(OVERHEAD));
        // When nobody listens any more the task is about to be aborted.
        let _ = self.events.send((event, cost));
    }
}

impl Consumer {
    /// The next event; `None` when the producer has gone.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some((event, cost)) = ready!(self.events.poll_recv(cx)) else { return Poll::Ready(None) };
        self.room.add_permits(cost);
        Poll::Ready(Some(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[tokio::test]
    async fn events_are_bounded_by_bytes() {
        let (producer, mut consumer) = inbox();
        let message = Message::from(vec![0; 10_000]);
        let mut put = 0;
        while tokio::time::timeout(std::time::Duration::ZERO, producer.room()).await.is_ok() {
            producer.put(Event::Message(message.clone()));
            put += 1;
        }
        assert_eq!(put, 7);
        for _ in 0..put {
            assert!(std::future::poll_fn(|cx| consumer.poll_take(cx)).await.is_some());
        }
        assert_eq!(producer.room.available_permits(), ROOM);
    }
}
