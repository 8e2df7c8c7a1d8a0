//! Sending to a connection from any task.

use std::fmt;
use std::sync::Arc;

use wirelet_proto::CloseCode;

use crate::Message;
use crate::connection::Shared;
use crate::connection::queue::Queued;
use crate::deflate::Compress;

/// Sends to a connection from any task, in any number of clones.
///
/// What is sent waits in a queue of at most [`Limits::queued`](wirelet_proto::Limits::queued) bytes (40 for each
/// message on top of its payload; any message is taken while nothing else waits), which all senders of the
/// connection share. The connection's own future writes it; a connection without a task writes it when it is
/// polled. Whole messages are never mixed: while a fragmented message is being written they wait.
///
/// Order: messages of one task leave in the order in which it queued them, through one `Sender`, several, or
/// [`send`](crate::WebSocket::send). Between tasks the order is that of the queue.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    policy: SlowReceiver,
}

/// What becomes of a message whose receiver is too slow: the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowReceiver {
    /// [`send`](Sender::send) waits, [`try_send`](Sender::try_send) hands the message back.
    #[default]
    Wait,
    /// The new message is dropped. Who sends gets `Ok`, and is not told.
    DropNewest,
    /// The oldest messages of senders are dropped until the new one fits.
    DropOldest,
    /// The connection is closed with 1013, and all that waits in the queue is dropped, so that what the receiver has got is an
    /// unbroken beginning. The new message comes back as [`TrySendError::Closed`].
    Close,
}

/// The message could not be sent, and comes back: the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError(pub Message);

/// The message could not be sent now, and comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// The queue is full.
    Full(Message),
    /// The connection is closed.
    Closed(Message),
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.mailbox();
        Self { shared, policy: SlowReceiver::Wait }
    }

    /// The same connection, with another policy for slow receivers.
    #[must_use]
    pub fn with_policy(mut self, policy: SlowReceiver) -> Self {
        self.policy = policy;
        self
    }

    /// Queues `message`. With [`SlowReceiver::Wait`] it waits for room; otherwise it does at once what the policy says. `Ok` with
    /// [`SlowReceiver::DropNewest`] does not mean that the message was queued.
    ///
    /// # Errors
    /// The connection is closed, or closing.
    ///
    /// # Cancel safety
    /// A dropped future has queued the message whole or not at all.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.shared.mailbox().send(message.into(), |message| self.try_send(message)).await
    }

    /// [`send`](Self::send), saying whether the message is compressed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[cfg(feature = "deflate")]
    pub async fn send_with(&self, message: impl Into<Message>, compress: Compress) -> Result<(), SendError> {
        self.shared.mailbox().send(message.into(), |message| self.try_send_with(message, compress)).await
    }

    /// Queues `message`, or does what the policy says when there is no room.
    ///
    /// # Errors
    /// [`TrySendError::Full`] with the policy [`SlowReceiver::Wait`], [`TrySendError::Closed`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.queue(Queued::new(message.into(), Compress::default()))
    }

    /// [`try_send`](Self::try_send), saying whether the message is compressed.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[cfg(feature = "deflate")]
    pub fn try_send_with(&self, message: impl Into<Message>, compress: Compress) -> Result<(), TrySendError> {
        self.queue(Queued::new(message.into(), compress))
    }

    fn queue(&self, message: Queued) -> Result<(), TrySendError> {
        self.shared.push(message, self.policy)
    }

    /// Bytes that wait in the queue: payload, and 40 for each message.
    pub fn queued(&self) -> usize {
        self.shared.mailbox().bytes()
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.mailbox().is_closed()
    }

    /// Closes the connection behind what has been queued.
    ///
    /// While another task is inside a fragmented message nothing but control frames can leave (RFC 6455 5.4): the close frame does at
    /// once, and what senders have queued behind the beginning of that message is dropped, as that message's end is. Who wants
    /// both to arrive closes when the message has ended.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) when it is closing already,
    /// [`Error::Misuse`](crate::Error::Misuse) for a code that must not be sent or a reason of more than 123 bytes.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), crate::Error> {
        self.shared.close(code, reason)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("policy", &self.policy).field("queued", &self.queued()).finish()
    }
}

impl TrySendError {
    /// The message.
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed")
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue of the connection is full",
            Self::Closed(_) => "the connection is closed",
        })
    }
}

impl std::error::Error for SendError {}
impl std::error::Error for TrySendError {}
