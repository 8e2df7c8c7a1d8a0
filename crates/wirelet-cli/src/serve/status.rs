//! What the server has done so far, and `/status`, which tells it as JSON.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use wirelet::proto::deflate::Params;
use wirelet::{CompressionInfo, Volume};

/// Counts since the start. Plain counters: nothing is decided by them.
#[derive(Debug)]
pub(crate) struct Counters {
    start: Instant,
    open: AtomicU64,
    accepted: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    compression: Mutex<Compressed>,
}

/// What connections that compress have exchanged.
#[derive(Debug, Default)]
struct Compressed {
    /// How many connections have agreed on what, in the header's notation; there are 256 possibilities.
    agreed: BTreeMap<String, u64>,
    received: Volume,
    sent: Volume,
}

/// One open connection; dropping it counts the connection as closed.
pub(crate) struct OpenConnection<'a> {
    counters: &'a Counters,
    /// 1 for the first connection since the start, and so on.
    pub(crate) number: u64,
}

impl Counters {
    /// All zero, from now on.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            open: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            compression: Mutex::default(),
        }
    }

    /// A WebSocket connection was accepted.
    pub(crate) fn open(&self) -> OpenConnection<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        OpenConnection { counters: self, number }
    }

    /// A message with so many bytes of payload came in.
    pub(crate) fn received(&self, bytes: usize) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A message with so many bytes of payload was sent.
    pub(crate) fn sent(&self, bytes: usize) {
        self.messages_out.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A connection has agreed on compression.
    pub(crate) fn agreed(&self, params: Params) {
        let mut compressed = self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        *compressed.agreed.entry(params.to_string()).or_default() += 1;
    }

    /// A connection has come from `before` to `now`.
    pub(crate) fn compressed(&self, before: &CompressionInfo, now: &CompressionInfo) {
        let mut compressed = self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut compressed.received, before.received, now.received);
        add(&mut compressed.sent, before.sent, now.sent);
    }

    /// The document behind `/status`.
    pub(crate) fn to_json(&self) -> Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "name": env!("CARGO_PKG_NAME").trim_end_matches("-cli"),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_ms": u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            "connections": read(&self.open),
            "accepted": read(&self.accepted),
            "messages_in": read(&self.messages_in),
            "messages_out": read(&self.messages_out),
            "bytes_in": read(&self.bytes_in),
            "bytes_out": read(&self.bytes_out),
            "memory_bytes": resident_memory(),
            "compression": self.compression.lock().unwrap_or_else(PoisonError::into_inner).to_json(),
        })
    }
}

impl Compressed {
    fn to_json(&self) -> Value {
        let volume = |volume: Volume| json!({ "plain_bytes": volume.plain, "wire_bytes": volume.wire, "ratio": volume.ratio() });
        json!({ "agreed": self.agreed, "received": volume(self.received), "sent": volume(self.sent) })
    }
}

fn add(sum: &mut Volume, before: Volume, now: Volume) {
    sum.plain = sum.plain.saturating_add(now.plain.saturating_sub(before.plain));
    sum.wire = sum.wire.saturating_add(now.wire.saturating_sub(before.wire));
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory of this process that is in RAM, bytes; `None` where it cannot be read cheaply.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_what_happened() {
        let counters = Counters::new();
        let first = counters.open();
        let second = counters.open();
        assert_eq!((first.number, second.number), (1, 2));
        counters.received(5);
        counters.received(6);
        counters.sent(5);
        drop(first);
        let status = counters.to_json();
        for (name, value) in [
            ("connections", 1),
            ("accepted", 2),
            ("messages_in", 2),
            ("messages_out", 1),
            ("bytes_in", 11),
            ("bytes_out", 5),
        ] {
            assert_eq!(status[name], value, "{name}");
        }
        assert_eq!(status["name"], "wirelet");
        assert!(status["uptime_ms"].is_u64());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_known_on_linux() {
        assert!(resident_memory().is_some_and(|bytes| bytes > 100_000));
    }
}
