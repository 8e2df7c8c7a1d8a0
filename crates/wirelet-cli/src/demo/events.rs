//! Tells what happens, one line for each event, as the tutorial's client does.

use std::fmt;
use std::time::Duration;

use wirelet::proto::{Initiator, OpCode};
use wirelet::{Chunk, CloseInfo, CompressionInfo, MessageKind};

use super::json::{self, Inspection};
use crate::compression::Savings;
use crate::log::{Level, Log};
use crate::shown;
use crate::sizes::{Bytes, Span};

const TAG: &str = "demo";

/// The narrator: counts what it tells, and puts chunks together.
pub(crate) struct Events {
    log: Log,
    message: Assembly,
    sent: Total,
    received: Total,
}

/// Messages and their payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    messages: u64,
    bytes: u64,
}

/// A message as far as it has arrived.
#[derive(Debug, Default)]
struct Assembly {
    bytes: Vec<u8>,
    length: u64,
}

impl Events {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, message: Assembly::default(), sent: Total::default(), received: Total::default() }
    }

    /// The event before a connection is attempted.
    pub(crate) fn before_connect(&self, url: &str) {
        self.tell(format_args!("before connect: {}", shown::url(url)));
    }

    /// Whoever answers is trusted.
    pub(crate) fn insecure(&self) {
        let warning = format_args!("--insecure: the server's certificate is not checked");
        self.log.write(Level::Warning, TAG, warning);
    }

    /// The opening handshake has succeeded.
    pub(crate) fn connected(&self, subprotocol: Option<&str>, elapsed: Duration) {
        match subprotocol {
            Some(name) => self.tell(format_args!(
                "connected after {}, subprotocol {}",
                Span(elapsed),
                shown::text(name)
            )),
            None => self.tell(format_args!("connected after {}", Span(elapsed))),
        }
    }

    /// What has come of the offer to compress.
    pub(crate) fn compression(&self, agreed: Option<CompressionInfo>) {
        match agreed {
            Some(info) => self.tell(format_args!("agreed on {}", info.params)),
            None => self.tell(format_args!("not compressed: the server did not agree to it")),
        }
    }

    /// A text is sent.
    pub(crate) fn sending(&mut self, text: &str) {
        self.sent.add(text.len() as u64);
        self.tell(format_args!("sending text: {text}"));
    }

    /// A fragmented text of so many bytes is sent.
    pub(crate) fn sending_fragments(&mut self, fragments: &[&str]) {
        self.sent.add(fragments.iter().map(|fragment| fragment.len() as u64).sum());
        self.tell(format_args!("sending one text in {} fragments", fragments.len()));
        for (i, fragment) in fragments.iter().enumerate() {
            let opcode = if i == 0 { OpCode::Text } else { OpCode::Continuation };
            let fin = if i + 1 == fragments.len() { "FIN" } else { "no FIN" };
            self.tell(format_args!("  {}, {fin}, {}", Code(opcode), Bytes(fragment.len() as u64)));
        }
    }

    /// Data arrived. Tells opcode, lengths and offset as they are on the wire, then the text when it is complete.
    pub(crate) fn data(&mut self, chunk: &Chunk) {
        let size = Bytes(chunk.data.len() as u64);
        let end = if chunk.last { ", end of message" } else { "" };
        match &chunk.frame {
            Some(frame) => {
                let fin = if frame.fin { "FIN" } else { "no FIN" };
                self.tell(format_args!(
                    "data: {}, {fin}, total {}, chunk {size} at offset {}{end}",
                    Code(frame.opcode),
                    Bytes(frame.len),
                    frame.offset,
                ));
            }
            None => self.tell(format_args!("data: compressed, chunk {size} at offset {}{end}", chunk.offset)),
        }
        if chunk.first {
            self.message = Assembly::default();
        }
        self.message.append(&chunk.data);
        if chunk.last {
            self.received.add(self.message.length);
            self.message(chunk.kind);
        }
    }

    fn message(&mut self, kind: MessageKind) {
        let message = std::mem::take(&mut self.message);
        let length = Bytes(message.length);
        match (kind, message.text()) {
            (MessageKind::Text, Some(text)) => {
                self.text(text);
                self.json(text);
            }
            (MessageKind::Text, None) => {
                self.tell(format_args!("received text of {length}: too long to show or to look into"));
            }
            (MessageKind::Binary, _) => {
                self.tell(format_args!("received binary of {length}: {}", shown::Hex(&message.bytes)));
            }
        }
    }

    fn text(&self, text: &str) {
        if self.log.shows(Level::Verbose) {
            self.tell(format_args!("received text: {}", shown::full(text)));
        } else {
            self.tell(format_args!("received text: {}", shown::text(text)));
        }
    }

    fn json(&self, text: &str) {
        let Inspection::Array { elements, named } = json::inspect(text) else { return };
        let noun = if elements == 1 { "element" } else { "elements" };
        self.tell(format_args!("JSON array of {elements} {noun}, {} with id and name", named.len()));
        for element in named {
            self.tell(format_args!("  id {}, name {}", shown::text(&element.id), shown::text(&element.name)));
        }
    }

    /// A ping arrived, which the library has answered.
    pub(crate) fn ping(&self, payload: &[u8]) {
        let size = Bytes(payload.len() as u64);
        self.log.write(Level::Debug, TAG, format_args!("ping (opcode 9) of {size}, answered with a pong"));
    }

    /// A pong arrived.
    pub(crate) fn pong(&self, payload: &[u8]) {
        let size = Bytes(payload.len() as u64);
        self.log.write(Level::Debug, TAG, format_args!("pong (opcode 10) of {size}"));
    }

    /// The watchdog has expired.
    pub(crate) fn watchdog(&self, quiet: Duration) {
        self.tell(format_args!("no data for {}: the watchdog closes the connection", Span(quiet)));
    }

    /// A signal asks to stop.
    pub(crate) fn interrupted(&self) {
        self.tell(format_args!("interrupted: closing the connection"));
    }

    /// The closing handshake is over, or there was none.
    pub(crate) fn closed(&self, info: CloseInfo, reason: &str) {
        if let Some(code) = info.received {
            let words = shown::text(reason);
            let colon = if reason.is_empty() { "" } else { ": " };
            self.tell(format_args!("data: close (opcode 8), {code}{colon}{words}"));
        }
        let who = match info.initiator {
            Some(Initiator::Local) => "by this client",
            Some(Initiator::Remote) => "by the server",
            None => "without a close frame",
        };
        let clean = if info.is_clean() { "cleanly" } else { "not cleanly" };
        self.tell(format_args!("closed {clean}, {who}"));
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&self) {
        self.tell(format_args!("disconnected"));
    }

    /// What came and went.
    pub(crate) fn totals(&self) {
        self.tell(format_args!("sent {}, received {}", self.sent, self.received));
    }

    /// What compression has saved.
    pub(crate) fn savings(&self, info: CompressionInfo) {
        self.tell(format_args!("compression: {}", Savings(info)));
    }

    /// Something failed; the error itself ends the program.
    pub(crate) fn error(&self, error: &dyn fmt::Display) {
        self.log.write(Level::Error, TAG, format_args!("error: {error}"));
    }

    /// What came after this client's close frame was no answer to it.
    pub(crate) fn not_clean(&self, error: &dyn fmt::Display) {
        self.log.write(Level::Warning, TAG, format_args!("no clean answer to the close frame: {error}"));
    }

    fn tell(&self, message: fmt::Arguments<'_>) {
        self.log.write(Level::Info, TAG, message);
    }
}

impl Total {
    fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.messages == 1 { "message" } else { "messages" };
        write!(f, "{} {noun} ({})", self.messages, Bytes(self.bytes))
    }
}

impl Assembly {
    // What a server sends is kept up to the longest text that is looked into, and counted beyond.
    fn append(&mut self, data: &[u8]) {
        self.length = self.length.saturating_add(data.len() as u64);
        let room = json::LONGEST.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(data.get(..room).unwrap_or(data));
    }

    /// The whole message as text, if it has been kept and is one.
    fn text(&self) -> Option<&str> {
        let whole = self.length == self.bytes.len() as u64;
        if whole { std::str::from_utf8(&self.bytes).ok() } else { None }
    }
}

/// An opcode with its number.
struct Code(OpCode);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, number) = match self.0 {
            OpCode::Continuation => ("continuation", 0),
            OpCode::Text => ("text", 1),
            OpCode::Binary => ("binary", 2),
            OpCode::Close => ("close", 8),
            OpCode::Ping => ("ping", 9),
            OpCode::Pong => ("pong", 10),
        };
        write!(f, "{name} (opcode {number})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;
    use wirelet::Bytes as Payload;
    use wirelet::CloseCode;
    use wirelet::proto::FrameSpan;

    /// A piece of a message in one frame of `length` bytes.
    fn chunk(kind: MessageKind, data: &[u8], offset: u64, length: u64) -> Chunk {
        let opcode = if kind == MessageKind::Text { OpCode::Text } else { OpCode::Binary };
        let last = offset + data.len() as u64 == length;
        let frame = Some(FrameSpan { opcode, len: length, offset, fin: true });
        Chunk { kind, data: Payload::copy_from_slice(data), offset, frame, first: offset == 0, last }
    }

    /// The lines that come of it, without level, time and tag.
    fn told(level: Level, tell: impl FnOnce(&mut Events)) -> Vec<String> {
        let (log, gate) = log::captured(level);
        let mut events = Events::new(log.clone());
        tell(&mut events);
        log.finish();
        let message = |line: &str| line.split_once("demo: ").expect("a tag").1.to_owned();
        gate.text().lines().map(message).collect()
    }

    #[test]
    fn chunks_are_told_one_by_one_and_shown_together() {
        let lines = told(Level::Info, |events| {
            let text = "grün";
            events.data(&chunk(MessageKind::Text, &text.as_bytes()[..3], 0, 5));
            events.data(&chunk(MessageKind::Text, &text.as_bytes()[3..], 3, 5));
            events.totals();
        });
        assert_eq!(
            lines,
            [
                "data: text (opcode 1), FIN, total 5 bytes, chunk 3 bytes at offset 0",
                "data: text (opcode 1), FIN, total 5 bytes, chunk 2 bytes at offset 3, end of message",
                "received text: grün",
                "sent 0 messages (0 bytes), received 1 message (5 bytes)",
            ]
        );
    }

    #[test]
    fn compressed_data_has_no_frame() {
        let lines = told(Level::Info, |events| {
            events.data(&Chunk { frame: None, ..chunk(MessageKind::Text, b"hello", 0, 5) });
        });
        assert_eq!(
            lines,
            ["data: compressed, chunk 5 bytes at offset 0, end of message", "received text: hello"]
        );
    }

    #[test]
    fn a_long_message_is_counted_and_not_kept() {
        let long = vec![b'['; json::LONGEST + 1];
        let lines = told(Level::Info, |events| {
            events.data(&chunk(MessageKind::Text, &long, 0, long.len() as u64));
            assert_eq!(events.message.bytes.capacity(), 0);
            events.data(&chunk(MessageKind::Text, b"[]", 0, 2));
        });
        assert!(lines[1].starts_with("received text of 64.0 KiB: too long"), "{lines:?}");
        assert_eq!(lines[3..], ["received text: []", "JSON array of 0 elements, 0 with id and name"]);
    }

    #[test]
    fn long_texts_are_cut_unless_all_is_wanted() {
        let text = "x".repeat(200);
        let tell = |events: &mut Events| events.data(&chunk(MessageKind::Text, text.as_bytes(), 0, 200));
        assert!(told(Level::Info, tell)[1].ends_with("x…"));
        assert!(told(Level::Verbose, tell)[1].ends_with(&text));
    }

    #[test]
    fn pings_are_for_those_who_ask() {
        let tell = |events: &mut Events| {
            events.ping(b"now");
            events.pong(b"");
        };
        assert!(told(Level::Info, tell).is_empty());
        assert_eq!(
            told(Level::Debug, tell),
            ["ping (opcode 9) of 3 bytes, answered with a pong", "pong (opcode 10) of 0 bytes"]
        );
    }

    #[test]
    fn the_end_says_who_and_how() {
        let info = |initiator, received, failed| CloseInfo {
            sent: Some(CloseCode::NORMAL),
            received,
            initiator,
            failed,
        };
        let lines = told(Level::Info, |events| {
            events.closed(info(Some(Initiator::Local), Some(CloseCode::NORMAL), false), "");
            events.closed(info(Some(Initiator::Remote), Some(CloseCode::new(4000)), false), "why\n");
            events.closed(info(Some(Initiator::Local), None, true), "");
            events.closed(CloseInfo::default(), "");
        });
        assert_eq!(
            lines,
            [
                "data: close (opcode 8), 1000 (normal closure)",
                "closed cleanly, by this client",
                "data: close (opcode 8), 4000 (private code): why\\u{a}",
                "closed cleanly, by the server",
                "closed not cleanly, by this client",
                "closed not cleanly, without a close frame",
            ]
        );
    }
}
