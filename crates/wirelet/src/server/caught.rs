//! A future of the application whose panic ends nothing but itself.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::router::BoxFuture;

/// Ready with `None` when the application panics, while it makes the future or while it runs. The panic hook has reported
/// it then.
pub(crate) struct Caught<T>(Option<BoxFuture<T>>);

impl<T> Caught<T> {
    pub(crate) fn begin(begin: impl FnOnce() -> BoxFuture<T>) -> Self {
        Self(catch_unwind(AssertUnwindSafe(begin)).ok())
    }
}

impl<T> Future for Caught<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(future) = &mut self.0 else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Caught<T> {
    /// What is dropped before it is ready is the application's too.
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(future)));
    }
}
