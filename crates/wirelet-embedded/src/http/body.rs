//! Whether a request has a body, and how long it is (RFC 9112 6.3).

use wirelet_proto::handshake::RequestHead;

/// Why a body can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Content-Length is not one number: where the next request begins can't be known.
    Malformed,
    /// A transfer coding, which would need a length of its own to be bounded.
    Coded,
}

/// Bytes of the body; 0 without one.
pub(crate) fn body_len(head: &RequestHead<'_>) -> Result<u64, BodyError> {
    let mut len = None;
    for header in head.headers() {
        // RFC 9112 6.1: a server that does not understand a transfer coding answers 501.
        if header.is("Transfer-Encoding") {
            return Err(BodyError::Coded);
        }
        if header.is("Content-Length") {
            let value = decimal(header.value()).ok_or(BodyError::Malformed)?;
            // RFC 9112 6.3, 5: several lengths that differ are an attack.
            if len.is_some_and(|earlier| earlier != value) {
                return Err(BodyError::Malformed);
            }
            len = Some(value);
        }
    }
    Ok(len.unwrap_or(0))
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

    fn len(headers: &str) -> Result<u64, BodyError> {
        let text = std::format!("POST / HTTP/1.1\r\n{headers}\r\n");
        body_len(&RequestHead::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_length_is_one_number() {
        assert_eq!(len(""), Ok(0));
        assert_eq!(len("Content-Length: 17\r\n"), Ok(17));
        assert_eq!(len("Content-Length: 17\r\ncontent-length: 17\r\n"), Ok(17));
        for malformed in ["1 7", "+17", "-1", "0x11", "", "17, 17", "18446744073709551616"] {
            assert_eq!(len(&std::format!("Content-Length: {malformed}\r\n")), Err(BodyError::Malformed));
        }
        assert_eq!(len("Content-Length: 17\r\nContent-Length: 18\r\n"), Err(BodyError::Malformed));
        assert_eq!(len("Content-Length: 17\r\nTransfer-Encoding: chunked\r\n"), Err(BodyError::Coded));
    }
}
