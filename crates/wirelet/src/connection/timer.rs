//! When the owner of a connection is woken because something is due.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep_until};
use wirelet_proto::Instant;

use super::Shared;
use crate::sync::atomic::Ordering;
use crate::time::Clock;

/// Who keeps the next deadline.
pub(super) enum Timer {
    /// The server's ticker looks at [`Shared::due`] of all its connections.
    Swept,
    /// The connection has a timer, made when it is first needed.
    Own(Option<Pin<Box<Sleep>>>),
}

impl Timer {
    pub(super) const fn own() -> Self {
        Self::Own(None)
    }

    /// Stores the next deadline. Ready when it has come.
    pub(super) fn poll(
        &mut self,
        clock: Clock,
        deadline: Option<Instant>,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Self::Own(timer) = self else {
            shared.deadline.store(deadline.map_or(u64::MAX, Instant::as_millis), Ordering::Relaxed);
            return Poll::Pending;
        };
        let Some(deadline) = deadline else { return Poll::Pending };
        let due = clock.instant(deadline);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            // Why only then: a timer that fires early is set again, which costs less than setting it for each message.
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let early = timer.deadline() < due;
            timer.as_mut().reset(due);
            if !early {
                return Poll::Ready(());
            }
        }
    }

    /// Nothing is due any more.
    pub(super) fn stop(&mut self) {
        if let Self::Own(timer) = self {
            *timer = None;
        }
    }
}
