//! The clock and the random numbers of the system.

use std::sync::OnceLock;
use std::time::{Duration, Instant as StdInstant};

use wirelet_embedded::Clock;
use wirelet_embedded::proto::{Instant, MaskKeys};

/// Milliseconds since the first call.
pub fn now() -> Instant {
    static START: OnceLock<StdInstant> = OnceLock::new();
    let uptime = START.get_or_init(StdInstant::now).elapsed();
    Instant::from_millis(u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX))
}

/// The system's clock.
#[derive(Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        now()
    }

    async fn wait_until(&self, deadline: Instant) {
        // One millisecond more: what is due must be due when it is looked at.
        tokio::time::sleep(deadline.duration_since(now()) + Duration::from_millis(1)).await;
    }
}

/// The system's random numbers.
#[derive(Debug)]
pub struct SystemRandom;

impl MaskKeys for SystemRandom {
    fn next_key(&mut self) -> [u8; 4] {
        let mut key = [0; 4];
        getrandom::fill(&mut key).expect("the system has random numbers");
        key
    }
}
