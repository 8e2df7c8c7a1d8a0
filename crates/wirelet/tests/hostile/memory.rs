//! A global allocator that counts what the threads of a zone allocate, apart from all other threads.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// What some threads have allocated, bytes as they were asked for.
#[derive(Debug, Default)]
pub struct Zone {
    live: AtomicIsize,
    peak: AtomicIsize,
    largest: AtomicUsize,
    count: AtomicUsize,
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ZONE: Cell<Option<&'static Zone>> = const { Cell::new(None) };
}

impl Zone {
    /// A zone without a thread. It is never freed: threads may end late.
    pub fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// From now on the current thread counts here.
    pub fn enter(&'static self) {
        ZONE.set(Some(self));
    }

    /// Allocated and not freed.
    pub fn live(&self) -> isize {
        self.live.load(Relaxed)
    }

    /// The most that was live at once since the last [`mark`](Self::mark).
    pub fn peak(&self) -> isize {
        self.peak.load(Relaxed)
    }

    /// The largest single allocation since the last [`mark`](Self::mark).
    pub fn largest(&self) -> usize {
        self.largest.load(Relaxed)
    }

    /// Allocations since the last [`mark`](Self::mark).
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Begins to measure; answers what is live.
    pub fn mark(&self) -> isize {
        let live = self.live();
        self.peak.store(live, Relaxed);
        self.largest.store(0, Relaxed);
        self.count.store(0, Relaxed);
        live
    }

    fn allocated(&self, size: usize) {
        let live = self.live.fetch_add(size as isize, Relaxed) + size as isize;
        self.peak.fetch_max(live, Relaxed);
        self.largest.fetch_max(size, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    fn freed(&self, size: usize) {
        self.live.fetch_sub(size as isize, Relaxed);
    }
}

fn zone() -> Option<&'static Zone> {
    ZONE.try_with(Cell::get).ok().flatten()
}

// SAFETY: everything is the system allocator's; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(zone) = zone() {
            zone.allocated(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(zone) = zone() {
            zone.allocated(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(zone) = zone() {
            zone.freed(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(zone) = zone() {
            // Both may exist for a moment.
            zone.allocated(size);
            zone.freed(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
