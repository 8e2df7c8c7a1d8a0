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
use super::secure::Secure;
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
    pub(super) secure: Secure,
    pub(super) connect_time: Duration,
    pub(super) redirects: u8,
    pub(super) config: Config,
    pub(super) compression: Compression,
}

impl Settings {
    /// Whether an attempt makes sense.
    pub(super) fn check(&self) -> Result<&Target, ConnectError> {
        let target = self.target.as_ref().map_err(|error| ConnectError::Url(*error))?;
        self.secure.check(target)?;
        self.request.check(target).map_err(ConnectError::Request)?;
        Ok(target)
    }

    /// One attempt, with the redirects that it takes.
    pub(super) async fn connect(&self) -> Result<(WebSocket, Response), ConnectError> {
        let mut hop =
            Hop { target: self.check()?.clone(), request: self.request.clone(), is_stranger: false };
        let mut left = self.redirects;
        loop {
            match self.attempt(&hop).await? {
                Attempted::Open(websocket, response) => return Ok((websocket, response)),
                Attempted::Refused(response) => {
                    let next = match redirected(&hop.target, &response, left, self.redirects) {
                        Some(Ok(next)) => next,
                        Some(Err(error)) => {
                            return Err(ConnectError::Redirect { error, response: Box::new(response) });
                        }
                        None => return Err(ConnectError::Refused(Box::new(response))),
                    };
                    hop.lead_to(next);
                    self.secure.check(&hop.target)?;
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
        let hop = Hop { target: self.check()?.clone(), request: self.request.clone(), is_stranger: false };
        let address = transport.peer_address().map_or(Address::Stream, Address::Tcp);
        match self.open(transport, address, &hop).await? {
            Attempted::Open(websocket, response) => Ok((websocket, response)),
            Attempted::Refused(response) => Err(ConnectError::Refused(Box::new(response))),
        }
    }

    async fn attempt(&self, hop: &Hop) -> Result<Attempted, ConnectError> {
        let deadline = deadline(self.connect_time);
        let (transport, address) = match &self.connector {
            Some(connector) => dial_by(connector, &hop.target, deadline).await?,
            None => {
                let addresses = if hop.is_stranger { &[] } else { &self.addresses[..] };
                dial(&hop.target, addresses, deadline).await?
            }
        };
        self.open(transport, address, hop).await
    }

    /// TLS where it is needed, and the opening handshake.
    async fn open(
        &self,
        mut transport: Transport,
        address: Address,
        hop: &Hop,
    ) -> Result<Attempted, ConnectError> {
        let Hop { target, request, is_stranger } = hop;
        let deadline = deadline(self.config.limits.handshake_time);
        if target.secure {
            let connecting = self.secure.connect(transport, &address, &target.host, *is_stranger, deadline);
            transport = connecting.await?;
        }
        let plan = Plan::new(&self.compression);
        let limits = &self.config.limits;
        match upgrade(&mut transport, &address, target, request, plan, limits, deadline).await? {
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

/// One request of an attempt: the first one, or the one that a redirect asks for.
struct Hop {
    target: Target,
    request: Request,
    /// Whether a redirect has named another server on the way.
    is_stranger: bool,
}

impl Hop {
    fn lead_to(&mut self, next: Target) {
        if !next.is_same_host(&self.target) {
            self.request.forget_credentials();
            self.is_stranger = true;
        }
        self.target = next;
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
        Ok(next) if next.secure && !Secure::AVAILABLE => Err(RedirectError::NoTls),
        Ok(next) if target.secure && !next.secure => Err(RedirectError::Insecure),
        Ok(next) => Ok(next),
        Err(error) => Err(RedirectError::Location(error)),
    })
}
