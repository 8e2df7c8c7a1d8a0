//! HTTP/1.1 as far as a device needs it: pages from flash, small answers made on the spot, and refusals with a body.

mod auth;
mod body;
mod events;
mod exchange;
mod file;
mod response;
mod transfer;

pub use auth::BasicAuth;
pub use events::{Event, Events};
pub use exchange::{Error, Exchange, Reply};
pub use file::File;
pub use response::Response;

pub(crate) use auth::basic;
pub(crate) use body::{Framing, framing};
pub(crate) use file::Answer;
pub(crate) use response::{Cursor, Head, assemble, fields, handshake_headers, refusal};
pub(crate) use transfer::{Begin, Transfer};

use core::net::SocketAddr;

use wirelet_proto::handshake::RequestHead;

/// A request with its whole body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub(crate) head: RequestHead<'r>,
    pub(crate) body: &'r [u8],
    /// The path of the route that it has come to.
    pub(crate) route: &'r str,
    pub(crate) peer: Option<SocketAddr>,
}

impl<'r> Request<'r> {
    /// The head: method, path, query and headers.
    pub const fn head(&self) -> &RequestHead<'r> {
        &self.head
    }

    /// The body, at most what the receive buffer has left behind the head.
    pub const fn body(&self) -> &'r [u8] {
        self.body
    }

    /// Who sends it, where the network stack can tell.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// What stands in the path where the route has `{name}`, not decoded: `7` for `led` on the route `/leds/{led}/ws`.
    pub fn path_parameter(&self, name: &str) -> Option<&'r str> {
        let mut parts = Parts { route: self.route, path: self.head.path() };
        loop {
            match parts.next()? {
                Some((found, value)) if found == name => return Some(value),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// The value of the first parameter of that name in the query, not decoded: `b` of `?a=b`.
    pub fn parameter(&self, name: &str) -> Option<&'r str> {
        parameter(self.head.query()?, name)
    }

    /// The value of the first cookie of that name.
    pub fn cookie(&self, name: &str) -> Option<&'r str> {
        let cookies = core::str::from_utf8(self.head.header("Cookie")?).ok()?;
        let pairs = cookies.split(';').filter_map(|pair| pair.trim_ascii().split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|pair| pair.1)
    }
}

/// The value of the first parameter of that name in a query or the body of a form, `b` of `a=b&c=d`, as it was sent:
/// [`PercentDecoded::form`](wirelet_proto::handshake::PercentDecoded::form) decodes it.
pub fn parameter<'t>(pairs: &'t str, name: &str) -> Option<&'t str> {
    let mut pairs = pairs.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|pair| pair.1)
}

/// Whether a path is one of a route's: the same, with anything but `/` for each `{name}`, and whatever it likes behind a final `*`.
pub(crate) fn matches(route: &str, path: &str) -> bool {
    let mut parts = Parts { route, path };
    loop {
        match parts.next() {
            Some(Some(_)) => {}
            Some(None) => return true,
            None => return false,
        }
    }
}

/// What is left to be compared of a route and a path.
struct Parts<'r, 'p> {
    route: &'r str,
    path: &'p str,
}

impl<'r, 'p> Parts<'r, 'p> {
    /// The next parameter with its value; inside, `None` at the end of both. `None` when they don't match.
    fn next(&mut self) -> Option<Option<(&'r str, &'p str)>> {
        let end = self.route.bytes().position(|byte| matches!(byte, b'{' | b'*'));
        let (same, rest) = self.route.split_at_checked(end.unwrap_or(self.route.len()))?;
        let path = self.path.strip_prefix(same)?;
        let close = match rest.as_bytes() {
            [] => return path.is_empty().then_some(None),
            [b'*'] => return Some(None),
            rest => rest.iter().position(|byte| *byte == b'}')?,
        };
        let len = path.bytes().position(|byte| byte == b'/').unwrap_or(path.len());
        let (value, path) = path.split_at_checked(len).filter(|_| len > 0)?;
        let name = rest.get(1..close)?;
        (self.route, self.path) = (rest.get(close.checked_add(1)?..)?, path);
        Some(Some((name, value)))
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// GET, and HEAD with it.
    pub const GET: Self = Self(1);
    /// POST.
    pub const POST: Self = Self(2);
    /// PUT.
    pub const PUT: Self = Self(4);
    /// DELETE.
    pub const DELETE: Self = Self(8);
    /// PATCH.
    pub const PATCH: Self = Self(16);
    /// OPTIONS: what a browser asks before a page of another origin may send certain requests (CORS).
    pub const OPTIONS: Self = Self(32);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::GET, "GET"),
        (Self::GET, "HEAD"),
        (Self::POST, "POST"),
        (Self::PUT, "PUT"),
        (Self::DELETE, "DELETE"),
        (Self::PATCH, "PATCH"),
        (Self::OPTIONS, "OPTIONS"),
    ];

    /// These and those.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const NONE: Self = Self(0);

    /// Whether a method, as it stands in a request, is among them.
    pub fn contain(self, method: &str) -> bool {
        self.names().any(|name| name == method)
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(method, _)| method.0 & self.0 != 0).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_cookies_are_found_by_name() {
        let bytes = b"GET /set?led=on&level=&led=off&x HTTP/1.1\r\nCookie: a=1; session=abc=; b=2\r\n\r\n";
        let head = RequestHead::parse(bytes).unwrap();
        let request = Request { head, body: &[], route: "/set", peer: None };
        assert_eq!(request.parameter("led"), Some("on"));
        assert_eq!(request.parameter("level"), Some(""));
        assert_eq!(request.parameter("x"), Some(""));
        assert_eq!(request.parameter("le"), None);
        assert_eq!(request.cookie("session"), Some("abc="));
        assert_eq!(request.cookie("c"), None);
    }

    #[test]
    fn routes_match_paths_and_name_their_parts() {
        for (route, path, expected) in [
            ("/", "/", Some(None)),
            ("/set", "/set", Some(None)),
            ("/set", "/sets", None),
            ("/set", "/Set", None),
            ("/docs/*", "/docs/a/b", Some(None)),
            ("/docs/*", "/docs/", Some(None)),
            ("/docs/*", "/docs", None),
            ("/leds/{led}", "/leds/7", Some(Some("7"))),
            ("/leds/{led}", "/leds/", None),
            ("/leds/{led}", "/leds/7/8", None),
            ("/leds/{led}/ws", "/leds/7/ws", Some(Some("7"))),
            ("/leds/{led}/ws", "/leds/7/w", None),
            ("/{room}/{led}", "/kitchen/7", Some(Some("7"))),
            ("/{room}/{led}/*", "/kitchen/7/a/b", Some(Some("7"))),
            ("/{led}.json", "/7.json", None),
            ("/{led", "/7", None),
        ] {
            assert_eq!(matches(route, path), expected.is_some(), "{route} {path}");
            let text = std::format!("GET {path}?x HTTP/1.1\r\n\r\n");
            let head = RequestHead::parse(text.as_bytes()).unwrap();
            let request = Request { head, body: &[], route, peer: None };
            if let Some(parameter) = expected {
                assert_eq!(request.path_parameter("led"), parameter, "{route} {path}");
                assert_eq!(request.path_parameter("le"), None);
            }
        }
    }

    #[test]
    fn get_brings_head_with_it() {
        assert!(Methods::GET.contain("HEAD") && Methods::GET.contain("GET"));
        assert!(!Methods::GET.contain("get") && !Methods::POST.contain("GET"));
        let both = Methods::POST.and(Methods::DELETE);
        assert_eq!(both.names().collect::<std::vec::Vec<_>>(), ["POST", "DELETE"]);
    }
}
