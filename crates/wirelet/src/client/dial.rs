//! A connection for an attempt: to the first address of a name that accepts one, or by the program's connector.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::Address;
use super::connector::SharedConnector;
use super::error::{Attempt, ConnectError};
use super::race::within;
use super::target::Target;
use crate::Timeout;
use crate::transport::Transport;

/// After this long without an answer the next address is tried too (RFC 8305 8: connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 32;

/// Connects to `target`, or rather to `addresses` where there are any, before `deadline`.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(Transport, Address), ConnectError> {
    let mut tried = Vec::new();
    let dialing = async {
        let addresses = if addresses.is_empty() { resolve(target).await? } else { addresses.to_vec() };
        Ok(first_to_accept(&addresses, &mut tried).await)
    };
    match tokio::time::timeout_at(deadline, dialing).await {
        Ok(Ok(Some((stream, address)))) => Ok((Transport::tcp(stream), Address::Tcp(address))),
        Ok(Ok(None)) => Err(ConnectError::Connect { tried }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectError::Timeout { which: Timeout::Connect, tried }),
    }
}

/// Connects by the program's connector, before `deadline`.
pub(super) async fn dial_by(
    connector: &SharedConnector,
    target: &Target,
    deadline: Instant,
) -> Result<(Transport, Address), ConnectError> {
    let tried = |error| vec![Attempt { address: Address::Stream, error }];
    match tokio::time::timeout_at(deadline, connector.connect(target)).await {
        Ok(Ok(transport)) => {
            let address = transport.peer_address().map_or(Address::Stream, Address::Tcp);
            Ok((transport, address))
        }
        Ok(Err(error)) => Err(ConnectError::Connect { tried: tried(Some(error)) }),
        Err(_) => Err(ConnectError::Timeout { which: Timeout::Connect, tried: tried(None) }),
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    match tokio::net::lookup_host((&*target.resolvable(), target.port)).await {
        Ok(addresses) => Ok(addresses.take(MOST_ADDRESSES).collect()),
        Err(error) => Err(ConnectError::Resolve { host: target.host.clone(), error }),
    }
}

/// Starts with the first address; the next one follows when an earlier one has failed, or has not answered for
/// [`STAGGER`]. Attempts that are not needed any more are dropped.
async fn first_to_accept(
    addresses: &[SocketAddr],
    tried: &mut Vec<Attempt>,
) -> Option<(TcpStream, SocketAddr)> {
    let mut racing = JoinSet::new();
    let mut waiting = addresses.iter();
    loop {
        if let Some(&address) = waiting.next() {
            let at = tried.len();
            tried.push(Attempt { address: Address::Tcp(address), error: None });
            racing.spawn(async move { (at, address, connect(address).await) });
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

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A message leaves when it is flushed, not when the one before was acknowledged.
    stream.set_nodelay(true)?;
    Ok(stream)
}
