//! A hook by which a program makes the byte streams that a client talks over.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::target::Target;
use crate::transport::Transport;

/// Makes the byte stream of each connection: for [`Builder::connector`](super::Builder::connector).
///
/// A closure is one:
///
/// ```
/// # use wirelet::client::{Client, Endpoint};
/// # use tokio::net::TcpStream;
/// let builder = Client::builder("ws://device.local/ws").connector(|to: Endpoint| async move {
///     TcpStream::connect((to.host.as_str(), to.port)).await
/// });
/// ```
pub trait Connector: Send + Sync + 'static {
    /// A byte stream both ways.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects. It is called once for each attempt and for each redirect, and dropped when
    /// [`Builder::connect_timeout`](super::Builder::connect_timeout) has passed.
    ///
    /// # Errors
    /// Whatever has gone wrong: [`ConnectError::Connect`](super::ConnectError::Connect) keeps it.
    ///
    /// # Cancel safety
    /// The future may be dropped at any moment.
    fn connect(&self, to: Endpoint) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// What a [`Connector`] is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The name or address in the URL; an IPv6 address has no brackets, and its zone behind `%`.
    pub host: String,
    /// The port in the URL, or the scheme's own.
    pub port: u16,
    /// Whether the URL's scheme is `wss`. The client speaks TLS over the stream then: the connector does not.
    pub is_secure: bool,
}

impl<F, A, S> Connector for F
where
    F: Fn(Endpoint) -> A + Send + Sync + 'static,
    A: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = S;

    fn connect(&self, to: Endpoint) -> impl Future<Output = io::Result<S>> + Send {
        self(to)
    }
}

impl Endpoint {
    pub(super) fn of(target: &Target) -> Self {
        Self { host: target.resolvable().into_owned(), port: target.port, is_secure: target.secure }
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Transport>> + Send + 'a>>;

/// A [`Connector`] of any type.
trait Connect: Send + Sync {
    fn connect(&self, to: Endpoint) -> Connecting<'_>;
}

impl<C: Connector> Connect for C {
    fn connect(&self, to: Endpoint) -> Connecting<'_> {
        Box::pin(async move { Connector::connect(self, to).await.map(Transport::new) })
    }
}

/// A [`Connector`] that many attempts share.
#[derive(Clone)]
pub(super) struct SharedConnector(Arc<dyn Connect>);

impl SharedConnector {
    pub(super) fn new(connector: impl Connector) -> Self {
        Self(Arc::new(connector))
    }

    pub(super) async fn connect(&self, target: &Target) -> io::Result<Transport> {
        self.0.connect(Endpoint::of(target)).await
    }
}

impl fmt::Debug for SharedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
