//! A connection for an attempt: to the first address of a name that accepts one, over a Unix socket, or by the program's connector.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::Address;
use super::connector::SharedConnector;
use super::error::{Attempt, ConnectError};
use super::proxy::{Kind, Proxies, Proxy};
use super::race::within;
use super::secure::Secure;
use super::target::Target;
use crate::Timeout;
use crate::transport::Transport;

/// After this long without an answer the next address is tried too (RFC 8305 8: connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 32;

/// How a client gets to its server.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// Instead of those of the URL's host.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) connector: Option<SharedConnector>,
    #[cfg(unix)]
    pub(super) unix: Option<PathBuf>,
    pub(super) source: Option<IpAddr>,
    #[cfg(target_os = "linux")]
    pub(super) interface: Option<String>,
    pub(super) keepalive: Option<TcpKeepalive>,
    pub(super) proxies: Proxies,
}

/// Keepalive of TCP.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpKeepalive {
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) count: u32,
}

impl Route {
    /// Whether it leads to one server alone, whatever a URL says.
    pub(super) const fn is_one_server(&self) -> bool {
        #[cfg(unix)]
        return self.unix.is_some() && self.connector.is_none();
        #[cfg(not(unix))]
        return false;
    }

    /// Connects to `target` before `deadline`. `is_own`: it is the host that the program has given addresses for.
    pub(super) async fn connect(
        &self,
        target: &Target,
        is_own: bool,
        secure: &Secure,
        deadline: Instant,
    ) -> Result<(Transport, Address), ConnectError> {
        if let Some(connector) = &self.connector {
            return one_place(Address::Stream, connector.connect(target), deadline).await;
        }
        #[cfg(unix)]
        if let Some(path) = &self.unix {
            let connecting = async { UnixStream::connect(path).await.map(Transport::new) };
            return one_place(Address::Unix(path.clone()), connecting, deadline).await;
        }
        let addresses = if is_own { &self.addresses[..] } else { &[] };
        match self.proxies.of(target).map_err(ConnectError::ProxyUrl)? {
            Some(proxy) => self.by_proxy(proxy, target, addresses, secure, deadline).await,
            None => self.tcp(&target.resolvable(), target.port, addresses, deadline).await,
        }
    }

    /// Connects to `target` through `proxy`. The address is the proxy's.
    async fn by_proxy(
        &self,
        proxy: &Proxy,
        target: &Target,
        addresses: &[SocketAddr],
        secure: &Secure,
        deadline: Instant,
    ) -> Result<(Transport, Address), ConnectError> {
        let (mut transport, address) = self.tcp(&proxy.host, proxy.port, &[], deadline).await?;
        if proxy.kind == Kind::Https {
            transport = secure.connect(transport, &address, &proxy.host, true, deadline).await?;
        }
        let tunnel = async {
            let looked_up = match proxy.kind {
                Kind::Socks5 if addresses.is_empty() => {
                    resolve(&target.resolvable(), target.port).await?.first().copied()
                }
                Kind::Socks5 => addresses.first().copied(),
                _ => None,
            };
            let tunnel = proxy.tunnel(transport, target, looked_up.map(|address| address.ip()));
            let failed = |error| ConnectError::Proxy { address: address.clone(), error };
            tunnel.await.map_err(failed)
        };
        match tokio::time::timeout_at(deadline, tunnel).await {
            Ok(tunnel) => Ok((tunnel?, address)),
            Err(_) => Err(ConnectError::timeout(Timeout::Connect, address)),
        }
    }

    /// Connects to `host`, or rather to `addresses` where there are any, before `deadline`.
    async fn tcp(
        &self,
        host: &str,
        port: u16,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(Transport, Address), ConnectError> {
        let mut tried = Vec::new();
        let dialing = async {
            let mut addresses =
                if addresses.is_empty() { resolve(host, port).await? } else { addresses.to_vec() };
            if let Some(source) = self.source {
                addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
            }
            Ok(self.first_to_accept(&addresses, &mut tried).await)
        };
        match tokio::time::timeout_at(deadline, dialing).await {
            Ok(Ok(Some((stream, address)))) => Ok((Transport::tcp(stream), Address::Tcp(address))),
            Ok(Ok(None)) => Err(ConnectError::Connect { tried }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::Timeout { which: Timeout::Connect, tried }),
        }
    }

    /// Starts with the first address; the next one follows when an earlier one has failed, or has not answered for
    /// [`STAGGER`]. Attempts that are not needed any more are dropped.
    async fn first_to_accept(
        &self,
        addresses: &[SocketAddr],
        tried: &mut Vec<Attempt>,
    ) -> Option<(TcpStream, SocketAddr)> {
        let mut racing = JoinSet::new();
        let mut waiting = addresses.iter();
        loop {
            if let Some(&address) = waiting.next() {
                let at = tried.len();
                tried.push(Attempt { address: Address::Tcp(address), error: None });
                let socket = self.socket(address);
                racing.spawn(async move { (at, address, connect(socket, address).await) });
            }
            let patience = if waiting.len() > 0 { STAGGER } else { Duration::MAX };
            match within(patience, racing.join_next()).await {
                Some(Some(Ok((_, address, Ok(stream))))) => return Some((stream, address)),
                Some(Some(Ok((at, _, Err(error))))) => tried[at].error = Some(error),
                Some(Some(Err(_))) | None => {}
                Some(None) => return None,
            }
        }
    }

    /// A socket with the options that were asked for.
    fn socket(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A message leaves when it is flushed, not when the one before was acknowledged.
        socket.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        if let Some(TcpKeepalive { idle, interval, count }) = self.keepalive {
            let keepalive = socket2::TcpKeepalive::new().with_time(idle);
            #[cfg(any(
                target_os = "linux",
                target_os = "android",
                target_os = "macos",
                target_os = "freebsd"
            ))]
            let keepalive = keepalive.with_interval(interval).with_retries(count);
            #[cfg(not(any(
                target_os = "linux",
                target_os = "android",
                target_os = "macos",
                target_os = "freebsd"
            )))]
            let _ = (interval, count);
            socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        }
        Ok(socket)
    }
}

/// Connects to what is one place, before `deadline`.
async fn one_place(
    address: Address,
    connecting: impl Future<Output = io::Result<Transport>>,
    deadline: Instant,
) -> Result<(Transport, Address), ConnectError> {
    match tokio::time::timeout_at(deadline, connecting).await {
        Ok(Ok(transport)) => {
            let address = transport.peer_address().map_or(address, Address::Tcp);
            Ok((transport, address))
        }
        Ok(Err(error)) => Err(ConnectError::Connect { tried: vec![Attempt { address, error: Some(error) }] }),
        Err(_) => Err(ConnectError::timeout(Timeout::Connect, address)),
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.take(MOST_ADDRESSES).collect()),
        Err(error) => Err(ConnectError::Resolve { host: host.to_owned(), error }),
    }
}

async fn connect(socket: io::Result<TcpSocket>, address: SocketAddr) -> io::Result<TcpStream> {
    socket?.connect(address).await
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_the_options_that_were_asked_for() {
        let (idle, interval) = (Duration::from_secs(5), Duration::from_secs(7));
        let keepalive = Some(TcpKeepalive { idle, interval, count: 3 });
        let route = Route { keepalive, interface: Some("lo".into()), ..Route::default() };
        let socket = route.socket("127.0.0.1:1".parse().unwrap()).unwrap();
        let known = socket2::SockRef::from(&socket);
        assert!(known.keepalive().unwrap() && socket.nodelay().unwrap());
        assert_eq!(
            (known.tcp_keepalive_time().unwrap(), known.tcp_keepalive_interval().unwrap()),
            (idle, interval)
        );
        assert_eq!(
            (known.tcp_keepalive_retries().unwrap(), socket.device().unwrap()),
            (3, Some(b"lo".to_vec()))
        );
    }
}
