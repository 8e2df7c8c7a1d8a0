//! The network stack as this crate sees it: something that accepts, something that connects, and sockets.

use core::future::pending;
use core::net::SocketAddr;

use embedded_io_async::{Error, Read, Write};

pub use crate::pair::{FromFn, from_fn};

/// A connected stream, usually TCP. Dropping it aborts the connection.
///
/// Nagle's algorithm should be off: what belongs together is written together already.
pub trait Socket {
    /// What goes wrong.
    type Error: Error;
    /// The reading half. **Its `read` must be cancel safe**: dropped before it is ready, it has taken no byte.
    type Reader<'s>: Read<Error = Self::Error>
    where
        Self: 's;
    /// The writing half. **Its `write` must be cancel safe**: dropped before it is ready, it has sent no byte, or those with
    /// which the next one begins. This crate begins it with the same bytes, or drops the socket. What `write` has taken must
    /// leave by itself: `flush` is not called.
    type Writer<'s>: Write<Error = Self::Error>
    where
        Self: 's;

    /// Both halves, to read while a write waits.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);

    /// Ends the writing side after what was written (FIN). Reading goes on.
    ///
    /// # Errors
    /// The connection is gone already.
    ///
    /// # Cancel safety
    /// Safe: the end of the stream is queued at the first poll.
    fn shutdown(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Who is at the other end, where the stack can tell.
    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

/// Accepts connections, one at a time: one listener for each worker.
pub trait Listen {
    /// A connection. It borrows the listener, so that a stack can use the same socket for listening and talking.
    type Socket<'l>: Socket
    where
        Self: 'l;
    /// What goes wrong.
    type Error: Error;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The stack can't listen. The worker waits a second and tries again.
    ///
    /// # Cancel safety
    /// Must be safe: dropped before it is ready, no connection is lost that the peer could take for accepted.
    fn accept(&mut self) -> impl Future<Output = Result<Self::Socket<'_>, Self::Error>>;
}

/// Opens connections.
pub trait Connect {
    /// A connection.
    type Socket<'c>: Socket
    where
        Self: 'c;
    /// What goes wrong: no address for the name, no route, refused.
    type Error: Error;

    /// Resolves the host and connects to it.
    ///
    /// # Errors
    /// What went wrong, for the log; the client tries again by its policy. Who can't do TLS refuses a remote that is
    /// [`secure`](Remote::secure), and never connects in the clear instead.
    ///
    /// # Cancel safety
    /// Must be safe: dropped before it is ready, the attempt is given up.
    fn connect(&mut self, to: Remote<'_>) -> impl Future<Output = Result<Self::Socket<'_>, Self::Error>>;

    /// Waits until there is a network to connect through. A client waits for it before each attempt, without limit: as long
    /// as there is none, nothing has failed. By default there always is one.
    ///
    /// # Cancel safety
    /// Must be safe.
    fn available(&mut self) -> impl Future<Output = ()> {
        async {}
    }

    /// Waits until the network, which may be there or not, has been away and has come back. Then a client that waits after a
    /// failed attempt tries again at once. By default it never is.
    ///
    /// # Cancel safety
    /// Must be safe.
    fn restored(&mut self) -> impl Future<Output = ()> {
        pending()
    }
}

/// Where a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'r> {
    /// A name or an address (IPv6 without brackets).
    pub host: &'r str,
    /// The port.
    pub port: u16,
    /// With TLS (`wss`).
    pub secure: bool,
}
