//! Time: keepalive, idle, message, closing and output deadlines, on the caller's clock.

use core::ops::Deref;
use core::time::Duration;

use super::progress::{Departure, Output, Rest};
use super::{Connection, ControlSlot, Transport};
use crate::close::CloseCode;
use crate::event::Expired;
use crate::{Config, Instant, Limits, MaskKeys};

/// When things happened.
#[derive(Debug)]
pub(super) struct Clock {
    /// The last sign of life.
    heard: Instant,
    /// The first byte of the message in progress.
    message_began: Instant,
    /// The connection ends then, whatever is on its way.
    end: Instant,
    /// The application does not read.
    held: Option<Instant>,
    /// The ping after which a sign of life is expected.
    pub(super) ping: Departure,
    /// This endpoint's close frame.
    pub(super) closing: Departure,
    pub(super) output: Output,
    /// Numbers the keepalive pings.
    pings: u32,
    /// Their interval, milliseconds; 0: as configured, the largest: none.
    interval: u32,
}

impl Clock {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            message_began: now,
            end: Instant::NEVER,
            held: None,
            ping: Departure::None,
            closing: Departure::None,
            output: Output::new(),
            pings: 0,
            interval: 0,
        }
    }

    /// Something has arrived.
    #[inline]
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        if let Departure::Left(_) = self.ping {
            self.ping = Departure::None;
        }
    }

    /// Whether a ping has left that nothing has come after.
    #[inline]
    pub(super) const fn is_waiting_for_pong(&self) -> bool {
        matches!(self.ping, Departure::Left(_))
    }

    #[inline]
    pub(super) const fn message_begins(&mut self, now: Instant) {
        self.message_began = now;
    }

    /// The driver has tried to write: `n` bytes have left, and `waiting` bytes wait at the driver.
    pub(super) fn sent(&mut self, n: usize, waiting: usize, rest: Rest, limits: &Limits, now: Instant) {
        if self.output.sent(n, rest, limits, now) {
            self.progressed(now);
        }
        self.ping.sent(n, waiting, now);
        self.closing.sent(n, waiting, now);
    }

    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.output.acknowledged(now);
        self.progressed(now);
    }

    /// The peer has taken bytes. That is life, but no answer: a ping that has left is waited for as long again.
    const fn progressed(&mut self, now: Instant) {
        self.heard = now;
        if let Departure::Left(since) = &mut self.ping {
            *since = now;
        }
    }

    /// Nothing can be sent any more. Answers whether that holds for a close frame that has not left.
    pub(super) const fn abandon_output(&mut self) -> bool {
        self.output = Output::new();
        self.ping = Departure::None;
        !matches!(self.closing, Departure::Left(_))
    }

    /// Time has stood still from `since` to `now`, or from the moment in between when something happened.
    fn shift(&mut self, since: Instant, now: Instant) {
        let shifted = |moment: Instant| moment.after(now.millis_since(moment.max(since)));
        self.heard = shifted(self.heard);
        self.message_began = shifted(self.message_began);
        if let Departure::Left(since) = &mut self.ping {
            *since = shifted(*since);
        }
    }
}

/// What is due, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ping,
    Expired(Expired),
}

impl<C: Deref<Target = Config>, K: ControlSlot> Connection<C, K> {
    /// When [`handle_deadline`](Self::handle_deadline) has something to do; `None`: never.
    ///
    /// It moves on as bytes arrive and leave; a driver may keep an earlier deadline and ask again when it has come.
    pub fn poll_deadline(&self) -> Option<Instant> {
        let (when, _) = self.next_due();
        (when != Instant::NEVER).then_some(when)
    }

    /// What the connection is given up for when [`poll_deadline`](Self::poll_deadline) has come; `None`: it is not, as when a
    /// keepalive ping is due, or nothing ever is.
    pub fn poll_expiry(&self) -> Option<Expired> {
        match self.next_due() {
            (Instant::NEVER, _) | (_, Due::Ping) => None,
            (_, Due::Expired(expired)) => Some(expired),
        }
    }

    /// Does what is due at `now`: queues a keepalive ping, or gives the connection up.
    ///
    /// After [`Expired::Closing`], [`Expired::Stalled`] and [`Expired::Slow`] drop the socket. All is as after
    /// [`output_failed`](Self::output_failed), and after `Closing` as after [`received_eof`](Self::received_eof) too: what was
    /// received can still be taken. After the others a close frame waits in [`poll_transmit`](Self::poll_transmit), with the code 3008 or, after [`Expired::Fragment`],
    /// 1011, and `advance` answers [`Status::Closed`](crate::Status::Closed).
    pub fn handle_deadline(&mut self, keys: &mut impl MaskKeys, now: Instant) -> Option<Expired> {
        let (when, due) = self.next_due();
        if when > now || when == Instant::NEVER {
            return None;
        }
        let Due::Expired(expired) = due else {
            self.clock.pings = self.clock.pings.wrapping_add(1);
            self.queue_ping(&self.clock.pings.to_be_bytes(), keys, now);
            return None;
        };
        match expired {
            Expired::Closing => {
                self.output_failed();
                self.received_eof();
            }
            Expired::Stalled | Expired::Slow => self.output_failed(),
            Expired::Fragment => self.fail(CloseCode::INTERNAL_ERROR, keys, now),
            Expired::Pong | Expired::Idle | Expired::Message => self.fail(CloseCode::TIMEOUT, keys, now),
        }
        Some(expired)
    }

    /// The connection ends at `when`, whatever waits to be sent or received then:
    /// [`handle_deadline`](Self::handle_deadline) answers [`Expired::Closing`]. For when a whole server, device or client
    /// stops. Of several such moments the earliest counts.
    pub fn end_by(&mut self, when: Instant) {
        self.clock.end = self.clock.end.min(when);
    }

    /// Sends keepalive pings in another interval than [`Keepalive::ping`](crate::Keepalive::ping) says, from the last sign of life on;
    /// `None`: none. It is at least a millisecond, and at most 49 days.
    pub fn set_ping_interval(&mut self, interval: Option<Duration>) {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self.clock.interval = interval.map_or(u32::MAX, |time| millis(time).clamp(1, u32::MAX - 1));
    }

    fn ping_interval(&self) -> Option<Duration> {
        match self.clock.interval {
            0 => self.config.keepalive.ping,
            u32::MAX => None,
            millis => Some(Duration::from_millis(millis.into())),
        }
    }

    /// The application holds reading, or goes on with it: meanwhile the pong, idle and message deadlines stand
    /// still, and no keepalive ping is sent, since its answer would not be seen.
    pub fn hold_reading(&mut self, held: bool, now: Instant) {
        match (held, self.clock.held) {
            (true, None) => self.clock.held = Some(now),
            (false, Some(since)) => {
                self.clock.held = None;
                self.clock.shift(since, now);
            }
            _ => {}
        }
    }

    /// Whether the application holds reading ([`hold_reading`](Self::hold_reading)).
    #[inline]
    pub const fn is_reading_held(&self) -> bool {
        self.clock.held.is_some()
    }

    /// The driver knows that the transport may have taken more from `since` on, and nobody has tried to write before `now`.
    /// This time counts neither for [`Limits::stalled_time`](crate::Limits::stalled_time) nor for
    /// [`Limits::slowest`](crate::Limits::slowest).
    pub fn output_unattended(&mut self, since: Instant, now: Instant) {
        self.clock.output.unattended(since, now);
    }

    fn next_due(&self) -> (Instant, Due) {
        match self.transport {
            Transport::Open | Transport::InputEnded => {}
            Transport::OutputFailed => {
                let silent = self.clock.heard.plus(self.config.limits.closing_time);
                let ends = if self.clock.held.is_none() { silent } else { Instant::NEVER };
                return (self.clock.end.min(ends), Due::Expired(Expired::Closing));
            }
            Transport::Gone => return (Instant::NEVER, Due::Ping),
        }
        let limits = &self.config.limits;
        let [stalled, slow] = self.clock.output.deadlines(limits);
        let closing = match self.clock.closing {
            Departure::Left(since) => since.plus(limits.closing_time),
            _ => Instant::NEVER,
        };
        let mut next = (self.clock.end.min(closing), Due::Expired(Expired::Closing));
        next = earlier(next, stalled, Due::Expired(Expired::Stalled));
        next = earlier(next, slow, Due::Expired(Expired::Slow));
        if self.transport == Transport::InputEnded || self.clock.closing != Departure::None {
            return next;
        }
        if let Some((since, time)) = self.clock.output.fragment_owed_since().zip(limits.fragment_time) {
            next = earlier(next, since.plus(time), Due::Expired(Expired::Fragment));
        }
        if self.clock.held.is_none() {
            next = self.next_of_reading(next);
        }
        next
    }

    /// The earliest of `next` and the deadlines that depend on reading.
    fn next_of_reading(&self, mut next: (Instant, Due)) -> (Instant, Due) {
        let Config { limits, keepalive, .. } = &*self.config;
        if let Departure::Left(since) = self.clock.ping {
            next = earlier(next, since.plus(keepalive.pong), Due::Expired(Expired::Pong));
        } else if let Some(interval) = self.ping_interval()
            && self.clock.ping == Departure::None
            && self.sending.is_empty()
        {
            next = earlier(next, self.clock.heard.plus(interval), Due::Ping);
        }
        if let Some(idle) = keepalive.idle {
            next = earlier(next, self.clock.heard.plus(idle), Due::Expired(Expired::Idle));
        }
        let arrived = match self.receiving.message_in_progress() {
            None if self.decoder.is_inside_frame() => Some(0),
            in_progress => in_progress,
        };
        if let Some((time, bytes)) = limits.message_time.zip(arrived) {
            // A millisecond for each byte: a slow line is not cut off, a trickle is.
            let when = self.clock.message_began.plus(time).after(bytes);
            next = earlier(next, when, Due::Expired(Expired::Message));
        }
        next
    }
}

/// The earlier of two deadlines; of two at the same moment the first.
fn earlier(next: (Instant, Due), when: Instant, due: Due) -> (Instant, Due) {
    if when < next.0 { (when, due) } else { next }
}
