//! What tasks share: a slot for each connection, behind a critical section.
//!
//! A slot carries the messages that other tasks have queued, and what they want of the connection. Only the worker that
//! owns the connection writes to its socket; everybody else leaves a note here and wakes it.

use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use critical_section::Mutex;
use wirelet_proto::{CloseCode, Instant, MessageKind};

use crate::counters::{Count, Counters};
use crate::outgoing::largest_queued;
use crate::queue::{Control, Queue};
use crate::wait::Wait;

/// A connection, or one that was: ids are never used twice while anybody can tell.
///
/// The place of a connection that has ended is taken by another with the next generation; whoever still uses the old id
/// gets [`SendReason::Gone`], never the new peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConnectionId {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// The place: less than the number of connections, for tables of the application's own.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Phase {
    /// Nobody is connected.
    Free,
    /// A connection that speaks HTTP.
    Http,
    /// An open WebSocket.
    Open,
    /// A WebSocket whose closing handshake has begun.
    Closing,
}

/// What happens to a message for a peer whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Overflow {
    /// The sender gets it back: [`SendReason::Full`].
    #[default]
    Refuse,
    /// The messages that have waited longest are dropped for it. Fragments, and a message that is just leaving the queue, are
    /// not: then the sender gets it back, [`SendReason::Full`].
    DropOldest,
    /// The sender gets it back, and the peer is closed with 1013: it is too slow.
    Close,
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SendReason {
    /// The queue has no room for it now, or another message is being sent in fragments.
    Full,
    /// It is larger than the queue or the buffer behind it: it will never fit.
    TooLong,
    /// No such connection is open: it has ended, or its closing handshake has begun or was asked for.
    Gone,
}

/// A message that was not queued, given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError<M> {
    /// The message.
    pub message: M,
    /// Why.
    pub reason: SendReason,
}

impl<M> core::fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.reason {
            SendReason::Full => "the connection's queue is full",
            SendReason::TooLong => "the message is larger than the connection's queue or buffer",
            SendReason::Gone => "the connection is not open any more",
        })
    }
}

impl<M: core::fmt::Debug> core::error::Error for SendError<M> {}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary message.
    Binary(&'m [u8]),
}

impl<'m> Message<'m> {
    /// The payload.
    pub const fn bytes(self) -> &'m [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Text or binary.
    pub const fn kind(self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }
}

impl<'m, const N: usize> From<&'m [u8; N]> for Message<'m> {
    fn from(bytes: &'m [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'m> From<&'m str> for Message<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m [u8]> for Message<'m> {
    fn from(bytes: &'m [u8]) -> Self {
        Self::Binary(bytes)
    }
}

/// A connection of a server as other tasks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo<'t> {
    /// Its id.
    pub id: ConnectionId,
    /// What it is doing.
    pub phase: Phase,
    /// The name of its route, once it is a WebSocket ([`Route::named`](crate::server::Route::named)).
    pub route: Option<&'t str>,
    /// Its subprotocol.
    pub subprotocol: Option<&'t str>,
    /// Payload bytes that wait in its queue.
    pub queued: usize,
}

/// A slot as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: ConnectionId,
    pub(crate) phase: Phase,
    /// The position of its route in the table.
    pub(crate) route: Option<u16>,
    /// Its subprotocol, as the position in the route's list, or in the client's.
    pub(crate) subprotocol: Option<u16>,
    pub(crate) queued: usize,
}

/// The shared half of a connection.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) route: Option<u16>,
    pub(crate) subprotocol: Option<u16>,
    pub(crate) overflow: Overflow,
    /// A client's messages wait over the time without a connection: what keeps them when one ends.
    pub(crate) keep: Option<fn(&mut Queue, &mut [u8])>,
    pub(crate) queue: Queue,
    /// Messages go out compressed, which bounds a fragment by less ([`Table::largest`]).
    pub(crate) compressed: bool,
    /// A task sends a message in fragments.
    pub(crate) fragments: bool,
    pub(crate) order: Order,
    pub(crate) waits: Waits,
    /// What a client does. In a server's slots nobody looks at it.
    pub(crate) standing: Standing,
    /// Something here has changed since the worker looked last.
    noticed: bool,
    worker: Option<Waker>,
    pub(crate) watch: Watch,
}

/// What others want of a connection, and of the worker or client that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// Nothing.
    #[default]
    None,
    /// The connection is to be closed.
    Close(CloseCode),
    /// The same, and `run` is to return.
    Stop(CloseCode),
    /// The worker has noticed: all ends at that moment at the latest.
    Ends(CloseCode, Instant),
}

impl Order {
    /// Who asks first names the code.
    fn close(&mut self, code: CloseCode) {
        if *self == Self::None {
            *self = Self::Close(code);
        }
    }

    fn stop(&mut self, code: CloseCode) {
        if !self.stops() {
            *self = Self::Stop(self.code().unwrap_or(code));
        }
    }

    pub(crate) const fn code(self) -> Option<CloseCode> {
        match self {
            Self::None => None,
            Self::Close(code) | Self::Stop(code) | Self::Ends(code, _) => Some(code),
        }
    }

    const fn stops(self) -> bool {
        matches!(self, Self::Stop(_) | Self::Ends(..))
    }

    /// The connection has ended.
    fn released(&mut self) {
        if let Self::Close(_) = self {
            *self = Self::None;
        }
    }
}

/// Whether a connection of a server only waits for a request; or what tasks have changed of a client, which never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Waits {
    /// It does not.
    #[default]
    No,
    /// It has since then.
    Since(Instant),
    /// It has, and is to make way for a newcomer.
    Evicted,
    /// It is a client's.
    Never(Changes),
}

/// What tasks have changed of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// The fixed delay before further attempts, milliseconds; 0: as the options say.
    pub(crate) delay: u32,
    /// The interval of pings, milliseconds; 0: as configured, the largest: none.
    pub(crate) ping: u32,
}

/// What a client does while it has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It has not begun to run, or it runs.
    #[default]
    Running,
    /// It waits for the next attempt.
    Waiting,
    /// The next attempt is to begin at once.
    Hurried,
    /// The wait for it has another length now.
    Changed,
    /// Its `run` has returned.
    Finished,
}

/// Tasks that wait for a change, any number of them, in the memory of one.
///
/// They form a chain: here is who came last, and everybody keeps the waker of who came before. When the chain is rung, who is
/// here is woken, and everybody wakes the next in it. Invariant: the waker of everybody who has registered in the present
/// epoch is here, or is kept by somebody who has registered in it later.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    epoch: u32,
    /// An epoch has begun since the last has registered.
    rung: bool,
    last: Option<Waker>,
}

impl Watch {
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Everybody is to look again, and to register again who still waits.
    pub(crate) const fn ring(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.rung = true;
    }

    /// Registers in the present epoch; answers the waker that the caller is to keep and to wake in its turn.
    pub(crate) fn register(&mut self, waker: Waker) -> Option<Waker> {
        self.rung = false;
        self.last.replace(waker)
    }

    /// Who has been rung for.
    fn due(&mut self) -> Option<Waker> {
        if self.rung { self.last.take() } else { None }
    }
}

impl Slot {
    pub(crate) const fn new() -> Self {
        Self {
            generation: 0,
            phase: Phase::Free,
            route: None,
            subprotocol: None,
            overflow: Overflow::Refuse,
            keep: None,
            queue: Queue::new(),
            compressed: false,
            fragments: false,
            order: Order::None,
            waits: Waits::No,
            standing: Standing::Running,
            noticed: false,
            worker: None,
            watch: Watch { epoch: 0, rung: false, last: None },
        }
    }

    /// The worker is to look.
    pub(crate) const fn notice(&mut self) {
        self.noticed = true;
    }

    /// The connection is to be closed; who waits for room learns that there will be none.
    pub(crate) fn close(&mut self, code: CloseCode) {
        self.order.close(code);
        self.watch.ring();
        self.notice();
    }

    /// The same, and `run` is to return.
    pub(crate) fn stop(&mut self, code: CloseCode) {
        self.order.stop(code);
        self.watch.ring();
        self.notice();
    }

    /// The phase changes; who waits for that looks.
    pub(crate) const fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.watch.ring();
    }

    /// The client's standing changes; who waits for that looks.
    pub(crate) const fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.watch.ring();
    }

    /// Whether there is an open connection; `None` while there may be one.
    pub(crate) fn connected(&self) -> Option<bool> {
        match (self.phase, self.standing) {
            (Phase::Open, _) => Some(true),
            (_, Standing::Finished) => Some(false),
            _ => None,
        }
    }

    /// The worker's question whether anything has changed. If not, its waker stays here in the place of `waker`.
    fn poll_noticed(&mut self, waker: &mut Option<Waker>) -> Poll<()> {
        if core::mem::take(&mut self.noticed) {
            return Poll::Ready(());
        }
        core::mem::swap(&mut self.worker, waker);
        Poll::Pending
    }

    /// The wakers of those who are to look.
    fn due(&mut self) -> [Option<Waker>; 2] {
        [if self.noticed { self.worker.take() } else { None }, self.watch.due()]
    }

    /// What tasks have changed of a client.
    pub(crate) const fn changes(&self) -> Changes {
        match self.waits {
            Waits::Never(changes) => changes,
            _ => Changes { delay: 0, ping: 0 },
        }
    }

    /// Nothing more leaves this connection: what waits is dropped, or waits for the next one.
    pub(crate) fn forget(&mut self, ring: &mut [u8]) {
        match self.keep {
            Some(keep) => keep(&mut self.queue, ring),
            None => self.queue.clear(),
        }
    }

    /// Whether messages are taken: there is a connection, or they wait for one.
    pub(crate) fn takes(&self) -> bool {
        self.phase == Phase::Open || (self.keep.is_some() && self.standing != Standing::Finished)
    }

    /// The connection has ended; its id with it.
    pub(crate) fn release(&mut self, ring: &mut [u8]) {
        self.forget(ring);
        self.generation = self.generation.wrapping_add(1);
        self.route = None;
        self.subprotocol = None;
        self.compressed = false;
        self.fragments = false;
        self.order.released();
        self.waits = match self.waits {
            Waits::Never(changes) => Waits::Never(changes),
            _ => Waits::No,
        };
        self.noticed = false;
        self.enter(Phase::Free);
    }

    /// Whether this is the slot of that connection, which has not ended.
    pub(crate) fn is_of(&self, id: ConnectionId) -> bool {
        self.generation == id.generation && self.phase != Phase::Free
    }

    /// Whether `len` bytes, of at most `most`, may be queued, if there is room.
    fn admits(&self, most: usize, len: usize) -> Result<(), SendReason> {
        if len > most {
            return Err(SendReason::TooLong);
        }
        // Who is to close takes nothing more: it would never come to it while others send, and what they send behind an
        // abandoned message would be taken for its end.
        if self.order != Order::None {
            return Err(SendReason::Gone);
        }
        // RFC 6455 5.4: the fragments of a message follow each other.
        if self.fragments { Err(SendReason::Full) } else { Ok(()) }
    }

    /// Queues a message as `overflow` says.
    pub(crate) fn queue(
        &mut self,
        ring: &mut [u8],
        most: usize,
        message: Message<'_>,
        counters: Option<&Counters>,
    ) -> Result<(), SendReason> {
        self.admits(most, message.bytes().len())?;
        while !self.queue.push(ring, message.kind(), message.bytes()) {
            match self.overflow {
                // Half a message is not dropped.
                Overflow::DropOldest if self.queue.drop_whole(ring) => {
                    Counters::count(counters, Count::Dropped, 1);
                }
                Overflow::Close => {
                    self.queue.clear();
                    self.close(CloseCode::TRY_AGAIN_LATER);
                    return Err(SendReason::Full);
                }
                _ => return Err(SendReason::Full),
            }
        }
        self.notice();
        Ok(())
    }

    /// Queues a fragment of the task that has reserved the connection.
    pub(crate) fn queue_fragment(
        &mut self,
        ring: &mut [u8],
        most: usize,
        kind: MessageKind,
        payload: &[u8],
        fin: bool,
    ) -> Result<(), SendReason> {
        if payload.len() > most {
            return Err(SendReason::TooLong);
        }
        if !self.queue.push_fragment(ring, kind, payload, fin) {
            return Err(SendReason::Full);
        }
        self.fragments = !fin;
        if fin {
            // Others may send again.
            self.watch.ring();
        }
        self.notice();
        Ok(())
    }
}

/// All slots of a server or client, whatever their number and size.
pub(crate) trait Table: Sync {
    fn count(&self) -> usize;

    /// The largest message that can be queued, payload bytes; `compressed`: the largest fragment of a message that may be
    /// compressed, which has to fit when it can't be.
    fn largest(&self, compressed: bool) -> usize;

    /// `act` on a slot and its ring, within a critical section. It must not be the application's or the executor's code: who
    /// is to be woken is woken after it.
    fn visit(&self, index: usize, act: &mut dyn Act);
}

/// What is done with a slot and its ring: a closure. (Not `dyn FnMut`, whose table of functions has each of them a second time,
/// for `FnOnce`: a kilobyte of flash.)
pub(crate) trait Act {
    fn act(&mut self, slot: &mut Slot, ring: &mut [u8]);
}

impl<F: FnMut(&mut Slot, &mut [u8])> Act for F {
    fn act(&mut self, slot: &mut Slot, ring: &mut [u8]) {
        self(slot, ring);
    }
}

impl dyn Table + '_ {
    /// [`visit`](Table::visit) with an answer; `None` where there is no such slot.
    pub(crate) fn with<R>(&self, index: usize, act: impl FnOnce(&mut Slot, &mut [u8]) -> R) -> Option<R> {
        let mut act = Some(act);
        let mut answer = None;
        let mut act = |slot: &mut Slot, ring: &mut [u8]| answer = act.take().map(|act| act(slot, ring));
        self.visit(index, &mut act);
        answer
    }

    /// The slot of a connection that has not ended.
    pub(crate) fn with_id<R>(
        &self,
        id: ConnectionId,
        act: impl FnOnce(&mut Slot, &mut [u8]) -> R,
    ) -> Option<R> {
        self.with(id.index(), |slot, ring| slot.is_of(id).then(|| act(slot, ring))).flatten()
    }

    /// How many slots are in a phase that `choose` takes.
    pub(crate) fn count_of(&self, choose: impl Fn(Phase) -> bool) -> usize {
        (0..self.count()).filter(|at| self.with(*at, |slot, _| choose(slot.phase)) == Some(true)).count()
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        self.count_of(|phase| phase == Phase::Free)
    }

    /// When nothing is free, who has waited longest for a request makes way for the next newcomer.
    pub(crate) fn make_way(&self) {
        if self.free() > 0 {
            return;
        }
        let mut longest: Option<(Instant, usize)> = None;
        for at in 0..self.count() {
            self.with(at, |slot, _| {
                if let Waits::Since(since) = slot.waits
                    && longest.is_none_or(|(other, _)| since < other)
                {
                    longest = Some((since, at));
                }
            });
        }
        if let Some((_, at)) = longest {
            self.with(at, |slot, _| {
                slot.waits = Waits::Evicted;
                slot.notice();
            });
        }
    }

    pub(crate) fn try_send<'m>(
        &self,
        id: ConnectionId,
        message: Message<'m>,
        counters: Option<&Counters>,
    ) -> Result<(), SendError<Message<'m>>> {
        let most = self.largest(false);
        let queued = self.with_id(id, |slot, ring| match slot.phase {
            Phase::Open => slot.queue(ring, most, message, counters),
            _ => Err(SendReason::Gone),
        });
        queued.unwrap_or(Err(SendReason::Gone)).map_err(|reason| SendError { message, reason })
    }

    /// Queues a message of a client, for whatever connection.
    pub(crate) fn try_send_any<'m>(
        &self,
        message: Message<'m>,
        counters: Option<&Counters>,
    ) -> Result<(), SendError<Message<'m>>> {
        let most = self.largest(false);
        let queued = self.with(0, |slot, ring| match slot.takes() {
            true => slot.queue(ring, most, message, counters),
            false => Err(SendReason::Gone),
        });
        queued.unwrap_or(Err(SendReason::Gone)).map_err(|reason| SendError { message, reason })
    }

    /// Queues a message when there is room; `id`: for that connection alone.
    pub(crate) fn send<'t, 'm>(
        &'t self,
        id: Option<ConnectionId>,
        message: Message<'m>,
        counters: Option<&'t Counters>,
    ) -> impl Future<Output = Result<(), SendError<Message<'m>>>> + use<'t, 'm> {
        let most = self.largest(false);
        let queued = self.wait(id, move |slot, ring| match slot.queue(ring, most, message, counters) {
            Err(SendReason::Full) => None,
            queued => Some(queued),
        });
        async move { queued.await.map_err(|reason| SendError { message, reason }) }
    }

    /// Waits until a message of `len` bytes would be queued.
    pub(crate) fn ready<'t>(
        &'t self,
        id: Option<ConnectionId>,
        len: usize,
    ) -> impl Future<Output = Result<(), SendReason>> + use<'t> {
        let most = self.largest(false);
        self.wait(id, move |slot, ring| match slot.admits(most, len) {
            Ok(()) if slot.queue.has_room(ring, len) => Some(Ok(())),
            Ok(()) | Err(SendReason::Full) => None,
            refused => Some(refused),
        })
    }

    /// Waits for an answer while a connection is open, or while a client takes messages.
    pub(crate) fn wait<'t, F>(
        &'t self,
        id: Option<ConnectionId>,
        mut look: F,
    ) -> impl Future<Output = Result<(), SendReason>> + use<'t, F>
    where
        F: FnMut(&mut Slot, &mut [u8]) -> Option<Result<(), SendReason>> + Unpin,
    {
        let index = id.map_or(0, ConnectionId::index);
        Wait::new(self, index, move |slot: &mut Slot, ring: &mut [u8]| {
            let takes = id.map_or(slot.takes(), |id| slot.is_of(id) && slot.phase == Phase::Open);
            if takes { look(slot, ring) } else { Some(Err(SendReason::Gone)) }
        })
    }

    /// Waits until a connection has ended.
    pub(crate) fn closed<'t>(&'t self, id: ConnectionId) -> impl Future<Output = ()> + use<'t> {
        Wait::new(self, id.index(), move |slot: &mut Slot, _: &mut [u8]| (!slot.is_of(id)).then_some(()))
    }

    pub(crate) fn ping(&self, id: ConnectionId, payload: &[u8]) -> Result<(), SendReason> {
        let most = self.largest(false).min(wirelet_proto::MAX_CONTROL_PAYLOAD);
        let queued = self.with_id(id, |slot, ring| {
            if slot.phase != Phase::Open {
                return Err(SendReason::Gone);
            }
            slot.admits(most, payload.len())?;
            let queued = slot.queue.push_control(ring, Control::Ping, payload);
            slot.notice();
            if queued { Ok(()) } else { Err(SendReason::Full) }
        });
        queued.unwrap_or(Err(SendReason::Gone))
    }

    /// Has a connection closed; whether there is one.
    pub(crate) fn close(&self, id: ConnectionId, code: CloseCode, reason: &str) -> bool {
        let code = if code.is_sendable() { code } else { CloseCode::INTERNAL_ERROR };
        let asked = self.with_id(id, |slot, ring| {
            // RFC 6455 5.5: with its code it has at most 125 bytes.
            if slot.order == Order::None && slot.phase == Phase::Open && (1..=123).contains(&reason.len()) {
                slot.queue.push_control(ring, Control::Reason, reason.as_bytes());
            }
            slot.close(code);
        });
        asked.is_some()
    }

    pub(crate) fn snapshot(&self, index: usize) -> Option<Snapshot> {
        let number = u16::try_from(index).ok()?;
        self.with(index, |slot, _| Snapshot {
            id: ConnectionId { index: number, generation: slot.generation },
            phase: slot.phase,
            route: slot.route,
            subprotocol: slot.subprotocol,
            queued: slot.queue.payload(),
        })
    }
}

/// The memory of a [`Table`].
#[derive(Debug)]
pub(crate) struct Slots<const COUNT: usize, const TX: usize, const QUEUE: usize> {
    slots: [Shared<QUEUE>; COUNT],
}

type Shared<const QUEUE: usize> = Mutex<RefCell<(Slot, [u8; QUEUE])>>;

impl<const COUNT: usize, const TX: usize, const QUEUE: usize> Slots<COUNT, TX, QUEUE> {
    pub(crate) const fn new() -> Self {
        Self { slots: [const { Mutex::new(RefCell::new((Slot::new(), [0; QUEUE]))) }; COUNT] }
    }
}

impl<const COUNT: usize, const TX: usize, const QUEUE: usize> Table for Slots<COUNT, TX, QUEUE> {
    fn count(&self) -> usize {
        COUNT
    }

    fn largest(&self, compressed: bool) -> usize {
        largest_queued(TX, compressed).min(QUEUE.saturating_sub(crate::queue::RECORD))
    }

    fn visit(&self, index: usize, act: &mut dyn Act) {
        let Some(slot) = self.slots.get(index) else { return };
        let due = critical_section::with(|section| {
            // Nobody keeps a borrow beyond a critical section, and `act` comes back to no slot.
            let mut slot = slot.borrow(section).try_borrow_mut().ok()?;
            let (slot, ring) = &mut *slot;
            act.act(slot, ring);
            Some(slot.due())
        });
        due.into_iter().flatten().flatten().for_each(Waker::wake);
    }
}

/// One slot of a table, for the worker that owns its connection.
#[derive(Clone, Copy)]
pub(crate) struct Link<'t> {
    pub(crate) table: &'t dyn Table,
    pub(crate) index: usize,
}

impl Link<'_> {
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Slot, &mut [u8]) -> R) -> Option<R> {
        self.table.with(self.index, act)
    }

    #[inline(never)] // flash: it is called in many places, as are the next two
    pub(crate) fn poll_noticed(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the critical section and dropped after it: wakers are the executor's code.
        let mut waker = Some(cx.waker().clone());
        self.with(|slot, _| slot.poll_noticed(&mut waker)).unwrap_or(Poll::Pending)
    }

    pub(crate) fn id(&self) -> ConnectionId {
        let generation = self.with(|slot, _| slot.generation).unwrap_or_default();
        ConnectionId { index: self.index as u16, generation }
    }

    #[inline(never)]
    pub(crate) fn stopped(&self) -> bool {
        self.with(|slot, _| slot.order.stops()).unwrap_or(true)
    }

    /// When all has to have ended after a stop, whatever waits: `time` after the worker noticed it, which is when it asks
    /// here for the first time.
    #[inline(never)]
    pub(crate) fn ends(&self, now: Instant, time: Duration) -> Option<Instant> {
        let ends = self.with(|slot, _| {
            if let Order::Stop(code) = slot.order {
                slot.order = Order::Ends(code, now.plus(time));
            }
            match slot.order {
                Order::Ends(_, when) => Some(when),
                _ => None,
            }
        });
        ends.flatten()
    }

    /// `run` returns: what is asked for from now on is for the next one.
    pub(crate) fn returned(&self) {
        self.with(|slot, _| {
            slot.order = Order::None;
            slot.queue.clear();
            slot.stand(Standing::Finished);
        });
    }
}

/// A slot that is in use until this is dropped.
pub(crate) struct Occupied<'t>(Link<'t>);

impl<'t> Occupied<'t> {
    pub(crate) fn new(link: Link<'t>) -> Self {
        link.with(|slot, _| slot.enter(Phase::Http));
        link.table.make_way();
        Self(link)
    }
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.0.with(|slot, ring| slot.release(ring));
    }
}
