//! What the application brings: handlers, which are called, and what they may do while they are.

use wirelet_proto::deflate::Params;
use wirelet_proto::{
    CloseCode, CloseInfo, Config, Connection, Event, Failure, Instant, MaskKeys, MessageKind, State,
};

use crate::compression::{Outflow, Way};
use crate::context::{Room, room_for};
use crate::outgoing::{AppendError, Frame, Outgoing};
use crate::table::{ConnectionId, Message, SendError, SendReason};

/// The application's side of a WebSocket.
///
/// Handlers are called by the worker that owns the connection, one call at a time for each connection. They don't wait:
/// what takes longer is another task's work, which answers through a [`Handle`](crate::Handle) or
/// [`Sender`](crate::client::Sender), or the work of an async function that has a [`WebSocket`](crate::WebSocket).
pub trait Handler {
    /// The WebSocket is open.
    fn on_open(&self, _peer: &mut Peer<'_>) {}

    /// A message or a chunk of one has arrived, or a control frame, which has been answered already.
    ///
    /// There is room for an answer as large as what has arrived. As long as there is not, nothing is delivered: the peer
    /// is held back by TCP, and nobody else is.
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>);

    /// The connection has ended: exactly once for each [`on_open`](Self::on_open), also when the worker's future is
    /// dropped.
    fn on_close(&self, _id: ConnectionId, _end: &End) {}
}

/// Nobody listens.
impl Handler for () {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Who has said what about closing.
    pub close: CloseInfo,
    /// What ended it.
    pub cause: Cause,
    /// Whether this side's application had begun the closing handshake before anything went wrong: it has said its last
    /// word, and what comes instead of the peer's answer takes nothing away. Flask's development server, for one, may write
    /// an HTTP response where its close frame belongs.
    pub was_closing: bool,
}

impl End {
    /// It ended by a closing handshake, or this side had begun one.
    pub(crate) fn is_orderly(&self) -> bool {
        self.was_closing || (self.cause == Cause::Closed && self.close.is_clean())
    }

    /// Nobody knows how it would have ended.
    pub(crate) fn dropped() -> Self {
        Self { close: CloseInfo::default(), cause: Cause::Dropped, was_closing: false }
    }
}

/// What ended a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The closing handshake.
    Closed,
    /// The peer broke the protocol or went over a limit.
    Failed(Failure),
    /// A limit of time: the peer did not answer, or did not finish, or took too little of what was sent
    /// ([`Limits`](wirelet_proto::Limits)); or this end did not finish a message that it had begun.
    Expired(wirelet_proto::Expired),
    /// Something that was accepted from a task could not be sent: the connection was failed with 1011.
    Unsendable,
    /// The peer's stream ended without a close frame.
    EndOfStream,
    /// The network failed.
    Io(embedded_io_async::ErrorKind),
    /// The worker's future was dropped.
    Dropped,
}

/// The peer of a WebSocket, while a [`Handler`] is called.
///
/// What is sent goes into the connection's transmit buffer and leaves when the handler returns.
pub struct Peer<'p> {
    id: ConnectionId,
    line: &'p mut dyn Line,
}

impl<'p> Peer<'p> {
    pub(crate) const fn new(id: ConnectionId, line: &'p mut dyn Line) -> Self {
        Self { id, line }
    }

    /// The connection's id, for other tasks that are to send to it.
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The message comes back when the transmit buffer has no room for it, when it never has, or when the closing
    /// handshake has begun (or a fragmented message has and not ended: the frames of a message follow each other).
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError<Message<'m>>> {
        let message = message.into();
        self.line
            .append(message.kind(), message.bytes(), true, false)
            .map_err(|reason| SendError { message, reason })
    }

    /// Sends a fragment of a message; the one with `fin` ends it (RFC 6455 5.4).
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendReason::Gone`] inside a message of the other kind. The peer waits for the rest
    /// of a message that has begun: after an error inside one, close the connection.
    pub fn send_fragment(&mut self, kind: MessageKind, payload: &[u8], fin: bool) -> Result<(), SendReason> {
        self.line.append(kind, payload, fin, true)
    }

    /// Sends a ping with up to 125 bytes of payload. The core sends pings of its own as configured.
    ///
    /// # Errors
    /// As [`wirelet_proto::Connection::ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), wirelet_proto::SendError> {
        self.line.ping(payload)
    }

    /// Starts the closing handshake, after all that was sent.
    ///
    /// # Errors
    /// As [`wirelet_proto::Connection::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), wirelet_proto::SendError> {
        self.line.close(code, reason)
    }

    /// The largest payload that fits the transmit buffer now.
    pub fn room(&self) -> usize {
        self.line.room()
    }

    /// Whether messages may be sent.
    pub fn is_open(&self) -> bool {
        self.line.is_open()
    }

    /// The value that the upgrade hook has handed over ([`Acceptance::hand`](crate::server::Acceptance::hand)), if there is one of
    /// this type.
    pub fn context<T: 'static>(&mut self) -> Option<&mut T> {
        self.line.context().and_then(room_for).and_then(Option::as_mut)
    }

    /// The subprotocol, as its position in the list that is supported (server) or offered (client).
    pub fn subprotocol(&self) -> Option<u16> {
        self.line.subprotocol()
    }

    /// How messages are compressed; `None` when they are not.
    pub fn deflate(&self) -> Option<Params> {
        self.line.deflate()
    }
}

impl core::fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).field("room", &self.room()).finish()
    }
}

/// What a [`Peer`] reaches, without the lifetimes behind it.
pub(crate) trait Line {
    fn append(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        fin: bool,
        fragment: bool,
    ) -> Result<(), SendReason>;
    fn ping(&mut self, payload: &[u8]) -> Result<(), wirelet_proto::SendError>;
    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), wirelet_proto::SendError>;
    fn room(&self) -> usize;
    fn is_open(&self) -> bool;
    fn subprotocol(&self) -> Option<u16>;
    fn deflate(&self) -> Option<Params>;
    fn context(&mut self) -> Option<&mut dyn Room>;
}

/// The parts of a session that sending needs.
pub(crate) struct Desk<'p, 'm, 'c> {
    pub(crate) core: &'p mut Connection<&'c Config>,
    pub(crate) tx: &'p mut Outgoing<'m>,
    pub(crate) outflow: Option<Way<'p, dyn Outflow + 'p>>,
    pub(crate) context: Option<&'p mut dyn Room>,
    pub(crate) keys: &'p mut dyn MaskKeys,
    pub(crate) now: Instant,
    pub(crate) author: &'p mut Author,
    pub(crate) was_closing: &'p mut bool,
}

/// Who has begun a fragmented message and not ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Nobody,
    /// The connection's handler.
    Handler,
    /// Another task.
    Task,
}

impl Line for Desk<'_, '_, '_> {
    fn append(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        fin: bool,
        fragment: bool,
    ) -> Result<(), SendReason> {
        match self.author {
            Author::Task => return Err(SendReason::Full),
            Author::Handler if !fragment => return Err(SendReason::Full),
            _ => {}
        }
        let frame = Frame { kind, len: payload.len(), fin };
        let mut payload = payload;
        let appended = self.tx.append(self.core, self.keys, self.outflow.as_mut(), frame, &mut payload);
        appended.map_err(|error| match error {
            AppendError::Full => SendReason::Full,
            AppendError::TooLong => SendReason::TooLong,
            AppendError::Refused(_) | AppendError::Gone => SendReason::Gone,
        })?;
        *self.author = if fin { Author::Nobody } else { Author::Handler };
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) -> Result<(), wirelet_proto::SendError> {
        self.tx.append_control(self.core);
        self.core.ping(payload, &mut self.keys, self.now)
    }

    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), wirelet_proto::SendError> {
        self.tx.append_control(self.core);
        self.core.close(code, reason, &mut self.keys, self.now)?;
        *self.was_closing = true;
        Ok(())
    }

    fn room(&self) -> usize {
        self.tx.free().saturating_sub(wirelet_proto::MAX_HEADER)
    }

    fn is_open(&self) -> bool {
        self.core.state() == State::Open
    }

    fn subprotocol(&self) -> Option<u16> {
        self.core.subprotocol()
    }

    fn deflate(&self) -> Option<Params> {
        self.core.extensions().deflate
    }

    fn context(&mut self) -> Option<&mut dyn Room> {
        match &mut self.context {
            Some(context) => Some(&mut **context),
            None => None,
        }
    }
}
