//! Whether the machine itself stands still: a thread that does nothing but look at the clock, with real-time priority where
//! that is allowed. What it does not see passes while nothing runs here at all.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it looks.
const TIME: Duration = Duration::from_millis(150);

/// Between two looks at the clock nothing takes so long.
const GAP: Duration = Duration::from_micros(300);

/// What it saw, in one look or several.
#[derive(Clone, Copy)]
pub(crate) struct Freezes {
    /// Time that was not seen.
    total: Duration,
    longest: Duration,
    /// Looked for.
    time: Duration,
    /// Nothing that runs here can have been the reason.
    real_time: bool,
}

impl Freezes {
    /// Both looks together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            longest: self.longest.max(other.longest),
            time: self.time + other.time,
            real_time: self.real_time && other.real_time,
        }
    }
}

impl fmt::Display for Freezes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, longest, time) =
            (crate::millis(self.total), crate::millis(self.longest), self.time.as_millis());
        write!(f, "{total:.1} of {time} ms, longest {longest:.1}")?;
        if self.real_time { Ok(()) } else { f.write_str(" (not real-time)") }
    }
}

/// Looks from a process of its own.
pub(crate) fn look() -> Freezes {
    let seen = std::env::current_exe().ok().and_then(|program| {
        let output = Command::new("chrt").args(["-f", "10"]).arg(program).arg("freezes").output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let (total, longest) = text.trim().split_once(' ')?;
        let micros = |text: &str| Some(Duration::from_micros(text.parse().ok()?));
        Some(Freezes { total: micros(total)?, longest: micros(longest)?, time: TIME, real_time: true })
    });
    seen.unwrap_or_else(|| {
        let (total, longest) = spin();
        Freezes { total, longest, time: TIME, real_time: false }
    })
}

/// The process: prints what was not seen and the longest of it, in microseconds.
pub(crate) fn run() {
    let (total, longest) = spin();
    println!("{} {}", total.as_micros(), longest.as_micros());
}

fn spin() -> (Duration, Duration) {
    let began = Instant::now();
    let (mut last, mut total, mut longest) = (began, Duration::ZERO, Duration::ZERO);
    while last - began < TIME {
        let now = Instant::now();
        let gap = now - last;
        if gap > GAP {
            total += gap;
            longest = longest.max(gap);
        }
        last = now;
    }
    (total, longest)
}
