//! The clock that is a parameter.

use core::time::Duration;

/// A point in time: milliseconds since any fixed moment that the caller chooses.
///
/// The core reads no clock. A driver passes the same monotonic clock into every call; a test passes
/// whatever it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The end of time: what is due then is never due.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The instant `millis` milliseconds after the clock's zero.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's zero.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis_since(earlier))
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later. A [`Duration`] of them costs a 64-bit division, which is long on
    /// 32 bits.
    pub(crate) const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `duration` later; saturates at the end of time.
    pub const fn plus(self, duration: Duration) -> Self {
        self.after(millis(duration))
    }

    pub(crate) const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Whole milliseconds of `duration`, saturating; without the 128-bit division of `as_millis`.
#[inline(never)] // flash: a 64-bit multiplication that saturates is long on 32 bits
pub(crate) const fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant::from_millis(1).plus(Duration::from_millis(2)), Instant::from_millis(3));
        assert_eq!(Instant::from_millis(u64::MAX).plus(Duration::MAX), Instant::from_millis(u64::MAX));
        assert_eq!(Instant::from_millis(1).duration_since(Instant::from_millis(5)), Duration::ZERO);
        assert_eq!(millis(Duration::from_micros(2_500_900)), 2500);
    }
}
