//! The tasks of a server: they are counted, waited for, and aborted together.
//!
//! Why no `JoinSet`: it allocates for each task, and wakes whoever accepts for each that has ended.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Tasks that end, at the latest, when this is dropped.
#[derive(Default)]
pub(crate) struct Tasks(Arc<Set>);

/// The end of tasks.
pub(crate) struct Bound<'t>(&'t Tasks);

#[derive(Default)]
struct Set {
    slots: Mutex<Slots>,
    /// Told when the last task has ended.
    empty: Notify,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// Invariant: `handle` is that of the task which has this generation, and has not ended.
#[derive(Default)]
struct Slot {
    handle: Option<AbortHandle>,
    generation: u32,
}

/// A task's place, which it has until it ends.
pub(crate) struct Place {
    set: Arc<Set>,
    slot: u32,
}

impl Tasks {
    /// Spawns what `task` answers, which keeps its place until it is dropped.
    pub(crate) fn spawn<F>(&self, task: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (slot, generation) = self.0.lock().take();
        // No lock is held: a runtime that ends drops the task at once.
        let task = tokio::spawn(task(Place { set: Arc::clone(&self.0), slot }));
        let mut slots = self.0.lock();
        let slot = &mut slots.slots[slot as usize];
        if slot.generation == generation {
            slot.handle = Some(task.abort_handle());
        }
    }

    /// What aborts all tasks when it is dropped. Tasks that hold these tasks themselves would keep them.
    pub(crate) const fn bound(&self) -> Bound<'_> {
        Bound(self)
    }

    /// Ready when there is no task.
    pub(crate) async fn ended(&self) {
        loop {
            let mut empty = pin!(self.0.empty.notified());
            // Whoever is told from now on is told here.
            empty.as_mut().enable();
            if self.0.lock().is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Aborts all tasks.
    pub(crate) fn abort_all(&self) {
        // Dropping a task takes the lock.
        let handles: Vec<_> = self.0.lock().slots.iter_mut().filter_map(|slot| slot.handle.take()).collect();
        handles.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        self.0.abort_all();
    }
}

impl Set {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// A free slot, and its generation.
    fn take(&mut self) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        (slot, self.slots[slot as usize].generation)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.set.lock();
        let slot = &mut slots.slots[self.slot as usize];
        let handle = slot.handle.take();
        slot.generation = slot.generation.wrapping_add(1);
        slots.free.push(self.slot);
        let empty = slots.is_empty();
        drop(slots);
        // What it may have been the last to hold is dropped without the lock.
        drop(handle);
        if empty {
            self.set.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn until(place: Place, future: impl Future<Output = ()>) {
        future.await;
        drop(place);
    }

    #[tokio::test]
    async fn tasks_are_waited_for_and_their_places_are_used_again() {
        let tasks = Tasks::default();
        tasks.ended().await;
        for _ in 0..3 {
            for _ in 0..5 {
                tasks.spawn(|place| until(place, tokio::task::yield_now()));
            }
            tasks.ended().await;
        }
        assert_eq!(tasks.0.lock().slots.len(), 5);
    }

    #[tokio::test]
    async fn tasks_that_do_not_end_are_aborted() {
        let tasks = Tasks::default();
        let set = Arc::clone(&tasks.0);
        tasks.spawn(|place| until(place, pending()));
        tasks.spawn(|place| until(place, pending()));
        tasks.abort_all();
        tasks.ended().await;
        tasks.spawn(|place| until(place, pending()));
        drop(tasks);
        Tasks(set).ended().await;
    }

    /// A task that had ended before its handle was kept would have left it to the next one in its place.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_that_ends_at_once_leaves_no_handle() {
        let tasks = Tasks::default();
        for _ in 0..1000 {
            tasks.spawn(|place| until(place, std::future::ready(())));
        }
        tasks.ended().await;
        assert!(tasks.0.lock().slots.iter().all(|slot| slot.handle.is_none()));
    }
}
