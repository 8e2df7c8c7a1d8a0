//! What the tests share.

use std::format;
use std::string::String;
use std::sync::Mutex;
use std::vec::Vec;

use crate::Board;

/// A board that keeps its log.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Board for Log {
    fn name(&self) -> &'static str {
        "test"
    }

    fn log(&self, line: core::fmt::Arguments<'_>) {
        self.0.lock().unwrap().push(format!("{line}"));
    }

    fn uptime(&self) -> u64 {
        0
    }

    fn free_memory(&self) -> Option<usize> {
        None
    }
}
