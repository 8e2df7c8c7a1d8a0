//! Scenarios that every driver runs: a dialogue of a scripted peer with an endpoint that echoes, for both roles.
//!
//! The endpoint's application echoes every message, whole or chunk by chunk, and closes with 1000 when it is pinged with
//! `close`. Its limit for messages is [`LIMIT`]. The driver's test moves bytes as [`Script::next`] says, over pipes of any size,
//! and compares how the connection ended with [`Scenario::close`].

use wirelet_proto::{CloseCode, CloseInfo, Initiator, Role};

use crate::wire::{Frame, LengthForm, ROLES, peer};

/// The longest message that the endpoint takes, bytes.
pub const LIMIT: u64 = 200;

/// The payload of the ping on which the endpoint closes.
pub const CLOSE: &[u8] = b"close";

/// A dialogue and its end.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about, with the endpoint's role.
    pub name: String,
    /// The endpoint's role.
    pub role: Role,
    steps: Vec<Step>,
    /// How the endpoint's connection ends.
    pub close: CloseInfo,
}

/// What the peer does.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Expect(Heard),
}

/// What an endpoint says: a message, its fragments joined, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    opcode: u8,
    payload: Vec<u8>,
}

/// What the driver's test does next for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'s> {
    /// Send all of this.
    Send(&'s [u8]),
    /// Read, and call [`Script::received`].
    Receive,
    /// End the writing side of the stream.
    Finish,
    /// Nothing: the endpoint has ended its side, too.
    Done,
}

/// The peer's side of one run.
#[derive(Clone, Debug)]
pub struct Script<'s> {
    scenario: &'s Scenario,
    at: usize,
    bytes: Vec<u8>,
    joined: Option<Heard>,
    finished: bool,
    over: bool,
}

impl Scenario {
    /// Begins a run.
    pub fn script(&self) -> Script<'_> {
        Script { scenario: self, at: 0, bytes: Vec::new(), joined: None, finished: false, over: false }
    }
}

impl<'s> Script<'s> {
    /// What to do now.
    ///
    /// # Panics
    /// The endpoint has said something else than it should have.
    #[allow(clippy::should_implement_trait)] // it never ends: `Act::Done` repeats
    pub fn next(&mut self) -> Act<'s> {
        let scenario = self.scenario;
        while let Some(step) = scenario.steps.get(self.at) {
            match step {
                Step::Send(bytes) => {
                    self.at += 1;
                    return Act::Send(bytes);
                }
                Step::Expect(expected) => match self.heard() {
                    Some(heard) => assert_eq!(heard, *expected, "{}, step {}", scenario.name, self.at),
                    None => {
                        assert!(!self.over, "{}: the stream ends before step {}", scenario.name, self.at);
                        return Act::Receive;
                    }
                },
            }
            self.at += 1;
        }
        if !core::mem::replace(&mut self.finished, true) {
            return Act::Finish;
        }
        assert!(self.bytes.is_empty(), "{}: {:?} too much", scenario.name, self.bytes);
        if self.over { Act::Done } else { Act::Receive }
    }

    /// These bytes have arrived; none: the stream has ended.
    pub fn received(&mut self, bytes: &[u8]) {
        self.over |= bytes.is_empty();
        self.bytes.extend(bytes);
    }

    /// The next message or control frame.
    fn heard(&mut self) -> Option<Heard> {
        loop {
            let (first, payload) = self.frame()?;
            let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
            if opcode >= 8 {
                return Some(Heard { opcode, payload });
            }
            match &mut self.joined {
                Some(message) => {
                    assert_eq!(opcode, 0, "{}: a continuation", self.scenario.name);
                    message.payload.extend(payload);
                }
                None => self.joined = Some(Heard { opcode, payload }),
            }
            if fin {
                return self.joined.take();
            }
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.bytes.first()?, self.bytes.get(1)?);
        // RFC 6455 5.1: a client masks, a server does not.
        assert_eq!(second & 0x80 != 0, self.scenario.role == Role::Client, "{}", self.scenario.name);
        let (len, at) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([*self.bytes.get(2)?, *self.bytes.get(3)?])), 4),
            len => (usize::from(len), 2),
        };
        let begin = if second & 0x80 == 0 { at } else { at + 4 };
        let payload = self.bytes.get(begin..begin + len)?;
        let key = if begin == at { vec![0; 4] } else { self.bytes[at..begin].to_vec() };
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.bytes.drain(..begin + len);
        Some((first, payload))
    }
}

/// All scenarios, for both roles.
pub fn scenarios() -> Vec<Scenario> {
    ROLES
        .into_iter()
        .flat_map(|role| [exchanges(role), closings(role), failures(role), ends(role)].concat())
        .collect()
}

struct Writer {
    scenario: Scenario,
}

impl Writer {
    fn new(role: Role, name: &str) -> Self {
        let name = format!("{name} ({role:?})");
        Self { scenario: Scenario { name, role, steps: Vec::new(), close: CloseInfo::default() } }
    }

    fn send(mut self, frames: impl IntoIterator<Item = Frame>) -> Self {
        let from = peer(self.scenario.role);
        let bytes = frames.into_iter().flat_map(|frame| frame.from(from).bytes()).collect();
        self.scenario.steps.push(Step::Send(bytes));
        self
    }

    fn send_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.scenario.steps.push(Step::Send(bytes.into()));
        self
    }

    fn expect(mut self, opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        self.scenario.steps.push(Step::Expect(Heard { opcode, payload }));
        self
    }

    /// The peer closes, and all is well.
    fn closed(self) -> Scenario {
        let normal = CloseCode::NORMAL;
        self.send([Frame::close(1000, "")]).expect(8, 1000_u16.to_be_bytes()).ends(
            Some(normal),
            Some(normal),
            Some(Initiator::Remote),
            false,
        )
    }

    fn failed(self, code: u16) -> Scenario {
        self.expect(8, code.to_be_bytes()).ends(
            Some(CloseCode::new(code)),
            None,
            Some(Initiator::Local),
            true,
        )
    }

    fn ends(
        mut self,
        sent: Option<CloseCode>,
        received: Option<CloseCode>,
        initiator: Option<Initiator>,
        failed: bool,
    ) -> Scenario {
        self.scenario.close = CloseInfo { sent, received, initiator, failed };
        self.scenario
    }
}

fn exchanges(role: Role) -> Vec<Scenario> {
    let new = |name| Writer::new(role, name);
    vec![
        new("text").send([Frame::text("täxt")]).expect(1, "täxt").closed(),
        new("empty messages").send([Frame::text(""), Frame::binary("")]).expect(1, "").expect(2, "").closed(),
        new("the longest short, the shortest long")
            .send([Frame::binary([1; 125])])
            .expect(2, [1; 125])
            .send([Frame::binary([2; 126])])
            .expect(2, [2; 126])
            .closed(),
        new("as long as it may be")
            .send([Frame::binary([3; LIMIT as usize])])
            .expect(2, [3; LIMIT as usize])
            .closed(),
        new("fragments, and a ping between them")
            .send([Frame::text(b"a\xc3").fragment(), Frame::ping("between")])
            // The pong may come before the first fragment's echo or after it, but never inside a frame.
            .send([Frame::continuation(b"\xa4").fragment(), Frame::continuation("")])
            .expect(10, "between")
            .expect(1, "aä")
            .closed(),
        new("pings and pongs")
            .send([Frame::ping("")])
            .expect(10, "")
            .send([Frame::pong("unasked"), Frame::ping([7; 125])])
            .expect(10, [7; 125])
            .closed(),
        new("one after the other")
            .send((0..20).map(|n| Frame::text(n.to_string())))
            .closed_after((0..20).map(|n| n.to_string())),
    ]
}

impl Writer {
    fn closed_after(mut self, texts: impl Iterator<Item = String>) -> Scenario {
        for text in texts {
            self = self.expect(1, text);
        }
        self.closed()
    }
}

fn closings(role: Role) -> Vec<Scenario> {
    let new = |name| Writer::new(role, name);
    let (normal, none) = (Some(CloseCode::NORMAL), Some(CloseCode::NO_STATUS));
    let closing =
        |name| new(name).send([Frame::ping(CLOSE)]).expect(10, CLOSE).expect(8, 1000_u16.to_be_bytes());
    let (here, there) = (Some(Initiator::Local), Some(Initiator::Remote));
    vec![
        new("a close with a reason")
            .send([Frame::close(4000, "so long")])
            .expect(8, 4000_u16.to_be_bytes())
            .ends(Some(CloseCode::new(4000)), Some(CloseCode::new(4000)), there, false),
        new("a close without a code")
            .send([Frame::close_empty()])
            .expect(8, "")
            .ends(none, none, there, false),
        closing("the endpoint closes").send([Frame::close(1000, "")]).ends(normal, normal, here, false),
        closing("the endpoint closes, and is answered late")
            .send([Frame::ping("x"), Frame::close_empty()])
            .ends(normal, none, here, false),
        closing("the endpoint closes, and is not answered").ends(normal, None, here, false),
        closing("the endpoint closes, and HTTP is the answer")
            .send_bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .ends(normal, None, here, true),
    ]
}

fn failures(role: Role) -> Vec<Scenario> {
    let masked_wrong = Frame::text("x").from(role).bytes();
    let frames = |name: &str, code: u16, frames: Vec<Frame>| {
        Writer::new(role, name).send([Frame::text("before")]).expect(1, "before").send(frames).failed(code)
    };
    vec![
        Writer::new(role, "masked as it must not be").send_bytes(masked_wrong).failed(1002),
        frames("reserved bits", 1002, vec![Frame::text("x").rsv(4)]),
        frames("a reserved opcode", 1002, vec![Frame::new(3, "")]),
        frames("a control frame in fragments", 1002, vec![Frame::ping("").fragment()]),
        frames("a control frame that is too long", 1002, vec![Frame::ping([0; 126])]),
        frames("a continuation of nothing", 1002, vec![Frame::continuation("x")]),
        frames(
            "a length that is not the shortest",
            1002,
            vec![Frame::text("x").length_form(LengthForm::Bits16)],
        ),
        frames("text that is not UTF-8", 1007, vec![Frame::text(b"\xff")]),
        frames("a close frame of one byte", 1002, vec![Frame::new(8, "x")]),
        frames("a close code that is not for the wire", 1002, vec![Frame::close(1005, "")]),
        frames("a reason that is not UTF-8", 1007, vec![Frame::close(1000, b"\xc0")]),
        frames("a message that is too long", 1009, vec![Frame::binary([0; LIMIT as usize + 1])]),
    ]
}

/// Streams that end without a close frame.
fn ends(role: Role) -> Vec<Scenario> {
    let begun = |name| Writer::new(role, name).send([Frame::text("hello")]).expect(1, "hello");
    let half = Frame::ping("half").from(peer(role)).bytes();
    let none = |writer: Writer| writer.ends(None, None, None, false);
    vec![
        none(Writer::new(role, "a stream that ends at once")),
        none(begun("a stream that ends between messages")),
        none(begun("a stream that ends inside a frame").send_bytes(&half[..half.len() - 1])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_notices_what_is_wrong() {
        let all = scenarios();
        let text = all.iter().find(|scenario| scenario.name == "text (Server)").unwrap();
        let wrong: [&[u8]; 4] =
            [b"\x81\x85\0\0\0\0t\xc3\xa4xt", b"\x82\x05t\xc3\xa4xt", b"\x81\x04text", b""];
        for bytes in wrong {
            let mut script = text.script();
            assert!(matches!(script.next(), Act::Send(_)));
            assert_eq!(script.next(), Act::Receive);
            script.received(bytes);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script.next()));
            assert!(outcome.is_err(), "{bytes:?}");
        }
        let mut script = text.script();
        script.next();
        script.received(b"\x01\x01t\x89\0\x80\x04\xc3\xa4xt");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script.next()));
        assert!(outcome.is_err(), "a ping was not expected");
    }

    #[test]
    fn names_are_unique() {
        let all = scenarios();
        let mut names: Vec<_> = all.iter().map(|scenario| &scenario.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
