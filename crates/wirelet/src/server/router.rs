//! Which path belongs to whom.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::Service;
use wirelet_proto::{Config, Delivery, Keepalive, Limits};

use super::context::Context;
use super::origin::Origins;
use crate::connection::driver::{Handler as HandlerFuture, judged};
use crate::deflate::Compression;
use crate::{Outcome, WebSocket};

/// Parameters of a path, by name.
pub(crate) type Params = Vec<(Arc<str>, String)>;
/// The body of a response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type WsHandler = dyn Fn(WebSocket, Context) -> HandlerFuture + Send + Sync;
pub(crate) type Gate = dyn Fn(Context) -> BoxFuture<Verdict> + Send + Sync;
type HttpHandler = dyn Fn(Request<Incoming>) -> BoxFuture<Response<Body>> + Send + Sync;

/// A table of routes.
///
/// A path is exact (`/status`), ends in `*` for whatever follows (`/files/*`), or has parameters (`/rooms/{room}`); an
/// exact path comes before parameters, these before `*`, and of two with `*` the longer one. One path may have a
/// WebSocket and a page.
///
/// ```
/// use wirelet::server::{Page, Router, ws};
///
/// let router = Router::new()
///     .page("/", Page::html("<h1>hello</h1>"))
///     .json("/status", || r#"{"ok":true}"#.to_owned())
///     .ws("/rooms/{room}", ws(|mut ws, context| async move {
///         let room = context.param("room").unwrap_or_default().to_owned();
///         ws.send(format!("welcome to {room}")).await
///     }).subprotocols(["chat.v1"]));
/// ```
#[derive(Default)]
pub struct Router {
    sockets: Table<Ws>,
    pages: Table<Arc<HttpHandler>>,
    /// What is wrong with the routes.
    mistake: Option<String>,
}

/// A WebSocket route: see [`ws`].
pub struct Ws {
    pub(crate) handler: Arc<WsHandler>,
    pub(crate) subprotocols: Vec<Arc<str>>,
    pub(crate) origins: Origins,
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) compression: Option<Compression>,
    overrides: Overrides,
    pub(crate) config: Option<Arc<Config>>,
}

#[derive(Default)]
struct Overrides {
    limits: Option<Limits>,
    keepalive: Option<Keepalive>,
    delivery: Option<Delivery>,
}

/// What becomes of a request to open a connection.
#[derive(Debug)]
pub enum Verdict {
    /// It is accepted.
    Accept {
        /// One of [`Context::common_subprotocols`], of which the route lists every one; `None`: the first of them, if there
        /// is one. Another one cannot be sent, since the client would have to fail the connection (RFC 6455 4.1): the
        /// request is answered with 500, and the mistake is logged.
        subprotocol: Option<String>,
        /// Additional header fields of the response.
        headers: Vec<(String, String)>,
    },
    /// It is refused.
    Reject {
        /// The HTTP status, 300 to 599.
        status: u16,
        /// Additional header fields of the response.
        headers: Vec<(String, String)>,
        /// The body of the response.
        body: Bytes,
    },
}

impl Verdict {
    /// Accepted, with nothing special.
    pub const fn accept() -> Self {
        Self::Accept { subprotocol: None, headers: Vec::new() }
    }

    /// Refused with `status` and a text.
    pub fn reject(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self::Reject { status, headers, body: body.into() }
    }
}

/// A WebSocket route whose connections `handler` serves: an async function of the connection and its [`Context`].
///
/// When the handler returns the connection is closed, with 1000 after `()` or `Ok`, with 1011 after an error or a panic.
pub fn ws<F, Fut>(handler: F) -> Ws
where
    F: Fn(WebSocket, Context) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    Ws {
        handler: Arc::new(move |ws, context| judged(handler(ws, context))),
        subprotocols: Vec::new(),
        origins: Origins::same(),
        gate: None,
        compression: None,
        overrides: Overrides::default(),
        config: None,
    }
}

/// [`ws`] whose handler gets a clone of `state` too.
pub fn ws_with<S, F, Fut>(state: S, handler: F) -> Ws
where
    S: Clone + Send + Sync + 'static,
    F: Fn(WebSocket, Context, S) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    ws(move |ws, context| handler(ws, context, state.clone()))
}

impl Ws {
    /// The subprotocols that are spoken here, the best first. The first one that the client offers is taken; a client
    /// that offers none of them is accepted without.
    #[must_use]
    pub fn subprotocols<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.subprotocols = names.into_iter().map(|name| name.as_ref().into()).collect();
        self
    }

    /// Limits instead of the server's. What holds before the route is known stays the server's.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.overrides.limits = Some(limits);
        self
    }

    /// Keepalive instead of the server's.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.overrides.keepalive = Some(keepalive);
        self
    }

    /// Messages or chunks, instead of the server's choice.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.overrides.delivery = Some(delivery);
        self
    }

    /// How messages are compressed, instead of the server's choice.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Which pages may connect. Default: those of the same origin.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Decides on each request before it is answered, when all other checks have passed. It has what is left of
    /// [`Limits::handshake_time`], which a request on a kept HTTP connection has to itself, and ends when the server stops:
    /// its future is dropped then, and the request is answered with 503. A panic is answered with 500.
    #[must_use]
    pub fn on_upgrade<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        self.gate = Some(Arc::new(move |context| Box::pin(decide(context))));
        self
    }

    fn configure(&mut self, server: &Arc<Config>) {
        let Overrides { limits, keepalive, delivery } = std::mem::take(&mut self.overrides);
        if limits.is_none() && keepalive.is_none() && delivery.is_none() {
            self.config = Some(Arc::clone(server));
            return;
        }
        self.config = Some(Arc::new(Config {
            limits: limits.unwrap_or_else(|| server.limits.clone()),
            keepalive: keepalive.unwrap_or_else(|| server.keepalive.clone()),
            delivery: delivery.unwrap_or(server.delivery),
        }));
    }
}

/// Something that is served to GET and HEAD as it is.
#[derive(Clone, Debug)]
pub struct Page {
    headers: HeaderMap,
    body: Bytes,
}

impl Page {
    /// `body`, of the media type `content_type`. A type that can't be a header's value is left out.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { headers: HeaderMap::new(), body: body.into() }.header("content-type", content_type)
    }

    /// An HTML page in UTF-8.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// With another header field; one that is not valid is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            self.headers.insert(name, value);
        }
        self
    }

    fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        response
    }
}

impl Router {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A WebSocket at `path`.
    #[must_use]
    pub fn ws(mut self, path: &str, route: Ws) -> Self {
        let added = route.origins.check().and_then(|()| self.sockets.add(path, route));
        self.note(added)
    }

    /// A page at `path`, for GET and HEAD.
    #[must_use]
    pub fn page(self, path: &str, page: Page) -> Self {
        self.http(path, move |request: Request<Incoming>| {
            let response = only_get(request.method()).unwrap_or_else(|| page.response());
            Box::pin(std::future::ready(response))
        })
    }

    /// What `text` answers, which should be JSON, at `path`, for GET and HEAD; never cached.
    #[must_use]
    pub fn json<F>(self, path: &str, text: F) -> Self
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.http(path, move |request: Request<Incoming>| {
            let page =
                || Page::new("application/json", text()).header("cache-control", "no-store").response();
            Box::pin(std::future::ready(only_get(request.method()).unwrap_or_else(page)))
        })
    }

    /// Any HTTP service at `path`. Its error becomes a 500, and so does its panic.
    #[must_use]
    pub fn service<S, B>(self, path: &str, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.http(path, move |request| {
            let answer = service.call(request);
            Box::pin(async move {
                match answer.await {
                    Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
                    Err(_) => failed(),
                }
            })
        })
    }

    fn http<F>(mut self, path: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> BoxFuture<Response<Body>> + Send + Sync + 'static,
    {
        let added = self.pages.add(path, Arc::new(handler));
        self.note(added)
    }

    fn note(mut self, added: Result<(), String>) -> Self {
        if let Err(mistake) = added {
            self.mistake.get_or_insert(mistake);
        }
        self
    }

    /// Ready to serve with the server's configuration.
    ///
    /// # Errors
    /// What is wrong with a route.
    pub(crate) fn build(mut self, config: &Arc<Config>) -> Result<Self, String> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        self.sockets.routes.iter_mut().for_each(|(_, _, route)| route.configure(config));
        Ok(self)
    }

    /// The WebSocket at `path`, the pattern that it matched, and its parameters.
    pub(crate) fn socket(&self, path: &str) -> Option<(&Ws, &Arc<str>, Params)> {
        self.sockets.find(path)
    }

    /// What is served at `path` to requests that don't ask for a WebSocket.
    pub(crate) fn answer(&self, path: &str, request: Request<Incoming>) -> BoxFuture<Response<Body>> {
        if let Some((handler, _, _)) = self.pages.find(path) {
            return handler(request);
        }
        let response = match self.sockets.find(path) {
            Some(_) => upgrade_required(),
            None => text(StatusCode::NOT_FOUND, "not found"),
        };
        Box::pin(std::future::ready(response))
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("sockets", &self.sockets).field("pages", &self.pages).finish()
    }
}

impl std::fmt::Debug for Ws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ws")
            .field("subprotocols", &self.subprotocols)
            .field("origins", &self.origins)
            .finish()
    }
}

/// A response whose body is a text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer for a service that has none: an error, or a panic.
pub(crate) fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "the service failed")
}

pub(crate) fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn upgrade_required() -> Response<Body> {
    let mut response = text(StatusCode::UPGRADE_REQUIRED, "here is a WebSocket");
    let headers = response.headers_mut();
    // RFC 9110 15.5.22, RFC 6455 4.4.
    headers.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(http::header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn only_get(method: &Method) -> Option<Response<Body>> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

/// Routes of one kind, the most specific first.
struct Table<T> {
    routes: Vec<(Pattern, Arc<str>, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(_, path, _)| path)).finish()
    }
}

impl<T> Table<T> {
    fn add(&mut self, path: &str, route: T) -> Result<(), String> {
        let pattern = Pattern::parse(path)?;
        if self.routes.iter().any(|(known, _, _)| known.collides(&pattern)) {
            return Err(format!("two routes for the same path: {path}"));
        }
        let at = self.routes.partition_point(|(known, _, _)| known.rank() <= pattern.rank());
        self.routes.insert(at, (pattern, path.into(), route));
        Ok(())
    }

    fn find(&self, path: &str) -> Option<(&T, &Arc<str>, Params)> {
        self.routes.iter().find_map(|(pattern, text, route)| Some((route, text, pattern.matches(path)?)))
    }
}

/// A path with parameters.
struct Pattern {
    segments: Vec<Segment>,
    /// It ends in `*`.
    open: bool,
}

#[derive(PartialEq, Eq)]
enum Segment {
    Literal(String),
    Param(Arc<str>),
}

impl Pattern {
    fn parse(path: &str) -> Result<Self, String> {
        let rest = path.strip_prefix('/').ok_or_else(|| format!("a path begins with a slash: {path:?}"))?;
        let (rest, open) = match rest.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), open: true }),
            Some(rest) => {
                let rest = rest.strip_suffix('/').ok_or_else(|| format!("`*` follows a slash: {path}"))?;
                (rest, true)
            }
            None => (rest, false),
        };
        let segments =
            rest.split('/').map(|segment| Segment::parse(segment, path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments, open })
    }

    /// Small is specific: exact paths, then parameters, then `*`, the longer one first.
    fn rank(&self) -> (bool, usize, usize) {
        let params = self.segments.iter().filter(|segment| matches!(segment, Segment::Param(_))).count();
        (self.open, if self.open { usize::MAX - self.segments.len() } else { 0 }, params)
    }

    /// Whether both match exactly the same paths.
    fn collides(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Param(_), Segment::Param(_)) => true,
            _ => false,
        };
        self.open == other.open
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }

    fn matches(&self, path: &str) -> Option<Params> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut params = Vec::new();
        for segment in &self.segments {
            let (here, after) = match rest?.split_once('/') {
                Some((here, after)) => (here, Some(after)),
                None => (rest?, None),
            };
            match segment {
                Segment::Literal(text) if text == here => {}
                Segment::Param(name) if !here.is_empty() => params.push((Arc::clone(name), decode(here))),
                _ => return None,
            }
            rest = after;
        }
        match (self.open, rest) {
            (false, None) => Some(params),
            (true, Some(rest)) => {
                params.push(("*".into(), decode(rest)));
                Some(params)
            }
            _ => None,
        }
    }
}

impl Segment {
    fn parse(segment: &str, path: &str) -> Result<Self, String> {
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return match name {
                "" => Err(format!("a parameter has a name: {path}")),
                name => Ok(Self::Param(name.into())),
            };
        }
        if segment.contains(['{', '}', '*', '?', '#']) || !segment.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!(
                "a path is visible ASCII, with `{{name}}` as a whole segment and `*` at its end: {path:?}"
            ));
        }
        Ok(Self::Literal(segment.to_owned()))
    }
}

/// `%41` becomes `A`; what is not UTF-8 then stays as it was.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte =
            pair.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, pair) {
            (Some(byte), Some((digits, after))) if digits[0] != b'+' => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> Table<usize> {
        let mut table = Table::default();
        for (n, path) in paths.iter().enumerate() {
            table.add(path, n).unwrap();
        }
        table
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let paths = ["/*", "/a/*", "/a/{x}/c", "/a/{x}", "/a/b", "/", "/a/{x}/{y}"];
        let forward = table(&paths);
        let backward = table(&paths.iter().rev().copied().collect::<Vec<_>>());
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/z", "/a/{x}"),
            ("/a/z/c", "/a/{x}/c"),
            ("/a/z/d", "/a/{x}/{y}"),
            ("/a/z/d/e", "/a/*"),
            ("/a/", "/a/*"),
            ("/a", "/*"),
            ("/other/thing", "/*"),
        ] {
            assert_eq!(&**forward.find(path).unwrap().1, expected, "{path}");
            assert_eq!(&**backward.find(path).unwrap().1, expected, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let table = table(&["/rooms/{room}/files/*"]);
        let (_, _, params) = table.find("/rooms/caf%C3%A9%20x/files/a/b%2Fc").unwrap();
        assert_eq!(params, [("room".into(), "café x".to_owned()), ("*".into(), "a/b/c".to_owned())]);
        assert!(table.find("/rooms//files/x").is_none());
        for (raw, decoded) in
            [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff"), ("%+1", "%+1"), ("a%41", "aA")]
        {
            assert_eq!(decode(raw), decoded);
        }
    }

    #[test]
    fn a_path_that_cannot_work_is_refused_with_a_reason() {
        for path in ["", "a", "/a*", "/{", "/{}", "/a{b}", "/a b", "/*/a", "/a?b", "/é"] {
            assert!(Pattern::parse(path).is_err(), "{path}");
        }
        let mut table = table(&["/a/{x}"]);
        assert!(table.add("/a/{y}", 9).unwrap_err().contains("two routes"));
        let config = Arc::new(Config::new());
        assert!(Router::new().page("nope", Page::html("")).build(&config).unwrap_err().contains("slash"));
    }
}
