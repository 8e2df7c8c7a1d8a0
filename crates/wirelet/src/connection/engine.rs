//! The state of a connection, and the one function that moves it: [`Engine::drive`].
//!
//! Whoever has the engine is the connection's owner: its own task, or, for a connection without a task, the future that is
//! being polled. The owner alone reads, writes, looks at the clock and handles deadlines. Everything here is synchronous.

mod application;
mod deadlines;

use std::task::{Context, Poll, Waker};

use wirelet_proto::{
    Event as CoreEvent, EventKind, Front, Instant, MessageKind, RecvBuffer, Role, State, Status,
};

use deadlines::{LOOK, Watch};

use super::budget::Budget;
use super::inbound::Inbound;
use super::later::{self, Thing};
use super::mailbox::{End, Flag, Inbox, Standing, Wait, Woken};
use super::outbound::{HIGH_WATER, Outbound};
use super::timed::Timed;
use super::timer::Timer;
use super::{Core, Shared};
use crate::deflate::Deflate;
use crate::keys::ThreadKeys;
use crate::time::Clock;
use crate::transport::Transport;
use crate::{Bytes, Chunk, Error, Event, Message};

/// After a read of so many bytes the clock is looked at again.
const LARGE_READ: usize = 32 * 1024;

/// A connection: the protocol's state, what was received, what is to be sent, the socket.
pub(crate) struct Engine {
    pub(super) core: Timed,
    rx: RecvBuffer<Inbound>,
    /// Where compression was negotiated.
    pub(super) deflate: Option<Box<Deflate>>,
    pub(super) out: Outbound,
    transport: Transport,
    clock: Clock,
    now: Instant,
    /// The application has had the engine since the clock was read, and may have computed for long.
    stale: bool,
    phase: Phase,
    /// The event that was read ahead of the application.
    ready: Option<Ready>,
    /// More events that were read ahead, of a connection that is closing: its end stands behind them.
    backlog: Option<Box<Inbox>>,
    receiver: Receiver,
    /// Pings and pongs are events.
    control: bool,
    /// All decompressors are lent: nothing is read.
    starved: bool,
    /// It was excused that the owner came too late, and nothing has moved since.
    excused: bool,
    /// Where the output ends that whoever sends waits for, bytes since the connection began, modulo 2^32.
    flush_until: u32,
    waits: Waits,
    budget: Budget,
    timer: Timer,
    /// The waker of the task that the connection has for itself.
    pub(super) task: Option<Waker>,
    watch: Watch,
}

/// An event that was read ahead. Why not as it is: a message is by far the most frequent one, and the smallest.
enum Ready {
    Message(Message),
    Other(Box<Event>),
}

/// How far a connection is.
enum Phase {
    /// Messages may come.
    Receiving(Output),
    /// Nothing more is delivered.
    Ended { end: End, leaving: Leaving },
}

/// The socket's writing side while messages may come.
enum Output {
    Works,
    /// Nothing can be sent any more. What has arrived is still delivered, then this is told.
    Failed(Error),
}

/// What remains to be done with the socket when nothing more is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// What is queued is being written, the close frame last. `eof`: the peer sends nothing more.
    Flushing { eof: bool },
    /// The writing side is shut down, and input is discarded until its end. Why: a socket that is closed with unread input
    /// resets the connection, which may destroy the close frame on its way.
    Lingering,
    /// There is no socket any more.
    Gone,
}

/// Who takes what is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    /// Whoever has the engine.
    Here,
    /// A task that is not the owner's, through the mailbox.
    Elsewhere,
    /// Nobody: it is discarded.
    Nobody,
}

/// What the handler waits for, where the connection has a task.
#[derive(Debug, Default)]
struct Waits {
    /// For an event.
    receiver: Waiter,
    /// To send, to flush, or for the end.
    sender: Waiter,
    sender_for: Wait,
    /// The wakers of the parts of the handler that have their own: of the one that receives, and of the one that sends.
    parts: Option<Box<[Option<Waker>; 2]>>,
}

/// Whether the connection is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Always,
    /// Only while what is to be sent has to wait: then the peer's close, and its end, must be seen.
    WhileBlocked,
}

/// Who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiter {
    #[default]
    Nobody,
    /// The connection's task: it polls the handler, nobody needs to be woken.
    Task,
    /// A part of the handler that has a waker of its own.
    Part,
}

/// Which part of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Receiver,
    Sender,
}

/// What came of looking for an event in what has been received.
enum Parsed {
    Event(Event),
    /// All of it has been looked at.
    NeedInput,
    /// A pong or a close frame has no room.
    NeedRoom,
    /// The budget of this poll is spent.
    Spent,
    /// All decompressors are lent. Whoever was given as context is woken.
    NoDecompressor,
    /// The connection has ended.
    Ended,
}

/// What a connection consists of when it begins.
pub(crate) struct Beginning<'a> {
    pub(crate) transport: Transport,
    pub(crate) core: Core,
    pub(crate) deflate: Option<Box<Deflate>>,
    /// What was received behind the opening handshake.
    pub(crate) leftover: &'a [u8],
    /// What is still to be sent of the opening handshake.
    pub(crate) response: &'a [u8],
    pub(crate) clock: Clock,
    pub(crate) now: Instant,
}

impl Engine {
    pub(super) fn new(beginning: Beginning<'_>) -> Self {
        let Beginning { transport, core, deflate, leftover, response, clock, now } = beginning;
        let mut out = Outbound::default();
        if !response.is_empty() {
            out.push(response);
        }
        Self {
            core: Timed::new(core),
            rx: RecvBuffer::new(Inbound::new(leftover)),
            deflate,
            out,
            transport,
            clock,
            now,
            stale: false,
            phase: Phase::Receiving(Output::Works),
            ready: None,
            backlog: None,
            receiver: Receiver::Here,
            control: false,
            starved: false,
            excused: false,
            flush_until: 0,
            waits: Waits::default(),
            budget: Budget::new(),
            timer: Timer::own(),
            task: None,
            watch: Watch::Nothing,
        }
    }

    /// A server's ticker looks at deadlines: no timer is needed.
    pub(super) fn is_swept(&mut self) {
        self.timer = Timer::Swept;
    }

    /// Another poll of the owner begins.
    pub(super) fn begin_poll(&mut self) {
        self.budget = Budget::new();
        self.refresh_clock();
    }

    /// Another call of an owner without a task. Why with the same budget: one poll of the application may call many times.
    pub(super) fn continue_poll(&mut self) {
        if self.budget.is_refused() {
            self.budget = Budget::new();
        }
        self.refresh_clock();
    }

    /// The owner goes on when others have had their turn.
    fn let_others_go(&mut self, cx: &mut Context<'_>) {
        self.budget.refuse(cx);
    }

    /// So many bytes of messages have been compressed.
    pub(super) const fn has_compressed(&mut self, n: usize) {
        self.budget.has_compressed(n);
    }

    #[inline]
    pub(super) const fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Ended { leaving: Leaving::Gone, .. })
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.core.state() == State::Open && !self.has_lost_output()
    }

    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.out.len() < HIGH_WATER
    }

    // ---- the one function that moves a connection ----

    /// Reads, writes, and handles what is due, as far as it goes without waiting and within the budget. Whoever is to be
    /// woken, when no lock is held, is the answer. `cx` is woken when there is more to do.
    ///
    /// One event is read ahead of a receiver that is here. For one in another task, and while the connection closes, it is up to
    /// 64 KiB.
    pub(super) fn drive(&mut self, shared: &Shared, reads: Reads, cx: &mut Context<'_>) -> Woken {
        loop {
            if self.is_due() {
                self.excuse_lateness();
            }
            if !shared.attention.is_clear() {
                self.read_mailbox(shared);
                self.take_mail(shared, false);
            }
            let blocked = self.poll_write(cx).is_pending();
            if reads == Reads::Always || blocked || self.receiver == Receiver::Nobody || self.is_due() {
                self.receive(shared, cx);
            }
            // Why behind reading: what lies in the socket is a sign of life, however long this task has not been polled.
            if self.is_due() || self.is_watch_due() {
                self.hold_or_resume(shared);
                self.handle_deadlines();
            }
            self.write_all(shared, cx);
            if self.has_lost_output() {
                self.receive(shared, cx);
            }
            if self.has_ended() {
                self.leave(cx);
            }
            self.hold_or_resume(shared);
            if self.budget.is_spent() {
                self.let_others_go(cx);
            }
            let alarm = self.next_alarm();
            if self.timer.poll(self.clock, alarm, shared, cx).is_pending() {
                break;
            }
            self.refresh_clock();
        }
        self.publish(shared)
    }

    /// Who waits in the handler and has what it waits for is woken. Whether the handler is to be polled.
    #[inline]
    pub(super) fn wake_handler(&mut self) -> bool {
        if self.waits.receiver == Waiter::Nobody && self.waits.sender == Waiter::Nobody {
            return false;
        }
        let news = self.has_news();
        let receives = news && self.waits.wake(Part::Receiver);
        let sends = self.is_satisfied(self.waits.sender_for) && self.waits.wake(Part::Sender);
        receives | sends
    }

    /// The owner gives the connection up: the socket is dropped, and all memory but what was received for the application.
    pub(super) fn give_up(&mut self) {
        let end = match std::mem::replace(&mut self.phase, Phase::Receiving(Output::Works)) {
            Phase::Receiving(Output::Failed(error)) => End::Failed(error),
            Phase::Receiving(Output::Works) if self.core.close_info().received.is_some() => End::Ended,
            // Why an error: whoever receives must not take what has come for all there was.
            Phase::Receiving(Output::Works) => End::Failed(Error::Abnormal),
            Phase::Ended { end, .. } => end,
        };
        self.phase = Phase::Ended { end, leaving: Leaving::Gone };
        self.core.received_eof();
        self.drop_transport();
        self.rx.storage_mut().release();
        if let Some(deflate) = &mut self.deflate {
            deflate.release();
        }
        self.out.clear();
        self.timer.stop();
    }

    fn drop_transport(&mut self) {
        let transport = std::mem::replace(&mut self.transport, Transport::Gone);
        later::dispose(Thing::Transport(transport));
    }

    /// Says outside what has become of the connection: its state, its end, its next deadline, and who is concerned by it.
    #[inline]
    pub(super) fn publish(&mut self, shared: &Shared) -> Woken {
        let open = self.is_open();
        if open && !self.has_ended() && shared.mailbox_if_any().is_none() {
            return Woken::default();
        }
        self.publish_all(shared, open)
    }

    fn publish_all(&mut self, shared: &Shared, open: bool) -> Woken {
        if !open {
            shared.publish_state(self.core.state(), self.core.close_info());
        }
        let Some(mailbox) = shared.mailbox_if_any() else { return Woken::default() };
        if !open {
            mailbox.close_intake(&shared.attention);
        }
        // A half in another task may wait for it, behind what was read ahead; one that is here finds it there.
        if self.ready.is_none()
            && self.backlog.is_none()
            && let Phase::Ended { end, .. } = &mut self.phase
        {
            mailbox.leave(std::iter::empty(), end);
        }
        if !shared.attention.has(Flag::RECEIVER) && !shared.attention.has(Flag::SENDER) {
            return Woken::default();
        }
        let standing = Standing {
            news: self.receiver != Receiver::Elsewhere && self.has_news(),
            // A sending half without a task waits for room among what is to be written, one in another task in the mailbox.
            room: self.task.is_none().then(|| self.is_satisfied(Wait::Room)),
            flushed: self.task.is_none().then(|| self.poll_flushed().is_ready()),
            end: self.out.end(),
            written: self.out.written(),
            can_write: self.can_write(),
            // Without a task nobody else would do what remains to be done with the socket.
            ended: if self.task.is_none() { self.is_gone() } else { self.has_ended() },
        };
        mailbox.concerned(&shared.attention, standing)
    }

    fn has_news(&self) -> bool {
        self.ready.is_some() || self.backlog.is_some() || self.has_ended()
    }

    fn is_satisfied(&self, wait: Wait) -> bool {
        match wait {
            Wait::Room => self.has_room() || !self.is_open(),
            Wait::Flush => self.poll_flushed().is_ready(),
            Wait::End => self.has_ended(),
        }
    }

    // ---- mailbox ----

    /// Does what other tasks have asked for.
    #[inline]
    pub(super) fn read_mailbox(&mut self, shared: &Shared) {
        let attention = &shared.attention;
        if attention.has(Flag::DISCARD) {
            self.discard();
        } else if attention.has(Flag::REMOTE) && self.receiver == Receiver::Here {
            self.receive_elsewhere(shared);
        }
        if attention.has(Flag::CONTROL) {
            self.control = true;
        }
        if attention.has(Flag::CLOSE)
            && let Some((code, reason)) = shared.mailbox().close_wish(attention)
        {
            // When the connection is closing already there is nothing left to say.
            let _ = self.close(shared, code, &reason);
        }
    }

    /// The owner goes: what was read ahead, and the end, stay for a half that is still held.
    pub(super) fn leave_all(&mut self, shared: &Shared) {
        self.leave_read_ahead(shared);
        if let Phase::Ended { end, .. } = &mut self.phase {
            shared.mailbox().leave(std::iter::empty(), end);
        }
    }

    /// The receiving half has gone to another task: what was read ahead follows it.
    fn receive_elsewhere(&mut self, shared: &Shared) {
        self.receiver = Receiver::Elsewhere;
        self.leave_read_ahead(shared);
    }

    fn leave_read_ahead(&mut self, shared: &Shared) {
        let mut backlog = self.backlog.take();
        let more = std::iter::from_fn(|| backlog.as_mut().and_then(|backlog| backlog.pop()));
        shared.mailbox().leave(self.ready.take().map(Event::from).into_iter().chain(more), &mut End::Open);
    }

    // ---- in ----

    /// Reads until an event is ready that nobody takes yet, or there is nothing more to read.
    fn receive(&mut self, shared: &Shared, cx: &mut Context<'_>) {
        self.starved = false;
        while self.wants_events(shared) {
            let parsed = match self.take_whole_message() {
                Front::Message(kind, payload) => {
                    self.deliver(shared, Event::Message(Message::checked(kind, payload)));
                    continue;
                }
                Front::Nothing => Parsed::NeedInput,
                Front::Other => self.parse(shared, Some(cx)),
            };
            match parsed {
                Parsed::Event(event) => self.deliver(shared, event),
                Parsed::NeedInput => {
                    // Why: what was queued leaves before the connection waits for more.
                    let _ = self.poll_write(cx);
                    if self.budget.readable() == 0 {
                        return self.let_others_go(cx);
                    }
                    if self.poll_read(cx).is_pending() {
                        return;
                    }
                }
                Parsed::NeedRoom => {
                    if self.poll_write(cx).is_pending() && !self.has_room() {
                        return;
                    }
                }
                Parsed::Spent => return self.let_others_go(cx),
                Parsed::NoDecompressor => {
                    self.starved = true;
                    return;
                }
                Parsed::Ended => return,
            }
        }
    }

    /// The next message, where it has come as one frame without compression.
    #[inline]
    fn take_whole_message(&mut self) -> Front<Bytes> {
        if self.deflate.is_some() || !self.budget.has_messages() {
            return Front::Other;
        }
        let front = self.core.steady().take_whole_message(&mut self.rx, self.now);
        if let Front::Message(..) = front {
            self.count_message();
        }
        front
    }

    /// One more message is looked for; `false`: not in this poll.
    #[inline]
    fn count_message(&mut self) -> bool {
        let some = self.budget.take_message();
        if some && self.budget.clock_is_due() {
            self.refresh_clock();
        }
        some
    }

    /// Whether something is to be received: it is taken, or there is room for it.
    #[inline(always)] // for its first line, which nearly always answers it
    fn wants_events(&self, shared: &Shared) -> bool {
        let takes_next = self.receiver == Receiver::Here && self.ready.is_none() && self.backlog.is_none();
        !self.has_ended() && (takes_next || self.wants_more_events(shared))
    }

    /// Whether there is room for another event behind those that nobody has taken yet.
    fn wants_more_events(&self, shared: &Shared) -> bool {
        match self.receiver {
            Receiver::Nobody => true,
            Receiver::Elsewhere => shared.mailbox().has_inbox_room(),
            Receiver::Here => {
                let is_full = self.backlog.as_ref().is_some_and(|backlog| backlog.is_full());
                self.core.state() == State::Closing && !is_full
            }
        }
    }

    fn deliver(&mut self, shared: &Shared, event: Event) {
        match self.receiver {
            Receiver::Nobody => {}
            Receiver::Elsewhere => {
                shared.mailbox().leave(std::iter::once(event), &mut End::Open);
            }
            Receiver::Here if self.ready.is_none() && self.backlog.is_none() => {
                self.ready = Some(event.into())
            }
            Receiver::Here => self.backlog.get_or_insert_default().push(event),
        }
    }

    /// Looks for the next event in what has been received. The socket is not touched.
    fn parse(&mut self, shared: &Shared, mut cx: Option<&mut Context<'_>>) -> Parsed {
        loop {
            if !self.count_message() {
                return Parsed::Spent;
            }
            let status = match &mut self.deflate {
                None => self.core.advance(&mut self.rx, &mut ThreadKeys, self.now),
                Some(deflate) => {
                    let allowance = &mut self.budget.decompression;
                    let cx = cx.as_deref_mut();
                    match deflate.poll_advance(&mut self.core, &mut self.rx, allowance, self.now, cx) {
                        Poll::Ready(status) => status,
                        Poll::Pending => return Parsed::NoDecompressor,
                    }
                }
            };
            self.move_slot();
            match status {
                Ok(Status::Ready(kind)) => {
                    if let Some(event) = self.take_event(shared, kind) {
                        return Parsed::Event(event);
                    }
                }
                Ok(Status::NeedInput) => return Parsed::NeedInput,
                Ok(Status::NeedTransmit | Status::NeedOutput) if self.has_room() => {}
                Ok(Status::NeedTransmit | Status::NeedOutput) => return Parsed::NeedRoom,
                Ok(Status::Paused) => return Parsed::Spent,
                Ok(Status::Closed) => {
                    self.end(None);
                    return Parsed::Ended;
                }
                Err(failure) => {
                    self.end(Some(failure.into()));
                    return Parsed::Ended;
                }
            }
        }
    }

    /// The event that is ready in the core, with its payload; `None` for one that nobody wants to see.
    #[inline]
    fn take_event(&mut self, shared: &Shared, kind: EventKind) -> Option<Event> {
        match kind {
            EventKind::Text => Some(Event::Message(Message::checked(MessageKind::Text, self.take_payload()))),
            EventKind::Binary => {
                Some(Event::Message(Message::checked(MessageKind::Binary, self.take_payload())))
            }
            EventKind::Ping | EventKind::Pong if !self.control => None,
            _ => self.take_other(shared),
        }
    }

    /// The payload of the message or chunk that is ready.
    #[inline]
    fn take_payload(&mut self) -> Bytes {
        let plain = self.core.take_message(&mut self.rx);
        match (&mut self.deflate, &plain) {
            (Some(deflate), Some(plain)) => deflate.received_plain(plain.len()),
            (Some(deflate), None) => {
                return deflate.take_message(&mut self.core, &mut self.rx).unwrap_or_default();
            }
            (None, _) => {}
        }
        plain.unwrap_or_default()
    }

    fn take_other(&mut self, shared: &Shared) -> Option<Event> {
        let event = match &self.deflate {
            None => self.core.event(&self.rx),
            Some(deflate) => deflate.event(&self.core, &self.rx),
        };
        match event {
            CoreEvent::Chunk(chunk) => {
                let wirelet_proto::Chunk { kind, offset, frame, first, last, .. } = chunk;
                let data = self.take_payload();
                Some(Event::Chunk(Chunk { kind, data, offset, frame, first, last }))
            }
            CoreEvent::Ping(payload) => Some(Event::Ping(Bytes::copy_from_slice(payload))),
            CoreEvent::Pong(payload) => Some(Event::Pong(Bytes::copy_from_slice(payload))),
            CoreEvent::Close(frame) => {
                if let Some(frame) = frame.filter(|frame| !frame.reason.is_empty()) {
                    shared.note_close_reason(frame.reason);
                }
                None
            }
            CoreEvent::Text(_) | CoreEvent::Binary(_) => None,
        }
    }

    /// Reads once. Ready when something has changed.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_ended() {
            return Poll::Ready(());
        }
        let read = self.rx.storage_mut().poll_read(&mut self.transport, self.budget.readable(), cx);
        match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => {
                self.core.received_eof();
                self.end(Some(Error::Abnormal));
                if let Phase::Ended { leaving: Leaving::Flushing { eof }, .. } = &mut self.phase {
                    *eof = true;
                }
            }
            Poll::Ready(Ok(n)) => {
                self.budget.has_read(n);
                self.excused = false;
                if n >= LARGE_READ {
                    self.refresh_clock();
                }
                self.note_time();
            }
            Poll::Ready(Err(error)) => {
                self.end(Some(Error::Io(error)));
                self.give_up();
            }
        }
        Poll::Ready(())
    }

    // ---- out ----

    const fn can_write(&self) -> bool {
        matches!(
            self.phase,
            Phase::Receiving(Output::Works) | Phase::Ended { leaving: Leaving::Flushing { .. }, .. }
        )
    }

    /// What the core wants to say goes behind what is queued, unless too much is.
    #[inline]
    pub(super) fn move_slot(&mut self) {
        while !self.core.poll_transmit().is_empty() && self.has_room() && self.move_slot_once() {}
    }

    /// Whether there was something to move.
    pub(super) fn move_slot_once(&mut self) -> bool {
        let slot = self.core.poll_transmit();
        let len = slot.len();
        if len > 0 {
            self.out.push(slot);
            self.core.transmitted(len);
        }
        len > 0
    }

    /// Writes what is queued. Ready when all of it has been written, or nothing can be any more.
    #[inline(always)] // for the check alone, which is nearly all that it comes to
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let nothing = self.out.is_empty() && self.core.poll_transmit().is_empty();
        if nothing { Poll::Ready(()) } else { self.poll_write_queued(cx) }
    }

    #[inline(never)]
    fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.can_write() {
            self.move_slot();
            if self.out.is_empty() {
                break;
            }
            if self.budget.writable() == 0 {
                self.let_others_go(cx);
                return Poll::Pending;
            }
            let before = self.out.len();
            let flushed = self.out.poll_flush(&mut self.transport, self.budget.writable(), cx);
            let left = before - self.out.len();
            self.budget.has_written(left);
            self.excused &= left == 0;
            if !self.out.is_empty() {
                self.refresh_clock();
            } else if self.core.is_watching_output() {
                self.note_time();
            }
            self.core.sent(left, self.out.len(), self.now);
            match flushed {
                Poll::Pending => {
                    if left > 0 || matches!(self.watch, Watch::Nothing) {
                        self.watch = Watch::LookAt(self.now.plus(LOOK));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => self.watch = Watch::Nothing,
                Poll::Ready(Err(error)) => self.fail_output(Error::Io(error)),
            }
        }
        Poll::Ready(())
    }

    /// Writes what is queued, and what other tasks have queued, until there is nothing more or the socket is full.
    fn write_all(&mut self, shared: &Shared, cx: &mut Context<'_>) {
        while self.poll_write(cx).is_ready()
            && shared.attention.has(Flag::MAIL)
            && !self.budget.is_spent()
            && self.take_mail(shared, false)
        {}
    }

    /// Nothing can be sent any more. What has been received is still delivered; then the error is told.
    fn fail_output(&mut self, error: Error) {
        self.out.clear();
        match &mut self.phase {
            Phase::Receiving(output @ Output::Works) => {
                *output = Output::Failed(error);
                // The time to its end begins now.
                self.note_time();
                self.core.acknowledged(self.now);
                self.core.output_failed();
                if self.receiver == Receiver::Nobody {
                    self.end(None);
                }
            }
            Phase::Receiving(Output::Failed(_)) => {}
            // After both close frames, and after an error that has been told, this is nobody's concern.
            Phase::Ended { .. } => self.give_up(),
        }
    }

    // ---- the end ----

    /// Nothing more is delivered, for this reason; that nothing can be sent any more is an earlier one.
    fn end(&mut self, error: Option<Error>) {
        let Phase::Receiving(output) = &mut self.phase else { return };
        let (earlier, gone) = match std::mem::replace(output, Output::Works) {
            Output::Failed(earlier) => (Some(earlier), true),
            Output::Works => (None, false),
        };
        // RFC 6455 7.1.5: a close frame that was received says why the connection has ended, whatever failed beside it.
        let closed = self.core.close_info().received.is_some();
        let error = earlier.or(error).filter(|_| !closed);
        let leaving = Leaving::Flushing { eof: false };
        self.phase = Phase::Ended { end: error.map_or(End::Ended, End::Failed), leaving };
        if gone {
            self.give_up();
        }
    }

    /// Goes on with leaving the socket.
    fn leave(&mut self, cx: &mut Context<'_>) {
        loop {
            let Phase::Ended { leaving, .. } = self.phase else { return };
            match leaving {
                Leaving::Flushing { eof } => {
                    let flushed = self.poll_write(cx);
                    // Why meanwhile: a peer that waits until its own bytes are read does not read ours.
                    let eof = eof || self.poll_discard(cx).is_ready();
                    match &mut self.phase {
                        Phase::Ended { leaving: Leaving::Flushing { eof: noted }, .. } => *noted = eof,
                        _ => return,
                    }
                    if flushed.is_pending() {
                        return;
                    }
                    if eof {
                        return self.give_up();
                    }
                    // RFC 6455 7.1.1: after a clean close a client waits for the server to close the TCP connection.
                    let waits = self.core.role() == Role::Client && self.core.close_info().is_clean();
                    if !waits && self.transport.poll_shut_down(cx).is_pending() {
                        return;
                    }
                    if let Phase::Ended { leaving, .. } = &mut self.phase {
                        *leaving = Leaving::Lingering;
                    }
                }
                Leaving::Lingering => match self.poll_discard(cx) {
                    Poll::Ready(()) => return self.give_up(),
                    Poll::Pending => return,
                },
                Leaving::Gone => return,
            }
        }
    }

    /// Discards input. Ready at its end.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rx = self.rx.storage_mut();
        loop {
            rx.release();
            if self.budget.readable() == 0 {
                self.budget.refuse(cx);
                return Poll::Pending;
            }
            let read = rx.poll_read(&mut self.transport, self.budget.readable(), cx);
            match read {
                Poll::Ready(Ok(n @ 1..)) => self.budget.has_read(n),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    rx.release();
                    return Poll::Pending;
                }
            }
        }
    }
    /// Whether nothing can be sent any more, while what has arrived is still delivered.
    const fn has_lost_output(&self) -> bool {
        matches!(self.phase, Phase::Receiving(Output::Failed(_)))
    }

    /// The application has an event, and may not come back for long: what others wait for is not kept meanwhile.
    pub(super) fn step_aside(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            deflate.step_aside();
        }
    }

    /// Nothing happens for a while: gives back all memory that holds nothing.
    #[inline]
    pub(super) fn rest(&mut self) {
        self.rx.storage_mut().rest();
        if let Some(deflate) = &mut self.deflate {
            deflate.rest();
        }
        self.out.rest();
    }
}

impl Waits {
    /// Notes who waits.
    fn wait(&mut self, part: Part, cx: &Context<'_>, task: Option<&Waker>) {
        let waiter =
            if task.is_some_and(|task| task.will_wake(cx.waker())) { Waiter::Task } else { Waiter::Part };
        *self.waiter(part) = waiter;
        if waiter == Waiter::Part {
            self.parts.get_or_insert_default()[part as usize] = Some(cx.waker().clone());
        }
    }

    /// Wakes who waits. Whether somebody has.
    fn wake(&mut self, part: Part) -> bool {
        let waiter = std::mem::take(self.waiter(part));
        if waiter == Waiter::Part
            && let Some(waker) = self.parts.as_mut().and_then(|parts| parts[part as usize].take())
        {
            waker.wake();
        }
        waiter != Waiter::Nobody
    }

    const fn waiter(&mut self, part: Part) -> &mut Waiter {
        match part {
            Part::Receiver => &mut self.receiver,
            Part::Sender => &mut self.sender,
        }
    }
}

impl From<Event> for Ready {
    fn from(event: Event) -> Self {
        match event {
            Event::Message(message) => Self::Message(message),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl From<Ready> for Event {
    fn from(ready: Ready) -> Self {
        match ready {
            Ready::Message(message) => Self::Message(message),
            Ready::Other(event) => *event,
        }
    }
}
