//! What a client is asked to do.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use wirelet_proto::reconnect::ReconnectConfig;
use wirelet_proto::{Config, Delivery, Keepalive, Limits};

use super::attempt::Settings;
use super::connector::{Connector, SharedConnector};
use super::cookies::Cookies;
use super::dial::{Route, TcpKeepalive};
use super::error::ConnectError;
use super::event::{Reason, retry};
use super::handle::Client;
use super::prepare::{AttemptRequest, Hook};
use super::proxy::{Proxies, Proxy};
use super::queue::WhileAway;
use super::response::Response;
use super::secure::Secure;
use super::target::{Target, basic};
use super::upgrade::Request;
use crate::WebSocket;
use crate::deflate::Compression;
#[cfg(feature = "__tls")]
use crate::tls::client::Tls;
use crate::transport::Transport;

/// Sent as User-Agent unless the application has another one.
const USER_AGENT: &str = concat!("wirelet/", env!("CARGO_PKG_VERSION"));
/// Default of [`Builder::connect_timeout`].
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Decides whether to try again.
pub(super) type RetryIf = Box<dyn FnMut(&Reason) -> bool + Send>;

/// How to connect; made by [`Client::builder`].
///
/// [`connect_once`](Self::connect_once) makes one connection, [`connect`](Self::connect) a client that connects again
/// whenever it must.
#[must_use = "nothing happens before connect or connect_once"]
pub struct Builder {
    settings: Settings,
    pub(super) reconnect: ReconnectConfig,
    pub(super) retry_if: RetryIf,
    pub(super) delay: Option<Duration>,
    pub(super) while_away: WhileAway,
}

impl Builder {
    /// A client for `url`: `ws[s]://[user[:password]@]host[:port][/path][?query]`. The host may be an IPv6 address with a zone, as
    /// `[fe80::1%eth0]`, where the system has scopes. What is wrong with it is told by
    /// [`connect`](Self::connect) and [`connect_once`](Self::connect_once). User information becomes Basic
    /// authorization (RFC 7617).
    pub(super) fn new(url: &str) -> Self {
        let (target, authorization) = match Target::parse(url) {
            Ok((target, authorization)) => (Ok(target), authorization),
            Err(error) => (Err(error), None),
        };
        let request = Request { authorization, user_agent: Some(USER_AGENT.into()), ..Request::default() };
        let settings = Settings {
            target,
            request,
            route: Route::default(),
            prepare: None,
            cookies: None,
            secure: Secure::default(),
            connect_time: CONNECT_TIME,
            redirects: 0,
            config: Config::new(),
            compression: Compression::off(),
        };
        Self {
            settings,
            reconnect: ReconnectConfig::DEFAULT,
            retry_if: Box::new(retry::transient),
            delay: None,
            while_away: WhileAway::Wait,
        }
    }

    /// Adds a header to the request. Those that the handshake writes itself are refused when it is sent, as are
    /// control characters. `Authorization`, `Origin` and `User-Agent` take the place of what was set before.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.request.add(name.into(), value.into());
        self
    }

    /// The User-Agent header. Default: `wirelet/` and its version.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.settings.request.user_agent = Some(name.into());
        self
    }

    /// The Origin header. Default: none, since this is no browser.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.settings.request.origin = Some(origin.into());
        self
    }

    /// Offers a subprotocol, after those that were offered before, which are preferred.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.settings.request.subprotocols.push(name.into());
        self
    }

    /// Basic authorization (RFC 7617) by name and password, as user information in the URL does it.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.settings.request.authorization = Some(basic(user.as_bytes(), password.as_bytes()));
        self
    }

    /// Connects to these addresses, in this order, instead of asking for those of the URL's host. The request still
    /// names the host. A redirect to another host is looked up.
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.settings.route.addresses = addresses.into_iter().collect();
        self
    }

    /// Makes each connection by `connector` instead of by TCP: for tunnels, for other transports, for sockets with options that
    /// are not here. [`addresses`](Self::addresses) do not count then. The client sets no option of what it returns; a
    /// [`TcpStream`](tokio::net::TcpStream) is used without indirection, switch its Nagle algorithm off.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.settings.route.connector = Some(SharedConnector::new(connector));
        self
    }

    /// Connects to a Unix socket instead of to the URL's host, which the request still names. A redirect to another scheme, host or port
    /// is not followed.
    #[cfg(unix)]
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.route.unix = Some(path.into());
        self
    }

    /// Connects through a proxy. The URL's host is looked up by the proxy, except with `socks5`. Default: none. A connector and a
    /// Unix socket know no proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.settings.route.proxies = Proxies::One(proxy);
        self
    }

    /// Connects through the proxy that the environment names, read now. For `wss` that is the first of `wss_proxy`, `socks_proxy`, `https_proxy` and
    /// `all_proxy` that is set; for `ws` of `ws_proxy`, `socks_proxy`, `https_proxy`, `http_proxy` and `all_proxy` (RFC 6455 4.1); in
    /// small letters or, where that is not set, in capitals. `HTTP_PROXY` in capitals is ignored where `REQUEST_METHOD` is set, since a
    /// CGI program gets it from strangers. `no_proxy` lists exceptions: names, which are those below them too, addresses, networks, each
    /// except networks with a port or without, or `*`.
    pub fn proxy_from_environment(mut self) -> Self {
        self.settings.route.proxies = Proxies::from_environment(|name| std::env::var(name).ok());
        self
    }

    /// The address of this machine that TCP connections come from. Addresses of the server that are of the other family are not
    /// tried with it. Default: the system's choice.
    pub const fn source(mut self, address: IpAddr) -> Self {
        self.settings.route.source = Some(address);
        self
    }

    /// The network interface that TCP connections use, such as `eth0` (`SO_BINDTODEVICE`). Default: the system's choice.
    #[cfg(target_os = "linux")]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.settings.route.interface = Some(name.into());
        self
    }

    /// Keepalive of TCP: probes after `idle` without data, then each `interval`; after `count` without an answer the connection is lost. Where
    /// the system has no such setting for one of them its default counts. Default: off; the pings of
    /// [`keepalive`](Self::keepalive) see more, also a server that hangs.
    pub const fn tcp_keepalive(mut self, idle: Duration, interval: Duration, count: u32) -> Self {
        self.settings.route.keepalive = Some(TcpKeepalive { idle, interval, count });
        self
    }

    /// A hook before each attempt, and before each redirect is followed: it may fetch a fresh token, set headers, and choose another
    /// server. When it fails there is no attempt; whether there is another one is for [`retry_if`](Self::retry_if) to say. It may
    /// take as long as [`connect_timeout`](Self::connect_timeout), apart from the attempt itself.
    ///
    /// ```
    /// # async fn fresh_token() -> std::io::Result<String> { Ok("t".into()) }
    /// # use wirelet::client::{AttemptRequest, Client};
    /// let builder = Client::builder("wss://example.com/ws").prepare(|mut request: AttemptRequest| async move {
    ///     if !request.is_redirect() {
    ///         request.bearer(fresh_token().await?);
    ///     }
    ///     Ok(request)
    /// });
    /// ```
    pub fn prepare<F, P>(mut self, prepare: F) -> Self
    where
        F: Fn(AttemptRequest) -> P + Send + Sync + 'static,
        P: Future<Output = Result<AttemptRequest, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.settings.prepare = Some(Hook::new(prepare));
        self
    }

    /// Keeps the cookies that servers set, in their answers of every kind, and sends them over redirects and connections. Those that the
    /// program sets as a header stand before them. Default: cookies are not kept.
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.settings.cookies = Some(cookies);
        self
    }

    /// How TLS is spoken with `wss`. Default: the platform's roots are trusted, and no client certificate is shown.
    #[cfg(feature = "__tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.settings.secure = Secure::new(tls);
        self
    }

    /// How long looking up the name and connecting may take, all addresses together. Default: 10 s;
    /// [`Duration::MAX`]: for ever.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.settings.connect_time = time;
        self
    }

    /// How long the TLS handshake and the opening handshake may take together, once the connection stands. Default: 10 s; [`Duration::MAX`]: for ever.
    /// The same as [`Limits::handshake_time`].
    pub const fn handshake_timeout(mut self, time: Duration) -> Self {
        self.settings.config.limits.handshake_time = time;
        self
    }

    /// How many redirects (301, 302, 303, 307, 308) are followed. Default: 0, a redirect is a refusal with a
    /// [location](Response::location). They may lead to the schemes `ws`, `http`, `wss` and `https`, and never from TLS
    /// to none. Another host, port or scheme is sent no header of the program's, `Authorization`
    /// and `Cookie` among them, and shown no client certificate, not even after a redirect back; [`prepare`](Self::prepare) may set
    /// headers again.
    pub const fn redirects(mut self, most: u8) -> Self {
        self.settings.redirects = most;
        self
    }

    /// What the server may cost. [`Limits::queued`] bounds what waits for a connection too.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.settings.config.limits = limits;
        self
    }

    /// How a silent server is noticed. [`Keepalive::idle`] is a watchdog that every byte resets.
    pub const fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.settings.config.keepalive = keepalive;
        self
    }

    /// Whole messages, or pieces as they arrive.
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.settings.config.delivery = delivery;
        self
    }

    /// How messages are compressed, where the server agrees. Default: not at all.
    #[cfg(feature = "deflate")]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// How long to wait between attempts. For [`connect`](Self::connect).
    pub const fn reconnect(mut self, reconnect: ReconnectConfig) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Waits so long between attempts, without jitter, instead of a time that is drawn; a server's Retry-After may make it longer. For few
    /// clients: many would all come back at the same moment. [`Client::set_reconnect_delay`] changes it.
    pub const fn reconnect_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What happens to messages while there is no connection. For [`connect`](Self::connect). Default: they wait.
    pub const fn while_away(mut self, policy: WhileAway) -> Self {
        self.while_away = policy;
        self
    }

    /// Decides, each time that there is no connection any more, or none yet, whether to try again. For
    /// [`connect`](Self::connect). Default: [`retry::transient`]; others are beside it.
    pub fn retry_if(mut self, decide: impl FnMut(&Reason) -> bool + Send + 'static) -> Self {
        self.retry_if = Box::new(decide);
        self
    }

    /// Makes one connection: looks up the name, tries its addresses (the next one after 250 ms, or as soon as one has
    /// failed), and performs the opening handshake. Nagle's algorithm is off.
    ///
    /// # Errors
    /// [`ConnectError`], which says how far it came.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up and closes what it had opened; the builder can be used again.
    pub fn connect_once(
        &self,
    ) -> impl Future<Output = Result<(WebSocket, Response), ConnectError>> + Send + use<'_> {
        // Only the settings: the hook of `retry_if` cannot be shared between threads, so that a future that held the
        // builder could not be spawned.
        self.settings.connect(1, None)
    }

    /// Performs the opening handshake on `stream`, which stands already, and is connected to what the URL names. No redirect is
    /// followed, since it would need another stream.
    ///
    /// A [`TcpStream`](tokio::net::TcpStream) is used without indirection. Switch its Nagle algorithm off.
    ///
    /// # Errors
    /// [`ConnectError`], with [`Address::Stream`](super::Address::Stream), or the address of a `TcpStream`.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up and drops the stream; the builder can be used again.
    pub fn connect_on<S>(
        &self,
        stream: S,
    ) -> impl Future<Output = Result<(WebSocket, Response), ConnectError>> + Send + use<'_, S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.settings.connect_on(Transport::new(stream))
    }

    /// A client that connects, and connects again, until it is closed or
    /// [`retry_if`](Self::retry_if) or [`ReconnectConfig::max_attempts`] ends it. It lives in a task of its own.
    ///
    /// # Errors
    /// What no attempt could change: a malformed URL, `wss://` without TLS, a header that must not be sent.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect(self) -> Result<Client, ConnectError> {
        self.settings.check()?;
        Ok(Client::start(self))
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the request's credentials nor the hook.
        let Settings { target, route, config, .. } = &self.settings;
        f.debug_struct("Builder")
            .field("target", target)
            .field("route", route)
            .field("config", config)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}
