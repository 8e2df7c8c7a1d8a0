//! What can be wrong with a handshake: the peer's faults ([`HandshakeError`]) and the caller's ([`WriteError`]).

use core::fmt;

/// The peer's opening handshake breaks a rule or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeError {
    /// The buffer ends before the head does.
    Truncated,
    /// The head is larger than [`HeadLimits::bytes`](super::HeadLimits::bytes).
    HeadTooLarge,
    /// The request line alone is larger than [`HeadLimits::bytes`](super::HeadLimits::bytes).
    TargetTooLong,
    /// More header lines than [`HeadLimits::headers`](super::HeadLimits::headers).
    TooManyHeaders,
    /// Not a request line or a status line of HTTP.
    BadStartLine,
    /// A response does not begin with `HTTP/`.
    NotHttp,
    /// The request target is not visible ASCII, holds a fragment, or one of `"`, `<` and `>`.
    BadTarget,
    /// A line that does not end in CR LF.
    BadLineEnd,
    /// A control character (NUL, for example) inside the head.
    BadCharacter,
    /// A header line without a colon, or whose name is not a token (a space before the colon included).
    BadHeaderName,
    /// A folded header line (one that begins with white space) in a request, or behind the status line of a response.
    FoldedHeader,
    /// Content-Length is not one number.
    BadContentLength,
    /// The request does not ask for an upgrade to WebSocket.
    NotAnUpgrade,
    /// The method of the request is not GET.
    Method,
    /// A handshake of another version than HTTP/1.1; any request of a version that is neither 1.0 nor 1.1.
    Version,
    /// Not exactly one Host header.
    Host,
    /// The host in Host, or in the request target, is none.
    BadHost,
    /// Connection does not list `upgrade`.
    Connection,
    /// Sec-WebSocket-Version is not 13.
    WebSocketVersion,
    /// Not exactly one Sec-WebSocket-Key of 16 bytes in base64.
    Key,
    /// The request announces a body.
    HasBody,
    /// Sec-WebSocket-Protocol of a request is not a list of distinct tokens, or a list of too many.
    Subprotocols,
    /// Sec-WebSocket-Extensions does not follow the grammar of extension lists.
    Extensions,
    /// More than one Origin header, or an Origin that is not visible ASCII.
    Origin,
    /// Upgrade of a response is not `websocket`.
    ResponseUpgrade,
    /// Connection of a response does not list `upgrade`.
    ResponseConnection,
    /// Not exactly one Sec-WebSocket-Accept, or not the one that belongs to the key.
    Accept,
    /// The server chose a subprotocol that was not requested, or more than one.
    UnrequestedSubprotocol,
    /// The server chose an extension that was not requested.
    UnrequestedExtension,
    /// The server chose parameters of an extension that it was not offered, or that are none.
    ExtensionParameters,
    /// More than [`MAX_INTERIM_RESPONSES`](super::MAX_INTERIM_RESPONSES) interim responses (1xx).
    TooManyInterimResponses,
}

impl HandshakeError {
    /// The HTTP status with which a server answers. Faults of a response have nobody to be answered to; for these
    /// it is 502, what a gateway would pass on.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::TargetTooLong => 414,
            Self::NotAnUpgrade | Self::WebSocketVersion => 426,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::NotHttp
            | Self::ResponseUpgrade
            | Self::ResponseConnection
            | Self::Accept
            | Self::UnrequestedSubprotocol
            | Self::UnrequestedExtension
            | Self::ExtensionParameters
            | Self::TooManyInterimResponses => 502,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// The section that asks for the check: of RFC 6455, or of the RFC that is named.
    pub const fn rfc_section(self) -> &'static str {
        match self {
            Self::Truncated | Self::BadStartLine | Self::BadLineEnd => "RFC 9112 2.1",
            Self::NotHttp => "RFC 9112 4",
            Self::BadHost => "RFC 9110 7.2",
            Self::HeadTooLarge | Self::TooManyHeaders => "RFC 6585 5",
            Self::TargetTooLong => "RFC 9110 15.5.15",
            Self::BadTarget => "RFC 9112 3.2",
            Self::BadCharacter => "RFC 9110 5.5",
            Self::BadHeaderName => "RFC 9112 5.1",
            Self::FoldedHeader => "RFC 9112 5.2",
            Self::BadContentLength => "RFC 9112 6.3",
            Self::TooManyInterimResponses => "RFC 9110 15.2",
            Self::Subprotocols | Self::HasBody => "4.1",
            Self::Extensions => "9.1",
            Self::ExtensionParameters => "RFC 7692 7.1",
            Self::WebSocketVersion => "4.4",
            Self::NotAnUpgrade | Self::Method | Self::Version | Self::Host | Self::Connection => "4.2.1",
            Self::Key | Self::Origin => "4.2.1",
            Self::ResponseUpgrade | Self::ResponseConnection | Self::Accept => "4.1",
            Self::UnrequestedSubprotocol | Self::UnrequestedExtension => "4.1",
        }
    }

    /// What is wrong, in English: what [`Display`](fmt::Display) writes, for whoever has no room for formatting.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "the head of the HTTP message is incomplete",
            Self::HeadTooLarge => "the head of the HTTP message is too large",
            Self::TargetTooLong => "the request line is too long",
            Self::TooManyHeaders => "too many header lines",
            Self::BadStartLine => "not a request line or status line of HTTP",
            Self::NotHttp => "the answer is not HTTP",
            Self::BadTarget => "the request target has a character that is not allowed there",
            Self::BadLineEnd => "a line of the head does not end in CR LF",
            Self::BadCharacter => "a control character in the head",
            Self::BadHeaderName => "the name of a header is not a token",
            Self::FoldedHeader => "a folded header line",
            Self::BadContentLength => "Content-Length is not one number",
            Self::NotAnUpgrade => "the request does not ask for an upgrade to WebSocket",
            Self::Method => "the method of a WebSocket handshake is GET",
            Self::Version => "HTTP/1.1 is needed",
            Self::Host => "exactly one Host header is needed",
            Self::BadHost => {
                "the host is not a name or an address with an optional port; an IPv6 address has brackets"
            }
            Self::Connection => "Connection does not list Upgrade",
            Self::WebSocketVersion => "Sec-WebSocket-Version is not 13",
            Self::Key => "Sec-WebSocket-Key is not one value of 16 bytes in base64",
            Self::HasBody => "a WebSocket handshake has no body",
            Self::Subprotocols => "Sec-WebSocket-Protocol is not a list of distinct names",
            Self::Extensions => "Sec-WebSocket-Extensions is malformed",
            Self::Origin => "Origin is repeated or malformed",
            Self::ResponseUpgrade => "the response's Upgrade is not websocket",
            Self::ResponseConnection => "the response's Connection does not list Upgrade",
            Self::Accept => "Sec-WebSocket-Accept does not belong to the key that was sent",
            Self::UnrequestedSubprotocol => "the server chose a subprotocol that was not requested",
            Self::UnrequestedExtension => "the server chose an extension that was not requested",
            Self::ExtensionParameters => "the server chose parameters of an extension that were not offered",
            Self::TooManyInterimResponses => "too many interim responses",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for HandshakeError {}

/// The part of a handshake that the caller filled in with something that must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Field {
    /// `host`: not a host with an optional port.
    Host,
    /// `target`: not visible ASCII that begins with `/` or `?`, or a fragment, `"`, `<` or `>` in it.
    Target,
    /// `subprotocol(s)`: not a token, repeated, or too many.
    Subprotocol,
    /// `extensions`: not a list of extensions.
    Extensions,
    /// `origin`: a control character or a character beyond ASCII.
    Origin,
    /// `user_agent`.
    UserAgent,
    /// `authorization`.
    Authorization,
    /// The name of an additional header: not a token.
    HeaderName,
    /// The value of an additional header: a control character.
    HeaderValue,
    /// The status of a rejection: not 300–599, or 304, which has no body.
    Status,
}

impl Field {
    const fn text(self) -> &'static str {
        match self {
            Self::Host => "the host is not a host with an optional port",
            Self::Target => "the target has a character that is not allowed there",
            Self::Subprotocol => "a subprotocol is not a token, or is repeated",
            Self::Extensions => "the list of extensions is malformed",
            Self::Origin => "the origin has a character that is not allowed there",
            Self::UserAgent => "the user agent has a character that is not allowed there",
            Self::Authorization => "the authorization has a character that is not allowed there",
            Self::HeaderName => "the name of a header is not a token",
            Self::HeaderValue => "the value of a header has a character that is not allowed there",
            Self::Status => "not a status that refuses a handshake",
        }
    }
}

/// The caller's handshake was not written: nothing of it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// The output buffer is too small. What it holds now is without meaning.
    BufferTooSmall {
        /// Bytes that are needed.
        needed: usize,
    },
    /// A field must not be sent as it is (CR, LF, NUL, …). Nothing was written.
    Invalid(Field),
    /// An additional header has the name of one that the handshake writes itself. Nothing was written.
    ReservedHeader,
    /// The server's choice of a subprotocol was not offered by the client. Nothing was written.
    SubprotocolNotOffered,
    /// The server's choice of an extension was not offered by the client. Nothing was written.
    ExtensionNotOffered,
}

impl WriteError {
    /// What is wrong, in English, as [`HandshakeError::text`].
    pub const fn text(self) -> &'static str {
        match self {
            Self::BufferTooSmall { .. } => "the output buffer is too small for the handshake",
            Self::Invalid(field) => field.text(),
            Self::ReservedHeader => "an additional header is one that the handshake writes itself",
            Self::SubprotocolNotOffered => "the subprotocol was not offered by the client",
            Self::ExtensionNotOffered => "an extension was not offered by the client",
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for WriteError {}
