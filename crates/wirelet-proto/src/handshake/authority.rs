//! A host with an optional port, as it stands in URIs, Host and Origin (RFC 3986 3.2).

use super::text::{cut_scheme, decimal};

/// `host[:port]`, without user information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// The host; an IPv6 address with its brackets.
    pub(super) host: &'a str,
    /// The port, if there is one. `host:` has none.
    pub(super) port: Option<u16>,
}

/// Which half of an authority is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthorityError {
    Host,
    Port,
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(text).ok_or(AuthorityError::Host)?;
        if !is_host(host) {
            return Err(AuthorityError::Host);
        }
        let port = match port {
            "" => None,
            digits => Some(port_number(digits).ok_or(AuthorityError::Port)?),
        };
        Ok(Self { host, port })
    }
}

/// The host and what follows the colon after it.
pub(super) fn split_port(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') {
        text.bytes().position(|byte| byte == b']')?.checked_add(1)?
    } else {
        text.bytes().position(|byte| byte == b':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at_checked(end)?;
    if rest.is_empty() { Some((host, "")) } else { Some((host, rest.strip_prefix(':')?)) }
}

// RFC 3986 3.2.2: an IP literal in brackets, or unreserved characters, sub-delims and percent-encoded ones.
pub(super) fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let Some(address) = literal.strip_suffix(']') else { return false };
        return address.bytes().any(|b| b == b':')
            && address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b))
}

pub(super) fn port_number(digits: &str) -> Option<u16> {
    decimal(digits.as_bytes()).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// Whether `origin` (an Origin header: `https://example.com:8443`) names the host and port of `host` (a Host header:
/// `example.com:8443`): the same-origin rule for servers (RFC 6455 10.2). Hosts are compared in any case and with or without the
/// root's dot at their end; a port that is missing on either side is the default of the origin's scheme (http and ws 80, https and wss 443). The scheme itself
/// does not count, because TLS may end in front of the server. `null` and anything malformed match nothing.
pub fn origin_matches_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = cut_scheme(origin) else { return false };
    let Some(default) = default_port(scheme) else { return false };
    let (Ok(origin), Ok(host)) = (Authority::parse(authority), Authority::parse(host)) else { return false };
    same_host(origin.host, host.host) && origin.port.unwrap_or(default) == host.port.unwrap_or(default)
}

/// Whether two names, or two addresses with or without brackets, are the same host. RFC 1034 3.1: a name may end in the root's dot,
/// and browsers send it as it was typed.
pub(super) fn same_host(one: &str, other: &str) -> bool {
    bare_host(one).eq_ignore_ascii_case(bare_host(other))
}

/// An address without its brackets, a name without the root's dot.
pub(super) const fn bare_host(host: &str) -> &[u8] {
    match host.as_bytes() {
        [b'[', bare @ .., b']'] | [bare @ .., b'.'] => bare,
        bare => bare,
    }
}

/// The port of a scheme, in any case.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("ws") || is("http") {
        Some(80)
    } else if is("wss") || is("https") {
        Some(443)
    } else {
        None
    }
}
