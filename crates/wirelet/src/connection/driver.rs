//! The connection's own future: it owns the socket's readiness, and the handler runs inside it.
//!
//! Each time it is woken: read once, let the handler act on all that has arrived, write what it has sent, once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use wirelet_proto::CloseCode;

use super::Shared;
use super::engine::{Engine, Wait};
use super::wakers::Who;
use crate::Outcome;

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

/// See the module. Ready when the socket is closed and the handler has returned.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    handler: Option<Handler>,
}

impl Driver {
    /// Drives `shared`, with the handler inside that `begin` answers; when it panics the connection is closed as if
    /// the handler had. `swept`: somebody looks at [`Shared::due`] and wakes; otherwise a timer is kept.
    pub(crate) fn new(shared: Arc<Shared>, swept: bool, begin: impl FnOnce() -> Handler) -> Self {
        let mut engine = shared.lock();
        engine.flags.driven = true;
        engine.flags.swept = swept;
        drop(engine);
        let handler = catch_unwind(AssertUnwindSafe(begin)).ok();
        let driver = Self { shared, handler };
        if driver.handler.is_none() {
            driver.handler_returned(false);
        }
        driver
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.wakers.set(Who::Driver, cx.waker());
        let mut run = true;
        loop {
            let mut engine = this.shared.lock();
            engine.flags.driving = false;
            if this.handler.is_none() && engine.poll_rest_of_life(&this.shared, cx).is_ready() {
                return Poll::Ready(());
            }
            run |= engine.turn(&this.shared, cx);
            let Some(handler) = this.handler.as_mut().filter(|_| run) else {
                engine.rest();
                this.shared.deadline.store(engine.deadline(), Ordering::Relaxed);
                return Poll::Pending;
            };
            engine.flags.driving = true;
            drop(engine);
            if let Poll::Ready(well) = run_handler(handler, cx) {
                this.drop_handler();
                this.handler_returned(well);
            }
            run = false;
        }
    }
}

impl Driver {
    /// A handler that panics while it is dropped has panicked.
    fn drop_handler(&mut self) {
        let handler = self.handler.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(handler)));
    }

    fn handler_returned(&self, well: bool) {
        let code = if well { CloseCode::NORMAL } else { CloseCode::INTERNAL_ERROR };
        // When the connection is closing already there is nothing left to say.
        let _ = self.shared.close(code, "");
    }
}

impl Drop for Driver {
    /// The task was aborted, or has ended: whoever still holds the connection sees its end.
    fn drop(&mut self) {
        self.drop_handler();
        let mut engine = self.shared.lock();
        engine.give_up();
        engine.flags.driving = false;
        self.shared.deadline.store(u64::MAX, Ordering::Relaxed);
        drop(engine);
        if let Some(outbox) = self.shared.outbox.get() {
            outbox.close();
        }
        self.shared.wakers.clear(Who::Driver);
        self.shared.wakers.wake();
    }
}

/// A panic is reported by the panic hook, and the connection is closed as if the handler had failed.
fn run_handler(handler: &mut Handler, cx: &mut Context<'_>) -> Poll<bool> {
    catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))).unwrap_or(Poll::Ready(false))
}

impl Engine {
    /// Writes what is queued and reads up to one event. Whether the handler has something to do now.
    fn turn(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> bool {
        self.refresh_clock();
        self.handle_deadlines();
        // Where the handler waits for room it comes before the senders: they have the next turn.
        let _ = match !self.has_room() && self.flags.sender == Wait::Room {
            true => self.poll_flush(cx),
            false => shared.poll_write_all(self, cx),
        };
        let _ = self.poll_news(Some(cx));
        if self.flags.ended && !self.is_gone() {
            let _ = self.poll_linger(cx);
        }
        if !self.flags.swept {
            self.poll_timer(cx);
        }
        let receives = self.wake_receiver(shared, cx);
        let sends = self.wake_sender(shared, cx);
        receives || sends
    }

    fn wake_receiver(&mut self, shared: &Shared, cx: &Context<'_>) -> bool {
        let news = self.has_news();
        if news && self.flags.receiving {
            self.flags.receiving = false;
            shared.wakers.wake_other(Who::Receiver, cx.waker());
            return true;
        }
        if news && !self.flags.ended {
            self.hold();
        }
        false
    }

    fn wake_sender(&mut self, shared: &Shared, cx: &Context<'_>) -> bool {
        let wake = self.may_send();
        if wake {
            self.flags.sender = Wait::Nothing;
            shared.wakers.wake_other(Who::Sender, cx.waker());
        }
        wake
    }

    /// The handler has returned: what arrives is discarded until the socket is closed.
    fn poll_rest_of_life(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> Poll<()> {
        self.refresh_clock();
        self.handle_deadlines();
        shared.take_outbox(self);
        self.poll_finish(cx)
    }
}
