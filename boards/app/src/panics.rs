//! What a device remembers of its panics over a restart, in memory that a restart does not clear, and what it does about
//! them: the reason is logged at the next start, and a device that panics again and again keeps its radio off for a while, so
//! that somebody can reach its console.

use core::fmt::{self, Write};
use core::time::Duration;

use wirelet_embedded::Clock;

use crate::Board;
use crate::crc::crc32;

/// Bytes that have to outlive a restart.
pub const SIZE: usize = 256;
/// The longest reason that is kept, bytes.
const REASON: usize = 160;
/// The first bytes of a record: a name and the version of the format.
const MAGIC: [u8; 4] = *b"wlP\x01";
/// Where the check sum stands.
const CHECK: usize = SIZE - 4;
/// So many panics within [`Policy::window`] keep the radio off.
const PANICS: usize = 5;
/// How often the record learns the time, and the watchdog that the device is alive.
const TICK: Duration = Duration::from_secs(1);

/// Memory that a restart does not clear. What is in it after the power was switched on does not matter.
pub trait Memory {
    /// What is there.
    fn read(&self) -> [u8; SIZE];

    /// Puts something there.
    fn write(&self, bytes: &[u8; SIZE]);
}

/// What has started the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The power was switched on, or was too low: nothing is remembered.
    Power,
    /// Nobody has fed the watchdog, which counts as a panic.
    Watchdog,
    /// The program, after a panic or without one, a button, a programmer.
    Other,
}

/// When the radio stays off, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Five panics within this time keep the radio off.
    pub window: Duration,
    /// For so long after the fifth; each further panic doubles it,
    pub first: Duration,
    /// up to this.
    pub longest: Duration,
    /// After so long without a panic all of them are forgotten.
    pub quiet: Duration,
}

impl Policy {
    /// Five within ten minutes; off for one minute, up to thirty; an hour without a panic clears the count.
    pub const DEFAULT: Self = Self {
        window: Duration::from_secs(10 * 60),
        first: Duration::from_secs(60),
        longest: Duration::from_secs(30 * 60),
        quiet: Duration::from_secs(60 * 60),
    };
}

/// Begins: logs how the last run ended, if that was a panic, and answers how long the radio stays off.
pub fn start(memory: &impl Memory, reset: Reset, policy: Policy, board: &dyn Board) -> Option<Duration> {
    let mut record = match reset {
        Reset::Power => Record::new(),
        Reset::Watchdog | Reset::Other => Record::from_bytes(&memory.read()).unwrap_or_default(),
    };
    let panicked = record.start(reset, policy);
    memory.write(&record.to_bytes());
    if panicked {
        board.log(format_args!("the last run ended by a panic: {}", record.reason.text()));
    }
    let off = record.off.filter(|_| panicked);
    if let Some(off) = off {
        board.log(format_args!(
            "the radio stays off for {} s, since there were {PANICS} panics in a short time; the console works, and 'restart' \
             switches the radio on",
            off.as_secs()
        ));
    }
    off
}

/// Remembers a panic that ends the device's run after this time. To be called from the panic handler: it does not panic.
pub fn panicked(memory: &impl Memory, uptime: Duration, reason: impl fmt::Display) {
    let mut record = Record::from_bytes(&memory.read()).unwrap_or_default();
    record.panicked(uptime, reason);
    memory.write(&record.to_bytes());
}

/// Tells the record the time once a second, and calls `feed` for the watchdog. It never ends.
pub async fn keep<C: Clock>(memory: &impl Memory, policy: Policy, clock: &C, mut feed: impl FnMut()) -> ! {
    let start = clock.now();
    loop {
        feed();
        if let Some(mut record) = Record::from_bytes(&memory.read()) {
            record.alive(clock.now().duration_since(start), policy);
            memory.write(&record.to_bytes());
        }
        clock.wait_until(clock.now().plus(TICK)).await;
    }
}

/// The record. Its clock is the time that the device has run since its power was switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// When this run began.
    began: Duration,
    /// The time when the record last learned it.
    now: Duration,
    /// The last panics, the newest at the end.
    times: [Option<Duration>; PANICS],
    /// For how long the radio was last kept off.
    off: Option<Duration>,
    /// The last run has ended by a panic that no start has seen yet.
    pending: bool,
    reason: Reason,
}

impl Record {
    fn new() -> Self {
        Self::default()
    }

    /// A run begins; whether the last one has ended by a panic.
    fn start(&mut self, reset: Reset, policy: Policy) -> bool {
        let panicked = core::mem::take(&mut self.pending);
        if reset == Reset::Watchdog && !panicked {
            self.reason = Reason::default();
            let _ = self.reason.write_str("the watchdog was not fed");
            self.count();
        }
        self.began = self.now;
        let panicked = panicked || reset == Reset::Watchdog;
        if panicked {
            self.off = match self.off {
                Some(off) => Some(off.saturating_mul(2).min(policy.longest)),
                None => self.is_crowded(policy).then_some(policy.first),
            };
        }
        panicked
    }

    fn panicked(&mut self, uptime: Duration, reason: impl fmt::Display) {
        self.now = self.began.saturating_add(uptime);
        self.reason = Reason::default();
        let _ = write!(self.reason, "{reason}");
        self.pending = true;
        self.count();
    }

    fn alive(&mut self, uptime: Duration, policy: Policy) {
        self.now = self.began.saturating_add(uptime);
        let [.., last] = self.times;
        if last.is_some_and(|last| self.now.saturating_sub(last) >= policy.quiet) {
            (self.times, self.off) = Default::default();
        }
    }

    /// One more panic, now.
    fn count(&mut self) {
        self.times.rotate_left(1);
        let [.., last] = &mut self.times;
        *last = Some(self.now);
    }

    /// Whether the last panics came within the window.
    fn is_crowded(&self, policy: Policy) -> bool {
        let [first, .., last] = self.times;
        first.zip(last).is_some_and(|(first, last)| last.saturating_sub(first) <= policy.window)
    }

    fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut out = bytes.iter_mut();
        let mut put = |part: &[u8]| out.by_ref().zip(part).for_each(|(place, byte)| *place = *byte);
        put(&MAGIC);
        for time in [Some(self.began), Some(self.now), self.off].iter().chain(&self.times) {
            put(&millis(*time).to_le_bytes());
        }
        put(&[u8::from(self.pending), self.reason.len]);
        put(&self.reason.bytes);
        let check = crc32(bytes.get(..CHECK).unwrap_or_default()).to_le_bytes();
        bytes.iter_mut().skip(CHECK).zip(check).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// `None`: that is no record, since the power was off, or the device stopped while it was written.
    fn from_bytes(bytes: &[u8; SIZE]) -> Option<Self> {
        let (mut rest, check) = bytes.split_at_checked(CHECK)?;
        if crc32(rest).to_le_bytes() != check {
            return None;
        }
        let mut take = |len| {
            let (part, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(part)
        };
        if take(MAGIC.len())? != MAGIC {
            return None;
        }
        let mut times = [None; 3 + PANICS];
        for time in &mut times {
            let millis = u64::from_le_bytes(take(8)?.try_into().ok()?);
            *time = (millis != u64::MAX).then_some(Duration::from_millis(millis));
        }
        let [began, now, off, times @ ..] = times;
        let &[pending, len] = take(2)? else { return None };
        let bytes = take(REASON)?.try_into().ok()?;
        let reason = Reason { bytes, len };
        Some(Self { began: began?, now: now?, times, off, pending: pending != 0, reason })
    }
}

// The parts of a record are 4 + 8 × 8 + 2 + 160 bytes.
const _: () = assert!(4 + 8 * (3 + PANICS) + 2 + REASON <= CHECK);

/// A time as it is kept; the largest number is none.
fn millis(time: Option<Duration>) -> u64 {
    time.map_or(u64::MAX, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1))
}

/// The beginning of a panic's message, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    bytes: [u8; REASON],
    len: u8,
}

impl Default for Reason {
    fn default() -> Self {
        Self { bytes: [0; REASON], len: 0 }
    }
}

impl Reason {
    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len.into()).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

impl Write for Reason {
    /// Leaves out what finds no room.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            let end = usize::from(self.len) + letter.len_utf8();
            let Some(place) = self.bytes.get_mut(self.len.into()..end) else { return Err(fmt::Error) };
            letter.encode_utf8(place);
            self.len = end as u8;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Log;
    use core::cell::Cell;
    use std::string::String;
    use std::vec::Vec;

    /// Memory with what it has when the power is switched on.
    struct Ram(Cell<[u8; SIZE]>);

    impl Memory for Ram {
        fn read(&self) -> [u8; SIZE] {
            self.0.get()
        }

        fn write(&self, bytes: &[u8; SIZE]) {
            self.0.set(*bytes);
        }
    }

    fn ram() -> Ram {
        Ram(Cell::new([0xa5; SIZE]))
    }

    const MINUTE: u64 = 60;

    /// Runs that end by a panic after so many seconds each; for how many seconds the radio is off at each next start.
    fn off_after(memory: &Ram, runs: &[u64]) -> Vec<Option<u64>> {
        let log = Log::default();
        let next = runs.iter().map(|seconds| {
            live(memory, *seconds);
            panicked(memory, Duration::from_secs(*seconds), "once more");
            start(memory, Reset::Other, Policy::DEFAULT, &log).map(|off| off.as_secs())
        });
        next.collect()
    }

    /// A run whose record is told the time every second.
    fn live(memory: &Ram, seconds: u64) {
        for second in 0..seconds {
            let mut record = Record::from_bytes(&memory.read()).unwrap();
            record.alive(Duration::from_secs(second), Policy::DEFAULT);
            memory.write(&record.to_bytes());
        }
    }

    fn booted() -> Ram {
        let memory = ram();
        assert_eq!(start(&memory, Reset::Power, Policy::DEFAULT, &Log::default()), None);
        memory
    }

    #[test]
    fn the_reason_is_logged_at_the_next_start_and_only_there() {
        let (memory, log) = (booted(), Log::default());
        panicked(&memory, Duration::from_secs(3), format_args!("panicked at {}:7:\nindex 3", "main.rs"));
        assert_eq!(start(&memory, Reset::Other, Policy::DEFAULT, &log), None);
        assert_eq!(start(&memory, Reset::Other, Policy::DEFAULT, &log), None);
        assert_eq!(log.lines(), ["the last run ended by a panic: panicked at main.rs:7: index 3"]);
    }

    /// A panic that comes at every start restarted the device so often that nobody could use its console.
    #[test]
    fn five_panics_keep_the_radio_off_for_longer_each_time() {
        let off = off_after(&booted(), &[0; 12]);
        let minutes = [1, 2, 4, 8, 16, 30, 30, 30].map(|minutes| Some(minutes * MINUTE));
        assert_eq!(off[..4], [None; 4]);
        assert_eq!(off[4..], minutes);
    }

    #[test]
    fn panics_that_are_far_apart_keep_nothing_off() {
        // Each five of them take ten minutes and four seconds.
        assert_eq!(off_after(&booted(), &[151; 20]), [None; 20]);
        // And exactly ten minutes.
        assert_eq!(off_after(&booted(), &[150; 5])[4], Some(MINUTE));
    }

    #[test]
    fn an_hour_without_a_panic_clears_the_count() {
        let memory = booted();
        assert_eq!(off_after(&memory, &[1; 6])[5], Some(2 * MINUTE));
        // A second less: the next one doubles.
        assert_eq!(off_after(&memory, &[60 * MINUTE - 1]), [Some(4 * MINUTE)]);
        assert_eq!(off_after(&memory, &[60 * MINUTE + 2, 1, 1, 1]), [None; 4]);
        assert_eq!(off_after(&memory, &[1]), [Some(MINUTE)]);
    }

    /// The time goes on over restarts that are no panics.
    #[test]
    fn the_hour_may_contain_restarts() {
        let (memory, log) = (booted(), Log::default());
        assert_eq!(off_after(&memory, &[1; 5])[4], Some(MINUTE));
        for _ in 0..7 {
            live(&memory, 10 * MINUTE);
            assert_eq!(
                start(&memory, Reset::Other, Policy::DEFAULT, &log),
                None,
                "asked for: the radio is on"
            );
        }
        assert_eq!(off_after(&memory, &[1; 4]), [None; 4]);
    }

    #[test]
    fn power_and_brown_outs_do_not_count() {
        let (memory, log) = (booted(), Log::default());
        for _ in 0..20 {
            panicked(&memory, Duration::ZERO, "the supply is weak");
            assert_eq!(start(&memory, Reset::Power, Policy::DEFAULT, &log), None);
        }
        assert!(log.lines().is_empty());
    }

    #[test]
    fn a_watchdog_counts_as_a_panic() {
        let (memory, log) = (booted(), Log::default());
        let mut off = Vec::new();
        for _ in 0..5 {
            live(&memory, 2);
            off.push(start(&memory, Reset::Watchdog, Policy::DEFAULT, &log));
        }
        assert_eq!(off, [None, None, None, None, Some(Duration::from_secs(MINUTE))]);
        assert_eq!(log.lines()[0], "the last run ended by a panic: the watchdog was not fed");
        // A panic whose handler hangs is one panic.
        panicked(&memory, Duration::ZERO, "and the handler hangs");
        let off = start(&memory, Reset::Watchdog, Policy::DEFAULT, &log);
        assert_eq!(off, Some(Duration::from_secs(2 * MINUTE)));
        assert!(log.lines().iter().any(|line| line.ends_with("and the handler hangs")));
    }

    #[test]
    fn no_changed_bit_is_believed() {
        let memory = booted();
        panicked(&memory, Duration::from_secs(1), "x".repeat(500));
        let bytes = memory.read();
        let record = Record::from_bytes(&bytes).unwrap();
        assert_eq!((record.to_bytes(), record.reason.text().len()), (bytes, REASON));
        for bit in 0..SIZE * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::from_bytes(&changed), None, "{bit}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_letters() {
        for letters in 0..4 {
            let mut reason = Reason::default();
            let text: String = "-".repeat(letters) + &"é".repeat(REASON);
            let _ = reason.write_str(&text);
            assert!(text.starts_with(reason.text()) && reason.text().len() >= REASON - 1, "{letters}");
        }
    }
}
