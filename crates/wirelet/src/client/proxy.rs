//! Proxies between a client and its server: HTTP CONNECT and SOCKS5, chosen by the program or by the environment.

use std::net::IpAddr;
use std::{fmt, io};

use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_socks::tcp::Socks5Stream;
use wirelet_proto::handshake::ResponseHead;

use super::target::{Target, basic, percent_decoded};
use crate::transport::Transport;

/// The longest answer of a proxy to CONNECT, bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// A proxy: for [`Builder::proxy`](super::Builder::proxy).
///
/// Its credentials are sent to the proxy alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) kind: Kind,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Decoded.
    credentials: Option<(String, String)>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5; the client looks up the server's name.
    Socks5,
    /// SOCKS5; the proxy looks up the server's name.
    Socks5Host,
}

/// What is wrong with the URL of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The scheme is not one of `http`, `https`, `socks5` and `socks5h`.
    Scheme,
    /// Host or port are missing or malformed.
    Host,
    /// Name or password have no UTF-8, or control characters; with SOCKS5 they have from 1 to 255 bytes (RFC 1929).
    Credentials,
}

/// Why a proxy has made no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// It answered CONNECT with this HTTP status: 407 where it wants other credentials.
    Status(u16),
    /// Its answer to CONNECT is none.
    Answer,
    /// The connection to it broke; a proxy that ends it without an answer is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    Io(io::Error),
    /// SOCKS5 has failed: what the proxy said.
    Socks(String),
}

/// Which proxy is used for what.
#[derive(Clone, Debug, Default)]
pub(super) enum Proxies {
    #[default]
    None,
    /// One for all.
    One(Proxy),
    /// As the environment says.
    Environment(Box<Environment>),
    /// What the program or the environment says is no URL of a proxy.
    Wrong(ProxyUrlError),
}

/// What the environment says about proxies.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    exceptions: Exceptions,
}

/// Servers that are reached without a proxy.
#[derive(Clone, Debug, Default)]
struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug)]
enum Exception {
    All,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// A name and all below it, without the dot in front.
    Name(String, Option<u16>),
}

impl Proxy {
    /// A proxy by its URL: `[scheme://][user[:password]@]host[:port]`. `http`, which is the default, and `https` are HTTP CONNECT (RFC
    /// 9110 9.3.6), without and with TLS; `socks5` and `socks5h` are SOCKS5 (RFC 1928), where the client or the proxy looks
    /// up the server's name. Ports by default: 80, 443 and 1080. Name and password are percent-encoded.
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (kind, default) = match &*scheme.to_ascii_lowercase() {
            "http" => (Kind::Http, 80),
            "https" => (Kind::Https, 443),
            "socks5" => (Kind::Socks5, 1080),
            "socks5h" => (Kind::Socks5Host, 1080),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        // The port's default is not the one that the scheme `ws` has.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let (target, _) = Target::parse(&format!("ws://{host}")).map_err(|_| ProxyUrlError::Host)?;
        let port = if has_port { target.port } else { default };
        let credentials = userinfo.map(|userinfo| credentials(userinfo, kind)).transpose()?;
        Ok(Self { kind, host: target.host, port, credentials })
    }

    /// Asks the proxy, over a connection to it, for one to the server.
    pub(super) async fn tunnel(
        &self,
        transport: Transport,
        target: &Target,
        looked_up: Option<IpAddr>,
    ) -> Result<Transport, ProxyError> {
        match self.kind {
            Kind::Http | Kind::Https => self.connect(transport, target).await,
            Kind::Socks5 | Kind::Socks5Host => self.socks5(transport, target, looked_up).await,
        }
    }

    /// RFC 9110 9.3.6.
    async fn connect(&self, mut transport: Transport, target: &Target) -> Result<Transport, ProxyError> {
        let host = &target.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let port = target.port;
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some((user, password)) = &self.credentials {
            let value = basic(user.as_bytes(), password.as_bytes());
            request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
        }
        request.push_str("\r\n");
        transport.write_all(request.as_bytes()).await?;
        transport.flush().await?;
        let mut head = Vec::new();
        let end = loop {
            if transport.read_buf(&mut head).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if head.len() > LONGEST_HEAD {
                return Err(ProxyError::Answer);
            }
        };
        match ResponseHead::parse(&head[..end]).map(|head| head.status()) {
            // Nobody has said anything to the server yet, so that nothing can have come from it.
            Ok(200..=299) if end == head.len() => Ok(transport),
            Ok(200..=299) | Err(_) => Err(ProxyError::Answer),
            Ok(status) => Err(ProxyError::Status(status)),
        }
    }

    async fn socks5(
        &self,
        transport: Transport,
        target: &Target,
        looked_up: Option<IpAddr>,
    ) -> Result<Transport, ProxyError> {
        let host = looked_up.map_or_else(|| target.host.clone(), |address| address.to_string());
        let place = (host.as_str(), target.port);
        let connected = match &self.credentials {
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(transport, place, user, password).await
            }
            None => Socks5Stream::connect_with_socket(transport, place).await,
        };
        connected.map(Socks5Stream::into_inner).map_err(|error| match error {
            tokio_socks::Error::Io(error) => ProxyError::Io(error),
            error => ProxyError::Socks(error.to_string()),
        })
    }
}

/// Name and password, decoded.
fn credentials(userinfo: &str, kind: Kind) -> Result<(String, String), ProxyUrlError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text: &str| {
        let text = String::from_utf8(percent_decoded(text)).ok();
        text.filter(|text| !text.contains(char::is_control)).ok_or(ProxyUrlError::Credentials)
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    // RFC 1929 2: both have from 1 to 255 bytes.
    let is_socks = matches!(kind, Kind::Socks5 | Kind::Socks5Host);
    if is_socks && ![&user, &password].iter().all(|text| (1..=255).contains(&text.len())) {
        return Err(ProxyUrlError::Credentials);
    }
    Ok((user, password))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its password.
        let Self { kind, host, port, credentials } = self;
        let user = credentials.as_ref().map(|(user, _)| user);
        f.debug_struct("Proxy")
            .field("kind", kind)
            .field("host", host)
            .field("port", port)
            .field("user", &user)
            .finish()
    }
}

impl Proxies {
    /// As the environment says, which `variable` tells.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        match Environment::read(variable) {
            Ok(environment) => Self::Environment(Box::new(environment)),
            Err(error) => Self::Wrong(error),
        }
    }

    /// The proxy for `target`, if there is one.
    pub(super) fn of(&self, target: &Target) -> Result<Option<&Proxy>, ProxyUrlError> {
        match self {
            Self::None => Ok(None),
            Self::One(proxy) => Ok(Some(proxy)),
            Self::Wrong(error) => Err(*error),
            Self::Environment(environment) => Ok(environment.of(target)),
        }
    }
}

impl Environment {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyUrlError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // A CGI program gets the header `Proxy` of a request as HTTP_PROXY (CVE-2016-5385): it is anybody's.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let either = |name: &str| {
            let capitals = name.to_ascii_uppercase();
            let is_believed = !(is_cgi && capitals == "HTTP_PROXY");
            set(name).or_else(|| set(&capitals).filter(|_| is_believed))
        };
        // RFC 6455 4.1: SOCKS5 is preferred to a proxy for HTTPS, and that to one for HTTP.
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| either(name).map(|url| (*name, url)))
                .map(|(name, url)| match name {
                    "socks_proxy" if !url.contains("://") => Proxy::parse(&format!("socks5h://{url}")),
                    _ => Proxy::parse(&url),
                })
                .transpose()
        };
        let secure = first(&["wss_proxy", "socks_proxy", "https_proxy", "all_proxy"])?;
        let plain = first(&["ws_proxy", "socks_proxy", "https_proxy", "http_proxy", "all_proxy"])?;
        let exceptions = Exceptions::parse(&either("no_proxy").unwrap_or_default());
        Ok(Self { plain, secure, exceptions })
    }

    fn of(&self, target: &Target) -> Option<&Proxy> {
        if self.exceptions.hold(&target.host, target.port) {
            return None;
        }
        if target.secure { self.secure.as_ref() } else { self.plain.as_ref() }
    }
}

impl Exceptions {
    fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(Exception::parse).collect())
    }

    fn hold(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|exception| exception.holds(host, port))
    }
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Self::All;
        }
        if let Ok(network) = entry.parse() {
            return Self::Network(network);
        }
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if let Some(address) = bare(entry) {
            return Self::Address(address, None);
        }
        let (name, port) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(port))) => (name, Some(port)),
            _ => (entry, None),
        };
        match bare(name) {
            Some(address) => Self::Address(address, port),
            None => {
                let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
                Self::Name(name.trim_end_matches('.').to_ascii_lowercase(), port)
            }
        }
    }

    fn holds(&self, host: &str, port: u16) -> bool {
        let address = host.parse::<IpAddr>().ok();
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(excepted, at) => {
                address == Some(*excepted) && at.is_none_or(|excepted| excepted == port)
            }
            Self::Name(name, at) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let is_below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|front| front.is_empty() || front.ends_with('.'));
                is_below && at.is_none_or(|excepted| excepted == port)
            }
        }
    }
}

impl fmt::Display for ProxyUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the scheme is not one of http, https, socks5 and socks5h",
            Self::Host => "host or port are missing or malformed",
            Self::Credentials => "name and password cannot be sent",
        })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(407) => f.write_str("it wants other credentials (HTTP status 407)"),
            Self::Status(status) => write!(f, "it answered with HTTP status {status}"),
            Self::Answer => f.write_str("its answer to CONNECT is none"),
            Self::Io(error) => write!(f, "the connection to it broke: {error}"),
            Self::Socks(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::error::Error for ProxyUrlError {}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], url: &str) -> Result<Option<(Kind, String)>, ProxyUrlError> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let target = Target::parse(url).unwrap().0;
        let proxies = Proxies::from_environment(find);
        proxies.of(&target).map(|proxy| proxy.map(|proxy| (proxy.kind, proxy.host.clone())))
    }

    #[test]
    fn the_environment_names_a_proxy_by_scheme_and_preference() {
        let all = [
            ("ws_proxy", "one"),
            ("wss_proxy", "two"),
            ("socks_proxy", "three"),
            ("https_proxy", "http://four"),
            ("http_proxy", "five"),
            ("all_proxy", "socks5://six"),
        ];
        for (from, plain, secure) in [
            (0, "one", "two"),
            (2, "three", "three"),
            (3, "four", "four"),
            (4, "five", "six"),
            (5, "six", "six"),
        ] {
            let host = |url| chosen(&all[from..], url).unwrap().unwrap().1;
            assert_eq!((host("ws://x/"), host("wss://x/")), (plain.to_owned(), secure.to_owned()));
        }
        assert_eq!(chosen(&all[2..], "ws://x").unwrap().unwrap().0, Kind::Socks5Host);
        // An empty variable is none; small letters have precedence; capitals count too.
        let letters =
            [("https_proxy", ""), ("HTTPS_PROXY", "big"), ("http_proxy", "small"), ("HTTP_PROXY", "x")];
        assert_eq!(chosen(&letters, "wss://x").unwrap().unwrap().1, "big");
        assert_eq!(chosen(&letters[2..], "ws://x").unwrap().unwrap().1, "small");
        assert_eq!(chosen(&[], "ws://x"), Ok(None));
        assert_eq!(chosen(&[("http_proxy", "ftp://x")], "ws://x"), Err(ProxyUrlError::Scheme));
    }

    /// In a CGI program HTTP_PROXY is a header that the client of that program has sent.
    #[test]
    fn http_proxy_in_capitals_is_not_believed_in_a_cgi_program() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil")];
        assert_eq!(chosen(&cgi, "ws://x"), Ok(None));
        assert_eq!(chosen(&cgi[1..], "ws://x").unwrap().unwrap().1, "evil");
        for believed in [("http_proxy", "good"), ("ALL_PROXY", "good"), ("HTTPS_PROXY", "good")] {
            assert_eq!(chosen(&[cgi[0], cgi[1], believed], "ws://x").unwrap().unwrap().1, "good");
        }
    }

    #[test]
    fn exceptions_are_names_addresses_networks_and_ports() {
        let list = "example.com, .dotted.org *.star.net,10.0.0.0/8,192.0.2.7,[2001:db8::1]:81,fe80::/10,ported:8080,";
        let excepted = |url: &str| chosen(&[("http_proxy", "p"), ("NO_PROXY", list)], url).unwrap().is_none();
        for url in [
            "ws://example.com",
            "ws://EXAMPLE.com.",
            "ws://a.b.example.com:99",
            "ws://dotted.org",
            "ws://a.dotted.org",
            "ws://a.star.net",
            "ws://10.255.0.1",
            "ws://192.0.2.7:1",
            "ws://[2001:db8::1]:81",
            "ws://[fe80::2]",
            "ws://ported:8080",
        ] {
            assert!(excepted(url), "{url}");
        }
        for url in [
            "ws://notexample.com",
            "ws://com",
            "ws://11.0.0.1",
            "ws://192.0.2.70",
            "ws://[2001:db8::1]",
            "ws://ported",
            "ws://10.0.0.1.example.org",
        ] {
            assert!(!excepted(url), "{url}");
        }
        for url in ["ws://x", "ws://127.0.0.1", "ws://[::1]"] {
            assert_eq!(chosen(&[("http_proxy", "p"), ("no_proxy", "a,*")], url), Ok(None), "{url}");
        }
    }

    #[test]
    fn urls_of_proxies() {
        let parsed = |url: &str| Proxy::parse(url).map(|proxy| (proxy.kind, proxy.host.clone(), proxy.port));
        let is = |kind, host: &str, port| Ok((kind, host.to_owned(), port));
        assert_eq!(parsed("proxy"), is(Kind::Http, "proxy", 80));
        assert_eq!(parsed("proxy:3128"), is(Kind::Http, "proxy", 3128));
        assert_eq!(parsed("HTTPS://proxy/"), is(Kind::Https, "proxy", 443));
        assert_eq!(parsed("socks5://[::1]"), is(Kind::Socks5, "::1", 1080));
        assert_eq!(parsed("socks5h://u:p@[::1]:9"), is(Kind::Socks5Host, "::1", 9));
        for (url, error) in [
            ("socks4://x", ProxyUrlError::Scheme),
            ("http://", ProxyUrlError::Host),
            ("http://x:99999", ProxyUrlError::Host),
            ("http://x y", ProxyUrlError::Host),
            ("http://a%0d%0ab:c@x", ProxyUrlError::Credentials),
            ("http://%ff@x", ProxyUrlError::Credentials),
            ("socks5://user@x", ProxyUrlError::Credentials),
        ] {
            assert_eq!(parsed(url), Err(error), "{url}");
        }
        let proxy = Proxy::parse("http://us%40er:se%3Acret@x").unwrap();
        assert_eq!(proxy.credentials, Some(("us@er".to_owned(), "se:cret".to_owned())));
        assert!(!format!("{proxy:?}").contains("se:cret"));
    }
}
