//! Class B: memory grows with what was received, never with what was announced. Counted by the allocator.

#![allow(unsafe_code)] // an allocator that counts can't be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use testkit::random::Keys;
use testkit::wire::{Frame, ROLES, peer};
use wirelet_proto::{
    Config, Connection, Delivery, Growable, Instant, MessageKind, RecvBuffer, Role, Spare, Status, Storage,
};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator unchanged; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        LIVE.set(LIVE.get() + layout.size());
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Instant = Instant::from_millis(0);

/// A driver that allocates nothing itself.
struct Driver<'c> {
    connection: Connection<&'c Config>,
    rx: RecvBuffer<Growable>,
    keys: Keys,
}

impl<'c> Driver<'c> {
    fn new(role: Role, config: &'c Config) -> Self {
        let max = usize::try_from(config.limits.message).unwrap_or(usize::MAX);
        let rx = RecvBuffer::new(Growable::new(max));
        Self { connection: Connection::new(role, config, NOW), rx, keys: Keys::new(1) }
    }

    /// Receives all of `wire`; answers the last status, `None` after a failure.
    fn receive(&mut self, mut wire: &[u8]) -> Option<Status> {
        loop {
            let status = self.connection.advance(&mut self.rx, &mut self.keys, NOW).ok()?;
            self.connection.transmitted(usize::MAX);
            match status {
                Status::NeedInput if wire.is_empty() => return Some(status),
                Status::NeedInput => {
                    let spare = self.rx.spare_mut();
                    let n = spare.len().min(wire.len());
                    spare[..n].copy_from_slice(&wire[..n]);
                    self.rx.commit(n);
                    wire = &wire[n..];
                }
                Status::Closed => return Some(status),
                _ => {}
            }
        }
    }
}

fn configs() -> [Config; 2] {
    [Config::new(), Config { delivery: Delivery::Chunks, ..Config::new() }]
}

#[test]
fn an_announcement_allocates_nothing() {
    for role in ROLES {
        for config in configs() {
            for len in [u64::MAX >> 1, 1 << 32, 1 << 31, config.limits.message + 1, config.limits.message] {
                let header = Frame::binary([]).announcing(len).from(peer(role)).header();
                let before = ALLOCATED.get();
                let mut driver = Driver::new(role, &config);
                let status = driver.receive(&header);
                assert_eq!(status.is_none(), len > config.limits.message);
                assert!(ALLOCATED.get() - before <= 512, "{len}: {}", ALLOCATED.get() - before);
            }
        }
    }
}

#[test]
fn memory_grows_with_what_was_received() {
    for role in ROLES {
        let config = Config::new();
        let mut driver = Driver::new(role, &config);
        driver.receive(&Frame::binary([]).announcing(1 << 20).from(peer(role)).header());
        let mut received = 0;
        while received < 1 << 20 {
            driver.receive(&[0; 1000][..1000.min((1 << 20) - received)]);
            received = (received + 1000).min(1 << 20);
            let bound = (2 * received + 512).min((1 << 20) + 139);
            assert!(
                driver.rx.storage().capacity() <= bound,
                "{received}: {}",
                driver.rx.storage().capacity()
            );
        }
        assert_eq!(driver.receive(&[]), Some(Status::NeedInput));
        assert!(driver.rx.storage().capacity() <= 512, "given back after the message");
    }
}

#[test]
fn floods_of_small_things_take_constant_memory() {
    for role in ROLES {
        for config in configs() {
            for flood in [
                Frame::continuation([]).fragment().from(peer(role)).bytes(),
                Frame::ping([1; 125]).from(peer(role)).bytes(),
                Frame::pong([]).from(peer(role)).bytes(),
            ] {
                let mut driver = Driver::new(role, &config);
                driver.receive(&Frame::text("x").fragment().from(peer(role)).bytes());
                let before = LIVE.get();
                PEAK.set(before);
                for _ in 0..100_000 {
                    driver.receive(&flood);
                }
                assert!(PEAK.get() - before <= 1024, "{}", PEAK.get() - before);
            }
        }
    }
}

#[test]
fn an_echo_of_small_messages_allocates_nothing_in_steady_state() {
    for role in ROLES {
        let config = Config::new();
        let mut driver = Driver::new(role, &config);
        let wire = Frame::text([b'e'; 400]).from(peer(role)).bytes();
        driver.receive(&wire);
        let before = ALLOCATED.get();
        let mut out = [0; 600];
        for _ in 0..10_000 {
            driver.receive(&wire);
            let head = driver.connection.begin_frame(MessageKind::Text, 400, true, &mut driver.keys).unwrap();
            out[..head.len()].copy_from_slice(&head);
            driver.connection.copy_masked(&[b'e'; 400], &mut out[head.len()..]);
        }
        assert_eq!(ALLOCATED.get(), before);
    }
}

#[test]
fn a_storage_grows_to_its_maximum_and_not_beyond() {
    let mut storage = Growable::new(10_000);
    while storage.make_room(usize::MAX) {
        let spare = storage.spare_mut().len();
        storage.commit(spare);
    }
    assert_eq!(storage.filled().len(), 10_139);
    assert_eq!(storage.capacity(), 10_139);
}
