//! One connection of the load: sends prepared frames, and reads no more of the answers than their headers.

use std::io::{ErrorKind, Read, Write};
use std::iter::Sum;
use std::net::{SocketAddr, TcpStream};
use std::ops::{Add, Sub};
use std::rc::Rc;
use std::time::Duration;

use flate2::{Decompress, FlushDecompress};

use crate::Failure;
use crate::traffic::{DOCUMENTS, LENGTH, Setting, Traffic, Window};

/// The beginning of a connection's answers that is kept, bytes, and checked after the measurement.
const KEPT: usize = 256 << 10;
/// Of those after it one in so many is kept, where each can be inflated by itself.
const SAMPLE: usize = 509;
const PATIENCE: Duration = Duration::from_secs(30);

/// What has come back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    /// Of the answers' payloads, as they are on the wire.
    pub(crate) bytes: u64,
    pub(crate) uncompressed: u64,
}

/// A connection whose opening handshake is over.
pub(crate) struct Connection {
    stream: TcpStream,
    traffic: Rc<Traffic>,
    extension: String,
    answers_take_over: bool,
    sent: usize,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// The bytes of `incoming` that are answers.
    filled: usize,
    tally: Tally,
    kept: Vec<Answer>,
    kept_bytes: usize,
}

/// An answer to be checked.
struct Answer {
    number: usize,
    compressed: bool,
    payload: Vec<u8>,
}

impl Connection {
    /// Connects and opens a WebSocket. `traffic` is made at the first connection, of what was agreed.
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        setting: Setting,
        traffic: &mut Option<Rc<Traffic>>,
    ) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let offer =
            setting.offer().map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).unwrap_or_default();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        )?;
        let extension = read_response(&mut stream)?;
        if (setting != Setting::Plain) != extension.starts_with("permessage-deflate") {
            return Err(format!("the server's extension is '{extension}'").into());
        }
        stream.set_nonblocking(true)?;
        let window = if setting == Setting::Plain { None } else { Some(agreed(&extension)?) };
        Ok(Self {
            answers_take_over: !extension.contains("server_no_context_takeover"),
            stream,
            traffic: Rc::clone(traffic.get_or_insert_with(|| Rc::new(Traffic::new(window)))),
            extension,
            sent: 0,
            outgoing: Vec::new(),
            incoming: vec![0; 256 << 10],
            filled: 0,
            tally: Tally::default(),
            kept: Vec::new(),
            kept_bytes: 0,
        })
    }

    /// What the server has answered to the offer.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Sends the next so many messages in one write; what does not fit goes with the next call.
    pub(crate) fn send(&mut self, messages: usize) -> Result<(), Failure> {
        for _ in 0..messages {
            let (round, number) = (self.sent / DOCUMENTS, self.sent % DOCUMENTS);
            let frames = if round == 0 { &self.traffic.first } else { &self.traffic.again };
            self.outgoing.extend_from_slice(&frames[number]);
            self.sent += 1;
        }
        if self.outgoing.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.outgoing) {
            Ok(written) => drop(self.outgoing.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes in what has come; how many answers are now complete.
    pub(crate) fn receive(&mut self) -> Result<usize, Failure> {
        match self.stream.read(&mut self.incoming[self.filled..]) {
            Ok(0) => return Err("the server has closed a connection".into()),
            Ok(length) => self.filled += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        let (mut at, mut answers) = (0, 0);
        while let Some((header, length)) = frame_size(&self.incoming[at..self.filled]) {
            let payload = at + header..at + header + length;
            if payload.end > self.filled {
                break;
            }
            at = payload.end;
            self.take(self.incoming[payload.start - header], payload)?;
            answers += 1;
        }
        self.incoming.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(answers)
    }

    fn take(&mut self, first: u8, payload: std::ops::Range<usize>) -> Result<(), Failure> {
        let compressed = match first {
            0xc1 => true,
            0x81 => false,
            _ => return Err(format!("an answer begins with {first:#04x}: a whole text is expected").into()),
        };
        let number = self.tally.answers as usize;
        self.tally.answers += 1;
        self.tally.bytes += payload.len() as u64;
        self.tally.uncompressed += u64::from(!compressed);
        let sampled = !self.answers_take_over && number.is_multiple_of(SAMPLE);
        if self.kept_bytes < KEPT || sampled {
            self.kept_bytes += payload.len();
            self.kept.push(Answer { number, compressed, payload: self.incoming[payload].to_vec() });
        }
        Ok(())
    }

    /// Checks the answers that were kept; how many they are. The connection is to be dropped after it.
    pub(crate) fn finish(&mut self) -> Result<usize, Failure> {
        let mut inflate = Decompress::new(false);
        for answer in &self.kept {
            let plain = if answer.compressed {
                decompress(&mut inflate, &answer.payload)?
            } else {
                answer.payload.clone()
            };
            if !self.answers_take_over {
                inflate.reset(false);
            }
            if plain != self.traffic.documents[answer.number % DOCUMENTS].as_bytes() {
                return Err(format!("answer {} is not what was sent", answer.number).into());
            }
        }
        Ok(self.kept.len())
    }
}

/// How this side compresses (RFC 7692 7.1).
fn agreed(extension: &str) -> Result<Window, Failure> {
    let bits = extension.split(';').find_map(|part| part.trim().strip_prefix("client_max_window_bits="));
    Ok(Window {
        bits: bits.map_or(Ok(15), str::parse)?,
        takeover: !extension.contains("client_no_context_takeover"),
    })
}

/// Reads a response up to its empty line; the value of its `Sec-WebSocket-Extensions`.
fn read_response(stream: &mut TcpStream) -> Result<String, Failure> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(format!("the server refuses: {}", head.lines().next().unwrap_or_default()).into());
    }
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-extensions").then(|| value.trim().to_owned())
    });
    Ok(field.unwrap_or_default())
}

/// The lengths of a server's frame header and payload, when the header is there.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [_, length @ 0..=125, ..] => Some((2, usize::from(length))),
        [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        _ => None,
    }
}

/// RFC 7692 7.2.2.
fn decompress(inflate: &mut Decompress, payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::with_capacity(2 * LENGTH);
    for part in [payload, &[0, 0, 0xff, 0xff]] {
        let before = inflate.total_in();
        inflate.decompress_vec(part, &mut plain, FlushDecompress::Sync)?;
        if inflate.total_in() - before != part.len() as u64 {
            return Err("an answer does not end where it should".into());
        }
    }
    Ok(plain)
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            bytes: self.bytes + other.bytes,
            uncompressed: self.uncompressed + other.uncompressed,
        }
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            answers: self.answers - other.answers,
            bytes: self.bytes - other.bytes,
            uncompressed: self.uncompressed - other.uncompressed,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}
