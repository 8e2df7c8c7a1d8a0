//! QEMU's `virt`: how it starts and ends, its clock, its serial port, and its count of instructions.

use core::fmt::Write;
use core::pin::pin;
use core::ptr::{read_volatile, write_volatile};
use core::task::{Context, Poll, Waker};

const UART: *mut u8 = 0x1000_0000 as _;
const LINE_STATUS: *mut u8 = 0x1000_0005 as _;
const FINISHER: *mut u32 = 0x0010_0000 as _;
const MTIME: *const u32 = 0x0200_bff8 as _;

core::arch::global_asm!(".section .init", ".globl _start", "_start:", "la sp, _stack_top", "call main");

/// The serial port.
#[derive(Debug)]
pub struct Uart;

impl Uart {
    /// A byte that has arrived.
    pub fn receive() -> Option<u8> {
        // SAFETY: registers of the machine's 16550.
        unsafe { (read_volatile(LINE_STATUS) & 1 != 0).then(|| read_volatile(UART)) }
    }

    /// Sends a byte; QEMU takes it at once.
    pub fn send(byte: u8) {
        // SAFETY: the transmit register of the machine's 16550.
        unsafe { write_volatile(UART, byte) }
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(Self::send);
        Ok(())
    }
}

/// Ends QEMU with this exit status.
pub fn exit(status: u32) -> ! {
    let word = if status == 0 { 0x5555 } else { (status << 16) | 0x3333 };
    // SAFETY: the register of the machine's test finisher.
    unsafe { write_volatile(FINISHER, word) }
    loop {}
}

/// Milliseconds, of a clock that wraps round after seven minutes: the lower half of the machine's ticks of 100 ns.
pub fn millis() -> u64 {
    // SAFETY: the machine's clock.
    u64::from(unsafe { read_volatile(MTIME) } / 10_000)
}

/// Instructions retired so far; enough bits for seconds.
#[inline(always)]
pub fn retired() -> u32 {
    let count: u32;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("csrr {0}, minstret", out(reg) count) };
    count
}

/// Polls the future until it is ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// There is one hart, and no interrupt is ever taken: nothing has to be kept out.
struct OneHart;

critical_section::set_impl!(OneHart);

// SAFETY: nothing preempts the only hart, as interrupts are off from reset on and nobody turns them on.
unsafe impl critical_section::Impl for OneHart {
    unsafe fn acquire() {}

    unsafe fn release((): ()) {}
}
