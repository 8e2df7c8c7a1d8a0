//! The connection whose handler is being polled on this thread: its socket needs no lock.
//!
//! Invariant: an engine is in one place at a time. Its owner moves it here while it polls the handler, and takes it back
//! afterwards, also after a panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use super::Shared;
use super::engine::Engine;

crate::sync::thread_local! {
    static CURRENT: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// An engine, and the address of the [`Shared`] that it belongs to.
struct Lent {
    of: usize,
    engine: Box<Engine>,
}

/// Polls a handler with `engine` at hand. A panic is reported by the panic hook and answered as `None`.
///
/// The engine is lost, and with it the connection, only while the thread ends.
pub(super) fn lend<T>(
    shared: &Shared,
    engine: Box<Engine>,
    poll: impl FnOnce() -> Poll<T>,
) -> (Option<Box<Engine>>, Option<Poll<T>>) {
    let lent = Lent { of: shared.address(), engine };
    let Ok(outer) = CURRENT.try_with(|current| current.replace(Some(lent))) else { return (None, None) };
    let result = catch_unwind(AssertUnwindSafe(poll)).ok();
    let lent = CURRENT.try_with(|current| current.replace(outer)).ok().flatten();
    let engine = lent.map(|mut lent| {
        lent.engine.was_lent();
        lent.engine
    });
    (engine, result)
}

/// Calls `act` with the engine of `shared`, if its handler is being polled on this thread.
#[inline]
pub(super) fn with<T>(shared: &Shared, act: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    CURRENT
        .try_with(|current| {
            let mut borrowed = Borrowed { current, lent: current.take() };
            let lent = borrowed.lent.as_mut().filter(|lent| lent.of == shared.address())?;
            Some(act(&mut lent.engine))
        })
        .ok()
        .flatten()
}

/// Puts the engine back, also after a panic.
struct Borrowed<'a> {
    current: &'a Cell<Option<Lent>>,
    lent: Option<Lent>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // Nothing is there, so that nothing has to be dropped; the compiler can't know.
        std::mem::forget(self.current.replace(self.lent.take()));
    }
}
