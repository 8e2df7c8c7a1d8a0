//! The driver of the virtio network card for embassy-net.

use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::StaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::virtio::{self, Machine};

/// Descriptors of a queue.
const QUEUE: usize = 16;
/// Buffers each way.
const BUFFERS: usize = 8;
/// A frame and the device's header.
const FRAME: usize = 1514 + 16;
/// Where the card says whether its cable is plugged in: bit 0.
const LINK: usize = 0x100 + 6;

type Card = VirtIONetRaw<Machine, MmioTransport<'static>, QUEUE>;

/// The network card.
pub(crate) struct Device(RefCell<Inner>);

struct Inner {
    card: Card,
    rx: &'static mut [[u8; FRAME]; BUFFERS],
    tx: &'static mut [[u8; FRAME]; BUFFERS],
    /// The buffer behind each token of the queue.
    rx_of: [u8; QUEUE],
    tx_of: [u8; QUEUE],
    tx_len: [u16; BUFFERS],
    /// Free transmit buffers, a bit each.
    tx_free: u16,
    header: usize,
}

static WAKER: AtomicWaker = AtomicWaker::new();
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// Something has arrived, or has been sent, or the cable was pulled or plugged in.
pub(crate) fn on_interrupt() {
    let base = REGISTERS.load(Ordering::Relaxed);
    // SAFETY: the interrupt status and acknowledge registers of the card that `init` has found.
    unsafe {
        let status = core::ptr::read_volatile((base + 0x60) as *const u32);
        core::ptr::write_volatile((base + 0x64) as *mut u32, status);
    }
    WAKER.wake();
}

/// Looks for a card; to be called once.
pub(crate) fn init() -> Option<Device> {
    let (transport, slot) = virtio::find(DeviceType::Network)?;
    static RX: StaticCell<[[u8; FRAME]; BUFFERS]> = StaticCell::new();
    static TX: StaticCell<[[u8; FRAME]; BUFFERS]> = StaticCell::new();
    let mut card = Card::new(transport).ok()?;
    let rx = RX.init([[0; FRAME]; BUFFERS]);
    let tx = TX.init([[0; FRAME]; BUFFERS]);
    let mut rx_of = [0; QUEUE];
    for (at, buffer) in rx.iter_mut().enumerate() {
        // SAFETY: the buffer is static and is not touched until `receive_complete`.
        let token = unsafe { card.receive_begin(buffer) }.ok()?;
        rx_of[usize::from(token)] = at as u8;
    }
    let header = card.fill_buffer_header(&mut tx[0]).ok()?;
    REGISTERS.store(virtio::registers(slot), Ordering::Relaxed);
    crate::machine::enable_interrupt(virtio::interrupt(slot));
    card.enable_interrupts();
    let inner = Inner {
        card,
        rx,
        tx,
        rx_of,
        tx_of: [0; QUEUE],
        tx_len: [0; BUFFERS],
        tx_free: (1 << BUFFERS) - 1,
        header,
    };
    Some(Device(RefCell::new(inner)))
}

impl Inner {
    /// Takes back the buffers that have been sent.
    fn reap(&mut self) {
        while let Some(token) = self.card.poll_transmit() {
            let at = usize::from(self.tx_of[usize::from(token)]);
            let len = usize::from(self.tx_len[at]);
            // SAFETY: the buffer that was given with this token, at the same length.
            let _ = unsafe { self.card.transmit_complete(token, &self.tx[at][..len]) };
            self.tx_free |= 1 << at;
        }
    }
}

/// A frame that has arrived.
pub(crate) struct Received<'d>(&'d RefCell<Inner>, u16);

/// Leave to send a frame.
pub(crate) struct Slot<'d>(&'d RefCell<Inner>);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        // The buffer leaves the queue for as long as `take` has it, which may send with the other token meanwhile.
        let (buffer, header, len, at) = {
            let inner = &mut *self.0.borrow_mut();
            let at = usize::from(inner.rx_of[usize::from(self.1)]);
            // SAFETY: the buffer that was given with this token.
            let (header, len) =
                unsafe { inner.card.receive_complete(self.1, &mut inner.rx[at]) }.unwrap_or((0, 0));
            (inner.rx[at].as_mut_ptr(), header, len, at)
        };
        // SAFETY: `header` and `len` lie in the buffer, which is static and belongs to nobody until `receive_begin`.
        let result = take(unsafe { core::slice::from_raw_parts_mut(buffer.add(header), len) });
        let inner = &mut *self.0.borrow_mut();
        // SAFETY: as in `start`.
        if let Ok(token) = unsafe { inner.card.receive_begin(&mut inner.rx[at]) } {
            inner.rx_of[usize::from(token)] = at as u8;
        }
        result
    }
}

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let inner = &mut *self.0.borrow_mut();
        let at = inner.tx_free.trailing_zeros() as usize;
        inner.tx_free &= !(1 << at);
        let _ = inner.card.fill_buffer_header(&mut inner.tx[at]);
        let end = inner.header + len;
        let result = fill(&mut inner.tx[at][inner.header..end]);
        inner.tx_len[at] = end as u16;
        // SAFETY: the buffer is static and is not touched until `transmit_complete`.
        match unsafe { inner.card.transmit_begin(&inner.tx[at][..end]) } {
            Ok(token) => inner.tx_of[usize::from(token)] = at as u8,
            Err(_) => inner.tx_free |= 1 << at,
        }
        result
    }
}

impl Driver for Device {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Slot<'_>)> {
        WAKER.register(cx.waker());
        let inner = self.0.get_mut();
        inner.reap();
        // One for the answer, one for whoever sends while it is made.
        if inner.tx_free.count_ones() < 2 {
            return None;
        }
        let token = inner.card.poll_receive()?;
        Some((Received(&self.0, token), Slot(&self.0)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Slot<'_>> {
        WAKER.register(cx.waker());
        let inner = self.0.get_mut();
        inner.reap();
        (inner.tx_free != 0).then_some(Slot(&self.0))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        WAKER.register(cx.waker());
        let base = REGISTERS.load(Ordering::Relaxed);
        // SAFETY: a field of the card's configuration that changes at any time.
        let status = unsafe { core::ptr::read_volatile((base + LINK) as *const u16) };
        if status & 1 == 0 { LinkState::Down } else { LinkState::Up }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities.max_burst_size = Some(4);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.0.borrow().card.mac_address())
    }
}
