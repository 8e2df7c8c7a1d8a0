//! The table of routes.

use wirelet_proto::Config;
use wirelet_proto::handshake::{
    HandshakeError, OriginPattern, PatternError, Rejection, RequestHead, UpgradeRequest,
};

use super::responder::{Plan, Responder, ask, begin};
use crate::context::{Room, room_for};
use crate::handler::Handler;
use crate::http::{BasicAuth, Cursor, File, Methods, Request, Response, matches};
use crate::table::Overflow;

/// What answers at a path.
#[derive(Clone, Copy)]
pub struct Route<'c> {
    path: &'c str,
    name: &'c str,
    pub(crate) target: Target<'c>,
    auth: Option<BasicAuth<'c>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Target<'c> {
    File(File<'c>),
    Call(Methods, &'c (dyn Respond + Sync)),
    Pull(Methods, Begins),
    WebSocket(&'c WebSocketRoute<'c>),
}

/// How an exchange begins that an async function answers. (It is reached through such a route alone: where there is none, it is not
/// linked.)
#[derive(Clone, Copy)]
pub(crate) struct Begins {
    pub(super) begin:
        for<'x, 'c, 'r, 'q, 'h> fn(Responder<'x, 'c, 'r>, &'q Request<'h>, u16, u64) -> Plan<'c>,
    /// The largest body, bytes.
    pub(super) most: u64,
}

/// Makes the response to a request: a few hundred bytes of JSON, a setting that is changed.
///
/// Any `Fn(&Request, &mut Response)` does.
pub trait Respond {
    /// Writes the response. What does not fit the transmit buffer becomes a 500.
    fn respond(&self, request: &Request<'_>, response: &mut Response<'_>);
}

impl<F: Fn(&Request<'_>, &mut Response<'_>)> Respond for F {
    fn respond(&self, request: &Request<'_>, response: &mut Response<'_>) {
        self(request, response);
    }
}

/// A path that opens WebSockets.
#[derive(Clone, Copy)]
pub struct WebSocketRoute<'c> {
    /// What is done with them. `None`: they are for the async function of [`Worker::run_with`](super::Worker::run_with); without one
    /// they are refused with 503.
    pub handler: Option<&'c (dyn Handler + Sync)>,
    /// Limits, keepalive and the way of delivery.
    pub config: &'c Config,
    /// The subprotocols that are spoken here, the preferred one first.
    pub subprotocols: &'c [&'c str],
    /// Which pages may open it.
    pub origin: OriginPolicy<'c>,
    /// Asked before the 101, which it may change: an `Err` is answered with its status and body.
    pub upgrade: Option<Upgrade<'c>>,
    /// What happens when a peer is slower than those who send to it.
    pub overflow: Overflow,
    /// Whether messages are compressed where the peer and the server's memory allow it
    /// ([`Server::with_compression`](crate::Server::with_compression)). Default: yes.
    pub compress: bool,
}

/// Decides whether a WebSocket is opened, and how.
///
/// ```
/// use wirelet_embedded::proto::handshake::Rejection;
/// use wirelet_embedded::server::{Acceptance, Opening, Upgrade, WebSocketRoute};
/// # use wirelet_embedded::proto::Config;
///
/// struct User(u8);
///
/// /// For `Server::with_context(&mut [None::<User>; CONNECTIONS])`.
/// fn decide(request: &Opening<'_>, answer: &mut Acceptance<'_>) -> Result<(), Rejection<'static>> {
///     let user = match request.parameter("token").or(request.cookie("token")) {
///         Some("sesame") => User(7),
///         _ => return Err(Rejection::new(401)),
///     };
///     answer.hand(user);
///     answer.header("X-Device", "kitchen");
///     Ok(())
/// }
/// # static CONFIG: Config = Config::new();
/// static ROUTE: WebSocketRoute<'static> =
///     WebSocketRoute { upgrade: Some(Upgrade::new(&decide)), ..WebSocketRoute::pull(&CONFIG) };
/// ```
#[derive(Clone, Copy)]
pub struct Upgrade<'c> {
    pub(super) decide: &'c Decide<'c>,
    pub(super) ask: Ask,
}

type Decide<'c> = dyn Fn(&Opening<'_>, &mut Acceptance<'_>) -> Result<(), Rejection<'static>> + Sync + 'c;
type Ask = for<'x, 'c, 'r, 'o> fn(
    Responder<'x, 'c, 'r>,
    Upgrade<'c>,
    &Opening<'o>,
    u16,
    &'c WebSocketRoute<'c>,
    Option<u16>,
) -> Plan<'c>;

impl<'c> Upgrade<'c> {
    /// A hook that says `Ok`, or how the request is refused.
    pub const fn new(
        decide: &'c (dyn Fn(&Opening<'_>, &mut Acceptance<'_>) -> Result<(), Rejection<'static>> + Sync),
    ) -> Self {
        Self { decide, ask }
    }
}

impl core::fmt::Debug for Upgrade<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// A request for a WebSocket, as an [`Upgrade`] sees it: all that is to be known of a
/// [`Request`] (path parameters, query, cookies, headers, the peer's address), and what the opening handshake says.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'r> {
    pub(crate) request: Request<'r>,
    pub(crate) handshake: &'r UpgradeRequest<'r>,
}

impl<'r> Opening<'r> {
    /// The opening handshake: origin, host, and what the client offers.
    pub const fn handshake(&self) -> &'r UpgradeRequest<'r> {
        self.handshake
    }
}

impl<'r> core::ops::Deref for Opening<'r> {
    type Target = Request<'r>;

    fn deref(&self) -> &Request<'r> {
        &self.request
    }
}

/// The 101 that an [`Upgrade`] may change.
pub struct Acceptance<'a> {
    pub(crate) offered: &'a UpgradeRequest<'a>,
    pub(crate) supported: &'a [&'a str],
    pub(crate) subprotocol: Option<u16>,
    pub(crate) headers: Cursor<'a>,
    pub(crate) invalid: bool,
    pub(crate) context: Option<&'a mut dyn Room>,
}

impl Acceptance<'_> {
    /// Chooses the subprotocol, in place of the first of the route's that the client offers: one of
    /// [`WebSocketRoute::subprotocols`], or none. Answers whether that can be: it is the route's, and offered.
    pub fn subprotocol(&mut self, name: Option<&str>) -> bool {
        let at = name.and_then(|name| self.supported.iter().position(|supported| *supported == name));
        let chosen = at.and_then(|at| u16::try_from(at).ok());
        let offered = name.is_none_or(|name| self.offered.subprotocols().any(|offered| offered == name));
        let can_be = offered && chosen.is_some() == name.is_some();
        if can_be {
            self.subprotocol = chosen;
        }
        can_be
    }

    /// Adds a header, eight of them at most. With one that must not be sent, or that finds no room in half of the transmit
    /// buffer, the answer is a 500.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.invalid |= !self.headers.field(name, value);
        self
    }

    /// Hands a value to the handler, which finds it by [`Peer::context`](crate::Peer::context) or
    /// [`WebSocket::context`](crate::WebSocket::context). Answers whether there is room for one of its type: memory of
    /// [`Server::with_context`](crate::Server::with_context).
    pub fn hand<T: Send + 'static>(&mut self, value: T) -> bool {
        let room = self.context.as_deref_mut().and_then(room_for::<T>);
        room.is_some_and(|room| {
            *room = Some(value);
            true
        })
    }
}

impl core::fmt::Debug for Acceptance<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Acceptance").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}

/// Which pages may open a WebSocket. Browsers name the page's origin; other programs usually send none, and may send
/// anything (RFC 6455 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginPolicy<'c> {
    /// Pages of this host, and requests without Origin. Others are answered 403.
    Same,
    /// Pages of these origins, each an [`OriginPattern`] (`https://example.com`, `https://*.example.com`, `http://localhost:*`), and
    /// requests without Origin. See [`check`](Self::check).
    Listed(&'c [&'c str]),
    /// All pages, whatever the request says of them.
    Any,
}

impl<'c> OriginPolicy<'c> {
    /// Looks for an entry of the list that no page would match. Call it where the program starts: the server can't tell anybody.
    ///
    /// # Errors
    /// The first one, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'c str, PatternError)> {
        let Self::Listed(list) = self else { return Ok(()) };
        list.iter().try_for_each(|one| OriginPattern::parse(one).map(drop).map_err(|error| (*one, error)))
    }

    /// Whether the page may connect.
    ///
    /// # Errors
    /// The Origin header is none, and would have to be looked at.
    pub(crate) fn allows(&self, request: &UpgradeRequest<'_>) -> Result<bool, HandshakeError> {
        let list = match self {
            Self::Any => return Ok(true),
            Self::Same => &[][..],
            Self::Listed(list) => list,
        };
        let Some(origin) = request.origin()? else { return Ok(true) };
        let listed = |one: &&str| OriginPattern::parse(one).is_ok_and(|pattern| pattern.matches(origin));
        Ok((*self == Self::Same && request.is_same_origin()) || list.iter().any(listed))
    }
}

impl<'c> WebSocketRoute<'c> {
    /// WebSockets for pages of the same origin, without subprotocols, whose handler is called.
    pub const fn new(handler: &'c (dyn Handler + Sync), config: &'c Config) -> Self {
        Self { handler: Some(handler), ..Self::pull(config) }
    }

    /// The same for the async function of [`Worker::run_with`](super::Worker::run_with).
    pub const fn pull(config: &'c Config) -> Self {
        Self {
            handler: None,
            config,
            subprotocols: &[],
            origin: OriginPolicy::Same,
            upgrade: None,
            overflow: Overflow::Refuse,
            compress: true,
        }
    }
}

impl<'c> Route<'c> {
    /// A file in flash, for GET and HEAD. `path` is exact, or with a trailing `*` the beginning of paths. `{name}` in it stands for
    /// anything up to the next `/`, but not for nothing ([`Request::path_parameter`]).
    pub const fn file(path: &'c str, file: File<'c>) -> Self {
        Self { path, name: path, target: Target::File(file), auth: None }
    }

    /// A response made on the spot. Paths as in [`file`](Self::file).
    pub const fn call(path: &'c str, methods: Methods, respond: &'c (dyn Respond + Sync)) -> Self {
        Self { path, name: path, target: Target::Call(methods, respond), auth: None }
    }

    /// Requests for the async function of [`Worker::run_http_with`](super::Worker::run_http_with), with bodies of up to 64 KiB
    /// ([`with_body`](Self::with_body)). Without one they are refused with 503. Paths as in [`file`](Self::file).
    pub const fn pull(path: &'c str, methods: Methods) -> Self {
        let begins = Begins { begin, most: 64 << 10 };
        Self { path, name: path, target: Target::Pull(methods, begins), auth: None }
    }

    /// How large the body of a request for an async function may be, bytes. A larger one gets 413. It passes through the receive
    /// buffer block by block, and takes no memory for its size.
    pub const fn with_body(mut self, most: u64) -> Self {
        if let Target::Pull(_, begins) = &mut self.target {
            begins.most = most;
        }
        self
    }

    /// WebSockets. Paths as in [`file`](Self::file).
    pub const fn websocket(path: &'c str, route: &'c WebSocketRoute<'c>) -> Self {
        Self { path, name: path, target: Target::WebSocket(route), auth: None }
    }

    /// Only for who knows the password.
    pub const fn with_auth(mut self, auth: BasicAuth<'c>) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Another name than its path, by which tasks and async functions know the WebSockets that come through it.
    pub const fn named(mut self, name: &'c str) -> Self {
        self.name = name;
        self
    }

    /// Its name: its path, if it was given none.
    pub const fn name(&self) -> &'c str {
        self.name
    }

    /// The path as it stands in the table.
    pub const fn path(&self) -> &'c str {
        self.path
    }

    /// A subprotocol of its WebSockets, by its position.
    pub(crate) fn subprotocol(&self, at: u16) -> Option<&'c str> {
        match self.target {
            Target::WebSocket(route) => route.subprotocols.get(usize::from(at)).copied(),
            _ => None,
        }
    }

    pub(crate) const fn auth(&self) -> Option<&BasicAuth<'c>> {
        self.auth.as_ref()
    }

    pub(crate) fn methods(&self) -> Methods {
        match self.target {
            Target::File(_) | Target::WebSocket(_) => Methods::GET,
            Target::Call(methods, _) | Target::Pull(methods, _) => methods,
        }
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        matches(self.path, path)
    }
}

impl core::fmt::Debug for Route<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Route").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the table says about a path and a method.
#[derive(Debug)]
pub(crate) enum Found<'r, 'c> {
    Route(u16, &'r Route<'c>),
    /// The path is there, for these methods.
    Methods(Methods),
    Nothing,
}

/// The first route that matches.
pub(crate) fn find<'r, 'c>(routes: &'r [Route<'c>], path: &str, method: &str) -> Found<'r, 'c> {
    let mut allowed = Methods::NONE;
    for (at, route) in (0..).zip(routes).filter(|(_, route)| route.matches(path)) {
        if route.methods().contain(method) {
            return Found::Route(at, route);
        }
        allowed = allowed.and(route.methods());
    }
    if allowed == Methods::NONE { Found::Nothing } else { Found::Methods(allowed) }
}

/// Whether a request is for an async function.
pub(crate) fn is_pulled(routes: &[Route<'_>], head: &RequestHead<'_>) -> bool {
    let found = find(routes, head.path(), head.method());
    matches!(found, Found::Route(_, route) if matches!(route.target, Target::Pull(..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File<'_> = File::new(b"", "text/plain");

    #[test]
    fn the_first_route_whose_path_and_method_match_answers() {
        let respond = |_: &Request<'_>, _: &mut Response<'_>| {};
        let routes = [
            Route::file("/", FILE),
            Route::file("/set", FILE),
            Route::call("/set", Methods::POST, &respond),
            Route::file("/docs/*", FILE),
        ];
        let at = |path, method| match find(&routes, path, method) {
            Found::Route(at, _) => Ok(at),
            Found::Methods(methods) => Err(methods.names().count()),
            Found::Nothing => Err(0),
        };
        assert_eq!(at("/", "HEAD"), Ok(0));
        assert_eq!(at("/set", "GET"), Ok(1));
        assert_eq!(at("/set", "POST"), Ok(2));
        assert_eq!(at("/set", "PUT"), Err(3));
        assert_eq!(at("/docs/a/b", "GET"), Ok(3));
        assert_eq!(at("/docs/", "GET"), Ok(3));
        assert_eq!(at("/docs", "GET"), Err(0));
        assert_eq!(at("/Set", "GET"), Err(0));
    }
}
