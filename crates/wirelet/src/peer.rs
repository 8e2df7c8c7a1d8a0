//! The other end of a connection, for callbacks that don't wait.

use std::sync::Arc;

use wirelet_proto::CloseCode;

use crate::connection::{Engine, Shared};
use crate::{Error, MessageRef, SendHalf, Sender};

/// The other end of a connection, while the callback of [`WebSocket::for_each_message`](crate::WebSocket::for_each_message) runs.
///
/// What is sent is queued, and leaves in one write when all messages that had come have been handed over.
pub struct Peer<'p>(Line<'p>);

/// How a connection is reached.
enum Line<'p> {
    /// It is at hand.
    Here(&'p mut Engine, &'p Arc<Shared>),
    /// It has no task, or something more has to be done.
    Elsewhere(&'p SendHalf),
}

impl<'p> Peer<'p> {
    #[inline]
    pub(crate) const fn here(engine: &'p mut Engine, shared: &'p Arc<Shared>) -> Self {
        Self(Line::Here(engine, shared))
    }

    pub(crate) const fn elsewhere(half: &'p SendHalf) -> Self {
        Self(Line::Elsewhere(half))
    }

    /// Queues a message, behind what other tasks have queued before. It is copied, whatever is queued already.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is closed or closing; [`Error::Misuse`] inside a fragmented message that was begun
    /// elsewhere.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        let message = message.into();
        match &mut self.0 {
            Line::Here(engine, shared) => engine.send_copy(shared, message.kind(), message.as_bytes()),
            Line::Elsewhere(half) => half.append_copy(message.kind(), message.as_bytes()),
        }
    }

    /// Starts the closing handshake behind all that was sent. [`WebSocket::for_each_message`](crate::WebSocket::for_each_message) returns at its
    /// end; messages that still arrive are handed over.
    ///
    /// # Errors
    /// [`Error::Closed`] when it has been started before; [`Error::Misuse`] for a code that must not be sent or a reason of more
    /// than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match &mut self.0 {
            Line::Here(engine, shared) => engine.close(shared, code, reason),
            Line::Elsewhere(half) => half.shared.close(code, reason),
        }
    }

    /// Sends to this connection from any task.
    pub fn sender(&self) -> Sender {
        match &self.0 {
            Line::Here(_, shared) => Sender::new(Arc::clone(shared)),
            Line::Elsewhere(half) => half.sender(),
        }
    }
}

impl std::fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer")
    }
}
