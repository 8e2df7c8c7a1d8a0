//! WebSockets on a server of another HTTP library: what its request says is decided on as everywhere, and what it has upgraded is served
//! as everywhere.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade as auto;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wirelet_proto::handshake::{
    AcceptOptions, Header, HttpVersion, Rejection, RequestHead, UpgradeRequest, WriteError, is_upgrade,
};
use wirelet_proto::{CloseCode, Config, Keepalive, Limits};

use super::accept::ABORTED;
use super::admission::{Admission, Capacity};
use super::decide::{Accepted, Found, Opened, Refusal, borrowed, decide};
use super::http_socket::HttpSocket;
use super::page::{self, Body};
use super::paths::Params;
use super::route::Ws;
use super::router::{BoxFuture, Router};
use super::tasks::Tasks;
use super::{ServerHandle, Serving};
use crate::deflate::Compression;
use crate::race::{First, race};
use crate::time::{Clock, FAR, deadline};
use crate::transport::Transport;

/// The WebSockets of a server that is another HTTP library's: what holds for all of them, and all of them by number. Clones share them.
///
/// The library reads requests and has its own limits on that; it must allow upgrades. From then on a connection is as one of
/// [`Server`](super::Server): its limits, keepalive, compression, [`Context`](super::Context) and [`ServerHandle`].
///
/// ```no_run
/// use wirelet::server::{WebSockets, ws};
///
/// # fn f() -> Result<(), std::io::Error> {
/// let sockets = WebSockets::new();
/// // A tower service: `axum::Router::route_service`, or hyper by `hyper_util::service::TowerToHyperService`.
/// let echo = sockets.service(ws(|mut ws, _context| async move {
///     ws.for_each_message(|peer, message| _ = peer.send(message)).await
/// }))?;
/// # drop(echo); Ok(()) }
/// ```
#[derive(Clone)]
pub struct WebSockets {
    pub(crate) serving: Arc<Serving>,
}

/// A WebSocket route as a tower service, for any server of hyper; see [`WebSockets::service`].
#[derive(Clone)]
pub struct WebSocketService {
    sockets: WebSockets,
    route: Arc<Ws>,
}

/// Where a request has come from, as far as the library says it: put it in a request's extensions. Without one
/// [`Context::peer`](super::Context::peer) is `None`. axum's `ConnectInfo<SocketAddr>` will do as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What another library's request says, as [`decide`] looks at it.
#[derive(Debug)]
pub(crate) struct Asked {
    parts: Parts,
    /// What the library has to hand over; taken once.
    upgrade: Option<OnUpgrade>,
}

impl WebSockets {
    /// With the default configuration, and without compression.
    pub fn new() -> Self {
        // No stream is taken from elsewhere: the library accepts connections.
        let (handle, _) = ServerHandle::new();
        let registry = Arc::clone(&handle.0.registries.divide(1)[0]);
        Self {
            serving: Arc::new(Serving {
                router: Arc::new(Router::new()),
                config: Arc::new(Config::new()),
                compression: Compression::off(),
                hosts: None,
                clock: Clock::start(),
                admission: Arc::new(Admission::new(Capacity::default())),
                handle,
                registry,
                tasks: Arc::new(Tasks::default()),
            }),
        }
    }

    /// Limits, keepalive and delivery of all routes that don't have their own. Counts before the first request, as what follows.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        Arc::make_mut(&mut self.serving).config = Arc::new(config);
        self
    }

    /// Limits of all routes that don't have their own.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        Arc::make_mut(&mut Arc::make_mut(&mut self.serving).config).limits = limits;
        self
    }

    /// Keepalive of all routes that don't have their own.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        Arc::make_mut(&mut Arc::make_mut(&mut self.serving).config).keepalive = keepalive;
        self
    }

    /// How messages are compressed on all routes that don't say it themselves, where clients offer it. Default: not at
    /// all.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        Arc::make_mut(&mut self.serving).compression = compression;
        self
    }

    /// A route as a tower service. It answers 426 to what asks for no WebSocket. It knows no parameters of the path but, by the feature
    /// `axum`, those of axum.
    ///
    /// # Errors
    /// [`std::io::ErrorKind::InvalidInput`] for an origin that nothing matches.
    pub fn service(&self, mut route: Ws) -> std::io::Result<WebSocketService> {
        let invalid = |mistake| std::io::Error::new(std::io::ErrorKind::InvalidInput, mistake);
        route.terms.origins.check().map_err(invalid)?;
        route.terms.configure(&self.serving.config);
        Ok(WebSocketService { sockets: self.clone(), route: Arc::new(route) })
    }

    /// All connections, from any task. [`ServerHandle::stop`] closes them with 1001, and requests get 503 from then on.
    pub fn handle(&self) -> ServerHandle {
        self.serving.handle.clone()
    }

    /// Stops, and waits until all connections have ended; those that have not after `grace` are cut off.
    ///
    /// Call it when the library's server is told to stop: libraries forget what they have upgraded.
    ///
    /// # Cancel safety
    /// Once polled, the connections are closing; dropped, nothing is cut off.
    pub async fn shutdown(&self, grace: Duration) {
        self.serving.handle.stop();
        let _ = timeout(grace.min(FAR), self.serving.tasks.ended()).await;
        self.serving.tasks.abort_all();
        let _ = timeout(ABORTED, self.serving.tasks.ended()).await;
    }

    /// Decides on a request, and sees to it that its connection is served.
    async fn answer(
        &self,
        route: &Ws,
        mut asked: Asked,
        (path, params): (Arc<str>, Params),
    ) -> Result<Response<Body>, Refusal> {
        let peer = asked.peer();
        let (headers, target) = (asked.headers()?, asked.target());
        let head = asked.head(&target, &headers)?;
        if !is_upgrade(&head) {
            return Ok(page::upgrade_required());
        }
        let find = |_: &str| Some(Found { serves: &route.serves, terms: &route.terms, path: &path, params });
        let deadline = deadline(self.serving.config.limits.handshake_time);
        let (response, accepted) = decide(&self.serving, head, find, peer, deadline, accepting).await?;
        drop((headers, target));
        self.open(&mut asked, accepted, peer)?;
        Ok(response)
    }

    /// Serves the connection, when the library has handed it over.
    pub(crate) fn open(
        &self,
        asked: &mut Asked,
        accepted: Accepted,
        peer: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        let upgrade = asked.upgrade.take().ok_or_else(Refusal::not_upgradable)?;
        let serving = Arc::clone(&self.serving);
        self.serving.tasks.spawn(|place| async move {
            serve(&serving, upgrade, accepted, peer).await;
            drop(place);
        });
        Ok(())
    }
}

/// A connection from when it is handed over to its end.
async fn serve(serving: &Serving, upgrade: OnUpgrade, accepted: Accepted, peer: Option<SocketAddr>) {
    // The response has this long to leave.
    let patience = serving.config.limits.handshake_time.min(FAR);
    let Ok(Ok(upgraded)) = timeout(patience, upgrade).await else { return };
    let (transport, leftover) = taken(upgraded);
    let opened = Opened { accepted, transport, response: Vec::new(), leftover };
    let (mut driver, registered) = opened.start(serving, peer, false);
    let stopped = race(pin!(&mut driver), pin!(serving.handle.stopped())).await;
    if matches!(stopped, First::Other(())) {
        // RFC 6455 7.4.1: 1001 is for a server that goes down. It may be closing already.
        let _ = serving.handle.close(registered.id, CloseCode::GOING_AWAY, "");
        driver.await;
    }
}

/// The stream of an upgraded connection, and what was read of it. A TCP socket is found behind what libraries put around it.
fn taken(upgraded: Upgraded) -> (Transport, Bytes) {
    let upgraded = match auto::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return (tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<HttpSocket>>() {
        Ok(parts) => {
            let (stream, unread) = parts.io.into_inner().into_parts();
            let leftover =
                if unread.is_empty() { parts.read_buf } else { [parts.read_buf, unread].concat().into() };
            (stream.unwrap_or(Transport::Gone), leftover)
        }
        Err(upgraded) => (Transport::Other(Box::new(TokioIo::new(upgraded))), Bytes::new()),
    }
}

fn tcp(stream: TcpStream) -> Transport {
    let _ = stream.set_nodelay(true);
    Transport::tcp(stream)
}

impl Asked {
    pub(crate) fn of(mut parts: Parts) -> Self {
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        Self { parts, upgrade }
    }

    /// The headers, in the order of their names; those of one name in their own.
    ///
    /// # Errors
    /// One breaks a rule that the library has let pass.
    pub(crate) fn headers(&self) -> Result<Vec<Header<'_>>, Refusal> {
        let headers = self.parts.headers.iter();
        headers
            .map(|(name, value)| Header::new(name.as_str(), value.as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(Refusal::of)
    }

    /// The request target.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        #[cfg(feature = "axum")]
        let uri = crate::axum::original_uri(&self.parts);
        #[cfg(not(feature = "axum"))]
        let uri = &self.parts.uri;
        match uri.path_and_query() {
            Some(path) if uri.authority().is_none() => Cow::Borrowed(path.as_str()),
            _ => Cow::Owned(uri.to_string()),
        }
    }

    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn head<'a>(
        &'a self,
        target: &'a str,
        headers: &'a [Header<'a>],
    ) -> Result<RequestHead<'a>, Refusal> {
        let version = match self.parts.version {
            Version::HTTP_09 => HttpVersion { major: 0, minor: 9 },
            Version::HTTP_10 => HttpVersion { major: 1, minor: 0 },
            Version::HTTP_11 => HttpVersion::HTTP_11,
            Version::HTTP_2 => HttpVersion { major: 2, minor: 0 },
            _ => HttpVersion { major: 3, minor: 0 },
        };
        RequestHead::of_parts(self.parts.method.as_str(), target, version, headers).map_err(Refusal::of)
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        let told = self.parts.extensions.get().map(|PeerAddress(peer)| *peer);
        #[cfg(feature = "axum")]
        let told = told.or_else(|| crate::axum::connect_info(&self.parts));
        told
    }
}

/// The response that accepts, for a library to write.
pub(crate) fn accepting(
    request: &UpgradeRequest<'_>,
    options: &AcceptOptions<'_>,
) -> Result<Response<Body>, WriteError> {
    request.check(options)?;
    let mut response = Response::new(page::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    // RFC 6455 4.2.2, 5.
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let key = request.accept_key();
    for (name, value) in [
        (header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_bytes(&key).ok()),
        (header::SEC_WEBSOCKET_PROTOCOL, options.subprotocol.and_then(|name| name.parse().ok())),
        (header::SEC_WEBSOCKET_EXTENSIONS, options.extensions.and_then(|text| text.parse().ok())),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    append(headers, options.headers);
    Ok(response)
}

/// Fields that have been checked.
fn append(headers: &mut http::HeaderMap, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(*name), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.append(name, value);
        }
    }
}

impl Refusal {
    pub(crate) fn not_upgradable() -> Self {
        Self::new(500, "this connection cannot be upgraded")
    }

    /// For a library to write. One that can't be sent as it is becomes a 500.
    pub(crate) fn into_response(self) -> Response<Body> {
        let fields = borrowed(&self.headers);
        let sendable = Rejection { status: self.status, headers: &fields, body: &self.body }.check().is_ok();
        let Some(status) = StatusCode::from_u16(self.status).ok().filter(|_| sendable) else {
            return page::text(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        let mut response = match status {
            // RFC 9110 15.5.22, RFC 6455 4.4.
            StatusCode::UPGRADE_REQUIRED => page::upgrade_required(),
            _ => Response::new(page::full(Bytes::new())),
        };
        *response.body_mut() = page::full(self.body.clone());
        *response.status_mut() = status;
        response.headers_mut().remove(header::CONTENT_TYPE);
        append(response.headers_mut(), &fields);
        // RFC 9110 15.5.6.
        if status == StatusCode::METHOD_NOT_ALLOWED && !response.headers().contains_key(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}

impl<B: Send + 'static> tower_service::Service<Request<B>> for WebSocketService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { sockets, route } = self.clone();
        #[cfg_attr(not(feature = "axum"), expect(unused_mut, reason = "axum takes its own out of it"))]
        let mut parts = request.into_parts().0;
        Box::pin(async move {
            #[cfg(feature = "axum")]
            let place = crate::axum::place(&mut parts).await;
            #[cfg(not(feature = "axum"))]
            let place = (parts.uri.path().into(), Params::new());
            let answer = sockets.answer(&route, Asked::of(parts), place).await;
            Ok(answer.unwrap_or_else(Refusal::into_response))
        })
    }
}

impl Default for WebSockets {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for WebSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSockets").field("connections", &self.serving.handle.count()).finish()
    }
}

impl std::fmt::Debug for WebSocketService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketService").field("route", &self.route).finish()
    }
}
