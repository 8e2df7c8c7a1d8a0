//! A connection: shared between its own future, the halves that the application holds, and senders.
//!
//! ```text
//!                      ┌ Shared ──────────────────────────────────────────────┐
//!  WebSocket, halves ──┤ Engine (locked): core, received bytes, queue, socket  │
//!  Sender ─────────────┤ Outbox: messages of other tasks                       ├── Driver: the connection's future,
//!  ticker ─────────────┤ deadline                                              │   with the handler inside
//!                      └ Wakers ───────────────────────────────────────────────┘
//! ```

pub(crate) mod driver;
pub(crate) mod engine;
pub(crate) mod inbound;
mod outbound;
pub(crate) mod outbox;
mod wakers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use wirelet_proto::{CloseCode, Config, Connection, Extensions, MessageKind, Role, Upgraded};

#[cfg(feature = "deflate")]
use crate::deflate::CompressionInfo;
use crate::deflate::{Compress, Deflate, Negotiated};
use crate::time::Clock;
use crate::transport::Transport;
use crate::{Error, Event};
use engine::{Engine, Payload, Wait};
use outbox::Outbox;
use wakers::{Relay, Wakers, Who};

/// See the module.
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    pub(crate) wakers: Wakers,
    outbox: OnceLock<Box<Outbox>>,
    /// When something is due, milliseconds of the server's clock. For the server's ticker.
    deadline: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// A connection after its opening handshake; `leftover` was received behind it.
    pub(crate) fn new(
        transport: Transport,
        role: Role,
        config: Arc<Config>,
        subprotocol: Option<u16>,
        negotiated: Option<Negotiated>,
        leftover: &[u8],
        clock: Clock,
    ) -> Arc<Self> {
        let now = clock.now();
        let extensions =
            negotiated.as_ref().map_or(Extensions::NONE, |agreed| Extensions::deflate(agreed.params()));
        let deflate = negotiated.map(|agreed| Deflate::new(agreed, role, config.delivery));
        let core = Connection::from_upgraded(role, config, Upgraded { subprotocol, extensions }, now);
        Arc::new(Self {
            engine: Mutex::new(Engine::new(transport, core, deflate, leftover, clock, now)),
            wakers: Wakers::default(),
            outbox: OnceLock::new(),
            deadline: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was agreed on about compression, and what it has saved.
    #[cfg(feature = "deflate")]
    pub(crate) fn compression(&self) -> Option<CompressionInfo> {
        self.lock().deflate.as_ref().map(|deflate| deflate.info())
    }

    /// The queue of other tasks' messages, made when it is first needed.
    pub(crate) fn outbox(&self) -> &Outbox {
        if let Some(outbox) = self.outbox.get() {
            return outbox;
        }
        let limit = self.lock().core.config().limits.queued;
        let outbox = self.outbox.get_or_init(|| Box::new(Outbox::new(limit)));
        if !self.lock().is_open() {
            outbox.close();
        }
        outbox
    }

    /// The next event: `None` after a clean close, and after an error has been told.
    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        control: bool,
    ) -> Poll<Option<Result<Event, Error>>> {
        let mut engine = self.lock();
        engine.flags.control |= control;
        if engine.poll_news(None).is_pending() {
            self.wakers.set(Who::Receiver, cx.waker());
            engine.flags.receiving = true;
            if engine.flags.driven && engine.flags.driving {
                // The connection's future reads when the handler has had its turn.
                engine.resume();
                return Poll::Pending;
            }
            ready!(self.poll_undriven(&mut engine));
        }
        engine.flags.receiving = false;
        if engine.is_gone() {
            // Whoever waits to send is told, since the socket wakes nobody any more.
            self.wakers.wake_other(Who::Sender, cx.waker());
        }
        let news = engine.take_news();
        match (&news, engine.flags.driven) {
            (_, true) => engine.resume(),
            (Some(Ok(_)), false) => engine.hold(),
            // The answer to the peer's close frame leaves before the end is told.
            (None, false) => ready!(self.poll_last_flush(&mut engine, cx)),
            (Some(Err(_)), false) => self.write(&mut engine),
        }
        Poll::Ready(news)
    }

    /// Receives in the task that waits for it.
    fn poll_undriven(self: &Arc<Self>, engine: &mut Engine) -> Poll<()> {
        let waker = self.io_waker(engine);
        let cx = &mut Context::from_waker(&waker);
        engine.refresh_clock();
        engine.resume();
        if self.outbox.get().is_some() {
            let _ = self.poll_write_all(engine, cx);
        }
        if engine.poll_news(Some(cx)).is_ready() {
            return Poll::Ready(());
        }
        if !engine.flags.driven {
            engine.poll_timer(cx);
            if engine.has_news() {
                return Poll::Ready(());
            }
            let _ = engine.poll_flush(cx);
            if engine.has_news() {
                return Poll::Ready(());
            }
        }
        engine.rest();
        Poll::Pending
    }

    fn poll_last_flush(self: &Arc<Self>, engine: &mut Engine, cx: &Context<'_>) -> Poll<()> {
        if engine.is_gone() {
            return Poll::Ready(());
        }
        self.wakers.set(Who::Receiver, cx.waker());
        let waker = self.io_waker(engine);
        let io = &mut Context::from_waker(&waker);
        engine.refresh_clock();
        engine.poll_timer(io);
        ready!(engine.poll_flush(io));
        engine.rest();
        Poll::Ready(())
    }

    /// Ready when a frame may be appended.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn poll_room(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut engine = self.lock();
        self.poll_room_of(&mut engine, cx)
    }

    fn poll_room_of(self: &Arc<Self>, engine: &mut Engine, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if !engine.is_open() {
            return Poll::Ready(Err(Error::Closed));
        }
        if engine.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.wakers.set(Who::Sender, cx.waker());
        self.write(engine);
        if engine.has_room() {
            return Poll::Ready(if engine.is_open() { Ok(()) } else { Err(Error::Closed) });
        }
        engine.flags.sender = Wait::Room;
        if !engine.flags.driven {
            self.look_ahead(engine);
        }
        Poll::Pending
    }

    /// Appends a frame when there is room for it; `payload` is taken then. With `flush`, and without the
    /// connection's own future, ready when it has been written.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`].
    pub(crate) fn poll_append(
        self: &Arc<Self>,
        cx: &Context<'_>,
        kind: MessageKind,
        payload: &mut Option<Payload<'_>>,
        fin: bool,
        compress: Compress,
        flush: bool,
    ) -> Poll<Result<(), Error>> {
        let mut engine = self.lock();
        if payload.is_some() {
            ready!(self.poll_room_of(&mut engine, cx))?;
        }
        if let Some(payload) = payload.take() {
            engine.append(kind, payload, fin, compress)?;
            self.appended(&mut engine);
        }
        if flush && !engine.flags.driven {
            return self.poll_flush_of(&mut engine, cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Sees to it that what has been appended leaves.
    pub(crate) fn appended(self: &Arc<Self>, engine: &mut Engine) {
        if !engine.has_room() {
            self.write(engine);
        }
        if engine.flags.driven && !engine.flags.driving {
            self.wakers.wake();
        }
    }

    /// Ready when all that was appended has been written.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    pub(crate) fn poll_flush(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut engine = self.lock();
        self.poll_flush_of(&mut engine, cx)
    }

    fn poll_flush_of(self: &Arc<Self>, engine: &mut Engine, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let taken = !engine.flags.driven && self.take_outbox(engine);
            if engine.out.is_empty() {
                break;
            }
            self.wakers.set(Who::Sender, cx.waker());
            self.write(engine);
            if !taken || !engine.out.is_empty() {
                break;
            }
        }
        if engine.is_gone() {
            return Poll::Ready(Err(Error::Closed));
        }
        if engine.out.is_empty() {
            if !engine.flags.driven {
                engine.out.rest();
            }
            return Poll::Ready(Ok(()));
        }
        engine.flags.sender = Wait::Flush;
        if !engine.flags.driven {
            self.look_ahead(engine);
        }
        Poll::Pending
    }

    /// Ready when the closing handshake has ended, or the deadline has.
    pub(crate) fn poll_closed(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut engine = self.lock();
        self.wakers.set(Who::Sender, cx.waker());
        engine.flags.sender = Wait::End;
        if engine.flags.driven {
            if !engine.flags.ended {
                engine.discard();
                if !engine.flags.driving {
                    self.wakers.wake();
                }
                return Poll::Pending;
            }
        } else {
            ready!(self.poll_finish(&mut engine));
        }
        engine.flags.sender = Wait::Nothing;
        Poll::Ready(match engine.take_news() {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        })
    }

    /// Without the connection's own future: discards input until the end, lingers, keeps time.
    pub(crate) fn poll_finish(self: &Arc<Self>, engine: &mut Engine) -> Poll<()> {
        if engine.is_gone() {
            return Poll::Ready(());
        }
        let waker = self.io_waker(engine);
        let cx = &mut Context::from_waker(&waker);
        engine.refresh_clock();
        ready!({
            let finished = engine.poll_finish(cx);
            engine.poll_timer(cx);
            if engine.is_gone() { Poll::Ready(()) } else { finished }
        });
        Poll::Ready(())
    }

    /// Starts the closing handshake.
    ///
    /// # Errors
    /// [`Error::Closed`] when it has been started already, [`Error::Misuse`].
    pub(crate) fn close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut engine = self.lock();
        engine.close(code, reason, self.outbox.get().map(|outbox| &**outbox))?;
        self.appended(&mut engine);
        Ok(())
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Misuse`].
    pub(crate) fn ping(self: &Arc<Self>, payload: &[u8]) -> Result<(), Error> {
        let mut engine = self.lock();
        engine.refresh_clock();
        engine.ping(payload)?;
        self.appended(&mut engine);
        Ok(())
    }

    /// Fails the connection.
    pub(crate) fn fail(self: &Arc<Self>, code: CloseCode) {
        let mut engine = self.lock();
        engine.fail(code);
        self.appended(&mut engine);
    }

    /// Queues what senders have queued, as far as there is room. Whether there was something to queue.
    pub(crate) fn take_outbox(&self, engine: &mut Engine) -> bool {
        self.outbox.get().is_some_and(|outbox| engine.take_outbox(outbox, false))
    }

    /// Writes what is queued, and what senders have queued, until there is nothing more or the socket is full: whatever
    /// is left over here is written when the socket wakes somebody, and only then.
    pub(crate) fn poll_write_all(&self, engine: &mut Engine, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let taken = self.take_outbox(engine);
            ready!(engine.poll_flush(cx));
            if !taken {
                return Poll::Ready(());
            }
        }
    }

    /// Writes what can be written now.
    fn write(self: &Arc<Self>, engine: &mut Engine) {
        let waker = self.io_waker(engine);
        let was_gone = engine.is_gone();
        let _ = engine.poll_flush(&mut Context::from_waker(&waker));
        if engine.is_gone() && !was_gone {
            // A socket that is gone wakes nobody: whoever receives is told here.
            self.wakers.wake();
        }
    }

    /// Reads up to one event, so that the end of the connection is seen while sending waits.
    fn look_ahead(self: &Arc<Self>, engine: &mut Engine) {
        let waker = self.io_waker(engine);
        let cx = &mut Context::from_waker(&waker);
        let _ = engine.poll_news(Some(cx));
        engine.refresh_clock();
        engine.poll_timer(cx);
        if engine.has_news() {
            self.wakers.wake();
        }
    }

    /// Whom the socket wakes.
    fn io_waker(self: &Arc<Self>, engine: &mut Engine) -> Waker {
        if engine.flags.driven {
            return self.wakers.of(Who::Driver).unwrap_or_else(|| Waker::noop().clone());
        }
        let relay = || Waker::from(Arc::new(Relay(Arc::downgrade(self))));
        engine.relay.get_or_insert_with(relay).clone()
    }

    /// When something is due, milliseconds of the server's clock, for its ticker.
    pub(crate) fn due(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// The application has dropped its receiving half: what arrives is discarded.
    pub(crate) fn receiver_dropped(self: &Arc<Self>) {
        self.lock().discard();
        self.half_dropped();
    }

    /// The application has dropped a half; with the second one it has dropped the connection.
    pub(crate) fn half_dropped(self: &Arc<Self>) {
        let mut engine = self.lock();
        engine.halves -= 1;
        if engine.halves > 0 {
            return;
        }
        if engine.flags.driven {
            engine.discard();
            if !engine.flags.driving {
                self.wakers.wake();
            }
            return;
        }
        let closing = !engine.is_open() && !engine.is_gone();
        if closing && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(engine);
            let shared = Arc::clone(self);
            // A close frame on its way is not to be destroyed by a reset.
            runtime.spawn(std::future::poll_fn(move |cx| {
                shared.wakers.set(Who::Sender, cx.waker());
                let mut engine = shared.lock();
                shared.poll_finish(&mut engine)
            }));
            return;
        }
        engine.give_up();
        if let Some(outbox) = self.outbox.get() {
            outbox.close();
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
        assert!(size_of::<Connection<Arc<Config>>>() <= 448);
        assert!(size_of::<Shared>() <= 832, "{}", size_of::<Shared>());
        assert!(size_of::<driver::Driver>() <= 24);
    }
}
