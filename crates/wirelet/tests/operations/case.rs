//! A case: a connection, what the application does with it, and what the peer does.

use std::time::Duration;

use testkit::operations::ledger::Times;
use testkit::operations::link::Shape;
use testkit::operations::numbered::SIZES;
use testkit::operations::peer::{Act, Pace};
use testkit::operations::shrink::{Smaller, without};
use testkit::random::Rng;
use wirelet::{Config, Delivery, Keepalive, Limits, Role, SlowReceiver};

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) role: Role,
    /// By `drive`, or without a task.
    pub(crate) driven: bool,
    pub(crate) waits: Waits,
    pub(crate) chunks: bool,
    pub(crate) compressed: bool,
    /// `Limits::queued`.
    pub(crate) queued: usize,
    pub(crate) shape: Shape,
    /// The halves are in two tasks.
    pub(crate) split: bool,
    /// The handler only waits while both halves are elsewhere.
    pub(crate) away: bool,
    /// Whoever has the sending half waits for the receiving one.
    pub(crate) joins: bool,
    /// A sender that does nothing lives to the end.
    pub(crate) probe: bool,
    /// What the task does that sends, and receives when not split.
    pub(crate) main: Vec<Op>,
    pub(crate) receiver: Vec<Op>,
    pub(crate) senders: Vec<Vec<Op>>,
    pub(crate) exit: Exit,
    /// When the task is aborted, milliseconds.
    pub(crate) abort: Option<u64>,
    pub(crate) peer: Vec<Act>,
    /// What the peer does at last.
    pub(crate) finish: Vec<Act>,
}

/// Which deadlines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Default,
    Fast,
    /// No keepalive.
    Off,
}

/// What a task does next.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send {
        size: usize,
        text: bool,
        borrowed: bool,
    },
    Feed {
        size: usize,
        text: bool,
    },
    Flush,
    Ping(usize),
    /// Through a `Sender` of the task.
    Queue {
        size: usize,
        policy: SlowReceiver,
        waits: bool,
    },
    Fragments {
        size: usize,
        text: bool,
        pieces: usize,
        finish: bool,
    },
    /// One message or chunk; with control frames where `events`.
    Receive {
        events: bool,
    },
    /// Receives to the end.
    Drain,
    /// With a reason of so many bytes: more than 123 are refused.
    Close {
        code: u16,
        reason: usize,
    },
    Sleep(u64),
    /// Drops the operation after so many polls.
    Polls(usize, Box<Op>),
    /// Drops the operation after so long, milliseconds.
    Within(u64, Box<Op>),
}

/// How the handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Return,
    Error,
    Panic,
}

impl Case {
    pub(crate) fn random(seed: u64, role: Role, driven: bool) -> Self {
        let rng = &mut Rng::new(seed ^ (u64::from(driven) << 62) ^ (u64::from(role == Role::Client) << 61));
        let waits = [Waits::Default, Waits::Default, Waits::Fast, Waits::Off][rng.below(4)];
        let split = rng.one_in(2);
        let chunks = rng.one_in(4);
        let shape = shape(rng);
        let narrow = shape.outgoing.min(shape.incoming).min(shape.most) <= 100;
        let mut finish = finish(rng, waits);
        if rng.one_in(4) {
            finish.insert(0, Act::Sleep(1 + rng.below(3000) as u64));
        }
        Self {
            seed,
            role,
            driven,
            waits,
            chunks,
            compressed: rng.one_in(8),
            queued: [300, 5000, 100_000, 1 << 20, 1 << 20][rng.below(5)],
            shape,
            split,
            away: rng.one_in(3),
            joins: !rng.one_in(3),
            probe: rng.one_in(2),
            main: main(rng, split, narrow),
            receiver: if split { receiver(rng) } else { Vec::new() },
            senders: (0..[0, 0, 1, 2, 3][rng.below(5)]).map(|_| sender(rng, narrow)).collect(),
            exit: [Exit::Return, Exit::Return, Exit::Error, Exit::Panic][rng.below(4)],
            abort: rng.one_in(10).then(|| rng.below(2000) as u64),
            peer: peer(rng, waits, narrow),
            finish,
        }
    }

    pub(crate) fn config(&self) -> Config {
        let (keepalive, closing) = match self.waits {
            Waits::Default => (Keepalive::new(), 5000),
            Waits::Off => (Keepalive::off(), 5000),
            Waits::Fast => {
                let second = Duration::from_secs(1);
                (Keepalive { ping: Some(second), pong: second, idle: Some(4 * second) }, 500)
            }
        };
        let closing_time = Duration::from_millis(closing);
        let limits = Limits { queued: self.queued, closing_time, ..Limits::new() };
        Config {
            limits,
            keepalive,
            delivery: if self.chunks { Delivery::Chunks } else { Delivery::Messages },
        }
    }

    pub(crate) fn times(&self) -> Times {
        match self.waits {
            Waits::Default => {
                Times { pong: 20_000, stalled: 120_000, closing: 5000, earliest: 5000, delivers: true }
            }
            Waits::Fast => Times { pong: 1000, stalled: 4000, closing: 500, earliest: 500, delivers: true },
            Waits::Off => {
                Times { pong: u64::MAX, stalled: 120_000, closing: 5000, earliest: 5000, delivers: true }
            }
        }
    }

    /// Whether the queue of senders may become full.
    pub(crate) fn fills(&self) -> bool {
        let all = self.senders.iter().flatten().chain(&self.main);
        let queued: usize = all.map(|op| op.queued_size().map_or(0, |size| size + 40)).sum();
        queued > self.queued
    }

    /// Whether a message of a `Sender` may be dropped for another one.
    pub(crate) fn drops(&self) -> bool {
        let oldest = |op: &Op| op.policy() == Some(SlowReceiver::DropOldest);
        self.fills() && self.senders.iter().flatten().chain(&self.main).any(oldest)
    }
}

impl Op {
    fn queued_size(&self) -> Option<usize> {
        match self {
            Self::Queue { size, .. } => Some(*size),
            Self::Polls(_, op) | Self::Within(_, op) => op.queued_size(),
            _ => None,
        }
    }

    fn policy(&self) -> Option<SlowReceiver> {
        match self {
            Self::Queue { policy, .. } => Some(*policy),
            Self::Polls(_, op) | Self::Within(_, op) => op.policy(),
            _ => None,
        }
    }
}

impl Smaller for Case {
    fn smaller(&self) -> Vec<Self> {
        let mut cases = Vec::new();
        cases.extend(without(&self.peer).into_iter().map(|peer| Self { peer, ..self.clone() }));
        cases.extend(without(&self.main).into_iter().map(|main| Self { main, ..self.clone() }));
        cases.extend(without(&self.receiver).into_iter().map(|receiver| Self { receiver, ..self.clone() }));
        cases.extend(without(&self.senders).into_iter().map(|senders| Self { senders, ..self.clone() }));
        for (at, sender) in self.senders.iter().enumerate() {
            cases.extend(without(sender).into_iter().map(|ops| {
                let mut case = self.clone();
                case.senders[at] = ops;
                case
            }));
        }
        let wide = Shape { outgoing: 1 << 16, incoming: 1 << 16, most: usize::MAX, hesitates: 0 };
        let plainer = [
            (self.compressed, Self { compressed: false, ..self.clone() }),
            (self.chunks, Self { chunks: false, ..self.clone() }),
            (self.abort.is_some(), Self { abort: None, ..self.clone() }),
            (self.shape != wide, Self { shape: wide, ..self.clone() }),
            (self.exit != Exit::Return, Self { exit: Exit::Return, ..self.clone() }),
            (self.probe, Self { probe: false, ..self.clone() }),
        ];
        cases.extend(plainer.into_iter().filter(|(differs, _)| *differs).map(|(_, case)| case));
        cases
    }
}

fn shape(rng: &mut Rng) -> Shape {
    let mut capacity = || [100, 5000, 65_536, 1 << 20][rng.below(4)];
    let (outgoing, incoming) = (capacity(), capacity());
    let most = [20, 1500, usize::MAX, usize::MAX][rng.below(4)];
    Shape { outgoing, incoming, most, hesitates: [0, 0, 3, 20][rng.below(4)] }
}

/// A size; where everything is narrow only small ones, or a case would take too long.
fn size(rng: &mut Rng, narrow: bool) -> usize {
    match if narrow { 4 + rng.below(36) } else { rng.below(40) } {
        0 => 200_000,
        1 => 65_535,
        2 => 65_536,
        3 => rng.below(70_000),
        4..=8 => rng.below(5000),
        _ => SIZES[rng.below(4)],
    }
}

/// Of a message whose number must be known.
fn queued_size(rng: &mut Rng, narrow: bool) -> usize {
    size(rng, narrow).max(1)
}

fn main(rng: &mut Rng, split: bool, narrow: bool) -> Vec<Op> {
    let mut ops: Vec<Op> =
        (0..rng.below(9)).map(|_| cancelled(rng, |rng| main_op(rng, split, narrow))).collect();
    if !split && rng.one_in(2) {
        ops.push(Op::Drain);
    }
    ops
}

fn main_op(rng: &mut Rng, split: bool, narrow: bool) -> Op {
    let text = rng.one_in(2);
    match rng.below(22) {
        0..=5 => Op::Send { size: size(rng, narrow), text, borrowed: rng.one_in(3) },
        6..=7 => Op::Feed { size: size(rng, narrow), text },
        8 => Op::Flush,
        9 => Op::Ping([0, 4, 125][rng.below(3)]),
        10..=11 => queue(rng, narrow),
        12 => {
            Op::Fragments { size: size(rng, narrow), text, pieces: 1 + rng.below(4), finish: !rng.one_in(4) }
        }
        13 => sleep(rng),
        14 => close(rng),
        _ if split => Op::Send { size: size(rng, narrow), text, borrowed: false },
        _ => Op::Receive { events: rng.one_in(4) },
    }
}

fn receiver(rng: &mut Rng) -> Vec<Op> {
    let mut ops: Vec<Op> = (0..rng.below(5))
        .map(|_| {
            cancelled(rng, |rng| match rng.one_in(4) {
                true => sleep(rng),
                false => Op::Receive { events: rng.one_in(4) },
            })
        })
        .collect();
    if !rng.one_in(4) {
        ops.push(Op::Drain);
    }
    ops
}

fn sender(rng: &mut Rng, narrow: bool) -> Vec<Op> {
    (0..1 + rng.below(6))
        .map(|_| {
            cancelled(rng, |rng| match rng.below(16) {
                0..=1 => sleep(rng),
                2 if rng.one_in(2) => close(rng),
                _ => queue(rng, narrow),
            })
        })
        .collect()
}

fn queue(rng: &mut Rng, narrow: bool) -> Op {
    use SlowReceiver::{Close, DropNewest, DropOldest, Wait};
    let policy = [Wait, Wait, Wait, Wait, DropNewest, DropOldest, Close][rng.below(7)];
    Op::Queue { size: queued_size(rng, narrow), policy, waits: !rng.one_in(3) }
}

fn close(rng: &mut Rng) -> Op {
    let code = [1000, 1001, 3000, 4999][rng.below(4)];
    Op::Close { code, reason: [0, 5, 123, 124][rng.below(4)] }
}

fn sleep(rng: &mut Rng) -> Op {
    let most = [10, 1000, 10_000, 10_000, 130_000, 600_000][rng.below(6)];
    Op::Sleep(1 + rng.below(most) as u64)
}

/// Mostly the operation; sometimes it is dropped on its way, and what waits for nothing has a size of its own.
fn cancelled(rng: &mut Rng, op: impl Fn(&mut Rng) -> Op) -> Op {
    let op = op(rng);
    let inner = match op {
        // Of an empty message nobody could say whether it was sent.
        Op::Send { size: 0, .. } | Op::Feed { size: 0, .. } | Op::Fragments { size: 0, .. } => return op,
        Op::Sleep(_) => return op,
        inner => inner,
    };
    match rng.below(8) {
        0 => Op::Polls(rng.below(5), Box::new(inner)),
        1 => Op::Within(1 + rng.below(2000) as u64, Box::new(inner)),
        _ => inner,
    }
}

fn peer(rng: &mut Rng, waits: Waits, narrow: bool) -> Vec<Act> {
    (0..rng.below(9)).map(|_| act(rng, waits, narrow)).collect()
}

fn act(rng: &mut Rng, waits: Waits, narrow: bool) -> Act {
    match rng.below(26) {
        0..=10 => Act::Send {
            size: size(rng, narrow),
            text: rng.one_in(2),
            pieces: [1, 1, 1, 2, 5][rng.below(5)],
            pings: rng.one_in(2),
        },
        11 => Act::Messages(rng.below(300)),
        12 => Act::Pings(rng.below(60)),
        13 => Act::Pongs(rng.below(60)),
        14 => Act::Polite(rng.one_in(2)),
        15..=17 => Act::Pace(pace(rng, waits)),
        18..=23 => {
            let most = [10, 1000, 10_000, 30_000, 150_000][rng.below(5)];
            Act::Sleep(1 + rng.below(most) as u64)
        }
        24 if rng.one_in(2) => Act::Err,
        _ => Act::Messages(1),
    }
}

fn pace(rng: &mut Rng, waits: Waits) -> Pace {
    match rng.below(3) {
        0 if waits != Waits::Off => Pace::Nothing,
        0 | 1 => Pace::Free,
        _ => Pace::Slow([50, 2000, 16_000][rng.below(3)], [10, 100, 700][rng.below(3)]),
    }
}

fn finish(rng: &mut Rng, waits: Waits) -> Vec<Act> {
    let close = Act::Close { code: [1000, 1001, 4000][rng.below(3)], reason: ["", "because"][rng.below(2)] };
    let which = if waits == Waits::Off { rng.below(6) } else { rng.below(8) };
    match which {
        0..=2 => vec![Act::Polite(true), Act::Pace(Pace::Free), close],
        3 => vec![Act::Polite(true), Act::Pace(Pace::Free), Act::End],
        4 => vec![Act::Reset],
        5 => vec![Act::Polite(true), Act::Pace(Pace::Slow(3000, 200)), close],
        6 => vec![Act::Pace(Pace::Nothing)],
        _ => vec![Act::Polite(false), Act::Pace(Pace::Free)],
    }
}
