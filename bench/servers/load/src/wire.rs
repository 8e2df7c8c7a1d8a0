//! Bytes of the opening handshake and of frames (RFC 6455).

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::failure::{Context, Failure};

/// RFC 6455 5.2: the opcodes of whole data messages.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;

/// The largest head of a frame: two bytes, eight of length, four of masking key.
const LONGEST_HEAD: usize = 14;

/// RFC 6455 1.3: the example's key and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Any key will do for a server; a fixed one makes frames that can be sent again and again.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What opens a WebSocket at `/ws`.
pub(crate) fn request(port: u16, deflate: bool) -> Vec<u8> {
    let extensions = if deflate { format!("Sec-WebSocket-Extensions: {OFFER}\r\n") } else { String::new() };
    format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
    )
    .into_bytes()
}

/// Reads a head up to its empty line, and nothing behind it.
pub(crate) fn read_head(stream: &mut TcpStream) -> Result<String, Failure> {
    let mut seen = [0; 4096];
    loop {
        let count = stream.peek(&mut seen).context("handshake")?;
        if count == 0 {
            return Err(Failure("handshake: the connection was closed".into()));
        }
        if let Some(end) = seen[..count].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let mut head = vec![0; end + 4];
            stream.read_exact(&mut head).context("handshake")?;
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
        if count == seen.len() {
            return Err(Failure("handshake: the head is longer than 4 KiB".into()));
        }
        std::thread::yield_now();
    }
}

/// Reads the answer to [`request`]; returns the extensions that were agreed on.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Result<String, Failure> {
    let head = read_head(stream)?;
    if !head.starts_with("HTTP/1.1 101") || !head.contains(ACCEPT) {
        return Err(Failure(format!("handshake: {head}")));
    }
    let name = "sec-websocket-extensions:";
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
    Ok(line.map(|line| line[name.len()..].trim().to_owned()).unwrap_or_default())
}

/// A whole message in one masked frame.
pub(crate) fn masked_frame(opcode: u8, compressed: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, compressed, payload.len());
    frame[1] |= 0x80;
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A whole message in one frame as servers send it.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, false, payload.len());
    frame.extend(payload);
    frame
}

fn head(opcode: u8, compressed: bool, length: usize) -> Vec<u8> {
    let mut head = vec![0x80 | if compressed { 0x40 } else { 0 } | opcode];
    match length {
        0..126 => head.push(length as u8),
        126..65_536 => {
            head.push(126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

/// What a message is made of, and how it stands in a frame.
pub(crate) struct Sample {
    pub(crate) payload: Vec<u8>,
    pub(crate) frame: Vec<u8>,
    deflate: bool,
}

impl Sample {
    /// Bytes that no compression and no guess makes shorter.
    pub(crate) fn binary(size: usize) -> Self {
        let payload = noise(size);
        Self { frame: masked_frame(BINARY, false, &payload), payload, deflate: false }
    }

    /// A kilobyte of JSON, compressed.
    pub(crate) fn compressed() -> Result<Self, Failure> {
        let payload = json();
        Ok(Self { frame: masked_frame(TEXT, true, &deflate(&payload)?), payload, deflate: true })
    }

    /// Sends the message and compares the echo; returns the bytes of the echo's payload.
    pub(crate) fn check(&self, stream: &mut TcpStream, raw: bool) -> Result<usize, Failure> {
        stream.write_all(&self.frame).context("first echo")?;
        if raw {
            let mut echo = vec![0; self.frame.len()];
            stream.read_exact(&mut echo).context("first echo")?;
            return same(&echo, &self.frame);
        }
        let (first, payload) = read_message(stream)?;
        if first & 0x40 == 0 {
            return same(&payload, &self.payload);
        }
        same(&inflate(&payload)?, &self.payload)?;
        Ok(payload.len())
    }

    /// How long the payload of each answer has to be; `None` where the server's compressor decides that.
    pub(crate) fn answer(&self) -> Option<u64> {
        (!self.deflate).then_some(self.payload.len() as u64)
    }
}

fn same(found: &[u8], expected: &[u8]) -> Result<usize, Failure> {
    if found == expected {
        return Ok(found.len());
    }
    Err(Failure(format!("the echo of {} bytes differs: {} bytes", expected.len(), found.len())))
}

/// Reads one message of a server, of however many frames; returns the first byte and the payload.
fn read_message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>), Failure> {
    let (mut first, mut message) = (None, Vec::new());
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).context("first echo")?;
        let mut length = [0; 8];
        let extended = match head[1] {
            126 => 2,
            127 => 8,
            short => {
                length[7] = short;
                0
            }
        };
        stream.read_exact(&mut length[8 - extended..]).context("first echo")?;
        let mut payload = vec![0; u64::from_be_bytes(length) as usize];
        stream.read_exact(&mut payload).context("first echo")?;
        if head[0] & 8 != 0 {
            continue;
        }
        let first = *first.get_or_insert(head[0]);
        message.extend(payload);
        if head[0] & 0x80 != 0 {
            return Ok((first, message));
        }
    }
}

/// Counts whole messages in what a connection brings, and fails for whatever is no such message.
pub(crate) struct Messages {
    /// How long each has to be.
    expected: Option<u64>,
    masked: bool,
    head: [u8; LONGEST_HEAD],
    known: usize,
    /// Payload of the frame that has not come yet.
    left: u64,
    /// Payload of the message so far.
    length: u64,
    inside: bool,
}

impl Messages {
    pub(crate) const fn new(expected: Option<u64>, masked: bool) -> Self {
        Self { expected, masked, head: [0; LONGEST_HEAD], known: 0, left: 0, length: 0, inside: false }
    }

    /// Takes what has come; returns how many messages ended in it.
    #[inline]
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<usize, Failure> {
        let mut ended = 0;
        loop {
            if self.inside {
                let part = self.left.min(bytes.len() as u64);
                bytes = &bytes[part as usize..];
                self.left -= part;
                if self.left > 0 {
                    return Ok(ended);
                }
                ended += usize::from(self.end_frame()?);
            }
            let Some(rest) = self.take_head(bytes)? else { return Ok(ended) };
            bytes = rest;
        }
    }

    /// What is behind a head; `None` when it has not come to its end.
    fn take_head<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Failure> {
        loop {
            let wanted = if self.known < 2 { 2 } else { self.head_length() };
            if self.known >= 2 && self.known == wanted {
                self.begin_frame()?;
                return Ok(Some(bytes));
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.head[self.known] = byte;
            self.known += 1;
            bytes = rest;
        }
    }

    fn head_length(&self) -> usize {
        let extended = match self.head[1] & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.masked { 4 } else { 0 }
    }

    fn begin_frame(&mut self) -> Result<(), Failure> {
        let [first, second, ..] = self.head;
        if first & 0x30 != 0 || (second & 0x80 != 0) != self.masked {
            return Err(Failure(format!("a frame begins with {first:02x} {second:02x}")));
        }
        if first & 15 == 8 {
            return Err(Failure("a close frame".into()));
        }
        let byte = |at: usize| u64::from(self.head[at]);
        self.left = match second & 127 {
            126 => byte(2) << 8 | byte(3),
            127 => (2..10).fold(0, |length, at| length << 8 | byte(at)),
            short => u64::from(short),
        };
        self.length += if first & 8 == 0 { self.left } else { 0 };
        self.known = 0;
        self.inside = true;
        Ok(())
    }

    /// Whether a message has ended.
    fn end_frame(&mut self) -> Result<bool, Failure> {
        self.inside = false;
        if self.head[0] & 0x88 != 0x80 {
            return Ok(false);
        }
        let length = std::mem::take(&mut self.length);
        match self.expected {
            Some(expected) if expected != length => {
                Err(Failure(format!("a message of {length} bytes instead of {expected}")))
            }
            _ => Ok(true),
        }
    }
}

/// Pseudorandom bytes, the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A document of exactly a kilobyte.
fn json() -> Vec<u8> {
    let (mut items, mut state) = (Vec::new(), 12_345_u32);
    let document = |items: &[String]| format!("{{\"type\":\"telemetry\",\"items\":[{}]}}", items.join(","));
    while document(&items).len() < 980 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (whole, part, good) = (18 + (state >> 28), (state >> 20) & 63, state & 1024 == 0);
        items.push(format!("{{\"id\":{},\"temp\":{whole}.{part},\"ok\":{good}}}", 1000 + items.len()));
    }
    let mut text = document(&items).into_bytes();
    text.resize(1024, b' ');
    text
}

/// RFC 7692 7.2.1: without the empty block at the end.
fn deflate(plain: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut packed = Vec::with_capacity(2 * plain.len() + 100);
    let mut encoder = Compress::new(Compression::new(6), false);
    encoder
        .compress_vec(plain, &mut packed, FlushCompress::Sync)
        .map_err(|error| Failure(error.to_string()))?;
    packed.truncate(packed.len().saturating_sub(4));
    Ok(packed)
}

/// RFC 7692 7.2.2.
fn inflate(packed: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::with_capacity(1 << 16);
    let input = [packed, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false)
        .decompress_vec(&input, &mut plain, FlushDecompress::Sync)
        .map_err(|error| Failure(format!("the compressed echo: {error}")))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(messages: &mut Messages, bytes: &[u8], piece: usize) -> usize {
        bytes.chunks(piece).map(|piece| messages.take(piece).unwrap()).sum()
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes =
                [frame(BINARY, &noise(size)), frame(9, b"ping"), frame(BINARY, &noise(size))].concat();
            for piece in [1, 2, 3, 7, 70_000, 1 << 20] {
                assert_eq!(
                    count(&mut Messages::new(Some(size as u64), false), &bytes, piece),
                    2,
                    "{size} {piece}"
                );
            }
        }
    }

    #[test]
    fn masked_messages_are_counted() {
        let bytes = [masked_frame(BINARY, false, &noise(300)), masked_frame(TEXT, false, b"")].concat();
        assert_eq!(count(&mut Messages::new(None, true), &bytes, 5), 2);
    }

    #[test]
    fn fragments_are_one_message() {
        let mut bytes = frame(BINARY, b"abc");
        bytes[0] &= 0x7f;
        bytes.extend(frame(0, b"de"));
        assert_eq!(count(&mut Messages::new(Some(5), false), &bytes, 1), 1);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let take = |bytes: &[u8]| Messages::new(Some(3), false).take(bytes);
        assert!(take(&frame(BINARY, b"four")).is_err());
        assert!(take(&frame(8, b"")).is_err());
        assert!(take(&masked_frame(BINARY, false, b"abc")).is_err());
        assert!(take(&[0xa2, 3, 1, 2, 3]).is_err());
    }

    #[test]
    fn what_was_compressed_comes_back() {
        assert_eq!(json().len(), 1024);
        assert_eq!(inflate(&deflate(&json()).unwrap()).unwrap(), json());
    }
}
