//! Which path belongs to whom.

use std::future::Future;
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

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type HttpHandler = dyn Fn(Request<Incoming>) -> BoxFuture<Response<Body>> + Send + Sync;

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
        self.sockets.each_mut(|route| route.terms.configure(config));
        Ok(self)
    }

    /// The WebSocket at `path`.
    pub(crate) fn socket(&self, path: &str) -> Option<Found<'_, &Serves>> {
        let (Ws { serves, terms }, path, params) = self.sockets.find(path)?;
        Some(Found { serves, terms, path, params })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_route_is_told_when_the_server_begins() {
        let config = Arc::new(Config::new());
        assert!(Router::new().page("nope", Page::html("")).build(&config).unwrap_err().contains("slash"));
    }
}
