//! What goes wrong.

use core::fmt;

use embedded_io_async::ErrorKind;

/// Why a connection with TLS can't be had, or is over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The network, below TLS.
    Network(ErrorKind),
    /// What rustls says: the server's certificate is not to be trusted, the server breaks the rules, it speaks only older versions,
    /// it has sent an alert, or there is no time or no random number to be had.
    Tls(rustls::Error),
    /// The host is no name that a certificate could be for.
    Name,
    /// A record, or a message of the handshake, is larger than `RX` of [`Memory`](super::Memory).
    TooLarge,
    /// The handshake does not fit `TX` of [`Memory`](super::Memory): a client certificate, or a very long name.
    Room,
    /// The stream has ended without the alert that says so (RFC 8446 6.1): it may have been cut.
    Truncated,
    /// A write was dropped, and the next one began with fewer bytes: [`Socket`](crate::net::Socket) tells what may be done.
    Order,
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Network(kind) => *kind,
            // Who is there is not who was meant.
            Self::Tls(rustls::Error::InvalidCertificate(_)) => ErrorKind::PermissionDenied,
            Self::Tls(rustls::Error::AlertReceived(_)) => ErrorKind::ConnectionRefused,
            Self::Tls(rustls::Error::PeerIncompatible(_)) => ErrorKind::Unsupported,
            Self::Tls(rustls::Error::FailedToGetCurrentTime | rustls::Error::FailedToGetRandomBytes) => {
                ErrorKind::Other
            }
            Self::Tls(_) => ErrorKind::InvalidData,
            Self::Name | Self::Order => ErrorKind::InvalidInput,
            Self::TooLarge | Self::Room => ErrorKind::OutOfMemory,
            Self::Truncated => ErrorKind::ConnectionAborted,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(kind) => write!(f, "network: {kind:?}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Name => f.write_str("TLS: no certificate can be for this host"),
            Self::TooLarge => {
                f.write_str("TLS: a record or a message of the handshake is larger than the memory for it")
            }
            Self::Room => f.write_str("TLS: the handshake is larger than the memory to send from"),
            Self::Truncated => f.write_str("TLS: the stream has ended without notice"),
            Self::Order => f.write_str("TLS: not the bytes of the write that was dropped"),
        }
    }
}

impl core::error::Error for Error {}
