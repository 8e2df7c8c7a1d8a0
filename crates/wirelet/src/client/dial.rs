//! A TCP connection to the first address of a name that accepts one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::error::{Attempt, ConnectError};
use super::race::within;
use super::target::Target;
use crate::Timeout;

/// After this long without an answer the next address is tried too (RFC 8305 8: connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 32;

/// Connects to `target`, or rather to `addresses` where there are any, before `deadline`.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut tried = Vec::new();
    let dialing = async {
        let addresses = if addresses.is_empty() { resolve(target).await? } else { addresses.to_vec() };
        Ok(first_to_accept(&addresses, &mut tried).await)
    };
    match tokio::time::timeout_at(deadline, dialing).await {
        Ok(Ok(Some(connection))) => Ok(connection),
        Ok(Ok(None)) => Err(ConnectError::Connect { tried }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectError::Timeout { which: Timeout::Connect, tried }),
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
            tried.push(Attempt { address, error: None });
            racing.spawn(async move { (at, connect(address).await) });
        }
        let patience = if waiting.len() > 0 { STAGGER } else { Duration::MAX };
        match within(patience, racing.join_next()).await {
            Some(Some(Ok((at, Ok(stream))))) => return Some((stream, tried[at].address)),
            Some(Some(Ok((at, Err(error))))) => tried[at].error = Some(error),
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
