//! Cookies of servers (RFC 6265), kept over redirects and connections.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cookie::Cookie;
use cookie::time::OffsetDateTime;
use http::HeaderMap;
use wirelet_proto::handshake::UriError;

use super::target::Target;

/// Cookies of one server, as many as RFC 6265 6.1 asks for at the least.
const MOST_OF_A_SERVER: usize = 50;
/// Cookies in all.
const MOST: usize = 1_000;
/// The longest name and value together, bytes (RFC 6265 6.1).
const LONGEST: usize = 4_096;

/// Where a client keeps cookies: for [`Builder::cookies`](super::Builder::cookies). Clones share them.
///
/// A cookie goes back to the host and port that have set it, and nowhere else: `Domain` is ignored. `Path`, `Secure`, `Max-Age` and `Expires`
/// are honoured, and the name prefixes `__Host-` and `__Secure-`. At most 50 of a server and 1,000 in all are kept, of at most 4,096 bytes
/// each; the oldest goes first. They are in memory alone.
#[derive(Clone, Default)]
pub struct Cookies(Arc<Mutex<Vec<Kept>>>);

/// A cookie, and where it came from.
struct Kept {
    host: String,
    port: u16,
    path: String,
    is_secure: bool,
    name: String,
    value: String,
    /// `None`: as long as the program runs.
    expires: Option<OffsetDateTime>,
}

impl Cookies {
    /// No cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a cookie as if the server of `url` had set it: `name=value; Path=/; Secure`, as in Set-Cookie. What no server could set
    /// is not kept.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn set(&self, url: impl AsRef<str>, cookie: &str) -> Result<(), UriError> {
        let (target, _) = Target::parse(url.as_ref())?;
        self.keep(&target, cookie, OffsetDateTime::now_utc());
        Ok(())
    }

    /// The value of a cookie that a request to `url` would carry.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn value(&self, url: impl AsRef<str>, name: &str) -> Result<Option<String>, UriError> {
        let (target, _) = Target::parse(url.as_ref())?;
        let now = OffsetDateTime::now_utc();
        let kept = self.lock();
        let found = kept.iter().find(|cookie| cookie.name == name && cookie.goes_to(&target, now));
        Ok(found.map(|cookie| cookie.value.clone()))
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Keeps what a server has set.
    pub(super) fn receive(&self, target: &Target, headers: &HeaderMap) {
        let now = OffsetDateTime::now_utc();
        for value in headers.get_all(http::header::SET_COOKIE) {
            if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                self.keep(target, text, now);
            }
        }
    }

    /// The value of the header Cookie for a request.
    pub(super) fn header(&self, target: &Target) -> Option<String> {
        self.header_at(target, OffsetDateTime::now_utc())
    }

    fn header_at(&self, target: &Target, now: OffsetDateTime) -> Option<String> {
        let kept = self.lock();
        let mut fit: Vec<_> = kept.iter().filter(|cookie| cookie.goes_to(target, now)).collect();
        // RFC 6265 5.4: longer paths first; those that are older before the younger ones, as they stand.
        fit.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = fit.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn keep(&self, target: &Target, text: &str, now: OffsetDateTime) {
        let Some(cookie) = Kept::new(target, text, now) else { return };
        let mut kept = self.lock();
        kept.retain(|other| !other.is_expired(now));
        // RFC 6265 5.3: one that has the same name and place is replaced, at its place in the order.
        let known = kept.iter().position(|other| other.is_the_same_as(&cookie));
        match (known, cookie.is_expired(now)) {
            (Some(at), true) => drop(kept.remove(at)),
            (Some(at), false) => kept[at] = cookie,
            (None, true) => {}
            (None, false) => {
                let of_server = |other: &Kept| other.host == cookie.host && other.port == cookie.port;
                if kept.iter().filter(|other| of_server(other)).count() >= MOST_OF_A_SERVER {
                    let oldest = kept.iter().position(of_server);
                    oldest.map(|at| kept.remove(at));
                } else if kept.len() >= MOST {
                    kept.remove(0);
                }
                kept.push(cookie);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What Set-Cookie says; `None` where that is no cookie that this server may set.
    fn new(target: &Target, text: &str, now: OffsetDateTime) -> Option<Self> {
        let cookie = Cookie::parse(text).ok()?;
        let (name, value) = cookie.name_value();
        if name.len() + value.len() > LONGEST
            || name.is_empty()
            || [name, value].concat().contains(char::is_control)
        {
            return None;
        }
        let is_secure = cookie.secure() == Some(true);
        // RFC 6265bis 5.7: who is not secure sets no cookie that is to be.
        if is_secure && !target.secure {
            return None;
        }
        let path = cookie.path().filter(|path| path.starts_with('/'));
        let starts =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        // RFC 6265bis 4.1.3.
        let is_host = starts("__Host-");
        if (starts("__Secure-") || is_host) && !is_secure {
            return None;
        }
        if is_host && (path != Some("/") || cookie.domain().is_some()) {
            return None;
        }
        // RFC 6265 5.3: Max-Age has precedence.
        let expires = match cookie.max_age() {
            Some(age) => Some(now.checked_add(age).unwrap_or(FAR)),
            None => cookie.expires_datetime(),
        };
        Some(Self {
            host: target.host.to_ascii_lowercase(),
            port: target.port,
            path: path.map_or_else(|| default_path(target).to_owned(), str::to_owned),
            is_secure,
            name: name.to_owned(),
            value: value.to_owned(),
            expires,
        })
    }

    fn is_the_same_as(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.path, &self.name) == (&other.host, other.port, &other.path, &other.name)
    }

    fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn goes_to(&self, target: &Target, now: OffsetDateTime) -> bool {
        self.port == target.port
            && self.host.eq_ignore_ascii_case(&target.host)
            && (target.secure || !self.is_secure)
            && !self.is_expired(now)
            && path_matches(&self.path, path_of(target))
    }
}

/// The end of time, for what lasts longer.
const FAR: OffsetDateTime = cookie::time::PrimitiveDateTime::MAX.assume_utc();

/// The path of a request, without its query.
fn path_of(target: &Target) -> &str {
    match target.path.split('?').next() {
        Some(path) if path.starts_with('/') => path,
        _ => "/",
    }
}

/// RFC 6265 5.1.4: up to the last slash.
fn default_path(target: &Target) -> &str {
    match path_of(target).rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder,
        _ => "/",
    }
}

/// RFC 6265 5.1.4: the same path, or a folder above.
fn path_matches(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Their values are secrets.
        f.debug_struct("Cookies").field("kept", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use cookie::time::Duration;

    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().0
    }

    fn sent(cookies: &Cookies, url: &str) -> String {
        cookies.header(&target(url)).unwrap_or_default()
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_and_port_alone() {
        let cookies = Cookies::new();
        cookies.set("ws://Example.com:81/a/b?c", "a=b; Domain=com").unwrap();
        assert_eq!(sent(&cookies, "ws://example.COM:81/a/x"), "a=b");
        for other in
            ["ws://example.com/a/x", "ws://example.com:82/a/", "ws://www.example.com:81/a/", "ws://com:81/a/"]
        {
            assert_eq!(sent(&cookies, other), "", "{other}");
        }
        assert_eq!(cookies.value("ws://example.com:81/a", "a").unwrap().as_deref(), Some("b"));
        cookies.clear();
        assert_eq!(sent(&cookies, "ws://example.com:81/a/x"), "");
    }

    #[test]
    fn paths_are_those_of_folders_and_longer_ones_come_first() {
        let cookies = Cookies::new();
        for cookie in ["root=1; Path=/", "deep=2; Path=/a/b", "own=3", "odd=4; Path=x"] {
            cookies.set("ws://x/a/c", cookie).unwrap();
        }
        for (url, expected) in [
            ("ws://x/", "root=1"),
            ("ws://x?q", "root=1"),
            ("ws://x/a", "own=3; odd=4; root=1"),
            ("ws://x/a/b", "deep=2; own=3; odd=4; root=1"),
            ("ws://x/a/bc", "own=3; odd=4; root=1"),
            ("ws://x/ab", "root=1"),
        ] {
            assert_eq!(sent(&cookies, url), expected, "{url}");
        }
    }

    #[test]
    fn secure_cookies_come_from_tls_and_go_by_tls() {
        let cookies = Cookies::new();
        for refused in ["a=1; Secure", "__Secure-b=1", "__Host-c=1; Path=/", "__secure-d=1"] {
            cookies.set("ws://x:443/", refused).unwrap();
        }
        assert_eq!(sent(&cookies, "ws://x:443/"), "");
        for cookie in [
            "a=1; Secure",
            "__Secure-b=2; Secure",
            "__Host-c=3; Secure; Path=/",
            "d=4",
            "__Host-e=5; Secure; Path=/y",
        ] {
            cookies.set("wss://x/", cookie).unwrap();
        }
        assert_eq!(sent(&cookies, "wss://x/"), "a=1; __Secure-b=2; __Host-c=3; d=4");
        assert_eq!(sent(&cookies, "ws://x:443/"), "d=4");
    }

    #[test]
    fn cookies_expire_and_are_replaced_and_taken_back() {
        let (cookies, now) = (Cookies::new(), OffsetDateTime::now_utc());
        let x = target("ws://x/");
        cookies.keep(&x, "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", now);
        cookies.keep(&x, "b=2; Expires=Fri, 31 Dec 9999 23:59:59 GMT", now);
        cookies.keep(&x, "c=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT", now);
        let header = |later| cookies.header_at(&x, now + Duration::seconds(later));
        assert_eq!(header(9).as_deref(), Some("a=1; b=2"));
        assert_eq!(header(10).as_deref(), Some("b=2"));
        cookies.keep(&x, "a=4", now);
        assert_eq!(header(99).as_deref(), Some("a=4; b=2"));
        cookies.keep(&x, "a=; Max-Age=0", now);
        assert_eq!(header(0).as_deref(), Some("b=2"));
        cookies.keep(&x, "b=5; Max-Age=99999999999999999999", now);
        assert!(header(0).is_some());
    }

    #[test]
    fn a_server_fills_its_own_room_alone() {
        let cookies = Cookies::new();
        cookies.set("ws://y/", "kept=1").unwrap();
        for number in 0..200 {
            cookies.set("ws://x/", &format!("c{number}=1")).unwrap();
        }
        cookies.set("ws://x/", &format!("long={}", "x".repeat(LONGEST))).unwrap();
        cookies.set("ws://x/", "bad=a\rb").unwrap();
        cookies.set("ws://x/", "none").unwrap();
        let all = sent(&cookies, "ws://x/");
        assert_eq!(all.split("; ").count(), MOST_OF_A_SERVER);
        assert!(all.starts_with("c150=1") && all.ends_with("c199=1"), "{all}");
        assert_eq!(sent(&cookies, "ws://y/"), "kept=1");
        for number in 0..MOST + 10 {
            cookies.set(format!("ws://h{number}/"), "a=1").unwrap();
        }
        assert_eq!(cookies.lock().len(), MOST);
        assert!(!format!("{cookies:?}").contains("kept=1"));
    }
}
