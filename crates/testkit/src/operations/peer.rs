//! The other end of the link: what a script says, and what every peer does, unless the script forbids it.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use flate2::{Decompress, FlushDecompress};
use wirelet_proto::Role;
use wirelet_proto::handshake::accept_key;

use super::ledger::{Fact, Ledger};
use super::{Link, Pulse};
use crate::random::Rng;
use crate::wire::Frame;

/// What the peer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends a message in so many fragments, with pings between them when `pings`.
    Send {
        /// Bytes, about.
        size: usize,
        /// Text or binary.
        text: bool,
        /// Frames.
        pieces: usize,
        /// Whether pings stand between them.
        pings: bool,
    },
    /// Sends so many messages of two bytes, in one piece.
    Messages(usize),
    /// Sends so many empty pings.
    Pings(usize),
    /// Sends so many pongs that nobody has asked for.
    Pongs(usize),
    /// Breaks the protocol.
    Err,
    /// From now on reads so.
    Pace(Pace),
    /// Answers pings and close frames, or does not.
    Polite(bool),
    /// Does nothing but read for so long, milliseconds.
    Sleep(u64),
    /// Closes.
    Close {
        /// The code.
        code: u16,
        /// The reason.
        reason: &'static str,
    },
    /// Sends nothing more.
    End,
    /// Resets the connection.
    Reset,
}

/// How the peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Whatever comes.
    Free,
    /// So many bytes each time, and so many milliseconds between.
    Slow(usize, u64),
    /// Nothing.
    Nothing,
}

/// The peer.
#[derive(Debug)]
pub struct Peer {
    link: Link,
    ledger: Ledger,
    pulse: Pulse,
    role: Role,
    compresses: bool,
    rng: Rng,
    script: VecDeque<Act>,
    pace: Pace,
    polite: bool,
    /// When it reads again, and when it goes on with its script, milliseconds.
    reads_at: u64,
    acts_at: u64,
    out: VecDeque<u8>,
    /// All bytes that it has sent or will send.
    queued: u64,
    /// Since when it can't write, milliseconds.
    blocked: Option<u64>,
    input: Vec<u8>,
    /// The opening handshake has not ended.
    opening: bool,
    message: Option<Message>,
    close_sent: bool,
    close_seen: bool,
    ends: bool,
    ended: bool,
    over: bool,
}

#[derive(Debug)]
struct Message {
    text: bool,
    compressed: bool,
    payload: Vec<u8>,
}

/// A peer that can't write for so long resets the connection, milliseconds.
const PATIENCE: u64 = 30_000;

impl Peer {
    /// A peer in `role`; `compresses`: permessage-deflate was agreed on, without context takeover.
    pub fn new(
        link: Link,
        ledger: Ledger,
        pulse: Pulse,
        role: Role,
        compresses: bool,
        script: &[Act],
        seed: u64,
    ) -> Self {
        Self {
            link,
            ledger,
            pulse,
            role,
            compresses,
            rng: Rng::new(seed),
            script: script.iter().cloned().collect(),
            pace: Pace::Free,
            polite: true,
            reads_at: 0,
            acts_at: 0,
            out: VecDeque::new(),
            queued: 0,
            blocked: None,
            input: Vec::new(),
            opening: false,
            message: None,
            close_sent: false,
            close_seen: false,
            ends: false,
            ended: false,
            over: false,
        }
    }

    /// The opening handshake comes first: a client asks for `/ws`, a server takes whatever it is asked for.
    pub fn with_handshake(mut self) -> Self {
        self.opening = true;
        if self.role == Role::Client {
            let request = "GET /ws HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
            self.say(request.as_bytes());
        }
        self
    }

    /// Whether it reads whatever comes.
    pub fn reads(&self) -> bool {
        self.pace == Pace::Free && !self.over
    }

    /// When it wants to be polled again at the latest, milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        let now = self.pulse.now();
        let reads = matches!(self.pace, Pace::Slow(..)).then_some(self.reads_at);
        let acts = (!self.script.is_empty()).then_some(self.acts_at);
        let blocked = self.blocked.map(|since| since + PATIENCE);
        [reads, acts, blocked].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Reads, acts and writes. Ready when its script has ended and the end under test is gone.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        loop {
            let before = self.pulse.moved();
            self.act();
            self.write(cx);
            self.read(cx);
            if self.over || self.pulse.moved() == before {
                break;
            }
        }
        if self.script.is_empty() && self.out.is_empty() {
            self.ledger.note(Fact::PeerIsDone);
        }
        if self.over || (self.script.is_empty() && self.link.is_dropped()) {
            self.ledger.note(Fact::PeerIsDone);
            return Poll::Ready(());
        }
        if self.pace != Pace::Free {
            self.link.peer_waits(cx);
        }
        Poll::Pending
    }

    fn act(&mut self) {
        while !self.over && !self.opening && self.acts_at <= self.pulse.now() && self.out.len() < 1 << 16 {
            let Some(act) = self.script.pop_front() else { return };
            self.pulse.moves();
            match act {
                Act::Send { size, text, pieces, pings } => self.send(size, text, pieces, pings),
                Act::Messages(count) => (0..count).for_each(|_| self.send(2, false, 1, false)),
                Act::Pings(count) => (0..count).for_each(|_| self.put(Frame::ping([]))),
                Act::Pongs(count) => (0..count).for_each(|_| self.put(Frame::pong([]))),
                Act::Err => self.err(),
                Act::Pace(pace) => self.pace = pace,
                Act::Polite(polite) => self.polite = polite,
                Act::Sleep(millis) => self.acts_at = self.pulse.now() + millis,
                Act::Close { code, reason } => self.close(Frame::close(code, reason), true),
                Act::End => self.ends = true,
                Act::Reset => self.reset(),
            }
        }
    }

    fn send(&mut self, size: usize, text: bool, pieces: usize, pings: bool) {
        if self.close_sent || self.ends {
            return;
        }
        let (number, payload) = self.ledger.peer_offers(size, text);
        let compressed = self.compresses && self.rng.one_in(2);
        let payload = if compressed { stored(payload.as_bytes()) } else { payload.into_bytes() };
        let piece = payload.len().div_ceil(pieces).max(1);
        let mut parts: Vec<&[u8]> = payload.chunks(piece).collect();
        parts.resize(pieces.max(parts.len()), &[]);
        let last = parts.len() - 1;
        for (at, part) in parts.into_iter().enumerate() {
            let opcode = match (at, text) {
                (0, true) => 1,
                (0, false) => 2,
                _ => 0,
            };
            let mut frame = Frame::new(opcode, part).rsv(if compressed && at == 0 { 4 } else { 0 });
            if at < last {
                frame = frame.fragment();
            }
            self.put(frame);
            if pings && at < last {
                self.put(Frame::ping([1, 2, 3]));
            }
        }
        self.ledger.peer_message_ends(number, self.queued);
    }

    fn err(&mut self) {
        if !self.close_sent && !self.ends {
            self.ledger.peer_errs(self.queued);
            self.put(Frame::new(3, "reserved"));
            self.close_sent = true;
        }
    }

    fn close(&mut self, frame: Frame, of_its_own_accord: bool) {
        if self.close_sent || self.ends {
            return;
        }
        self.put(frame);
        self.close_sent = true;
        self.ledger.peer_closes(self.queued, of_its_own_accord);
    }

    fn put(&mut self, frame: Frame) {
        let key = if self.rng.one_in(8) { [1, 2, 3, 4] } else { [0; 4] };
        let frame = if self.role == Role::Client { frame.masked(key) } else { frame };
        self.say(&frame.bytes());
    }

    fn say(&mut self, bytes: &[u8]) {
        self.queued += bytes.len() as u64;
        self.out.extend(bytes);
    }

    /// Takes the head of a request or response in, when it is complete.
    fn open(&mut self) {
        let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&self.input[..at]).into_owned();
        self.input.drain(..at + 4);
        self.opening = false;
        if self.role == Role::Client {
            if !head.starts_with("HTTP/1.1 101 ") {
                self.ledger.fail(format!("the handshake is answered {head:?}"));
            }
            return;
        }
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
        let accept = String::from_utf8_lossy(&accept_key(key.as_bytes())).into_owned();
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.say(response.as_bytes());
    }

    fn reset(&mut self) {
        self.ledger.note(Fact::PeerResets);
        self.link.peer_reset();
        self.script.clear();
        self.over = true;
    }

    fn write(&mut self, cx: &Context<'_>) {
        while !self.over && !self.out.is_empty() {
            let n = match self.link.peer_write(cx, self.out.as_slices().0) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(_)) => {
                    self.out.clear();
                    self.script.clear();
                    break;
                }
                Poll::Pending => {
                    let since = *self.blocked.get_or_insert(self.pulse.now());
                    if self.pulse.now() >= since + PATIENCE {
                        self.reset();
                    }
                    return;
                }
            };
            self.blocked = None;
            self.out.drain(..n);
        }
        self.blocked = None;
        if self.ends && !self.ended && !self.over {
            self.ended = true;
            self.ledger.note(Fact::PeerEnds);
            self.link.peer_end();
        }
    }

    fn read(&mut self, cx: &Context<'_>) {
        let now = self.pulse.now();
        let most = match self.pace {
            Pace::Nothing => return,
            Pace::Slow(..) if now < self.reads_at => return,
            Pace::Slow(bytes, every) => {
                self.reads_at = now + every;
                bytes
            }
            Pace::Free => 1 << 14,
        };
        let mut bytes = [0; 1 << 14];
        match self.link.peer_read(cx, &mut bytes[..most.min(1 << 14)]) {
            Poll::Ready(Ok(0)) => {
                if !self.input.is_empty() && !self.may_be_cut_off() {
                    self.ledger.fail(format!(
                        "the stream ends inside a frame, behind {} bytes of it",
                        self.input.len()
                    ));
                }
                self.ledger.note(Fact::EndSeen);
                self.pulse.moves();
                self.over = true;
            }
            Poll::Ready(Ok(n)) => {
                self.input.extend_from_slice(&bytes[..n]);
                if self.opening {
                    self.open();
                }
                while !self.opening
                    && let Some(len) = self.frame()
                {
                    self.input.drain(..len);
                }
            }
            Poll::Ready(Err(_)) => self.over = true,
            Poll::Pending => {}
        }
    }

    /// A connection that is given up may stop anywhere.
    fn may_be_cut_off(&self) -> bool {
        let facts = [Fact::Aborted, Fact::Stops, Fact::Dropped, Fact::PeerEnds, Fact::PeerErrs, Fact::Fails];
        facts.into_iter().any(|fact| self.ledger.knows(fact)) || self.ledger.may_be_given_up()
    }

    /// Takes a frame in; its length, when it is complete.
    fn frame(&mut self) -> Option<usize> {
        let [first, second] = *self.input.first_chunk::<2>()?;
        let (extended, len) = match second & 0x7f {
            126 => (2, usize::from(u16::from_be_bytes(*self.input[2..].first_chunk()?))),
            127 => (8, u64::from_be_bytes(*self.input[2..].first_chunk()?) as usize),
            len => (0, usize::from(len)),
        };
        let masked = second & 0x80 != 0;
        let at = 2 + extended + if masked { 4 } else { 0 };
        if self.input.len() < at + len {
            return None;
        }
        let mut payload = self.input[at..at + len].to_vec();
        if masked {
            let key: [u8; 4] = *self.input[at - 4..].first_chunk()?;
            unmask(&mut payload, key);
        }
        if masked != (self.role == Role::Server) {
            self.ledger.fail("a frame is masked that must not be, or the other way round");
        }
        if self.close_seen {
            self.ledger.fail(format!("a frame {first:#x} behind the close frame"));
        }
        self.take(first, payload);
        Some(at + len)
    }

    fn take(&mut self, first: u8, payload: Vec<u8>) {
        let (fin, opcode, compressed) = (first & 0x80 != 0, first & 0x0f, first & 0x40 != 0);
        if first & 0x30 != 0
            || (compressed && (!self.compresses || opcode == 0 || opcode > 2))
            || (opcode > 7 && !fin)
        {
            self.ledger.fail(format!("a frame begins with {first:#x}"));
        }
        match opcode {
            8 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.close_seen = true;
                self.ledger.close_seen(code);
                if self.polite {
                    self.close(Frame::new(8, payload), false);
                    self.ends = true;
                }
            }
            9 if self.polite && !self.close_sent && !self.ends => self.put(Frame::pong(payload)),
            9 | 10 => {}
            0..=2 => {
                if (opcode == 0) != self.message.is_some() {
                    self.ledger.fail(format!("a frame {first:#x} out of order"));
                }
                let new = || Message { text: opcode == 1, compressed, payload: Vec::new() };
                let message = self.message.get_or_insert_with(new);
                message.payload.extend(payload);
                if fin && let Some(message) = self.message.take() {
                    self.arrived(message);
                }
            }
            _ => self.ledger.fail(format!("a frame of opcode {opcode}")),
        }
    }

    fn arrived(&self, message: Message) {
        let Message { text, compressed, mut payload } = message;
        if compressed {
            payload.extend([0, 0, 0xff, 0xff]);
            payload = inflated(&payload);
        }
        self.ledger.arrived(text, &payload);
    }
}

/// `payload` as blocks that are stored (RFC 1951 3.2.4), and what RFC 7692 7.2.1 takes off the end.
fn stored(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 16);
    for part in payload.chunks(0xffff) {
        let len = part.len() as u16;
        out.push(0);
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(part);
    }
    out.push(0);
    out
}

/// What `payload` is decompressed, as far as it can be.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(1 << 18);
    // What is wrong with it is seen by what comes out.
    let _ = Decompress::new(false).decompress_vec(payload, &mut plain, FlushDecompress::Sync);
    plain
}

fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let mut words = payload.chunks_exact_mut(4);
    for four in &mut words {
        if let Some(four) = four.first_chunk_mut::<4>() {
            *four = (u32::from_ne_bytes(*four) ^ word).to_ne_bytes();
        }
    }
    words.into_remainder().iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}
