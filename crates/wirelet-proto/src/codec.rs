//! The hook for extensions that transform payload, as permessage-deflate does.

/// Decompresses the payload of messages that arrive with RSV1 set.
///
/// Given to [`Connection::advance_with`](crate::Connection::advance_with), where the connection was made with
/// [`Extensions::compressed`](crate::Extensions). UTF-8 is checked and limits apply after decompression.
pub trait Codec {
    /// Decompresses from `input` into `output`, as much as fits.
    ///
    /// `last` says that `input` ends the message. The call is repeated with what is left of `input`, and after
    /// the last of it with nothing, until [`Progress::done`].
    ///
    /// # Errors
    /// The data is corrupt: the connection is failed with 1007.
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError>;
}

/// How far a call of [`Codec::decompress`] has come.
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
