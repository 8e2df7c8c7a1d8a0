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

/// Serves the connections of a route.
type WsHandler = dyn Fn(WebSocket, Context) -> HandlerFuture + Send + Sync;
/// Serves one connection.
pub(crate) type Begin = Box<dyn FnOnce(WebSocket, Context) -> HandlerFuture + Send>;
/// Decides on a request, and who serves its connection.
pub(crate) type Gate = dyn Fn(Context) -> BoxFuture<Verdict<Begin>> + Send + Sync;

/// A WebSocket route: see [`ws`].
pub struct Ws {
    pub(crate) serves: Serves,
    pub(crate) terms: Terms,
}

/// Who serves the connections of a route.
pub(crate) enum Serves {
    /// A handler, whoever connects.
    Anyone(Arc<WsHandler>),
    /// What a gate answers.
    Admitted(Arc<Gate>),
}

/// What holds for the connections of a route, whoever serves them.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) subprotocols: Vec<Arc<str>>,
    pub(crate) origins: Origins,
    pub(crate) compression: Option<Compression>,
    pub(crate) overrides: Overrides,
    pub(crate) config: Option<Arc<Config>>,
}

/// What a route has instead of the server's configuration.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) limits: Option<Limits>,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) delivery: Option<Delivery>,
}

/// What becomes of a request to open a connection. `T` is what the gate hands to the handler.
#[derive(Debug)]
pub enum Verdict<T = ()> {
    /// It is accepted.
    Accept {
        /// One of [`Context::common_subprotocols`], of which the route lists every one; `None`: the first of them, if there
        /// is one. Another one cannot be sent, since the client would have to fail the connection (RFC 6455 4.1): the
        /// request is answered with 500, and the mistake is logged.
        subprotocol: Option<String>,
        /// Additional header fields of the response.
        headers: Vec<(String, String)>,
        /// What the handler gets, of [`ws_gated`].
        value: T,
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
        Self::accept_with(())
    }
}

impl<T> Verdict<T> {
    /// Accepted: `value` is for the handler.
    pub const fn accept_with(value: T) -> Self {
        Self::Accept { subprotocol: None, headers: Vec::new(), value }
    }

    /// Refused with `status` and a text.
    pub fn reject(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self::Reject { status, headers, body: body.into() }
    }

    fn map<U>(self, make: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Accept { subprotocol, headers, value } => {
                Verdict::Accept { subprotocol, headers, value: make(value) }
            }
            Self::Reject { status, headers, body } => Verdict::Reject { status, headers, body },
        }
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
    let handler = Arc::new(move |ws, context| judged(handler(ws, context)));
    Ws { serves: Serves::Anyone(handler), terms: Terms::default() }
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

/// [`ws`] whose handler gets what `gate` has found out: who the user is, say, looked up once.
///
/// `gate` decides as that of [`Ws::gate`] does.
///
/// ```
/// use wirelet::server::{Context, Router, Verdict, ws_gated};
///
/// struct User(String);
///
/// async fn known(context: Context) -> Verdict<User> {
///     match context.header("authorization") {
///         Some(token) => Verdict::accept_with(User(token.to_owned())),
///         None => Verdict::reject(401, "who are you?"),
///     }
/// }
///
/// let router = Router::new().ws("/ws", ws_gated(known, |mut ws, _context, user: User| async move {
///     ws.send(format!("hello, {}", user.0)).await
/// }));
/// ```
pub fn ws_gated<T, G, Gated, F, Fut>(gate: G, handler: F) -> Ws
where
    T: Send + 'static,
    G: Fn(Context) -> Gated + Send + Sync + 'static,
    Gated: Future<Output = Verdict<T>> + Send + 'static,
    F: Fn(WebSocket, Context, T) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    let handler = Arc::new(handler);
    let gate: Arc<Gate> = Arc::new(move |context| {
        let (verdict, handler) = (gate(context), Arc::clone(&handler));
        let begin = |value| -> Begin { Box::new(move |ws, context| judged(handler(ws, context, value))) };
        Box::pin(async move { verdict.await.map(begin) })
    });
    Ws { serves: Serves::Admitted(gate), terms: Terms::default() }
}

/// What serves one of `handler`'s connections.
pub(crate) fn begin(handler: &Arc<WsHandler>) -> Begin {
    let handler = Arc::clone(handler);
    Box::new(move |ws, context| handler(ws, context))
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
        self.terms.subprotocols = names.into_iter().map(|name| name.as_ref().into()).collect();
        self
    }

    /// Limits instead of the server's. What holds before the route is known stays the server's.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.terms.overrides.limits = Some(limits);
        self
    }

    /// Keepalive instead of the server's.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.terms.overrides.keepalive = Some(keepalive);
        self
    }

    /// Messages or chunks, instead of the server's choice.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.terms.overrides.delivery = Some(delivery);
        self
    }

    /// How messages are compressed, instead of the server's choice.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.terms.compression = Some(compression);
        self
    }

    /// Which pages may connect. Default: those of the same origin.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.terms.origins = origins;
        self
    }

    /// Decides on each request before it is answered, when all other checks have passed. It has what is left of
    /// [`Limits::handshake_time`], which a request on a kept HTTP connection has to itself, and ends when the server stops:
    /// its future is dropped then, and the request is answered with 503. A panic is answered with 500.
    ///
    /// Of several gates the one that was added last decides first; the route accepts what all of them accept. To hand something to the
    /// handler: [`ws_gated`].
    #[must_use]
    pub fn gate<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        let gate: Arc<Gate> = match self.serves {
            Serves::Anyone(handler) => Arc::new(move |context| {
                let (verdict, handler) = (decide(context), Arc::clone(&handler));
                Box::pin(async move { verdict.await.map(|()| begin(&handler)) })
            }),
            Serves::Admitted(next) => Arc::new(move |context| {
                let (verdict, next) = (decide(context.clone()), Arc::clone(&next));
                Box::pin(async move { both(verdict.await, || next(context)).await })
            }),
        };
        self.serves = Serves::Admitted(gate);
        self
    }
}

/// What two gates say, one after the other.
async fn both(first: Verdict, next: impl FnOnce() -> BoxFuture<Verdict<Begin>> + Send) -> Verdict<Begin> {
    let (chosen, additional) = match first {
        Verdict::Accept { subprotocol, headers, .. } => (subprotocol, headers),
        Verdict::Reject { status, headers, body } => return Verdict::Reject { status, headers, body },
    };
    let mut verdict = next().await;
    if let Verdict::Accept { subprotocol, headers, .. } = &mut verdict {
        *subprotocol = subprotocol.take().or(chosen);
        headers.extend(additional);
    }
    verdict
}

impl Terms {
    /// Takes from the server's configuration what the route does not have.
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
            .field("subprotocols", &self.terms.subprotocols)
            .field("origins", &self.terms.origins)
            .finish()
    }
}
