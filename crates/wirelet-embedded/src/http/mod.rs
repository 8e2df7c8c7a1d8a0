//! HTTP/1.1 as far as a device needs it: pages from flash, small answers made on the spot, and refusals with a body.

mod auth;
mod body;
mod file;
mod response;

pub use auth::BasicAuth;
pub use file::File;
pub use response::Response;

pub(crate) use auth::basic;
pub(crate) use body::{BodyError, body_len};
pub(crate) use file::Answer;
pub(crate) use response::{Cursor, Head, assemble, handshake_headers, refusal};

use wirelet_proto::handshake::RequestHead;

/// A request with its whole body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub(crate) head: RequestHead<'r>,
    pub(crate) body: &'r [u8],
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

    /// The value of the first parameter of that name in the query, not decoded: `b` of `?a=b`.
    pub fn parameter(&self, name: &str) -> Option<&'r str> {
        let pairs = self.head.query()?.split('&');
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| *key == name)
            .map(|pair| pair.1)
    }

    /// The value of the first cookie of that name.
    pub fn cookie(&self, name: &str) -> Option<&'r str> {
        let cookies = core::str::from_utf8(self.head.header("Cookie")?).ok()?;
        let pairs = cookies.split(';').filter_map(|pair| pair.trim_ascii().split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|pair| pair.1)
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

    const NAMES: [(Self, &'static str); 6] = [
        (Self::GET, "GET"),
        (Self::GET, "HEAD"),
        (Self::POST, "POST"),
        (Self::PUT, "PUT"),
        (Self::DELETE, "DELETE"),
        (Self::PATCH, "PATCH"),
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
        let request = Request { head: RequestHead::parse(bytes).unwrap(), body: &[] };
        assert_eq!(request.parameter("led"), Some("on"));
        assert_eq!(request.parameter("level"), Some(""));
        assert_eq!(request.parameter("x"), Some(""));
        assert_eq!(request.parameter("le"), None);
        assert_eq!(request.cookie("session"), Some("abc="));
        assert_eq!(request.cookie("c"), None);
    }

    #[test]
    fn get_brings_head_with_it() {
        assert!(Methods::GET.contain("HEAD") && Methods::GET.contain("GET"));
        assert!(!Methods::GET.contain("get") && !Methods::POST.contain("GET"));
        let both = Methods::POST.and(Methods::DELETE);
        assert_eq!(both.names().collect::<std::vec::Vec<_>>(), ["POST", "DELETE"]);
    }
}
