//! Hosts and origins that an operator allows, as people write them.

use core::fmt;

use super::authority::{Authority, bare_host, default_port, is_host, port_number, same_host, split_port};
use super::text::cut_scheme;

/// A host that is served: `example.com` with any port, `example.com:8080`, `*.example.com` for whatever has more labels in front (and not
/// for `example.com` itself), or an address, `192.0.2.1`, `[::1]:8080` or `::1`.
///
/// ```
/// use wirelet_proto::handshake::{HostPattern, PatternError};
///
/// let pattern = HostPattern::parse("*.example.com")?;
/// assert!(pattern.matches("a.example.com:8080") && !pattern.matches("example.com"));
/// assert_eq!(HostPattern::parse("http://example.com"), Err(PatternError::Scheme));
/// # Ok::<_, PatternError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPattern<'a> {
    name: Name<'a>,
    /// `None`: any.
    port: Option<u16>,
}

impl<'a> HostPattern<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// Why nothing would match it.
    pub fn parse(text: &'a str) -> Result<Self, PatternError> {
        if cut_scheme(text).is_some() {
            return Err(PatternError::Scheme);
        }
        if text.bytes().any(|byte| byte == b'/') {
            return Err(PatternError::Path);
        }
        if is_bare_address(text) {
            return Ok(Self { name: Name::Exact(text), port: None });
        }
        let (name, port) = split_port(text).ok_or(PatternError::Host)?;
        let port = match port {
            "" | "*" => None,
            digits => Some(port_number(digits).ok_or(PatternError::Port)?),
        };
        Ok(Self { name: Name::parse(name)?, port })
    }

    /// Whether a Host header (`example.com:8080`) names such a host, in any case and with or without the root's dot at its end. A
    /// Host without a port has 80 or 443: TLS may end in front of the server, so that nobody can tell.
    pub fn matches(&self, host: &str) -> bool {
        let Ok(host) = Authority::parse(host) else { return false };
        let port = self.port.is_none_or(|port| match host.port {
            Some(own) => own == port,
            None => matches!(port, 80 | 443),
        });
        port && self.name.matches(host.host)
    }
}

/// An origin whose pages may connect: `https://example.com`, `https://*.example.com`, `http://localhost:*`, `null`, and those of other
/// schemes (`file://`, `chrome-extension://id`). A port that is missing is the scheme's own.
///
/// ```
/// use wirelet_proto::handshake::{OriginPattern, PatternError};
///
/// let pattern = OriginPattern::parse("http://localhost:*")?;
/// assert!(pattern.matches("http://localhost:3000") && !pattern.matches("https://localhost"));
/// assert_eq!(OriginPattern::parse("example.com"), Err(PatternError::Scheme));
/// # Ok::<_, PatternError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginPattern<'a>(Form<'a>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form<'a> {
    /// The origin of documents that have none.
    Null,
    Page {
        scheme: &'a str,
        /// `None`: origins of this scheme have no host.
        name: Option<Name<'a>>,
        port: OriginPort,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OriginPort {
    Any,
    /// `None`: none, of a scheme that has no port of its own.
    Exactly(Option<u16>),
}

impl<'a> OriginPattern<'a> {
    /// Reads one. A slash at its end is passed over.
    ///
    /// # Errors
    /// Why nothing would match it.
    pub fn parse(text: &'a str) -> Result<Self, PatternError> {
        if text.eq_ignore_ascii_case("null") {
            return Ok(Self(Form::Null));
        }
        let (scheme, rest) =
            cut_scheme(text).filter(|(scheme, _)| is_scheme(scheme)).ok_or(PatternError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.bytes().any(|byte| matches!(byte, b'/' | b'?' | b'#')) {
            return Err(PatternError::Path);
        }
        let default = default_port(scheme);
        if authority.is_empty() && default.is_none() {
            return Ok(Self(Form::Page { scheme, name: None, port: OriginPort::Exactly(None) }));
        }
        let (name, port) = split_port(authority).ok_or(PatternError::Host)?;
        let port = match port {
            "" => OriginPort::Exactly(default),
            "*" => OriginPort::Any,
            digits => OriginPort::Exactly(Some(port_number(digits).ok_or(PatternError::Port)?)),
        };
        Ok(Self(Form::Page { scheme, name: Some(Name::parse(name)?), port }))
    }

    /// Whether the value of an Origin header is such an origin. Scheme and host are compared in any case.
    pub fn matches(&self, origin: &str) -> bool {
        let Form::Page { scheme, name, port } = self.0 else { return origin == "null" };
        let Some((own, authority)) = cut_scheme(origin).filter(|(own, _)| own.eq_ignore_ascii_case(scheme))
        else {
            return false;
        };
        let Some(name) = name else { return authority.is_empty() };
        let Ok(authority) = Authority::parse(authority) else { return false };
        let port = match port {
            OriginPort::Any => true,
            OriginPort::Exactly(port) => authority.port.or(default_port(own)) == port,
        };
        port && name.matches(authority.host)
    }
}

/// Why nothing would match a [`HostPattern`] or an [`OriginPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PatternError {
    /// An origin without a scheme, or a host with one.
    Scheme,
    /// The host is missing or malformed.
    Host,
    /// The port is neither 1–65535 nor `*`.
    Port,
    /// A path, a query or a fragment.
    Path,
    /// `*` in another place than in front of a whole label, or as the port.
    Wildcard,
}

impl PatternError {
    /// What is wrong, in English.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Scheme => {
                "an origin has a scheme, as in https://example.org; a host has none, as in example.org"
            }
            Self::Host => "the host is missing or malformed",
            Self::Port => "the port is neither a number from 1 to 65535 nor '*'",
            Self::Path => "origins and hosts come without a path",
            Self::Wildcard => "'*' stands for whole labels, as in *.example.org, or for any port",
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for PatternError {}

/// The name of a host, or of all hosts below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'a> {
    Exact(&'a str),
    Below(&'a str),
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Result<Self, PatternError> {
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text);
        if name.bytes().any(|byte| byte == b'*') {
            return Err(PatternError::Wildcard);
        }
        if !is_host(name) || (below.is_some() && name.starts_with('.')) {
            return Err(PatternError::Host);
        }
        Ok(below.map_or(Self::Exact(name), Self::Below))
    }

    fn matches(self, host: &str) -> bool {
        match self {
            Self::Exact(name) => same_host(name, host),
            Self::Below(name) => below(name, host),
        }
    }
}

/// Whether `host` is `name` with more labels in front.
fn below(name: &str, host: &str) -> bool {
    let (name, host) = (bare_host(name), bare_host(host));
    let cut = host.len().checked_sub(name.len()).and_then(|at| host.split_at_checked(at));
    cut.is_some_and(|(front, end)| end.eq_ignore_ascii_case(name) && matches!(front, [_, .., b'.']))
}

/// An IPv6 address without its brackets, as people write it.
fn is_bare_address(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b':').count() > 1
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

// RFC 3986 3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}
