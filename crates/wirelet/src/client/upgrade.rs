//! The opening handshake over a connection that stands.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use wirelet_proto::Limits;
use wirelet_proto::handshake::{
    Accepted, Answer, BodyLength, ClientHandshake, HandshakeError, HeadLimits, Refusal, RequestOptions,
    ResponseHead, WriteError,
};

use super::address::Address;
use super::error::ConnectError;
use super::response::Response;
use super::secure::broken;
use super::target::Target;
use crate::Timeout;
use crate::deflate::{Negotiated, Plan};
use crate::keys::random_u32;
use crate::transport::Transport;

/// As much of a refusal's body is kept, bytes.
const BODY_BYTES: usize = 16 * 1024;
/// So long is waited for it.
const BODY_TIME: Duration = Duration::from_secs(2);
/// So many bytes of an answer that is none are shown.
const SHOWN: usize = 64;
/// One read.
const READ: usize = 4 * 1024;

/// What the request says besides its target.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) subprotocols: Vec<String>,
    pub(super) origin: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) headers: Vec<(String, String)>,
}

/// The server's answer.
pub(super) enum Outcome {
    Open(Open),
    Refused(Response),
}

/// A WebSocket, whose first bytes may have come with the answer.
pub(super) struct Open {
    pub(super) response: Response,
    pub(super) subprotocol: Option<u16>,
    pub(super) negotiated: Option<Negotiated>,
    pub(super) leftover: Vec<u8>,
}

impl Outcome {
    pub(super) const fn response(&self) -> &Response {
        match self {
            Self::Open(open) => &open.response,
            Self::Refused(response) => response,
        }
    }
}

impl Request {
    /// The same with these cookies, behind those that the program has set. A request has one Cookie header (RFC 6265 5.4).
    pub(super) fn with_cookies(&self, cookies: &str) -> Self {
        let mut request = self.clone();
        let own = request.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Cookie"));
        match own {
            Some((_, value)) => *value = format!("{value}; {cookies}"),
            None => request.headers.push(("Cookie".into(), cookies.into())),
        }
        request
    }

    /// Adds a header. `Authorization`, `Origin` and `User-Agent` take the place of what was set before.
    pub(super) fn add(&mut self, name: String, value: String) {
        match self.slot(&name) {
            Some(slot) => *slot = Some(value),
            None => self.headers.push((name, value)),
        }
    }

    /// Removes all headers of this name.
    pub(super) fn remove(&mut self, name: &str) {
        match self.slot(name) {
            Some(slot) => *slot = None,
            None => self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name)),
        }
    }

    /// The headers that are there once.
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let own = [
            ("Authorization", &mut self.authorization),
            ("Origin", &mut self.origin),
            ("User-Agent", &mut self.user_agent),
        ];
        own.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, slot)| slot)
    }

    /// Forgets what another server must not see: whatever the program has set as a header may be a secret.
    pub(super) fn forget_headers(&mut self) {
        self.authorization = None;
        self.headers.clear();
    }

    /// Whether it may be sent.
    ///
    /// # Errors
    /// What must not be sent: CR, LF or NUL in a header, for example.
    pub(super) fn check(&self, target: &Target) -> Result<(), WriteError> {
        let lists = self.lists();
        request_bytes(&ClientHandshake::new([0; 16], self.options(target, &lists, None))).map(drop)
    }

    fn lists(&self) -> Lists<'_> {
        Lists {
            subprotocols: self.subprotocols.iter().map(String::as_str).collect(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }

    fn options<'a>(
        &'a self,
        target: &'a Target,
        lists: &'a Lists<'a>,
        extensions: Option<&'a str>,
    ) -> RequestOptions<'a> {
        RequestOptions {
            extensions,
            subprotocols: &lists.subprotocols,
            origin: self.origin.as_deref(),
            user_agent: self.user_agent.as_deref(),
            authorization: self.authorization.as_deref(),
            headers: &lists.headers,
            ..RequestOptions::new(&target.authority, &target.path)
        }
    }
}

/// The lists of a [`Request`], as the core wants them.
struct Lists<'a> {
    subprotocols: Vec<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
}

/// Sends `request` and reads the answer, before `deadline`.
pub(super) async fn upgrade(
    stream: &mut Transport,
    address: &Address,
    target: &Target,
    request: &Request,
    plan: Option<Plan>,
    limits: &Limits,
    deadline: Instant,
) -> Result<Outcome, ConnectError> {
    let lists = request.lists();
    let offer = plan.as_ref().map(Plan::offer);
    let extensions = offer.as_ref().map(|offer| offer.as_str());
    let mut handshake = ClientHandshake::new(nonce(), request.options(target, &lists, extensions));
    let bytes = request_bytes(&handshake).map_err(ConnectError::Request)?;
    let mut buffer = Vec::new();
    let exchange = async {
        let sent = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| broken(address, error))?;
        read_head(stream, address, &mut handshake, &mut buffer, limits).await
    };
    let Ok(head) = tokio::time::timeout_at(deadline, exchange).await else {
        return Err(ConnectError::timeout(Timeout::Handshake, address.clone()));
    };
    head?;
    // The same answer again, now that nothing more is read into the buffer.
    match handshake.read_response(&mut buffer, &head_limits(limits)) {
        Ok(Some(Answer::Accepted(accepted))) => {
            let negotiated = plan.map(|plan| plan.check(accepted.extensions())).transpose();
            let negotiated = negotiated.map_err(|error| ConnectError::Handshake {
                address: address.clone(),
                error,
                status: Some(accepted.head().status()),
                received: Bytes::new(),
            })?;
            let open = open(&accepted, target, address, request);
            Ok(Outcome::Open(Open { negotiated: negotiated.flatten(), ..open }))
        }
        Ok(Some(Answer::Refused(refusal))) => {
            Ok(Outcome::Refused(refused(&refusal, stream, target, address, deadline).await))
        }
        Ok(None) => {
            Err(ConnectError::Io { address: address.clone(), error: io::ErrorKind::UnexpectedEof.into() })
        }
        Err(error) => Err(no_answer(address, error, &buffer)),
    }
}

/// What was received is no answer to the opening handshake.
fn no_answer(address: &Address, error: HandshakeError, received: &[u8]) -> ConnectError {
    let status = ResponseHead::parse(received).ok().map(|head| head.status());
    ConnectError::Handshake { address: address.clone(), error, status, received: first(received) }
}

fn first(received: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&received[..received.len().min(SHOWN)])
}

/// 16 bytes from the thread's CSPRNG (RFC 6455 4.1).
fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce.as_chunks_mut().0.iter_mut().for_each(|word| *word = random_u32().to_le_bytes());
    nonce
}

fn request_bytes(handshake: &ClientHandshake<'_>) -> Result<Vec<u8>, WriteError> {
    let mut bytes = vec![0; 1024];
    loop {
        match handshake.write_request(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Ok(bytes);
            }
            Err(WriteError::BufferTooSmall { needed }) if needed > bytes.len() => bytes.resize(needed, 0),
            Err(error) => return Err(error),
        }
    }
}

const fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits { bytes: limits.head_bytes, headers: limits.head_fields }
}

/// Reads until the answer's head is in `buffer`.
async fn read_head(
    stream: &mut Transport,
    address: &Address,
    handshake: &mut ClientHandshake<'_>,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), ConnectError> {
    loop {
        buffer.reserve(READ);
        match stream.read_buf(buffer).await {
            Ok(0) => {
                let text = match first(buffer) {
                    begun if begun.is_empty() => "the server ended it without an answer".to_owned(),
                    begun => format!(
                        "the server ended it in its answer, which begins with \"{}\"",
                        begun.escape_ascii()
                    ),
                };
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Err(ConnectError::Io { address: address.clone(), error });
            }
            Ok(_) => {}
            Err(error) => return Err(broken(address, error)),
        }
        match handshake.read_response(buffer, &head_limits(limits)) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(()),
            Err(error) => return Err(no_answer(address, error, buffer)),
        }
    }
}

fn open(accepted: &Accepted<'_>, target: &Target, address: &Address, request: &Request) -> Open {
    let mut response = Response::new(accepted.head(), target.to_string(), address.clone());
    response.subprotocol = accepted.subprotocol().map(str::to_owned);
    let chosen = |name: &String| Some(name.as_str()) == accepted.subprotocol();
    let subprotocol = request.subprotocols.iter().position(chosen).and_then(|at| u16::try_from(at).ok());
    Open { response, subprotocol, negotiated: None, leftover: accepted.rest().to_vec() }
}

/// Reads as much of a refusal's body as is worth it.
async fn refused(
    refusal: &Refusal<'_>,
    stream: &mut Transport,
    target: &Target,
    address: &Address,
    deadline: Instant,
) -> Response {
    let mut response = Response::new(refusal.head(), target.to_string(), address.clone());
    let mut body = Body::new(refusal.body_length(), refusal.rest());
    let deadline = deadline.min(Instant::now() + BODY_TIME);
    let ended = tokio::time::timeout_at(deadline, body.read(stream)).await;
    let (bytes, is_complete) = body.finish(matches!(ended, Ok(Ok(()))));
    response.body = bytes;
    response.is_complete = is_complete;
    response
}

/// The body of a refusal as it arrives.
struct Body {
    length: BodyLength,
    raw: Vec<u8>,
}

impl Body {
    fn new(length: BodyLength, begun: &[u8]) -> Self {
        Self { length, raw: begun.to_vec() }
    }

    /// Reads until the end of the body or of the connection, or until there is more than is kept.
    async fn read(&mut self, stream: &mut Transport) -> io::Result<()> {
        while self.raw.len() <= BODY_BYTES && !self.is_whole() {
            self.raw.reserve(READ);
            if stream.read_buf(&mut self.raw).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        match self.length {
            BodyLength::Bytes(len) => self.raw.len() as u64 >= len,
            BodyLength::Chunked => dechunk(&self.raw).1,
            BodyLength::UntilClose => false,
        }
    }

    /// What is kept, and whether it is all. `ended`: reading came to an end of its own.
    fn finish(self, ended: bool) -> (Bytes, bool) {
        let (mut body, whole) = match self.length {
            BodyLength::Bytes(len) => {
                let whole = self.is_whole();
                let mut body = self.raw;
                body.truncate(usize::try_from(len).unwrap_or(usize::MAX));
                (body, whole)
            }
            BodyLength::Chunked => dechunk(&self.raw),
            BodyLength::UntilClose => {
                let whole = ended && self.raw.len() <= BODY_BYTES;
                (self.raw, whole)
            }
        };
        let whole = whole && body.len() <= BODY_BYTES;
        body.truncate(BODY_BYTES);
        (body.into(), whole)
    }
}

/// What has arrived of a body in chunked transfer coding (RFC 9112 7.1), and whether its last chunk has.
fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|pair| pair == b"\r\n") {
        let digits = raw[..end].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match size {
            Some(0) => return (body, true),
            None => break,
            Some(size) => {
                let chunk = &raw[end + 2..];
                body.extend_from_slice(&chunk[..size.min(chunk.len())]);
                let Some(rest) = size.checked_add(2).and_then(|next| chunk.get(next..)) else { break };
                raw = rest;
            }
        }
    }
    (body, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_at_every_split() {
        let raw = b"4;x=y\r\nWiki\r\n6\r\npedia \r\nB\r\nin chunks.\n\r\n0\r\n\r\n";
        let body = b"Wikipedia in chunks.\n";
        for end in 0..=raw.len() {
            let (got, whole) = dechunk(&raw[..end]);
            assert!(body.starts_with(&got), "{end}");
            assert_eq!(whole, end >= raw.len() - 2, "{end}");
        }
        assert_eq!(dechunk(raw).0, body);
    }

    #[test]
    fn malformed_chunks_end_the_body() {
        for raw in
            [&b"x\r\nabc"[..], b"-1\r\nabc", b"ffffffffffffffff\r\nabc", b"\r\n", b"fffffffffffffffff\r\n"]
        {
            assert!(!dechunk(raw).1, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_body_is_bounded() {
        let body = |length, len| Body::new(length, &vec![b'x'; len]).finish(true);
        assert_eq!(body(BodyLength::Bytes(5), 7), (Bytes::from_static(b"xxxxx"), true));
        assert!(!body(BodyLength::Bytes(u64::MAX), 7).1);
        for length in [BodyLength::Bytes(1 << 20), BodyLength::UntilClose] {
            let (kept, whole) = body(length, 1 << 20);
            assert_eq!((kept.len(), whole), (BODY_BYTES, false));
        }
        assert!(body(BodyLength::UntilClose, 9).1);
    }
}
