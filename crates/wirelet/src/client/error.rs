//! Why a client got no connection: what was tried, where it stopped, and what the layers below said.

use std::{fmt, io};

use bytes::Bytes;
use wirelet_proto::handshake::{HandshakeError, UriError, WriteError};

use super::address::Address;
use super::proxy::{ProxyError, ProxyUrlError};
use super::response::Response;
use crate::Timeout;
#[cfg(feature = "__tls")]
use crate::tls::client::TlsError;

/// Why a client got no connection.
///
/// It keeps what each layer has said: the TLS error and its alert (`tls`), the HTTP status and the whole answer of a refusal ([`status`](Self::status),
/// [`response`](Self::response)), the operating system's error ([`raw_os_error`](Self::raw_os_error)), every address
/// that was tried ([`tried`](Self::tried)) and how far the attempt came ([`phase`](Self::phase)). No password is in
/// it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is malformed.
    Url(UriError),
    /// The URL asks for TLS (`wss://`), which this build does not speak: it has neither of the features `tls-ring` and
    /// `tls-aws-lc`.
    NoTls {
        /// The host of the URL.
        host: String,
    },
    /// TLS could not be set up: the platform has no roots, for example.
    #[cfg(feature = "__tls")]
    TlsSettings(TlsError),
    /// The TLS handshake failed, or the server refused this client by a TLS alert.
    #[cfg(feature = "__tls")]
    Tls {
        /// The server's address.
        address: Address,
        /// What TLS has said, with the alert.
        error: TlsError,
    },
    /// The request must not be sent as it was asked for: CR, LF or NUL in a header, for example. Nothing was sent.
    Request(WriteError),
    /// What the program or the environment names as a proxy is none.
    ProxyUrl(ProxyUrlError),
    /// The proxy has made no connection to the server.
    Proxy {
        /// The proxy's address.
        address: Address,
        /// What it said.
        error: ProxyError,
    },
    /// The hook of [`Builder::prepare`](super::Builder::prepare) has failed. Nothing was sent.
    Prepare(Box<dyn std::error::Error + Send + Sync>),
    /// The name of the server is not known.
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// No address of the server accepted a connection.
    Connect {
        /// Every address, in the order in which they were tried.
        tried: Vec<Attempt>,
    },
    /// A deadline passed: [`Timeout::Connect`], [`Timeout::Tls`] or [`Timeout::Handshake`].
    Timeout {
        /// Which one.
        which: Timeout,
        /// Every address that was tried; for the handshakes the one that accepted.
        tried: Vec<Attempt>,
    },
    /// The connection broke during the opening handshake.
    Io {
        /// The server's address.
        address: Address,
        /// What the operating system said.
        error: io::Error,
    },
    /// The server's answer is no valid answer to the opening handshake.
    Handshake {
        /// The server's address.
        address: Address,
        /// What is wrong with it.
        error: HandshakeError,
        /// The HTTP status, as far as there was one.
        status: Option<u16>,
        /// The first bytes of the answer, at most 64.
        received: Bytes,
    },
    /// The server answered with another status than 101; a redirect that was not to be followed is one too, see
    /// [`Response::location`].
    Refused(Box<Response>),
    /// A redirect was to be followed and could not be.
    Redirect {
        /// Why.
        error: RedirectError,
        /// The redirect.
        response: Box<Response>,
    },
}

/// An address that was tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: Address,
    /// What the operating system said; `None` when it said nothing yet, or accepted.
    pub error: Option<io::Error>,
}

/// How far an attempt to connect came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing was sent: the request itself is at fault.
    Request,
    /// The program's hook was asked.
    Prepare,
    /// The name of the server was looked up.
    Resolve,
    /// A connection to the server was being made.
    Connect,
    /// The connection to the proxy stood, the proxy was asked for one to the server.
    Proxy,
    /// The connection stood, the TLS handshake did not end well.
    Tls,
    /// The connection stood, the opening handshake did not end well.
    Handshake,
}

/// Why a redirect was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectError {
    /// As many as allowed were followed already.
    TooMany,
    /// It does not lead to a URL of the schemes `ws`, `wss`, `http` or `https`.
    Location(UriError),
    /// It leads from `wss` to `ws`.
    Insecure,
    /// It leads to another scheme, host or port than that of the Unix socket.
    OtherServer,
    /// It leads to TLS, which this build does not speak.
    NoTls,
}

impl ConnectError {
    /// A deadline passed while one place alone was tried.
    pub(super) fn timeout(which: Timeout, address: Address) -> Self {
        Self::Timeout { which, tried: vec![Attempt { address, error: None }] }
    }

    /// How far the attempt came.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Url(_) | Self::NoTls { .. } | Self::Request(_) | Self::ProxyUrl(_) => Phase::Request,
            Self::Proxy { .. } => Phase::Proxy,
            #[cfg(feature = "__tls")]
            Self::TlsSettings(_) => Phase::Request,
            #[cfg(feature = "__tls")]
            Self::Tls { .. } => Phase::Tls,
            Self::Timeout { which: Timeout::Tls, .. } => Phase::Tls,
            Self::Prepare(_) => Phase::Prepare,
            Self::Resolve { .. } => Phase::Resolve,
            Self::Connect { .. } | Self::Timeout { which: Timeout::Connect, .. } => Phase::Connect,
            _ => Phase::Handshake,
        }
    }

    /// The HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Handshake { status, .. } => *status,
            _ => self.response().map(|response| response.status),
        }
    }

    /// The server's answer, when it refused or redirected.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Refused(response) | Self::Redirect { response, .. } => Some(response),
            _ => None,
        }
    }

    /// Every address that was tried, in order, for errors before the opening handshake.
    pub fn tried(&self) -> &[Attempt] {
        match self {
            Self::Connect { tried } | Self::Timeout { tried, .. } => tried,
            _ => &[],
        }
    }

    /// The address of the server, or of the proxy, that accepted the connection, or that was tried last.
    pub fn address(&self) -> Option<&Address> {
        match self {
            #[cfg(feature = "__tls")]
            Self::Tls { address, .. } => Some(address),
            Self::Proxy { address, .. } | Self::Io { address, .. } | Self::Handshake { address, .. } => {
                Some(address)
            }
            Self::Refused(response) | Self::Redirect { response, .. } => Some(&response.address),
            _ => self.tried().last().map(|attempt| &attempt.address),
        }
    }

    /// The operating system's error, of the last address where there were several.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Resolve { error, .. } | Self::Io { error, .. } => Some(error),
            Self::Proxy { error: ProxyError::Io(error), .. } => Some(error),
            #[cfg(feature = "__tls")]
            Self::TlsSettings(error) | Self::Tls { error, .. } => error.io_error(),
            _ => self.tried().iter().rev().find_map(|attempt| attempt.error.as_ref()),
        }
    }

    /// What TLS has said, where it was TLS.
    #[cfg(feature = "__tls")]
    pub const fn tls(&self) -> Option<&TlsError> {
        match self {
            Self::TlsSettings(error) | Self::Tls { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The number of the operating system's error (`errno`).
    pub fn raw_os_error(&self) -> Option<i32> {
        self.io_error()?.raw_os_error()
    }

    /// Whether the caller has to change something first: the URL, a header, the scheme, or the settings of TLS.
    pub const fn is_callers(&self) -> bool {
        matches!(self.phase(), Phase::Request)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::NoTls { host } => {
                write!(f, "{host} is to be reached by TLS, which this build does not speak")
            }
            #[cfg(feature = "__tls")]
            Self::TlsSettings(error) => write!(f, "TLS cannot be set up: {error}"),
            #[cfg(feature = "__tls")]
            Self::Tls { address, error } => write!(f, "no TLS with {address}: {error}"),
            Self::Request(error) => write!(f, "the request cannot be sent: {error}"),
            Self::ProxyUrl(error) => write!(f, "the proxy's URL is none: {error}"),
            Self::Proxy { address, error } => write!(f, "no connection through the proxy {address}: {error}"),
            Self::Prepare(error) => write!(f, "the attempt could not be prepared: {error}"),
            Self::Resolve { host, error } => write!(f, "the address of {host} is not known: {error}"),
            Self::Connect { tried } => {
                f.write_str("no connection to the server: ")?;
                write_attempts(f, tried)
            }
            Self::Timeout { which, tried } => {
                write!(f, "{which}")?;
                if !tried.is_empty() {
                    f.write_str(": ")?;
                }
                write_attempts(f, tried)
            }
            Self::Io { address, error } => {
                write!(f, "the connection to {address} broke during the opening handshake: {error}")
            }
            Self::Handshake { address, error, status, received } => {
                write!(f, "{address} did not open a WebSocket: {error}")?;
                match status {
                    Some(status) => write!(f, " (HTTP status {status})"),
                    None => write!(f, "; it begins with \"{}\"", received.escape_ascii()),
                }
            }
            Self::Refused(response) => response.fmt(f),
            Self::Redirect { error, response } => write!(f, "{response}: {error}"),
        }
    }
}

fn write_attempts(f: &mut fmt::Formatter<'_>, tried: &[Attempt]) -> fmt::Result {
    for (at, attempt) in tried.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        write!(f, "{comma}{attempt}")?;
    }
    if tried.is_empty() { f.write_str("it has no address") } else { Ok(()) }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many redirects"),
            Self::Location(error) => error.fmt(f),
            Self::OtherServer => f.write_str("it leads to another server than the Unix socket's"),
            Self::Insecure => f.write_str("it leads from wss to ws"),
            Self::NoTls => f.write_str("it needs TLS, which this build does not speak"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Prepare(error) => Some(&**error),
            Self::ProxyUrl(error) => Some(error),
            Self::Proxy { error, .. } => Some(error),
            Self::Handshake { error, .. } => Some(error),
            #[cfg(feature = "__tls")]
            Self::TlsSettings(error) | Self::Tls { error, .. } => Some(error),
            Self::Redirect { error, .. } => Some(error),
            _ => self.io_error().map(|error| error as _),
        }
    }
}

impl std::error::Error for RedirectError {}
