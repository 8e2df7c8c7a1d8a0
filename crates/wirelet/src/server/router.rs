//! Which path belongs to whom.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use wirelet_proto::Config;

use super::decide::Found;
use super::page::{Body, BoxError, Page, failed, only_get, text, upgrade_required};
use super::paths::Table;
use super::route::{Serves, Ws};
use super::upgrade::PeerAddress;
use super::{Serving, WebSockets};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type HttpHandler = dyn Fn(Request<Incoming>, Arrival<'_>) -> BoxFuture<Response<Body>> + Send + Sync;

/// Where a request has come from, and to.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) serving: &'a Arc<Serving>,
}

/// A table of routes.
///
/// A path is exact (`/status`), has parameters (`/rooms/{room}`), or ends in `*` for whatever follows, which may be nothing
/// (`/files/*`). A path without `*` comes before one with it. Of two that match, the one counts that is more exact in the first
/// segment in which they differ: text comes before a parameter, and a parameter before `*`. One path may have a WebSocket and a page.
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
    /// What answers for all other paths.
    fallback: Option<Arc<HttpHandler>>,
    /// What is wrong with the routes.
    mistake: Option<String>,
}

impl Router {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A WebSocket at `path`.
    #[must_use]
    pub fn ws(mut self, path: &str, route: Ws) -> Self {
        let added = route.terms.origins.check().and_then(|()| self.sockets.add(path, route));
        self.note(added)
    }

    /// A page at `path`, for GET and HEAD.
    #[must_use]
    pub fn page(self, path: &str, page: Page) -> Self {
        self.http(path, move |request: Request<Incoming>, _: Arrival<'_>| {
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
        self.http(path, move |request: Request<Incoming>, _: Arrival<'_>| {
            let page =
                || Page::new("application/json", text()).header("cache-control", "no-store").response();
            Box::pin(std::future::ready(only_get(request.method()).unwrap_or_else(page)))
        })
    }

    /// Any HTTP service at `path`. Its error becomes a 500, and so does its panic. In the extensions of its requests stand the
    /// [`PeerAddress`](super::PeerAddress), and the [`WebSockets`] of this server.
    #[must_use]
    pub fn service<S, B>(self, path: &str, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.http(path, move |mut request: Request<Incoming>, arrival: Arrival<'_>| {
            arrival.tell(&mut request);
            let answer = service.call(request);
            Box::pin(async move { answered(answer.await) })
        })
    }

    /// A tower service, as `axum::Router`, for all other paths: pages, and requests for a WebSocket too. Its error becomes a 500,
    /// and so does its panic.
    ///
    /// In the extensions of its requests stands what [`service`](Self::service) has there, and by the feature `axum` a
    /// `ConnectInfo<SocketAddr>`. What an extractor of `wirelet::axum` behind it opens belongs to this server: to its configuration, its
    /// connections by number, and its stop.
    ///
    /// ```
    /// # #[cfg(feature = "axum")]
    /// # fn router() -> wirelet::server::Router {
    /// use axum::routing::get;
    /// use wirelet::server::{Router, ws};
    ///
    /// let pages = axum::Router::new().route("/", get(|| async { "hello" }));
    /// Router::new().ws("/ws", ws(|mut ws, _context| async move { ws.send("hello").await })).fallback(pages)
    /// # }
    /// ```
    #[must_use]
    pub fn fallback<S, B>(mut self, service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let handler = move |mut request: Request<Incoming>, arrival: Arrival<'_>| -> BoxFuture<_> {
            arrival.tell(&mut request);
            let mut service = service.clone();
            Box::pin(async move {
                let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_ok();
                if !ready {
                    return failed();
                }
                let answer = service.call(request);
                answered(answer.await)
            })
        };
        let added = match self.fallback.replace(Arc::new(handler)) {
            Some(_) => Err("two fallbacks".to_owned()),
            None => Ok(()),
        };
        self.note(added)
    }

    fn http<F>(mut self, path: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>, Arrival<'_>) -> BoxFuture<Response<Body>> + Send + Sync + 'static,
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
        self.sockets.each_mut(|route| route.terms.configure(config));
        Ok(self)
    }

    /// The WebSocket at `path`.
    pub(crate) fn socket(&self, path: &str) -> Option<Found<'_, &Serves>> {
        let (Ws { serves, terms }, path, params) = self.sockets.find(path)?;
        Some(Found { serves, terms, path, params })
    }

    /// Whether a request for a WebSocket at `path` is decided on here, and not left to the fallback.
    pub(crate) fn decides_on(&self, path: &str) -> bool {
        self.fallback.is_none() || self.sockets.find(path).is_some()
    }

    /// What is served at `path` to requests that are not decided on as such for a WebSocket.
    pub(crate) fn answer(
        &self,
        path: &str,
        request: Request<Incoming>,
        arrival: Arrival<'_>,
    ) -> BoxFuture<Response<Body>> {
        if let Some((handler, _, _)) = self.pages.find(path) {
            return handler(request, arrival);
        }
        let response = match (self.sockets.find(path), &self.fallback) {
            (Some(_), _) => upgrade_required(),
            (None, Some(fallback)) => return fallback(request, arrival),
            (None, None) => text(StatusCode::NOT_FOUND, "not found"),
        };
        Box::pin(std::future::ready(response))
    }
}

impl Arrival<'_> {
    /// Tells a service what the server knows.
    fn tell(self, request: &mut Request<Incoming>) {
        let extensions = request.extensions_mut();
        extensions.insert(WebSockets { serving: Arc::clone(self.serving) });
        let Some(peer) = self.peer else { return };
        extensions.insert(PeerAddress(peer));
        #[cfg(feature = "axum")]
        extensions.insert(::axum::extract::ConnectInfo(peer));
    }
}

/// What a service has answered.
fn answered<B, E>(answer: Result<Response<B>, E>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match answer {
        Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(_) => failed(),
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("sockets", &self.sockets).field("pages", &self.pages).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_route_is_told_when_the_server_begins() {
        let config = Arc::new(Config::new());
        assert!(Router::new().page("nope", Page::html("")).build(&config).unwrap_err().contains("slash"));
    }
}
