//! Systems that are not asked.

use std::io;
use std::net::TcpListener;

use tokio::net::TcpStream;

/// Does nothing: the system sends what it takes when it likes.
pub(crate) fn limit_unsent(_: &TcpStream, _: u32) {}

/// `None`: it is not known.
pub(crate) fn unacknowledged(_: &TcpStream) -> Option<u32> {
    None
}

/// [`io::ErrorKind::Unsupported`]: such systems have no listeners between which they spread connections, or it is not known.
pub(crate) fn listen_beside(_: &TcpListener, _: usize) -> io::Result<Vec<TcpListener>> {
    Err(io::ErrorKind::Unsupported.into())
}
