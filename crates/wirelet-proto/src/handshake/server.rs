//! The server's side (RFC 6455 4.2).

use super::accept::{accept_key, is_valid_key};
use super::authority::Authority;
use super::error::{Field, HandshakeError, WriteError};
use super::head::{Header, Headers, HttpVersion, RequestHead};
use super::text::{decimal, visible_str};
use super::token::{ExtensionOffers, List, Subprotocols};
use super::write::{Writer, check_headers, has_header};

/// Whether a request is meant to open a WebSocket, well-formed or not: its Upgrade lists `websocket`, or it has a
/// Sec-WebSocket-Key (whose Upgrade a proxy has dropped). Anything else is an ordinary HTTP request.
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.headers().list("Upgrade").contains("websocket") || head.header("Sec-WebSocket-Key").is_some()
}

/// A request to open a WebSocket that keeps every rule of RFC 6455 4.2.1: it may be accepted.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeRequest<'b> {
    head: RequestHead<'b>,
    host: &'b str,
    origin: Single<'b>,
    key: &'b [u8],
}

impl<'b> UpgradeRequest<'b> {
    /// Checks a request.
    ///
    /// # Errors
    /// The rule that it breaks; [`HandshakeError::status`] is what to answer (see [`Rejection::of`]).
    pub fn verify(head: RequestHead<'b>) -> Result<Self, HandshakeError> {
        let fields = Fields::of(head.headers())?;
        // RFC 6455 4.2.1, 5: Upgrade contains "websocket".
        if !fields.upgrade {
            return Err(HandshakeError::NotAnUpgrade);
        }
        // RFC 6455 4.2.1, 1: a GET of HTTP/1.1 or higher.
        if head.method() != "GET" {
            return Err(HandshakeError::Method);
        }
        if head.version() < HttpVersion::HTTP_11 {
            return Err(HandshakeError::Version);
        }
        // RFC 6455 4.2.1, 2-3: one Host. RFC 9112 3.2.2: a host in the target takes its place.
        let host = fields.host.one().ok_or(HandshakeError::Host)?;
        let host = visible_str(host).ok_or(HandshakeError::BadHost)?;
        let host = head.target_authority().unwrap_or(host);
        Authority::parse(host).map_err(|_| HandshakeError::BadHost)?;
        // RFC 6455 4.2.1, 4: Connection contains "upgrade".
        if !fields.connection {
            return Err(HandshakeError::Connection);
        }
        // RFC 6455 4.2.1, 6 and 4.4: version 13, or 426 and a list of what is spoken here.
        if fields.version.one() != Some(b"13") {
            return Err(HandshakeError::WebSocketVersion);
        }
        // RFC 6455 4.2.1, 5: one key, of 16 bytes.
        let key = fields.key.one().filter(|key| is_valid_key(key)).ok_or(HandshakeError::Key)?;
        // RFC 6455 4.1: nothing but the head; a body would be taken for frames.
        if fields.body {
            return Err(HandshakeError::HasBody);
        }
        if fields.subprotocols {
            Subprotocols::verify(head.headers())?;
        }
        if fields.extensions {
            ExtensionOffers::new(head.headers()).verify()?;
        }
        Ok(Self { head, host, origin: fields.origin, key })
    }

    /// The head, with path, query and all headers.
    pub const fn head(&self) -> &RequestHead<'b> {
        &self.head
    }

    /// The host, and the port if there is one, that the client asks for.
    pub const fn host(&self) -> &'b str {
        self.host
    }

    /// The Origin header, which browsers always send; `None` when there is none.
    ///
    /// # Errors
    /// [`HandshakeError::Origin`]: it is repeated, empty, or not visible ASCII. Who admits any origin need not ask.
    pub fn origin(&self) -> Result<Option<&'b str>, HandshakeError> {
        match self.origin {
            Single::Absent => Ok(None),
            // RFC 6455 4.2.1, 7 and RFC 6454 7.
            Single::One(value) => {
                visible_str(value).filter(|value| !value.is_empty()).map(Some).ok_or(HandshakeError::Origin)
            }
            Single::Repeated => Err(HandshakeError::Origin),
        }
    }

    /// Whether there is no Origin, or one that matches the host (see
    /// [`origin_matches_host`](super::origin_matches_host)).
    pub fn is_same_origin(&self) -> bool {
        self.origin()
            .is_ok_and(|origin| origin.is_none_or(|origin| super::origin_matches_host(origin, self.host)))
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub const fn subprotocols(&self) -> Subprotocols<'b> {
        Subprotocols::new(self.head.headers())
    }

    /// The first of `supported` that the client offers, as its index: the server's order of preference decides. `None` if
    /// there is none in common; the connection then has no subprotocol. Names are compared case-sensitively.
    pub fn select_subprotocol(&self, supported: &[&str]) -> Option<usize> {
        supported.iter().position(|name| self.offers(name))
    }

    /// The extensions that the client offers.
    pub const fn extensions(&self) -> ExtensionOffers<'b> {
        ExtensionOffers::new(self.head.headers())
    }

    /// The value of Sec-WebSocket-Accept, for those who let an HTTP library write the response.
    pub fn accept_key(&self) -> [u8; 28] {
        accept_key(self.key)
    }

    /// Writes the response that opens the WebSocket (101), behind an interim one (100) for who expects that, and answers the length of
    /// both.
    ///
    /// # Errors
    /// The caller's options must not be sent, or `out` is too small.
    pub fn accept(&self, options: &AcceptOptions<'_>, out: &mut [u8]) -> Result<usize, WriteError> {
        self.check(options)?;
        let mut writer = Writer::new(out);
        // RFC 9110 7.8: who waits for leave to go on gets it before the protocol changes.
        if self.head.expects_continue() {
            writer.text("HTTP/1.1 100 Continue\r\n\r\n");
        }
        // RFC 6455 4.2.2, 5.
        writer.text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        writer.text("Sec-WebSocket-Accept: ");
        writer.put(&self.accept_key());
        writer.text("\r\n");
        writer.header_if(Subprotocols::NAME, options.subprotocol);
        writer.header_if(ExtensionOffers::NAME, options.extensions);
        writer.headers(options.headers);
        writer.text("\r\n");
        writer.finish()
    }

    /// Whether the response that accepts may say this, for those who let an HTTP library write it;
    /// [`accept`](Self::accept) does it by itself.
    ///
    /// # Errors
    /// What must not be sent.
    pub fn check(&self, options: &AcceptOptions<'_>) -> Result<(), WriteError> {
        // RFC 6455 4.2.2, 4: the subprotocol is one of the client's, or there is none.
        if options.subprotocol.is_some_and(|name| !self.offers(name)) {
            return Err(WriteError::SubprotocolNotOffered);
        }
        if let Some(chosen) = options.extensions {
            let invalid = |_| WriteError::Invalid(Field::Extensions);
            ExtensionOffers::of(chosen).verify().map_err(invalid)?;
            // RFC 6455 9.1: the server accepts only what was offered.
            if ExtensionOffers::of(chosen).any(|extension| !self.extensions().has(extension.name())) {
                return Err(WriteError::ExtensionNotOffered);
            }
        }
        check_headers(options.headers)
    }

    fn offers(&self, subprotocol: &str) -> bool {
        self.subprotocols().any(|offered| offered == subprotocol)
    }
}

/// What a server adds to the response that accepts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AcceptOptions<'a> {
    /// The subprotocol, one of those that the client offers (see [`UpgradeRequest::select_subprotocol`]).
    pub subprotocol: Option<&'a str>,
    /// The value of Sec-WebSocket-Extensions: extensions that the client offers.
    pub extensions: Option<&'a str>,
    /// Additional headers.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A response that refuses, with a body, after which the connection ends (`Connection: close`).
///
/// 405 comes with `Allow: GET` unless `headers` has an Allow, 426 with `Upgrade: websocket` and
/// `Sec-WebSocket-Version: 13` (RFC 6455 4.4).
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'a> {
    /// The status, 300–599 without 304.
    pub status: u16,
    /// Additional headers; Content-Length is written by itself.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Rejection<'a> {
    /// The refusal of a broken handshake: its status, without a body.
    pub const fn of(error: HandshakeError) -> Self {
        Self::new(error.status())
    }

    /// A refusal without a body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: &[], body: &[] }
    }

    /// Whether it may be sent, for those who let an HTTP library write it.
    ///
    /// # Errors
    /// The status or a header must not be sent.
    pub fn check(&self) -> Result<(), WriteError> {
        if !matches!(self.status, 300..=303 | 305..=599) {
            return Err(WriteError::Invalid(Field::Status));
        }
        check_headers(self.headers)
    }

    /// Writes head and body and answers the length of both.
    ///
    /// # Errors
    /// The status or a header must not be sent, or `out` is too small.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        self.check()?;
        let mut writer = Writer::new(out);
        writer.text("HTTP/1.1 ");
        writer.decimal(usize::from(self.status));
        writer.text(" ");
        writer.text(reason_phrase(self.status));
        writer.text("\r\n");
        match self.status {
            // RFC 9110 15.5.22: with an Upgrade header. RFC 6455 4.4: with the versions that are spoken here.
            426 => writer
                .text("Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"),
            // RFC 9110 15.5.6: with an Allow header.
            405 if !has_header(self.headers, "Allow") => writer.text("Allow: GET\r\nConnection: close\r\n"),
            _ => writer.text("Connection: close\r\n"),
        }
        writer.text("Content-Length: ");
        writer.decimal(self.body.len());
        writer.text("\r\n");
        writer.headers(self.headers);
        writer.text("\r\n");
        writer.put(self.body);
        writer.finish()
    }
}

/// A table to search takes half of the flash of a `match`.
const PHRASES: [(u16, &str); 32] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (204, "No Content"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (421, "Misdirected Request"),
    (426, "Upgrade Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
];

/// The usual reason phrase of a status; `Refused` for those without one in the table.
pub const fn reason_phrase(status: u16) -> &'static str {
    let mut rest = PHRASES.as_slice();
    while let [(known, phrase), after @ ..] = rest {
        if *known == status {
            return phrase;
        }
        rest = after;
    }
    "Refused"
}

/// How often a header that may come once came.
#[derive(Debug, Clone, Copy, Default)]
enum Single<'b> {
    #[default]
    Absent,
    One(&'b [u8]),
    Repeated,
}

impl<'b> Single<'b> {
    fn add(&mut self, value: &'b [u8]) {
        *self = match self {
            Self::Absent => Self::One(value),
            _ => Self::Repeated,
        };
    }

    const fn one(self) -> Option<&'b [u8]> {
        match self {
            Self::One(value) => Some(value),
            _ => None,
        }
    }
}

/// What one walk over the headers finds.
#[derive(Debug, Default)]
struct Fields<'b> {
    upgrade: bool,
    connection: bool,
    body: bool,
    subprotocols: bool,
    extensions: bool,
    host: Single<'b>,
    origin: Single<'b>,
    key: Single<'b>,
    version: Single<'b>,
}

impl<'b> Fields<'b> {
    fn of(headers: Headers<'b>) -> Result<Self, HandshakeError> {
        let mut fields = Self::default();
        for header in headers {
            fields.add(&header)?;
        }
        Ok(fields)
    }

    fn add(&mut self, header: &Header<'b>) -> Result<(), HandshakeError> {
        let value = header.value();
        if header.is("Host") {
            self.host.add(value);
        } else if header.is("Upgrade") {
            self.upgrade |= List::of(value).contains("websocket");
        } else if header.is("Connection") {
            self.connection |= List::of(value).contains("upgrade");
        } else if header.is("Sec-WebSocket-Key") {
            self.key.add(value);
        } else if header.is("Sec-WebSocket-Version") {
            self.version.add(value);
        } else if header.is("Origin") {
            self.origin.add(value);
        } else if header.is(Subprotocols::NAME) {
            self.subprotocols = true;
        } else if header.is(ExtensionOffers::NAME) {
            self.extensions = true;
        } else if header.is("Transfer-Encoding") {
            self.body = true;
        } else if header.is("Content-Length") {
            self.body |= decimal(value).ok_or(HandshakeError::BadContentLength)? > 0;
        }
        Ok(())
    }
}
