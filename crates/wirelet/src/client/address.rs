//! Who is at the other end of a client's connection.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The other end of a client's connection, or of an attempt to make one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An address and a port of TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A stream that the program has made: [`Builder::connect_on`](super::Builder::connect_on) or a
    /// [`Connector`](super::Connector). What is at its other end is not known.
    Stream,
}

impl Address {
    /// Address and port, where it is TCP.
    pub const fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Stream => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.socket() == Some(*other)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Stream => f.write_str("the program's stream"),
        }
    }
}
