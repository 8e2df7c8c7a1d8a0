//! What the tasks of a connection share it with: the standard library's, or the model checker's twins of them.
//!
//! With `--cfg wirelet_model` each lock, each access to an atomic and each switch of tasks is a point at which shuttle may let
//! another task go on: `tests/model.rs`.

#[cfg(not(wirelet_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(wirelet_model))]
pub(crate) use std::thread_local;

#[cfg(wirelet_model)]
pub(crate) use model::Mutex;
#[cfg(wirelet_model)]
pub(crate) use shuttle::sync::{MutexGuard, atomic};
#[cfg(wirelet_model)]
pub(crate) use shuttle::thread_local;

#[cfg(wirelet_model)]
mod model {
    use std::sync::LockResult;

    use shuttle::sync::MutexGuard;
    use shuttle::sync::atomic::{AtomicBool, Ordering};

    /// A lock before which another task may go on, also when it is free: shuttle's own is such a point only when it is not.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T> {
        point: AtomicBool,
        inner: shuttle::sync::Mutex<T>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { point: AtomicBool::default(), inner: shuttle::sync::Mutex::new(value) }
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            self.point.load(Ordering::SeqCst);
            self.inner.lock()
        }
    }
}
