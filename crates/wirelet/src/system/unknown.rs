//! Systems that are not asked.

use tokio::net::TcpStream;

/// Does nothing: the system sends what it takes when it likes.
pub(crate) fn limit_unsent(_: &TcpStream, _: u32) {}

/// `None`: it is not known.
pub(crate) fn unacknowledged(_: &TcpStream) -> Option<u32> {
    None
}
