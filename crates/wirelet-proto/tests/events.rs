//! An event that is ready stays what it is until the next `advance`, whatever is called meanwhile.

use testkit::random::Keys;
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::deflate::Params;
use wirelet_proto::{
    CloseCode, Codec, CodecError, Config, Connection, Delivery, Detach, Event, EventKind, Extensions, Front,
    Growable, Instant, MessageKind, Progress, RecvBuffer, Role, Spare, Status, Storage, Upgraded,
};

const NOW: Instant = Instant::from_millis(0);

/// Growable memory whose front can be taken.
#[derive(Debug)]
struct Pieces(Growable);

impl Pieces {
    fn new() -> Self {
        Self(Growable::new(1 << 16))
    }
}

impl Storage for Pieces {
    fn filled(&self) -> &[u8] {
        self.0.filled()
    }
    fn filled_mut(&mut self) -> &mut [u8] {
        self.0.filled_mut()
    }
    fn discard_front(&mut self, n: usize) {
        self.0.discard_front(n);
    }
    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    fn make_room(&mut self, want: usize) -> bool {
        self.0.make_room(want)
    }
    fn message_capacity(&self) -> u64 {
        self.0.message_capacity()
    }
}

impl Spare for Pieces {
    fn spare_mut(&mut self) -> &mut [u8] {
        self.0.spare_mut()
    }
    fn commit(&mut self, n: usize) {
        self.0.commit(n);
    }
}

impl Detach for Pieces {
    type Piece = Vec<u8>;

    fn detach_front(&mut self, skip: usize, n: usize) -> Vec<u8> {
        let piece = self.0.filled()[skip..skip + n].to_vec();
        self.0.discard_front(skip + n);
        piece
    }
}

/// Copies, up to its budget.
#[derive(Debug, Default)]
struct Copies {
    /// Bytes that it works on before it pauses.
    budget: Option<usize>,
}

impl Codec for Copies {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Result<Progress, CodecError> {
        let n = input.len().min(output.len()).min(self.budget.unwrap_or(usize::MAX));
        output[..n].copy_from_slice(&input[..n]);
        self.budget = self.budget.map(|budget| budget - n);
        Ok(Progress { consumed: n, produced: n, done: n == input.len() })
    }

    fn is_paused(&self) -> bool {
        self.budget == Some(0)
    }
}

/// A connection, what it receives into, and what its codec writes into.
struct End<'c> {
    core: Connection<&'c Config>,
    rx: RecvBuffer<Pieces>,
    out: RecvBuffer<Pieces>,
    codec: Copies,
    keys: Keys,
}

impl<'c> End<'c> {
    fn new(role: Role, config: &'c Config) -> Self {
        let upgraded = Upgraded { subprotocol: None, extensions: Extensions::deflate(Params::LARGEST) };
        Self {
            core: Connection::from_upgraded(role, config, upgraded, NOW),
            rx: RecvBuffer::new(Pieces::new()),
            out: RecvBuffer::new(Pieces::new()),
            codec: Copies::default(),
            keys: Keys::new(1),
        }
    }

    fn advance(&mut self) -> Status {
        self.core.advance_with(&mut self.rx, &mut self.codec, &mut self.out, &mut self.keys, NOW).unwrap()
    }

    fn read(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            assert!(self.rx.storage_mut().make_room(wire.len()));
            let spare = self.rx.spare_mut();
            let n = spare.len().min(wire.len());
            spare[..n].copy_from_slice(&wire[..n]);
            self.rx.commit(n);
            wire = &wire[n..];
        }
    }

    /// After `wire` an event is ready, that which comes after the first `skipped` ones.
    fn ready(role: Role, config: &'c Config, frames: &[Frame], skipped: usize) -> Self {
        let mut end = Self::new(role, config);
        assert_eq!(end.advance(), Status::NeedInput);
        end.read(&stream(peer(role), frames.to_vec()));
        for _ in 0..skipped {
            assert!(matches!(end.advance(), Status::Ready(_)));
        }
        assert!(matches!(end.advance(), Status::Ready(_)));
        end
    }

    fn event(&self) -> Event<'_> {
        self.core.event_with(&self.rx, &self.out)
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        self.core.take_message_with(&mut self.rx, &mut self.out)
    }
}

type Call = fn(&mut End<'_>);

/// Every public function of `Connection` and `RecvBuffer` that changes something, but [`RELEASING`]. With `storage_mut` a
/// driver could do anything; its contract is that received bytes stay.
const CALLS: &[(&str, Call)] = &[
    ("received_eof", |end| end.core.received_eof()),
    ("output_failed", |end| end.core.output_failed()),
    ("fail", |end| end.core.fail(CloseCode::PROTOCOL_ERROR, &mut end.keys, NOW)),
    ("close", |end| {
        let _ = end.core.close(CloseCode::NORMAL, "", &mut end.keys, NOW);
    }),
    ("ping", |end| {
        let _ = end.core.ping(b"123456789", &mut end.keys, NOW);
    }),
    ("transmitted", |end| end.core.transmitted(usize::MAX)),
    ("sent", |end| end.core.sent(5, 5, NOW)),
    ("acknowledged", |end| end.core.acknowledged(NOW)),
    ("output_unattended", |end| end.core.output_unattended(NOW, NOW)),
    ("set_ping_interval", |end| end.core.set_ping_interval(None)),
    ("end_by", |end| {
        end.core.end_by(NOW);
        end.core.handle_deadline(&mut end.keys, NOW);
    }),
    ("handle_deadline", |end| {
        for _ in 0..10 {
            let Some(due) = end.core.poll_deadline() else { return };
            end.core.handle_deadline(&mut end.keys, due);
            end.core.transmitted(usize::MAX);
            end.core.sent(0, 0, due);
        }
        panic!("a connection on which nothing happens any more ends");
    }),
    ("hold_reading", |end| {
        end.core.hold_reading(true, NOW);
        end.core.hold_reading(false, NOW);
    }),
    ("take_whole_message", |end| {
        assert_eq!(end.core.take_whole_message(&mut end.rx, NOW), Front::Other);
    }),
    ("find_whole_message", |end| {
        assert_eq!(end.core.find_whole_message(&mut end.rx, NOW), Front::Other);
    }),
    ("begin_frame, begin_compressed_frame", |end| {
        let _ = end.core.begin_frame(MessageKind::Text, 5, false, &mut end.keys);
        let _ = end.core.begin_compressed_frame(MessageKind::Text, 5, true, &mut end.keys);
    }),
    ("mask, copy_masked", |end| {
        end.core.mask(&mut [1; 20]);
        end.core.copy_masked(&[1; 20], &mut [0; 20]);
    }),
    ("spare_mut", |end| {
        end.rx.spare_mut().fill(0xee);
        end.out.spare_mut().fill(0xee);
    }),
    ("commit", |end| {
        end.rx.spare_mut().fill(0xee);
        end.rx.commit(100);
    }),
    ("storage_mut", |end| {
        end.rx.storage_mut().make_room(5000);
        end.out.storage_mut().make_room(5000);
    }),
];

/// What releases the event.
const RELEASING: &[&str] = &["advance", "advance_with", "take_message", "take_message_with"];

#[test]
fn no_public_function_is_missing_among_the_calls() {
    let mut names = Vec::new();
    for file in [
        "buffer.rs",
        "connection/mod.rs",
        "connection/receive.rs",
        "connection/transmit.rs",
        "connection/deadline.rs",
    ] {
        let path = format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        let functions = source.split("    pub fn ").chain(source.split("    pub const fn ")).skip(1);
        for function in functions.filter(|function| function.contains('(')) {
            let (head, _) = function.split_once('{').unwrap_or((function, ""));
            let name = head.split(['(', '<']).next().unwrap();
            if head.contains("&mut self") && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                names.push(name.to_string());
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
    let called = |name: &str| CALLS.iter().any(|(calls, _)| calls.split(", ").any(|call| call == name));
    names.retain(|name| !called(name) && !RELEASING.contains(&name.as_str()));
    assert_eq!(names, [] as [&str; 0]);
}

/// Streams, how many events are skipped, and what is ready after that.
fn cases() -> Vec<(Vec<Frame>, usize)> {
    let packed = |frame: Frame| frame.rsv(4);
    vec![
        (vec![Frame::text("täxt"), Frame::text("next")], 0),
        (vec![Frame::binary([7; 300])], 0),
        (vec![Frame::text("ab").fragment(), Frame::continuation("cd"), Frame::text("next")], 0),
        (vec![Frame::ping("?"), Frame::text("next")], 0),
        (vec![Frame::pong("!")], 0),
        (vec![Frame::text("ab").fragment(), Frame::ping("between"), Frame::continuation("cd")], 0),
        (vec![Frame::text("ab").fragment(), Frame::ping("between"), Frame::continuation("cd")], 1),
        (vec![Frame::close(4000, "bye")], 0),
        (vec![packed(Frame::text("packed")), Frame::text("next")], 0),
        (vec![packed(Frame::text("pa").fragment()), Frame::ping("?"), Frame::continuation("cked")], 1),
    ]
}

/// A message that had been announced was replaced by an empty one, since something else cleared the buffer.
#[test]
fn an_event_that_is_ready_stays_whatever_is_called() {
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let config = Config { delivery, ..Config::new() };
            for (frames, skipped) in cases() {
                let expected = format!("{:?}", End::ready(role, &config, &frames, skipped).event());
                for (name, call) in CALLS {
                    let mut end = End::ready(role, &config, &frames, skipped);
                    call(&mut end);
                    assert_eq!(format!("{:?}", end.event()), expected, "{name}");
                    call(&mut end);
                    assert_eq!(format!("{:?}", end.event()), expected, "{name} twice");
                }
                // In every pair of orders too.
                for (first, a) in CALLS {
                    for (second, b) in CALLS {
                        let mut end = End::ready(role, &config, &frames, skipped);
                        a(&mut end);
                        b(&mut end);
                        assert_eq!(format!("{:?}", end.event()), expected, "{first}, {second}");
                    }
                }
            }
        }
    }
}

/// The payload that is taken is that of the event, whatever was called before.
#[test]
fn a_message_that_is_ready_is_taken_whole_whatever_is_called() {
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let config = Config { delivery, ..Config::new() };
            for (frames, skipped) in cases() {
                for (name, call) in CALLS {
                    let mut end = End::ready(role, &config, &frames, skipped);
                    let expected = match end.event() {
                        Event::Text(text) => Some(text.as_bytes().to_vec()),
                        Event::Binary(data) => Some(data.to_vec()),
                        Event::Chunk(chunk) => Some(chunk.data.to_vec()),
                        _ => None,
                    };
                    call(&mut end);
                    assert_eq!(end.take(), expected, "{name}");
                    assert_eq!(end.take(), None, "{name}: once");
                }
            }
        }
    }
}

/// A ping inside a fragmented message was ready, and half of the message was handed out.
#[test]
fn half_a_message_cannot_be_taken() {
    for role in ROLES {
        let config = Config::new();
        let frames = [Frame::text("half").fragment(), Frame::ping("?"), Frame::continuation(" and half")];
        let mut end = End::ready(role, &config, &frames, 0);
        assert_eq!(end.event(), Event::Ping(b"?"));
        assert_eq!(end.core.take_message(&mut end.rx), None);
        assert_eq!(end.take(), None);
        assert_eq!(end.event(), Event::Ping(b"?"));
        assert_eq!(end.advance(), Status::Ready(EventKind::Text));
        assert_eq!(end.core.take_message(&mut end.rx).as_deref(), Some(&b"half and half"[..]));
        assert_eq!(end.event(), Event::Pong(&[]), "the event is over");
        assert_eq!(end.advance(), Status::NeedInput);
        assert_eq!(end.take(), None);
    }
}

/// What was collected of a compressed message is not what comes out of it.
#[test]
fn a_compressed_message_is_not_taken_from_the_buffer_of_the_wire() {
    for role in ROLES {
        let config = Config::new();
        let frames = [Frame::binary([5; 40]).rsv(4), Frame::binary("next")];
        let mut end = End::ready(role, &config, &frames, 0);
        assert_eq!(end.core.take_message(&mut end.rx), None);
        assert_eq!(end.take(), Some(vec![5; 40]));
        assert_eq!(end.advance(), Status::Ready(EventKind::Binary));
        assert_eq!(end.core.take_message(&mut end.rx).as_deref(), Some(&b"next"[..]));
    }
}

/// Messages in a row are taken out of one buffer, between them control frames.
#[test]
fn what_is_taken_leaves_the_next_messages_as_they_are() {
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let config = Config { delivery, ..Config::new() };
            let mut end = End::new(role, &config);
            assert_eq!(end.advance(), Status::NeedInput);
            let frames = (0..30_u8).flat_map(|i| {
                let piece = [i; 9];
                let packed = if i % 3 == 0 { 4 } else { 0 };
                [Frame::binary(piece).fragment().rsv(packed), Frame::ping([i]), Frame::continuation(piece)]
            });
            let wire = stream(peer(role), frames);
            let mut joined = Vec::new();
            for piece in wire.chunks(7) {
                end.read(piece);
                loop {
                    let status = end.advance();
                    end.core.transmitted(usize::MAX);
                    match status {
                        Status::NeedInput => break,
                        Status::Ready(_) => joined.extend(end.take().unwrap_or_default()),
                        other => panic!("{other:?}"),
                    }
                }
            }
            let expected: Vec<u8> = (0..30_u8).flat_map(|i| [i; 18]).collect();
            assert_eq!(joined, expected);
        }
    }
}

/// A message of the largest legal size was decompressed in one go, while all others waited.
#[test]
fn a_codec_that_has_worked_enough_pauses_inside_a_message() {
    for role in ROLES {
        for frames in [
            vec![Frame::binary([3; 1000]).rsv(4), Frame::binary("next")],
            vec![
                Frame::binary([3; 400]).rsv(4).fragment(),
                Frame::continuation([3; 600]),
                Frame::binary("next"),
            ],
        ] {
            let config = Config::new();
            let mut end = End::new(role, &config);
            end.codec.budget = Some(0);
            assert_eq!(end.advance(), Status::NeedInput);
            end.read(&stream(peer(role), frames));
            let mut pauses = 0;
            let status = loop {
                match end.advance() {
                    Status::Paused => {
                        assert_eq!(end.advance(), Status::Paused, "until it has been allowed more");
                        pauses += 1;
                        end.codec.budget = Some(100);
                    }
                    status => break status,
                }
            };
            assert_eq!((status, pauses), (Status::Ready(EventKind::Binary), 10));
            assert_eq!(end.event(), Event::Binary(&[3; 1000]));
            // What is not compressed does not ask it.
            end.codec.budget = Some(0);
            assert_eq!(end.advance(), Status::Ready(EventKind::Binary));
            assert_eq!(end.event(), Event::Binary(b"next"));
        }
    }
}

/// How whole messages are received.
#[derive(Clone, Copy)]
enum Way {
    /// By `advance`.
    General,
    /// By `take_whole_message`, where it takes them.
    Take,
    /// By `find_whole_message`, where it finds them.
    Find,
}

/// What comes out of `wire` that arrives in two parts, one line for each event, and how it ends. After an error nothing more is
/// read.
fn told(role: Role, config: &Config, wire: &[u8], split: usize, way: Way) -> Vec<String> {
    let mut end = End::new(role, config);
    let mut told = Vec::new();
    let (first, second) = wire.split_at(split);
    for (part, now) in [(first, NOW), (second, Instant::from_millis(7))] {
        end.read(part);
        loop {
            let front = match way {
                Way::General => Front::Other,
                Way::Take => end.core.take_whole_message(&mut end.rx, now),
                Way::Find => match end.core.find_whole_message(&mut end.rx, now) {
                    Front::Message(kind, range) => {
                        Front::Message(kind, end.rx.storage().filled()[range].to_vec())
                    }
                    Front::Nothing => Front::Nothing,
                    Front::Other => Front::Other,
                },
            };
            match front {
                Front::Message(kind, payload) => {
                    told.push(format!("{kind:?} {payload:x?}"));
                    continue;
                }
                Front::Nothing => break,
                Front::Other => {}
            }
            let status = end.core.advance_with(&mut end.rx, &mut end.codec, &mut end.out, &mut end.keys, now);
            match status {
                Ok(Status::Ready(EventKind::Text | EventKind::Binary)) => {
                    let kind = match end.event() {
                        Event::Text(_) => MessageKind::Text,
                        _ => MessageKind::Binary,
                    };
                    told.push(format!("{kind:?} {:x?}", end.take().unwrap()));
                }
                Ok(Status::Ready(_)) => told.push(format!("{:?}", end.event())),
                Ok(Status::NeedInput) => break,
                other => {
                    told.push(format!("{other:?} {:?}", end.core.close_info()));
                    return told;
                }
            }
            end.core.transmitted(usize::MAX);
            end.core.sent(0, 0, now);
        }
        told.push(format!("due at {:?}", end.core.poll_deadline()));
    }
    told
}

/// The short way to a whole message and the general one agree about everything, at every split.
#[test]
fn whole_messages_are_the_same_by_the_short_way() {
    let packed = |frame: Frame| frame.rsv(4);
    let streams = [
        vec![
            Frame::text("a"),
            Frame::binary([]),
            Frame::text("täxt"),
            Frame::text([b'x'; 20]),
            Frame::binary([7; 33]),
        ],
        vec![Frame::text([b'x'; 126]), Frame::binary([9; 200]), Frame::ping("?"), Frame::text("")],
        vec![Frame::text("a").fragment(), Frame::ping("?"), Frame::continuation("b"), Frame::text("c")],
        vec![packed(Frame::text("packed")), Frame::text("plain"), packed(Frame::binary("packed"))],
        vec![Frame::text("a"), Frame::close(4000, "bye"), Frame::text("after")],
        vec![Frame::text("good"), Frame::text([b'x', 0xc3]), Frame::text("after")],
        vec![Frame::text("good"), Frame::text([0xff; 40]), Frame::text("after")],
        vec![Frame::text("good"), Frame::binary([1; 301]), Frame::text("after")],
        vec![Frame::text("good"), Frame::text("bad").rsv(2), Frame::text("after")],
        vec![Frame::text("good"), Frame::continuation("bad"), Frame::text("after")],
        vec![Frame::text("a").fragment(), Frame::text("bad"), Frame::text("after")],
        vec![Frame::binary("x").length_form(testkit::wire::LengthForm::Bits16), Frame::text("after")],
    ];
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let mut config = Config { delivery, ..Config::new() };
            config.limits.message = 300;
            for frames in &streams {
                let wire = stream(peer(role), frames.clone());
                for split in 0..=wire.len() {
                    let general = told(role, &config, &wire, split, Way::General);
                    for way in [Way::Take, Way::Find] {
                        assert_eq!(told(role, &config, &wire, split, way), general, "{frames:?} at {split}");
                    }
                }
            }
        }
    }
    // The peer of another role masks where it must not, and does not where it must.
    for role in ROLES {
        let wire = stream(role, [Frame::text("a")]);
        let general = told(role, &Config::new(), &wire, 0, Way::General);
        assert_eq!(told(role, &Config::new(), &wire, 0, Way::Take), general);
        assert_eq!(told(role, &Config::new(), &wire, 0, Way::Find), general);
    }
}

/// A deadline came too late, since a message had brought it nearer and the driver had not looked: the next ping is due after
/// the last sign of life, which answers one that is on its way.
#[test]
fn the_short_way_brings_no_deadline_nearer() {
    for (ping, pong) in [(5, 60), (60, 5)] {
        for waits_for_pong in [false, true] {
            let mut config = Config::new();
            config.keepalive.ping = Some(std::time::Duration::from_secs(ping));
            config.keepalive.pong = std::time::Duration::from_secs(pong);
            let mut end = End::new(Role::Server, &config);
            let mut now = NOW;
            if waits_for_pong {
                now = end.core.poll_deadline().unwrap();
                assert_eq!(end.core.handle_deadline(&mut end.keys, now), None);
                end.core.transmitted(usize::MAX);
                end.core.sent(0, 0, now);
            }
            let due = end.core.poll_deadline().unwrap();
            end.read(&stream(Role::Client, [Frame::text("a")]));
            let front = end.core.take_whole_message(&mut end.rx, Instant::from_millis(now.as_millis() + 1));
            assert_eq!(front == Front::Other, waits_for_pong);
            assert!(end.core.poll_deadline().unwrap() >= due);
            end.core.begin_frame(MessageKind::Text, 1, true, &mut end.keys).unwrap();
            assert!(!end.core.is_watching_output());
            assert!(end.core.poll_deadline().unwrap() >= due);
        }
    }
}
