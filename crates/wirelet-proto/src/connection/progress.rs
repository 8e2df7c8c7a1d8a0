//! Output on its way: what waits at the driver, and how far a frame has come that an answer is expected to.

use crate::event::Expired;
use crate::{Instant, Limits};

/// The waiting time after which the average of [`Limits::slowest`] is looked at, milliseconds.
const PERIOD: u32 = 600_000;

/// How far a control frame has come whose answer has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// There is no such frame, or its answer has come.
    None,
    /// It is in the control slot, or waits for it.
    InSlot,
    /// The driver has taken it, and has not reported since.
    Taken,
    /// The driver has it: it has left when at most so many bytes more have left.
    Behind(usize),
    /// It left then.
    Left(Instant),
}

impl Departure {
    /// A frame was put into the slot. When one is on its way already, that one counts.
    pub(super) fn queued(&mut self) {
        if *self == Self::None {
            *self = Self::InSlot;
        }
    }

    /// The driver has taken the frame out of the slot.
    pub(super) fn taken(&mut self) {
        if *self == Self::InSlot {
            *self = Self::Taken;
        }
    }

    /// `n` bytes have left, and `waiting` bytes wait at the driver.
    pub(super) fn sent(&mut self, n: usize, waiting: usize, now: Instant) {
        let ahead = match *self {
            // What waits came before the frame, or is the frame, or is behind it: it has left at the latest when all
            // of that has.
            Self::Taken => waiting,
            Self::Behind(ahead) => ahead.saturating_sub(n).min(waiting),
            _ => return,
        };
        *self = if ahead == 0 { Self::Left(now) } else { Self::Behind(ahead) };
    }
}

/// The bytes that wait to be sent, and the time that they wait.
///
/// Invariant: while nothing waits, the control slot is empty, and no departure is between the slot and having left.
#[derive(Debug)]
pub(super) struct Output {
    wait: Wait,
    /// Time in which bytes waited in this period, up to the last report, milliseconds.
    waited: u32,
    /// Bytes that left in that time.
    left: u32,
}

/// [`Limits::stalled_time`] and [`Limits::slowest`] for output that is no [`Connection`](crate::Connection)'s, such as a
/// response of HTTP.
///
/// ```
/// use wirelet_proto::{Expired, Instant, Limits, OutputWatch};
///
/// let (mut watch, limits) = (OutputWatch::new(), Limits::new());
/// watch.sent(0, 500, &limits, Instant::from_millis(0)); // nothing has left, 500 bytes wait
/// let due = watch.poll_deadline(&limits).unwrap();
/// assert_eq!(due, Instant::from_millis(120_000));
/// assert_eq!(watch.expired(&limits, due), Some(Expired::Stalled));
/// ```
#[derive(Debug)]
pub struct OutputWatch(Output);

impl OutputWatch {
    /// Nothing waits.
    pub const fn new() -> Self {
        Self(Output::new())
    }

    /// The driver has tried to write: `n` bytes have left since the last call, and `waiting` bytes wait. To be called after
    /// every attempt, as [`Connection::sent`](crate::Connection::sent).
    pub fn sent(&mut self, n: usize, waiting: usize, limits: &Limits, now: Instant) {
        let rest = if waiting > 0 { Rest::Blocked } else { Rest::Nothing };
        self.0.sent(n, rest, limits, now);
    }

    /// The system says that the peer has acknowledged more bytes of those that have left: progress, as
    /// [`Connection::acknowledged`](crate::Connection::acknowledged).
    pub fn acknowledged(&mut self, now: Instant) {
        self.0.acknowledged(now);
    }

    /// When [`expired`](Self::expired) answers something, unless bytes leave before; `None`: never.
    pub fn poll_deadline(&self, limits: &Limits) -> Option<Instant> {
        let [stalled, slow] = self.0.deadlines(limits);
        Some(stalled.min(slow)).filter(|when| *when != Instant::NEVER)
    }

    /// Whether the peer has taken nothing for too long, [`Expired::Stalled`], or has been too slow, [`Expired::Slow`]: drop
    /// the socket.
    pub fn expired(&self, limits: &Limits, now: Instant) -> Option<Expired> {
        let [stalled, slow] = self.0.deadlines(limits);
        let is_due = |when: Instant| when <= now && when != Instant::NEVER;
        match (is_due(stalled), is_due(slow)) {
            (true, _) => Some(Expired::Stalled),
            (_, true) => Some(Expired::Slow),
            _ => None,
        }
    }
}

impl Default for OutputWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether bytes wait, and since when.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Nothing,
    /// Nothing, and the application owes the next fragment of a message.
    Fragment {
        since: Instant,
    },
    /// A control frame is in the slot, and the driver holds nothing. At `at`, when it was put there or the driver reported
    /// last, nothing had left for `stalled` milliseconds.
    Slot {
        at: Instant,
        stalled: u32,
    },
    /// The transport did not take all when the driver last tried, at `at`. It had taken nothing for `stalled`
    /// milliseconds then.
    Blocked {
        at: Instant,
        stalled: u32,
    },
}

/// What is left after an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// No byte, but a message that has begun and not ended.
    Fragment,
    /// A control frame in the slot, which the driver has not taken.
    Slot,
    /// Bytes that the transport did not take.
    Blocked,
}

impl Wait {
    /// How long bytes have waited since the last report, and how long nothing has left, milliseconds.
    fn elapsed(self, now: Instant) -> (u32, u32) {
        match self {
            Self::Nothing | Self::Fragment { .. } => (0, 0),
            Self::Slot { at, stalled } | Self::Blocked { at, stalled } => {
                let elapsed = u32::try_from(now.millis_since(at)).unwrap_or(u32::MAX);
                (elapsed, stalled.saturating_add(elapsed))
            }
        }
    }
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { wait: Wait::Nothing, waited: 0, left: 0 }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.wait, Wait::Nothing | Wait::Fragment { .. })
    }

    /// A fragment follows another one of its message.
    pub(super) const fn fragment_begun(&mut self) {
        if let Wait::Fragment { .. } = self.wait {
            self.wait = Wait::Nothing;
        }
    }

    /// Since when the application has owed the next fragment of a message.
    pub(super) const fn fragment_owed_since(&self) -> Option<Instant> {
        match self.wait {
            Wait::Fragment { since } => Some(since),
            _ => None,
        }
    }

    /// A control frame was put into the slot.
    pub(super) const fn queued(&mut self, now: Instant) {
        if self.is_empty() {
            self.wait = Wait::Slot { at: now, stalled: 0 };
        }
    }

    /// The driver has tried to write: `n` bytes have left, others wait or not, and a fragmented message has begun or not.
    /// Answers whether the peer has made room: whether bytes that it had not taken before have left.
    pub(super) fn sent(&mut self, n: usize, rest: Rest, limits: &Limits, now: Instant) -> bool {
        let was_blocked = matches!(self.wait, Wait::Blocked { .. });
        let (elapsed, stalled) = self.wait.elapsed(now);
        self.waited = self.waited.saturating_add(elapsed);
        if was_blocked {
            self.left = self.left.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        }
        if self.waited >= PERIOD && !self.is_slow(limits) {
            self.waited = 0;
            self.left = 0;
        }
        let stalled = if n > 0 { 0 } else { stalled };
        self.wait = match (rest, self.wait) {
            (Rest::Blocked, _) => Wait::Blocked { at: now, stalled },
            (Rest::Slot, _) => Wait::Slot { at: now, stalled },
            (Rest::Fragment, Wait::Fragment { since }) => Wait::Fragment { since },
            (Rest::Fragment, _) => Wait::Fragment { since: now },
            (Rest::Nothing, _) => Wait::Nothing,
        };
        was_blocked && n > 0
    }

    /// The peer has acknowledged bytes that left before.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        let (elapsed, _) = self.wait.elapsed(now);
        self.waited = self.waited.saturating_add(elapsed);
        if let Wait::Slot { at, stalled } | Wait::Blocked { at, stalled } = &mut self.wait {
            *at = now;
            *stalled = 0;
        }
    }

    /// Nobody tried to write from `since` to `now`, or from the last report on if that came later: that time is not the peer's.
    pub(super) fn unattended(&mut self, since: Instant, now: Instant) {
        if let Wait::Slot { at, .. } | Wait::Blocked { at, .. } = &mut self.wait {
            *at = at.after(now.millis_since((*at).max(since)));
        }
    }

    /// Whether fewer bytes have left in this period than its end asks for.
    fn is_slow(&self, limits: &Limits) -> bool {
        let least = |rate: u32| rate.saturating_mul(PERIOD / 1000);
        limits.slowest.is_some_and(|rate| self.left < least(rate))
    }

    /// When the peer has taken nothing for too long, and when it has been too slow.
    pub(super) fn deadlines(&self, limits: &Limits) -> [Instant; 2] {
        let (at, stalled) = match self.wait {
            Wait::Nothing | Wait::Fragment { .. } => return [Instant::NEVER; 2],
            Wait::Slot { at, stalled } | Wait::Blocked { at, stalled } => (at, stalled),
        };
        let stall = match limits.stalled_time {
            Some(time) => at.after(crate::time::millis(time).saturating_sub(u64::from(stalled))),
            None => Instant::NEVER,
        };
        let slow = match self.is_slow(limits) {
            true => at.after(u64::from(PERIOD.saturating_sub(self.waited))),
            false => Instant::NEVER,
        };
        [stall, slow]
    }
}
