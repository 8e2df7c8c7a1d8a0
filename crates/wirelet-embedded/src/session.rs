//! A WebSocket connection driven over a socket: the loop that both roles share.
//!
//! [`Session::run`] is the connection's one owner: it alone reads, writes, looks at the clock and hands out events. All others
//! leave a note in the connection's slot and wake it.
//!
//! The peer and the tasks have their turns, one event and one message at a time. Reading depends on nothing but room for the
//! answer to what was read:
//!
//! - Messages of tasks leave room in the transmit buffer for a control frame and an answer ([`Outgoing::admits`]).
//! - While an event waits for room, no message of a task takes it away.
//! - After an event that was answered it is the tasks' turn: the next answer waits until their message has found room, unless
//!   the peer takes nothing meanwhile; it may be waiting itself for us to read.
//!
//! Everything that must survive lives in the session, not in its futures: `run` may be dropped at any await and called again,
//! and no byte is lost, doubled or reordered.

mod pull;

pub(crate) use pull::pull;

use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::ops::DerefMut;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;

use embedded_io_async::{Error, ErrorKind, Read, Write};
use wirelet_proto::{
    CloseCode, Config, Connection, Delivery, Event, Expired, Failure, Fixed, Instant, LimitError,
    MAX_CONTROL_PAYLOAD, MaskKeys, RecvBuffer, Role, SendError, Spare as _, State, Status,
};

use crate::compression::{Lane, Received, Reservation, Way, largest};
use crate::context::Room;
use crate::counters::{Count, Counters};
use crate::events;
use crate::handler::{Author, Cause, Desk, End, Handler, Peer};
use crate::net::Socket;
use crate::outgoing::{AppendError, Frame, Outgoing, Payload};
use crate::queue::{Control, Front};
use crate::table::{ConnectionId, Link, Phase};
use crate::time::{Clock, before, earlier, yield_now};

/// After so many turns without a rest other tasks are let in: a peer that floods must not starve them.
pub(crate) const TURNS: u8 = 16;

/// After so many events and messages of tasks without a rest the socket and other tasks are looked at.
const EXCHANGES: u8 = 64;

/// How long an answer waits for the tasks' turn while the peer takes nothing.
const TURN_TIME: Duration = Duration::from_secs(1);

/// What a session may refer to.
pub(crate) struct Surroundings<'e, C> {
    pub(crate) link: Link<'e>,
    pub(crate) clock: &'e C,
    pub(crate) handler: &'e dyn Handler,
    /// From a stop to the end, whatever is queued.
    pub(crate) closing_time: &'e Duration,
    pub(crate) counters: Option<&'e Counters>,
}

/// Tells the handler that a WebSocket has ended: when that is known, or when this is dropped before.
pub(crate) struct Opened<'o, 'e, C>(&'o Surroundings<'e, C>);

impl<'o, 'e, C> Opened<'o, 'e, C> {
    pub(crate) fn new(around: &'o Surroundings<'e, C>) -> Self {
        Counters::count(around.counters, Count::Opened, 1);
        Self(around)
    }

    pub(crate) fn ended(self, end: &End) {
        self.tell(end);
        core::mem::forget(self);
    }

    fn tell(&self, end: &End) {
        let id = self.0.link.id();
        events::ended(id, end);
        self.0.handler.on_close(id, end);
    }
}

impl<C> Drop for Opened<'_, '_, C> {
    fn drop(&mut self) {
        self.tell(&End::dropped());
    }
}

/// One WebSocket connection.
pub(crate) struct Session<'m, 'c> {
    core: &'m mut Connection<&'c Config>,
    rx: Received<'m>,
    tx: Outgoing<'m>,
    /// What compresses, where that was agreed on.
    lane: Option<Way<'m, dyn Lane + 'm>>,
    /// What the upgrade hook has left for the handler.
    context: Option<&'m mut dyn Room>,
    /// What masks what is sent.
    keys: &'m mut dyn MaskKeys,
    id: ConnectionId,
    inbound: Inbound,
    taker: Taker,
    next: Next,
    author: Author,
    transport: Transport,
    step: Step,
    /// Counts the turns with the socket.
    turns: u8,
    /// What ended the connection first.
    cause: Option<Cause>,
    /// This side's application has begun the closing handshake on a connection that had not failed.
    was_closing: bool,
}

/// What is to be done with what the peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inbound {
    /// Something has arrived that the core has not seen.
    Arrived,
    /// An event is ready, and waits until its answer has room.
    Event,
    /// A control frame waits until the answer to the one before has room.
    Control,
    /// All is delivered: more bytes are needed.
    Exhausted,
    /// Nothing more will be delivered.
    Over,
}

/// Who takes what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    /// The handler is called as soon as an answer has room.
    Callbacks,
    /// A future takes it when it likes. `sends`: meanwhile it waits for room.
    Future { sends: bool },
    /// Nobody: it is thrown away.
    Nobody,
}

/// Whose turn it is when there is no room for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// An event and its answer.
    Peer,
    /// A task's message, if there is one. Since then the peer has taken nothing.
    Tasks { since: Instant },
}

/// What the socket still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Both ways.
    Open,
    /// The peer's stream has ended. What was accepted for it is written: it may still read.
    Ended,
    /// Nothing can be written any more. What has arrived is read and delivered, at most until then.
    Failed { until: Instant },
}

/// How far a connection has come without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is more to do, once others were let in.
    Goes,
    /// Nothing can be done before something comes.
    Rests,
    /// It has ended.
    Over,
}

/// What came first.
enum Came<E> {
    Wrote(Result<usize, E>),
    Read(Result<usize, E>),
    Noticed,
    Due,
    /// The task was woken, and for nothing of these.
    Woken,
}

/// What a slot has for its connection.
enum Task {
    Message(Front),
    /// A control frame, the last of which closes with this code, and whether what it is to carry is queued.
    Control(Control, CloseCode, bool),
    /// A message that has no room now.
    Waits,
}

/// The payload of the message that was claimed in a slot's queue.
struct Claimed<'t>(Link<'t>);

impl Payload for Claimed<'_> {
    fn next(&mut self, into: &mut [u8]) -> usize {
        let taken = self.0.with(|slot, ring| {
            // There is room for who waits for it.
            slot.watch.ring();
            slot.queue.take(ring, into)
        });
        taken.unwrap_or(0)
    }
}

impl<'m, 'c> Session<'m, 'c> {
    /// A session in a connection's memory, whose first bytes followed the opening handshake (`rx`) or are still to be
    /// written (`tx`), compressed where that was agreed on and `lane` is reserved for it.
    pub(crate) fn begin(
        core: &'m mut Connection<&'c Config>,
        (rx, received): (&'m mut [u8], usize),
        (tx, queued): (&'m mut [u8], usize),
        lane: Option<&'m mut Reservation<'_>>,
        keys: &'m mut dyn MaskKeys,
        id: ConnectionId,
    ) -> Self {
        let mut rx = Fixed::new(rx);
        rx.commit(received);
        let tx = Outgoing::new(tx, queued);
        let (role, deflate, chunk) = (core.role(), core.extensions().deflate, tx.compressed_chunk());
        let lane = lane.and_then(|lane| lane.open(role, deflate, chunk));
        Self { lane, ..Self::new(core, rx, tx, keys, id) }
    }

    /// `rx` holds bytes that followed the opening handshake, `tx` such that are still to be written.
    pub(crate) fn new(
        core: &'m mut Connection<&'c Config>,
        rx: Fixed<&'m mut [u8]>,
        tx: Outgoing<'m>,
        keys: &'m mut dyn MaskKeys,
        id: ConnectionId,
    ) -> Self {
        Self {
            core,
            rx: RecvBuffer::new(rx),
            tx,
            lane: None,
            context: None,
            keys,
            id,
            inbound: Inbound::Arrived,
            taker: Taker::Callbacks,
            next: Next::Peer,
            author: Author::Nobody,
            transport: Transport::Open,
            step: Step::Rests,
            turns: 0,
            cause: None,
            was_closing: false,
        }
    }

    /// How it ended, once [`run`](Self::run) has answered why.
    pub(crate) fn end(&self, cause: Cause) -> End {
        End { close: self.core.close_info(), cause, was_closing: self.was_closing }
    }

    pub(crate) fn keep_context(&mut self, context: &'m mut dyn Room) {
        self.context = Some(context);
    }

    /// Calls the handler's `on_open`.
    pub(crate) fn open(&mut self, handler: &dyn Handler, now: Instant) {
        handler.on_open(&mut Peer::new(self.id, &mut self.desk(now)));
    }

    /// What sending needs.
    fn desk(&mut self, now: Instant) -> Desk<'_, 'm, 'c> {
        Desk {
            core: self.core,
            tx: &mut self.tx,
            outflow: self.lane.as_mut().map(|lane| lane.flows().1),
            context: match &mut self.context {
                Some(context) => Some(&mut **context),
                None => None,
            },
            keys: &mut *self.keys,
            now,
            author: &mut self.author,
            was_closing: &mut self.was_closing,
        }
    }

    /// Drives the connection, with its handler's callbacks, as [`drive`] does.
    ///
    /// # Cancel safety
    /// Safe: call it again.
    pub(crate) fn run<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        around: &Surroundings<'_, C>,
    ) -> impl Future<Output = Cause> {
        drive(self, socket, around, Nobody)
    }

    /// Does all that can be done without waiting.
    fn step<C: Clock>(&mut self, around: &Surroundings<'_, C>) -> Step {
        loop {
            let now = around.clock.now();
            if let Some(when) = around.link.ends(now, *around.closing_time) {
                self.core.end_by(when);
            }
            if self.core.role() == Role::Client {
                let ping = around.link.with(|slot, _| slot.changes().ping).filter(|ping| *ping > 0);
                if let Some(millis) = ping {
                    let interval = (millis < u32::MAX).then(|| Duration::from_millis(millis.into()));
                    self.core.set_ping_interval(interval);
                }
            }
            let rests = self.exchange(around.link, around.handler, now);
            self.core.hold_reading(self.readable() == 0, now);
            if !rests {
                return Step::Goes;
            }
            if self.is_over(now) {
                return Step::Over;
            }
            // What has arrived counts before what is due.
            if self.core.poll_deadline().is_none_or(|when| when > now) {
                return Step::Rests;
            }
            self.expire(now);
        }
    }

    /// Waits for the socket, a note from another task, or a deadline; not at all when there is more to do without. Reading and
    /// writing take turns in being asked first: neither keeps the other waiting.
    async fn turn<R: Read, W: Write<Error = R::Error>, C: Clock, B: Company>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        around: &Surroundings<'_, C>,
        _: &B,
    ) -> Came<R::Error> {
        let (rests, reads_first) = (self.step != Step::Goes, self.turns % 2 == 1);
        let most = if rests && self.transport != Transport::Ended { self.readable() } else { 0 };
        // Once it is known whether the peer takes anything, also what the core waits for.
        let due = Cell::new(self.looks_again(around.clock.now()));
        let (core, tx) = (&mut *self.core, &self.tx);
        let spare = self.rx.spare_mut();
        let len = spare.len().min(most);
        let into = spare.get_mut(..len).unwrap_or_default();
        let mut write =
            pin!(async { if tx.is_empty() { pending().await } else { writer.write(tx.pending()).await } });
        let mut read =
            pin!(async { if into.is_empty() { pending().await } else { reader.read(into).await } });
        let mut alarm = pin!(async {
            match due.get() {
                Some(deadline) => around.clock.wait_until(deadline).await,
                None => pending().await,
            }
        });
        let (mut tried, mut polled) = (false, false);
        poll_fn(|cx| {
            if reads_first && let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Came::Read(read));
            }
            if let Poll::Ready(wrote) = write.as_mut().poll(cx) {
                return Poll::Ready(Came::Wrote(wrote));
            }
            if !tried {
                tried = true;
                core.sent(0, tx.pending().len(), around.clock.now());
                due.set(earlier(core.poll_deadline(), due.get()));
            }
            if !reads_first && let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Came::Read(read));
            }
            if around.link.poll_noticed(cx).is_ready() {
                return Poll::Ready(Came::Noticed);
            }
            if alarm.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Came::Due);
            }
            // Whoever was woken, it may have been the company.
            let woken = B::PRESENT && core::mem::replace(&mut polled, true);
            if woken { Poll::Ready(Came::Woken) } else { Poll::Pending }
        })
        .await
    }

    /// Does all that can be done without waiting; the cause when that was the last.
    fn goes_on<C: Clock>(&mut self, around: &Surroundings<'_, C>) -> Option<Cause> {
        self.step = self.step(around);
        (self.step == Step::Over).then(|| self.because())
    }

    /// Takes in what a turn has brought; the cause when that was the end.
    fn came<E: Error>(&mut self, came: Came<E>, now: Instant) -> Option<Cause> {
        match came {
            Came::Wrote(Ok(0)) => self.write_failed(ErrorKind::WriteZero, now),
            Came::Wrote(Ok(n)) => self.wrote(n, now),
            Came::Wrote(Err(error)) => self.write_failed(error.kind(), now),
            Came::Read(Ok(n)) => self.received(n),
            Came::Read(Err(error)) => {
                self.cause.get_or_insert(Cause::Io(error.kind()));
                return Some(self.because());
            }
            // There is nothing left of what had arrived.
            Came::Due if self.step == Step::Rests && self.has_failed() => return Some(self.because()),
            Came::Noticed | Came::Due | Came::Woken => {}
        }
        None
    }

    /// Whether other tasks are to run now.
    fn lets_others_in(&mut self) -> bool {
        self.turns = (self.turns + 1) % TURNS;
        self.turns == 0 || self.step == Step::Goes
    }

    /// How many bytes may be read: what they bring can be answered, or is thrown away. None while an event waits.
    fn readable(&self) -> usize {
        match self.inbound {
            // A chunk is never larger than what its echo has room for.
            Inbound::Exhausted
                if self.taker == Taker::Callbacks
                    && self.core.config().delivery == Delivery::Chunks
                    && self.can_answer() =>
            {
                self.tx.chunk(self.lane.is_some())
            }
            // RFC 6455 5.5.1: after the last event whatever arrives is thrown away.
            Inbound::Exhausted | Inbound::Over => usize::MAX,
            Inbound::Arrived | Inbound::Event | Inbound::Control => 0,
        }
    }

    /// When the session has to look again, apart from what the core waits for: at once when there is more to do, or when only
    /// what has arrived is read; or when the tasks' turn is over.
    fn looks_again(&self, now: Instant) -> Option<Instant> {
        match self.next {
            _ if self.step == Step::Goes || self.has_failed() => Some(now),
            Next::Tasks { since } if self.answer_waits() => {
                Some(since.plus(TURN_TIME)).filter(|turn| *turn > now)
            }
            _ => None,
        }
    }

    /// Whether an answer of the handler waits for room, or will need some.
    fn answer_waits(&self) -> bool {
        match self.taker {
            Taker::Future { sends } => sends,
            Taker::Callbacks | Taker::Nobody => self.inbound == Inbound::Event,
        }
    }

    const fn has_failed(&self) -> bool {
        matches!(self.transport, Transport::Failed { .. })
    }

    /// Whether anything that a handler sends would be accepted.
    fn can_answer(&self) -> bool {
        self.core.state() == State::Open
    }

    fn wrote(&mut self, n: usize, now: Instant) {
        self.tx.written(n);
        self.core.sent(n, self.tx.pending().len(), now);
        if let Next::Tasks { since } = &mut self.next {
            *since = now;
        }
    }

    fn received(&mut self, n: usize) {
        match self.inbound {
            _ if n == 0 => {
                self.transport = match self.transport {
                    Transport::Open => Transport::Ended,
                    other => other,
                };
                self.core.received_eof();
                if self.inbound == Inbound::Exhausted {
                    self.inbound = Inbound::Arrived;
                }
            }
            Inbound::Over => {}
            _ => {
                self.rx.commit(n);
                self.inbound = Inbound::Arrived;
            }
        }
    }

    /// Nothing can be written any more. What has arrived is read and delivered: with the peer's close frame, if it sent one.
    fn write_failed(&mut self, error: ErrorKind, now: Instant) {
        self.core.output_failed();
        self.output_failed(Cause::Io(error), now.plus(self.core.config().limits.closing_time));
    }

    /// Nothing can be written any more, as the core knows.
    fn output_failed(&mut self, cause: Cause, until: Instant) {
        self.cause.get_or_insert(cause);
        self.tx.written(usize::MAX);
        self.transport = Transport::Failed { until };
        if self.inbound == Inbound::Control {
            self.inbound = Inbound::Arrived;
        }
    }

    /// Whether all has been said on both sides, or can't be any more.
    fn is_over(&self, now: Instant) -> bool {
        match self.transport {
            Transport::Failed { until } => self.inbound == Inbound::Over || until <= now,
            _ => self.inbound == Inbound::Over && self.tx.is_empty(),
        }
    }

    /// Why it has ended.
    fn because(&self) -> Cause {
        let unclean = self.transport == Transport::Ended && !self.core.close_info().is_clean();
        self.cause.unwrap_or(if unclean { Cause::EndOfStream } else { Cause::Closed })
    }

    /// Does what is due.
    fn expire(&mut self, now: Instant) {
        let Some(expired) = self.core.handle_deadline(&mut self.keys, now) else { return };
        let cause = Cause::Expired(expired);
        match expired {
            // The socket is given up at once; what was read before is delivered.
            Expired::Closing | Expired::Stalled | Expired::Slow => self.output_failed(cause, now),
            _ => self.fail_with(cause),
        }
    }

    /// The core has failed the connection: it has a close frame, and delivers nothing more but the event that is ready.
    fn fail_with(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        if self.inbound != Inbound::Event {
            self.inbound = Inbound::Arrived;
        }
    }

    /// The peer and the tasks have their turns as far as that goes without waiting. False when there is more to do, and
    /// others are to be let in first.
    fn exchange(&mut self, link: Link<'_>, handler: &dyn Handler, now: Instant) -> bool {
        for _ in 0..EXCHANGES {
            self.tx.append_control(self.core);
            let queued = self.take_queued(link, now);
            let received = self.receive(link, handler, now);
            self.tell_closing(link);
            if !received && !queued {
                return true;
            }
        }
        false
    }

    /// The peer's turn: delivers the event that is ready, and goes on with what was received. False when nothing has changed.
    fn receive(&mut self, link: Link<'_>, handler: &dyn Handler, now: Instant) -> bool {
        match self.inbound {
            Inbound::Exhausted | Inbound::Over => return false,
            Inbound::Control if !self.core.poll_transmit().is_empty() => return false,
            Inbound::Event => {
                if !self.deliver(link, handler, now) {
                    return false;
                }
            }
            Inbound::Arrived | Inbound::Control => {}
        }
        let status = match &mut self.lane {
            None => self.core.advance(&mut self.rx, &mut self.keys, now),
            Some(lane) => lane.flows().0.advance(self.core, &mut self.rx, &mut *self.keys, now),
        };
        self.inbound = match status {
            Ok(Status::Ready(_)) => Inbound::Event,
            Ok(Status::NeedInput) => Inbound::Exhausted,
            Ok(Status::NeedTransmit) => Inbound::Control,
            Ok(Status::Paused) => Inbound::Arrived,
            Ok(Status::Closed) => Inbound::Over,
            Err(failure) => {
                self.cause.get_or_insert(Cause::Failed(failure));
                Inbound::Arrived
            }
            // A whole message becomes larger than there is memory for.
            Ok(Status::NeedOutput) => {
                let failure = Failure::Limit(LimitError::Message);
                self.core.fail(failure.close_code(), &mut self.keys, now);
                self.cause.get_or_insert(Cause::Failed(failure));
                Inbound::Arrived
            }
        };
        true
    }

    /// Hands the event that is ready to the handler, if an answer has room; false otherwise.
    fn deliver(&mut self, link: Link<'_>, handler: &dyn Handler, now: Instant) -> bool {
        match self.taker {
            Taker::Callbacks => {}
            Taker::Future { .. } => return false,
            Taker::Nobody => return true,
        }
        let (can_answer, tasks_first) = (self.can_answer(), self.is_tasks_turn(link, now));
        let (inflow, outflow) = self.lane.as_mut().map(|lane| lane.flows()).unzip();
        let event = match &inflow {
            None => self.core.event(&self.rx),
            Some(inflow) => inflow.event(self.core, &self.rx),
        };
        let answer = match event {
            Event::Text(text) => text.len(),
            Event::Binary(bytes) => bytes.len(),
            Event::Chunk(chunk) => chunk.data.len(),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) => 0,
        };
        let most = if outflow.is_some() { largest(answer) } else { answer };
        // RFC 6455 5.4: no answer may come between the fragments of a task.
        let waits = self.author == Author::Task || tasks_first || !self.tx.fits(most);
        if can_answer && answer > 0 && waits {
            return false;
        }
        let before = self.tx.free();
        let mut desk = Desk {
            core: self.core,
            tx: &mut self.tx,
            outflow,
            context: match &mut self.context {
                Some(context) => Some(&mut **context),
                None => None,
            },
            keys: &mut *self.keys,
            now,
            author: &mut self.author,
            was_closing: &mut self.was_closing,
        };
        handler.on_event(&mut Peer::new(self.id, &mut desk), event);
        if self.tx.free() < before {
            self.next = Next::Tasks { since: now };
        }
        true
    }

    /// Whether a message of a task goes before the next answer.
    fn is_tasks_turn(&self, link: Link<'_>, now: Instant) -> bool {
        match self.next {
            Next::Tasks { since } if self.author == Author::Nobody && since.plus(TURN_TIME) > now => {
                link.with(|slot, _| !slot.queue.is_empty()) == Some(true)
            }
            _ => false,
        }
    }

    /// The tasks' turn: moves a message of theirs into the transmit buffer, or starts closing when that is asked for. False
    /// when nothing has changed.
    fn take_queued(&mut self, link: Link<'_>, now: Instant) -> bool {
        if !self.can_answer() {
            return false;
        }
        // RFC 6455 5.4: the fragments of a message follow each other.
        let may_take = match self.author {
            Author::Nobody => !self.answer_waits() || self.next != Next::Peer,
            Author::Handler => false,
            Author::Task => true,
        };
        let (compressed, tx) = (self.lane.is_some(), &self.tx);
        let slot_free = self.core.poll_transmit().is_empty();
        let task = link.with(|slot, ring| {
            let code = slot.order.code();
            let Some(front) = slot.queue.front(ring).filter(|_| self.author != Author::Handler) else {
                return code.map(|code| Task::Control(Control::Reason, code, false));
            };
            if let Some(control) = front.control {
                let task = Task::Control(control, code.unwrap_or(CloseCode::NORMAL), true);
                return Some(if slot_free { task } else { Task::Waits });
            }
            let most = if compressed { largest(front.len()) } else { front.len() };
            if !may_take || !tx.admits(most) {
                return Some(Task::Waits);
            }
            slot.queue.claim(ring);
            Some(Task::Message(front))
        });
        match task.flatten() {
            None | Some(Task::Waits) => false,
            Some(Task::Message(front)) => {
                self.send_claimed(link, front, now);
                true
            }
            Some(Task::Control(control, code, queued)) => {
                let mut bytes = [0; MAX_CONTROL_PAYLOAD];
                let mut payload = bytes.get_mut(..0).unwrap_or_default();
                if queued {
                    link.with(|slot, ring| slot.queue.claim(ring));
                    let len = Claimed(link).next(&mut bytes);
                    payload = bytes.get_mut(..len).unwrap_or_default();
                }
                self.control(control, code, payload, now)
            }
        }
    }

    /// Sends a ping, or begins the closing handshake; false when that has to wait.
    fn control(&mut self, control: Control, code: CloseCode, payload: &[u8], now: Instant) -> bool {
        if control == Control::Ping {
            return self.core.ping(payload, &mut self.keys, now).is_ok();
        }
        let reason = core::str::from_utf8(payload).unwrap_or("");
        let closed = self.core.close(code, reason, &mut self.keys, now);
        self.was_closing |= closed.is_ok();
        // The slot is free as soon as what is in it has room.
        closed != Err(SendError::Busy)
    }

    fn send_claimed(&mut self, link: Link<'_>, front: Front, now: Instant) {
        let mut outflow = self.lane.as_mut().map(|lane| lane.flows().1);
        let frame = Frame { kind: front.kind, len: front.len(), fin: front.fin };
        let sent = self.tx.append(self.core, &mut *self.keys, outflow.as_mut(), frame, &mut Claimed(link));
        self.next = Next::Peer;
        match sent {
            Ok(()) => self.author = if front.fin { Author::Nobody } else { Author::Task },
            // Who emptied the queue closes the connection.
            Err(AppendError::Gone) => {}
            // It was accepted, so that it must not disappear in silence.
            Err(_) => {
                self.core.fail(CloseCode::INTERNAL_ERROR, &mut self.keys, now);
                self.fail_with(Cause::Unsendable);
            }
        }
    }

    /// Other tasks see that the connection is closing, and nothing is queued for it any more.
    fn tell_closing(&self, link: Link<'_>) {
        if !self.can_answer() {
            link.with(|slot, ring| {
                if slot.phase == Phase::Open {
                    slot.forget(ring);
                    slot.enter(Phase::Closing);
                }
            });
        }
    }

    /// After the closing handshake: ends the writing side and throws away what arrives until the peer's stream ends or
    /// the closing deadline has come. Closing at once would reset the connection and could destroy the close frame on its
    /// way. A client leaves it to the server to end the stream first (RFC 6455 7.1.1).
    pub(crate) async fn linger<S: Socket, C: Clock>(&mut self, socket: &mut S, around: &Surroundings<'_, C>) {
        let clock = around.clock;
        let server = self.core.role() == Role::Server;
        // Without a deadline everything is over.
        let Some(deadline) = self.core.poll_deadline() else { return };
        let ends = around.link.ends(clock.now(), *around.closing_time);
        let deadline = ends.map_or(deadline, |ends| deadline.min(ends));
        if server {
            let _ = before(clock, deadline, pin!(socket.shutdown())).await;
        }
        let (mut reader, writer) = socket.split();
        let discarded = before(clock, deadline, pin!(discard(&mut reader, self.rx.spare_mut()))).await;
        drop((reader, writer));
        if !server && discarded.is_some() {
            let _ = before(clock, deadline, pin!(socket.shutdown())).await;
        }
    }
}

/// Where a session is kept: with the loop that drives it, or where its handler's future finds it between two turns.
pub(crate) trait Seat<'m, 'c: 'm> {
    /// The session, until this is dropped.
    fn session(&mut self) -> impl DerefMut<Target = Session<'m, 'c>>;
}

impl<'m, 'c> Seat<'m, 'c> for &mut Session<'m, 'c> {
    fn session(&mut self) -> impl DerefMut<Target = Session<'m, 'c>> {
        &mut **self
    }
}

/// Who is polled beside a session, and may use it meanwhile.
pub(crate) trait Company {
    /// Whether there is anybody.
    const PRESENT: bool;

    /// Polls it. `moved`: something of the connection may have changed since. Answers whether it has changed the session.
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant, moved: bool) -> bool;
}

/// No company.
struct Nobody;

impl Company for Nobody {
    const PRESENT: bool = false;

    fn poll(&mut self, _: &mut Context<'_>, _: Instant, _: bool) -> bool {
        false
    }
}

/// Drives a connection until nothing more can be delivered and all that was accepted has been written, or until that can't
/// be any more. Company is polled whenever the task is woken, and after whatever has happened.
///
/// # Cancel safety
/// Safe: call it again.
#[expect(clippy::manual_async_fn, reason = "the future of an async function holds its arguments twice")]
pub(crate) fn drive<'m, 'c: 'm, S: Socket, C: Clock>(
    mut seat: impl Seat<'m, 'c>,
    socket: &mut S,
    around: &Surroundings<'_, C>,
    mut company: impl Company,
) -> impl Future<Output = Cause> {
    async move {
        let (mut reader, mut writer) = socket.split();
        let mut moved = true;
        loop {
            if let Some(cause) = seat.session().goes_on(around) {
                return cause;
            }
            let changed = poll_fn(|cx| Poll::Ready(company.poll(cx, around.clock.now(), moved))).await;
            if !changed {
                let came = seat.session().turn(&mut reader, &mut writer, around, &company).await;
                moved = !matches!(came, Came::Woken);
                match &came {
                    Came::Wrote(Ok(n)) => Counters::count(around.counters, Count::Sent, *n),
                    Came::Read(Ok(n)) => Counters::count(around.counters, Count::Received, *n),
                    _ => {}
                }
                if let Some(cause) = seat.session().came(came, around.clock.now()) {
                    return cause;
                }
            }
            if seat.session().lets_others_in() {
                yield_now().await;
            }
        }
    }
}

/// Reads into `scratch` until the end of the stream.
pub(crate) async fn discard<R: Read>(reader: &mut R, scratch: &mut [u8]) {
    if scratch.is_empty() {
        return;
    }
    let mut turns = 0_u8;
    while !matches!(reader.read(scratch).await, Ok(0) | Err(_)) {
        turns = (turns + 1) % TURNS;
        if turns == 0 {
            yield_now().await;
        }
    }
}
