//! Whether the machine stands still: `freezes [MILLISECONDS]` looks at the clock without a pause and prints how much of the time was in
//! gaps of more than 0.3 ms. With real-time priority (`chrt -f 10`) only what is outside of this machine can make these.

use std::time::{Duration, Instant};

/// A gap that no interrupt explains.
const GAP: Duration = Duration::from_micros(300);

fn main() {
    let milliseconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(150);
    let (mut frozen, mut longest) = (Duration::ZERO, Duration::ZERO);
    let began = Instant::now();
    let mut last = began;
    while last - began < Duration::from_millis(milliseconds) {
        let now = Instant::now();
        let gap = now - last;
        if gap > GAP {
            frozen += gap;
            longest = longest.max(gap);
        }
        last = now;
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (probe, frozen, longest) = (milliseconds(last - began), milliseconds(frozen), milliseconds(longest));
    println!("{{\"probe_ms\":{probe:.3},\"frozen_ms\":{frozen:.3},\"longest_ms\":{longest:.3}}}");
}
