//! Messages and events, owned: counted slices of the blocks that they were received in.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use wirelet_proto::{FrameSpan, MessageKind};

use crate::kernels;

/// A whole message. Cloning it costs a reference count, whatever its size.
///
/// ```
/// use wirelet::Message;
///
/// let text = Message::from("hello");
/// assert_eq!(text.as_text(), Some("hello"));
/// assert_eq!(Message::binary(vec![1, 2, 3]).len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self::Binary(data.into())
    }

    /// The text, when it is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// The payload of either kind, not copied.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// Payload, bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text or binary.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// A message of `kind` from a payload that the core has checked.
    pub(crate) const fn checked(kind: MessageKind, payload: Bytes) -> Self {
        match kind {
            MessageKind::Text => Self::Text(Text(payload)),
            MessageKind::Binary => Self::Binary(payload),
        }
    }
}

/// A whole message that is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageRef<'m> {
    /// UTF-8 text.
    Text(&'m str),
    /// Any bytes.
    Binary(&'m [u8]),
}

impl<'m> MessageRef<'m> {
    /// The text, when it is a text message.
    pub const fn as_text(self) -> Option<&'m str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload of either kind.
    pub const fn as_bytes(self) -> &'m [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// Payload, bytes.
    pub const fn len(self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Text or binary.
    pub const fn kind(self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// A copy in memory of its own.
    pub fn to_message(self) -> Message {
        match self {
            Self::Text(text) => Message::from(text),
            Self::Binary(data) => Message::from(data),
        }
    }

    /// A message of `kind` from a payload that the core has checked.
    #[inline]
    pub(crate) fn checked(kind: MessageKind, payload: &'m [u8]) -> Self {
        match kind {
            MessageKind::Text => Self::Text(kernels::checked_str(payload)),
            MessageKind::Binary => Self::Binary(payload),
        }
    }
}

impl<'m> From<&'m str> for MessageRef<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m [u8]> for MessageRef<'m> {
    fn from(data: &'m [u8]) -> Self {
        Self::Binary(data)
    }
}

impl<'m> From<&'m Message> for MessageRef<'m> {
    fn from(message: &'m Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(data) => Self::Binary(data),
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::Binary(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Self::Binary(data.into())
    }
}

impl From<&[u8]> for Message {
    fn from(data: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(data))
    }
}

/// UTF-8 text in shared memory; derefs to `str`.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Text that lives as long as the program, not copied.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        kernels::checked_str(&self.0)
    }

    /// The bytes, not copied.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// Whatever arrives, control frames too: see [`WebSocket::recv_event`](crate::WebSocket::recv_event).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A piece of a message, with [`Delivery::Chunks`](wirelet_proto::Delivery::Chunks).
    Chunk(Chunk),
    /// A ping, already answered.
    Ping(Bytes),
    /// A pong, asked for or not.
    Pong(Bytes),
}

/// A piece of a message, as it arrived.
///
/// The pieces of a text may end inside a character; put together they are valid UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Text or binary.
    pub kind: MessageKind,
    /// The piece; empty for an empty frame.
    pub data: Bytes,
    /// Where it begins in its message, bytes.
    pub offset: u64,
    /// The frame that it came in; `None` when the message was compressed.
    pub frame: Option<FrameSpan>,
    /// Whether the message begins here.
    pub first: bool,
    /// Whether the message ends here.
    pub last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_keep_kind_and_payload() {
        assert_eq!(Message::from("é").kind(), MessageKind::Text);
        assert_eq!(Message::from(String::from("é")).as_bytes(), "é".as_bytes());
        assert_eq!(Message::from(vec![1_u8]).as_text(), None);
        assert!(Message::from(Bytes::new()).is_empty());
        assert!(Text::try_from(Bytes::from_static(&[0xc3])).is_err());
        assert_eq!(Text::try_from(Bytes::from_static(b"ok")).unwrap(), "ok");
        assert_eq!(String::from(Text::from_static("x")), "x");
    }

    #[test]
    fn owned_text_is_not_copied() {
        let text = String::from("a text that has its own memory");
        let at = text.as_ptr();
        assert_eq!(Message::from(text).into_bytes().as_ptr(), at);
    }
}
