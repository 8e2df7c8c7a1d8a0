//! Two futures at once.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// Which of two futures has ended.
pub(crate) enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits until one of two futures ends; the first one has precedence. What has not ended may be waited for
/// again.
pub(crate) async fn race<A: Future + ?Sized, B: Future + ?Sized>(
    mut one: Pin<&mut A>,
    mut other: Pin<&mut B>,
) -> First<A::Output, B::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

/// Waits until both futures have ended.
pub(crate) async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    match race(one.as_mut(), other.as_mut()).await {
        First::One(first) => (first, other.await),
        First::Other(second) => (one.await, second),
    }
}

/// `None` when `future` has not ended after `patience`.
pub(crate) async fn within<F: Future>(patience: Duration, future: F) -> Option<F::Output> {
    match race(pin!(future), pin!(tokio::time::sleep(patience))).await {
        First::One(output) => Some(output),
        First::Other(()) => None,
    }
}
