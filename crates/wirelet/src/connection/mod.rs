//! A connection: its state and the one function that moves it, its owner, and what other tasks share with the owner.
//!
//! ```text
//!   handler, or whoever polls ──▶ Engine ◀── drive ── owner: the connection's task, or the future that is polled
//!                                   │ read_mailbox, take_mail            ▲ wake
//!   Sender, the other half,         ▼                                    │
//!   server, in any task ───────▶ Mailbox ────────────────────────────────┘
//! ```
//!
//! Invariant: whoever has the engine is the connection's owner, and nobody else reads, writes or looks at deadlines.
//! - A connection with a task ([`driver`]) has its engine there. While the handler is polled the engine is at hand for its
//!   socket without a lock ([`local`]).
//! - A connection without a task has its engine at home in [`Shared`], under a lock. Each future that is polled moves it.
//! - In any other task a socket leaves its wishes in the [`mailbox`] and wakes the owner.

mod budget;
pub(crate) mod driver;
mod engine;
pub(crate) mod inbound;
pub(crate) mod later;
mod local;
mod mailbox;
pub(crate) mod outbound;
pub(crate) mod outbox;
pub(crate) mod queue;
mod send;
mod slot;
mod state;
mod timed;
mod timer;

use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use wirelet_proto::{
    CloseCode, CloseFrame, CloseInfo, Config, Delivery, Extensions, MessageKind, Role, State, Upgraded,
};

use crate::deflate::{Compress, Deflate, Negotiated};
#[cfg(feature = "deflate")]
use crate::deflate::{CompressionInfo, Traffic};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::time::Clock;
use crate::transport::Transport;
use crate::{Error, Event, Message, MessageRef, Peer, SlowReceiver, TrySendError};
pub(crate) use engine::Engine;
use engine::{Beginning, Reads};
use later::Locked;
use mailbox::{Attention, Flag, Mailbox, Wait, Woken};
use queue::{Body, Origin, Queued};
pub(crate) use send::{Outgoing, Payload};
pub(crate) use slot::Core;
use state::PublishedState;

/// What all who have to do with a connection share: where its engine is, its mailbox, and what is known of it outside.
pub(crate) struct Shared {
    /// The engine of a connection without a task.
    home: Mutex<Option<Box<Engine>>>,
    owner: Mutex<Owner>,
    /// Made when another task has to do with the connection.
    mailbox: OnceLock<Box<Mailbox>>,
    attention: Attention,
    /// When something is due, milliseconds of the server's clock. For the server's ticker.
    deadline: AtomicU64,
    state: PublishedState,
    close_reason: OnceLock<Box<str>>,
    /// What was agreed on about compression, and what it has saved.
    #[cfg(feature = "deflate")]
    traffic: Option<Arc<Traffic>>,
    role: Role,
    delivers_chunks: bool,
    subprotocol: Option<u16>,
    /// How many halves the application holds.
    halves: AtomicU8,
    /// What senders may queue, bytes; more than 32 bits can say counts as that.
    queued: u32,
}

/// Whom to wake so that the connection moves on.
enum Owner {
    /// Whoever waits in the mailbox: the connection has no task, or has not been polled yet.
    Whoever,
    /// A task that has not been polled yet, and will be.
    Unpolled,
    /// The connection's task.
    Task(Waker),
    /// Nobody: the connection is over.
    Nobody,
}

/// What a connection is made of.
pub(crate) struct Made<'a> {
    pub(crate) transport: Transport,
    pub(crate) role: Role,
    pub(crate) config: Arc<Config>,
    pub(crate) subprotocol: Option<u16>,
    pub(crate) negotiated: Option<Negotiated>,
    /// What was received behind the opening handshake.
    pub(crate) leftover: &'a [u8],
    /// What is still to be sent of the opening handshake.
    pub(crate) response: &'a [u8],
    pub(crate) clock: Clock,
}

impl Shared {
    /// A connection after its opening handshake, without a task.
    pub(crate) fn new(made: Made<'_>) -> Arc<Self> {
        let Made { transport, role, config, subprotocol, negotiated, leftover, response, clock } = made;
        let now = clock.now();
        let queued = u32::try_from(config.limits.queued).unwrap_or(u32::MAX);
        let delivers_chunks = config.delivery == Delivery::Chunks;
        let extensions =
            negotiated.as_ref().map_or(Extensions::NONE, |agreed| Extensions::deflate(agreed.params()));
        let deflate = negotiated.map(|agreed| Deflate::new(agreed, role, config.delivery));
        #[cfg(feature = "deflate")]
        let traffic = deflate.as_ref().map(|deflate| Arc::clone(deflate.traffic()));
        let core = Core::with_slot(role, config, Upgraded { subprotocol, extensions }, now);
        let shared = Arc::new(Self {
            home: Mutex::new(None),
            owner: Mutex::new(Owner::Whoever),
            mailbox: OnceLock::new(),
            attention: Attention::default(),
            deadline: AtomicU64::new(u64::MAX),
            state: PublishedState::default(),
            close_reason: OnceLock::new(),
            #[cfg(feature = "deflate")]
            traffic,
            role,
            delivers_chunks,
            subprotocol,
            halves: AtomicU8::new(2),
            queued,
        });
        let beginning = Beginning { transport, core, deflate, leftover, response, clock, now };
        *shared.home() = Some(Box::new(Engine::new(beginning)));
        shared
    }

    // ---- receiving ----

    /// The next message, where nothing else has to be done for it than to take it. `None`:
    /// [`poll_recv`](Self::poll_recv) knows more.
    #[inline]
    pub(crate) fn poll_message(&self, cx: &Context<'_>) -> Option<Poll<Message>> {
        local::with(self, |engine| engine.poll_message(self, cx)).flatten()
    }

    /// Lends each message that has come to `act`, where nothing else has to be done for it. `None`:
    /// [`poll_recv`](Self::poll_recv) knows more.
    pub(crate) fn poll_lend(
        self: &Arc<Self>,
        cx: &Context<'_>,
        act: &mut dyn FnMut(&mut Peer<'_>, MessageRef<'_>),
    ) -> Option<Poll<()>> {
        local::with(self, |engine| engine.poll_lend(self, cx, act)).flatten()
    }

    /// The next event: `None` after a clean close, and after an error has been told.
    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        control: bool,
    ) -> Poll<Option<Result<Event, Error>>> {
        if let Some(taken) = local::with(self, |engine| engine.poll_take(self, control, Some(cx))) {
            return taken;
        }
        self.at_home(|engine, io| {
            let taken = engine.poll_take(self, control, None);
            match taken {
                Poll::Ready(Some(Ok(_))) => {
                    engine.step_aside();
                    return (taken, Woken::default());
                }
                // The answer to a close frame, or one that says what was wrong, leaves before the end is told.
                Poll::Ready(_) => return (taken, engine.drive(self, Reads::WhileBlocked, io)),
                Poll::Pending => {}
            }
            self.mailbox().wait_to_receive(&self.attention, cx.waker());
            let woken = engine.drive(self, Reads::Always, io);
            let taken = engine.poll_take(self, control, None);
            if taken.is_ready() {
                engine.step_aside();
                return (taken, woken.but_receiver());
            }
            engine.rest();
            (taken, woken)
        })
        .unwrap_or_else(|| {
            let (taken, wake) = self.mailbox().poll_take(&self.attention, cx.waker(), control);
            if wake {
                self.wake_owner();
            }
            taken
        })
    }

    // ---- sending ----

    /// Ready when a frame may be queued.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn poll_room(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(room) = local::with(self, |engine| engine.poll_room(Some(cx))) {
            return room;
        }
        self.at_home(|engine, io| self.room_at_home(engine, cx, io))
            .unwrap_or_else(|| self.mailbox().poll_room(&self.attention, cx.waker()))
    }

    fn room_at_home(
        self: &Arc<Self>,
        engine: &mut Engine,
        cx: &Context<'_>,
        io: &mut Context<'_>,
    ) -> (Poll<Result<(), Error>>, Woken) {
        let room = engine.poll_room(None);
        if room.is_ready() {
            return (room, Woken::default());
        }
        self.mailbox().wait_to_send(&self.attention, cx.waker(), Wait::Room);
        let woken = engine.drive(self, Reads::WhileBlocked, io);
        let room = engine.poll_room(None);
        if room.is_ready() {
            return (room, woken.but_sender());
        }
        engine.rest();
        (room, woken)
    }

    /// Queues a frame when there is room for it; `frame` is taken then. With `flush`, and without a task, ready when it has
    /// been written.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`].
    #[inline]
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        frame: &mut Option<Outgoing<'_>>,
        flush: bool,
    ) -> Poll<Result<(), Error>> {
        match local::with(self, |engine| engine.poll_send(self, cx, frame)) {
            Some(sent) => sent,
            None => self.poll_send_elsewhere(cx, frame, flush),
        }
    }

    fn poll_send_elsewhere(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        frame: &mut Option<Outgoing<'_>>,
        flush: bool,
    ) -> Poll<Result<(), Error>> {
        let at_home = self.at_home(|engine, io| {
            let mut woken = Woken::default();
            let began = frame.is_some();
            if began {
                let (room, concerned) = self.room_at_home(engine, cx, io);
                woken = concerned;
                match room {
                    Poll::Ready(Ok(())) => {}
                    other => return (other, woken),
                }
            }
            if let Some(frame) = frame.take()
                && let Err(error) = engine.send(self, frame)
            {
                return (Poll::Ready(Err(error)), woken);
            }
            if began {
                engine.begin_flush();
            }
            if !flush && engine.has_room() {
                return (Poll::Ready(Ok(())), woken);
            }
            self.mailbox().wait_to_send(&self.attention, cx.waker(), Wait::Flush);
            let woken = woken.and(engine.drive(self, Reads::WhileBlocked, io));
            let sent = if flush { engine.poll_flushed() } else { Poll::Ready(Ok(())) };
            if sent.is_ready() {
                return (sent, woken.but_sender());
            }
            engine.rest();
            (sent, woken)
        });
        at_home.unwrap_or_else(|| {
            ready!(self.mailbox().poll_room(&self.attention, cx.waker()))?;
            let Some(frame) = frame.take() else { return Poll::Ready(Ok(())) };
            self.post(frame.queued())
        })
    }

    /// Queues a frame for which there is room.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`].
    pub(crate) fn send_now(self: &Arc<Self>, frame: Outgoing<'_>) -> Result<(), Error> {
        let mut frame = Some(frame);
        let mut send = |engine: &mut Engine| frame.take().map_or(Ok(()), |frame| engine.send(self, frame));
        if let Some(sent) = local::with(self, &mut send) {
            return sent;
        }
        if let Some(engine) = self.home().as_mut() {
            return send(engine);
        }
        match frame.take().map(|frame| self.post(frame.queued())) {
            Some(Poll::Ready(posted)) => posted,
            _ => Ok(()),
        }
    }

    /// Leaves a frame or a ping of the sending half in the mailbox.
    fn post(&self, queued: Queued) -> Poll<Result<(), Error>> {
        let posted = self.mailbox().post(&self.attention, queued);
        self.wake_owner();
        Poll::Ready(posted)
    }

    /// Queues a ping when there is room for it.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Misuse`] for more than 125 bytes.
    pub(crate) fn poll_ping(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<(), Error>> {
        if payload.len() > wirelet_proto::MAX_CONTROL_PAYLOAD {
            return Poll::Ready(Err(wirelet_proto::SendError::TooLong.into()));
        }
        let local = local::with(self, |engine| {
            ready!(engine.poll_room(Some(cx)))?;
            Poll::Ready(engine.ping(self, payload))
        });
        if let Some(sent) = local {
            return sent;
        }
        let at_home = self.at_home(|engine, io| {
            let (room, woken) = self.room_at_home(engine, cx, io);
            let sent = match room {
                Poll::Ready(Ok(())) => Poll::Ready(engine.ping(self, payload)),
                other => other,
            };
            (sent, woken.and(engine.drive(self, Reads::WhileBlocked, io)))
        });
        at_home.unwrap_or_else(|| {
            ready!(self.mailbox().poll_room(&self.attention, cx.waker()))?;
            let (body, kind) = (Body::Own(bytes::Bytes::copy_from_slice(payload)), MessageKind::Binary);
            self.post(Queued { body, kind, compress: Compress::default(), origin: Origin::Ping })
        })
    }

    /// Ready when all that was sent before it `begins` has been handed to the network.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    pub(crate) fn poll_flush(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        begins: bool,
    ) -> Poll<Result<(), Error>> {
        let local = local::with(self, |engine| {
            if begins {
                engine.begin_flush();
            }
            let flushed = engine.poll_flushed();
            if flushed.is_pending() {
                engine.wait_to_send(cx, Wait::Flush);
            }
            flushed
        });
        if let Some(flushed) = local {
            return flushed;
        }
        let at_home = self.at_home(|engine, io| {
            if begins {
                engine.begin_flush();
            }
            self.mailbox().wait_to_send(&self.attention, cx.waker(), Wait::Flush);
            let woken = engine.drive(self, Reads::WhileBlocked, io);
            let flushed = engine.poll_flushed();
            if flushed.is_ready() {
                return (flushed, woken.but_sender());
            }
            engine.rest();
            (flushed, woken)
        });
        at_home.unwrap_or_else(|| {
            if begins {
                self.mailbox().begin_flush();
            }
            let flushed = self.mailbox().poll_flushed(&self.attention, cx.waker());
            if flushed.is_pending() {
                self.wake_owner();
            }
            flushed
        })
    }

    /// Queues a sender's message, or does what `policy` says when there is no room.
    ///
    /// # Errors
    /// [`TrySendError`].
    pub(crate) fn push(&self, message: Queued, policy: SlowReceiver) -> Result<(), TrySendError> {
        let pushed = self.mailbox().push(&self.attention, message, policy);
        if pushed.is_ok() || self.attention.has(Flag::CLOSE) {
            self.wake_owner();
        }
        pushed
    }

    /// [`push`](Self::push) with [`SlowReceiver::Wait`] that leaves it to the caller to wake the owner: see
    /// [`has_mail`](Self::has_mail).
    ///
    /// # Errors
    /// [`TrySendError`].
    pub(crate) fn leave_mail(&self, message: Queued) -> Result<(), TrySendError> {
        self.mailbox().push(&self.attention, message, SlowReceiver::Wait)
    }

    /// Whether messages of other tasks wait for the owner.
    pub(crate) fn has_mail(&self) -> bool {
        self.attention.has(Flag::MAIL)
    }

    // ---- the end ----

    /// Starts the closing handshake behind all that has been queued.
    ///
    /// # Errors
    /// [`Error::Closed`] when it has been started already, [`Error::Misuse`]; nothing has changed then.
    pub(crate) fn close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        CloseFrame { code, reason }.check()?;
        if let Some(closed) = local::with(self, |engine| engine.close(self, code, reason)) {
            return closed;
        }
        let at_home = self.at_home(|engine, io| {
            let closed = engine.close(self, code, reason);
            (closed, engine.drive(self, Reads::WhileBlocked, io))
        });
        at_home.unwrap_or_else(|| {
            self.mailbox().ask_to_close(&self.attention, code, reason)?;
            self.wake_owner();
            Ok(())
        })
    }

    /// Ready when the closing handshake has ended, or a deadline has. What arrives is discarded.
    ///
    /// # Errors
    /// Why the connection has ended, unless it has been told.
    pub(crate) fn poll_closed(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let local = local::with(self, |engine| {
            engine.discard();
            if engine.has_ended() {
                return Poll::Ready(engine.take_end(self));
            }
            engine.wait_to_send(cx, Wait::End);
            Poll::Pending
        });
        if let Some(closed) = local {
            return closed;
        }
        let at_home = self.at_home(|engine, io| {
            engine.discard();
            self.mailbox().wait_to_send(&self.attention, cx.waker(), Wait::End);
            let woken = engine.drive(self, Reads::Always, io);
            // Nobody would do what remains to be done with the socket.
            if engine.is_gone() {
                return (Poll::Ready(engine.take_end(self)), woken);
            }
            engine.rest();
            (Poll::Pending, woken)
        });
        at_home.unwrap_or_else(|| {
            self.mailbox().discard(&self.attention);
            let ended = self.mailbox().poll_end(&self.attention, cx.waker());
            self.wake_owner();
            ended
        })
    }

    /// After this time the connection is over, whatever is queued. For whoever has the engine.
    pub(crate) fn end_by(&self, time: Duration) {
        if local::with(self, |engine| engine.end_by(time)).is_none()
            && let Some(engine) = self.home().as_mut()
        {
            engine.end_by(time);
        }
    }

    /// The application has dropped its receiving half: what arrives is discarded.
    pub(crate) fn receiver_dropped(self: &Arc<Self>) {
        if local::with(self, Engine::discard).is_none() {
            let mut home = self.home();
            if let Some(engine) = home.as_mut() {
                engine.discard();
            } else {
                drop(home);
                self.mailbox().discard(&self.attention);
                self.wake_owner();
            }
        }
        self.half_dropped();
    }

    /// The application has dropped a half; with the second one it has dropped the connection.
    pub(crate) fn half_dropped(self: &Arc<Self>) {
        if self.halves.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut home = self.home();
        let Some(engine) = home.as_mut() else { return };
        let closing = !engine.is_open() && !engine.is_gone();
        if closing && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(home);
            // Why: a close frame on its way is not to be destroyed by a reset.
            runtime.spawn(driver::Driver::finishing(Arc::clone(self)));
            return;
        }
        engine.give_up();
        let woken = engine.publish(self);
        let over = home.take();
        drop(home);
        drop(over);
        woken.and(self.is_over()).wake();
    }

    // ---- what is known outside ----

    /// Open, closing or closed.
    pub(crate) fn state(&self) -> State {
        self.look(|engine| engine.core.state()).unwrap_or_else(|| self.state.state())
    }

    /// Who has said what about closing, so far.
    pub(crate) fn close_info(&self) -> CloseInfo {
        self.look(|engine| engine.core.close_info()).unwrap_or_else(|| self.state.close_info())
    }

    pub(crate) fn close_reason(&self) -> Option<&str> {
        self.close_reason.get().map(|reason| &**reason)
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    pub(crate) const fn delivers_chunks(&self) -> bool {
        self.delivers_chunks
    }

    pub(crate) const fn subprotocol(&self) -> Option<u16> {
        self.subprotocol
    }

    /// What was agreed on about compression, and what it has saved.
    #[cfg(feature = "deflate")]
    pub(crate) fn compression(&self) -> Option<CompressionInfo> {
        self.traffic.as_ref().map(|traffic| traffic.info())
    }

    /// Where the output that is queued now ends, and how much of it has been written, bytes since the connection began. `None`
    /// where another task has the connection.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.look(|engine| (engine.out.end(), engine.out.written()))
    }

    /// When something is due, milliseconds of the server's clock, for its ticker.
    pub(crate) fn due(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Whether the connection has a task, which goes on with what was queued.
    pub(crate) fn has_task(&self) -> bool {
        self.home().is_none()
    }

    /// Wakes the owner, so that it moves the connection.
    pub(crate) fn wake_owner(&self) {
        if local::with(self, |_| ()).is_some() {
            // The owner is polling the handler, and goes on when it has.
            return;
        }
        let waker = match &*self.lock_owner() {
            Owner::Task(waker) => Some(waker.clone()),
            Owner::Unpolled | Owner::Nobody => return,
            Owner::Whoever => None,
        };
        match (waker, self.mailbox.get()) {
            (Some(waker), _) => waker.wake(),
            (None, Some(mailbox)) => mailbox.wake_all(&self.attention).wake(),
            (None, None) => {}
        }
    }

    /// The mailbox, made when it is first needed.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        if let Some(mailbox) = self.mailbox.get() {
            return mailbox;
        }
        let mailbox = self.mailbox.get_or_init(|| Box::new(Mailbox::new(self.queued as usize)));
        // The owner tells an existing mailbox of the end; here it may have come first.
        let over = matches!(&*self.lock_owner(), Owner::Nobody);
        if over || self.state.state() != State::Open {
            mailbox.close_intake(&self.attention);
        }
        if over {
            mailbox.end();
        }
        mailbox
    }

    // ---- for the owner ----

    fn mailbox_if_any(&self) -> Option<&Mailbox> {
        self.mailbox.get().map(|mailbox| &**mailbox)
    }

    /// The oldest message of the mailbox that may leave now.
    #[inline]
    fn mail(&self, inside_message: bool) -> Option<Queued> {
        if !self.attention.has(Flag::MAIL) {
            return None;
        }
        self.mailbox_if_any()?.pop(&self.attention, inside_message)
    }

    fn close_intake(&self) {
        if let Some(mailbox) = self.mailbox_if_any() {
            mailbox.close_intake(&self.attention);
        }
    }

    fn note_close_reason(&self, reason: &str) {
        let _ = self.close_reason.set(reason.into());
    }

    fn publish_state(&self, state: State, close: CloseInfo) {
        self.state.publish(state, close);
    }

    /// The engine goes to a task.
    fn leave_home(&self) -> Option<Box<Engine>> {
        let engine = self.home().take();
        if engine.is_some() {
            let old = std::mem::replace(&mut *self.lock_owner(), Owner::Unpolled);
            drop(old);
        }
        engine
    }

    fn is_owned_by(&self, task: &Waker) {
        let old = std::mem::replace(&mut *self.lock_owner(), Owner::Task(task.clone()));
        drop(old);
    }

    /// The connection is over, and nobody owns it any more.
    fn is_over(&self) -> Woken {
        let old = std::mem::replace(&mut *self.lock_owner(), Owner::Nobody);
        drop(old);
        let Some(mailbox) = self.mailbox.get() else { return Woken::default() };
        mailbox.close_intake(&self.attention);
        mailbox.end();
        mailbox.wake_all(&self.attention)
    }

    /// Whether the application still holds a half.
    fn is_held(&self) -> bool {
        self.halves.load(Ordering::Acquire) > 0
    }

    /// Tells an engine of this connection from others.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    // ---- a connection without a task ----

    /// Calls `act` with the engine, if it is at home, and with whom the socket is to wake. Whoever `act` says is woken when
    /// the lock is free again.
    fn at_home<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Engine, &mut Context<'_>) -> (T, Woken),
    ) -> Option<T> {
        let mut home = self.home();
        let engine = home.as_mut()?;
        engine.continue_poll();
        let (mailbox, clock) = (self.mailbox(), engine.clock());
        if let Some(since) = mailbox.take_news() {
            engine.was_unattended(since);
        }
        let relay = mailbox.relay(|| Waker::from(Arc::new(Relay { of: Arc::downgrade(self), clock })));
        let (result, woken) = act(engine, &mut Context::from_waker(relay));
        engine.out.rest();
        drop(home);
        woken.wake();
        Some(result)
    }

    /// Looks at the engine, if it is at hand.
    fn look<T>(&self, look: impl Fn(&Engine) -> T) -> Option<T> {
        local::with(self, |engine| look(engine)).or_else(|| self.home().as_ref().map(|engine| look(engine)))
    }

    fn home(&self) -> Locked<'_, Option<Box<Engine>>> {
        Locked::new(self.home.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// What the socket of a connection without a task wakes: whoever waits on the connection then. It must not keep the
/// connection alive, since the socket keeps it.
struct Relay {
    of: Weak<Shared>,
    clock: Clock,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.of.upgrade()
            && let Some(mailbox) = shared.mailbox.get()
        {
            mailbox.note_news(self.clock.now());
            mailbox.wake_all(&shared.attention).wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each connection costs, on 64-bit.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes() {
        assert!(size_of::<Core>() <= 256, "{}", size_of::<Core>());
        assert!(size_of::<Engine>() <= 672, "{}", size_of::<Engine>());
        assert!(size_of::<Shared>() <= 128, "{}", size_of::<Shared>());
        assert!(size_of::<driver::Driver<driver::Handler>>() <= 32);
    }
}
