//! What the attacks and the budgets share: a server on a thread whose memory is counted, and peers of hand-made bytes.

#![allow(dead_code, unreachable_pub)]

pub mod child;
pub mod memory;
pub mod peer;
pub mod site;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use peer::*;
pub use site::*;

/// A block of the server's pool, bytes: the figure of `wirelet::diagnostics::Usage`.
pub const BLOCK: usize = 68 * 1024;

/// What connections wait with before senders wait, bytes (`WebSocket::send` documents 64 KiB).
pub const HIGH_WATER: usize = 64 * 1024;

/// Blocks that are in use while one attacker and one well-behaved connection are served: each receives into one, sends
/// from one, and what it sends may refer to a third one.
pub const WORKING: usize = 6 * BLOCK;

/// What a connection costs besides blocks, bytes: 1.5 KiB while it is idle, and as much for its handshake with a head of
/// at most 8 KiB, which is held as received, as parsed and as answered.
pub const CONNECTION: usize = 1536 + 3 * 8192;

/// The attack is repeated by a thread of its own until 100 echoes have completed on `good`; the first of them begins
/// when the attack has begun, and the last one ends before the attack does.
pub fn echoes_during(good: &mut Peer, attack: impl FnMut() + Send) {
    let (stop, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut attack = attack;
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                begun.fetch_add(1, Ordering::Relaxed);
                attack();
            }
        });
        while begun.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let stopping = Stopping(&stop);
        good.echo_100();
        drop(stopping);
        if let Err(panic) = attacker.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Stops the attacker, also when the echoes fail.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for what must come, however long it takes; the hang guard is two minutes.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed().as_secs() < 120, "never came: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
