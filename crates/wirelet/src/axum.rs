//! wirelet in axum: an extractor, by the feature `axum`.
//!
//! ```no_run
//! use axum::Router;
//! use axum::response::Response;
//! use axum::routing::any;
//! use wirelet::axum::WebSocketUpgrade;
//!
//! async fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.subprotocols(["echo.v1"]).on_upgrade(|mut ws, _context| async move {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok::<_, wirelet::Error>(())
//!     })
//! }
//!
//! # fn app() -> Router {
//! Router::new().route("/ws", any(echo))
//! # }
//! ```
//!
//! What holds for all WebSockets of an application is a [`WebSockets`], as a layer: `.layer(Extension(sockets.clone()))`. By it they are
//! also reached from outside, counted, and [closed](WebSockets::shutdown) when the application stops. Without one each connection
//! has the default limits, and its context knows of no other. Behind [`Router::fallback`](crate::server::Router::fallback) it is there
//! already: wirelet's server itself.
//!
//! Other than axum's own extractor, this one refuses pages of another origin, unless [`origins`](WebSocketUpgrade::origins) says
//! otherwise. [`Context::peer`] needs axum's `into_make_service_with_connect_info::<SocketAddr>()`.

use std::net::SocketAddr;
use std::sync::Arc;

use ::axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, OriginalUri, RawPathParams};
use ::axum::response::{IntoResponse, Response};
use http::Uri;
use http::request::Parts;
use wirelet_proto::handshake::UpgradeRequest;
use wirelet_proto::{Delivery, Keepalive, Limits, Outcome};

#[cfg(feature = "deflate")]
use crate::Compression;
use crate::WebSocket;
use crate::connection::driver::judged;
use crate::server::Origins;
use crate::server::http::{Asked, Begin, Body, Found, Params, Refusal, Terms, Verdict, accepting, examine};
pub use crate::server::{Context, WebSockets};

/// A request to open a WebSocket that keeps the rules of RFC 6455; an extractor. Another request is answered with the status that
/// says what is wrong with it.
///
/// What is not said here is as the [`WebSockets`] of the application have it.
#[derive(Debug)]
pub struct WebSocketUpgrade {
    sockets: WebSockets,
    asked: Asked,
    path: Arc<str>,
    params: Params,
    terms: Terms,
}

impl WebSocketUpgrade {
    /// The subprotocols that are spoken here, the best first. The first one that the client offers is taken; a client
    /// that offers none of them is accepted without. [`Context::subprotocol`] says which it is.
    #[must_use]
    pub fn subprotocols<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.terms.subprotocols = names.into_iter().map(|name| name.as_ref().into()).collect();
        self
    }

    /// Limits of this connection.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.terms.overrides.limits = Some(limits);
        self
    }

    /// Keepalive of this connection.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.terms.overrides.keepalive = Some(keepalive);
        self
    }

    /// Messages or chunks.
    #[must_use]
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.terms.overrides.delivery = Some(delivery);
        self
    }

    /// How messages are compressed, where the client offers it.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.terms.compression = Some(compression);
        self
    }

    /// Which pages may connect. Default: those of the same origin. A list of which one matches nothing is answered with 500, and
    /// logged.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.terms.origins = origins;
        self
    }

    /// The response, which axum has to get: 101, behind which `handler` serves the connection in a task of its own, or a refusal.
    ///
    /// When the handler returns the connection is closed, with 1000 after `()` or `Ok`, with 1011 after an error or a panic.
    pub fn on_upgrade<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(WebSocket, Context) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        let begin = Box::new(move |ws, context| judged(handler(ws, context)));
        self.accept(begin).unwrap_or_else(Refusal::into_response).into_response()
    }

    fn accept(self, begin: Begin) -> Result<http::Response<Body>, Refusal> {
        let Self { sockets, mut asked, path, params, mut terms } = self;
        if let Err(mistake) = terms.origins.check() {
            tracing::error!(target: "wirelet::server", route = &*path, mistake, "no such origin");
            return Err(Refusal::new(500, "the application's answer cannot be sent"));
        }
        terms.configure(&sockets.serving.config);
        let peer = asked.peer();
        let (headers, target) = (asked.headers()?, asked.target());
        let head = asked.head(&target, &headers)?;
        let find = |_: &str| Some(Found { serves: (), terms: &terms, path: &path, params });
        let examined = examine(&sockets.serving, head, find, peer)?;
        let (response, accepted) = examined.conclude(Verdict::accept_with(begin), accepting)?;
        drop((headers, target));
        sockets.open(&mut asked, accepted, peer)?;
        Ok(response)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let sockets = parts.extensions.get::<WebSockets>().cloned().unwrap_or_default();
        let (path, params) = place(parts).await;
        let asked = Asked::of(parts.clone());
        let verified = asked.headers().and_then(|headers| {
            let target = asked.target();
            UpgradeRequest::verify(asked.head(&target, &headers)?).map(drop).map_err(Refusal::of)
        });
        match verified {
            Ok(()) => Ok(Self { sockets, asked, path, params, terms: Terms::default() }),
            Err(refusal) => Err(refusal.into_response().into_response()),
        }
    }
}

/// The route of a request, and the parameters in its path.
pub(crate) async fn place(parts: &mut Parts) -> (Arc<str>, Params) {
    let path = match parts.extensions.get::<MatchedPath>() {
        Some(path) => path.as_str().into(),
        None => parts.uri.path().into(),
    };
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let named = |(name, value): (&str, &str)| (name.into(), value.to_owned());
    (path, params.map(|params| params.iter().map(named).collect()).unwrap_or_default())
}

/// The target of a request, of which nested routers have cut off what they have matched.
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    parts.extensions.get().map_or(&parts.uri, |OriginalUri(uri)| uri)
}

pub(crate) fn connect_info(parts: &Parts) -> Option<SocketAddr> {
    parts.extensions.get().map(|ConnectInfo(peer)| *peer)
}
