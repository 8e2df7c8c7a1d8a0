//! The machine's virtio slots, and its memory as their devices see it.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Pages for the queues of all devices.
const PAGES: usize = 16;
/// Address of the first slot.
const FIRST: usize = 0x1000_1000;
/// From one slot to the next.
const DISTANCE: usize = 0x1000;
const SLOTS: usize = 8;

/// A device of this kind and the number of its slot. To be called once for each kind.
pub(crate) fn find(kind: DeviceType) -> Option<(MmioTransport<'static>, usize)> {
    (0..SLOTS).find_map(|slot| {
        let header = NonNull::new(registers(slot) as *mut VirtIOHeader)?;
        // SAFETY: the registers of a virtio slot of the machine; only who looks for this kind uses them.
        let transport = unsafe { MmioTransport::new(header, DISTANCE) }.ok()?;
        if transport.device_type() == kind {
            return Some((transport, slot));
        }
        // Dropped, it would reset a device that another has started already.
        core::mem::forget(transport);
        None
    })
}

/// Where a slot's registers begin.
pub(crate) const fn registers(slot: usize) -> usize {
    FIRST + slot * DISTANCE
}

/// The number of a slot's interrupt.
pub(crate) const fn interrupt(slot: usize) -> usize {
    1 + slot
}

#[repr(C, align(4096))]
struct Dma(UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: there is one hart, and every page is given away once.
unsafe impl Sync for Dma {}

static DMA: Dma = Dma(UnsafeCell::new([0; PAGES * PAGE_SIZE]));
static DMA_USED: AtomicUsize = AtomicUsize::new(0);

/// Memory as the device sees it: as the hart does.
pub(crate) struct Machine;

// SAFETY: addresses are physical, memory is static, pages are aligned and never given twice.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let from = DMA_USED.load(Ordering::Relaxed);
        assert!(from + pages <= PAGES, "more queues than pages");
        DMA_USED.store(from + pages, Ordering::Relaxed);
        // SAFETY: inside the array.
        let pointer = unsafe { DMA.0.get().cast::<u8>().add(from * PAGE_SIZE) };
        (pointer as PhysAddr, NonNull::new(pointer).expect("a static is somewhere"))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as usize as *mut u8).expect("devices are not at zero")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as usize as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
