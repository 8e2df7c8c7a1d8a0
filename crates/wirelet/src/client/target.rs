//! Where a client connects to: a URL, taken apart and owned, and what a Location header makes of it.

use std::borrow::Cow;
use std::fmt;

use wirelet_proto::handshake::{PercentDecoded, Uri, UriError};

/// A WebSocket URL without user information, which is kept apart so that no log shows a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) secure: bool,
    /// The Host header: with the port unless it is the scheme's own.
    pub(super) authority: String,
    /// The name or address, without brackets and without its zone.
    pub(super) host: String,
    /// On which of this machine's links an IPv6 address is (RFC 4007 11): `eth0`, or a number. It is nobody else's matter, so that no
    /// request and no redirect has it (RFC 9844 6).
    pub(super) zone: Option<String>,
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    /// Takes a URL apart; answers the value of the Authorization header that its user information asks for.
    pub(super) fn parse(url: &str) -> Result<(Self, Option<String>), UriError> {
        match cut_zone(url) {
            Some((url, zone)) => {
                let (target, authorization) = Self::of_others(&url)?;
                Ok((Self { zone: Some(zone.to_owned()), ..target }, authorization))
            }
            None => Self::of_others(url),
        }
    }

    /// What others may know: a URL without a zone.
    fn of_others(url: &str) -> Result<(Self, Option<String>), UriError> {
        let uri = Uri::parse(url)?;
        let target = Self {
            zone: None,
            secure: uri.is_secure(),
            authority: uri.host_header().to_owned(),
            host: uri.host_name().to_owned(),
            port: uri.port(),
            path: uri.target().to_owned(),
        };
        Ok((target, uri.userinfo().map(from_userinfo)))
    }

    /// Where a Location header leads from here (RFC 3986 5.2). Its user information is not taken over.
    pub(super) fn resolve(&self, location: &[u8]) -> Result<Self, UriError> {
        let location = std::str::from_utf8(location).map_err(|_| UriError::Character)?;
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.secure { "wss" } else { "ws" };
        let path = self.path.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let here = format!("{scheme}://{}", self.authority);
        let absolute = if has_scheme(location) {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{here}{location}")
        } else if location.is_empty() {
            format!("{here}{}", self.path)
        } else if location.starts_with('?') {
            format!("{here}{path}{location}")
        } else {
            format!("{here}{folder}/{location}")
        };
        let (target, _) = Self::of_others(&absolute)?;
        let zone = if target.is_same_host(self) { self.zone.clone() } else { None };
        Ok(Self { zone, ..target })
    }

    /// The host as the system's resolver takes it.
    pub(super) fn resolvable(&self) -> Cow<'_, str> {
        match &self.zone {
            Some(zone) => format!("{}%{zone}", self.host).into(),
            None => self.host.as_str().into(),
        }
    }

    /// Whether both are the same host and port, over the same kind of transport.
    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        self.secure == other.secure && self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        write!(f, "{}://{}{slash}{}", if self.secure { "wss" } else { "ws" }, self.authority, self.path)
    }
}

/// A URL without the zone of its IPv6 address, and the zone. People type it behind `%`; in a URL it was once `%25` (RFC 6874, which
/// RFC 9844 has taken back), which a zone does not begin with unless it is all of it.
fn cut_zone(url: &str) -> Option<(String, &str)> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let open = start + url[start..end].rfind('[')?;
    let close = open + url[open..end].find(']')?;
    let percent = open + url[open..close].find('%')?;
    let zone = &url[percent + 1..close];
    let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
    let is_zone =
        !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_zone.then(|| ([&url[..percent], &url[close..]].concat(), zone))
}

/// RFC 3986 3.1: a scheme ends at the first colon, before any slash or question mark.
fn has_scheme(reference: &str) -> bool {
    reference.split(['/', '?']).next().is_some_and(|start| start.contains(':'))
}

/// The Authorization header for a name and a password (RFC 7617 2).
pub(super) fn basic(user: &[u8], password: &[u8]) -> String {
    let pair = [user, b":", password].concat();
    format!("Basic {}", base64(&pair))
}

/// `user:password`, percent-encoded.
fn from_userinfo(userinfo: &str) -> String {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    basic(&percent_decoded(user), &percent_decoded(password))
}

/// RFC 3986 2.1. What is no escape stays as it is.
pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    PercentDecoded::new(text).collect()
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let sextet = (bits >> (18 - 6 * at)) as usize & 63;
            out.push(if at > group.len() { '=' } else { char::from(ALPHABET[sextet]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().0
    }

    #[test]
    fn parts_of_a_url() {
        let (target, authorization) = Target::parse("ws://Aladdin:open%20sesame@[::1]:81/a?b=1").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 81, "/a?b=1"));
        // RFC 7617 2: the example.
        assert_eq!(authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(target.to_string(), "ws://[::1]:81/a?b=1");
        assert_eq!(Target::parse("ws://h?q").unwrap().0.to_string(), "ws://h/?q");
    }

    /// An address that is on one link alone could not be written.
    #[test]
    fn an_address_with_a_zone_was_no_host() {
        for (url, zone) in [
            ("ws://[fe80::1%eth0]/", "eth0"),
            ("ws://[fe80::1%25eth0]/", "eth0"),
            ("ws://u:p@[fe80::1%25eth0.7]:81/a?b=[c%25d]", "eth0.7"),
            ("ws://[fe80::1%3]:81", "3"),
            ("ws://[fe80::1%25]", "25"),
            ("ws://[fe80::1%253]", "3"),
            ("ws://[fe80::1%25wlan-0_1~x]?q", "wlan-0_1~x"),
        ] {
            let target = target(url);
            assert_eq!((target.host.as_str(), target.zone.as_deref()), ("fe80::1", Some(zone)), "{url}");
            assert_eq!(target.resolvable(), format!("fe80::1%{zone}"));
            assert!(!target.authority.contains('%') && !target.to_string().contains("fe80::1%"), "{target}");
        }
        for url in [
            "ws://[fe80::1%]/",
            "ws://[fe80::1%eth 0]/",
            "ws://[fe80::1%eth0%x]/",
            "ws://[fe80::1%e]x]/",
            "ws://fe80::1%eth0/",
            "ws://[%eth0]/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        // What looks like one elsewhere is none.
        assert_eq!(target("ws://h/[a%b]").zone, None);
        assert_eq!(target("ws://[::1]/?[a%25b]").path, "/?[a%25b]");
    }

    #[test]
    fn a_zone_stays_with_its_host_and_no_server_gives_one() {
        let base = target("ws://[fe80::1%eth0]:81/a");
        let resolved = |location: &str| base.resolve(location.as_bytes());
        for same in ["/b", "b", "?c", "ws://[FE80::1]:81/", "//[fe80::1]:81/x"] {
            assert_eq!(resolved(same).unwrap().zone.as_deref(), Some("eth0"), "{same}");
        }
        for other in ["ws://[fe80::1]/", "ws://[fe80::2]:81/", "//host:81/", "wss://[fe80::1]:81/"] {
            assert_eq!(resolved(other).unwrap().zone, None, "{other}");
        }
        for given in ["ws://[fe80::1%eth0]:81/", "//[fe80::1%25eth1]/"] {
            assert_eq!(resolved(given), Err(UriError::Host), "{given}");
        }
    }

    #[test]
    fn base64_of_every_remainder() {
        // RFC 4648 10.
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (len, expected) in vectors.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..len]), *expected);
        }
    }

    #[test]
    fn malformed_escapes_stay() {
        assert_eq!(from_userinfo("%41%4%zz%"), basic(b"A%4%zz%", b""));
        assert_eq!(from_userinfo("a:%62"), basic(b"a", b"b"));
    }

    #[test]
    fn locations() {
        let base = target("ws://h:81/a/b?c");
        let resolved = |location: &str| base.resolve(location.as_bytes()).map(|target| target.to_string());
        assert_eq!(resolved("/x?y").unwrap(), "ws://h:81/x?y");
        assert_eq!(resolved("x").unwrap(), "ws://h:81/a/x");
        assert_eq!(resolved("x?to=http://y").unwrap(), "ws://h:81/a/x?to=http://y");
        assert_eq!(resolved("?y").unwrap(), "ws://h:81/a/b?y");
        assert_eq!(resolved("").unwrap(), "ws://h:81/a/b?c");
        assert_eq!(resolved("//other/x").unwrap(), "ws://other/x");
        assert_eq!(resolved("http://u:p@other/x#y").unwrap(), "ws://other/x");
        assert_eq!(resolved("https://other/x").unwrap(), "wss://other/x");
        assert_eq!(resolved("ftp://other/x"), Err(UriError::Scheme));
        assert_eq!(resolved("mailto:a@b"), Err(UriError::Scheme));
        assert_eq!(resolved("/a b"), Err(UriError::Character));
        assert_eq!(base.resolve(b"/\xff"), Err(UriError::Character));
    }

    #[test]
    fn the_same_host_means_port_and_transport_too() {
        assert!(target("ws://a").is_same_host(&target("http://A:80/x")));
        for other in ["ws://b", "ws://a:81", "wss://a:80"] {
            assert!(!target("ws://a").is_same_host(&target(other)), "{other}");
        }
    }
}
