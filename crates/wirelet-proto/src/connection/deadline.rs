//! Time: keepalive, idle, message and closing deadlines, on the caller's clock.

use core::ops::Deref;

use super::Connection;
use crate::close::CloseCode;
use crate::event::Expired;
use crate::{Config, Instant, MaskKeys};

/// When things happened.
#[derive(Debug)]
pub(super) struct Clock {
    /// Something arrived last.
    heard: Instant,
    /// A ping that nothing has arrived after.
    pinged: Option<Instant>,
    /// The first byte of the message in progress.
    message_began: Instant,
    closing_began: Option<Instant>,
    /// The application does not read.
    held: Option<Instant>,
    /// Numbers the keepalive pings.
    pings: u32,
}

impl Clock {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, pinged: None, message_began: now, closing_began: None, held: None, pings: 0 }
    }

    #[inline]
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    pub(super) const fn pinged(&mut self, now: Instant) {
        if self.pinged.is_none() {
            self.pinged = Some(now);
        }
    }

    #[inline]
    pub(super) const fn message_begins(&mut self, now: Instant) {
        self.message_began = now;
    }

    pub(super) const fn closing_begins(&mut self, now: Instant) {
        if self.closing_began.is_none() {
            self.closing_began = Some(now);
        }
    }

    /// Time has stood still from `since` to `now`, or from the moment in between when something happened.
    fn shift(&mut self, since: Instant, now: Instant) {
        let shifted = |moment: Instant| moment.after(now.millis_since(moment.max(since)));
        self.heard = shifted(self.heard);
        self.message_began = shifted(self.message_began);
        self.pinged = self.pinged.map(shifted);
    }
}

/// What is due, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ping,
    Expired(Expired),
}

impl<C: Deref<Target = Config>> Connection<C> {
    /// When [`handle_deadline`](Self::handle_deadline) has something to do; `None`: never.
    ///
    /// It moves on as bytes arrive; a driver may keep an earlier deadline and ask again when it has come.
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.next_due().map(|(when, _)| when)
    }

    /// Does what is due at `now`: queues a keepalive ping, or gives the connection up.
    ///
    /// After [`Expired::Closing`] drop the socket. After the others a close frame with the code 3008 waits in
    /// [`poll_transmit`](Self::poll_transmit) and `advance` answers [`Status::Closed`](crate::Status::Closed).
    pub fn handle_deadline(&mut self, keys: &mut impl MaskKeys, now: Instant) -> Option<Expired> {
        let (when, due) = self.next_due()?;
        if when > now {
            return None;
        }
        match due {
            Due::Ping => {
                self.clock.pings = self.clock.pings.wrapping_add(1);
                self.queue_keepalive(self.clock.pings.to_be_bytes(), keys);
                self.clock.pinged(now);
                None
            }
            Due::Expired(expired) => {
                match expired {
                    Expired::Closing => self.over = true,
                    _ => self.fail(CloseCode::TIMEOUT, keys, now),
                }
                Some(expired)
            }
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

    fn next_due(&self) -> Option<(Instant, Due)> {
        if self.over {
            return None;
        }
        let config: &Config = &self.config;
        if let Some(began) = self.clock.closing_began {
            return Some((began.plus(config.limits.closing_time), Due::Expired(Expired::Closing)));
        }
        if self.clock.held.is_some() {
            return None;
        }
        let keepalive = &config.keepalive;
        let ping = match self.clock.pinged {
            Some(pinged) => Some((pinged.plus(keepalive.pong), Due::Expired(Expired::Pong))),
            None => keepalive.ping.map(|interval| (self.clock.heard.plus(interval), Due::Ping)),
        };
        let idle = keepalive.idle.map(|idle| (self.clock.heard.plus(idle), Due::Expired(Expired::Idle)));
        let arrived = match self.receiving.message_in_progress() {
            None if self.decoder.is_inside_frame() => Some(0),
            in_progress => in_progress,
        };
        // A millisecond for each byte: a slow line is not cut off, a trickle is.
        let message = config.limits.message_time.zip(arrived).map(|(time, bytes)| {
            (self.clock.message_began.plus(time).after(bytes), Due::Expired(Expired::Message))
        });
        let mut next = ping;
        for other in [idle, message] {
            if let Some((when, _)) = other
                && next.is_none_or(|(earliest, _)| when < earliest)
            {
                next = other;
            }
        }
        next
    }
}
