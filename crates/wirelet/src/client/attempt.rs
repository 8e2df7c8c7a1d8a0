//! One attempt to connect, with the redirects that it takes.

use std::sync::Arc;
use std::time::Duration;

use wirelet_proto::handshake::UriError;
use wirelet_proto::{Config, Role};

use super::address::Address;
use super::cookies::Cookies;
use super::dial::Route;
use super::error::{ConnectError, RedirectError};
use super::prepare::{AttemptRequest, Hook};
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
    pub(super) route: Route,
    pub(super) prepare: Option<Hook>,
    pub(super) cookies: Option<Cookies>,
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
        self.route.proxies.of(target).map_err(ConnectError::ProxyUrl)?;
        self.request.check(target).map_err(ConnectError::Request)?;
        Ok(target)
    }

    /// One attempt, with the redirects that it takes. `last_status` is what the attempt before was refused with.
    pub(super) async fn connect(
        &self,
        attempt: u32,
        last_status: Option<u16>,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let mut hop = self.first_hop(attempt, last_status)?;
        let mut left = self.redirects;
        loop {
            let prepared = self.prepare(&hop).await?;
            match self.attempt(&prepared).await? {
                Attempted::Open(websocket, response) => return Ok((websocket, response)),
                Attempted::Refused(response) => {
                    let next = match redirected(&prepared.asked.target, &response, left, self.redirects) {
                        Some(Ok(next)) => next,
                        Some(Err(error)) => {
                            return Err(ConnectError::Redirect { error, response: Box::new(response) });
                        }
                        None => return Err(ConnectError::Refused(Box::new(response))),
                    };
                    hop.lead_on(&prepared.asked.target, next);
                    if hop.is_stranger && self.route.is_one_server() {
                        let error = RedirectError::OtherServer;
                        return Err(ConnectError::Redirect { error, response: Box::new(response) });
                    }
                    self.secure.check(&hop.asked.target)?;
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
        let hop = self.prepare(&self.first_hop(1, None)?).await?;
        let address = transport.peer_address().map_or(Address::Stream, Address::Tcp);
        match self.open(transport, address, &hop).await? {
            Attempted::Open(websocket, response) => Ok((websocket, response)),
            Attempted::Refused(response) => Err(ConnectError::Refused(Box::new(response))),
        }
    }

    fn first_hop(&self, attempt: u32, last_status: Option<u16>) -> Result<Hop, ConnectError> {
        let target = self.check()?.clone();
        let request = self.request.clone();
        let asked = AttemptRequest { attempt, is_redirect: false, last_status, target, request };
        Ok(Hop { asked, is_stranger: false })
    }

    /// Asks the program's hook what is to be asked of whom.
    async fn prepare(&self, hop: &Hop) -> Result<Hop, ConnectError> {
        let Some(hook) = &self.prepare else { return Ok(hop.clone()) };
        let preparing = hook.prepare(hop.asked.clone());
        let asked = match tokio::time::timeout_at(deadline(self.connect_time), preparing).await {
            Ok(prepared) => prepared.map_err(ConnectError::Prepare)?,
            Err(_) => return Err(ConnectError::Prepare("it did not end in time".into())),
        };
        self.secure.check(&asked.target)?;
        asked.request.check(&asked.target).map_err(ConnectError::Request)?;
        Ok(Hop { asked, is_stranger: hop.is_stranger })
    }

    async fn attempt(&self, hop: &Hop) -> Result<Attempted, ConnectError> {
        // The addresses that the program has given are those of its URL's host.
        let asked = &hop.asked.target;
        let is_own = !hop.is_stranger && self.target.as_ref().is_ok_and(|own| own.is_same_host(asked));
        let deadline = deadline(self.connect_time);
        let (transport, address) = self.route.connect(asked, is_own, &self.secure, deadline).await?;
        self.open(transport, address, hop).await
    }

    /// TLS where it is needed, and the opening handshake.
    async fn open(
        &self,
        mut transport: Transport,
        address: Address,
        hop: &Hop,
    ) -> Result<Attempted, ConnectError> {
        let Hop { asked: AttemptRequest { target, request, .. }, is_stranger } = hop;
        let deadline = deadline(self.config.limits.handshake_time);
        if target.secure {
            let connecting = self.secure.connect(transport, &address, &target.host, *is_stranger, deadline);
            transport = connecting.await?;
        }
        let plan = Plan::new(&self.compression);
        let limits = &self.config.limits;
        let kept = self.cookies.as_ref().and_then(|cookies| cookies.header(target));
        let request = match kept {
            Some(kept) => &request.with_cookies(&kept),
            None => request,
        };
        let outcome = upgrade(&mut transport, &address, target, request, plan, limits, deadline).await?;
        if let Some(cookies) = &self.cookies {
            cookies.receive(target, &outcome.response().headers);
        }
        match outcome {
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
#[derive(Clone)]
struct Hop {
    asked: AttemptRequest,
    /// Whether a redirect has named another server on the way.
    is_stranger: bool,
}

impl Hop {
    /// A redirect leads from `here` to `next`.
    fn lead_on(&mut self, here: &Target, next: Target) {
        if !next.is_same_host(here) {
            self.asked.request.forget_headers();
            self.is_stranger = true;
        }
        self.asked.is_redirect = true;
        self.asked.target = next;
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
