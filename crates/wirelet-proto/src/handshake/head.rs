//! Heads of HTTP/1.1 messages: found as they arrive, checked once, then walked without being copied.

use core::fmt;
use core::time::Duration;

use super::authority::default_port;
use super::error::HandshakeError;
use super::text::{
    cut, cut_authority, cut_scheme, cut_str, decimal, is_control, is_space, is_target_character, is_tchar,
    token_str, trim, visible_str,
};
use super::token::List;

/// Limits on the head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadLimits {
    /// Bytes of the whole head, its empty line included. Default: 16,384.
    pub bytes: usize,
    /// Header lines. Default: 128.
    pub headers: u16,
}

impl HeadLimits {
    /// The default: 16 KiB and 128 header lines, in which a request line of 8,000 bytes (RFC 9112 3) and what a browser says besides, with
    /// all its cookies, find room.
    pub const DEFAULT: Self = Self { bytes: 16 * 1024, headers: 128 };
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Looks for the end of a head in a buffer that grows, and looks at each byte once.
///
/// It already refuses what can't become a head (control characters, lines that don't end in CR LF, too many lines),
/// so that a peer that speaks something else is refused at its first bytes. One empty line in front of the head is passed over.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScanner {
    scanned: usize,
    line: usize,
    lines: u32,
    after_cr: bool,
    /// There was an empty line in front of the head.
    skipped: bool,
    done: bool,
    failed: Option<HandshakeError>,
}

impl HeadScanner {
    /// A scanner at the beginning of a head.
    pub const fn new() -> Self {
        Self { scanned: 0, line: 0, lines: 0, after_cr: false, skipped: false, done: false, failed: None }
    }

    /// Goes on where the last call stopped. `buffer` is the whole of what was received since the head began; bytes that
    /// were scanned before are not read again. Answers the length of the head when it is complete, and `None` when more
    /// bytes are needed. The answer does not depend on how the bytes were split.
    ///
    /// # Errors
    /// What can't become a head, and what breaks `limits`. Once failed, every further call fails alike.
    pub fn scan(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HandshakeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let answer = self.advance(buffer, limits);
        self.failed = answer.err();
        answer
    }

    /// Bytes looked at so far.
    pub const fn scanned(&self) -> usize {
        self.scanned
    }

    fn advance(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HandshakeError> {
        let allowed = buffer.get(..limits.bytes).unwrap_or(buffer);
        let mut fresh = allowed.get(self.scanned..).unwrap_or_default();
        while !self.done && !fresh.is_empty() {
            fresh = if self.after_cr { self.line_feed(fresh, limits)? } else { self.text(fresh)? };
        }
        if self.done {
            Ok(Some(self.scanned))
        } else if self.scanned < limits.bytes {
            Ok(None)
        } else if self.lines == 0 {
            Err(HandshakeError::TargetTooLong)
        } else {
            Err(HandshakeError::HeadTooLarge)
        }
    }

    /// Takes the text of a line up to and with its CR.
    fn text<'b>(&mut self, fresh: &'b [u8]) -> Result<&'b [u8], HandshakeError> {
        let at = control_position(fresh).unwrap_or(fresh.len());
        let (text, rest) = fresh.split_at_checked(at).unwrap_or((fresh, &[]));
        self.line = self.line.saturating_add(text.len());
        self.scanned = self.scanned.saturating_add(text.len());
        match rest.split_first() {
            None => Ok(rest),
            Some((b'\r', rest)) => {
                self.after_cr = true;
                self.scanned = self.scanned.saturating_add(1);
                Ok(rest)
            }
            Some((b'\n', _)) => Err(HandshakeError::BadLineEnd),
            Some(_) => Err(HandshakeError::BadCharacter),
        }
    }

    /// Takes the LF after a CR.
    fn line_feed<'b>(&mut self, fresh: &'b [u8], limits: &HeadLimits) -> Result<&'b [u8], HandshakeError> {
        // RFC 9112 2.2: a CR is followed by LF; a bare CR is not allowed.
        let rest = fresh.strip_prefix(b"\n").ok_or(HandshakeError::BadLineEnd)?;
        self.scanned = self.scanned.saturating_add(1);
        self.after_cr = false;
        if self.line > 0 {
            // The first line is not a header.
            if self.lines > u32::from(limits.headers) {
                return Err(HandshakeError::TooManyHeaders);
            }
            self.lines = self.lines.saturating_add(1);
            self.line = 0;
        } else if self.lines > 0 {
            self.done = true;
        } else if self.skipped {
            return Err(HandshakeError::BadStartLine);
        } else {
            // RFC 9112 2.2: at least one empty line in front of a request line is passed over. Here it is exactly one.
            self.skipped = true;
        }
        Ok(rest)
    }
}

/// A version of HTTP, as a start line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HttpVersion {
    /// 1 of HTTP/1.0.
    pub major: u8,
    /// 0 of HTTP/1.0.
    pub minor: u8,
}

impl HttpVersion {
    /// HTTP/1.1.
    pub const HTTP_11: Self = Self { major: 1, minor: 1 };

    // RFC 9110 15.6.6: what is spoken here are HTTP/1.0 and HTTP/1.1.
    const fn check(self) -> Result<(), HandshakeError> {
        if self.major == 1 && self.minor <= 1 { Ok(()) } else { Err(HandshakeError::Version) }
    }

    // RFC 9112 2.3: HTTP-version = "HTTP" "/" DIGIT "." DIGIT, case-sensitive.
    fn parse(text: &[u8]) -> Result<Self, HandshakeError> {
        match text.strip_prefix(b"HTTP/") {
            Some([major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9']) => {
                Ok(Self { major: major & 15, minor: minor & 15 })
            }
            _ => Err(HandshakeError::BadStartLine),
        }
    }
}

/// The head of a request of HTTP/1.0 or HTTP/1.1, an upgrade or not.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'b> {
    method: &'b str,
    target: &'b str,
    version: HttpVersion,
    headers: Headers<'b>,
    len: usize,
}

impl<'b> RequestHead<'b> {
    /// Reads the head with which `buffer` begins; what follows it is left alone.
    ///
    /// # Errors
    /// [`Truncated`](HandshakeError::Truncated) if the head is not complete (use a [`HeadScanner`] to know), or how it is
    /// malformed.
    pub fn parse(buffer: &'b [u8]) -> Result<Self, HandshakeError> {
        // RFC 9112 2.2: an empty line in front of the request line is passed over.
        let (line, rest) = split_line(buffer.strip_prefix(b"\r\n").unwrap_or(buffer))?;
        // RFC 9112 3: method SP request-target SP HTTP-version, single spaces.
        let (method, line) = cut(line, b' ').ok_or(HandshakeError::BadStartLine)?;
        let (target, version) = cut(line, b' ').ok_or(HandshakeError::BadStartLine)?;
        let version = HttpVersion::parse(version)?;
        let method = token_str(method).ok_or(HandshakeError::BadStartLine)?;
        let target = request_target(target)?;
        version.check()?;
        let (headers, rest) = Headers::parse(rest)?;
        Ok(Self { method, target, version, headers, len: buffer.len().saturating_sub(rest.len()) })
    }

    /// A head that an HTTP library has read, which need not be written again to be looked at. It has to keep the same rules as one that
    /// is [parsed](Self::parse): libraries let more pass. Its [`len`](Self::len) is 0, since it stands in no buffer.
    ///
    /// # Errors
    /// The rule that it breaks. [`Header::new`] has checked the headers.
    #[cfg(feature = "std")]
    pub fn of_parts(
        method: &'b str,
        target: &'b str,
        version: HttpVersion,
        headers: &'b [Header<'b>],
    ) -> Result<Self, HandshakeError> {
        let method = token_str(method.as_bytes()).ok_or(HandshakeError::BadStartLine)?;
        let target = request_target(target.as_bytes())?;
        version.check()?;
        Ok(Self { method, target, version, headers: Headers { lines: &[], read: headers }, len: 0 })
    }

    /// Bytes of the head in the buffer, its empty line included.
    #[allow(clippy::len_without_is_empty)] // a head is never empty
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The method, case-sensitive.
    pub const fn method(&self) -> &'b str {
        self.method
    }

    /// The request target as it was received.
    pub const fn target(&self) -> &'b str {
        self.target
    }

    /// The path of the target, not decoded: `/a` of `/a?b=1`, and of `http://host/a?b=1`. `*` and the `host:port` of
    /// CONNECT come as they are.
    pub fn path(&self) -> &'b str {
        let target = self.origin_form();
        let path = cut_str(target, b'?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// The query of the target, not decoded: `b=1` of `/a?b=1`.
    pub fn query(&self) -> Option<&'b str> {
        cut_str(self.origin_form(), b'?').map(|(_, query)| query)
    }

    /// The host and port in a target that is an absolute URI (`http://host:80/a`).
    pub fn target_authority(&self) -> Option<&'b str> {
        self.absolute_form().map(|(authority, _)| authority)
    }

    /// The version of HTTP.
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// All headers in their order.
    pub const fn headers(&self) -> Headers<'b> {
        self.headers
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.value(name)
    }

    /// Whether the client waits for an interim response 100 before it goes on (RFC 9110 10.1.1). HTTP/1.0 knows none.
    pub fn expects_continue(&self) -> bool {
        self.version >= HttpVersion::HTTP_11 && self.headers.list("Expect").contains("100-continue")
    }

    fn origin_form(&self) -> &'b str {
        self.absolute_form().map_or(self.target, |(_, rest)| rest)
    }

    // RFC 9112 3.2.2: a server accepts the absolute form too; RFC 6455 4.1 allows clients to send it.
    fn absolute_form(&self) -> Option<(&'b str, &'b str)> {
        let (scheme, rest) = cut_scheme(self.target)?;
        default_port(scheme).and_then(|_| cut_authority(rest))
    }
}

// RFC 9112 3.2: no white space and no fragment in a request target.
fn request_target(target: &[u8]) -> Result<&str, HandshakeError> {
    visible_str(target)
        .filter(|target| !target.is_empty() && target.bytes().all(is_target_character))
        .ok_or(HandshakeError::BadTarget)
}

/// Whether what was received of a request begins with the method HEAD, whose response has no body (RFC 9110 9.3.2). It can be asked
/// of a head that is malformed or too large as well, whose refusal has none either.
pub fn is_head_request(received: &[u8]) -> bool {
    received.strip_prefix(b"\r\n").unwrap_or(received).starts_with(b"HEAD ")
}

/// The head of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'b> {
    version: HttpVersion,
    status: u16,
    reason: &'b [u8],
    headers: Headers<'b>,
    len: usize,
}

impl<'b> ResponseHead<'b> {
    /// Reads the head with which `buffer` begins; what follows it is left alone.
    ///
    /// # Errors
    /// [`Truncated`](HandshakeError::Truncated) if the head is not complete (use a [`HeadScanner`] to know), or how it is
    /// malformed.
    pub fn parse(buffer: &'b [u8]) -> Result<Self, HandshakeError> {
        let (line, rest) = split_line(buffer)?;
        // RFC 9112 4: HTTP-version SP status-code SP [ reason-phrase ]; the second space is often missing.
        let (version, line) = cut(line, b' ').ok_or(HandshakeError::BadStartLine)?;
        let version = HttpVersion::parse(version)?;
        let (status, reason) = cut(line, b' ').unwrap_or((line, &[]));
        let status = Self::status_code(status).ok_or(HandshakeError::BadStartLine)?;
        let (headers, rest) = Headers::parse(rest)?;
        Ok(Self { version, status, reason, headers, len: buffer.len().saturating_sub(rest.len()) })
    }

    fn status_code(digits: &[u8]) -> Option<u16> {
        (digits.len() == 3)
            .then(|| decimal(digits))?
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| *code >= 100)
    }

    /// Bytes of the head in the buffer, its empty line included.
    #[allow(clippy::len_without_is_empty)] // a head is never empty
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The version of HTTP.
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// The status, 100–999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// How long the server asks to be left alone after this response: its Retry-After (RFC 9110 10.2.3), in seconds or as a date, which
    /// is taken relative to the response's own Date. `None` where it says nothing, or a date without a Date.
    pub fn retry_after(&self) -> Option<Duration> {
        super::retry::retry_after(self)
    }

    /// The reason phrase; often empty, and of no meaning.
    pub const fn reason(&self) -> &'b [u8] {
        self.reason
    }

    /// All headers in their order.
    pub const fn headers(&self) -> Headers<'b> {
        self.headers
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.value(name)
    }
}

/// One header line.
#[derive(Clone, Copy)]
pub struct Header<'b> {
    name: &'b [u8],
    value: &'b [u8],
}

impl<'b> Header<'b> {
    /// A header that an HTTP library has read; see [`RequestHead::of_parts`].
    ///
    /// # Errors
    /// The name is no token, or the value has control characters.
    #[cfg(feature = "std")]
    pub fn new(name: &'b str, value: &'b [u8]) -> Result<Self, HandshakeError> {
        let name = token_str(name.as_bytes()).ok_or(HandshakeError::BadHeaderName)?.as_bytes();
        // RFC 9110 5.5.
        if value.iter().any(|byte| is_control(*byte)) {
            return Err(HandshakeError::BadCharacter);
        }
        Ok(Self { name, value: trim(value) })
    }

    /// The name as it was received: a token.
    pub fn name(&self) -> &'b str {
        core::str::from_utf8(self.name).unwrap_or_default()
    }

    /// The value without the white space around it. It holds no control characters but tabs, and may hold bytes ≥ 0x80.
    pub const fn value(&self) -> &'b [u8] {
        self.value
    }

    /// The value if it is UTF-8.
    pub fn value_str(&self) -> Option<&'b str> {
        core::str::from_utf8(self.value).ok()
    }

    /// Whether it has this name, in any case.
    #[inline(never)] // flash: it is asked for in many places
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    // RFC 9112 5: field-name ":" OWS field-value OWS.
    fn parse(line: &'b [u8]) -> Result<Self, HandshakeError> {
        if line.first().is_some_and(|first| is_space(*first)) {
            return Err(HandshakeError::FoldedHeader); // RFC 9112 5.2
        }
        // RFC 9112 5.1: no white space between the name and the colon: it is no token character.
        match line.iter().position(|byte| !is_tchar(*byte)).and_then(|at| line.split_at_checked(at)) {
            Some((name, [b':', value @ ..])) if !name.is_empty() => Ok(Self { name, value: trim(value) }),
            _ => Err(HandshakeError::BadHeaderName),
        }
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.value.escape_ascii())
    }
}

/// The headers of a head: an iterator over lines that were checked when the head was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'b> {
    lines: &'b [u8],
    /// Those that an HTTP library has read. Firmware has none, and no code for them.
    #[cfg(feature = "std")]
    read: &'b [Header<'b>],
}

impl<'b> Headers<'b> {
    /// The value of the first header of that name, in any case.
    pub fn value(mut self, name: &str) -> Option<&'b [u8]> {
        self.find(|header| header.is(name)).map(|header| header.value())
    }

    /// The comma-separated elements of all headers of that name.
    pub const fn list(self, name: &'b str) -> List<'b> {
        List::new(self, name)
    }

    /// Checks all lines up to and with the empty one; answers the headers and what follows the empty line.
    fn parse(buffer: &'b [u8]) -> Result<(Self, &'b [u8]), HandshakeError> {
        let mut rest = buffer;
        loop {
            let before = rest.len();
            let (line, after) = split_line(rest)?;
            if line.is_empty() {
                let lines = buffer.get(..buffer.len().saturating_sub(before)).unwrap_or_default();
                let headers = Self {
                    lines,
                    #[cfg(feature = "std")]
                    read: &[],
                };
                return Ok((headers, after));
            }
            Header::parse(line)?;
            rest = after;
        }
    }
}

impl<'b> Iterator for Headers<'b> {
    type Item = Header<'b>;

    fn next(&mut self) -> Option<Header<'b>> {
        #[cfg(feature = "std")]
        if let Some((header, rest)) = self.read.split_first() {
            self.read = rest;
            return Some(*header);
        }
        // The lines were checked: the first colon ends the name, the first CR the line.
        let (name, rest) = cut(self.lines, b':')?;
        let (value, rest) = cut(rest, b'\r')?;
        self.lines = rest.strip_prefix(b"\n")?;
        Some(Header { name, value: trim(value) })
    }
}

/// Replaces the line ends inside folded header lines of a whole head, and the white space around them, by spaces. RFC 9112 5.2: that is
/// what who receives a response does. A line behind the status line that begins with white space continues none (RFC 9112 2.2).
pub(super) fn unfold(head: &mut [u8]) {
    let mut first = true;
    let mut rest = head;
    while let Some((line, tail)) =
        rest.iter().position(|byte| *byte == b'\r').and_then(|at| rest.split_at_mut_checked(at))
    {
        if !first && matches!(tail, [b'\r', b'\n', next, ..] if is_space(*next)) {
            line.iter_mut().rev().take_while(|byte| is_space(**byte)).for_each(|byte| *byte = b' ');
            tail.iter_mut().take(2).for_each(|byte| *byte = b' ');
            tail.iter_mut().take_while(|byte| is_space(**byte)).for_each(|byte| *byte = b' ');
        }
        first = false;
        rest = tail.get_mut(1..).unwrap_or_default();
    }
}

/// A line without its CR LF, and what follows.
fn split_line(buffer: &[u8]) -> Result<(&[u8], &[u8]), HandshakeError> {
    let at = control_position(buffer).ok_or(HandshakeError::Truncated)?;
    match buffer.split_at_checked(at) {
        Some((line, [b'\r', b'\n', rest @ ..])) => Ok((line, rest)),
        Some((_, [b'\r'])) | None => Err(HandshakeError::Truncated),
        Some((_, [b'\r' | b'\n', ..])) => Err(HandshakeError::BadLineEnd),
        Some(_) => Err(HandshakeError::BadCharacter),
    }
}

const WORD: usize = size_of::<usize>();

/// Where the first control character is, a word at a time up to it.
fn control_position(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<WORD>();
    let clean = words.iter().take_while(|word| !may_hold_control(usize::from_ne_bytes(**word))).count();
    let skipped = clean.saturating_mul(WORD);
    let at = bytes.get(skipped..)?.iter().position(|byte| is_control(*byte))?;
    Some(at.saturating_add(skipped))
}

/// Whether a byte of the word is below 0x20 or 0x7f.
const fn may_hold_control(word: usize) -> bool {
    const fn repeat(byte: u8) -> usize {
        usize::from_ne_bytes([byte; WORD])
    }
    let below = word.wrapping_sub(repeat(0x20)) & !word;
    let delete = word ^ repeat(0x7f);
    (below | (delete.wrapping_sub(repeat(1)) & !delete)) & repeat(0x80) != 0
}
