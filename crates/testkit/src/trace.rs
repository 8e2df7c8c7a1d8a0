//! Runs a core over any split of the input and writes down what it does.

use std::sync::Arc;

use wirelet_proto::deflate::Params;
use wirelet_proto::{
    Chunk, CloseCode, Config, Connection, Delivery, Event, Extensions, Failure, Fixed, FrameSpan, Growable,
    Instant, MessageKind, OpCode, RecvBuffer, Role, SendError, Spare, Status, Upgraded,
};

use crate::codec::RunLength;
use crate::random::Keys;
use crate::reference::{self, End, Outcome, Rules};
use crate::wire::peer;

/// An event that owns its bytes. Chunks are put together again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame.
    Close(Option<(u16, String)>),
}

/// An endpoint with its buffer, its keys and its clock, and all that it has seen and sent.
#[derive(Debug)]
pub struct Endpoint<S> {
    /// The core.
    pub connection: Connection<Arc<Config>>,
    /// What it receives into.
    pub rx: RecvBuffer<S>,
    /// The codec and its output, where there is one.
    pub codec: Option<(RunLength, RecvBuffer<Growable>)>,
    /// Where its masking keys come from.
    pub keys: Keys,
    /// Its clock.
    pub now: Instant,
    /// The events.
    pub seen: Vec<Seen>,
    /// How many chunks came.
    pub chunks: u64,
    /// What was flushed or sent.
    pub sent: Vec<u8>,
    /// The error that `advance` answered.
    pub failure: Option<Failure>,
    /// `advance` has answered `Closed` or an error.
    pub closed: bool,
    /// Chunks of a message that has not ended.
    pub partial: Option<(MessageKind, Vec<u8>)>,
    span: Option<FrameSpan>,
}

/// An endpoint that receives into growable memory.
pub fn endpoint(role: Role, config: &Config) -> Endpoint<Growable> {
    let max = usize::try_from(config.limits.message).unwrap_or(usize::MAX);
    Endpoint::new(role, config, Growable::new(max))
}

impl<S: Spare> Endpoint<S> {
    /// An open endpoint that receives into `storage`, at time zero.
    pub fn new(role: Role, config: &Config, storage: S) -> Self {
        Self::make(role, config, storage, Extensions::NONE)
    }

    /// An open endpoint that may receive compressed messages; their output may grow to `room` bytes and
    /// [`wirelet_proto::FIXED_OVERHEAD`].
    pub fn compressed(role: Role, config: &Config, storage: S, room: usize) -> Self {
        let codec = (RunLength::default(), RecvBuffer::new(Growable::new(room)));
        Self { codec: Some(codec), ..Self::make(role, config, storage, Extensions::deflate(Params::LARGEST)) }
    }

    fn make(role: Role, config: &Config, storage: S, extensions: Extensions) -> Self {
        let now = Instant::from_millis(0);
        let upgraded = Upgraded { subprotocol: None, extensions };
        Self {
            connection: Connection::from_upgraded(role, Arc::new(config.clone()), upgraded, now),
            rx: RecvBuffer::new(storage),
            codec: None,
            keys: Keys::new(7),
            now,
            seen: Vec::new(),
            chunks: 0,
            sent: Vec::new(),
            failure: None,
            closed: false,
            partial: None,
            span: None,
        }
    }

    /// Puts as much of `bytes` into the buffer as there is room for; answers how much.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        let spare = self.rx.spare_mut();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.rx.commit(n);
        n
    }

    /// One `advance`, without a flush; an event is taken and written down.
    pub fn turn(&mut self) -> Result<Status, Failure> {
        let Self { connection, rx, codec, keys, now, .. } = self;
        let result = match codec {
            Some((codec, out)) => connection.advance_with(rx, codec, out, keys, *now),
            None => connection.advance(rx, keys, *now),
        };
        match result {
            Ok(Status::Ready(_)) => self.take(),
            Ok(Status::Closed) => self.closed = true,
            Ok(Status::NeedInput) => assert!(!self.rx.spare_mut().is_empty(), "no room after NeedInput"),
            Ok(_) => {}
            Err(failure) => {
                assert!(self.failure.replace(failure).is_none(), "a connection fails once");
                self.closed = true;
            }
        }
        result
    }

    /// Sends all that the core wants to send, at once, and reports that nothing waits.
    pub fn flush(&mut self) {
        let before = self.sent.len();
        while !self.connection.poll_transmit().is_empty() {
            let n = self.connection.poll_transmit().len();
            self.sent.extend_from_slice(self.connection.poll_transmit());
            self.connection.transmitted(n);
        }
        self.connection.sent(self.sent.len() - before, 0, self.now);
    }

    /// Advances and flushes until more input is needed or nothing more will come.
    pub fn run(&mut self) {
        loop {
            let result = self.turn();
            self.flush();
            if matches!(result, Ok(Status::NeedInput | Status::Closed) | Err(_)) {
                return;
            }
        }
    }

    /// Receives all of `bytes`, at once as far as there is room.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        self.run();
        while !bytes.is_empty() && !self.closed {
            let n = self.read(bytes);
            bytes = &bytes[n..];
            self.run();
        }
    }

    /// Sends a whole frame of a message.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8], fin: bool) -> Result<(), SendError> {
        let head = self.connection.begin_frame(kind, payload.len() as u64, fin, &mut self.keys)?;
        self.sent.extend_from_slice(&head);
        let at = self.sent.len();
        self.sent.extend_from_slice(payload);
        self.connection.mask(&mut self.sent[at..]);
        Ok(())
    }

    /// Starts the closing handshake.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), SendError> {
        self.connection.close(CloseCode::new(code), reason, &mut self.keys, self.now)
    }

    /// What was sent, as its receiver understands it; nothing may follow a close frame.
    pub fn sent(&self) -> Outcome {
        let rules = Rules::new(peer(self.connection.role()));
        let outcome = reference::decode(&rules, &self.sent);
        if outcome.end == End::Closed {
            let shorter = reference::decode(&rules, &self.sent[..self.sent.len() - 1]);
            assert_ne!(shorter.end, End::Closed, "bytes after a close frame");
        }
        outcome
    }

    /// The outcome in the reference decoder's words.
    pub fn outcome(&self) -> Outcome {
        let end = match self.failure {
            Some(failure) => End::Failed(failure.close_code().into()),
            None if self.closed => End::Closed,
            None => End::Open,
        };
        Outcome { seen: self.seen.clone(), end }
    }

    fn take(&mut self) {
        let event = match &self.codec {
            Some((_, out)) => self.connection.event_with(&self.rx, out),
            None => self.connection.event(&self.rx),
        };
        let seen = match event {
            Event::Text(text) => Some(Seen::Text(text.into())),
            Event::Binary(bytes) => Some(Seen::Binary(bytes.into())),
            Event::Ping(payload) => Some(Seen::Ping(payload.into())),
            Event::Pong(payload) => Some(Seen::Pong(payload.into())),
            Event::Close(frame) => {
                Some(Seen::Close(frame.map(|frame| (frame.code.into(), frame.reason.into()))))
            }
            Event::Chunk(chunk) => {
                self.chunks += 1;
                join(&mut self.partial, &mut self.span, chunk)
            }
        };
        self.seen.extend(seen);
    }
}

/// Puts a chunk to those before it; checks all that it says about itself.
fn join(
    partial: &mut Option<(MessageKind, Vec<u8>)>,
    span: &mut Option<FrameSpan>,
    chunk: Chunk<'_>,
) -> Option<Seen> {
    assert_eq!(chunk.first, partial.is_none(), "first");
    let (kind, payload) = partial.get_or_insert((chunk.kind, Vec::new()));
    assert_eq!(*kind, chunk.kind);
    assert_eq!(chunk.offset, payload.len() as u64, "offset in the message");
    if let Some(frame) = chunk.frame {
        match *span {
            Some(before) if frame.offset > 0 => {
                assert_eq!(frame, FrameSpan { offset: before.offset, ..before }, "the same frame");
            }
            before => {
                assert!(
                    before.is_none_or(|before| before.offset == before.len),
                    "the frame before is complete"
                );
                assert_eq!((frame.offset, frame.opcode != OpCode::Continuation), (0, chunk.first));
            }
        }
        let end = frame.offset + chunk.data.len() as u64;
        assert!(end <= frame.len);
        assert_eq!(chunk.last, frame.fin && end == frame.len, "last");
        *span = (!chunk.last).then_some(FrameSpan { offset: end, ..frame });
    }
    payload.extend_from_slice(chunk.data);
    if !chunk.last {
        return None;
    }
    partial.take().map(|(kind, payload)| match kind {
        MessageKind::Text => Seen::Text(String::from_utf8(payload).expect("a text message is UTF-8")),
        MessageKind::Binary => Seen::Binary(payload),
    })
}

/// A buffer to run a core with.
#[derive(Clone, Copy, Debug)]
pub enum Buffer {
    /// Fixed, with so many bytes.
    Fixed(usize),
    /// Growable, for messages of so many bytes.
    Growable(usize),
}

/// Runs an endpoint over `wire` in pieces of `sizes`, cyclically.
pub fn run(role: Role, config: &Config, buffer: Buffer, wire: &[u8], sizes: &[usize]) -> Outcome {
    match buffer {
        Buffer::Fixed(n) => {
            let mut memory = vec![0xaa; n];
            feed(Endpoint::new(role, config, Fixed::new(&mut memory[..])), wire, sizes)
        }
        Buffer::Growable(max) => feed(Endpoint::new(role, config, Growable::new(max)), wire, sizes),
    }
}

/// Feeds `wire` in pieces of `sizes`, cyclically; checks the answers that were sent on the way.
pub fn feed<S: Spare>(mut endpoint: Endpoint<S>, wire: &[u8], sizes: &[usize]) -> Outcome {
    let mut rest = wire;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        endpoint.receive(piece);
        rest = after;
        if rest.is_empty() || endpoint.closed {
            break;
        }
    }
    if matches!(endpoint.seen.last(), Some(Seen::Close(_))) {
        assert!(endpoint.closed, "closed after a close frame");
    }
    let outcome = endpoint.outcome();
    assert_eq!(endpoint.sent().seen, outcome.answers(), "answers");
    outcome
}

/// `config` with chunk delivery.
pub fn chunked(config: &Config) -> Config {
    Config { delivery: Delivery::Chunks, ..config.clone() }
}
