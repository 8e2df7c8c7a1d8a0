//! The clock of a case, its steps, and whether anything has moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by everything that belongs to one case.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<State>);

#[derive(Debug, Default)]
struct State {
    now: AtomicU64,
    step: AtomicU64,
    moved: AtomicU64,
    /// Calls of the transport in this step that have moved nothing, in a row.
    idle_calls: AtomicU64,
}

/// Calls of the transport in one step that may move nothing, in a row: more are an endless loop.
const IDLE_CALLS: u64 = 10_000;

impl Pulse {
    /// Milliseconds since the case began.
    pub fn now(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    /// How many times a task has been polled.
    pub fn step(&self) -> u64 {
        self.0.step.load(Ordering::Relaxed)
    }

    /// How many things have happened: bytes that moved, operations that ended.
    pub fn moved(&self) -> u64 {
        self.0.moved.load(Ordering::Relaxed)
    }

    /// It is `now`, and the next step begins.
    pub(super) fn begin_step(&self, now: u64) {
        self.0.now.store(now, Ordering::Relaxed);
        self.0.step.fetch_add(1, Ordering::Relaxed);
        self.0.idle_calls.store(0, Ordering::Relaxed);
    }

    /// Whether the task that is polled calls the transport without end.
    pub(super) fn is_endless(&self) -> bool {
        self.0.idle_calls.load(Ordering::Relaxed) > IDLE_CALLS
    }

    /// The transport is called. An endless loop is left by a panic, which the executor tells.
    pub(super) fn is_called(&self) {
        self.0.idle_calls.fetch_add(1, Ordering::Relaxed);
        if self.is_endless() {
            std::panic::resume_unwind(Box::new("it calls the transport without end"));
        }
    }

    /// Something has happened: whoever wakes tasks for it does so for a reason.
    pub fn moves(&self) {
        self.0.moved.fetch_add(1, Ordering::Relaxed);
        if !self.is_endless() {
            self.0.idle_calls.store(0, Ordering::Relaxed);
        }
    }
}
