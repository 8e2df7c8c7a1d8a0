//! The server's answer to the opening handshake, owned.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use wirelet_proto::handshake::{ResponseHead, reason_phrase};

use super::address::Address;

/// The server's answer to the opening handshake.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status: 101 when the WebSocket is open.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The subprotocol that the server chose, one of those that were offered.
    pub subprotocol: Option<String>,
    /// The body of a refusal, as much of it as the client cared to read: at most 16 KiB and 2 seconds.
    pub body: Bytes,
    /// Whether `body` is all of it.
    pub is_complete: bool,
    /// The URL that was asked for, after redirects, without user information.
    pub url: String,
    /// The server's address; the proxy's where there is one.
    pub address: Address,
    /// How long the server asks to be left alone (Retry-After, RFC 9110 10.2.3). A client that connects again waits so long, at most
    /// the longest delay of its [policy](wirelet_proto::reconnect::ReconnectConfig::cap), and its own delay behind it.
    pub retry_after: Option<Duration>,
}

impl Response {
    pub(super) fn new(head: &ResponseHead<'_>, url: String, address: Address) -> Self {
        let mut headers = HeaderMap::new();
        for header in head.headers() {
            let name = HeaderName::from_bytes(header.name().as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value())) {
                headers.append(name, value);
            }
        }
        let (status, retry_after) = (head.status(), head.retry_after());
        let body = Bytes::new();
        Self { status, headers, subprotocol: None, body, is_complete: true, url, address, retry_after }
    }

    /// Where a redirect (301, 302, 303, 307, 308) leads, as the server wrote it.
    pub fn location(&self) -> Option<&HeaderValue> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
            .then(|| self.headers.get(http::header::LOCATION))?
    }

    /// The value of a header, in any case, if it is there and visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, status, .. } = self;
        if *status == 101 {
            return write!(f, "{url} opened a WebSocket");
        }
        write!(f, "{url} answered with HTTP status {status} ({})", reason_phrase(*status))?;
        match self.location() {
            Some(location) => write!(f, " to {}", location.as_bytes().escape_ascii()),
            None => Ok(()),
        }
    }
}
