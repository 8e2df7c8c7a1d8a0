//! Time: what is due on a connection, when its owner is woken for it, and what excuses a peer that seems to be silent.

use std::time::Duration;

use wirelet_proto::{Expired, Instant};

use super::{Engine, Waiter};
use crate::connection::Shared;
use crate::connection::timed::NEVER;
use crate::keys::ThreadKeys;
use crate::time::Clock;

/// A peer that does not take all is looked at so much later, when it has not taken more meanwhile.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// An owner that is polled so much later than a deadline was not there. The ticker of a server looks every 500 ms.
const LATE: Duration = Duration::from_secs(2);
/// How long such an owner has to read what has arrived meanwhile, milliseconds.
const ANOTHER_LOOK: u64 = 1000;

/// What is known of the peer's acknowledgements, for [`Engine::peer_has_acknowledged`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Watch {
    Nothing,
    /// The peer's system is to be looked at then. Why not whenever it does not take all: that is often, and costs a system call.
    LookAt(Instant),
    Seen(Acknowledged),
}

/// How much the peer's system had not acknowledged, and how much had been written, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    outstanding: u32,
    /// Modulo 2^32.
    written: u32,
}

impl Engine {
    pub(in crate::connection) fn refresh_clock(&mut self) {
        self.now = self.clock.now();
        self.stale = false;
    }

    /// The application has had the engine.
    pub(in crate::connection) const fn was_lent(&mut self) {
        self.stale = true;
    }

    /// Something happens now that a deadline depends on. Why only then: to read the clock each time the handler has been polled
    /// costs more.
    #[inline]
    pub(super) fn note_time(&mut self) {
        if self.stale {
            self.refresh_clock();
        }
    }

    pub(in crate::connection) const fn clock(&self) -> Clock {
        self.clock
    }

    /// The socket has had news since then, and nobody has polled a connection without a task: that time is not the peer's.
    pub(in crate::connection) fn was_unattended(&mut self, since: Instant) {
        self.refresh_clock();
        self.core.output_unattended(since, self.now);
        // Something has moved, and nobody has seen what. A timer that has ended is told as news too: that is nothing.
        if self.next_alarm().is_none_or(|alarm| since < alarm) {
            self.excused = false;
        }
    }

    pub(in crate::connection) const fn now(&self) -> Instant {
        self.now
    }

    /// When something is due; `None`: never.
    fn next_deadline(&self) -> Option<Instant> {
        self.core.poll_deadline().filter(|_| !self.is_gone())
    }

    /// When the owner is to be woken; `None`: not for the sake of time.
    pub(super) fn next_alarm(&mut self) -> Option<Instant> {
        if self.is_gone() {
            return None;
        }
        let quiet_until = self.core.quiet_until();
        let alarm = match self.watch {
            Watch::LookAt(when) => when.min(quiet_until),
            Watch::Nothing | Watch::Seen(_) => quiet_until,
        };
        (alarm != NEVER).then_some(alarm)
    }

    pub(super) fn is_due(&mut self) -> bool {
        self.core.is_due(self.now) && !self.is_gone()
    }

    /// Whether the peer's system is to be looked at.
    pub(super) fn is_watch_due(&self) -> bool {
        matches!(self.watch, Watch::LookAt(when) if when <= self.now)
    }

    /// The application does not take what is received, or does again: meanwhile deadlines that depend on reading stand still.
    pub(super) fn hold_or_resume(&mut self, shared: &Shared) {
        // Who waits for an event is polled next.
        let takes = self.waits.receiver != Waiter::Nobody || self.has_ended() || self.wants_events(shared);
        if let Some(deflate) = &mut self.deflate {
            deflate.hold(!takes);
        }
        let held = !takes || self.starved && !self.has_ended();
        if held != self.core.is_reading_held() {
            self.note_time();
            self.core.hold_reading(held, self.now);
        }
    }

    /// The owner was not polled when it should have been: the process was stopped, or nobody polls a connection without a
    /// task. What the peer has sent meanwhile may need more than one look, and what waits may be taken now: there is some
    /// time more, once, until something moves again. A ping that is late is sent. Whether something was excused now.
    pub(super) fn excuse_lateness(&mut self) -> bool {
        let Some(deadline) = self.next_deadline().filter(|deadline| deadline.plus(LATE) < self.now) else {
            return false;
        };
        let excusable = match self.core.poll_expiry() {
            None | Some(Expired::Slow) => false,
            Some(Expired::Closing) => self.has_lost_output(),
            Some(_) => true,
        };
        if !excusable || self.excused {
            return false;
        }
        self.excused = true;
        let since = Instant::from_millis(deadline.as_millis().saturating_sub(ANOTHER_LOOK));
        self.core.hold_reading(true, since);
        self.core.hold_reading(false, self.now);
        // Nobody has tried to write.
        self.core.acknowledged(self.now);
        true
    }

    /// Does what is due.
    pub(super) fn handle_deadlines(&mut self) {
        if self.is_watch_due() {
            self.look_at_acknowledgements();
        }
        while let Some(deadline) = self.next_deadline().filter(|deadline| *deadline <= self.now) {
            if self.excuse_lateness() {
                continue;
            }
            let ends = self.core.poll_expiry();
            if matches!(ends, Some(Expired::Pong | Expired::Stalled)) && self.peer_has_acknowledged() {
                self.core.acknowledged(self.now);
                continue;
            }
            match self.core.handle_deadline(&mut ThreadKeys, self.now) {
                None => self.look_at_acknowledgements(),
                Some(expired @ (Expired::Closing | Expired::Stalled | Expired::Slow)) => {
                    // The peer would not take a close frame either. What has been received is still delivered.
                    self.fail_output(expired.into());
                    self.drop_transport();
                }
                Some(expired) => self.end(Some(expired.into())),
            }
            if self.next_deadline() == Some(deadline) {
                break;
            }
        }
    }

    /// Notes how much the peer's system has acknowledged, where that can be told.
    fn look_at_acknowledgements(&mut self) {
        let written = self.out.written() as u32;
        let outstanding = self.transport.unacknowledged();
        self.watch = match outstanding {
            Some(outstanding) => Watch::Seen(Acknowledged { outstanding, written }),
            None => Watch::Nothing,
        };
    }

    /// Whether the peer's system has acknowledged some bytes since it was looked at last, and not all of them yet. Why not
    /// all: what a peer has acknowledged completely and does not answer has arrived.
    fn peer_has_acknowledged(&mut self) -> bool {
        let Watch::Seen(before) = self.watch else { return false };
        self.look_at_acknowledgements();
        let Watch::Seen(after) = self.watch else { return false };
        let sent = after.written.wrapping_sub(before.written);
        after.outstanding > 0 && after.outstanding < before.outstanding.saturating_add(sent)
    }
}
