//! A queue of messages that wait for their connection, bounded by bytes. It knows no lock and no task.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use wirelet_proto::MessageKind;

use crate::Message;
use crate::deflate::{Compress, Prepared};

/// What each queued message counts on top of its payload, bytes: empty messages are not free.
const OVERHEAD: usize = std::mem::size_of::<Queued>();

/// A message, a fragment or a ping that waits.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) body: Body,
    pub(crate) kind: MessageKind,
    pub(crate) compress: Compress,
    pub(crate) origin: Origin,
}

/// The payload of what waits.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Own(Bytes),
    /// Other connections send it, too.
    Prepared(Arc<Prepared>),
}

/// Who has queued something, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A whole message of a [`Sender`](crate::Sender).
    Sender,
    /// A frame of the sending half, which lives in another task than the connection.
    Half { fin: bool },
    /// A ping of the sending half.
    Ping,
}

/// Messages in the order in which they were queued.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Queued>,
    /// Of senders, payload and [`OVERHEAD`].
    bytes: usize,
    /// Of the sending half, payload and [`OVERHEAD`].
    half_bytes: usize,
}

impl Queued {
    pub(crate) fn new(message: Message, compress: Compress) -> Self {
        let kind = message.kind();
        Self { kind, body: Body::Own(message.into_bytes()), compress, origin: Origin::Sender }
    }

    pub(crate) const fn prepared(kind: MessageKind, message: Arc<Prepared>) -> Self {
        Self { body: Body::Prepared(message), kind, compress: Compress::Auto, origin: Origin::Sender }
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

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What senders have queued, bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the sending half has queued, bytes.
    pub(crate) const fn half_bytes(&self) -> usize {
        self.half_bytes
    }

    /// Whether a sender's `message` fits. Any message does while no other one of a sender waits.
    pub(crate) fn fits(&self, message: &Queued, limit: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(message.cost()) <= limit
    }

    pub(crate) fn push(&mut self, message: Queued) {
        *self.bytes_of(message.origin) += message.cost();
        self.messages.push_back(message);
    }

    /// Takes the oldest messages of senders until `message` fits, or none of them is left.
    pub(crate) fn take_oldest_for(&mut self, message: &Queued, limit: usize) -> VecDeque<Queued> {
        let mut taken = VecDeque::new();
        while !self.fits(message, limit) {
            let oldest = self.messages.iter().position(|old| old.origin == Origin::Sender);
            let Some(oldest) = oldest else { break };
            taken.extend(self.remove(oldest));
        }
        taken
    }

    /// The oldest that may leave now. While the sending half is inside a fragmented message only its own frames may, and
    /// pings (RFC 6455 5.4).
    pub(crate) fn pop(&mut self, inside_message: bool) -> Option<Queued> {
        let may_leave = |queued: &Queued| !inside_message || queued.origin != Origin::Sender;
        let next = self.messages.iter().position(may_leave)?;
        let message = self.remove(next);
        if self.messages.is_empty() {
            // Why: an idle connection keeps no memory for what it once had to send.
            self.messages.shrink_to(4);
        }
        message
    }

    /// Takes everything.
    pub(crate) fn drain(&mut self) -> VecDeque<Queued> {
        self.bytes = 0;
        self.half_bytes = 0;
        std::mem::take(&mut self.messages)
    }

    fn remove(&mut self, at: usize) -> Option<Queued> {
        let message = self.messages.remove(at)?;
        *self.bytes_of(message.origin) -= message.cost();
        Some(message)
    }

    const fn bytes_of(&mut self, origin: Origin) -> &mut usize {
        match origin {
            Origin::Sender => &mut self.bytes,
            Origin::Half { .. } | Origin::Ping => &mut self.half_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(text: &str, origin: Origin) -> Queued {
        Queued { origin, ..Queued::new(text.into(), Compress::default()) }
    }

    fn text(message: Option<Queued>) -> Option<String> {
        message.map(|message| message.into_message().as_text().unwrap().to_owned())
    }

    /// What the documentation says.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_message_that_waits_counts_40_bytes_on_top() {
        assert_eq!(OVERHEAD, 40);
    }

    #[test]
    fn fragments_overtake_whole_messages_and_nothing_else_does() {
        let mut queue = Queue::default();
        queue.push(queued("a", Origin::Sender));
        queue.push(queued("b", Origin::Half { fin: false }));
        queue.push(queued("c", Origin::Sender));
        queue.push(queued("d", Origin::Half { fin: true }));
        assert_eq!(text(queue.pop(false)).unwrap(), "a");
        assert_eq!(text(queue.pop(false)).unwrap(), "b");
        assert_eq!(text(queue.pop(true)).unwrap(), "d");
        assert!(queue.pop(true).is_none());
        assert_eq!(text(queue.pop(false)).unwrap(), "c");
        assert!(queue.is_empty() && queue.bytes() == 0 && queue.half_bytes() == 0);
    }

    #[test]
    fn the_oldest_messages_of_senders_make_way_and_frames_of_the_half_do_not() {
        let mut queue = Queue::default();
        queue.push(queued("a", Origin::Half { fin: true }));
        for _ in 0..10 {
            queue.push(queued("b", Origin::Sender));
        }
        let large = queued(&"c".repeat(1000), Origin::Sender);
        assert!(!queue.fits(&large, 500));
        assert_eq!(queue.take_oldest_for(&large, 500).len(), 10);
        assert!(queue.fits(&large, 500) && queue.bytes() == 0 && queue.half_bytes() == 41);
    }
}
