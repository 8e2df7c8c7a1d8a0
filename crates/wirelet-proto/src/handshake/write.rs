//! What both roles need to write a head: fields are checked first, then written.

use super::error::{Field, WriteError};
use super::text::{is_control, is_token};

/// Writes into a buffer and goes on counting where the buffer ends.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Writer<'o> {
    pub(super) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    #[inline(never)] // flash: it is called in many places
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let rest = self.out.get_mut(self.len..).unwrap_or_default();
        if let Some((room, _)) = rest.split_at_mut_checked(bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    pub(super) fn decimal(&mut self, number: usize) {
        let mut digits = [0u8; 20];
        let mut left = number;
        let mut count = 0usize;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' | (left % 10) as u8;
            left /= 10;
            count = count.saturating_add(1);
            if left == 0 {
                break;
            }
        }
        self.put(digits.get(digits.len().saturating_sub(count)..).unwrap_or_default());
    }

    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.text(name);
        self.put(b": ");
        self.text(value);
        self.put(b"\r\n");
    }

    pub(super) fn header_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.header(name, value);
        }
    }

    pub(super) fn headers(&mut self, headers: &[(&str, &str)]) {
        headers.iter().for_each(|(name, value)| self.header(name, value));
    }

    pub(super) const fn finish(self) -> Result<usize, WriteError> {
        if self.len <= self.out.len() {
            Ok(self.len)
        } else {
            Err(WriteError::BufferTooSmall { needed: self.len })
        }
    }
}

/// RFC 9110 5.5: no control characters (a CR LF would begin a header of its own). What is beyond ASCII is sent as it is.
pub(super) fn check_value(value: &str, field: Field) -> Result<(), WriteError> {
    if value.bytes().any(is_control) { Err(WriteError::Invalid(field)) } else { Ok(()) }
}

pub(super) fn check_option(value: Option<&str>, field: Field) -> Result<(), WriteError> {
    value.map_or(Ok(()), |value| check_value(value, field))
}

/// Additional headers: tokens as names, clean values, and none that is written by the handshake.
pub(super) fn check_headers(headers: &[(&str, &str)]) -> Result<(), WriteError> {
    for (name, value) in headers {
        if !is_token(name.as_bytes()) {
            return Err(WriteError::Invalid(Field::HeaderName));
        }
        check_value(value, Field::HeaderValue)?;
        if is_reserved(name) {
            return Err(WriteError::ReservedHeader);
        }
    }
    Ok(())
}

pub(super) fn has_header(headers: &[(&str, &str)], name: &str) -> bool {
    headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

/// Headers that decide what the message means.
fn is_reserved(name: &str) -> bool {
    const PREFIX: &str = "Sec-WebSocket-";
    ["Host", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding"]
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}
