//! The server: a listener, limits, routes, and all connections by number.
//!
//! ```no_run
//! use wirelet::server::{Page, Router, Server, shutdown_signal, ws};
//!
//! # async fn run() -> std::io::Result<()> {
//! let router = Router::new()
//!     .page("/", Page::html("<h1>an echo is at /ws</h1>"))
//!     .ws("/ws", ws(|mut ws, _context| async move {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok::<_, wirelet::Error>(())
//!     }));
//! Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal()).serve(router).await
//! # }
//! ```

mod accept;
mod admission;
mod caught;
mod context;
mod decide;
mod handshake;
mod http1;
mod http_socket;
mod listener;
mod network;
mod origin;
mod page;
mod paths;
mod per_core;
mod registry;
mod route;
mod router;
mod tasks;
mod upgrade;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{mpsc, watch};
use wirelet_proto::handshake::HostPattern;
use wirelet_proto::{CloseCode, Config, Keepalive, Limits};

use crate::connection::queue::Queued;
use crate::deflate::{Compression, Prepared};
use crate::time::Clock;
use crate::transport::Transport;
use crate::{Error, Message, Sender, TrySendError};
use admission::Admission;
pub use admission::Capacity;
pub use context::Context;
pub use listener::Listener;
use listener::{Incoming, Source};
pub use network::{Network, NetworkError};
pub use origin::Origins;
pub use page::{Body, BoxError, Page};
pub use registry::{ConnectionId, ConnectionInfo};
use registry::{Registries, Registry};
pub use route::{Verdict, Ws, ws, ws_gated, ws_with};
pub use router::Router;
use tasks::Tasks;
pub use upgrade::{PeerAddress, WebSocketService, WebSockets};

/// What the extractors of other libraries are made of.
#[cfg(feature = "axum")]
pub(crate) mod http {
    pub(crate) use super::decide::{Found, Refusal, examine};
    pub(crate) use super::page::Body;
    pub(crate) use super::paths::Params;
    pub(crate) use super::route::{Begin, Terms, Verdict};
    pub(crate) use super::upgrade::{Asked, accepting};
}

/// A server with its listeners. It serves when it is told [`serve`](Self::serve).
pub struct Server {
    sources: Vec<Source>,
    config: Config,
    compression: Compression,
    capacity: Capacity,
    hosts: Option<Arc<[String]>>,
    grace: Duration,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    handle: ServerHandle,
}

/// All connections of a server, and the server itself, from any task.
#[derive(Clone)]
pub struct ServerHandle(Arc<Common>);

/// What exists before the server serves.
struct Common {
    registries: Registries,
    stopping: watch::Sender<bool>,
    handed: mpsc::Sender<Incoming>,
}

/// As many streams wait for the server to begin with them, beyond which [`ServerHandle::accept`] waits.
const HANDED: usize = 64;

/// What the tasks of one thread share. All but the registry is the same for all threads of a server.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) router: Arc<Router>,
    pub(crate) config: Arc<Config>,
    pub(crate) compression: Compression,
    pub(crate) hosts: Option<Arc<[String]>>,
    pub(crate) clock: Clock,
    pub(crate) admission: Arc<Admission>,
    pub(crate) handle: ServerHandle,
    pub(crate) registry: Arc<Registry>,
    /// The tasks of all connections.
    pub(crate) tasks: Arc<Tasks>,
}

impl Server {
    /// Binds to `address`.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Cancel safety
    /// Nothing is bound when the future is dropped.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from_listener(TcpListener::bind(address).await?))
    }

    /// Serves on a listener that exists already, of any kind.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # fn on_a_unix_socket() -> std::io::Result<wirelet::server::Server> {
    /// use tokio::net::UnixListener;
    /// use wirelet::server::Server;
    ///
    /// Ok(Server::from_listener(UnixListener::bind("/run/app/ws.sock")?))
    /// # }
    /// ```
    pub fn from_listener(listener: impl Listener) -> Self {
        Self::new().listen(listener)
    }

    /// A server without a listener: it serves the streams that [`ServerHandle::accept`] is given, and listeners that are
    /// [added](Self::listen).
    pub fn new() -> Self {
        let (handle, source) = ServerHandle::new();
        Self {
            sources: vec![Source::Handed(source)],
            config: Config::new(),
            compression: Compression::off(),
            capacity: Capacity::default(),
            hosts: None,
            grace: Duration::from_secs(10),
            stop: None,
            handle,
        }
    }

    /// Serves on one more listener.
    #[must_use]
    pub fn listen(mut self, listener: impl Listener) -> Self {
        self.sources.push(Source::new(listener));
        self
    }

    /// Serves on the sockets that systemd, or whoever speaks its protocol (`LISTEN_FDS`), has passed to this process: TCP and Unix
    /// listeners. `None`: it has passed none.
    ///
    /// Who asks first gets them: they are not found again. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: one of them is no listener of these kinds; the system's.
    #[cfg(all(unix, feature = "systemd"))]
    pub fn activated() -> io::Result<Option<Self>> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut server = None;
        for at in 0..passed.len() {
            let mut add = |listener: Source| server.get_or_insert_with(Self::new).sources.push(listener);
            if let Ok(Some(tcp)) = passed.take_tcp_listener(at) {
                tcp.set_nonblocking(true)?;
                add(Source::new(TcpListener::from_std(tcp)?));
            } else if let Some(unix) = passed.take_unix_listener(at)? {
                unix.set_nonblocking(true)?;
                add(Source::new(tokio::net::UnixListener::from_std(unix)?));
            }
        }
        Ok(server)
    }

    /// The address that it is bound to; of several listeners the first one that has an address.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::Unsupported`]: none has one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let unsupported = || Err(io::ErrorKind::Unsupported.into());
        self.sources.iter().map(Source::local_addr).find(Result::is_ok).unwrap_or_else(unsupported)
    }

    /// Limits, keepalive and delivery of all routes that don't have their own.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Limits of all routes that don't have their own. The handshake's limits are these in any case.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Keepalive of all routes that don't have their own.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.config.keepalive = keepalive;
        self
    }

    /// How messages are compressed on all routes that don't say it themselves, where clients offer it. Default: not at
    /// all.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many connections it takes, and from whom.
    #[must_use]
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// Serves requests for these hosts only, each a [`HostPattern`], and answers others with 421. A page of another
    /// name that resolves to this address (DNS rebinding) gets nothing then. One that nothing matches is an error of
    /// [`serve`](Self::serve).
    #[must_use]
    pub fn hosts<I>(mut self, hosts: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// How long connections have to end when the server stops, all of them, from that moment. Default: 10 s;
    /// [`Duration::MAX`]: as long as it takes.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Stops when `stop` is ready; see [`shutdown_signal`] and [`ServerHandle::stop`].
    #[must_use]
    pub fn shutdown_on(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(stop));
        self
    }

    /// All connections, from any task.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until it is stopped. Then nothing more is accepted, and
    /// - sockets that have asked for nothing, or sent half a head, end at once;
    /// - a request that is being decided, or has arrived, is answered: with 503 and Retry-After, unless the answer is ready
    ///   and is not 101;
    /// - an HTTP response that has begun is finished;
    /// - WebSockets are closed with 1001.
    ///
    /// What has not ended after the time of [`grace`](Self::grace) is cut off.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a route that can't work, and for a host or origin that nothing matches. Errors of accepting
    /// are waited out.
    ///
    /// # Cancel safety
    /// Dropping the future drops all connections.
    pub async fn serve(self, router: Router) -> io::Result<()> {
        let mut threads = self.begin(router, 1)?;
        accept::run(self.sources, threads.remove(0), self.stop, self.grace).await;
        Ok(())
    }

    /// Serves as [`serve`](Self::serve) does, on `threads` threads; 0: as many as the process may run at a time
    /// ([`available_parallelism`](std::thread::available_parallelism)). Each has a current-thread runtime and connections of its
    /// own: nothing that a connection does passes from one thread to another, and a handler that blocks its thread holds up only
    /// the connections there.
    ///
    /// The threads are one server: [`Capacity`] counts the connections of all of them, [`ServerHandle`] reaches them all, and they
    /// stop together. Handlers are shared. What a handler spawns with [`tokio::spawn`] runs on its connection's thread, and ends
    /// when the server does.
    ///
    /// On Linux each thread has a listener of its own at the same address (`SO_REUSEPORT`), and the system spreads
    /// connections evenly, by their addresses. A second server at this address is refused as always
    /// ([`io::ErrorKind::AddrInUse`]); but while this one serves, a program of the same user that asks for `SO_REUSEPORT` itself
    /// gets a share. The listeners of the other threads have the address, device and `IPV6_V6ONLY` of the first one, and none
    /// of its other options. Where the system refuses them, because the process may not bind the address any
    /// more, and on other systems, all threads accept from one listener: whichever is awake takes the next connection.
    ///
    /// What does not come by TCP, from a [`Listener`] of another kind or [`ServerHandle::accept`], is served in the runtime of the
    /// caller.
    ///
    /// ```no_run
    /// use wirelet::server::{Router, Server, shutdown_signal, ws};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # let router = Router::new();
    /// let server = Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal());
    /// server.serve_per_core(0, router).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a route that can't work; the system's when a listener, a thread or its runtime cannot
    /// be made: what has begun ends then. Errors of accepting are waited out.
    ///
    /// # Cancel safety
    /// Dropping the future drops all connections, as soon as their threads notice. A handler that blocks its thread can be
    /// waited for neither then nor when the grace is over: the thread ends when it does.
    pub async fn serve_per_core(self, threads: usize, router: Router) -> io::Result<()> {
        let threads = if threads == 0 { per_core::available() } else { threads };
        let threads = u32::try_from(threads).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let parts = threads.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let threads = self.begin(router, parts)?;
        per_core::run(self.sources, threads, self.stop, self.grace).await
    }

    /// What each of so many `parts` of the server serves with.
    fn begin(&self, router: Router, parts: u32) -> io::Result<Vec<Arc<Serving>>> {
        let config = Arc::new(self.config.clone());
        let invalid = |mistake| io::Error::new(io::ErrorKind::InvalidInput, mistake);
        for host in self.hosts.iter().flat_map(|hosts| hosts.iter()) {
            let mistake = |error| invalid(format!("no request is for the host {host:?}: {error}"));
            HostPattern::parse(host).map_err(mistake)?;
        }
        let router = router.build(&config).map_err(invalid)?;
        let (router, clock) = (Arc::new(router), Clock::start());
        let admission = Arc::new(Admission::new(self.capacity.clone()));
        let serving = |registry: &Arc<Registry>| {
            Arc::new(Serving {
                router: Arc::clone(&router),
                config: Arc::clone(&config),
                compression: self.compression,
                hosts: self.hosts.clone(),
                clock,
                admission: Arc::clone(&admission),
                handle: self.handle.clone(),
                registry: Arc::clone(registry),
                tasks: Arc::default(),
            })
        };
        Ok(self.handle.0.registries.divide(parts).iter().map(serving).collect())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.local_addr().ok())
            .field("capacity", &self.capacity)
            .finish()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerHandle {
    /// Of a server that does not serve yet, with the streams that it will be given.
    fn new() -> (Self, mpsc::Receiver<Incoming>) {
        let (handed, source) = mpsc::channel(HANDED);
        let registries = Registries::default();
        (Self(Arc::new(Common { registries, stopping: watch::Sender::new(false), handed })), source)
    }

    /// All WebSocket connections.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.0.registries.list()
    }

    /// How many WebSocket connections there are.
    pub fn count(&self) -> usize {
        self.0.registries.len()
    }

    /// A sender to one connection; `None` when it has ended.
    pub fn sender(&self, id: ConnectionId) -> Option<Sender> {
        self.0.registries.find(id).map(Sender::new)
    }

    /// Queues a message for one connection.
    ///
    /// # Errors
    /// [`TrySendError::Full`], and [`TrySendError::Closed`] also when the connection has ended long ago.
    pub fn try_send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        match self.sender(id) {
            Some(sender) => sender.try_send(message),
            None => Err(TrySendError::Closed(message)),
        }
    }

    /// Queues a message for all connections, and answers for how many it was: those that are not closing and whose queue
    /// is not full. The payload is shared, and compressed once for all connections whose compressors do the same.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        let message = message.into();
        let kind = message.kind();
        let prepared = Arc::new(Prepared::new(message.into_bytes()));
        let message = || Queued::prepared(kind, Arc::clone(&prepared));
        self.0.registries.each().iter().map(|registry| registry.broadcast(message)).sum()
    }

    /// Closes one connection behind what has been queued for it.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closing, or has ended; [`Error::Misuse`] for a code that must not be sent or a
    /// reason of more than 123 bytes.
    pub fn close(&self, id: ConnectionId, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.0.registries.find(id).ok_or(Error::Closed)?.close(code, reason)
    }

    /// Serves a connection that somebody else has accepted: any byte stream, on which nothing has been read or written yet. It
    /// counts as one that the server has accepted itself, from `peer`. Ready when the server has taken it, or will as soon as it
    /// serves; waits while 64 others are not begun with.
    ///
    /// # Errors
    /// [`Error::Closed`]: the server has stopped.
    ///
    /// # Cancel safety
    /// The stream is dropped with the future.
    pub async fn accept<S>(&self, stream: S, peer: Option<SocketAddr>) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.handed.send((Transport::new(stream), peer)).await.map_err(|_| Error::Closed)
    }

    /// Stops the server; see [`Server::serve`].
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// Waits until the server is told to stop, and until the system has been asked what had arrived by then: a request that
    /// is there already is still answered.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // It cannot fail: this handle keeps the sending end.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        // Sockets are looked at before a task that has yielded runs again.
        tokio::task::yield_now().await;
    }
}

impl std::fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerHandle").field("connections", &self.count()).finish()
    }
}

/// Ready when the process is told to end: Ctrl-C, and SIGTERM on Unix.
///
/// # Cancel safety
/// The signals stay caught when the future is dropped, and do nothing then.
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return std::future::pending().await;
        };
        std::future::poll_fn(|cx| {
            let interrupted = interrupt.poll_recv(cx).is_ready();
            if interrupted | terminate.poll_recv(cx).is_ready() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
