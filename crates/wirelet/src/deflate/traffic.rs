//! What compression has saved on a connection, counted by its owner and read by anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wirelet_proto::deflate::Params;

use super::config::{CompressionInfo, Volume};

/// What was agreed on, and the messages of both directions.
#[derive(Debug)]
pub(crate) struct Traffic {
    params: Params,
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

/// Messages before and after compression. One thread at a time adds to it.
#[derive(Debug, Default)]
pub(super) struct Counter {
    plain: AtomicU64,
    wire: AtomicU64,
}

impl Traffic {
    pub(super) fn new(params: Params) -> Arc<Self> {
        Arc::new(Self { params, sent: Counter::default(), received: Counter::default() })
    }

    pub(crate) fn info(&self) -> CompressionInfo {
        CompressionInfo { params: self.params, sent: self.sent.volume(), received: self.received.volume() }
    }
}

impl Counter {
    /// Why no addition in one step: only the owner of the connection adds.
    pub(super) fn add(&self, plain: usize, wire: usize) {
        self.plain.store(self.plain.load(Ordering::Relaxed).wrapping_add(plain as u64), Ordering::Relaxed);
        self.wire.store(self.wire.load(Ordering::Relaxed).wrapping_add(wire as u64), Ordering::Relaxed);
    }

    fn volume(&self) -> Volume {
        Volume { plain: self.plain.load(Ordering::Relaxed), wire: self.wire.load(Ordering::Relaxed) }
    }
}
