//! A WebSocket as an async function sees it: it receives, sends, and waits.

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};

use wirelet_proto::deflate::Params;
use wirelet_proto::{Chunk, CloseCode, CloseFrame, Event, FrameSpan, MessageKind};

use crate::context::{Room, room_for};
use crate::handler::End;
use crate::table::{ConnectionId, Message};

/// An open WebSocket, for an async function that is its handler: the argument of
/// [`Worker::run_with`](crate::server::Worker::run_with) and [`Client::run_with`](crate::client::Client::run_with).
///
/// The function and the connection run in one task. While the function waits, for whatever it is, the connection goes on: what was
/// sent leaves, pings are answered, and other tasks' messages are sent. When the function returns, the connection is closed: with 1000,
/// or after an error with 1011. When the connection ends, the function learns it from its next call, and has the closing time
/// ([`Settings::closing_time`](crate::server::Settings::closing_time), for a client
/// [`Limits::closing_time`](wirelet_proto::Limits::closing_time)) to return; then it is dropped.
///
/// Nothing is read ahead: as long as an event waits to be taken, the peer is held back by TCP, and neither its pings nor its close
/// frame are seen. So keep receiving.
///
/// ```
/// use wirelet_embedded::{Error, WebSocket};
///
/// async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
///     let mut buffer = [0; 512];
///     while let Some(message) = ws.recv(&mut buffer).await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct WebSocket<'w> {
    send: SendHalf<'w>,
    receive: ReceiveHalf<'w>,
}

/// The half of a [`WebSocket`] that sends.
pub struct SendHalf<'w> {
    channel: &'w dyn Channel,
    route: &'w str,
}

/// The half of a [`WebSocket`] that receives.
pub struct ReceiveHalf<'w> {
    channel: &'w dyn Channel,
}

/// Why a [`WebSocket`] did not receive or send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The connection has ended, and not by a closing handshake.
    Ended(End),
    /// The closing handshake has begun, or the connection has ended: nothing more can be sent.
    Closed,
    /// It has `len` bytes, and the buffer has room for `most`: the one that was given to receive into, where the message stays to be
    /// taken with a larger one, or the transmit buffer.
    TooLong {
        /// What it takes, bytes.
        len: usize,
        /// What there is, bytes.
        most: usize,
    },
    /// Messages are delivered in chunks, which [`recv_event`](WebSocket::recv_event) takes.
    Chunks,
    /// It must not be sent like that.
    Misuse(wirelet_proto::SendError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended(_) => "the connection has ended without a closing handshake",
            Self::Closed => "the connection is not open any more",
            Self::TooLong { .. } => "the message is larger than the buffer",
            Self::Chunks => "messages are delivered in chunks",
            Self::Misuse(_) => "this must not be sent",
        })
    }
}

impl core::error::Error for Error {}

impl<'w> WebSocket<'w> {
    pub(crate) fn new(channel: &'w dyn Channel, route: &'w str) -> Self {
        Self { send: SendHalf { channel, route }, receive: ReceiveHalf { channel } }
    }

    /// Receives the next message into `buffer`; `None` after the closing handshake. Control frames are answered and passed over.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::TooLong`], and [`Error::Chunks`] where `Delivery::Chunks` is configured.
    ///
    /// # Cancel safety
    /// Safe: the message was taken or not.
    pub async fn recv<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Message<'b>>, Error> {
        self.receive.recv(buffer).await
    }

    /// Receives the next event into `buffer`: a message, a chunk of one, or a control frame, which was answered already. A chunk
    /// that is larger than `buffer` comes in several pieces.
    ///
    /// # Errors
    /// [`Error::Ended`], and [`Error::TooLong`].
    ///
    /// # Cancel safety
    /// Safe: the event was taken or not.
    pub async fn recv_event<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Event<'b>>, Error> {
        self.receive.recv_event(buffer).await
    }

    /// Sends a message: it waits until the transmit buffer has room for it, behind all that was sent before. What tasks have
    /// queued, and what handlers send, have their turns.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::TooLong`] when it never fits; [`Error::Misuse`] inside a message that was begun with
    /// [`send_fragment`](Self::send_fragment).
    ///
    /// # Cancel safety
    /// Safe: the message was put into the buffer, whole, or not.
    pub async fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.send.send(message).await
    }

    /// Sends a fragment of a message; the one with `fin` ends it (RFC 6455 5.4). For what passes chunks on;
    /// [`text_fragments`](Self::text_fragments) can't be mixed up.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::Misuse`] inside a message of the other kind.
    ///
    /// # Cancel safety
    /// Safe: the fragment was put into the buffer, whole, or not.
    pub async fn send_fragment(&mut self, kind: MessageKind, payload: &[u8], fin: bool) -> Result<(), Error> {
        self.send.send_fragment(kind, payload, fin).await
    }

    /// Begins a text message that is sent in fragments.
    pub const fn text_fragments(&mut self) -> TextFragments<'_, 'w> {
        self.send.text_fragments()
    }

    /// Begins a binary message that is sent in fragments.
    pub const fn binary_fragments(&mut self) -> BinaryFragments<'_, 'w> {
        self.send.binary_fragments()
    }

    /// Sends a ping with up to 125 bytes. Keepalive pings are sent by themselves.
    ///
    /// # Errors
    /// [`Error::Closed`], and [`Error::Misuse`] for a longer payload.
    ///
    /// # Cancel safety
    /// Safe: the ping was queued or not.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send.ping(payload).await
    }

    /// Closes the connection behind all that was sent, and waits for the end; what still arrives is thrown away. Where the
    /// closing handshake has begun already it waits for its end.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that must not be sent, or a reason of more than 123 bytes. How it ended, also when the peer did
    /// not answer, is no error: it is what is returned.
    ///
    /// # Cancel safety
    /// Once the closing handshake has begun it goes on.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<End, Error> {
        self.send.close(code, reason).await
    }

    /// Both halves, to send while a message is waited for.
    pub fn split(self) -> (SendHalf<'w>, ReceiveHalf<'w>) {
        (self.send, self.receive)
    }

    /// The connection's id, for other tasks that are to send to it.
    pub fn id(&self) -> ConnectionId {
        self.send.channel.id()
    }

    /// The name of the route that it came through; on a client, nothing.
    pub const fn route(&self) -> &'w str {
        self.send.route
    }

    /// Takes the value that the upgrade hook has handed over ([`Acceptance::hand`](crate::server::Acceptance::hand)), if there is one of
    /// this type.
    pub fn context<T: 'static>(&mut self) -> Option<T> {
        let mut taken = None;
        self.send.channel.context(&mut |context| taken = room_for(context).and_then(Option::take));
        taken
    }

    /// The subprotocol, as its position in the list that is supported (server) or offered (client).
    pub fn subprotocol(&self) -> Option<u16> {
        self.send.channel.subprotocol()
    }

    /// How messages are compressed; `None` when they are not.
    pub fn deflate(&self) -> Option<Params> {
        self.send.channel.deflate()
    }

    /// Whether messages may be sent.
    pub fn is_open(&self) -> bool {
        self.send.channel.is_open()
    }

    /// The largest message or fragment that can be sent, payload bytes.
    pub fn largest(&self) -> usize {
        self.send.channel.largest()
    }

    /// How the connection ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.send.channel.end()
    }
}

impl ReceiveHalf<'_> {
    /// As [`WebSocket::recv`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recv<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Message<'b>>, Error> {
        let shape = poll_fn(|cx| self.channel.poll_event(cx, buffer, true)).await?;
        Ok(shape.and_then(|shape| match shape.event(buffer) {
            Event::Text(text) => Some(Message::Text(text)),
            Event::Binary(bytes) => Some(Message::Binary(bytes)),
            _ => None,
        }))
    }

    /// As [`WebSocket::recv_event`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recv_event<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Event<'b>>, Error> {
        let shape = poll_fn(|cx| self.channel.poll_event(cx, buffer, false)).await?;
        Ok(shape.map(|shape| shape.event(buffer)))
    }
}

impl<'w> SendHalf<'w> {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        self.append((message.kind(), message.bytes()), (true, false)).await
    }

    /// As [`WebSocket::send_fragment`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn send_fragment(&mut self, kind: MessageKind, payload: &[u8], fin: bool) -> Result<(), Error> {
        self.append((kind, payload), (fin, true)).await
    }

    /// Begins a text message that is sent in fragments.
    pub const fn text_fragments(&mut self) -> TextFragments<'_, 'w> {
        TextFragments(Begun::new(self, MessageKind::Text))
    }

    /// Begins a binary message that is sent in fragments.
    pub const fn binary_fragments(&mut self) -> BinaryFragments<'_, 'w> {
        BinaryFragments(Begun::new(self, MessageKind::Binary))
    }

    /// As [`WebSocket::ping`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        poll_fn(|cx| self.channel.poll_ping(cx, payload)).await
    }

    /// As [`WebSocket::close`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Once the closing handshake has begun it goes on.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<End, Error> {
        match poll_fn(|cx| self.channel.poll_close(cx, code, reason)).await {
            Ok(()) | Err(Error::Closed) => Ok(poll_fn(|cx| self.channel.poll_end(cx)).await),
            Err(error) => Err(error),
        }
    }

    async fn append(
        &mut self,
        message: (MessageKind, &[u8]),
        (fin, fragment): (bool, bool),
    ) -> Result<(), Error> {
        poll_fn(|cx| self.channel.poll_send(cx, message, (fin, fragment))).await
    }
}

/// A text message of which fragment after fragment is sent (RFC 6455 5.4). Dropped before its end, it closes the connection with
/// 1011, unless nothing of it was sent.
#[derive(Debug)]
pub struct TextFragments<'s, 'w>(Begun<'s, 'w>);

/// A binary message of which fragment after fragment is sent, as [`TextFragments`].
#[derive(Debug)]
pub struct BinaryFragments<'s, 'w>(Begun<'s, 'w>);

impl TextFragments<'_, '_> {
    /// Sends `piece` as a fragment; an empty one too.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// Safe: the fragment was put into the buffer, whole, or not; the message can be continued.
    pub async fn write(&mut self, piece: &str) -> Result<(), Error> {
        self.0.write(piece.as_bytes(), false).await
    }

    /// Sends `piece`, which may be empty, as the last fragment.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it has put the fragment into the buffer closes the connection with 1011.
    pub async fn finish(mut self, piece: &str) -> Result<(), Error> {
        self.0.write(piece.as_bytes(), true).await
    }
}

impl BinaryFragments<'_, '_> {
    /// Sends `piece` as a fragment; an empty one too.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// Safe: the fragment was put into the buffer, whole, or not; the message can be continued.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.0.write(piece, false).await
    }

    /// Sends `piece`, which may be empty, as the last fragment.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it has put the fragment into the buffer closes the connection with 1011.
    pub async fn finish(mut self, piece: &[u8]) -> Result<(), Error> {
        self.0.write(piece, true).await
    }
}

/// A message in fragments.
#[derive(Debug)]
struct Begun<'s, 'w> {
    half: &'s mut SendHalf<'w>,
    kind: MessageKind,
    /// Some of it was sent, and not its end.
    open: bool,
}

impl<'s, 'w> Begun<'s, 'w> {
    const fn new(half: &'s mut SendHalf<'w>, kind: MessageKind) -> Self {
        Self { half, kind, open: false }
    }

    async fn write(&mut self, piece: &[u8], fin: bool) -> Result<(), Error> {
        self.half.append((self.kind, piece), (fin, true)).await?;
        self.open = !fin;
        Ok(())
    }
}

impl Drop for Begun<'_, '_> {
    fn drop(&mut self) {
        if self.open {
            self.half.channel.abandon();
        }
    }
}

impl fmt::Debug for SendHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").field("id", &self.channel.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReceiveHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveHalf").field("id", &self.channel.id()).finish_non_exhaustive()
    }
}

/// What a [`WebSocket`] reaches, without the lifetimes behind it.
pub(crate) trait Channel {
    fn id(&self) -> ConnectionId;

    /// Takes the next event into `buffer`; only messages, if `messages`. `None` after the closing handshake.
    fn poll_event(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        messages: bool,
    ) -> Poll<Result<Option<Shape>, Error>>;

    /// Appends a payload with its kind; whether it is the last of its message, and whether it is a fragment.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: (MessageKind, &[u8]),
        flags: (bool, bool),
    ) -> Poll<Result<(), Error>>;

    fn poll_ping(&self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<Result<(), Error>>;
    fn poll_close(&self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<Result<(), Error>>;
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<End>;

    /// Closes the connection, whose message in fragments will not end.
    fn abandon(&self);

    fn largest(&self) -> usize;
    fn is_open(&self) -> bool;
    fn subprotocol(&self) -> Option<u16>;
    fn deflate(&self) -> Option<Params>;
    fn end(&self) -> Option<End>;

    /// Shows what the upgrade hook has left.
    fn context(&self, take: &mut dyn FnMut(&mut dyn Room));
}

/// An event whose payload stands at the front of a buffer: so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text(usize),
    Binary(usize),
    Ping(usize),
    Pong(usize),
    Close(Option<CloseCode>, usize),
    Chunk(Piece),
}

/// A [`Chunk`] without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    kind: MessageKind,
    len: usize,
    offset: u64,
    frame: Option<FrameSpan>,
    first: bool,
    last: bool,
}

impl Shape {
    /// A piece of a chunk: `len` bytes from its byte `taken` on, of which `left` are left behind it.
    pub(crate) fn chunk(chunk: &Chunk<'_>, taken: usize, len: usize, left: usize) -> Self {
        let beyond = taken as u64;
        Self::Chunk(Piece {
            kind: chunk.kind,
            len,
            offset: chunk.offset.saturating_add(beyond),
            frame: chunk
                .frame
                .map(|frame| FrameSpan { offset: frame.offset.saturating_add(beyond), ..frame }),
            first: chunk.first && taken == 0,
            last: chunk.last && left == 0,
        })
    }

    /// The event, with the payload that was copied to the front of `buffer`.
    fn event(self, buffer: &[u8]) -> Event<'_> {
        let bytes = |len| buffer.get(..len).unwrap_or_default();
        // It was text in the receive buffer.
        let text = |len| core::str::from_utf8(bytes(len)).unwrap_or_default();
        match self {
            Self::Text(len) => Event::Text(text(len)),
            Self::Binary(len) => Event::Binary(bytes(len)),
            Self::Ping(len) => Event::Ping(bytes(len)),
            Self::Pong(len) => Event::Pong(bytes(len)),
            Self::Close(code, len) => Event::Close(code.map(|code| CloseFrame { code, reason: text(len) })),
            Self::Chunk(Piece { kind, len, offset, frame, first, last }) => {
                Event::Chunk(Chunk { kind, data: bytes(len), offset, frame, first, last })
            }
        }
    }
}
