//! What the tests over real sockets share. Each has a short form, and a long one for which it is asked:
//!
//! ```text
//! WIRELET_LONG=1 cargo test --release -p wirelet --test sockets_numbers --test sockets_connections --test sockets_slow
//! ```

#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

/// Nothing here takes that long; what does is a hang.
pub const HANG: Duration = Duration::from_secs(300);

/// Whether the long form is asked for.
pub fn is_long() -> bool {
    std::env::var_os("WIRELET_LONG").is_some()
}

/// Random numbers that are the same each time (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }
}

/// Polls `future` at most `polls` times (each time that it is woken) and drops it then.
pub async fn cancelled_after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
