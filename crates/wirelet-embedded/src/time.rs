//! The clock, a parameter like everything else that belongs to the machine.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;

use wirelet_proto::Instant;

/// A monotonic clock that can wait.
pub trait Clock {
    /// Milliseconds since any fixed moment.
    fn now(&self) -> Instant;

    /// Waits until `deadline`.
    ///
    /// # Cancel safety
    /// Safe: dropping it forgets the alarm.
    fn wait_until(&self, deadline: Instant) -> impl Future<Output = ()>;
}

impl<C: Clock> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn wait_until(&self, deadline: Instant) -> impl Future<Output = ()> {
        (**self).wait_until(deadline)
    }
}

/// The clock of embassy-time.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy-time")]
impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }

    fn wait_until(&self, deadline: Instant) -> impl Future<Output = ()> {
        embassy_time::Timer::at(embassy_time::Instant::from_millis(deadline.as_millis()))
    }
}

/// `future`, but not beyond `deadline`: `None` when that comes first. (It is pinned by the caller because the future of an
/// async function holds its arguments twice.)
pub(crate) async fn before<C: Clock, F: Future>(
    clock: &C,
    deadline: Instant,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let mut alarm = pin!(clock.wait_until(deadline));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        alarm.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Lets other tasks run once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
