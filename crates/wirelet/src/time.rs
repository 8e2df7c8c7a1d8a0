//! The core's clock, on tokio's, and deadlines that never overflow.

use std::time::Duration;

use tokio::time::Instant;

/// What stands for never where an instant is needed.
pub(crate) const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The instant in `duration` from now; far away for a duration that no clock can hold, as [`Duration::MAX`].
pub(crate) fn deadline(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + FAR)
}

/// Milliseconds since a moment that all connections of a server share. Follows tokio's clock, paused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(crate) fn now(self) -> wirelet_proto::Instant {
        let elapsed = Instant::now().saturating_duration_since(self.0);
        wirelet_proto::Instant::from_millis(
            elapsed.as_secs().saturating_mul(1000).saturating_add(u64::from(elapsed.subsec_millis())),
        )
    }

    /// When `instant` comes; far away for what never does.
    pub(crate) fn instant(self, instant: wirelet_proto::Instant) -> Instant {
        let since = Duration::from_millis(instant.as_millis());
        self.0.checked_add(since).unwrap_or_else(|| deadline(FAR))
    }
}
