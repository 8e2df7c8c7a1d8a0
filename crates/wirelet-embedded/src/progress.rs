//! Whether a peer takes what is sent to it, and sends what is waited for: the limits of HTTP's bodies. For WebSockets the core has the same.

use core::time::Duration;

use wirelet_proto::Instant;

use crate::time::earlier;

/// The time after which the average is looked at.
const PERIOD: Duration = Duration::from_secs(600);

/// How far a peer has come with bytes that wait for it, or that it is waited for with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// When it last took some.
    took: Instant,
    /// When the period began.
    since: Instant,
    /// How many bytes it has taken since.
    bytes: u64,
}

impl Progress {
    /// Bytes wait from `now` on.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { took: now, since: now, bytes: 0 }
    }

    /// From `paused` to `now` it was not the peer's turn.
    pub(crate) fn resume(&mut self, paused: Instant, now: Instant) {
        self.since = self.since.plus(now.duration_since(paused));
        self.took = now;
    }

    /// The peer has taken `n` bytes.
    pub(crate) fn took(&mut self, n: usize, slowest: Option<u32>, now: Instant) {
        self.took = now;
        self.bytes = self.bytes.saturating_add(n as u64);
        if self.bytes >= least(slowest) && self.since.plus(PERIOD) <= now {
            (self.since, self.bytes) = (now, 0);
        }
    }

    /// When the peer has been too slow, if nothing changes: it is to take some bytes every `stalled_time`, and `slowest` bytes
    /// a second on average.
    pub(crate) fn deadline(&self, stalled_time: Option<Duration>, slowest: Option<u32>) -> Option<Instant> {
        let stalled = stalled_time.map(|time| self.took.plus(time));
        let slow = (self.bytes < least(slowest)).then(|| self.since.plus(PERIOD));
        earlier(stalled, slow)
    }
}

/// The bytes of a period.
fn least(slowest: Option<u32>) -> u64 {
    u64::from(slowest.unwrap_or(0)).saturating_mul(PERIOD.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_peer_that_takes_a_byte_now_and_then_is_too_slow_after_ten_minutes() {
        let mut progress = Progress::new(ms(0));
        let deadline = |progress: &Progress| progress.deadline(Some(Duration::from_secs(10)), Some(32));
        for second in (9..600).step_by(9) {
            assert_eq!(deadline(&progress), Some(ms((second - 9 + 10) * 1_000).min(ms(600_000))));
            progress.took(1, Some(32), ms(second * 1_000));
        }
        assert_eq!(deadline(&progress), Some(ms(600_000)));
        // Enough after all: the next period begins.
        progress.took(32 * 600, Some(32), ms(600_000));
        assert_eq!(deadline(&progress), Some(ms(610_000)));
        progress.took(1, Some(32), ms(1_195_000));
        assert_eq!(deadline(&progress), Some(ms(1_200_000)));
        assert_eq!(progress.deadline(None, None), None);
    }
}
