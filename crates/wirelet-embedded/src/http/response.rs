//! Responses, put together in the transmit buffer: head and body leave in one piece.

use core::fmt::{self, Write};

use wirelet_proto::handshake::{HandshakeError, reason_phrase};

/// Room at the front of the transmit buffer for the status line and the headers, bytes.
const HEAD: usize = 384;

/// A response that a handler makes: status, headers, and a body written with `write!`.
///
/// The default is 200 with `Content-Type: application/json`.
#[derive(Debug)]
pub struct Response<'r> {
    status: u16,
    content_type: &'static str,
    headers: Cursor<'r>,
    body: Cursor<'r>,
    overflowed: bool,
}

/// The first lines of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'h> {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'h str>,
    /// `None`: the length is not told (304).
    pub(crate) len: Option<usize>,
    /// The connection stays open for another request.
    pub(crate) keep: bool,
}

impl<'r> Response<'r> {
    /// In `out`, whose front is for the head.
    pub(crate) fn new(out: &'r mut [u8]) -> Self {
        let head = HEAD.min(out.len() / 2);
        let (headers, body) = out.split_at_mut_checked(head).unwrap_or_default();
        // The status line comes in front of the handler's headers at the end.
        let headers = headers.get_mut(head / 2..).unwrap_or_default();
        Self {
            status: 200,
            content_type: "application/json",
            headers: Cursor::new(headers),
            body: Cursor::new(body),
            overflowed: false,
        }
    }

    /// Sets the status.
    pub const fn status(&mut self, status: u16) -> &mut Self {
        self.status = status;
        self
    }

    /// Sets Content-Type.
    pub const fn content_type(&mut self, content_type: &'static str) -> &mut Self {
        self.content_type = content_type;
        self
    }

    /// Adds a header. One whose name is no token or whose value has control characters, or that finds no room, makes the
    /// whole response a 500.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.overflowed |= !self.headers.field(name, value);
        self
    }

    /// The cursors of what the handler has made: `(status, content type, headers, body)`; `None` when it did not fit.
    pub(crate) const fn finish(self) -> Option<(u16, &'static str, usize, usize)> {
        if self.overflowed || self.headers.overflowed || self.status < 200 || self.status > 999 {
            return None;
        }
        Some((self.status, self.content_type, self.headers.len, self.body.len))
    }
}

impl Response<'_> {
    /// Appends bytes to the body, whatever they are.
    ///
    /// # Errors
    /// They don't fit the transmit buffer; the response is a 500 then.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        self.overflowed |= !self.body.put_bytes(bytes);
        if self.overflowed { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Write for Response<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let written = self.body.write_str(text);
        self.overflowed |= written.is_err();
        written
    }
}

/// Puts the head in front of what a handler made in `out`; answers the length of all.
pub(crate) fn assemble(out: &mut [u8], head: Head<'_>, headers: usize, body: usize) -> Option<usize> {
    let split = HEAD.min(out.len() / 2);
    let from = split / 2;
    let mut lines = Cursor::new(out.get_mut(..from)?);
    head.write(&mut lines);
    let mut end = lines.finish()?;
    out.copy_within(from..from.checked_add(headers)?, end);
    end = end.checked_add(headers)?;
    out.get_mut(end..end.checked_add(2)?)?.copy_from_slice(b"\r\n");
    end = end.checked_add(2)?;
    out.copy_within(split..split.checked_add(body)?, end);
    end.checked_add(body)
}

impl Head<'_> {
    fn write(&self, out: &mut Cursor<'_>) {
        out.put("HTTP/1.1 ");
        status_line(self.status, out);
        out.put("\r\n");
        if let Some(content_type) = self.content_type {
            out.header("Content-Type", content_type);
        }
        if let Some(len) = self.len {
            out.put("Content-Length: ");
            out.decimal(len);
            out.put("\r\n");
        }
        if !self.keep {
            out.header("Connection", "close");
        }
    }

    /// The whole head with `lines`, and with `headers` that are checked; false if one of them must not be sent.
    pub(crate) fn write_with(&self, lines: &[&str], headers: &[(&str, &str)], out: &mut Cursor<'_>) -> bool {
        self.write(out);
        lines.iter().for_each(|line| out.put(line));
        let clean = headers.iter().all(|(name, value)| out.field(name, value));
        out.put("\r\n");
        clean
    }

    /// The whole head with more headers into `out`; answers its length, `None` when it does not fit.
    pub(crate) fn put(&self, headers: &[(&str, &str)], out: &mut [u8]) -> Option<usize> {
        let mut cursor = Cursor::new(out);
        self.write(&mut cursor);
        for (name, value) in headers {
            cursor.header(name, value);
        }
        cursor.put("\r\n");
        cursor.finish()
    }
}

fn status_line(status: u16, out: &mut Cursor<'_>) {
    out.decimal(status.into());
    out.put(" ");
    out.put(reason_phrase(status));
}

/// A refusal with what is wrong as its body, unless it is `bodiless`; answers its length.
pub(crate) fn refusal(
    status: u16,
    why: &str,
    headers: &[(&str, &str)],
    keep: bool,
    bodiless: bool,
    out: &mut [u8],
) -> usize {
    let mut text = [0; 128];
    let mut line = Cursor::new(&mut text);
    status_line(status, &mut line);
    for part in [": ", why, "\n"] {
        line.put(part);
    }
    let len = line.len;
    let head = Head { status, content_type: Some("text/plain"), len: Some(len), keep };
    let Some(end) = head.put(headers, out) else { return 0 };
    if bodiless {
        return end;
    }
    let Some(body) = out.get_mut(end..end.saturating_add(len)) else { return 0 };
    body.copy_from_slice(text.get(..len).unwrap_or_default());
    end.saturating_add(len)
}

/// The names and values of header lines, and how many they are.
pub(crate) fn fields<'l>(lines: &'l str, into: &mut [(&'l str, &'l str)]) -> Option<usize> {
    let mut count = 0_usize;
    for line in lines.split_terminator("\r\n") {
        *into.get_mut(count)? = line.split_once(": ")?;
        count = count.saturating_add(1);
    }
    Some(count)
}

/// Headers that a refusal of a handshake carries (RFC 9110 7.8 and 15.5.22, RFC 6455 4.4).
pub(crate) const fn handshake_headers(error: HandshakeError) -> &'static [(&'static str, &'static str)] {
    match error.status() {
        405 => &[("Allow", "GET")],
        426 => &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")],
        _ => &[],
    }
}

/// Writes into a slice and leaves out what does not fit. Without the formatting of the standard library, which would be a
/// tenth of what a server takes in flash.
#[derive(Debug)]
pub(crate) struct Cursor<'c> {
    out: &'c mut [u8],
    len: usize,
    /// Something did not fit.
    overflowed: bool,
}

impl<'c> Cursor<'c> {
    pub(crate) const fn new(out: &'c mut [u8]) -> Self {
        Self { out, len: 0, overflowed: false }
    }

    #[inline(never)] // flash: it is called in many places
    pub(crate) fn put(&mut self, text: &str) {
        let end = self.len.saturating_add(text.len());
        match self.out.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                self.len = end;
            }
            None => self.overflowed = true,
        }
    }

    /// Appends bytes that are no text; false if they don't fit.
    fn put_bytes(&mut self, bytes: &[u8]) -> bool {
        let end = self.len.saturating_add(bytes.len());
        let Some(room) = self.out.get_mut(self.len..end) else { return false };
        room.copy_from_slice(bytes);
        self.len = end;
        true
    }

    #[inline(never)]
    fn header(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.put(part);
        }
    }

    /// Appends a header; false, and nothing, if its name is no token or its value has control characters.
    pub(crate) fn field(&mut self, name: &str, value: &str) -> bool {
        let token = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        // RFC 9110 5.5: what is beyond ASCII is sent as it is.
        let clean = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        if token && clean {
            self.header(name, value);
        }
        token && clean
    }

    fn decimal(&mut self, number: usize) {
        let mut digits = [b'0'; 20];
        let mut left = number;
        let mut first = digits.len();
        while left > 0 || first == digits.len() {
            first = first.saturating_sub(1);
            if let Some(digit) = digits.get_mut(first) {
                *digit |= (left % 10) as u8;
            }
            left /= 10;
        }
        self.put(core::str::from_utf8(digits.get(first..).unwrap_or_default()).unwrap_or_default());
    }

    /// How much was written; `None` when something did not fit.
    pub(crate) const fn finish(self) -> Option<usize> {
        if self.overflowed { None } else { Some(self.len) }
    }

    /// What was written; `None` when something did not fit.
    pub(crate) fn into_text(self) -> Option<&'c str> {
        let Self { out, len, overflowed } = self;
        let out: &'c [u8] = out;
        core::str::from_utf8(out.get(..len)?).ok().filter(|_| !overflowed)
    }
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        if self.overflowed { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn made(size: usize, make: impl FnOnce(&mut Response<'_>)) -> Option<String> {
        let mut out = std::vec![0; size];
        let mut response = Response::new(&mut out);
        make(&mut response);
        let (status, content_type, headers, body) = response.finish()?;
        let head = Head { status, content_type: Some(content_type), len: Some(body), keep: true };
        let len = assemble(&mut out, head, headers, body)?;
        Some(String::from_utf8(out[..len].to_vec()).unwrap())
    }

    #[test]
    fn head_headers_and_body_stand_next_to_each_other() {
        let text = made(1024, |response| {
            response.status(201).content_type("text/plain").header("X-One", "1").header("X-Two", "2");
            write!(response, "{}+{}", 1, 2).unwrap();
        });
        let expected = "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nX-One: 1\r\nX-Two: 2\r\n\r\n1+2";
        assert_eq!(text.as_deref(), Some(expected));
    }

    #[test]
    fn what_does_not_fit_or_must_not_be_sent_is_no_response() {
        assert_eq!(
            made(1024, |response| {
                let _ = write!(response, "{:700}", "");
            }),
            None
        );
        assert!(
            made(1024, |response| {
                let _ = write!(response, "{:640}", "");
            })
            .is_some()
        );
        assert_eq!(
            made(1024, |response| {
                let _ = response.header("X", "a\r\nSet-Cookie: b");
            }),
            None
        );
        assert_eq!(
            made(1024, |response| {
                let _ = response.header("X:", "a");
            }),
            None
        );
        assert_eq!(
            made(1024, |response| {
                let _ = response.header("X", &"a".repeat(200));
            }),
            None
        );
        assert_eq!(
            made(1024, |response| {
                let _ = response.status(100);
            }),
            None
        );
    }

    #[test]
    fn a_value_beyond_ascii_is_sent_as_it_is() {
        let text = made(1024, |response| {
            let _ = response.header("X", "caf\u{e9}");
        });
        assert!(text.unwrap().contains("\r\nX: caf\u{e9}\r\n"));
        for control in ["a\u{7f}", "a\0", "\n", "\u{1b}[0m"] {
            assert_eq!(
                made(1024, |response| {
                    let _ = response.header("X", control);
                }),
                None
            );
        }
    }

    #[test]
    fn refusals_say_why() {
        let mut out = [0; 256];
        let len = refusal(404, "there is nothing here", &[], true, false, &mut out);
        let text = core::str::from_utf8(&out[..len]).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 37\r\n\r\n404 Not Found: there is nothing here\n"), "{text}");
    }
}
