//! The state of a connection and what moves it: the core, what was received, what is to be sent, the transport.
//!
//! Everything here is synchronous: it runs under the connection's lock, never across an await.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep_until};
use wirelet_proto::{
    CloseCode, Config, Connection, Event as CoreEvent, EventKind, Instant, MessageKind, RecvBuffer, Role,
    State, Status,
};

use super::inbound::Inbound;
use super::outbound::{BY_REFERENCE, HIGH_WATER, Outbound};
use super::outbox::{Body, Outbox, Queued};
use crate::deflate::{Compress, Deflate, Prepared};
use crate::keys::ThreadKeys;
use crate::time::Clock;
use crate::transport::Transport;
use crate::{Chunk, Error, Event, Message, Timeout};

/// Reads in one turn, each of at most a block: a peer that sends faster than its frames can be looked at must not keep
/// the thread from other connections.
const READS: usize = 2;

/// A payload to be sent.
pub(crate) enum Payload<'a> {
    /// Written from where it is when it is large and need not be masked.
    Owned(Bytes),
    /// Copied.
    Borrowed(&'a [u8]),
    /// For many connections.
    Prepared(Arc<Prepared>),
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Borrowed(bytes) => bytes,
            Self::Prepared(message) => message.payload(),
        }
    }
}

impl From<Body> for Payload<'_> {
    fn from(body: Body) -> Self {
        match body {
            Body::Own(bytes) => Self::Owned(bytes),
            Body::Prepared(message) => Self::Prepared(message),
        }
    }
}

/// See the module.
pub(crate) struct Engine {
    pub(crate) core: Connection<Arc<Config>>,
    rx: RecvBuffer<Inbound>,
    /// Where compression was negotiated.
    pub(crate) deflate: Option<Box<Deflate>>,
    pub(crate) out: Outbound,
    transport: Transport,
    clock: Clock,
    now: Instant,
    /// What is ready in the core and not taken.
    announced: Option<EventKind>,
    /// Why the connection ended, until somebody has been told.
    error: Option<Error>,
    close_reason: Option<Box<str>>,
    /// Since when the peer has taken nothing of what waits to be sent.
    stalled: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the transport wakes where the connection has no future of its own.
    pub(crate) relay: Option<Waker>,
    pub(crate) flags: Flags,
    /// How many halves the application holds.
    pub(crate) halves: u8,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The connection has a future of its own, which owns reading and writing.
    pub(crate) driven: bool,
    /// That future is polling the handler: it will flush afterwards.
    pub(crate) driving: bool,
    /// Somebody waits for an event.
    pub(crate) receiving: bool,
    /// What whoever sends waits for.
    pub(crate) sender: Wait,
    /// Pings and pongs are events.
    pub(crate) control: bool,
    /// Nobody will receive: data is discarded.
    pub(crate) discard: bool,
    /// A fragmented message has begun and not ended.
    pub(crate) fragmenting: bool,
    /// Nothing more will be received.
    pub(crate) ended: bool,
    /// Deadlines are swept by the server's ticker.
    pub(crate) swept: bool,
    /// The application does not take what is ready.
    held: bool,
    /// Nothing is read as long as there is nothing to decompress with.
    starved: bool,
    /// The peer will send nothing more.
    eof: bool,
    /// The writing side is shut down.
    shut: bool,
}

/// What a sender waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    #[default]
    Nothing,
    /// Room for a frame.
    Room,
    /// All that is queued has been written.
    Flush,
    /// The connection has ended.
    End,
}

impl Engine {
    pub(crate) fn new(
        transport: Transport,
        core: Connection<Arc<Config>>,
        deflate: Option<Box<Deflate>>,
        leftover: &[u8],
        clock: Clock,
        now: Instant,
    ) -> Self {
        Self {
            core,
            rx: RecvBuffer::new(Inbound::new(leftover)),
            deflate,
            out: Outbound::default(),
            transport,
            clock,
            now,
            announced: None,
            error: None,
            close_reason: None,
            stalled: None,
            timer: None,
            relay: None,
            flags: Flags::default(),
            halves: 2,
        }
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.transport.is_gone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.core.state() == State::Open
    }

    /// Whether an event, or the end, waits to be taken.
    pub(crate) const fn has_news(&self) -> bool {
        self.announced.is_some() || self.flags.ended
    }

    pub(crate) fn close_reason(&self) -> Option<&str> {
        self.close_reason.as_deref()
    }

    pub(crate) fn refresh_clock(&mut self) {
        self.now = self.clock.now();
    }

    // ---- in ----

    /// Goes on until an event is announced or the connection has ended. Without a context the socket is not
    /// touched.
    pub(crate) fn poll_news(&mut self, mut cx: Option<&mut Context<'_>>) -> Poll<()> {
        let mut reads = 0;
        while !self.has_news() {
            let status = match &mut self.deflate {
                None => self.core.advance(&mut self.rx, &mut ThreadKeys, self.now),
                Some(deflate) => {
                    let cx = cx.as_deref_mut();
                    let advanced = deflate.poll_advance(&mut self.core, &mut self.rx, self.now, cx);
                    self.starve(advanced.is_pending());
                    ready!(advanced)
                }
            };
            self.move_slot();
            match status {
                Ok(Status::Ready(kind)) => self.announce(kind),
                Ok(Status::NeedInput) => match &mut cx {
                    Some(cx) if reads == READS => return again(cx),
                    Some(cx) => {
                        ready!(self.poll_read(cx));
                        reads += 1;
                    }
                    None => return Poll::Pending,
                },
                Ok(Status::NeedTransmit | Status::NeedOutput | Status::Paused) => match &mut cx {
                    // Pongs wait behind a full queue: reading goes on when some of it has left.
                    Some(cx) if self.out.len() >= HIGH_WATER => ready!(self.poll_flush(cx)),
                    Some(_) => {}
                    None => return Poll::Pending,
                },
                Ok(Status::Closed) => self.flags.ended = true,
                Err(failure) => self.end(failure.into()),
            }
        }
        Poll::Ready(())
    }

    fn announce(&mut self, kind: EventKind) {
        match kind {
            EventKind::Close => {
                if let CoreEvent::Close(Some(frame)) = self.core.event(&self.rx) {
                    self.close_reason =
                        Some(frame.reason).filter(|reason| !reason.is_empty()).map(Into::into);
                }
            }
            EventKind::Ping | EventKind::Pong if !self.flags.control || self.flags.discard => {}
            _ if self.flags.discard => {}
            kind => self.announced = Some(kind),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What was queued leaves before the connection waits for more.
        let _ = self.poll_flush(cx);
        if self.flags.ended {
            return Poll::Ready(());
        }
        match ready!(self.rx.storage_mut().poll_read(&mut self.transport, cx)) {
            Ok(0) => {
                self.flags.eof = true;
                self.core.received_eof();
                self.end(Error::Abnormal);
            }
            Ok(_) => self.refresh_clock(),
            Err(error) => self.lose(error),
        }
        Poll::Ready(())
    }

    /// The announced event, or the error that ended the connection, or `None` when it has ended.
    pub(crate) fn take_news(&mut self) -> Option<Result<Event, Error>> {
        if let Some(kind) = self.announced.take() {
            return Some(Ok(self.take_event(kind)));
        }
        self.error.take().map(Err)
    }

    #[inline]
    fn take_event(&mut self, kind: EventKind) -> Event {
        match kind {
            EventKind::Text => Event::Message(Message::checked(MessageKind::Text, self.take_payload())),
            EventKind::Binary => Event::Message(Message::checked(MessageKind::Binary, self.take_payload())),
            _ => self.take_other(),
        }
    }

    /// The message or chunk that is ready.
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

    fn take_other(&mut self) -> Event {
        let event = match &self.deflate {
            None => self.core.event(&self.rx),
            Some(deflate) => deflate.event(&self.core, &self.rx),
        };
        match event {
            CoreEvent::Chunk(chunk) => {
                let wirelet_proto::Chunk { kind, offset, frame, first, last, .. } = chunk;
                Event::Chunk(Chunk { kind, data: self.take_payload(), offset, frame, first, last })
            }
            CoreEvent::Ping(payload) => Event::Ping(Bytes::copy_from_slice(payload)),
            CoreEvent::Pong(payload) => Event::Pong(Bytes::copy_from_slice(payload)),
            CoreEvent::Text(_) | CoreEvent::Binary(_) | CoreEvent::Close(_) => Event::Pong(Bytes::new()),
        }
    }

    /// The application does not take what is ready: deadlines that depend on reading stand still.
    pub(crate) fn hold(&mut self) {
        if !self.flags.held {
            self.flags.held = true;
            self.core.hold_reading(true, self.now);
        }
    }

    /// The application receives.
    pub(crate) fn resume(&mut self) {
        if std::mem::take(&mut self.flags.held) && !self.flags.starved {
            self.core.hold_reading(false, self.now);
        }
    }

    /// All decompressors are lent, or no longer: meanwhile deadlines that depend on reading stand still.
    fn starve(&mut self, starved: bool) {
        if std::mem::replace(&mut self.flags.starved, starved) != starved && !self.flags.held {
            self.core.hold_reading(starved, self.now);
        }
    }

    /// From now on what arrives is discarded.
    pub(crate) fn discard(&mut self) {
        self.flags.discard = true;
        if self.announced.is_some() {
            self.take_news();
        }
        self.resume();
    }

    // ---- out ----

    pub(crate) const fn has_room(&self) -> bool {
        self.out.len() < HIGH_WATER
    }

    /// Queues a frame, whole.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`]; nothing is queued then.
    pub(crate) fn append(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        // A compressor's context can't be taken back.
        self.core.may_begin_frame(kind)?;
        let Self { deflate, core, out, .. } = self;
        let Some(deflate) = deflate else { return self.append_plain(kind, payload, fin) };
        let mut send = |compressed: &[u8]| {
            let head = core.begin_compressed_frame(kind, compressed.len() as u64, fin, &mut ThreadKeys)?;
            out.push(&head);
            core.mask(out.push(compressed));
            Ok::<_, Error>(())
        };
        let prepared = match &payload {
            Payload::Prepared(message) => deflate.prepared(message, compress),
            _ => None,
        };
        let sent = match prepared {
            Some(prepared) => prepared.as_deref().map(send),
            None => deflate.compress(payload.bytes(), fin, compress, |compressed| compressed.map(&mut send)),
        };
        match sent {
            None => return self.append_plain(kind, payload, fin),
            Some(sent) => sent?,
        }
        self.flags.fragmenting = !fin;
        Ok(())
    }

    fn append_plain(&mut self, kind: MessageKind, payload: Payload<'_>, fin: bool) -> Result<(), Error> {
        let len = payload.bytes().len();
        let head = self.core.begin_frame(kind, len as u64, fin, &mut ThreadKeys)?;
        self.out.push(&head);
        match payload {
            Payload::Owned(bytes) if len >= BY_REFERENCE && !self.core.is_masking() => {
                self.out.push_owned(bytes)
            }
            Payload::Prepared(message) if len >= BY_REFERENCE && !self.core.is_masking() => {
                self.out.push_owned(message.payload().clone())
            }
            payload => self.core.mask(self.out.push(payload.bytes())),
        }
        self.flags.fragmenting = !fin;
        Ok(())
    }

    /// Queues what senders have queued, as far as there is room; all of it when the connection closes. Whether there was
    /// something to queue.
    pub(crate) fn take_outbox(&mut self, outbox: &Outbox, all: bool) -> bool {
        if !self.is_open() {
            outbox.close();
            return false;
        }
        let mut taken = false;
        while (all || self.has_room()) && !self.flags.fragmenting {
            let Some(Queued { body, kind, compress }) = outbox.pop() else { break };
            taken = self.append(kind, body.into(), true, compress).is_ok();
            if !taken {
                outbox.close();
            }
        }
        taken
    }

    /// What the core wants to say goes behind what is queued, unless too much is.
    fn move_slot(&mut self) {
        while self.has_room() && self.move_slot_once() {}
    }

    fn move_slot_once(&mut self) -> bool {
        let slot = self.core.poll_transmit();
        let len = slot.len();
        if len > 0 {
            self.out.push(slot);
            self.core.transmitted(len);
        }
        len > 0
    }

    /// Writes what is queued. An error of the transport ends the connection and is told to whoever receives.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let before = self.out.len();
            let flushed = self.out.poll_flush(&mut self.transport, cx);
            self.core.sent(before - self.out.len(), self.out.len(), self.now);
            let Poll::Ready(result) = flushed else {
                if self.stalled.is_none() || self.out.len() < before {
                    self.stalled = Some(self.now);
                }
                return Poll::Pending;
            };
            self.stalled = None;
            if let Err(error) = result {
                self.lose(error);
                return Poll::Ready(());
            }
            self.move_slot();
            if self.out.is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// As the core's.
    pub(crate) fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        while self.move_slot_once() {}
        self.core.ping(payload, &mut ThreadKeys, self.now)?;
        self.move_slot();
        Ok(())
    }

    // ---- the end ----

    /// Starts the closing handshake, behind all that has been queued.
    ///
    /// # Errors
    /// As the core's.
    pub(crate) fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        outbox: Option<&Outbox>,
    ) -> Result<(), Error> {
        if self.flags.fragmenting {
            // RFC 6455 7.1.7: a message that can't be ended can't be followed by a normal close.
            self.fail(CloseCode::INTERNAL_ERROR);
            return Ok(());
        }
        if let Some(outbox) = outbox {
            self.take_outbox(outbox, true);
            outbox.close();
        }
        while self.move_slot_once() {}
        self.refresh_clock();
        self.resume();
        self.core.close(code, reason, &mut ThreadKeys, self.now)?;
        while self.move_slot_once() {}
        Ok(())
    }

    /// Fails the connection: a close frame, and nothing is received any more.
    pub(crate) fn fail(&mut self, code: CloseCode) {
        self.refresh_clock();
        self.resume();
        self.core.fail(code, &mut ThreadKeys, self.now);
        self.flags.ended = true;
        while self.move_slot_once() {}
    }

    fn end(&mut self, error: Error) {
        if !self.flags.ended {
            self.flags.ended = true;
            self.error = Some(error);
        }
    }

    /// The network has failed.
    fn lose(&mut self, error: std::io::Error) {
        // After both close frames an error of the network is nobody's concern.
        if self.core.close_info().received.is_some() {
            self.flags.ended = true;
        }
        self.end(Error::Io(error));
        self.give_up();
    }

    /// Drops the socket and all memory.
    pub(crate) fn give_up(&mut self) {
        self.flags.ended = true;
        self.core.received_eof();
        self.transport = Transport::Gone;
        self.rx.storage_mut().release();
        if let Some(deflate) = &mut self.deflate {
            deflate.release();
        }
        self.out = Outbound::default();
        self.timer = None;
        self.relay = None;
    }

    /// Discards what arrives until the connection has ended, then [lingers](Self::poll_linger). Ready when the
    /// socket is gone.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.discard();
        ready!(self.poll_news(Some(cx)));
        self.poll_linger(cx)
    }

    /// After the end: writes what is queued, shuts down the writing side, and discards input until its end, since
    /// a socket that is closed with unread input resets the connection and may destroy the close frame on its
    /// way. The closing deadline bounds it. Ready when the socket is gone.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_gone() {
            return Poll::Ready(());
        }
        if !self.flags.eof && !self.flags.shut {
            while self.move_slot_once() {}
            ready!(self.poll_flush(cx));
        }
        // RFC 6455 7.1.1: after a clean close a client waits for the server to close the TCP connection.
        let waits = self.core.role() == Role::Client && self.core.close_info().is_clean();
        if !waits && !self.flags.shut && !self.flags.eof {
            let _ = ready!(Pin::new(&mut self.transport).poll_shutdown(cx));
            self.flags.shut = true;
        }
        let rx = self.rx.storage_mut();
        while !self.flags.eof {
            rx.release();
            match rx.poll_read(&mut self.transport, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => self.flags.eof = true,
                Poll::Pending => {
                    rx.release();
                    return Poll::Pending;
                }
            }
        }
        self.give_up();
        Poll::Ready(())
    }

    // ---- time ----

    /// When something is due, milliseconds of the shared clock; `u64::MAX`: never.
    pub(crate) fn deadline(&self) -> u64 {
        self.next_deadline().map_or(u64::MAX, Instant::as_millis)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.core.poll_deadline().filter(|_| !self.is_gone());
        [core, self.stall_deadline()].into_iter().flatten().min()
    }

    /// Until when the peer has to take something, even while the application holds reading.
    fn stall_deadline(&self) -> Option<Instant> {
        let idle = self.core.config().keepalive.idle.filter(|_| !self.flags.ended)?;
        Some(self.stalled?.plus(idle))
    }

    /// Does what is due.
    pub(crate) fn handle_deadlines(&mut self) {
        if self.stall_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.fail(CloseCode::TIMEOUT);
            self.error = Some(Error::Timeout(Timeout::Stalled));
        }
        while let Some(deadline) = self.core.poll_deadline().filter(|deadline| *deadline <= self.now) {
            match self.core.handle_deadline(&mut ThreadKeys, self.now) {
                Some(wirelet_proto::Expired::Closing) => {
                    if !self.core.close_info().is_clean() {
                        self.end(Error::Timeout(Timeout::Closing));
                    }
                    self.give_up();
                }
                Some(expired @ (wirelet_proto::Expired::Stalled | wirelet_proto::Expired::Slow)) => {
                    self.end(expired.into());
                    self.give_up();
                }
                Some(expired) => self.end(expired.into()),
                None => {}
            }
            self.move_slot();
            if self.core.poll_deadline() == Some(deadline) {
                break;
            }
        }
    }

    /// Keeps a timer of the connection's own, which is touched only when it fires or must fire earlier.
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(deadline) = self.next_deadline() else { return };
            let due = self.clock.instant(deadline);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            timer.as_mut().reset(due);
            self.refresh_clock();
            self.handle_deadlines();
        }
    }

    /// Whether what the sender waits for has come.
    pub(crate) const fn may_send(&self) -> bool {
        match self.flags.sender {
            Wait::Nothing => false,
            _ if self.flags.ended => true,
            Wait::Room => self.has_room(),
            Wait::Flush => self.out.is_empty(),
            Wait::End => false,
        }
    }

    /// Nothing happens for a while: gives back all memory that holds nothing.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.rx.storage_mut().rest();
        if let Some(deflate) = &mut self.deflate {
            deflate.rest();
        }
        self.out.rest();
    }
}

/// Pending, but to be polled again when the runtime has looked at all sockets and others have had their turn. Waking the
/// task at once would not do: a runtime with a task that is always ready looks at its sockets every 61 polls only.
fn again<T>(cx: &mut Context<'_>) -> Poll<T> {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}
