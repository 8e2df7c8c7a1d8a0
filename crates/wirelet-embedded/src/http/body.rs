//! Bodies of requests: how long they are (RFC 9112 6.3).

use wirelet_proto::handshake::{HttpVersion, RequestHead};

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes; 0 without a body.
    Length(u64),
    /// It comes in chunks, of which the last is empty.
    Chunked,
}

/// Why a body can't be read: where the next request begins can't be known either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Its length is not one number, or is given twice; chunks are no chunks.
    Malformed,
    /// Another transfer coding than chunks.
    Coded,
}

impl BodyError {
    /// How a request with such a body is refused.
    pub(crate) const fn refusal(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "where the body ends can't be known"),
            Self::Coded => (501, "bodies have no other transfer coding than chunks"),
        }
    }
}

/// Where the body of a request ends.
pub(crate) fn framing(head: &RequestHead<'_>) -> Result<Framing, BodyError> {
    let (mut len, mut coded) = (None, false);
    for header in head.headers() {
        coded |= header.is("Transfer-Encoding");
        if header.is("Content-Length") {
            let value = decimal(header.value()).ok_or(BodyError::Malformed)?;
            // RFC 9112 6.3, 5: several lengths that differ are an attack.
            if len.is_some_and(|earlier| earlier != value) {
                return Err(BodyError::Malformed);
            }
            len = Some(value);
        }
    }
    if !coded {
        return Ok(Framing::Length(len.unwrap_or(0)));
    }
    // RFC 9112 6.1, 6.3: a length besides, or a request of HTTP/1.0, which knows no codings, is an attack.
    if len.is_some() || head.version() < HttpVersion::HTTP_11 {
        return Err(BodyError::Malformed);
    }
    let (mut chunked, mut others, mut last) = (0_usize, false, false);
    for coding in head.headers().list("Transfer-Encoding") {
        last = coding.eq_ignore_ascii_case(b"chunked");
        others |= !last;
        chunked = chunked.wrapping_add(last.into());
    }
    match (chunked, last) {
        // RFC 9112 6.1: chunks once, and as the last coding. A server that does not understand another answers 501.
        (1, true) if others => Err(BodyError::Coded),
        (1, true) => Ok(Framing::Chunked),
        _ => Err(BodyError::Malformed),
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |value: u64, byte: &u8| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte & 15)),
        _ => None,
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str, headers: &str) -> Result<Framing, BodyError> {
        let text = std::format!("POST / HTTP/{version}\r\n{headers}\r\n");
        framing(&RequestHead::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_length_is_one_number() {
        let len = |headers: &str| of("1.1", headers);
        assert_eq!(len(""), Ok(Framing::Length(0)));
        assert_eq!(len("Content-Length: 17\r\n"), Ok(Framing::Length(17)));
        assert_eq!(len("Content-Length: 17\r\ncontent-length: 17\r\n"), Ok(Framing::Length(17)));
        for malformed in ["1 7", "+17", "-1", "0x11", "", "17, 17", "18446744073709551616"] {
            assert_eq!(len(&std::format!("Content-Length: {malformed}\r\n")), Err(BodyError::Malformed));
        }
        assert_eq!(len("Content-Length: 17\r\nContent-Length: 18\r\n"), Err(BodyError::Malformed));
    }

    #[test]
    fn chunks_are_the_only_and_the_last_coding() {
        for (value, expected) in [
            ("chunked", Ok(Framing::Chunked)),
            ("CHUNKED", Ok(Framing::Chunked)),
            (" , chunked ,", Ok(Framing::Chunked)),
            ("gzip, chunked", Err(BodyError::Coded)),
            ("chunked, gzip", Err(BodyError::Malformed)),
            ("chunked, chunked", Err(BodyError::Malformed)),
            ("gzip", Err(BodyError::Malformed)),
            ("xchunked", Err(BodyError::Malformed)),
            ("chunked;q=1", Err(BodyError::Malformed)),
            ("", Err(BodyError::Malformed)),
        ] {
            assert_eq!(of("1.1", &std::format!("Transfer-Encoding: {value}\r\n")), expected, "{value}");
        }
        let two = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
        for (version, headers) in [
            ("1.1", two),
            ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ("1.0", "Transfer-Encoding: chunked\r\n"),
        ] {
            assert_eq!(of(version, headers), Err(BodyError::Malformed), "{version} {headers}");
        }
    }
}
