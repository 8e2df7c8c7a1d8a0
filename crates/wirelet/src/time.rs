//! The core's clock, on tokio's.

use std::time::Duration;

use tokio::time::Instant;

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
        const FAR: u64 = 1000 * 60 * 60 * 24 * 365;
        let millis = instant.as_millis();
        self.0
            .checked_add(Duration::from_millis(millis))
            .unwrap_or_else(|| Instant::now() + Duration::from_millis(FAR))
    }
}
