//! What a client tells its application.

use std::fmt;
use std::time::Duration;

use wirelet_proto::CloseInfo;
use wirelet_proto::reconnect::is_final;

use super::error::ConnectError;
use super::response::Response;
use crate::{Chunk, Error, Message};

/// What happens to a client, in order. [`Closed`](Self::Closed) is the last one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection is being made.
    Connecting {
        /// 1 for the first attempt, and for the first one after each connection.
        attempt: u32,
    },
    /// The connection stands. What the server answered to the opening handshake.
    Connected(Box<Response>),
    /// A message.
    Message(Message),
    /// A piece of a message, with [`Delivery::Chunks`](wirelet_proto::Delivery::Chunks). A message whose connection
    /// breaks has no last piece.
    Chunk(Chunk),
    /// The connection has ended, or there was none.
    Disconnected {
        /// Why.
        reason: Reason,
        /// When the next attempt starts; `None`: never, and [`Closed`](Self::Closed) follows.
        retry_in: Option<Duration>,
        /// How many messages the connection had taken whose last byte had not left. They are sent again, before all
        /// others. The server has none of them whole.
        requeued: usize,
    },
    /// The client has ended: it was closed, or goes on no more.
    Closed(Closed),
}

/// Why a client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// None could be made.
    Connect(ConnectError),
    /// The server has closed it in good order.
    Closed {
        /// Who has said what.
        info: CloseInfo,
        /// For people and logs, as the server gave it; often empty.
        text: String,
    },
    /// It broke.
    Failed(Error),
}

/// How a client ended.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Closed {
    /// How its last connection ended; nothing is set when it had none, or when none stood at the end.
    pub info: CloseInfo,
    /// For people and logs, as the server gave it; often empty.
    pub text: String,
    /// Messages that were not sent, or not wholly: no server has them.
    pub unsent: Vec<Message>,
}

impl Reason {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Connect(error) => error.status(),
            _ => None,
        }
    }

    /// How long the server that has refused asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(ConnectError::Refused(response)) => response.retry_after,
            _ => None,
        }
    }

    /// The number of the operating system's error (`errno`).
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Connect(error) => error.raw_os_error(),
            Self::Failed(Error::Io(error)) => error.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Closed { info, text } if text.is_empty() => {
                write!(f, "the server closed with {}", info.code())
            }
            Self::Closed { info, text } => write!(f, "the server closed with {}: {text}", info.code()),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Ready-made answers to "try again?" for [`Builder::retry_if`](super::Builder::retry_if).
pub mod retry {
    use wirelet_proto::CloseCode;

    use super::{ConnectError, Reason, is_final};

    /// What a client does unless it is told otherwise: goes on after whatever another attempt may change. That is
    /// everything but
    /// - a status of which [`is_final`](wirelet_proto::reconnect::is_final) says that the same request would get it
    ///   again: 3xx; 4xx except 408, 421, 425 and 429; 501; 505;
    /// - a redirect that cannot be followed;
    /// - a connection that the server has closed with 1000: its purpose is fulfilled (RFC 6455 7.4.1).
    pub fn transient(reason: &Reason) -> bool {
        match reason {
            Reason::Connect(ConnectError::Redirect { .. }) => false,
            Reason::Connect(ConnectError::Refused(response)) => !is_final(response.status),
            Reason::Connect(error) => !error.is_callers(),
            Reason::Closed { info, .. } => info.received != Some(CloseCode::NORMAL),
            Reason::Failed(_) => true,
        }
    }

    /// Goes on whatever happens, but for 401, 403 and 404: the client is not welcome.
    pub fn unless_denied(reason: &Reason) -> bool {
        !matches!(reason, Reason::Connect(ConnectError::Refused(response)) if matches!(response.status, 401 | 403 | 404))
    }

    /// Goes on whatever happens: servers are reconfigured while devices wait.
    pub const fn always(_: &Reason) -> bool {
        true
    }
}
