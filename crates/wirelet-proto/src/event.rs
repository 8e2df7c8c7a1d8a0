//! What `advance` answers and what the application sees.

use crate::{CloseFrame, MessageKind, OpCode};

/// What to do after [`Connection::advance`](crate::Connection::advance), once `poll_transmit` is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// Read more bytes into the receive buffer.
    NeedInput,
    /// A ping or close waits for an answer that has no room: flush `poll_transmit`, then call again.
    NeedTransmit,
    /// The output region of the codec is full: enlarge or empty it, then call again.
    NeedOutput,
    /// The codec [has worked enough for now](crate::Codec::is_paused): call `advance_with` again when others have had their
    /// turn.
    Paused,
    /// An event can be taken with [`Connection::event`](crate::Connection::event).
    Ready(EventKind),
    /// Nothing more will be delivered: flush `poll_transmit`, shut down the writing side, discard input
    /// until its end or the deadline.
    Closed,
}

/// What [`Connection::take_whole_message`](crate::Connection::take_whole_message) found at the front of what has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<P> {
    /// A whole message, which has been taken.
    Message(MessageKind, P),
    /// Nothing, and no message is in progress: read more bytes.
    Nothing,
    /// Something else, which is left as it was: call [`advance`](crate::Connection::advance).
    Other,
}

/// Which event is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EventKind {
    /// A whole text message.
    Text,
    /// A whole binary message.
    Binary,
    /// A piece of a message.
    Chunk,
    /// A ping, whose pong the core has queued.
    Ping,
    /// A pong.
    Pong,
    /// A close frame, whose answer the core has queued.
    Close,
}

/// What has been received. It borrows from the receive buffer; the next `advance` releases it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A piece of a message, with [`Delivery::Chunks`](crate::Delivery::Chunks).
    Chunk(Chunk<'a>),
    /// A ping. The core answers it by itself (RFC 6455 5.5.2).
    Ping(&'a [u8]),
    /// A pong, asked for or not (RFC 6455 5.5.3).
    Pong(&'a [u8]),
    /// A close frame; `None` when it carries no code. The core answers it by itself (RFC 6455 5.5.1).
    Close(Option<CloseFrame<'a>>),
}

/// A piece of a message.
///
/// The pieces of a text message may end inside a character; all that has arrived so far is valid UTF-8 up to
/// such a last character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// The piece; empty for an empty frame.
    pub data: &'a [u8],
    /// Where `data` begins in its message, bytes.
    pub offset: u64,
    /// The frame that carries it; `None` when the message is compressed.
    pub frame: Option<FrameSpan>,
    /// Whether the message begins here.
    pub first: bool,
    /// Whether the message ends here.
    pub last: bool,
}

/// The frame that a chunk came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameSpan {
    /// Text or binary for the first frame of a message, continuation for the others.
    pub opcode: OpCode,
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// The frame's payload, bytes.
    pub len: u64,
    /// Where the chunk begins in the frame, bytes.
    pub offset: u64,
}

/// What [`Connection::handle_deadline`](crate::Connection::handle_deadline) gave up waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Expired {
    /// Nothing arrived after a ping. The connection has been failed.
    Pong,
    /// Nothing arrived for too long. The connection has been failed.
    Idle,
    /// A message that began did not end. The connection has been failed.
    Message,
    /// A fragmented message that this end had begun was not continued. The connection has been failed, with 1011.
    Fragment,
    /// The closing handshake did not end, or the moment of [`Connection::end_by`](crate::Connection::end_by) has come: drop
    /// the socket. What was received can still be taken.
    Closing,
    /// The peer took nothing of what waited to be sent: drop the socket. What was received can still be taken.
    Stalled,
    /// The peer took what waited to be sent too slowly: drop the socket. What was received can still be taken.
    Slow,
}
