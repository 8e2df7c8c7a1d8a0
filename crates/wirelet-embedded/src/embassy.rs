//! Sockets of embassy-net: a listener or connector owns one of the stack's sockets and uses it again and again.

mod statics;

pub use statics::{EmbassyClient, EmbassyClientMemory, EmbassyServer, EmbassyWorker};

use core::net::{IpAddr, SocketAddr};

use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, Error as TcpError, State, TcpReader, TcpSocket, TcpWriter};
use embassy_net::{IpAddress, IpEndpoint, IpListenEndpoint, Stack};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::ErrorKind;

use crate::net::{Connect, Listen, Remote, Socket};

/// How long an aborted socket may take to tell its peer.
const RESET_TIME: Duration = Duration::from_millis(100);

/// How long a socket that was closed may take for its last bytes. smoltcp sends a lost packet again after one second at the
/// least, and once more after two: so this is good for two losses in a row.
const LAST_TIME: Duration = Duration::from_secs(4);

/// TCP probes that a peer may leave without an answer before its connection is given up.
const PROBES: u32 = 4;

/// How long an address of a name may leave an attempt without an answer before the next address is tried.
const NEXT_ADDRESS: Duration = Duration::from_secs(3);

/// Accepts connections on a port with one socket of the stack: one listener for each worker.
pub struct EmbassyListener<'d> {
    socket: TcpSocket<'d>,
    endpoint: IpListenEndpoint,
}

impl<'d> EmbassyListener<'d> {
    /// Listens with `rx` and `tx` as the socket's buffers: one or two segments (1,460 bytes) each are a good size.
    ///
    /// Nagle's algorithm is off. `keep_alive` is the interval of TCP's own probes; a peer that has sent nothing for four of them, no
    /// acknowledgement either, is given up. A WebSocket has better ones.
    pub fn new(
        stack: Stack<'d>,
        endpoint: impl Into<IpListenEndpoint>,
        rx: &'d mut [u8],
        tx: &'d mut [u8],
        keep_alive: Option<Duration>,
    ) -> Self {
        Self { socket: socket(stack, rx, tx, keep_alive), endpoint: endpoint.into() }
    }
}

impl<'d> Listen for EmbassyListener<'d> {
    type Socket<'l>
        = EmbassySocket<'l, 'd>
    where
        Self: 'l;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<EmbassySocket<'_, 'd>, ErrorKind> {
        match self.socket.state() {
            State::Listen => {}
            // An accept that was dropped has left a peer here. (Dropping an `EmbassySocket` leaves none of these states.)
            State::SynReceived | State::Established | State::CloseWait => {
                self.socket.wait_write_ready().await;
                return Ok(EmbassySocket { socket: &mut self.socket });
            }
            _ => recycle(&mut self.socket).await,
        }
        self.socket.accept(self.endpoint).await.map_err(|_| ErrorKind::AddrInUse)?;
        Ok(EmbassySocket { socket: &mut self.socket })
    }
}

/// Opens connections with one socket of the stack. It does no TLS.
///
/// Names are resolved by the stack's DNS client, and up to four addresses of each family are tried one after the other: who has not
/// answered within three seconds makes way for the next, the last one has the rest of
/// [`Options::connect_time`](crate::client::Options::connect_time). IPv6 addresses (feature `ipv6`) are asked for where the stack
/// has one itself, and come behind those of IPv4.
pub struct EmbassyConnector<'d> {
    stack: Stack<'d>,
    socket: TcpSocket<'d>,
}

impl<'d> EmbassyConnector<'d> {
    /// Connects with `rx` and `tx` as the socket's buffers, as in [`EmbassyListener::new`].
    pub fn new(stack: Stack<'d>, rx: &'d mut [u8], tx: &'d mut [u8], keep_alive: Option<Duration>) -> Self {
        Self { stack, socket: socket(stack, rx, tx, keep_alive) }
    }

    /// Addresses of a host, which may be one itself.
    async fn resolve(&self, host: &str, kind: DnsQueryType) -> impl Iterator<Item = IpAddress> + use<'d> {
        let wanted = match host.parse() {
            Ok(IpAddr::V4(_)) => kind == DnsQueryType::A,
            // Without the feature it is no address that could be connected to, and no name either.
            Ok(IpAddr::V6(_)) => kind == DnsQueryType::Aaaa,
            Err(_) if kind == DnsQueryType::A => true,
            #[cfg(feature = "ipv6")]
            Err(_) => self.stack.config_v6().is_some(),
            #[cfg(not(feature = "ipv6"))]
            Err(_) => false,
        };
        let answers = if wanted { self.stack.dns_query(host, kind).await.ok() } else { None };
        answers.into_iter().flatten()
    }

    async fn dial(&mut self, address: IpAddress, port: u16, is_last: bool) -> Result<(), ErrorKind> {
        recycle(&mut self.socket).await;
        let connecting = self.socket.connect(IpEndpoint::new(address, port));
        let connected = if is_last {
            connecting.await
        } else {
            let connected = with_timeout(NEXT_ADDRESS, connecting).await;
            connected.unwrap_or(Err(ConnectError::TimedOut))
        };
        connected.map_err(|error| match error {
            ConnectError::ConnectionReset => ErrorKind::ConnectionRefused,
            ConnectError::TimedOut => ErrorKind::TimedOut,
            ConnectError::NoRoute => ErrorKind::AddrNotAvailable,
            ConnectError::InvalidState => ErrorKind::Other,
        })
    }
}

impl<'d> Connect for EmbassyConnector<'d> {
    type Socket<'c>
        = EmbassySocket<'c, 'd>
    where
        Self: 'c;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<EmbassySocket<'_, 'd>, ErrorKind> {
        if to.secure {
            return Err(ErrorKind::Unsupported);
        }
        if !self.stack.is_config_up() {
            return Err(ErrorKind::NotConnected);
        }
        let addresses = self.resolve(to.host, DnsQueryType::A).await;
        let addresses = addresses.chain(self.resolve(to.host, DnsQueryType::Aaaa).await);
        let mut addresses = addresses.peekable();
        let mut outcome = Err(ErrorKind::AddrNotAvailable);
        while let Some(address) = addresses.next() {
            outcome = self.dial(address, to.port, addresses.peek().is_none()).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome?;
        Ok(EmbassySocket { socket: &mut self.socket })
    }

    async fn available(&mut self) {
        self.stack.wait_config_up().await;
    }

    async fn restored(&mut self) {
        self.stack.wait_config_down().await;
        self.stack.wait_config_up().await;
    }
}

/// A connected socket of embassy-net.
pub struct EmbassySocket<'s, 'd> {
    socket: &'s mut TcpSocket<'d>,
}

impl Socket for EmbassySocket<'_, '_> {
    type Error = TcpError;
    type Reader<'s>
        = TcpReader<'s>
    where
        Self: 's;
    type Writer<'s>
        = TcpWriter<'s>
    where
        Self: 's;

    fn split(&mut self) -> (TcpReader<'_>, TcpWriter<'_>) {
        self.socket.split()
    }

    async fn shutdown(&mut self) -> Result<(), TcpError> {
        self.socket.close();
        Ok(())
    }

    fn peer(&self) -> Option<SocketAddr> {
        let remote = self.socket.remote_endpoint()?;
        Some(SocketAddr::new(IpAddr::from(remote.addr), remote.port))
    }
}

impl Drop for EmbassySocket<'_, '_> {
    /// A peer that has ended its stream gets the rest of what was written; any other has had its time and is reset.
    fn drop(&mut self) {
        match self.socket.state() {
            State::CloseWait => self.socket.close(),
            // Both ends have ended their streams.
            State::Closed | State::TimeWait | State::LastAck | State::Closing => {}
            _ => self.socket.abort(),
        }
    }
}

fn socket<'d>(
    stack: Stack<'d>,
    rx: &'d mut [u8],
    tx: &'d mut [u8],
    keep_alive: Option<Duration>,
) -> TcpSocket<'d> {
    let mut socket = TcpSocket::new(stack, rx, tx);
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(keep_alive);
    // Without it the stack probes for ever.
    socket.set_timeout(keep_alive.map(|interval| interval.checked_mul(PROBES).unwrap_or(Duration::MAX)));
    socket
}

/// Makes a socket free, in whatever state its last connection left it: its last bytes are given [`LAST_TIME`] to arrive, the
/// ten seconds of TIME-WAIT are not. A peer that has not taken them by then is told.
async fn recycle(socket: &mut TcpSocket<'_>) {
    let patience = if socket.state() == State::Closed { RESET_TIME } else { LAST_TIME };
    let flushed = with_timeout(patience, socket.flush()).await;
    socket.abort();
    if flushed.is_err() {
        let _ = with_timeout(RESET_TIME, socket.flush()).await;
    }
}

impl core::fmt::Debug for EmbassyListener<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbassyListener").field("port", &self.endpoint.port).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for EmbassyConnector<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbassyConnector").finish_non_exhaustive()
    }
}

impl core::fmt::Debug for EmbassySocket<'_, '_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbassySocket").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
