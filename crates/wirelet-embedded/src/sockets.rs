//! Sockets of the standard library, with the reactor of `async-io`, which any executor can poll.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Instant as SystemInstant;

use async_io::{Async, Timer};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use wirelet_proto::Instant;

use crate::net::{Connect, Listen, Remote, Socket};
use crate::time::Clock;

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdClock;

impl Clock for StdClock {
    fn now(&self) -> Instant {
        let millis = beginning().elapsed().as_millis();
        Instant::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    async fn wait_until(&self, deadline: Instant) {
        // `None`: beyond what the system can say, which is for ever.
        match beginning().checked_add(core::time::Duration::from_millis(deadline.as_millis())) {
            Some(at) => drop(Timer::at(at).await),
            None => core::future::pending().await,
        }
    }
}

/// The first look at the clock.
fn beginning() -> SystemInstant {
    static BEGINNING: std::sync::OnceLock<SystemInstant> = std::sync::OnceLock::new();
    *BEGINNING.get_or_init(SystemInstant::now)
}

/// Accepts connections from a socket of the system. Several workers share it: `&listener` is a [`Listen`].
///
/// ```
/// use wirelet_embedded::client::{Client, ClientResources, Finished, Options};
/// use wirelet_embedded::proto::{Config, handshake::Uri};
/// use wirelet_embedded::server::{Resources, Route, Server, Settings, WebSocketRoute};
/// use wirelet_embedded::{Error, StdClock, StdConnector, StdListener, WebSocket};
///
/// static SETTINGS: Settings<'static> =
///     Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);
///
/// async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
///     let mut buffer = [0; 512];
///     while let Some(message) = ws.recv(&mut buffer).await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// }
///
/// async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
///     ws.send("hello").await?;
///     let mut buffer = [0; 512];
///     while let Some(answer) = ws.recv(&mut buffer).await? {
///         assert_eq!(answer.bytes(), b"hello");
///         break; // what returns closes
///     }
///     Ok(())
/// }
///
/// # fn main() { async_io::block_on(async {
/// // A server
/// let listener = StdListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
/// # let uri = format!("ws://localhost:{}/ws", listener.local_addr().unwrap().port());
/// let mut resources = Resources::<2, 1024, 1024, 256>::new();
/// let (server, handle) = Server::new(&mut resources, &SETTINGS);
/// let [mut one, mut two] = server.into_workers();
/// let (mut first, mut second) = (&listener, &listener);
/// let first = one.run_with(&mut first, &StdClock, echo);
/// let second = two.run_with(&mut second, &StdClock, echo);
///
/// // A client
/// let options = Options::new(Uri::parse(&uri).unwrap());
/// let mut resources = ClientResources::<1024, 1024, 256>::new();
/// let (mut client, sender) = Client::new(&mut resources, &options);
/// let mut keys = wirelet_embedded::Csprng(getrandom::rand_core::UnwrapErr(getrandom::SysRng));
/// let mut connector = StdConnector;
/// let client = client.run_with(&mut connector, &StdClock, &mut keys, &(), hello);
/// # let all = embassy_futures::join::join3(first, second, async {
/// #     assert!(matches!(client.await, Finished::Ended(_)));
/// #     handle.stop();
/// # });
/// # all.await;
/// # }) }
/// ```
#[derive(Debug)]
pub struct StdListener(Async<TcpListener>);

impl StdListener {
    /// Listens at `address`; port 0 is any that is free.
    ///
    /// # Errors
    /// The address is taken, is none of this machine's, or may not be used.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Async::<TcpListener>::bind(address).map(Self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

impl Listen for &StdListener {
    type Socket<'l>
        = StdSocket
    where
        Self: 'l;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<StdSocket, ErrorKind> {
        let (stream, peer) = self.0.accept().await.map_err(kind)?;
        StdSocket::new(stream, peer)
    }
}

impl Listen for StdListener {
    type Socket<'l>
        = StdSocket
    where
        Self: 'l;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<StdSocket, ErrorKind> {
        let mut shared = &*self;
        shared.accept().await
    }
}

/// Opens connections of the system. Names are resolved by the system in a thread of their own. It does no TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdConnector;

impl Connect for StdConnector {
    type Socket<'c>
        = StdSocket
    where
        Self: 'c;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<StdSocket, ErrorKind> {
        if to.secure {
            return Err(ErrorKind::Unsupported);
        }
        let mut last = ErrorKind::AddrNotAvailable;
        for address in resolve(to).await? {
            match Async::<TcpStream>::connect(address).await {
                Ok(stream) => return StdSocket::new(stream, address),
                Err(error) => last = kind(error),
            }
        }
        Err(last)
    }
}

/// All addresses of a host, as the system orders them.
async fn resolve(to: Remote<'_>) -> Result<std::vec::Vec<SocketAddr>, ErrorKind> {
    if let Ok(address) = to.host.parse::<IpAddr>() {
        return Ok(std::vec![SocketAddr::new(address, to.port)]);
    }
    let (host, port) = (std::string::String::from(to.host), to.port);
    let found = blocking::unblock(move || (host, port).to_socket_addrs().map(Iterator::collect)).await;
    found.map_err(|_| ErrorKind::AddrNotAvailable)
}

/// A connected socket of the system.
#[derive(Debug)]
pub struct StdSocket {
    stream: Async<TcpStream>,
    peer: SocketAddr,
}

impl StdSocket {
    fn new(stream: Async<TcpStream>, peer: SocketAddr) -> Result<Self, ErrorKind> {
        stream.get_ref().set_nodelay(true).map_err(kind)?;
        Ok(Self { stream, peer })
    }
}

impl Socket for StdSocket {
    type Error = ErrorKind;
    type Reader<'s>
        = StdHalf<'s>
    where
        Self: 's;
    type Writer<'s>
        = StdHalf<'s>
    where
        Self: 's;

    fn split(&mut self) -> (StdHalf<'_>, StdHalf<'_>) {
        (StdHalf(&self.stream), StdHalf(&self.stream))
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        self.stream.get_ref().shutdown(Shutdown::Write).map_err(kind)
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(self.peer)
    }
}

/// A half of a [`StdSocket`].
#[derive(Debug)]
pub struct StdHalf<'s>(&'s Async<TcpStream>);

impl ErrorType for StdHalf<'_> {
    type Error = ErrorKind;
}

impl Read for StdHalf<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read_with(|mut stream| stream.read(buffer)).await.map_err(kind)
    }
}

impl Write for StdHalf<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write_with(|mut stream| stream.write(bytes)).await.map_err(kind)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What an error is called in `embedded-io`.
fn kind(error: io::Error) -> ErrorKind {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::AddrInUse => ErrorKind::AddrInUse,
        Kind::AddrNotAvailable | Kind::NetworkUnreachable | Kind::HostUnreachable => {
            ErrorKind::AddrNotAvailable
        }
        Kind::ConnectionRefused => ErrorKind::ConnectionRefused,
        Kind::ConnectionReset => ErrorKind::ConnectionReset,
        Kind::ConnectionAborted => ErrorKind::ConnectionAborted,
        Kind::BrokenPipe => ErrorKind::BrokenPipe,
        Kind::NotConnected => ErrorKind::NotConnected,
        Kind::PermissionDenied => ErrorKind::PermissionDenied,
        Kind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Other,
    }
}
