//! Errors by whose fault they are: the peer's, a limit's, the caller's.

use core::fmt;

use crate::CloseCode;

/// The peer broke the protocol. The connection has been failed with [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no extension has given a meaning.
    ReservedBits,
    /// An opcode that is reserved: 3–7 or 11–15.
    ReservedOpCode,
    /// A frame from a client without masking key.
    Unmasked,
    /// A frame from a server with masking key.
    Masked,
    /// A payload length that would have fitted a shorter form.
    LengthNotMinimal,
    /// A payload length with its most significant bit set.
    LengthTopBit,
    /// A control frame with a payload of more than 125 bytes.
    ControlTooLong,
    /// A control frame without FIN.
    ControlFragmented,
    /// A continuation frame outside a message.
    ContinuationOutsideMessage,
    /// A text or binary frame inside a fragmented message.
    MessageInsideMessage,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// A close frame with a payload of one byte.
    CloseTooShort,
    /// A close code that must not be on the wire.
    CloseCodeInvalid,
    /// A close reason that is not UTF-8.
    CloseReasonInvalidUtf8,
    /// Compressed data that cannot be decompressed.
    InvalidCompressedData,
}

impl ProtocolError {
    /// The code of the close frame that the peer is sent.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::CloseReasonInvalidUtf8 | Self::InvalidCompressedData => {
                CloseCode::INVALID_PAYLOAD
            }
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The section of RFC 6455 (or RFC 7692) that was broken.
    pub const fn rfc_section(self) -> &'static str {
        match self {
            Self::Unmasked | Self::Masked => "RFC 6455 5.1",
            Self::ReservedBits | Self::ReservedOpCode | Self::LengthNotMinimal | Self::LengthTopBit => {
                "RFC 6455 5.2"
            }
            Self::ContinuationOutsideMessage | Self::MessageInsideMessage => "RFC 6455 5.4",
            Self::ControlTooLong | Self::ControlFragmented => "RFC 6455 5.5",
            Self::CloseTooShort => "RFC 6455 5.5.1",
            Self::CloseCodeInvalid => "RFC 6455 7.4",
            Self::InvalidUtf8 | Self::CloseReasonInvalidUtf8 => "RFC 6455 8.1",
            Self::InvalidCompressedData => "RFC 7692 7.2.2",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::ReservedOpCode => "the opcode is reserved",
            Self::Unmasked => "a client's frame is not masked",
            Self::Masked => "a server's frame is masked",
            Self::LengthNotMinimal => "the payload length is not in its shortest form",
            Self::LengthTopBit => "the payload length has its top bit set",
            Self::ControlTooLong => "a control frame is longer than 125 bytes",
            Self::ControlFragmented => "a control frame is fragmented",
            Self::ContinuationOutsideMessage => "a continuation frame continues nothing",
            Self::MessageInsideMessage => "a new message begins inside a fragmented one",
            Self::InvalidUtf8 => "the text is not UTF-8",
            Self::CloseTooShort => "the close frame has one byte of payload",
            Self::CloseCodeInvalid => "the close code must not be sent",
            Self::CloseReasonInvalidUtf8 => "the close reason is not UTF-8",
            Self::InvalidCompressedData => "the compressed data is corrupt",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer broke the protocol: {} ({})", self.message(), self.rfc_section())
    }
}

impl core::error::Error for ProtocolError {}

/// The peer went over a limit of [`Limits`](crate::Limits). The connection has been failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LimitError {
    /// A frame is larger than [`Limits::frame`](crate::Limits::frame).
    Frame,
    /// A message is larger than [`Limits::message`](crate::Limits::message), or than the fixed buffer.
    Message,
    /// A message has more frames than [`Limits::fragments`](crate::Limits::fragments).
    Fragments,
}

impl LimitError {
    /// The code of the close frame that the peer is sent.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Frame | Self::Message => CloseCode::MESSAGE_TOO_BIG,
            Self::Fragments => CloseCode::POLICY_VIOLATION,
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frame => "the peer's frame is larger than the limit",
            Self::Message => "the peer's message is larger than the limit",
            Self::Fragments => "the peer's message has more fragments than the limit",
        })
    }
}

impl core::error::Error for LimitError {}

/// Why [`Connection::advance`](crate::Connection::advance) failed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failure {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer went over a limit.
    Limit(LimitError),
}

impl Failure {
    /// The code of the close frame that the peer is sent.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(error) => error.close_code(),
            Self::Limit(error) => error.close_code(),
        }
    }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Failure {}

/// A command of the caller that cannot be carried out. Nothing was sent, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// A close frame was sent or received, or the connection has ended (RFC 6455 5.5.1).
    NotOpen,
    /// The control slot still holds bytes: flush [`poll_transmit`](crate::Connection::poll_transmit) first.
    Busy,
    /// A fragmented message of the other kind is being sent.
    WrongKind,
    /// A control payload of more than 125 bytes, a close reason of more than 123, or a frame of 2^63 or more.
    TooLong,
    /// A close code that must not be sent, or a reason without a code.
    InvalidCloseCode,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the connection is not open",
            Self::Busy => "a control frame is still being sent",
            Self::WrongKind => "a fragmented message of the other kind is being sent",
            Self::TooLong => "the payload is longer than its frame may be",
            Self::InvalidCloseCode => "the close code must not be sent",
        })
    }
}

impl core::error::Error for SendError {}
