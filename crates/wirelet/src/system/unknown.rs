//! Systems that are not asked.

use std::io;
use std::net::TcpListener;

use tokio::net::TcpStream;

/// Does nothing: the system sends what it takes when it likes.
pub(crate) fn limit_unsent(_: &TcpStream, _: u32) {}

/// Does nothing: whether accepted sockets inherit anything is not known.
pub(crate) fn prepare_listener(_: &tokio::net::TcpListener, _: u32) {}

/// What is written is sent at once (`TCP_NODELAY`).
pub(crate) fn prepare_accepted(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
}

/// `None`: it is not known.
pub(crate) fn unacknowledged(_: &TcpStream) -> Option<u32> {
    None
}

/// [`io::ErrorKind::Unsupported`]: such systems have no listeners between which they spread connections, or it is not known.
pub(crate) fn listen_beside(_: &TcpListener, _: usize) -> io::Result<Vec<TcpListener>> {
    Err(io::ErrorKind::Unsupported.into())
}
