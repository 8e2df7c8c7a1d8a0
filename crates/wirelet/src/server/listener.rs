//! Where a server's connections come from: TCP, Unix sockets, or anything else that yields byte streams.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::transport::Transport;

/// A source of connections, each a byte stream.
///
/// TCP and Unix listeners are ones. Another one, such as for a network in the process or a protocol below HTTP:
///
/// ```
/// use std::io;
/// use std::net::SocketAddr;
///
/// use tokio::io::DuplexStream;
/// use tokio::sync::mpsc;
/// use wirelet::server::{Listener, Server};
///
/// struct Pipes(mpsc::Receiver<DuplexStream>);
///
/// impl Listener for Pipes {
///     type Stream = DuplexStream;
///
///     async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
///         match self.0.recv().await {
///             Some(pipe) => Ok((pipe, None)),
///             None => std::future::pending().await, // nothing more comes
///         }
///     }
/// }
///
/// # fn server(pipes: Pipes) -> Server {
/// Server::from_listener(pipes)
/// # }
/// ```
pub trait Listener: Send + 'static {
    /// A connection. A [`TcpStream`](tokio::net::TcpStream) is used without indirection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and its peer's address, if it has one. Without an address [`Capacity`](super::Capacity)'s limits for
    /// one address do not concern it.
    ///
    /// What takes long, such as another handshake, belongs into the stream: no other connection is accepted meanwhile.
    ///
    /// # Errors
    /// Whatever concerns the next connection, or all: the server waits for 10 ms, and twice as long after each further error, up to
    /// a second, before it asks again. For errors that concern one connection, as
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), it does not wait.
    ///
    /// # Cancel safety
    /// It is dropped, before it is ready, when the server stops, and not otherwise.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;

    /// The address that it listens at.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`]: it has none.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, Some(peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, None))
    }
}

/// A connection that has been accepted.
pub(crate) type Incoming = (Transport, Option<SocketAddr>);

/// A listener of any kind.
pub(crate) enum Source {
    /// Known by its type: nothing is allocated for accepting, and each thread can have a listener of its own.
    Tcp(TcpListener),
    Other(Box<dyn AnyListener>),
    /// Streams that [`ServerHandle::accept`](super::ServerHandle::accept) has taken.
    Handed(mpsc::Receiver<Incoming>),
}

impl Source {
    pub(crate) fn new<L: Listener>(listener: L) -> Self {
        let mut listener = Some(listener);
        let any: &mut dyn std::any::Any = &mut listener;
        if let Some(tcp) = any.downcast_mut::<Option<TcpListener>>().and_then(Option::take) {
            return Self::Tcp(tcp);
        }
        Self::Other(Box::new(listener))
    }

    /// The next connection.
    ///
    /// # Errors
    /// The listener's.
    pub(crate) async fn accept(&mut self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = TcpListener::accept(tcp).await?;
                Ok((Transport::tcp(stream), Some(peer)))
            }
            Self::Other(other) => other.accept().await,
            Self::Handed(handed) => match handed.recv().await {
                Some(incoming) => Ok(incoming),
                None => std::future::pending().await,
            },
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr(),
            Self::Other(other) => other.local_addr(),
            Self::Handed(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// [`Listener`] behind a pointer.
pub(crate) trait AnyListener: Send {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<Incoming>> + Send + '_>>;

    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// `None` is never seen: it is what [`Source::new`] leaves of a TCP listener.
impl<L: Listener> AnyListener for Option<L> {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<Incoming>> + Send + '_>> {
        Box::pin(async move {
            let Some(listener) = self else { return std::future::pending().await };
            let (stream, peer) = listener.accept().await?;
            Ok((Transport::new(stream), peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_ref().map_or_else(|| Err(io::ErrorKind::Unsupported.into()), L::local_addr)
    }
}
