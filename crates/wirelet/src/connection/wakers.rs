//! Who is woken when something happens on a connection.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};

use super::Shared;

/// The tasks that wait on a connection. Never locked while waking, and never while waiting for the engine.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    driver: Option<Waker>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

/// Which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The connection's own future.
    Driver,
    /// The one that receives.
    Receiver,
    /// The one that sends, flushes or closes.
    Sender,
}

impl Wakers {
    /// Remembers `waker`; cloned only when it is another one than before.
    pub(crate) fn set(&self, who: Who, waker: &Waker) {
        let mut slots = self.lock();
        let slot = slots.slot(who);
        match slot {
            Some(known) if known.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        }
    }

    /// The task's waker.
    pub(crate) fn of(&self, who: Who) -> Option<Waker> {
        self.lock().slot(who).clone()
    }

    /// Wakes the task, unless it is the one that `current` wakes.
    pub(crate) fn wake_other(&self, who: Who, current: &Waker) {
        let waker = self.lock().slot(who).as_ref().filter(|waker| !waker.will_wake(current)).cloned();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes the connection's own future, or, where there is none, both halves.
    pub(crate) fn wake(&self) {
        let wakers = {
            let slots = self.lock();
            match &slots.driver {
                Some(driver) => [Some(driver.clone()), None],
                None => [slots.receiver.clone(), slots.sender.clone()],
            }
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Forgets a task that has gone.
    pub(crate) fn clear(&self, who: Who) {
        let old = self.lock().slot(who).take();
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    const fn slot(&mut self, who: Who) -> &mut Option<Waker> {
        match who {
            Who::Driver => &mut self.driver,
            Who::Receiver => &mut self.receiver,
            Who::Sender => &mut self.sender,
        }
    }
}

/// What the socket of a connection without its own future wakes: whoever waits on the connection then. It must
/// not keep the connection alive, since the socket keeps it.
pub(crate) struct Relay(pub(crate) Weak<Shared>);

impl Wake for Relay {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            shared.wakers.wake();
        }
    }
}
