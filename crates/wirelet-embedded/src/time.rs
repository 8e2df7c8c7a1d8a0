//! The clock, a parameter like everything else that belongs to the machine.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;

use wirelet_proto::Instant;

use crate::table::Link;

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
        let ticks = ticks(deadline, embassy_time::TICK_HZ);
        embassy_time::Timer::at(embassy_time::Instant::from_ticks(ticks))
    }
}

/// The first tick of a clock with `hz` ticks a second at which `deadline` has come: rounded down, it would be too early, and
/// whoever waits would wait for a moment that has passed again and again.
#[cfg(any(feature = "embassy-time", test))]
fn ticks(deadline: Instant, hz: u64) -> u64 {
    deadline.as_millis().saturating_mul(hz).div_ceil(1_000)
}

/// The earlier of two moments, where there are any.
#[inline(never)] // flash: it is called in many places
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
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

/// `future`, unless the worker or client of the slot is told to stop: then `None`.
pub(crate) async fn unless_stopped<F: Future>(link: Link<'_>, mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        while link.poll_noticed(cx).is_ready() {}
        if link.stopped() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A deadline that was rounded down to a tick had not come when its alarm rang, so that the worker spun until it had.
    #[test]
    fn an_alarm_never_rings_before_its_deadline() {
        for hz in [1_000, 32_768, 1_000_000, 3_000_000] {
            for millis in (0..2_000).chain([u64::from(u32::MAX) + 1, 1 << 40]) {
                let at = ticks(Instant::from_millis(millis), hz);
                let now = |ticks: u64| (u128::from(ticks) * 1_000 / u128::from(hz)) as u64;
                assert!(now(at) >= millis, "{hz} {millis}");
                assert!(at == 0 || now(at - 1) < millis, "{hz} {millis}");
            }
        }
        assert!(ticks(Instant::from_millis(u64::MAX), 32_768) > 1 << 50);
    }
}
