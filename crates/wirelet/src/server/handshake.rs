//! The opening handshake: read, decided, answered. What is no request for a WebSocket goes on to HTTP.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use wirelet_proto::handshake::{
    AcceptOptions, HandshakeError, HeadLimits, HeadScanner, HostPattern, Rejection, RequestHead,
    ResponseHead, UpgradeRequest, WriteError, is_head_request, is_upgrade,
};
use wirelet_proto::{CloseCode, Config, Role, Storage};

use super::admission::HandshakePermit;
use super::caught::Caught;
use super::context::Context;
use super::page::{self, Body};
use super::paths::Params;
use super::registry::Registered;
use super::route::{Gate, Verdict, Ws};
use super::{Serving, http1};
use crate::WebSocket;
use crate::connection::driver::{Driver, Handler};
use crate::connection::inbound::Inbound;
use crate::connection::{Made, Shared};
use crate::deflate::{Negotiated, Plan};
use crate::race::{First, race};
use crate::time::{FAR, deadline};
use crate::transport::Transport;

/// What the bodies of refusals are.
const CONTENT_TYPE: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");
/// What a server says that stops, and after how many seconds it may be asked again.
const STOPPING: &str = "the server stops";
const RETRY_AFTER: &str = "5";
/// The longest time that a refused peer has to take its refusal.
const REFUSAL_TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// Serves a connection from its first byte until it is a WebSocket, or to its end. Every request on it is read and decided in the same
/// way, whatever came before.
pub(crate) async fn open(
    serving: Arc<Serving>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: HandshakePermit,
) -> Option<(Driver<Handler>, Registered)> {
    let mut permit = Some(permit);
    let mut transport = Transport::tcp(stream);
    let mut inbound = Inbound::default();
    loop {
        let next = begin(&serving, transport, inbound, peer, permit.is_none()).await;
        drop(permit.take());
        let (stream, received) = match next {
            Next::WebSocket(opened) => return Some((*opened).start(&serving, peer)),
            Next::Http(stream, received) => {
                let head = RequestHead::parse(&received).ok()?;
                Box::pin(http1::answer(&serving, stream, &head, received.clone())).await?
            }
            Next::End => return None,
        };
        (transport, inbound) = (Transport::Tcp(stream), Inbound::new(&received));
    }
}

/// What follows a request.
enum Next {
    WebSocket(Box<Opened>),
    /// It is none for a WebSocket. What was received begins with its head.
    Http(TcpStream, Bytes),
    End,
}

/// A connection that was accepted.
struct Opened {
    accepted: Accepted,
    transport: Transport,
    response: Vec<u8>,
    /// What was read behind the request.
    leftover: Bytes,
}

/// What the routes have to say about a request.
struct Accepted {
    handler: Box<dyn FnOnce(WebSocket, Context) -> Handler + Send>,
    context: Context,
    config: Arc<Config>,
    route: Arc<str>,
    subprotocol: Option<u16>,
    negotiated: Option<Negotiated>,
}

/// The answer to a request for a WebSocket.
struct Answer {
    /// The response, with the body of a refusal.
    response: Vec<u8>,
    accepted: Option<Accepted>,
}

impl Opened {
    fn start(self, serving: &Arc<Serving>, peer: SocketAddr) -> (Driver<Handler>, Registered) {
        let Self { accepted, transport, response, leftover } = self;
        let Accepted { handler, mut context, config, route, subprotocol, negotiated } = accepted;
        let (role, clock) = (Role::Server, serving.clock);
        // The response leaves together with what the handler says first, or before the connection first waits.
        let (leftover, response) = (&leftover[..], &response[..]);
        let shared =
            Shared::new(Made { transport, role, config, subprotocol, negotiated, leftover, response, clock });
        let registered = serving.registry.add(Arc::clone(&shared), peer, route);
        context.id = Some(registered.id);
        let ws = WebSocket::new(Arc::clone(&shared));
        let driver = Driver::new(Arc::clone(&shared), true, || handler(ws, context));
        if serving.handle.is_stopping() {
            let _ = shared.close(CloseCode::GOING_AWAY, "");
        }
        (driver, registered)
    }
}

/// Reads a request and decides on it. `kept`: there was another one before.
async fn begin(
    serving: &Arc<Serving>,
    mut transport: Transport,
    mut inbound: Inbound,
    peer: SocketAddr,
    kept: bool,
) -> Next {
    let time = serving.config.limits.handshake_time;
    // Who keeps a connection may be silent for as long as a request may take.
    if kept && inbound.filled().is_empty() {
        let read =
            timeout(time.min(FAR), read_more(&mut transport, &mut inbound, head_limits(&serving.config)));
        let read = race(pin!(read), pin!(serving.handle.stopped())).await;
        if !matches!(read, First::One(Ok(true))) {
            return Next::End;
        }
    }
    let deadline = deadline(time);
    let arrived = head(serving, &mut transport, &mut inbound, deadline).await;
    let bodiless = is_head_request(inbound.filled());
    let answer = match arrived {
        Arrived::Nothing => return Next::End,
        Arrived::Refused(answer) => answer,
        Arrived::Head(len) => {
            // Why before the decision: it may take long, and what has arrived needs little memory.
            inbound.rest();
            let answer = match RequestHead::parse(&inbound.filled()[..len]) {
                Err(error) => Answer::of_error(error),
                Ok(request) if is_upgrade(&request) => decide(serving, request, peer, deadline).await,
                Ok(_) => {
                    let Transport::Tcp(stream) = transport else { return Next::End };
                    return Next::Http(stream, Bytes::copy_from_slice(inbound.filled()));
                }
            };
            inbound.discard_front(len);
            answer
        }
    };
    let Answer { mut response, accepted } = answer;
    let Some(accepted) = accepted else {
        inbound.release();
        if bodiless {
            let head = ResponseHead::parse(&response).map_or(0, |head| head.len());
            response.truncate(head);
        }
        refuse(transport, &response).await;
        return Next::End;
    };
    let leftover = Bytes::copy_from_slice(inbound.filled());
    Next::WebSocket(Box::new(Opened { accepted, transport, response, leftover }))
}

/// What has come.
enum Arrived {
    /// The head of a request, of this length.
    Head(usize),
    /// What is refused before anybody decides.
    Refused(Answer),
    /// No request that could be answered: the peer has gone or was silent, or the server stops.
    Nothing,
}

/// Reads a request's head until `deadline`, or until the server stops.
async fn head(
    serving: &Arc<Serving>,
    transport: &mut Transport,
    inbound: &mut Inbound,
    deadline: Instant,
) -> Arrived {
    let limits = head_limits(&serving.config);
    let read = timeout_at(deadline, read_head(transport, inbound, &limits));
    // Bound to a name: the future borrows what is looked at below.
    let read = race(pin!(read), pin!(serving.handle.stopped())).await;
    match read {
        First::Other(()) | First::One(Ok(Ok(None))) => Arrived::Nothing,
        First::One(Err(_)) if inbound.filled().is_empty() => Arrived::Nothing,
        First::One(Err(_)) => Arrived::Refused(Answer::refuse(408, "the request did not arrive in time")),
        First::One(Ok(Err(error))) => Arrived::Refused(Answer::of_error(error)),
        First::One(Ok(Ok(Some(len)))) => Arrived::Head(len),
    }
}

/// The length of the head. `None`: the peer has gone.
async fn read_head(
    transport: &mut Transport,
    inbound: &mut Inbound,
    limits: &HeadLimits,
) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = HeadScanner::new();
    loop {
        if let Some(len) = scanner.scan(inbound.filled(), limits)? {
            return Ok(Some(len));
        }
        if !read_more(transport, inbound, *limits).await {
            return Ok(None);
        }
    }
}

/// Reads once; `false`: the peer has gone.
async fn read_more(transport: &mut Transport, inbound: &mut Inbound, limits: HeadLimits) -> bool {
    let read = poll_fn(|cx| {
        // Why no more: what comes behind the head is kept while the application decides.
        let most = limits.bytes.saturating_add(1).saturating_sub(inbound.filled().len()).max(1);
        let read = inbound.poll_read(transport, most, cx);
        if read.is_pending() {
            inbound.rest();
        }
        read
    });
    read.await.unwrap_or(0) > 0
}

fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits { bytes: config.limits.head_bytes, headers: config.limits.head_fields }
}

/// The one place where it is decided who may connect.
///
/// Everything is checked before the request is answered: the handshake itself, host, route, origin, and last the
/// application's own decision, which has until `deadline`. A server that stops accepts nothing.
async fn decide(
    serving: &Arc<Serving>,
    head: RequestHead<'_>,
    peer: SocketAddr,
    deadline: Instant,
) -> Answer {
    let request = match UpgradeRequest::verify(head) {
        Ok(request) => request,
        Err(error) => return Answer::of_error(error),
    };
    if !serving.serves_host(request.host()) {
        return Answer::refuse(421, "this host is not served here");
    }
    let Some((route, path, params)) = serving.router.socket(request.head().path()) else {
        return Answer::refuse(404, "no WebSocket is here");
    };
    // RFC 6455 4.2.2, 4 and 10.2: 403 for an origin that is not acceptable.
    match route.origins.admit(&request) {
        Ok(true) => {}
        Ok(false) => return Answer::refuse(403, "pages of this origin may not connect"),
        Err(error) => return Answer::of_error(error),
    }
    let mut context = common_context(serving, route, &request, params, peer);
    let (mut chosen, mut headers) = (context.common_subprotocols().next().map(str::to_owned), Vec::new());
    if let Some(gate) = &route.gate {
        match verdict(serving, &**gate, context.clone(), deadline).await {
            Ok(Verdict::Accept { subprotocol, headers: additional }) => {
                // RFC 6455 4.2.2, 5 (/subprotocol/): one that the client offers and the server is willing to use.
                if let Some(name) = subprotocol.as_deref().filter(|name| !context.has_in_common(name)) {
                    tracing::error!(
                        target: "wirelet::server",
                        route = &**path,
                        subprotocol = name,
                        "the gate chose a subprotocol that the client does not offer or the route does not list"
                    );
                    return Answer::refuse(500, "the application's answer cannot be sent");
                }
                chosen = subprotocol.or(chosen);
                headers = additional;
            }
            Ok(Verdict::Reject { status, headers, body }) => {
                return Answer::rejected(status, &headers, &body);
            }
            Err(answer) => return answer,
        }
    }
    if serving.handle.is_stopping() {
        return Answer::stopping();
    }
    let position =
        chosen.as_ref().and_then(|name| route.subprotocols.iter().position(|known| **known == **name));
    // RFC 7692 5.1: one of the offers, or none of them.
    let compression = route.compression.as_ref().unwrap_or(&serving.compression);
    let agreed = Plan::new(compression).and_then(|plan| plan.accept(request.extensions()));
    let options = AcceptOptions {
        subprotocol: chosen.as_deref(),
        extensions: agreed.as_ref().map(|(_, answer)| answer.as_str()),
        headers: &borrowed(&headers),
    };
    let Ok(response) = written(|out| request.accept(&options, out)) else {
        return Answer::refuse(500, "the application's answer cannot be sent");
    };
    context.subprotocol = chosen.map(Into::into);
    let handler = Arc::clone(&route.handler);
    let accepted = Accepted {
        handler: Box::new(move |ws, context| handler(ws, context)),
        context,
        config: Arc::clone(route.config.as_ref().unwrap_or(&serving.config)),
        route: Arc::clone(path),
        subprotocol: position.and_then(|position| u16::try_from(position).ok()),
        negotiated: agreed.map(|(negotiated, _)| negotiated),
    };
    Answer { response, accepted: Some(accepted) }
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
) -> Result<Verdict, Answer> {
    let deciding = timeout_at(deadline, Caught::begin(|| gate(context)));
    match race(pin!(deciding), pin!(serving.handle.stopped())).await {
        First::One(Ok(Some(verdict))) => Ok(verdict),
        First::One(Ok(None)) => Err(Answer::refuse(500, "the decision failed")),
        First::One(Err(_)) => Err(Answer::refuse(503, "the decision did not come in time")),
        First::Other(()) => Err(Answer::stopping()),
    }
}

fn common_context(
    serving: &Serving,
    route: &Ws,
    request: &UpgradeRequest<'_>,
    params: Params,
    peer: SocketAddr,
) -> Context {
    let offered = |name: &&Arc<str>| request.subprotocols().any(|offer| offer == &***name);
    let common = route.subprotocols.iter().filter(offered).cloned().collect();
    Context::new(request.head(), params, peer, common, serving.handle.clone())
}

/// The answer to whatever is asked of a server that stops. Another one, or the next one here, may be there soon.
pub(crate) fn stopping() -> Response<Body> {
    let mut response = page::text(StatusCode::SERVICE_UNAVAILABLE, STOPPING);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Answer {
    fn of_error(error: HandshakeError) -> Self {
        Self::refuse(error.status(), &error.to_string())
    }

    fn refuse(status: u16, text: &str) -> Self {
        Self::rejected(status, &[(CONTENT_TYPE.0.to_owned(), CONTENT_TYPE.1.to_owned())], text.as_bytes())
    }

    fn stopping() -> Self {
        let headers = [CONTENT_TYPE, ("Retry-After", RETRY_AFTER)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::rejected(503, &headers, STOPPING.as_bytes())
    }

    /// A refusal that can't be sent as it is becomes a 500.
    fn rejected(status: u16, headers: &[(String, String)], body: &[u8]) -> Self {
        let rejection = Rejection { status, headers: &borrowed(headers), body };
        let response = written(|out| rejection.write(out))
            .or_else(|_| written(|out| Rejection::new(500).write(out)))
            .unwrap_or_default();
        Self { response, accepted: None }
    }
}

impl Serving {
    /// Whether `host`, with its port if it has one, is served.
    pub(crate) fn serves_host(&self, host: &str) -> bool {
        let Some(hosts) = &self.hosts else { return true };
        hosts.iter().any(|known| HostPattern::parse(known).is_ok_and(|known| known.matches(host)))
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What `write` writes, into as much memory as it needs.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Result<Vec<u8>, WriteError> {
    let mut out = vec![0; 512];
    loop {
        match write(&mut out) {
            Ok(len) => {
                out.truncate(len);
                return Ok(out);
            }
            Err(WriteError::BufferTooSmall { needed }) if needed > out.len() => out.resize(needed, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a refusal and sees to it that it arrives: a socket that is closed with unread input is reset.
pub(crate) async fn refuse(mut transport: Transport, response: &[u8]) {
    let _ = timeout(REFUSAL_TIME, async {
        transport.write_all(response).await?;
        transport.shutdown().await?;
        let mut rest = [0; 1024];
        while transport.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}
