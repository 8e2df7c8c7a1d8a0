//! The client's side (RFC 6455 4.1).

use super::accept::{accept_key, encode_key};
use super::authority::Authority;
use super::error::{Field, HandshakeError, WriteError};
use super::head::{HeadLimits, HeadScanner, Headers, HttpVersion, ResponseHead, unfold};
use super::text::{decimal, is_target_character, is_token, token_str};
use super::token::{ExtensionOffers, MAX_SUBPROTOCOLS, Subprotocols};
use super::uri::Uri;
use super::write::{Writer, check_headers, check_option, has_header};

/// How many interim responses (1xx other than 101) a client passes over.
pub const MAX_INTERIM_RESPONSES: u8 = 8;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOptions<'a> {
    /// The Host header: a host, and the port if it is not the default.
    pub host: &'a str,
    /// Path and query: begins with `/` or with `?` (a slash is put before it). Empty means `/`.
    pub target: &'a str,
    /// The subprotocols, the preferred one first; tokens, all different, at most [`MAX_SUBPROTOCOLS`].
    pub subprotocols: &'a [&'a str],
    /// The value of Sec-WebSocket-Extensions.
    pub extensions: Option<&'a str>,
    /// The Origin header.
    pub origin: Option<&'a str>,
    /// The User-Agent header.
    pub user_agent: Option<&'a str>,
    /// The Authorization header.
    pub authorization: Option<&'a str>,
    /// Additional headers.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> RequestOptions<'a> {
    /// A request for `target` of `host`, with nothing but what is necessary.
    pub const fn new(host: &'a str, target: &'a str) -> Self {
        Self {
            host,
            target,
            subprotocols: &[],
            extensions: None,
            origin: None,
            user_agent: None,
            authorization: None,
            headers: &[],
        }
    }

    /// A request for what a URI names. User information is not taken over.
    pub const fn from_uri(uri: &Uri<'a>) -> Self {
        Self::new(uri.host_header(), uri.target())
    }

    fn check(&self) -> Result<(), WriteError> {
        Authority::parse(self.host).map_err(|_| WriteError::Invalid(Field::Host))?;
        let target = self.target;
        let begins = target.is_empty() || target.starts_with(['/', '?']);
        if !begins || !target.bytes().all(is_target_character) {
            return Err(WriteError::Invalid(Field::Target));
        }
        self.check_subprotocols()?;
        if let Some(extensions) = self.extensions {
            let invalid = |_| WriteError::Invalid(Field::Extensions);
            ExtensionOffers::of(extensions).verify().map_err(invalid)?;
        }
        // RFC 6454 7.1: an origin is ASCII.
        if self.origin.is_some_and(|origin| !origin.is_ascii()) {
            return Err(WriteError::Invalid(Field::Origin));
        }
        check_option(self.origin, Field::Origin)?;
        check_option(self.user_agent, Field::UserAgent)?;
        check_option(self.authorization, Field::Authorization)?;
        check_headers(self.headers)?;
        let twice = |value: Option<&str>, name| value.is_some() && has_header(self.headers, name);
        if twice(self.origin, "Origin")
            || twice(self.user_agent, "User-Agent")
            || twice(self.authorization, "Authorization")
        {
            return Err(WriteError::ReservedHeader);
        }
        Ok(())
    }

    // RFC 6455 4.1, 10: tokens, all different.
    fn check_subprotocols(&self) -> Result<(), WriteError> {
        let names = self.subprotocols;
        let distinct = |(at, name)| !names.iter().take(at).any(|earlier| earlier == name);
        let valid = names.len() <= MAX_SUBPROTOCOLS
            && names.iter().all(|name| is_token(name.as_bytes()))
            && names.iter().enumerate().all(distinct);
        if valid { Ok(()) } else { Err(WriteError::Invalid(Field::Subprotocol)) }
    }

    fn requests_extension(&self, name: &str) -> bool {
        self.extensions.is_some_and(|requested| ExtensionOffers::of(requested).has(name))
    }
}

/// The opening handshake of one connection.
#[derive(Debug, Clone)]
pub struct ClientHandshake<'a> {
    options: RequestOptions<'a>,
    key: [u8; 24],
    scanner: HeadScanner,
    /// Bytes of interim responses.
    passed: usize,
    interim: u8,
}

impl<'a> ClientHandshake<'a> {
    /// `nonce` is 16 random bytes, fresh for each connection (RFC 6455 4.1).
    pub fn new(nonce: [u8; 16], options: RequestOptions<'a>) -> Self {
        Self { options, key: encode_key(&nonce), scanner: HeadScanner::new(), passed: 0, interim: 0 }
    }

    /// Writes the request and answers its length.
    ///
    /// # Errors
    /// The options must not be sent, or `out` is too small.
    pub fn write_request(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let options = &self.options;
        options.check()?;
        let mut writer = Writer::new(out);
        writer.text("GET ");
        // RFC 6455 3: a "/" where the path is empty.
        writer.text(if options.target.starts_with('/') { "" } else { "/" });
        writer.text(options.target);
        writer.text(" HTTP/1.1\r\n");
        writer.header("Host", options.host);
        writer.text("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
        writer.put(&self.key);
        writer.text("\r\nSec-WebSocket-Version: 13\r\n");
        if let Some((first, others)) = options.subprotocols.split_first() {
            writer.text("Sec-WebSocket-Protocol: ");
            writer.text(first);
            for name in others {
                writer.text(", ");
                writer.text(name);
            }
            writer.text("\r\n");
        }
        writer.header_if(ExtensionOffers::NAME, options.extensions);
        writer.header_if("Origin", options.origin);
        writer.header_if("User-Agent", options.user_agent);
        writer.header_if("Authorization", options.authorization);
        writer.headers(options.headers);
        writer.text("\r\n");
        writer.finish()
    }

    /// Reads the server's answer. `buffer` is everything that was received so far; bytes that were scanned before are
    /// not scanned again. `None` means that more is needed. Interim responses (1xx) are passed over; `limits.bytes` holds
    /// for them and the final head together. Once complete, it gives the same answer when it is called again.
    /// Where a header line of the answer is folded, the line end in `buffer` becomes spaces; nothing else changes.
    ///
    /// # Errors
    /// The answer is not HTTP, breaks the limits, or accepts in a way that is no acceptance. An honest refusal is not an
    /// error but an [`Answer`].
    pub fn read_response<'b>(
        &mut self,
        buffer: &'b mut [u8],
        limits: &HeadLimits,
    ) -> Result<Option<Answer<'b>>, HandshakeError> {
        let end = loop {
            let fresh = buffer.get_mut(self.passed..).unwrap_or_default();
            check_protocol(fresh)?;
            let bytes = limits.bytes.saturating_sub(self.passed);
            let Some(len) =
                self.scanner.scan(fresh, &HeadLimits { bytes, ..*limits }).map_err(of_response)?
            else {
                return Ok(None);
            };
            unfold(fresh.get_mut(..len).unwrap_or_default());
            let end = self.passed.saturating_add(len);
            if !matches!(ResponseHead::parse(fresh)?.status(), 100 | 102..200) {
                break end;
            }
            self.pass_interim(end)?;
        };
        let buffer: &'b [u8] = buffer;
        let head = ResponseHead::parse(buffer.get(self.passed..).unwrap_or_default())?;
        let rest = buffer.get(end..).unwrap_or_default();
        Ok(Some(if head.status() == 101 {
            Answer::Accepted(Accepted { head, rest, len: end, subprotocol: self.verify(head)? })
        } else {
            Answer::Refused(Refusal { head, rest, len: end, body: BodyLength::of(&head)? })
        }))
    }

    // RFC 9110 15.2: a client passes over interim responses that it does not expect.
    fn pass_interim(&mut self, end: usize) -> Result<(), HandshakeError> {
        if self.interim >= MAX_INTERIM_RESPONSES {
            return Err(HandshakeError::TooManyInterimResponses);
        }
        self.interim = self.interim.saturating_add(1);
        self.passed = end;
        self.scanner = HeadScanner::new();
        Ok(())
    }

    /// Checks an acceptance; answers its subprotocol.
    fn verify<'b>(&self, head: ResponseHead<'b>) -> Result<Option<&'b str>, HandshakeError> {
        let headers = head.headers();
        if head.version() < HttpVersion::HTTP_11 {
            return Err(HandshakeError::Version);
        }
        // RFC 6455 4.1, server's response, 2: Upgrade is "websocket", in any case.
        let mut upgrade = headers.list("Upgrade");
        if !upgrade.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
            || upgrade.next().is_some()
        {
            return Err(HandshakeError::ResponseUpgrade);
        }
        // 3: Connection lists "upgrade", in any case.
        if !headers.list("Connection").contains("upgrade") {
            return Err(HandshakeError::ResponseConnection);
        }
        // 4: the whole of the accept value and nothing else, once.
        if single(headers, "Sec-WebSocket-Accept") != Some(Some(&accept_key(&self.key))) {
            return Err(HandshakeError::Accept);
        }
        // 5: no extension that was not requested.
        if headers.value(ExtensionOffers::NAME).is_some() {
            ExtensionOffers::new(headers).verify()?;
            if ExtensionOffers::new(headers)
                .any(|extension| !self.options.requests_extension(extension.name()))
            {
                return Err(HandshakeError::UnrequestedExtension);
            }
        }
        self.subprotocol(headers)
    }

    // 6: no subprotocol that was not requested. Names are case-sensitive.
    fn subprotocol<'b>(&self, headers: Headers<'b>) -> Result<Option<&'b str>, HandshakeError> {
        let Some(chosen) = single(headers, Subprotocols::NAME) else { return Ok(None) };
        let requested = |name: &&str| self.options.subprotocols.contains(name);
        let chosen = chosen.and_then(token_str).filter(requested);
        chosen.map(Some).ok_or(HandshakeError::UnrequestedSubprotocol)
    }
}

/// The server's answer.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'b> {
    /// The WebSocket is open.
    Accepted(Accepted<'b>),
    /// Any status but 101: there is no WebSocket.
    Refused(Refusal<'b>),
}

/// A response that opens the WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'b> {
    head: ResponseHead<'b>,
    rest: &'b [u8],
    len: usize,
    subprotocol: Option<&'b str>,
}

impl<'b> Accepted<'b> {
    /// Bytes of the buffer that belong to the handshake, interim responses included. Frames follow.
    #[allow(clippy::len_without_is_empty)] // a head is never empty
    pub const fn len(&self) -> usize {
        self.len
    }

    /// What followed the handshake in the buffer: frames.
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// The head of the response.
    pub const fn head(&self) -> &ResponseHead<'b> {
        &self.head
    }

    /// The subprotocol that the server chose, one of those that were requested.
    pub const fn subprotocol(&self) -> Option<&'b str> {
        self.subprotocol
    }

    /// The extensions that the server chose: of those that were requested, but with parameters still to be checked.
    pub const fn extensions(&self) -> ExtensionOffers<'b> {
        ExtensionOffers::new(self.head.headers())
    }
}

/// A response that does not open a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'b> {
    head: ResponseHead<'b>,
    rest: &'b [u8],
    len: usize,
    body: BodyLength,
}

impl<'b> Refusal<'b> {
    /// Bytes of the buffer that belong to the heads, interim responses included. The body follows.
    #[allow(clippy::len_without_is_empty)] // a head is never empty
    pub const fn len(&self) -> usize {
        self.len
    }

    /// What followed the heads in the buffer: the beginning of the body.
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// The head of the response, with status and headers.
    pub const fn head(&self) -> &ResponseHead<'b> {
        &self.head
    }

    /// How long the body is. How much of it is worth reading is the caller's to say.
    pub const fn body_length(&self) -> BodyLength {
        self.body
    }

    /// Where a redirect (301, 302, 303, 307, 308) leads: the Location header as it was received. It is for the caller
    /// to decide whether to follow (RFC 6455 4.1 leaves it open).
    pub fn location(&self) -> Option<&'b [u8]> {
        matches!(self.head.status(), 301 | 302 | 303 | 307 | 308).then(|| self.head.header("Location"))?
    }
}

/// How the end of a response's body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BodyLength {
    /// So many bytes; 0 for statuses without a body.
    Bytes(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the connection ends.
    UntilClose,
}

impl BodyLength {
    fn of(head: &ResponseHead<'_>) -> Result<Self, HandshakeError> {
        if matches!(head.status(), 204 | 304) {
            return Ok(Self::Bytes(0));
        }
        if let Some(last) = head.headers().list("Transfer-Encoding").last() {
            let chunked = last.eq_ignore_ascii_case(b"chunked");
            return Ok(if chunked { Self::Chunked } else { Self::UntilClose });
        }
        match single(head.headers(), "Content-Length") {
            None => Ok(Self::UntilClose),
            Some(value) => value.and_then(decimal).map(Self::Bytes).ok_or(HandshakeError::BadContentLength),
        }
    }
}

/// A header that may come once: absent, `Some(None)` if it is repeated.
fn single<'b>(headers: Headers<'b>, name: &str) -> Option<Option<&'b [u8]>> {
    let mut values = headers.filter(|header| header.is(name)).map(|header| header.value());
    let first = values.next()?;
    Some(if values.next().is_none() { Some(first) } else { None })
}

/// What can't become a status line is known by its first bytes, also where the peer ends no line, or waits for the client to speak.
fn check_protocol(begun: &[u8]) -> Result<(), HandshakeError> {
    // RFC 9112 4: a response begins with HTTP-version.
    let differs = begun.iter().zip(b"HTTP/").any(|(byte, expected)| byte != expected);
    if differs { Err(HandshakeError::NotHttp) } else { Ok(()) }
}

/// A status line that is too long is too large a head; there is no target in it.
const fn of_response(error: HandshakeError) -> HandshakeError {
    match error {
        HandshakeError::TargetTooLong => HandshakeError::HeadTooLarge,
        other => other,
    }
}
