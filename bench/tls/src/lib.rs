//! A client that echoes, chunk by chunk, and what it took: heap, stack, instructions.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt::Write as _;
use core::pin::pin;
use core::ptr::{read_volatile, write_volatile};
use core::task::{Context, Poll, Waker};

use critical_section::Mutex;
use embedded_alloc::LlffHeap;
use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Options};
use wirelet_embedded::net::Connect;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{Config, Delivery, Event, MaskKeys};
use wirelet_embedded::{Handler, Peer};
use wirelet_footprint::machine::{Uart, exit, retired};
use wirelet_footprint::serial::Ticks;

/// More than is ever needed: what was needed is counted.
const HEAP: usize = 256 << 10;
const STACK: usize = 256 << 10;
const PAINT: u8 = 0xA5;
/// A poll that takes more than this has done something; others have only looked whether there is something to do.
const WORK: u32 = 50_000;

/// A heap that knows the most that was in use.
struct Counted {
    heap: LlffHeap,
    peak: Mutex<Cell<usize>>,
}

#[global_allocator]
static ALLOCATOR: Counted = Counted { heap: LlffHeap::empty(), peak: Mutex::new(Cell::new(0)) };

// SAFETY: all is passed on to a heap.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the heap's.
        let block = unsafe { self.heap.alloc(layout) };
        critical_section::with(|cs| {
            let peak = self.peak.borrow(cs);
            peak.set(peak.get().max(self.heap.used()));
        });
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the heap's.
        unsafe { self.heap.dealloc(block, layout) }
    }
}

/// Makes the heap.
pub fn start_heap() {
    static mut MEMORY: [u8; HEAP] = [0; HEAP];
    // SAFETY: called once, before anything is allocated.
    unsafe { ALLOCATOR.heap.init((&raw mut MEMORY) as usize, HEAP) }
}

/// Answers with what it is sent.
pub struct Answers;

impl Handler for Answers {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Chunk(chunk) = event {
            let _ = peer.send_fragment(chunk.kind, chunk.data, chunk.last);
        }
    }
}

impl ClientHandler for Answers {}

/// A chip has a hardware source here; the emulated machine has none worth the name.
pub struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        retired().to_le_bytes()
    }
}

/// Connects once, talks until the server closes, and prints what it took.
pub fn run(uri: &str, network: &mut impl Connect) -> ! {
    let Ok(uri) = Uri::parse(uri) else { exit(1) };
    let config = Config { delivery: Delivery::Chunks, ..Config::new() };
    let options =
        Options { config, connect_after_close: false, connect_after_loss: false, ..Options::new(uri) };
    let mut resources = ClientResources::<2048, 2304, 512>::new();
    let (mut client, _) = Client::new(&mut resources, &options);
    let before = ALLOCATOR.heap.used();
    let bottom = paint();
    let (longest, work) = poll(client.run(network, &Ticks, &mut Keys, &Answers));
    let stack = deepest(bottom);
    let peak = critical_section::with(|cs| ALLOCATOR.peak.borrow(cs).get());
    let _ = writeln!(
        Uart,
        "\nheap {peak}, of it before connecting {before}\nstack {stack}\nlongest {longest}\nwork {work}\nend"
    );
    exit(0)
}

/// Polls to the end; answers the instructions of the longest poll and of all that did something.
fn poll(future: impl Future) -> (u32, u64) {
    let mut future = pin!(future);
    let (mut longest, mut work) = (0, 0);
    loop {
        let before = retired();
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let took = retired().wrapping_sub(before);
        longest = took.max(longest);
        work += if took > WORK { u64::from(took) } else { 0 };
        if let Poll::Ready(_) = polled {
            return (longest, work);
        }
    }
}

/// Marks the stack below the caller's frame; answers where the marks end.
#[inline(never)]
fn paint() -> usize {
    let here = 0_u8;
    let top = (&raw const here) as usize - 256;
    for at in top - STACK..top {
        // SAFETY: memory below the stack, which nobody uses: the image and its heap are at the other end.
        unsafe { write_volatile(at as *mut u8, PAINT) }
    }
    top
}

/// How many bytes below `top` have been used.
#[inline(never)]
fn deepest(top: usize) -> usize {
    // SAFETY: as above.
    let is_marked = |at: &usize| unsafe { read_volatile(*at as *const u8) } == PAINT;
    top - (top - STACK..top).find(|at| !is_marked(at)).unwrap_or(top)
}
