//! Whether the machine stands still: `freezes [MILLISECONDS]` looks at the clock without a pause, with real-time priority where that
//! is allowed, and prints how much of the time was in gaps of more than 0.3 ms. Nothing but the host's own work can make these.

use std::time::{Duration, Instant};

/// A gap that no interrupt explains.
const GAP: Duration = Duration::from_micros(300);

fn main() {
    let milliseconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(150);
    let real_time = real_time();
    let (mut frozen, mut longest, mut gaps) = (Duration::ZERO, Duration::ZERO, 0);
    let began = Instant::now();
    let mut last = began;
    while last - began < Duration::from_millis(milliseconds) {
        let now = Instant::now();
        let gap = now - last;
        if gap > GAP {
            frozen += gap;
            longest = longest.max(gap);
            gaps += 1;
        }
        last = now;
    }
    println!(
        "{{\"probe_ms\":{:.3},\"frozen_ms\":{:.3},\"longest_ms\":{:.3},\"gaps\":{gaps},\"real_time\":{real_time}}}",
        (last - began).as_secs_f64() * 1e3,
        frozen.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3,
    );
}

/// Asks for a priority above all ordinary tasks'; false where that is not allowed.
fn real_time() -> bool {
    let priority = libc::sched_param { sched_priority: 10 };
    // SAFETY: the pointer is to a live value of the type that the call reads.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) == 0 }
}
