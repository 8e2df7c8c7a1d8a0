//! A WebSocket connection driven over a socket: the loop that both roles share.
//!
//! Everything that must survive lives in the session, not in its futures: [`Session::run`] may be dropped at any await and
//! called again, and no byte is lost, doubled or reordered.

use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Error, Read, Write};
use wirelet_proto::{
    Config, Connection, Delivery, Event, Expired, Failure, Fixed, Initiator, Instant, LimitError, MaskKeys,
    RecvBuffer, Spare as _, State, Status,
};

use crate::compression::{Lane, Received, Reservation, Way, largest};
use crate::handler::{Cause, Desk, End, Handler, Peer};
use crate::net::Socket;
use crate::outgoing::{AppendError, Outgoing};
use crate::table::{ConnectionId, Link, Phase};
use crate::time::{Clock, before, yield_now};

/// After so many turns without a rest other tasks are let in: a peer that floods must not starve them.
pub(crate) const TURNS: u8 = 16;

/// What a session may refer to.
pub(crate) struct Surroundings<'e, C> {
    pub(crate) link: Link<'e>,
    pub(crate) clock: &'e C,
    pub(crate) handler: &'e dyn Handler,
    /// How long a peer may take no byte.
    pub(crate) send_time: Duration,
}

/// One WebSocket connection.
pub(crate) struct Session<'m, 'c> {
    core: &'m mut Connection<&'c Config>,
    rx: Received<'m>,
    tx: Outgoing<'m>,
    /// What compresses, where that was agreed on.
    lane: Option<Way<'m, dyn Lane + 'm>>,
    id: ConnectionId,
    /// An event is ready and waits until an answer has room.
    ready: bool,
    /// The handler has begun a fragmented message and not ended it.
    in_message: bool,
    /// Another task has begun a fragmented message and not ended it.
    in_queued: bool,
    failure: Option<Failure>,
    expired: Option<Expired>,
    /// The peer's stream has ended.
    ended: bool,
    /// This side's application has begun the closing handshake on a connection that had not failed.
    closing: bool,
    /// When the peer last took a byte, or had taken all.
    took: Instant,
}

/// What the session waits for, besides time and notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// More bytes.
    Input,
    /// Room in the transmit buffer.
    Room,
    /// Nothing more will be delivered.
    Nothing,
}

/// What came first.
enum Turn<E> {
    Wrote(Result<usize, E>),
    Read(Result<usize, E>),
    Noticed,
    Due,
}

impl<'m, 'c> Session<'m, 'c> {
    /// A session in a connection's memory, whose first bytes followed the opening handshake (`rx`) or are still to be
    /// written (`tx`), compressed where that was agreed on and `lane` is reserved for it.
    pub(crate) fn begin(
        core: &'m mut Connection<&'c Config>,
        (rx, received): (&'m mut [u8], usize),
        (tx, queued): (&'m mut [u8], usize),
        lane: Option<&'m mut Reservation<'_>>,
        id: ConnectionId,
        now: Instant,
    ) -> Self {
        let mut rx = Fixed::new(rx);
        rx.commit(received);
        let tx = Outgoing::new(tx, queued);
        let (role, deflate, chunk) = (core.role(), core.extensions().deflate, tx.largest_chunk(true));
        let lane = lane.and_then(|lane| lane.open(role, deflate, chunk));
        Self { lane, ..Self::new(core, rx, tx, id, now) }
    }

    /// `rx` holds bytes that followed the opening handshake, `tx` such that are still to be written.
    pub(crate) fn new(
        core: &'m mut Connection<&'c Config>,
        rx: Fixed<&'m mut [u8]>,
        tx: Outgoing<'m>,
        id: ConnectionId,
        now: Instant,
    ) -> Self {
        Self {
            core,
            rx: RecvBuffer::new(rx),
            tx,
            lane: None,
            id,
            ready: false,
            in_message: false,
            in_queued: false,
            failure: None,
            expired: None,
            ended: false,
            closing: false,
            took: now,
        }
    }

    /// How it ended, once [`run`](Self::run) has answered why.
    pub(crate) fn end(&self, cause: Cause) -> End {
        End { close: self.core.close_info(), cause, was_closing: self.closing }
    }

    /// Calls the handler's `on_open`.
    pub(crate) fn open(&mut self, handler: &dyn Handler, keys: &mut dyn MaskKeys, now: Instant) {
        let mut desk = Desk {
            core: self.core,
            tx: &mut self.tx,
            outflow: self.lane.as_mut().map(|lane| lane.flows().1),
            keys,
            now,
            in_message: &mut self.in_message,
            in_queued: false,
        };
        handler.on_open(&mut Peer::new(self.id, &mut desk));
    }

    /// Drives the connection until nothing more can be delivered and all that was accepted has been written, or until
    /// that can't be any more.
    ///
    /// # Cancel safety
    /// Safe: call it again.
    pub(crate) async fn run<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        around: &Surroundings<'_, C>,
        keys: &mut dyn MaskKeys,
    ) -> Cause {
        let (mut reader, mut writer) = socket.split();
        let mut turns = 0;
        loop {
            let now = around.clock.now();
            if let Some(cause) = self.overdue(around, keys, now) {
                return cause;
            }
            let want = self.process(around, keys, now);
            self.core.hold_reading(want == Want::Room, now);
            if want == Want::Nothing && self.tx.is_empty() {
                return self.cause();
            }
            match self.turn(&mut reader, &mut writer, around, want).await {
                Turn::Wrote(Ok(n)) => {
                    self.tx.written(n);
                    self.took = around.clock.now();
                    self.core.sent(n, self.tx.pending().len(), self.took);
                }
                Turn::Wrote(Err(error)) | Turn::Read(Err(error)) => return Cause::Io(error.kind()),
                // It may still read: what was accepted for it is written.
                Turn::Read(Ok(0)) => {
                    self.ended = true;
                    self.core.received_eof();
                }
                // After the last event whatever arrives is thrown away (RFC 6455 5.5.1).
                Turn::Read(Ok(_)) if want == Want::Nothing => {}
                Turn::Read(Ok(n)) => self.rx.commit(n),
                Turn::Noticed | Turn::Due => {}
            }
            turns = (turns + 1) % TURNS;
            if turns == 0 {
                yield_now().await;
            }
        }
    }

    /// Waits for the socket, a note from another task, or a deadline.
    async fn turn<R: Read, W: Write<Error = R::Error>, C: Clock>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        around: &Surroundings<'_, C>,
        want: Want,
    ) -> Turn<R::Error> {
        let deadline = self.deadline(around.send_time);
        let most = match self.core.config().delivery {
            // A chunk is never larger than what its echo has room for.
            Delivery::Chunks => self.tx.largest_chunk(self.lane.is_some()),
            Delivery::Messages => usize::MAX,
        };
        let reads = want != Want::Room && !self.ended;
        let (rx, tx) = (&mut self.rx, &self.tx);
        let mut read = pin!(async {
            let spare = rx.spare_mut();
            let len = spare.len().min(most);
            match spare.get_mut(..len) {
                Some(into) if reads && !into.is_empty() => reader.read(into).await,
                _ => pending().await,
            }
        });
        let mut write =
            pin!(async { if tx.is_empty() { pending().await } else { writer.write(tx.pending()).await } });
        let mut alarm = pin!(async {
            match deadline {
                Some(deadline) => around.clock.wait_until(deadline).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| {
            if let Poll::Ready(wrote) = write.as_mut().poll(cx) {
                return Poll::Ready(Turn::Wrote(wrote));
            }
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Turn::Read(read));
            }
            if around.link.poll_noticed(cx).is_ready() {
                return Poll::Ready(Turn::Noticed);
            }
            alarm.as_mut().poll(cx).map(|()| Turn::Due)
        })
        .await
    }

    fn deadline(&self, send_time: Duration) -> Option<Instant> {
        let due = self.core.poll_deadline();
        if self.tx.is_empty() {
            return due;
        }
        let stalled = self.took.plus(send_time);
        Some(due.map_or(stalled, |due| due.min(stalled)))
    }

    /// What is due now: a cause to give the socket up at once.
    fn overdue<C: Clock>(
        &mut self,
        around: &Surroundings<'_, C>,
        keys: &mut dyn MaskKeys,
        now: Instant,
    ) -> Option<Cause> {
        let mut keys = keys;
        if self.tx.is_empty() {
            self.took = now;
        } else if self.took.plus(around.send_time) <= now {
            return Some(Cause::Stalled);
        }
        match self.core.handle_deadline(&mut keys, now)? {
            Expired::Closing => Some(Cause::Expired(self.expired.unwrap_or(Expired::Closing))),
            Expired::Stalled => Some(Cause::Stalled),
            Expired::Slow => Some(Cause::Expired(Expired::Slow)),
            expired => {
                self.expired = Some(expired);
                None
            }
        }
    }

    /// Takes in what was received and puts out what was queued, as far as it goes without waiting.
    fn process<C: Clock>(
        &mut self,
        around: &Surroundings<'_, C>,
        keys: &mut dyn MaskKeys,
        now: Instant,
    ) -> Want {
        loop {
            self.tx.append_control(self.core);
            if !self.take_queued(around.link, keys, now) {
                return Want::Room;
            }
            if self.ready && !self.deliver(around, keys, now) {
                return Want::Room;
            }
            let close = self.core.close_info();
            self.closing |= close.initiator == Some(Initiator::Local) && !close.failed;
            let status = match &mut self.lane {
                None => self.core.advance(&mut self.rx, &mut &mut *keys, now),
                Some(lane) => lane.flows().0.advance(self.core, &mut self.rx, keys, now),
            };
            match status {
                Ok(Status::Ready(_)) => self.ready = true,
                Ok(Status::Paused) => {}
                Ok(Status::NeedInput) if self.core.poll_transmit().is_empty() => return Want::Input,
                Ok(Status::NeedInput | Status::NeedTransmit) => {
                    self.tx.append_control(self.core);
                    if !self.core.poll_transmit().is_empty() {
                        return Want::Room;
                    }
                }
                Ok(Status::Closed) => {
                    // When the buffer is empty, the slot is too: it fits into any buffer that is.
                    self.tx.append_control(self.core);
                    self.close_noted(around.link);
                    return Want::Nothing;
                }
                Err(failure) => self.failure = Some(failure),
                // A whole message becomes larger than there is memory for.
                Ok(Status::NeedOutput) => {
                    let failure = Failure::Limit(LimitError::Message);
                    self.core.fail(failure.close_code(), &mut &mut *keys, now);
                    self.failure = Some(failure);
                }
            }
        }
    }

    /// Hands the event that is ready to the handler, if an answer has room; false otherwise.
    fn deliver<C: Clock>(
        &mut self,
        around: &Surroundings<'_, C>,
        keys: &mut dyn MaskKeys,
        now: Instant,
    ) -> bool {
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
        let room = if outflow.is_some() { largest(answer) } else { answer };
        if answer > 0 && (self.in_queued || !self.tx.fits(room)) {
            return false;
        }
        self.ready = false;
        let mut desk = Desk {
            core: self.core,
            tx: &mut self.tx,
            outflow,
            keys,
            now,
            in_message: &mut self.in_message,
            in_queued: self.in_queued,
        };
        around.handler.on_event(&mut Peer::new(self.id, &mut desk), event);
        self.close_noted(around.link);
        true
    }

    /// Moves messages of other tasks into the transmit buffer, and starts closing when that is asked for; false when
    /// there is no room.
    fn take_queued(&mut self, link: Link<'_>, keys: &mut dyn MaskKeys, now: Instant) -> bool {
        // RFC 6455 5.4: the fragments of a message follow each other.
        while !self.in_message {
            let taken = link.with(|slot, ring| {
                let front = slot.queue.front(ring)?;
                let mut outflow = self.lane.as_mut().map(|lane| lane.flows().1);
                let outflow = outflow.as_mut();
                let appended = self.tx.append(self.core, keys, outflow, front.kind, front.pieces, front.fin);
                if appended != Err(AppendError::Full) {
                    self.in_queued = !front.fin;
                    slot.queue.pop(ring);
                }
                Some(appended)
            });
            match taken.flatten() {
                None => break,
                Some(Err(AppendError::Full)) => return false,
                Some(_) => {}
            }
        }
        let waits = |slot: &mut crate::table::Slot| slot.queue.is_empty() || self.in_message;
        let close = link.with(|slot, _| if waits(slot) { slot.close } else { None }).flatten();
        let Some(code) = close else { return true };
        if self.core.state() == State::Open
            && self.core.close(code, "", &mut &mut *keys, now) == Err(wirelet_proto::SendError::Busy)
        {
            return false;
        }
        link.with(|slot, _| slot.close = None);
        self.close_noted(link);
        self.tx.append_control(self.core);
        true
    }

    /// Other tasks see that the connection is closing, and nothing is queued for it any more.
    fn close_noted(&self, link: Link<'_>) {
        if self.core.state() != State::Open {
            link.with(|slot, _| {
                if slot.phase == Phase::Open {
                    slot.queue.clear();
                    slot.enter(Phase::Closing);
                }
            });
        }
    }

    fn cause(&self) -> Cause {
        match (self.failure, self.expired) {
            (Some(failure), _) => Cause::Failed(failure),
            (_, Some(expired)) => Cause::Expired(expired),
            _ if self.ended && !self.core.close_info().is_clean() => Cause::EndOfStream,
            _ => Cause::Closed,
        }
    }

    /// After the closing handshake: ends the writing side and throws away what arrives until the peer's stream ends or
    /// the closing deadline has come. Closing at once would reset the connection and could destroy the close frame on its
    /// way. A client leaves it to the server to end the stream first (RFC 6455 7.1.1).
    pub(crate) async fn linger<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C, server: bool) {
        // Without a deadline everything is over.
        let Some(deadline) = self.core.poll_deadline() else { return };
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
