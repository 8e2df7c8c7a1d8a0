//! Who may connect: decided here, whatever read the request and whatever came before it on its connection.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use wirelet_proto::handshake::{
    AcceptOptions, HandshakeError, HostPattern, RequestHead, UpgradeRequest, WriteError,
};
use wirelet_proto::{CloseCode, Config, Role};

use super::Serving;
use super::caught::Caught;
use super::context::Context;
use super::page::{self, Body};
use super::paths::Params;
use super::registry::Registered;
use super::route::{Begin, Gate, Serves, Terms, Verdict, begin};
use crate::WebSocket;
use crate::connection::driver::{Driver, Handler};
use crate::connection::{Made, Shared};
use crate::deflate::{Negotiated, Plan};
use crate::race::{First, race};
use crate::transport::Transport;

/// What a server says that stops, and after how many seconds it may be asked again.
const STOPPING: &str = "the server stops";
const RETRY_AFTER: &str = "5";

/// A route that was found for a request. `S` says who serves its connections.
pub(crate) struct Found<'r, S> {
    pub(crate) serves: S,
    pub(crate) terms: &'r Terms,
    pub(crate) path: &'r Arc<str>,
    pub(crate) params: Params,
}

/// What becomes of a connection that was accepted.
pub(crate) struct Accepted {
    begin: Begin,
    context: Context,
    config: Arc<Config>,
    route: Arc<str>,
    subprotocol: Option<u16>,
    negotiated: Option<Negotiated>,
}

/// Why a request is refused, and with which response.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// A connection that was accepted, with its stream.
pub(crate) struct Opened {
    pub(crate) accepted: Accepted,
    pub(crate) transport: Transport,
    /// What has to be sent first.
    pub(crate) response: Vec<u8>,
    /// What was read behind the request.
    pub(crate) leftover: Bytes,
}

/// A request that keeps all rules, for a route that takes it unless the application decides otherwise.
pub(crate) struct Examined<'a, S> {
    serving: &'a Serving,
    request: UpgradeRequest<'a>,
    serves: S,
    terms: &'a Terms,
    path: &'a Arc<str>,
    context: Context,
}

/// The one place where it is decided who may connect.
///
/// Everything is checked before the request is answered: the handshake itself, host, route, origin, and last the
/// application's own decision, which has until `deadline`. A server that stops accepts nothing. `find` looks a path up;
/// `respond` makes the response that accepts.
pub(crate) async fn decide<'a, R>(
    serving: &'a Serving,
    head: RequestHead<'a>,
    find: impl FnOnce(&str) -> Option<Found<'a, &'a Serves>>,
    peer: Option<SocketAddr>,
    deadline: Instant,
    respond: impl FnOnce(&UpgradeRequest<'_>, &AcceptOptions<'_>) -> Result<R, WriteError>,
) -> Result<(R, Accepted), Refusal> {
    let examined = examine(serving, head, find, peer)?;
    let verdict = match examined.serves {
        Serves::Anyone(handler) => Verdict::accept_with(begin(handler)),
        Serves::Admitted(gate) => verdict(serving, &**gate, examined.context.clone(), deadline).await?,
    };
    examined.conclude(verdict, respond)
}

/// All checks but the application's own: the first step of [`decide`].
pub(crate) fn examine<'a, S>(
    serving: &'a Serving,
    head: RequestHead<'a>,
    find: impl FnOnce(&str) -> Option<Found<'a, S>>,
    peer: Option<SocketAddr>,
) -> Result<Examined<'a, S>, Refusal> {
    let request = UpgradeRequest::verify(head).map_err(Refusal::of)?;
    if !serving.serves_host(request.host()) {
        return Err(Refusal::new(421, "this host is not served here"));
    }
    let Some(Found { serves, terms, path, params }) = find(request.head().path()) else {
        return Err(Refusal::new(404, "no WebSocket is here"));
    };
    // RFC 6455 4.2.2, 4 and 10.2: 403 for an origin that is not acceptable.
    if !terms.origins.admit(&request).map_err(Refusal::of)? {
        return Err(Refusal::new(403, "pages of this origin may not connect"));
    }
    let offered = |name: &&Arc<str>| request.subprotocols().any(|offer| offer == &***name);
    let common = terms.subprotocols.iter().filter(offered).cloned().collect();
    let context = Context::new(request.head(), params, peer, common, serving.handle.clone());
    Ok(Examined { serving, request, serves, terms, path, context })
}

/// The application's decision.
///
/// # Errors
/// The answer to a request on which there is none.
async fn verdict(
    serving: &Serving,
    gate: &Gate,
    context: Context,
    deadline: Instant,
) -> Result<Verdict<Begin>, Refusal> {
    let deciding = timeout_at(deadline, Caught::begin(|| gate(context)));
    match race(pin!(deciding), pin!(serving.handle.stopped())).await {
        First::One(Ok(Some(verdict))) => Ok(verdict),
        First::One(Ok(None)) => Err(Refusal::new(500, "the decision failed")),
        First::One(Err(_)) => Err(Refusal::new(503, "the decision did not come in time")),
        First::Other(()) => Err(Refusal::stopping()),
    }
}

impl<S> Examined<'_, S> {
    /// Carries a verdict out: the last step of [`decide`].
    pub(crate) fn conclude<R>(
        self,
        verdict: Verdict<Begin>,
        respond: impl FnOnce(&UpgradeRequest<'_>, &AcceptOptions<'_>) -> Result<R, WriteError>,
    ) -> Result<(R, Accepted), Refusal> {
        let Self { serving, request, terms, path, mut context, .. } = self;
        let unsendable = || Refusal::new(500, "the application's answer cannot be sent");
        let (subprotocol, headers, begin) = match verdict {
            Verdict::Accept { subprotocol, headers, value } => (subprotocol, headers, value),
            Verdict::Reject { status, headers, body } => return Err(Refusal { status, headers, body }),
        };
        // RFC 6455 4.2.2, 5 (/subprotocol/): one that the client offers and the server is willing to use.
        if let Some(name) = subprotocol.as_deref().filter(|name| !context.has_in_common(name)) {
            tracing::error!(
                target: "wirelet::server",
                route = &**path,
                subprotocol = name,
                "the gate chose a subprotocol that the client does not offer or the route does not list"
            );
            return Err(unsendable());
        }
        if serving.handle.is_stopping() {
            return Err(Refusal::stopping());
        }
        let chosen = subprotocol.or_else(|| context.common_subprotocols().next().map(str::to_owned));
        let position =
            chosen.as_ref().and_then(|name| terms.subprotocols.iter().position(|known| **known == **name));
        // RFC 7692 5.1: one of the offers, or none of them.
        let compression = terms.compression.as_ref().unwrap_or(&serving.compression);
        let agreed = Plan::new(compression).and_then(|plan| plan.accept(request.extensions()));
        let options = AcceptOptions {
            subprotocol: chosen.as_deref(),
            extensions: agreed.as_ref().map(|(_, answer)| answer.as_str()),
            headers: &borrowed(&headers),
        };
        let response = respond(&request, &options).map_err(|_| unsendable())?;
        context.subprotocol = chosen.map(Into::into);
        let accepted = Accepted {
            begin,
            context,
            config: Arc::clone(terms.config.as_ref().unwrap_or(&serving.config)),
            route: Arc::clone(path),
            subprotocol: position.and_then(|position| u16::try_from(position).ok()),
            negotiated: agreed.map(|(negotiated, _)| negotiated),
        };
        Ok((response, accepted))
    }
}

impl Opened {
    /// The connection's own future. `swept`: somebody looks at the deadlines of the registry.
    pub(crate) fn start(
        self,
        serving: &Serving,
        peer: Option<SocketAddr>,
        swept: bool,
    ) -> (Driver<Handler>, Registered) {
        let Self { accepted, transport, response, leftover } = self;
        let Accepted { begin, mut context, config, route, subprotocol, negotiated } = accepted;
        let (role, clock) = (Role::Server, serving.clock);
        // The response leaves together with what the handler says first, or before the connection first waits.
        let (leftover, response) = (&leftover[..], &response[..]);
        let shared =
            Shared::new(Made { transport, role, config, subprotocol, negotiated, leftover, response, clock });
        let registered = serving.registry.add(Arc::clone(&shared), peer, route);
        context.id = Some(registered.id);
        let ws = WebSocket::new(Arc::clone(&shared));
        let driver = Driver::new(Arc::clone(&shared), swept, || begin(ws, context));
        if serving.handle.is_stopping() {
            let _ = shared.close(CloseCode::GOING_AWAY, "");
        }
        (driver, registered)
    }
}

impl Refusal {
    pub(crate) fn of(error: HandshakeError) -> Self {
        Self::new(error.status(), error.to_string())
    }

    /// With a text.
    pub(crate) fn new(status: u16, text: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: text.into() }
    }

    fn stopping() -> Self {
        let mut refusal = Self::new(503, STOPPING);
        refusal.headers.push(("Retry-After".to_owned(), RETRY_AFTER.to_owned()));
        refusal
    }
}

impl Serving {
    /// Whether `host`, with its port if it has one, is served.
    pub(crate) fn serves_host(&self, host: &str) -> bool {
        let Some(hosts) = &self.hosts else { return true };
        hosts.iter().any(|known| HostPattern::parse(known).is_ok_and(|known| known.matches(host)))
    }
}

/// The answer to whatever is asked of a server that stops. Another one, or the next one here, may be there soon.
pub(crate) fn stopping() -> Response<Body> {
    let mut response = page::text(StatusCode::SERVICE_UNAVAILABLE, STOPPING);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(crate) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
