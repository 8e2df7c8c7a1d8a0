//! What waits until this thread holds no lock of a connection: payloads, streams and wakers belong to the application, which may
//! do anything when they are dropped or woken, also come back to the same connection.
//!
//! Invariant: whatever is dropped or woken where a lock may be held goes through here. Where none is held it happens at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use super::queue::Queued;
use super::send::Payload;
use crate::deflate::Prepared;
#[cfg(feature = "deflate")]
use crate::deflate::Right;
use crate::pool;
use crate::sync::MutexGuard;
use crate::transport::Transport;

/// What waits.
pub(crate) enum Thing {
    Payload(Bytes),
    Prepared(Arc<Prepared>),
    /// Payloads, and the memory of a queue.
    Segments(Box<pool::Segments>),
    Messages(VecDeque<Queued>),
    Transport(Transport),
    /// It is dropped.
    Waker(Waker),
    /// It is woken.
    Wake(Waker),
    /// All who wait for it are woken.
    Room(Arc<Notify>),
    /// Whoever is next is woken.
    #[cfg(feature = "deflate")]
    Right(Right),
}

#[derive(Default)]
struct Later {
    /// Locks that this thread holds.
    locks: Cell<usize>,
    things: RefCell<Vec<Thing>>,
}

crate::sync::thread_local! {
    static LATER: Later = Later::default();
}

/// A lock that is held. What has come up meanwhile happens when it is free again, with the last one of this thread.
pub(super) struct Locked<'a, T> {
    guard: MutexGuard<'a, T>,
    /// Behind the guard, so that the lock is free when this is dropped.
    _counted: Counted,
}

/// One of the locks that this thread holds.
struct Counted;

/// Does what is to be done with `thing` when this thread holds no lock.
#[inline]
pub(crate) fn dispose(thing: impl Into<Option<Thing>>) {
    let mut thing = thing.into();
    if thing.is_none() {
        return;
    }
    let _ = LATER.try_with(|later| {
        if later.locks.get() > 0 {
            later.things.borrow_mut().extend(thing.take());
        }
    });
    // Without a lock, and while the thread ends.
    thing.into_iter().for_each(Thing::happen);
}

/// Wakes when this thread holds no lock.
pub(super) fn wake(waker: Waker) {
    dispose(Thing::Wake(waker));
}

impl Thing {
    fn happen(self) {
        match self {
            Self::Payload(payload) => drop(payload),
            Self::Prepared(message) => drop(message),
            Self::Segments(segments) => pool::put_queue(segments),
            Self::Messages(messages) => drop(messages),
            Self::Transport(transport) => drop(transport),
            Self::Waker(waker) => drop(waker),
            Self::Wake(waker) => waker.wake(),
            Self::Room(room) => room.notify_waiters(),
            #[cfg(feature = "deflate")]
            Self::Right(right) => drop(right),
        }
    }
}

impl<'a, T> Locked<'a, T> {
    pub(super) fn new(guard: MutexGuard<'a, T>) -> Self {
        let _ = LATER.try_with(|later| later.locks.set(later.locks.get() + 1));
        Self { guard, _counted: Counted }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let things = LATER.try_with(|later| {
            later.locks.set(later.locks.get().saturating_sub(1));
            // Nothing of the application's happens while the list is looked at: it may come back here.
            if later.locks.get() > 0 { Vec::new() } else { later.things.take() }
        });
        let Ok(mut things) = things else { return };
        if things.is_empty() {
            return;
        }
        things.drain(..).for_each(Thing::happen);
        // Why: the next one finds the memory.
        let _ = LATER.try_with(|later| {
            let mut left = later.things.borrow_mut();
            if left.capacity() == 0 {
                *left = things;
            }
        });
    }
}

impl From<Payload<'_>> for Option<Thing> {
    fn from(payload: Payload<'_>) -> Self {
        match payload {
            Payload::Owned(bytes) => Some(Thing::Payload(bytes)),
            Payload::Borrowed(_) => None,
            Payload::Prepared(message) => Some(Thing::Prepared(message)),
        }
    }
}
