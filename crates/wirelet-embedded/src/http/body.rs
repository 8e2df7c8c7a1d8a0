//! Bodies of requests: how long they are (RFC 9112 6.3), and what is in them (RFC 9112 7.1).

use wirelet_proto::handshake::{HttpVersion, RequestHead, decimal};

/// Bytes around the chunks of a body (extensions, trailers, leading zeros) that are passed over at the beginning. Each byte of the body
/// allows one more, up to this.
const SPARE: u16 = 1024;

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

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    Chunked(Chunks),
}

/// How far the chunks of a body have been read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    at: At,
    /// Of the chunk: its size as far as it was read, then what is left of it.
    left: u64,
    spare: u16,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A digit of a size, or what follows it where there is one.
    Size {
        digits: bool,
    },
    /// The semicolon of an extension.
    Space,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// A trailer line, or the empty line.
    Trailer {
        empty: bool,
    },
    TrailerEnd {
        empty: bool,
    },
    Done,
}

impl Body {
    pub(crate) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(len) => Self::Length(len),
            Framing::Chunked => {
                Self::Chunked(Chunks { at: At::Size { digits: false }, left: 0, spare: SPARE })
            }
        }
    }

    /// Whether all of it was taken.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at == At::Done,
        }
    }

    /// Takes of what has arrived as much as finds room in `out`: how many bytes were taken, and how many stand in `out`.
    pub(crate) fn take(&mut self, arrived: &[u8], out: &mut [u8]) -> Result<(usize, usize), BodyError> {
        match self {
            Self::Length(left) => {
                let n = copy(*left, arrived, out);
                *left = left.saturating_sub(n as u64);
                Ok((n, n))
            }
            Self::Chunked(chunks) => chunks.take(arrived, out),
        }
    }
}

impl Chunks {
    fn take(&mut self, arrived: &[u8], out: &mut [u8]) -> Result<(usize, usize), BodyError> {
        let (mut rest, mut made) = (arrived, 0_usize);
        while let (Some((byte, after)), true) = (rest.split_first(), self.at != At::Done) {
            if self.at == At::Data {
                let n = copy(self.left, rest, out.get_mut(made..).unwrap_or_default());
                if n == 0 {
                    break;
                }
                self.left = self.left.saturating_sub(n as u64);
                self.spare = self.spare.saturating_add(n.try_into().unwrap_or(u16::MAX)).min(SPARE);
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                (rest, made) = (rest.get(n..).unwrap_or_default(), made.saturating_add(n));
            } else {
                self.at = self.step(*byte).ok_or(BodyError::Malformed)?;
                rest = after;
            }
        }
        Ok((arrived.len().saturating_sub(rest.len()), made))
    }

    /// Takes one byte that is none of the body's own.
    fn step(&mut self, byte: u8) -> Option<At> {
        Some(match (self.at, byte) {
            // RFC 9112 7.1: a number of sixteen digits has room, and a larger one is refused instead of cut.
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits && self.left == 0 {
                    self.spend()?;
                }
                let digit = char::from(byte).to_digit(16)?;
                self.left = self.left.checked_mul(16)?.checked_add(digit.into())?;
                At::Size { digits: true }
            }
            (At::Size { digits: true } | At::Extension, b'\r') => At::SizeEnd,
            // RFC 9112 7.1.1: extensions that nobody knows are passed over.
            (At::Size { digits: true } | At::Space, b';') => At::Extension,
            (At::Size { digits: true } | At::Space, b' ' | b'\t') => {
                self.spend()?;
                At::Space
            }
            (At::Extension, _) if !is_control(byte) => {
                self.spend()?;
                At::Extension
            }
            (At::SizeEnd, b'\n') if self.left > 0 => At::Data,
            (At::SizeEnd, b'\n') => At::Trailer { empty: true },
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size { digits: false },
            // RFC 9112 7.1.2: trailers that nobody waits for are passed over.
            (At::Trailer { empty }, b'\r') => At::TrailerEnd { empty },
            (At::Trailer { .. }, _) if !is_control(byte) => {
                self.spend()?;
                At::Trailer { empty: false }
            }
            (At::TrailerEnd { empty: true }, b'\n') => At::Done,
            (At::TrailerEnd { empty: false }, b'\n') => At::Trailer { empty: true },
            // RFC 9112 2.2: lines end in CR LF. What ends otherwise may end elsewhere for a proxy in front.
            _ => return None,
        })
    }

    fn spend(&mut self) -> Option<()> {
        self.spare = self.spare.checked_sub(1)?;
        Some(())
    }
}

/// Copies what is there of the `left` bytes, as far as there is room; answers how much.
fn copy(left: u64, from: &[u8], to: &mut [u8]) -> usize {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(from.len()).min(to.len());
    if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
        to.copy_from_slice(from);
    }
    n
}

const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

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

    /// Takes the parts one after the other, with room for `room` bytes at a time: the body, and what follows it.
    fn taken(parts: &[&[u8]], room: usize) -> Result<(Vec<u8>, Vec<u8>, bool), BodyError> {
        let mut body = Body::new(Framing::Chunked);
        let (mut out, mut made, mut rest) = (std::vec![0; room], Vec::new(), Vec::new());
        for part in parts {
            rest.extend_from_slice(part);
            loop {
                let (used, n) = body.take(&rest, &mut out)?;
                rest.drain(..used);
                made.extend_from_slice(&out[..n]);
                if used == 0 {
                    break;
                }
            }
        }
        Ok((made, rest, body.is_done()))
    }

    const WHOLE: &[u8] =
        b"5\r\nhello\r\n000A ; a=\"b;c\"\r\n0123456789\r\n0;last\r\nX-Sum: 17\r\nY:\r\n\r\nGET / ";

    #[test]
    fn chunks_are_the_same_at_every_split_and_room() {
        for room in [1, 2, 7, 64] {
            for at in 0..=WHOLE.len() {
                let (front, back) = WHOLE.split_at(at);
                let expected = (b"hello0123456789".to_vec(), b"GET / ".to_vec(), true);
                assert_eq!(taken(&[front, back], room), Ok(expected), "{at}, {room}");
            }
            let bytes: Vec<&[u8]> = WHOLE.chunks(1).collect();
            assert_eq!(taken(&bytes, room).unwrap().0, b"hello0123456789");
        }
        for end in 0..WHOLE.len() - 6 {
            assert!(!taken(&[&WHOLE[..end]], 64).unwrap().2, "{end}");
        }
    }

    #[test]
    fn what_another_reader_could_take_for_other_chunks_is_refused() {
        let long = std::format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(1100));
        let zeros = std::format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(1100));
        let trailers = std::format!("0\r\n{}\r\n", "X: y\r\n".repeat(300));
        for malformed in [
            "\r\n",
            ";a\r\n",
            " 5\r\nhello",
            "5\nhello",
            "5\rhello",
            "5 \r\nhello",
            "0x5\r\nhello",
            "-5\r\nhello",
            "5\r\nhello\n",
            "5\r\nhello6\r\n",
            "5\r\nhello\r\r\n",
            "5;a\nb\r\n",
            "5;a\0\r\n",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nX: \n\r\n",
            "0\r\nX\0: \r\n",
            &long,
            &zeros,
            &trailers,
        ] {
            assert_eq!(taken(&[malformed.as_bytes()], 64), Err(BodyError::Malformed), "{malformed}");
        }
        // The largest size there is waits for its bytes.
        assert_eq!(taken(&[b"ffffffffffffffff\r\nab"], 64), Ok((b"ab".to_vec(), Vec::new(), false)));
    }

    #[test]
    fn many_small_extensions_beside_a_large_body_are_passed_over() {
        let chunk = std::format!("40;signature={}\r\n{}\r\n", "s".repeat(60), "d".repeat(64));
        let whole = chunk.repeat(100) + "0\r\n\r\n";
        let (body, rest, done) = taken(&[whole.as_bytes()], 64).unwrap();
        assert_eq!((body.len(), rest.len(), done), (6400, 0, true));
    }
}
