//! The protocol's state, and a moment before which nothing is due in it.

use std::ops::{Deref, DerefMut};

use wirelet_proto::Instant;

use super::Core;

/// The protocol's state, which remembers when it has to be asked for its deadline again.
///
/// Why: to find the next deadline costs more than to take in a message, and most of what happens on a connection only moves it
/// further away.
///
/// Invariant: nothing is due before `quiet_until`. Whoever changes the state in a way that may bring a deadline nearer does so
/// through [`DerefMut`], which forgets it.
pub(super) struct Timed {
    core: Core,
    /// [`UNKNOWN`] when it has to be looked for.
    quiet_until: Instant,
}

/// Before anything that is due: asked for each time.
const UNKNOWN: Instant = Instant::from_millis(0);
/// Later than anything that is due.
pub(super) const NEVER: Instant = Instant::from_millis(u64::MAX);

impl Timed {
    pub(super) const fn new(core: Core) -> Self {
        Self { core, quiet_until: UNKNOWN }
    }

    /// A moment before which nothing is due.
    #[inline]
    pub(super) fn quiet_until(&mut self) -> Instant {
        if self.quiet_until == UNKNOWN { self.look() } else { self.quiet_until }
    }

    /// Whether something is due at `now`.
    #[inline]
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        now >= self.quiet_until && now >= self.look()
    }

    #[inline(never)]
    fn look(&mut self) -> Instant {
        let until = self.core.poll_deadline().unwrap_or(NEVER);
        self.quiet_until = until;
        until
    }

    /// The same state, for what brings no deadline nearer: to take a whole message, to begin a frame that is a whole message, to
    /// report that all has left where nothing waited before.
    #[inline]
    pub(super) const fn steady(&mut self) -> &mut Core {
        &mut self.core
    }

    /// [`Connection::sent`].
    #[inline]
    pub(super) fn sent(&mut self, n: usize, waiting: usize, now: Instant) {
        if waiting > 0 || self.core.is_watching_output() {
            (**self).sent(n, waiting, now);
        }
    }
}

impl Deref for Timed {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

impl DerefMut for Timed {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.quiet_until = UNKNOWN;
        &mut self.core
    }
}
