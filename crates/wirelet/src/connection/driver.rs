//! The task of a connection: it owns the connection, and the handler runs inside it.
//!
//! Each time it is woken: read once, let the handler act on all that has arrived, write what it has sent, once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use wirelet_proto::CloseCode;

use super::engine::{Engine, Reads};
use super::{Shared, local};
use crate::Outcome;
use crate::sync::atomic::Ordering;

/// A handler, as the connection sees it: whether it ended well.
pub(crate) type Handler = Pin<Box<dyn Future<Output = bool> + Send>>;

pin_project! {
    /// A handler's future and what is made of its output; an async block would keep it twice.
    struct Judged<F> {
        #[pin]
        running: F,
    }
}

impl<F> Future for Judged<F>
where
    F: Future,
    F::Output: Outcome,
{
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        self.project().running.poll(cx).map(|output| output.is_success())
    }
}

/// A handler's future, as the connection sees it.
pub(crate) fn judged<F>(running: F) -> Handler
where
    F: Future + Send + 'static,
    F::Output: Outcome,
{
    Box::pin(Judged { running })
}

/// The future that owns a connection. Ready when the socket is closed and the handler has returned.
///
/// `H` is the handler's future: whether it ended well.
pub(crate) struct Driver<H: Future<Output = bool> + Unpin> {
    shared: Arc<Shared>,
    /// `None` when the connection is over.
    engine: Option<Box<Engine>>,
    handler: Option<H>,
}

impl Driver<Handler> {
    /// The owner of `shared` from now on, with the handler inside that `begin` answers. When that panics the connection is
    /// closed as if the handler had.
    ///
    /// `swept`: somebody looks at [`Shared::due`] and wakes; otherwise a timer is kept.
    pub(crate) fn new(shared: Arc<Shared>, swept: bool, begin: impl FnOnce() -> Handler) -> Self {
        let mut driver = Self::owning(shared, None);
        let Some(mut engine) = driver.engine.take() else {
            // It has a task already, as in a server's handler: the handler runs as it is.
            driver.handler = catch_unwind(AssertUnwindSafe(begin)).ok();
            return driver;
        };
        if swept {
            engine.is_swept();
        }
        let (engine, begun) = local::lend(&driver.shared, engine, || Poll::Ready(begin()));
        driver.engine = engine;
        match begun {
            Some(Poll::Ready(handler)) => driver.handler = Some(handler),
            Some(Poll::Pending) | None => driver.handler_returned(false),
        }
        driver
    }

    /// The owner of a connection whose application has gone: it ends what is on its way.
    pub(crate) fn finishing(shared: Arc<Shared>) -> Self {
        Self::owning(shared, None)
    }
}

impl<H: Future<Output = bool> + Unpin> Driver<H> {
    /// The owner of `shared` from now on.
    pub(crate) fn owning(shared: Arc<Shared>, handler: Option<H>) -> Self {
        let engine = shared.leave_home();
        Self { shared, engine, handler }
    }

    /// Output that has been handed to the network, bytes, of a connection that has ended.
    pub(crate) fn written(&self) -> u64 {
        self.engine.as_ref().map_or(0, |engine| engine.out.written())
    }

    /// Ready when the handler has returned and all that was queued has been written, or cannot be any more: with what
    /// remains to be done.
    pub(crate) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Driver<Handler>> {
        let over = Pin::new(&mut *self).poll(cx).is_ready();
        let flushed = self.engine.as_ref().is_none_or(|engine| engine.poll_all_flushed().is_ready());
        if !over && (self.handler.is_some() || !flushed) {
            return Poll::Pending;
        }
        Poll::Ready(Driver { shared: Arc::clone(&self.shared), engine: self.engine.take(), handler: None })
    }

    /// Polls the handler with the connection at hand.
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        let Some(handler) = &mut self.handler else { return };
        let Some(engine) = self.engine.take() else { return };
        let (engine, polled) = local::lend(&self.shared, engine, || Pin::new(handler).poll(cx));
        self.engine = engine;
        // A panic is reported by the panic hook, and the connection is closed as if the handler had failed.
        if let Poll::Ready(well) = polled.unwrap_or(Poll::Ready(false)) {
            self.drop_handler();
            self.handler_returned(well);
        }
    }

    /// Polls the handler where another task owns the connection.
    fn poll_handler_alone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(handler) = &mut self.handler else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(handler).poll(cx)));
        if polled.unwrap_or(Poll::Ready(false)).is_pending() {
            return Poll::Pending;
        }
        self.drop_handler();
        Poll::Ready(())
    }

    /// A handler that panics while it is dropped has panicked. Its socket is dropped with the connection at hand.
    fn drop_handler(&mut self) {
        let Some(handler) = self.handler.take() else { return };
        let Some(engine) = self.engine.take() else {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(handler)));
            return;
        };
        let (engine, _) = local::lend(&self.shared, engine, move || {
            drop(handler);
            Poll::Ready(())
        });
        self.engine = engine;
    }

    fn handler_returned(&mut self, well: bool) {
        let code = if well { CloseCode::NORMAL } else { CloseCode::INTERNAL_ERROR };
        if let Some(engine) = &mut self.engine {
            engine.discard();
            // When the connection is closing already there is nothing left to say.
            let _ = engine.close(&self.shared, code, "");
        }
    }
}

impl<H: Future<Output = bool> + Unpin> Future for Driver<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(engine) = &mut this.engine else { return this.poll_handler_alone(cx) };
        engine.begin_poll();
        let begins = engine.task.is_none();
        if engine.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
            engine.task = Some(cx.waker().clone());
            this.shared.is_owned_by(cx.waker());
        }
        if begins {
            // Why first: what the handler says at once leaves together with the response, and what it wants to see is known.
            this.poll_handler(cx);
        }
        let mut woken = !begins;
        loop {
            let Some(engine) = &mut this.engine else { return Poll::Ready(()) };
            engine.drive(&this.shared, Reads::Always, cx).wake();
            woken |= engine.wake_handler();
            if this.handler.is_none() && engine.is_gone() {
                return Poll::Ready(());
            }
            if engine.is_spent() {
                // `drive` has seen to it that the task goes on when others have had their turn. What the handler was woken for it
                // gets now, since nobody would tell it again.
                if woken && this.handler.is_some() {
                    this.poll_handler(cx);
                    if let Some(engine) = &mut this.engine {
                        engine.drive(&this.shared, Reads::Always, cx).wake();
                    }
                }
                return Poll::Pending;
            }
            if !woken || this.handler.is_none() {
                engine.rest();
                return Poll::Pending;
            }
            this.poll_handler(cx);
            woken = false;
        }
    }
}

impl<H: Future<Output = bool> + Unpin> Drop for Driver<H> {
    /// The task was aborted, or has ended: whoever still holds the connection sees its end.
    fn drop(&mut self) {
        self.drop_handler();
        // Another driver may own it now.
        let Some(mut engine) = self.engine.take() else { return };
        engine.give_up();
        engine.publish(&self.shared).wake();
        if self.shared.is_held() {
            engine.leave_all(&self.shared);
        }
        self.shared.deadline.store(u64::MAX, Ordering::Relaxed);
        self.shared.is_over().wake();
    }
}
