//! Where a redirect leads, without memory of its own.

use wirelet_proto::handshake::{Uri, UriError};

/// Why a redirect was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// One more than [`Options::redirects`](super::Options::redirects).
    TooMany,
    /// Its Location is no URI of a WebSocket.
    Location(UriError),
    /// It is longer than half of the receive buffer, where it is kept, or than the transmit buffer.
    TooLong,
    /// It leads from TLS to where there is none.
    Insecure,
}

/// Where the connection of an attempt goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// So many bytes at the end of the receive buffer, before the headers, are a URI: of the last redirect, or of whom tasks or the
    /// hook have named. 0: it is that of the options.
    pub(super) kept: usize,
    /// So many bytes at the end of the receive buffer are headers of the hook, with their line ends.
    pub(super) headers: usize,
    /// Redirects that may still be followed.
    pub(super) left: u8,
    /// All hosts so far are the caller's, so that credentials and headers are for them.
    pub(super) trusted: bool,
}

impl Course {
    pub(super) const fn new(redirects: u8) -> Self {
        Self { kept: 0, headers: 0, left: redirects, trusted: true }
    }

    /// How much of the receive buffer is left for receiving.
    pub(super) const fn room(self, rx: usize) -> usize {
        rx.saturating_sub(self.kept).saturating_sub(self.headers)
    }

    /// The URI that is kept behind the room, if one is.
    #[inline(never)] // flash: it is called in several places
    pub(super) fn uri(self, behind: &[u8]) -> Option<Uri<'_>> {
        let text = core::str::from_utf8(behind.get(..self.kept)?).ok()?;
        Uri::parse(text).ok()
    }

    /// The headers that are kept behind it.
    pub(super) fn lines(self, behind: &[u8]) -> &str {
        let lines = behind.get(self.kept..).unwrap_or_default();
        core::str::from_utf8(lines).unwrap_or_default()
    }

    /// The next one after a redirect from `here` by a Location header. The URI is put together at the front of `scratch`.
    pub(super) fn redirected(
        self,
        here: &Uri<'_>,
        location: &[u8],
        scratch: &mut [u8],
        most: usize,
    ) -> Result<Self, RedirectError> {
        let left = self.left.checked_sub(1).ok_or(RedirectError::TooMany)?;
        let location =
            core::str::from_utf8(location).map_err(|_| RedirectError::Location(UriError::Character))?;
        let kept = resolve(here, location, scratch).filter(|kept| *kept <= most);
        let kept = kept.ok_or(RedirectError::TooLong)?;
        let text = core::str::from_utf8(scratch.get(..kept).unwrap_or_default()).unwrap_or_default();
        let there = Uri::parse(text).map_err(RedirectError::Location)?;
        if here.is_secure() && !there.is_secure() {
            return Err(RedirectError::Insecure);
        }
        Ok(Self { kept, left, headers: self.headers, trusted: self.trusted && is_same_host(here, &there) })
    }
}

fn is_same_host(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    one.is_secure() == other.is_secure()
        && one.port() == other.port()
        && one.host_name().eq_ignore_ascii_case(other.host_name())
}

/// RFC 3986 5.2: the reference `location` seen from `here`, as an absolute URI; its length, `None` if it does not fit.
fn resolve(here: &Uri<'_>, location: &str, out: &mut [u8]) -> Option<usize> {
    let location = until(location, b"#");
    let scheme = if here.is_secure() { "wss" } else { "ws" };
    let path = here.path();
    // What stays of the path in front of the reference.
    let kept = match location.as_bytes() {
        [] => here.target(),
        [b'/', ..] => "",
        [b'?', ..] => path,
        _ => path.bytes().rposition(|byte| byte == b'/').and_then(|at| path.get(..=at)).unwrap_or("/"),
    };
    // RFC 3986 3.1: a scheme ends at the first colon, before any slash or question mark.
    let parts = if until(location, b"/?").bytes().any(|byte| byte == b':') {
        ["", "", "", "", location]
    } else if location.starts_with("//") {
        [scheme, ":", "", "", location]
    } else {
        [scheme, "://", here.host_header(), kept, location]
    };
    joined(&parts, out)
}

/// The part of a reference before the first of these characters.
fn until<'l>(reference: &'l str, ends: &[u8]) -> &'l str {
    let end = reference.bytes().position(|byte| ends.contains(&byte));
    reference.get(..end.unwrap_or(reference.len())).unwrap_or_default()
}

fn joined(parts: &[&str], out: &mut [u8]) -> Option<usize> {
    let mut len = 0_usize;
    for part in parts {
        let end = len.checked_add(part.len())?;
        out.get_mut(len..end)?.copy_from_slice(part.as_bytes());
        len = end;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn follow(here: &str, location: &str) -> Result<(String, bool), RedirectError> {
        let mut scratch = [0; 64];
        let here = Uri::parse(here).unwrap();
        let course = Course::new(1).redirected(&here, location.as_bytes(), &mut scratch, 60)?;
        Ok((String::from_utf8(scratch[..course.kept].to_vec()).unwrap(), course.trusted))
    }

    #[test]
    fn references_are_resolved_as_rfc_3986_says() {
        for (location, expected, trusted) in [
            ("/x?y=1#z", "ws://a:81/x?y=1", true),
            ("x", "ws://a:81/b/x", true),
            ("?q", "ws://a:81/b/c?q", true),
            ("", "ws://a:81/b/c?d", true),
            ("ws://A:81/", "ws://A:81/", true),
            ("http://a:81", "http://a:81", true),
            ("//a", "ws://a", false),
            ("//b:81/c", "ws://b:81/c", false),
            ("wss://a:81/", "wss://a:81/", false),
            ("https://user:word@c/d", "https://user:word@c/d", false),
        ] {
            let followed = follow("ws://a:81/b/c?d", location);
            assert_eq!(followed, Ok((expected.into(), trusted)), "{location}");
        }
    }

    #[test]
    fn what_must_not_or_cannot_be_followed_has_a_name() {
        assert_eq!(follow("wss://a/", "ws://a/"), Err(RedirectError::Insecure));
        assert_eq!(follow("wss://a/", "http://a/"), Err(RedirectError::Insecure));
        assert_eq!(follow("wss://a/", "/b"), Ok(("wss://a/b".into(), true)));
        assert_eq!(follow("ws://a/", "ftp://a/"), Err(RedirectError::Location(UriError::Scheme)));
        assert_eq!(follow("ws://a/", "/b c"), Err(RedirectError::Location(UriError::Character)));
        for len in [56, 57, 1000] {
            assert_eq!(follow("ws://a/", &"x".repeat(len)), Err(RedirectError::TooLong));
        }
        let mut scratch = [0; 64];
        let here = Uri::parse("ws://a").unwrap();
        let course = Course::new(0);
        assert_eq!(course.redirected(&here, b"/", &mut scratch, 64).unwrap_err(), RedirectError::TooMany);
        assert!(Course::new(1).redirected(&here, b"/\xff", &mut scratch, 64).is_err());
    }
}
