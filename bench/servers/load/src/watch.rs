//! Time: how long answers took, and how long nothing ran.

use std::time::{Duration, Instant};

/// A step of the load that takes longer was not the load's doing: the machine stood still, or somebody else had the core.
const STEP: Duration = Duration::from_millis(2);

/// Adds up the time in which the load did not run, while it never waits.
pub(crate) struct Watch {
    last: Instant,
    frozen: Duration,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), frozen: Duration::ZERO }
    }

    /// Now; a long step since the last call counts as frozen.
    pub(crate) fn tick(&mut self) -> Instant {
        let now = Instant::now();
        let step = now - self.last;
        if step > STEP {
            self.frozen += step;
        }
        self.last = now;
        now
    }

    pub(crate) fn reset(&mut self) {
        self.frozen = Duration::ZERO;
    }

    pub(crate) fn frozen(&self) -> Duration {
        self.frozen
    }
}

/// Below this many nanoseconds each has a counter of its own; above it 64 counters share each power of two.
const EXACT: u64 = 64;

/// How often which time was measured, to within 1.6 percent.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    all: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; 59 * EXACT as usize], all: 0 }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[place(nanoseconds)] += 1;
        self.all += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.all = 0;
    }

    /// The time that `part` of all did not exceed, microseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = ((self.all as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return lowest(place) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// The counter of a time.
fn place(nanoseconds: u64) -> usize {
    if nanoseconds < EXACT {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - EXACT.ilog2();
    (u64::from(shift + 1) * EXACT + (nanoseconds >> shift) - EXACT) as usize
}

/// The least time of a counter.
fn lowest(place: usize) -> u64 {
    let place = place as u64;
    if place < EXACT { place } else { (EXACT + place % EXACT) << (place / EXACT - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_last_counter_that_begins_before_it() {
        for nanoseconds in [0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 1 << 20, (1 << 20) + 12_345, u64::MAX]
        {
            let place = place(nanoseconds);
            assert!(lowest(place) <= nanoseconds, "{nanoseconds}");
            assert!(place == 59 * 64 - 1 || lowest(place + 1) > nanoseconds, "{nanoseconds}");
        }
    }

    #[test]
    fn quantiles_of_a_hundred_times() {
        let mut histogram = Histogram::new();
        for microseconds in 1..=100 {
            histogram.add(Duration::from_micros(microseconds));
        }
        for (part, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = histogram.quantile(part);
            assert!((expected - found).abs() <= expected / 60.0, "{part}: {found}");
        }
        histogram.clear();
        assert_eq!(histogram.quantile(0.5), 0.0);
    }
}
