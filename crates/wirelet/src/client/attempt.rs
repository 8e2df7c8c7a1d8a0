//! One attempt to connect, with the redirects that it takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wirelet_proto::handshake::UriError;
use wirelet_proto::{Config, Role};

use super::address::Address;
use super::connector::SharedConnector;
use super::dial::{dial, dial_by};
use super::error::{ConnectError, RedirectError};
use super::response::Response;
use super::target::Target;
use super::upgrade::{Open, Outcome, Request, upgrade};
use crate::WebSocket;
use crate::deflate::{Compression, Plan};
use crate::time::deadline;
use crate::transport::Transport;

/// What each attempt needs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) target: Result<Target, UriError>,
    pub(super) request: Request,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) connector: Option<SharedConnector>,
    pub(super) connect_time: Duration,
    pub(super) redirects: u8,
    pub(super) config: Config,
    pub(super) compression: Compression,
}

impl Settings {
    /// Whether an attempt makes sense.
    pub(super) fn check(&self) -> Result<&Target, ConnectError> {
        let target = self.target.as_ref().map_err(|error| ConnectError::Url(*error))?;
        if target.secure {
            return Err(ConnectError::Tls { url: target.to_string() });
        }
        self.request.check(target).map_err(ConnectError::Request)?;
        Ok(target)
    }

    /// One attempt, with the redirects that it takes.
    pub(super) async fn connect(&self) -> Result<(WebSocket, Response), ConnectError> {
        let mut target = self.check()?.clone();
        let mut request = self.request.clone();
        let mut addresses = &self.addresses[..];
        let mut left = self.redirects;
        loop {
            match self.attempt(&target, &request, addresses).await? {
                Attempted::Open(websocket, response) => return Ok((websocket, response)),
                Attempted::Refused(response) => {
                    let next = match redirected(&target, &response, left, self.redirects) {
                        Some(Ok(next)) => next,
                        Some(Err(error)) => {
                            return Err(ConnectError::Redirect { error, response: Box::new(response) });
                        }
                        None => return Err(ConnectError::Refused(Box::new(response))),
                    };
                    if !next.is_same_host(&target) {
                        request.forget_credentials();
                        addresses = &[];
                    }
                    target = next;
                    left = left.saturating_sub(1);
                }
            }
        }
    }

    /// One attempt on a stream that stands.
    pub(super) async fn connect_on(
        &self,
        transport: Transport,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let target = self.check()?;
        let address = transport.peer_address().map_or(Address::Stream, Address::Tcp);
        match self.open(transport, address, target, &self.request).await? {
            Attempted::Open(websocket, response) => Ok((websocket, response)),
            Attempted::Refused(response) => Err(ConnectError::Refused(Box::new(response))),
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        request: &Request,
        addresses: &[SocketAddr],
    ) -> Result<Attempted, ConnectError> {
        let deadline = deadline(self.connect_time);
        let (transport, address) = match &self.connector {
            Some(connector) => dial_by(connector, target, deadline).await?,
            None => dial(target, addresses, deadline).await?,
        };
        self.open(transport, address, target, request).await
    }

    /// The opening handshake.
    async fn open(
        &self,
        mut transport: Transport,
        address: Address,
        target: &Target,
        request: &Request,
    ) -> Result<Attempted, ConnectError> {
        let plan = Plan::new(&self.compression);
        match upgrade(&mut transport, &address, target, request, plan, &self.config.limits).await? {
            Outcome::Refused(response) => Ok(Attempted::Refused(response)),
            Outcome::Open(open) => {
                let Open { response, subprotocol, negotiated, leftover } = open;
                let config = Arc::new(self.config.clone());
                let websocket = WebSocket::with_negotiated(
                    transport,
                    Role::Client,
                    config,
                    subprotocol,
                    negotiated,
                    &leftover,
                );
                Ok(Attempted::Open(websocket, response))
            }
        }
    }
}

enum Attempted {
    Open(WebSocket, Response),
    Refused(Response),
}

/// Where to go next; `None` where this is no redirect, or none was to be followed.
fn redirected(
    target: &Target,
    response: &Response,
    left: u8,
    allowed: u8,
) -> Option<Result<Target, RedirectError>> {
    let location = response.location().filter(|_| allowed > 0)?;
    if left == 0 {
        return Some(Err(RedirectError::TooMany));
    }
    Some(match target.resolve(location.as_bytes()) {
        Ok(next) if next.secure => Err(RedirectError::Tls),
        Ok(next) => Ok(next),
        Err(error) => Err(RedirectError::Location(error)),
    })
}
