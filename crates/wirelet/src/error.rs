//! What can go wrong, by whose fault it is.

use std::{fmt, io};

use wirelet_proto::{CloseCode, Expired, Failure, LimitError, ProtocolError};

/// Why a connection has failed, or a command was refused. A clean close is not an error.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol. It has been told with a close frame.
    Protocol(ProtocolError),
    /// The peer went over a limit. It has been told with a close frame.
    Limit(LimitError),
    /// A deadline passed.
    Timeout(Timeout),
    /// The network failed.
    Io(io::Error),
    /// The peer ended the connection without a close frame (1006).
    Abnormal,
    /// The connection is closed, or closing: nothing can be sent any more.
    Closed,
    /// The caller asked for what cannot be done: a ping of more than 125 bytes, a close code that must not be
    /// sent, [`recv`](crate::WebSocket::recv) where chunks are delivered.
    Misuse(&'static str),
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The connection was not made in time.
    Connect,
    /// The TLS handshake did not end in time.
    Tls,
    /// The opening handshake did not end in time.
    Handshake,
    /// Nothing arrived after a ping.
    Pong,
    /// Nothing arrived for too long.
    Idle,
    /// A message that began did not end.
    Message,
    /// The peer took nothing of what waits to be sent.
    Stalled,
    /// The peer took what waits to be sent too slowly.
    Slow,
    /// A fragmented message that this end had begun was not continued.
    Fragment,
    /// The closing handshake did not end.
    Closing,
}

impl Error {
    /// A code for logs. Protocol and limit errors, and the timeouts `Pong`, `Idle`, `Message` and `Fragment`, were sent to the
    /// peer with it; the others were not sent.
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Protocol(error) => error.close_code(),
            Self::Limit(error) => error.close_code(),
            Self::Timeout(Timeout::Fragment) => CloseCode::INTERNAL_ERROR,
            Self::Timeout(_) => CloseCode::TIMEOUT,
            Self::Io(_) | Self::Abnormal | Self::Closed => CloseCode::ABNORMAL,
            Self::Misuse(_) => CloseCode::INTERNAL_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Timeout(which) => which.fmt(f),
            Self::Io(error) => write!(f, "the network failed: {error}"),
            Self::Abnormal => f.write_str("the peer ended the connection without a close frame"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::Misuse(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection was not made in time",
            Self::Tls => "the TLS handshake did not end in time",
            Self::Handshake => "the opening handshake did not end in time",
            Self::Pong => "nothing arrived after a ping",
            Self::Idle => "nothing arrived for too long",
            Self::Message => "a message that began did not end in time",
            Self::Stalled => "the peer took nothing of what was sent for too long",
            Self::Slow => "the peer took what was sent too slowly",
            Self::Fragment => "a fragmented message was begun and not continued in time",
            Self::Closing => "the closing handshake did not end in time",
        })
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for io::Error {
    /// The network's own error, or one of the kind that comes closest.
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Io(error) => return error,
            Error::Timeout(_) => io::ErrorKind::TimedOut,
            Error::Closed => io::ErrorKind::BrokenPipe,
            Error::Abnormal => io::ErrorKind::UnexpectedEof,
            Error::Protocol(_) | Error::Limit(_) => io::ErrorKind::InvalidData,
            Error::Misuse(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Protocol(error) => Self::Protocol(error),
            Failure::Limit(error) => Self::Limit(error),
        }
    }
}

impl From<Expired> for Error {
    fn from(expired: Expired) -> Self {
        Self::Timeout(match expired {
            Expired::Pong => Timeout::Pong,
            Expired::Idle => Timeout::Idle,
            Expired::Message => Timeout::Message,
            Expired::Closing => Timeout::Closing,
            Expired::Stalled => Timeout::Stalled,
            Expired::Slow => Timeout::Slow,
            Expired::Fragment => Timeout::Fragment,
        })
    }
}

impl From<wirelet_proto::SendError> for Error {
    fn from(error: wirelet_proto::SendError) -> Self {
        use wirelet_proto::SendError as E;
        match error {
            E::TooLong => Self::Misuse("a ping carries at most 125 bytes, a close reason at most 123"),
            E::InvalidCloseCode => Self::Misuse("the close code must not be sent"),
            E::WrongKind => Self::Misuse("a fragmented message of the other kind is being sent"),
            E::Busy => Self::Misuse("a control frame is still being sent"),
            _ => Self::Closed,
        }
    }
}
