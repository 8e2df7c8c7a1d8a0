//! What the tasks of a connection share it with: the standard library's, or the model checker's twins of them.
//!
//! With `--cfg wirelet_model` each lock, each access to an atomic and each switch of tasks is a point at which shuttle may let
//! another task go on: `tests/model.rs`.

#[cfg(not(wirelet_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(wirelet_model))]
pub(crate) use std::thread_local;

#[cfg(wirelet_model)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
#[cfg(wirelet_model)]
pub(crate) use shuttle::thread_local;
