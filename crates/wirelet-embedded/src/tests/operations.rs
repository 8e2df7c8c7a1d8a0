//! Random operations on connections of a server and a client: see `testkit::operations`.
//!
//! `WIRELET_SEED=n cargo test -p wirelet-embedded operations -- --nocapture` runs case `n` of both roles again and prints it, made
//! smaller when it fails. `WIRELET_CASES=1000000 cargo test --release -p wirelet-embedded operations` runs a million.

use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::rc::Rc;
use std::string::String;
use std::sync::{Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use testkit::operations::cases::cases;
use testkit::operations::executor::Step;
use testkit::operations::ledger::{End as Told, Fact, Kind, Operating, Times};
use testkit::operations::link::{Local, Shape};
use testkit::operations::peer::{Act, Pace};
use testkit::operations::shrink::{Smaller, without};
use testkit::operations::{Executor, Ledger, Link, Peer as Other, Pulse};
use testkit::random::{Keys, Rng};
use testkit::wire;
use wirelet_proto::handshake::Uri;
use wirelet_proto::{CloseCode, Config, Delivery, Event, Instant, Keepalive, Limits, MessageKind, Role};

use crate::client::{Client, ClientHandler, ClientResources, Options};
use crate::net::{Connect, Listen, Remote, Socket};
use crate::server::{Route, Server, Settings, WebSocketRoute};
use crate::{
    Cause, Clock, ConnectionId, End, Fragments, Handle, Handler, Message, Overflow, Peer, Resources,
    SendReason, Sender,
};

/// How long a task may last when nothing but the end is left, beyond the closing handshake: while the peer reads, and when it does
/// not. Milliseconds.
const ENDS: u64 = 8000;
const ENDS_UNREAD: u64 = 300_000;

/// How long a case may last, milliseconds.
const LONGEST: u64 = 4 * 60 * 60 * 1000;

/// How long stopping may last: the default of `closing_time`, and what it takes to notice, milliseconds.
const STOPS: u64 = 6000;

/// Everything that a run depends on.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    role: Role,
    chunks: bool,
    /// With 512 bytes to send from, or 2048.
    small: bool,
    fast: bool,
    overflow: Overflow,
    shape: Shape,
    /// What the handler does when a message or chunk arrives; the first when the connection opens.
    handler: Vec<Op>,
    tasks: Vec<Vec<Op>>,
    /// When the worker's future is dropped, milliseconds.
    abort: Option<u64>,
    peer: Vec<Act>,
    finish: Vec<Act>,
}

#[derive(Clone, Debug)]
enum Op {
    Send {
        size: usize,
        text: bool,
    },
    /// So many messages, each as soon as there is room.
    Stream(usize),
    Fragments {
        size: usize,
        text: bool,
        pieces: usize,
        finish: bool,
    },
    Ping,
    Close(u16),
    Stop,
    Sleep(u64),
    Nothing,
}

impl Case {
    fn random(seed: u64, role: Role) -> Self {
        let rng = &mut Rng::new(seed ^ (u64::from(role == Role::Client) << 61));
        let chunks = rng.one_in(2);
        let overflow =
            [Overflow::Refuse, Overflow::Refuse, Overflow::DropOldest, Overflow::Close][rng.below(4)];
        let finish = finish(rng);
        Self {
            seed,
            role,
            chunks,
            small: rng.one_in(2),
            fast: rng.one_in(3),
            overflow,
            shape: Shape {
                outgoing: [3, 60, 1000, 65_536][rng.below(4)],
                incoming: [3, 60, 1000, 65_536][rng.below(4)],
                most: [7, 200, usize::MAX][rng.below(3)],
                hesitates: [0, 0, 3, 20][rng.below(4)],
            },
            handler: (0..rng.below(8)).map(|_| handler_op(rng)).collect(),
            tasks: (0..rng.below(4)).map(|_| (0..1 + rng.below(5)).map(|_| task_op(rng)).collect()).collect(),
            abort: rng.one_in(12).then(|| rng.below(2000) as u64),
            peer: (0..rng.below(9)).map(|_| act(rng, chunks)).collect(),
            finish,
        }
    }

    fn config(&self) -> Config {
        let (keepalive, closing) = match self.fast {
            false => (Keepalive::new(), 5000),
            true => {
                let second = Duration::from_secs(1);
                (Keepalive { ping: Some(second), pong: second, idle: Some(4 * second) }, 500)
            }
        };
        Config {
            limits: Limits { closing_time: Duration::from_millis(closing), ..Limits::new() },
            keepalive,
            delivery: if self.chunks { Delivery::Chunks } else { Delivery::Messages },
        }
    }

    fn times(&self) -> Times {
        match self.fast {
            false => Times { pong: 20_000, stalled: 10_000, closing: 5000, earliest: 5000, delivers: false },
            true => Times { pong: 1000, stalled: 4000, closing: 500, earliest: 500, delivers: false },
        }
    }
}

impl Smaller for Case {
    fn smaller(&self) -> Vec<Self> {
        let mut cases = Vec::new();
        cases.extend(without(&self.peer).into_iter().map(|peer| Self { peer, ..self.clone() }));
        cases.extend(without(&self.tasks).into_iter().map(|tasks| Self { tasks, ..self.clone() }));
        for (at, task) in self.tasks.iter().enumerate() {
            cases.extend(without(task).into_iter().map(|ops| {
                let mut case = self.clone();
                case.tasks[at] = ops;
                case
            }));
        }
        cases.extend(without(&self.handler).into_iter().map(|handler| Self { handler, ..self.clone() }));
        let wide = Shape { outgoing: 1 << 16, incoming: 1 << 16, most: usize::MAX, hesitates: 0 };
        if self.shape != wide {
            cases.push(Self { shape: wide, ..self.clone() });
        }
        if self.abort.is_some() {
            cases.push(Self { abort: None, ..self.clone() });
        }
        cases
    }
}

fn size(rng: &mut Rng) -> usize {
    [1, 2, 20, 125, 126, 300, rng.below(500)][rng.below(7)]
}

fn handler_op(rng: &mut Rng) -> Op {
    match rng.below(12) {
        0..=4 => Op::Send { size: size(rng), text: rng.one_in(2) },
        5 => Op::Fragments {
            size: size(rng),
            text: rng.one_in(2),
            pieces: 1 + rng.below(3),
            finish: !rng.one_in(6),
        },
        6 => Op::Ping,
        7 if rng.one_in(3) => Op::Close([1000, 3000][rng.below(2)]),
        _ => Op::Nothing,
    }
}

fn task_op(rng: &mut Rng) -> Op {
    match rng.below(14) {
        0..=5 => Op::Send { size: size(rng).max(1), text: rng.one_in(2) },
        6 => Op::Stream(rng.below(200)),
        7..=8 => Op::Fragments {
            size: size(rng),
            text: rng.one_in(2),
            pieces: 1 + rng.below(4),
            finish: !rng.one_in(5),
        },
        9 if rng.one_in(3) => Op::Close([1000, 1001, 4000][rng.below(3)]),
        10 if rng.one_in(6) => Op::Stop,
        _ => Op::Sleep(millis(rng, [10, 1000, 30_000])),
    }
}

fn millis<const N: usize>(rng: &mut Rng, most: [usize; N]) -> u64 {
    let most = most[rng.below(N)];
    1 + rng.below(most) as u64
}

fn act(rng: &mut Rng, chunks: bool) -> Act {
    match rng.below(24) {
        0..=9 => {
            // Whole messages have to fit the receive buffer.
            let size = match chunks {
                true if rng.one_in(12) => rng.below(20_000),
                _ => [0, 1, 125, 126, rng.below(370)][rng.below(5)],
            };
            Act::Send { size, text: rng.one_in(2), pieces: [1, 1, 2, 4][rng.below(4)], pings: rng.one_in(2) }
        }
        10 => Act::Messages(rng.below(40)),
        11 => Act::Pings(rng.below(30)),
        12 => Act::Pongs(rng.below(30)),
        13 => Act::Polite(rng.one_in(2)),
        14..=16 => Act::Pace(match rng.below(4) {
            0 => Pace::Nothing,
            1 => Pace::Free,
            _ => Pace::Slow([20, 100, 700][rng.below(3)], [10, 100, 700][rng.below(3)]),
        }),
        17..=22 => Act::Sleep(millis(rng, [10, 1000, 10_000, 60_000])),
        _ if rng.one_in(2) => Act::Err,
        _ => Act::Messages(1),
    }
}

fn finish(rng: &mut Rng) -> Vec<Act> {
    let close = Act::Close { code: [1000, 1001, 4000][rng.below(3)], reason: ["", "because"][rng.below(2)] };
    match rng.below(8) {
        0..=2 => vec![Act::Polite(true), Act::Pace(Pace::Free), close],
        3 => vec![Act::Polite(true), Act::Pace(Pace::Free), Act::End],
        4 => vec![Act::Reset],
        5 => vec![Act::Polite(true), Act::Pace(Pace::Slow(200, 200)), close],
        6 => vec![Act::Pace(Pace::Nothing)],
        _ => vec![Act::Polite(false), Act::Pace(Pace::Free)],
    }
}

// ---- the link as this crate's socket ----

struct Wired(Local);

struct Half<'s>(&'s Local);

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

fn kind(error: std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        _ => ErrorKind::BrokenPipe,
    }
}

impl Read for Half<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.read(cx, into).map_err(kind)).await
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.write(cx, from).map_err(kind)).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Socket for Wired {
    type Error = ErrorKind;
    type Reader<'s> = Half<'s>;
    type Writer<'s> = Half<'s>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(&self.0), Half(&self.0))
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        self.0.shutdown();
        Ok(())
    }
}

/// There is one connection, and then nobody comes any more.
struct Once(Option<Wired>);

impl Listen for Once {
    type Socket<'l> = Wired;
    type Error = ErrorKind;

    async fn accept(&mut self) -> Result<Wired, ErrorKind> {
        match self.0.take() {
            Some(wired) => Ok(wired),
            None => pending().await,
        }
    }
}

impl Connect for Once {
    type Socket<'c> = Wired;
    type Error = ErrorKind;

    async fn connect(&mut self, _: Remote<'_>) -> Result<Wired, ErrorKind> {
        self.0.take().ok_or(ErrorKind::ConnectionRefused)
    }
}

/// A clock that the run moves. Who waits no longer is not woken.
#[derive(Default)]
struct Time {
    now: Cell<u64>,
    /// By time and number.
    alarms: RefCell<BTreeMap<(u64, u64), Waker>>,
    numbers: Cell<u64>,
}

/// A wait until its time has come.
struct Alarm<'t>(&'t Time, (u64, u64));

impl Clock for Time {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now.get())
    }

    async fn wait_until(&self, deadline: Instant) {
        self.alarm(deadline.as_millis()).await;
    }
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self(time, key) = *self;
        if time.now.get() >= key.0 {
            return Poll::Ready(());
        }
        time.alarms.borrow_mut().insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.alarms.borrow_mut().remove(&self.1);
    }
}

impl Time {
    fn alarm(&self, at: u64) -> Alarm<'_> {
        self.numbers.set(self.numbers.get() + 1);
        Alarm(self, (at, self.numbers.get()))
    }

    async fn sleep(&self, millis: u64) {
        self.alarm(self.now.get() + millis).await;
    }

    /// Moves to the next alarm, or to `latest`.
    fn advance(&self, latest: u64) {
        let alarms = &mut *self.alarms.borrow_mut();
        let next = alarms.first_key_value().map_or(latest, |((at, _), _)| (*at).min(latest));
        self.now.set(next.max(self.now.get()));
        while let Some(alarm) = alarms.first_entry().filter(|alarm| alarm.key().0 <= next) {
            alarm.remove().wake();
        }
    }
}

// ---- the application ----

/// The handler, and what it knows.
struct App {
    ledger: Ledger,
    plan: Mutex<VecDeque<Op>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    id: Option<ConnectionId>,
    receiving: Option<Operating>,
    ended: bool,
}

impl App {
    fn new(case: &Case, ledger: &Ledger) -> Self {
        let plan = Mutex::new(case.handler.iter().cloned().collect());
        Self { ledger: ledger.clone(), plan, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap()
    }

    fn act(&self, peer: &mut Peer<'_>) {
        let Some(op) = self.plan.lock().unwrap().pop_front() else { return };
        match op {
            Op::Send { size, text } => {
                let (number, payload) = self.ledger.offer(0, size, text, false);
                let sent = peer.send(message(&payload, text)).map_err(|error| error.reason);
                self.answer(number, sent);
            }
            Op::Fragments { size, text, pieces, finish } => self.fragments(peer, size, text, pieces, finish),
            Op::Ping => {
                // It may be refused: the slot is taken, or the connection is closing.
                let _ = peer.ping(b"here");
            }
            Op::Close(code) if peer.close(CloseCode::new(code), "").is_ok() => {
                self.ledger.closes_own(code);
            }
            _ => {}
        }
    }

    fn answer(&self, number: usize, sent: Result<(), SendReason>) {
        match sent {
            Ok(()) => self.ledger.accepted(number),
            Err(reason) => {
                self.ledger.refused(number);
                if reason == SendReason::Gone {
                    self.ledger.closed_told("the handler's peer");
                }
            }
        }
    }

    fn fragments(&self, peer: &mut Peer<'_>, size: usize, text: bool, pieces: usize, finish: bool) {
        let (number, payload) = self.ledger.offer(0, size, text, false);
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let piece = payload.len().div_ceil(pieces).max(1);
        for at in 0..pieces {
            let last = at == pieces - 1;
            let part = payload.as_bytes();
            let part = &part[(at * piece).min(part.len())..((at + 1) * piece).min(part.len())];
            let sent = match last && !finish {
                true => Err(SendReason::Full),
                false => peer.send_fragment(kind, part, last),
            };
            match sent {
                Ok(()) if last => self.ledger.accepted(number),
                Ok(()) => {}
                Err(reason) => {
                    if at == 0 {
                        self.answer(number, Err(reason));
                    } else {
                        self.ledger.note(Fact::Fails);
                        let _ = peer.close(CloseCode::INTERNAL_ERROR, "");
                    }
                    return;
                }
            }
        }
    }
}

impl Handler for App {
    fn on_open(&self, peer: &mut Peer<'_>) {
        let mut open = self.open();
        if open.id.replace(peer.id()).is_some() {
            self.ledger.fail("a connection is opened twice");
        }
        open.receiving = Some(self.ledger.operates(Kind::Receive));
        drop(open);
        self.act(peer);
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => self.ledger.received(true, text.as_bytes()),
            Event::Binary(bytes) => self.ledger.received(false, bytes),
            Event::Chunk(chunk) => {
                let text = chunk.kind == MessageKind::Text;
                self.ledger.received_chunk(text, chunk.data, chunk.offset, chunk.first, chunk.last);
            }
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) => return,
        }
        self.act(peer);
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        let mut open = self.open();
        if core::mem::replace(&mut open.ended, true) {
            self.ledger.fail("the end is told twice");
        }
        open.receiving = None;
        drop(open);
        match end.cause {
            Cause::Closed => self.ledger.told(Told::Clean),
            Cause::Failed(_) => self.ledger.told(Told::Peer),
            Cause::Expired(which) => self.ledger.told(Told::Timeout(format!("{which:?}"))),
            Cause::EndOfStream => self.ledger.told(Told::Abnormal),
            Cause::Io(_) => self.ledger.told(Told::Io),
            Cause::Dropped if self.ledger.knows(Fact::Aborted) || self.ledger.knows(Fact::Stops) => {}
            cause if format!("{cause:?}") == "Stalled" => {
                self.ledger.told(Told::Timeout("Stalled".to_owned()))
            }
            cause => self.ledger.told(Told::Other(format!("{cause:?}"))),
        }
    }
}

impl ClientHandler for App {}

fn message(payload: &str, text: bool) -> Message<'_> {
    if text { payload.into() } else { payload.as_bytes().into() }
}

/// What other tasks do, by either role's handle.
trait Reach: Copy {
    /// The close code of who stops.
    const STOPS_WITH: u16;

    fn send(&self, id: ConnectionId, message: Message<'_>) -> Result<(), SendReason>;
    fn begin(&self, id: ConnectionId, kind: MessageKind) -> Result<Fragments<'_>, SendReason>;
    fn end(&self, id: ConnectionId, code: CloseCode) -> bool;
    fn stops(&self);
}

impl Reach for Handle<'_> {
    const STOPS_WITH: u16 = 1001;

    fn send(&self, id: ConnectionId, message: Message<'_>) -> Result<(), SendReason> {
        self.try_send(id, message).map_err(|error| error.reason)
    }

    fn begin(&self, id: ConnectionId, kind: MessageKind) -> Result<Fragments<'_>, SendReason> {
        self.fragments(id, kind)
    }

    fn end(&self, id: ConnectionId, code: CloseCode) -> bool {
        self.close(id, code, "")
    }

    fn stops(&self) {
        self.stop();
    }
}

impl Reach for Sender<'_> {
    const STOPS_WITH: u16 = 1000;

    fn send(&self, _: ConnectionId, message: Message<'_>) -> Result<(), SendReason> {
        self.try_send(message).map_err(|error| error.reason)
    }

    fn begin(&self, _: ConnectionId, kind: MessageKind) -> Result<Fragments<'_>, SendReason> {
        self.fragments(kind)
    }

    fn end(&self, _: ConnectionId, code: CloseCode) -> bool {
        self.close(code, "")
    }

    fn stops(&self) {
        self.stop();
    }
}

/// A task beside the connection.
struct Beside<'b, R> {
    app: &'b App,
    reach: R,
    time: &'b Time,
    source: usize,
    overflow: Overflow,
}

impl<R: Reach> Beside<'_, R> {
    async fn run(&self, ops: &[Op]) {
        let id = loop {
            let opened = self.app.open().id;
            match opened {
                Some(id) => break id,
                None if self.app.ledger.may_be_over() => return,
                None => self.time.sleep(5).await,
            }
        };
        for op in ops {
            match op {
                Op::Send { size, text } => {
                    let _ = self.send(id, *size, *text);
                }
                Op::Stream(count) => self.stream(id, *count).await,
                Op::Fragments { size, text, pieces, finish } => {
                    self.fragments(id, *size, *text, *pieces, *finish).await;
                }
                Op::Close(code) => {
                    if self.reach.end(id, CloseCode::new(*code)) {
                        self.app.ledger.closes(*code);
                    }
                }
                Op::Stop => {
                    self.app.ledger.note(Fact::Stops);
                    self.app.ledger.closes(R::STOPS_WITH);
                    self.reach.stops();
                }
                Op::Sleep(millis) => {
                    let _sleeping = self.app.ledger.operates(Kind::Sleep);
                    self.time.sleep(*millis).await;
                }
                Op::Ping | Op::Nothing => {}
            }
        }
    }

    fn send(&self, id: ConnectionId, size: usize, text: bool) -> Result<(), SendReason> {
        let ledger = &self.app.ledger;
        let (number, payload) = ledger.offer(self.source, size, text, true);
        let sent = self.reach.send(id, message(&payload, text));
        match sent {
            Ok(()) => ledger.accepted(number),
            Err(reason) => {
                ledger.refused(number);
                match reason {
                    SendReason::Full if self.overflow == Overflow::Close => ledger.note(Fact::Fails),
                    SendReason::Gone => ledger.closed_told("a task's handle"),
                    SendReason::Full | SendReason::TooLong => {}
                }
            }
        }
        sent
    }

    async fn stream(&self, id: ConnectionId, count: usize) {
        for _ in 0..count {
            let mut tries = 0;
            while let Err(reason) = self.send(id, 60, false) {
                tries += 1;
                if reason != SendReason::Full || tries > 30 {
                    return;
                }
                self.time.sleep(3).await;
            }
        }
    }

    async fn fragments(&self, id: ConnectionId, size: usize, text: bool, pieces: usize, finish: bool) {
        let ledger = &self.app.ledger;
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let Ok(mut fragments) = self.reach.begin(id, kind) else { return };
        let (number, payload) = ledger.offer(self.source, size, text, false);
        let _fragmenting = ledger.operates(Kind::Fragments);
        let piece = size.div_ceil(pieces).clamp(1, 60);
        let parts: Vec<&[u8]> = payload.as_bytes().chunks(piece).collect();
        let mut begun = false;
        for (at, part) in parts.iter().enumerate() {
            let last = at + 1 == parts.len();
            let mut tries = 0;
            let sent = loop {
                if last && !finish {
                    break Err(SendReason::Full);
                }
                match fragments.try_send(part, last) {
                    Err(SendReason::Full) if tries < 100 => {
                        tries += 1;
                        self.time.sleep(3).await;
                    }
                    sent => break sent,
                }
            };
            match sent {
                Ok(()) => begun = true,
                Err(reason) => {
                    if reason == SendReason::Gone {
                        ledger.closed_told("a task's fragments");
                    } else if begun {
                        ledger.note(Fact::Fails);
                    }
                    if !begun {
                        ledger.refused(number);
                    }
                    return;
                }
            }
        }
        if parts.is_empty() {
            ledger.refused(number);
        } else {
            ledger.accepted(number);
        }
    }
}

// ---- the run ----

/// What both roles' runs need.
struct Bench<'b> {
    case: &'b Case,
    time: &'b Time,
    pulse: Pulse,
    link: Link,
    ledger: Ledger,
    other: Rc<RefCell<Other>>,
    transmit: u64,
}

fn bench<'b>(case: &'b Case, time: &'b Time, transmit: usize) -> (Bench<'b>, Once) {
    let pulse = Pulse::default();
    let (link, local) = Link::new(case.shape, case.seed, pulse.clone());
    let drops = case.overflow == Overflow::DropOldest;
    let ledger = Ledger::new(pulse.clone(), link.clone(), case.times(), drops);
    let script = [&case.peer[..], &case.finish].concat();
    let role = wire::peer(case.role);
    let other = Other::new(link.clone(), ledger.clone(), pulse.clone(), role, false, &script, case.seed);
    let other = Rc::new(RefCell::new(other.with_handshake()));
    (Bench { case, time, pulse, link, ledger, other, transmit: transmit as u64 }, Once(Some(Wired(local))))
}

const NAMES: [&str; 3] = ["task 0", "task 1", "task 2"];

impl Bench<'_> {
    /// Runs the connection, the tasks beside it and the peer to their end.
    fn run<'t, R: Reach + 't>(
        &'t self,
        app: &'t App,
        reach: R,
        connection: impl Future<Output = ()> + 't,
    ) -> Result<(), String> {
        let mut executor = Executor::new(self.case.seed, self.pulse.clone());
        executor.spawn("connection", connection);
        executor.spawn_trusted("peer", self.play());
        for (at, (ops, name)) in self.case.tasks.iter().zip(NAMES).enumerate() {
            let (time, overflow) = (self.time, self.case.overflow);
            let beside = Beside { app, reach, time, source: at + 1, overflow };
            executor.spawn_trusted(name, async move { beside.run(ops).await });
        }
        executor.spawn_trusted("stop", async move {
            while !self.link.is_dropped() {
                self.time.sleep(500).await;
            }
            reach.stops();
        });
        self.steps(&mut executor)?;
        drop(executor);
        self.ledger.finish(true);
        if app.open().id.is_some() && !app.open().ended {
            return Err("a connection was opened, and its end is never told".to_owned());
        }
        if let Some(id) = app.open().id
            && reach.send(id, message("late", true)) != Err(SendReason::Gone)
        {
            return Err("a connection that has ended takes messages".to_owned());
        }
        self.ledger.failure().map_or(Ok(()), Err)
    }

    fn steps(&self, executor: &mut Executor<'_>) -> Result<(), String> {
        let (mut second, mut moved) = (0, 0);
        loop {
            if self.case.abort.is_some_and(|at| at <= self.time.now.get())
                && !self.ledger.knows(Fact::Aborted)
            {
                self.ledger.note(Fact::Aborted);
                executor.abort("connection");
            }
            let step = executor.step(self.time.now.get(), Waker::noop())?;
            if let Some(failure) = self.ledger.failure() {
                return Err(failure);
            }
            self.starvation()?;
            match step {
                Step::Polled => {}
                Step::Ended => return Ok(()),
                Step::Waiting => {
                    self.time.advance((second + 1) * 1000);
                    if self.time.now.get() >= (second + 1) * 1000 {
                        second += 1;
                        self.look(executor, moved == self.pulse.moved())?;
                        moved = self.pulse.moved();
                    }
                }
            }
        }
    }

    /// What tasks send must not keep the peer from being heard.
    fn starvation(&self) -> Result<(), String> {
        let bound = 4 * self.transmit + 2 * self.case.shape.outgoing.min(4096) as u64;
        if self.link.starved() > bound && !self.ledger.may_be_over() && !self.ledger.is_fragmenting() {
            return Err(format!(
                "{} bytes were written while the peer's wait to be read",
                self.link.starved()
            ));
        }
        Ok(())
    }

    /// A second has passed.
    fn look(&self, executor: &Executor<'_>, still: bool) -> Result<(), String> {
        let now = self.time.now.get();
        if now > LONGEST {
            return Err(format!("it does not end: {:?}", executor.unfinished()));
        }
        let closing = self.case.times().closing;
        if still {
            self.ledger.stands_still(self.other.borrow().reads(), true);
        }
        if let Some(since) = self.ledger.since(Fact::Stops)
            && now > since + STOPS
            && !self.link.is_dropped()
        {
            return Err(format!("stopping lasts {} ms", now - since));
        }
        let unread = self.case.finish.contains(&Act::Pace(Pace::Nothing))
            || self.case.finish.contains(&Act::Polite(false));
        let bound = if unread { ENDS_UNREAD } else { ENDS + closing };
        match self.ledger.idle_since() {
            Some(since) if now > since + bound => Err(format!(
                "tasks {:?} have not ended {} ms after everything else",
                executor.unfinished(),
                now - since
            )),
            _ => Ok(()),
        }
    }

    async fn play(&self) {
        let mut alarm = None;
        poll_fn(|cx| {
            if self.other.borrow_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            alarm = self.other.borrow().deadline().map(|deadline| self.time.alarm(deadline));
            if let Some(alarm) = &mut alarm
                && Pin::new(alarm).poll(cx).is_ready()
            {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }
}

fn run_server<const TX: usize>(case: &Case) -> Result<(), String> {
    let time = Time::default();
    let (bench, once) = bench(case, &time, TX);
    let app = App::new(case, &bench.ledger);
    let config = case.config();
    let route = WebSocketRoute { overflow: case.overflow, ..WebSocketRoute::new(&app, &config) };
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings { spare: 0, ..Settings::new(&routes) };
    let mut resources = Box::new(Resources::<1, 512, TX, 256>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let [mut worker] = server.into_workers();
    let (worker, time) = (&mut worker, &time);
    let connection = async move {
        let mut once = once;
        Box::pin(worker.run(&mut once, time)).await;
    };
    bench.run(&app, handle, connection)
}

fn run_client<const TX: usize>(case: &Case) -> Result<(), String> {
    let time = Time::default();
    let (bench, once) = bench(case, &time, TX);
    let app = App::new(case, &bench.ledger);
    let uri = Uri::parse("ws://device/ws").map_err(|error| format!("{error:?}"))?;
    let (config, overflow) = (case.config(), case.overflow);
    let options = Options { config, overflow, connect_after_loss: false, ..Options::new(uri) };
    let mut resources = Box::new(ClientResources::<512, TX, 256>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let mut keys = Keys::new(case.seed);
    let (time, app) = (&time, &app);
    let connection = async {
        let mut once = once;
        Box::pin(client.run(&mut once, time, &mut keys, app)).await;
    };
    bench.run(app, sender, connection)
}

fn run(case: &Case) -> Result<(), String> {
    match (case.role, case.small) {
        (Role::Server, true) => run_server::<512>(case),
        (Role::Server, false) => run_server::<2048>(case),
        (Role::Client, true) => run_client::<512>(case),
        (Role::Client, false) => run_client::<2048>(case),
    }
}

#[test]
fn a_server_keeps_its_promises() {
    cases(2, |seed| Case::random(seed, Role::Server), run);
}

#[test]
fn a_client_keeps_its_promises() {
    cases(2, |seed| Case::random(seed, Role::Client), run);
}
