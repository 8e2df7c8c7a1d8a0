//! The hooks for extensions that transform payload, as permessage-deflate does.

/// Decompresses the payload of messages that arrive with RSV1 set.
///
/// Given to [`Connection::advance_with`](crate::Connection::advance_with), where the connection was made with
/// [`Extensions::deflate`](crate::Extensions::deflate). UTF-8 is checked and limits apply after decompression.
pub trait Codec {
    /// Decompresses from `input` into `output`, as much as fits.
    ///
    /// `last` says that `input` ends the message: the codec puts back the four bytes `00 00 ff ff` that its sender
    /// has left out (RFC 7692 7.2.2), and forgets its window afterwards where there is no context takeover. The call is
    /// repeated with what is left of `input`, and after the last of it with nothing, until [`Progress::done`].
    ///
    /// # Errors
    /// The data is corrupt: the connection is failed with 1007.
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError>;

    /// Whether a message is to be collected as it is on the wire, and decompressed when it has arrived completely:
    /// what the codec needs can then be shared by many connections, and none of them holds it while its peer makes it
    /// wait. The compressed message may have 1/8 and 1 KiB more than [`Limits::message`](crate::Limits::message).
    ///
    /// It may change between messages, not within one.
    fn collects(&self) -> bool {
        false
    }

    /// Whether the codec has worked enough for now, and others are to have their turn: asked before each piece that is
    /// decompressed. While it is `true`, [`Connection::advance_with`](crate::Connection::advance_with) answers
    /// [`Status::Paused`](crate::Status::Paused) in the middle of a message, which goes on afterwards where it was.
    fn is_paused(&self) -> bool {
        false
    }
}

/// Compresses the payload of messages that are sent with
/// [`Connection::begin_compressed_frame`](crate::Connection::begin_compressed_frame).
pub trait Compressor {
    /// Compresses `input` into `output`, as much as fits; `flush` says what `input` ends.
    ///
    /// The call is repeated with what is left of `input`, and after the last of it with nothing, until
    /// [`Progress::done`]; `flush` stays the same meanwhile.
    fn compress(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress;
}

/// What ends with the input of [`Compressor::compress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Flush {
    /// Nothing: more of the message follows, and some of it may be held back.
    None,
    /// A fragment: all of it can be decompressed by the receiver.
    Fragment,
    /// The message: as a fragment, and without the four bytes `00 00 ff ff` at its end (RFC 7692 7.2.1). Without context
    /// takeover the next message knows nothing of it.
    Message,
}

/// How far a call of [`Codec::decompress`] or [`Compressor::compress`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of `input` that were used up.
    pub consumed: usize,
    /// Bytes of `output` that were written.
    pub produced: usize,
    /// Nothing more comes out of what has been given: all input is consumed and nothing is held back for want
    /// of room.
    pub done: bool,
}

/// The compressed data is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecError;
