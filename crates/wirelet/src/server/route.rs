//! A WebSocket route: who serves its connections, and what holds for them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use wirelet_proto::{Config, Delivery, Keepalive, Limits};

use super::context::Context;
use super::origin::Origins;
use super::router::BoxFuture;
use crate::connection::driver::{Handler as HandlerFuture, judged};
use crate::deflate::Compression;
use crate::{Outcome, WebSocket};

type WsHandler = dyn Fn(WebSocket, Context) -> HandlerFuture + Send + Sync;
pub(crate) type Gate = dyn Fn(Context) -> BoxFuture<Verdict> + Send + Sync;

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
    pub fn gate<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        self.gate = Some(Arc::new(move |context| Box::pin(decide(context))));
        self
    }

    pub(crate) fn configure(&mut self, server: &Arc<Config>) {
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

impl std::fmt::Debug for Ws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ws")
            .field("subprotocols", &self.subprotocols)
            .field("origins", &self.origins)
            .finish()
    }
}
