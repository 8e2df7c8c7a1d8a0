//! The network stack as this crate sees it: something that accepts, something that connects, and sockets.

use core::future::{pending, poll_fn};
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

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

/// Two listeners of one worker, another port or another interface: it accepts from either, and while it serves a connection of the one, nobody
/// waits at the other. (Workers of one server may also have listeners of different kinds, one each.)
#[derive(Debug)]
pub struct Both<A, B> {
    first: A,
    second: B,
    /// Whose turn it is to be asked first.
    turn: bool,
}

/// A connection of one of two listeners.
#[derive(Debug)]
pub enum Either<A, B> {
    /// Of the first.
    First(A),
    /// Of the second.
    Second(B),
}

impl<A, B> Both<A, B> {
    /// Accepts from both.
    pub const fn new(first: A, second: B) -> Self {
        Self { first, second, turn: false }
    }
}

impl<A: Listen, B: Listen> Listen for Both<A, B> {
    type Socket<'l>
        = Either<A::Socket<'l>, B::Socket<'l>>
    where
        Self: 'l;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<Self::Socket<'_>, ErrorKind> {
        self.turn = !self.turn;
        let turn = self.turn;
        let (mut first, mut second) = (pin!(self.first.accept()), pin!(self.second.accept()));
        poll_fn(|cx| {
            for of_first in [turn, !turn] {
                let accepted = if of_first {
                    first
                        .as_mut()
                        .poll(cx)
                        .map(|socket| socket.map(Either::First).map_err(|error| error.kind()))
                } else {
                    second
                        .as_mut()
                        .poll(cx)
                        .map(|socket| socket.map(Either::Second).map_err(|error| error.kind()))
                };
                if accepted.is_ready() {
                    return accepted;
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl<A: ErrorType, B: ErrorType> ErrorType for Either<A, B> {
    type Error = ErrorKind;
}

impl<A: Read, B: Read> Read for Either<A, B> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::First(half) => half.read(into).await.map_err(|error| error.kind()),
            Self::Second(half) => half.read(into).await.map_err(|error| error.kind()),
        }
    }
}

impl<A: Write, B: Write> Write for Either<A, B> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::First(half) => half.write(from).await.map_err(|error| error.kind()),
            Self::Second(half) => half.write(from).await.map_err(|error| error.kind()),
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        match self {
            Self::First(half) => half.flush().await.map_err(|error| error.kind()),
            Self::Second(half) => half.flush().await.map_err(|error| error.kind()),
        }
    }
}

impl<A: Socket, B: Socket> Socket for Either<A, B> {
    type Error = ErrorKind;
    type Reader<'s>
        = Either<A::Reader<'s>, B::Reader<'s>>
    where
        Self: 's;
    type Writer<'s>
        = Either<A::Writer<'s>, B::Writer<'s>>
    where
        Self: 's;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        match self {
            Self::First(socket) => {
                let (reader, writer) = socket.split();
                (Either::First(reader), Either::First(writer))
            }
            Self::Second(socket) => {
                let (reader, writer) = socket.split();
                (Either::Second(reader), Either::Second(writer))
            }
        }
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        match self {
            Self::First(socket) => socket.shutdown().await.map_err(|error| error.kind()),
            Self::Second(socket) => socket.shutdown().await.map_err(|error| error.kind()),
        }
    }

    fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::First(socket) => socket.peer(),
            Self::Second(socket) => socket.peer(),
        }
    }
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
