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

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;
use wirelet_proto::handshake::HostPattern;
use wirelet_proto::{CloseCode, Config, Keepalive, Limits};

use crate::connection::queue::Queued;
use crate::deflate::{Compression, Prepared};
use crate::time::Clock;
use crate::{Error, Message, Sender, TrySendError};
use admission::Admission;
pub use admission::Capacity;
pub use context::Context;
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

/// A server that is bound to its address. It serves when it is told [`serve`](Self::serve).
pub struct Server {
    listener: TcpListener,
    config: Config,
    compression: Compression,
    capacity: Capacity,
    hosts: Option<Arc<[String]>>,
    grace: Duration,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    common: Common,
}

/// What exists before the server serves.
#[derive(Default)]
struct Common {
    registries: Arc<Registries>,
    stopping: watch::Sender<bool>,
}

/// All connections of a server, and the server itself, from any task.
#[derive(Clone)]
pub struct ServerHandle {
    registries: Arc<Registries>,
    stopping: watch::Sender<bool>,
}

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

    /// Serves on a listener that exists already.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self {
            listener,
            config: Config::new(),
            compression: Compression::off(),
            capacity: Capacity::default(),
            hosts: None,
            grace: Duration::from_secs(10),
            stop: None,
            common: Common::default(),
        }
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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
        self.common.handle()
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
        accept::run(self.listener, threads.remove(0), self.stop, self.grace).await;
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
        let threads = self.begin(router, threads)?;
        per_core::run(self.listener, threads, self.stop, self.grace).await
    }

    /// What each of `threads` threads serves with.
    fn begin(&self, router: Router, threads: u32) -> io::Result<Vec<Arc<Serving>>> {
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
                handle: self.common.handle(),
                registry: Arc::clone(registry),
                tasks: Arc::default(),
            })
        };
        Ok(self.common.registries.divide(threads).iter().map(serving).collect())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).field("capacity", &self.capacity).finish()
    }
}

impl Common {
    fn handle(&self) -> ServerHandle {
        ServerHandle { registries: Arc::clone(&self.registries), stopping: self.stopping.clone() }
    }
}

impl ServerHandle {
    /// All WebSocket connections.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.registries.list()
    }

    /// How many WebSocket connections there are.
    pub fn count(&self) -> usize {
        self.registries.len()
    }

    /// A sender to one connection; `None` when it has ended.
    pub fn sender(&self, id: ConnectionId) -> Option<Sender> {
        self.registries.find(id).map(Sender::new)
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
        self.registries.each().iter().map(|registry| registry.broadcast(message)).sum()
    }

    /// Closes one connection behind what has been queued for it.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closing, or has ended; [`Error::Misuse`] for a code that must not be sent or a
    /// reason of more than 123 bytes.
    pub fn close(&self, id: ConnectionId, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.registries.find(id).ok_or(Error::Closed)?.close(code, reason)
    }

    /// Stops the server; see [`Server::serve`].
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server is told to stop, and until the system has been asked what had arrived by then: a request that
    /// is there already is still answered.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
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
