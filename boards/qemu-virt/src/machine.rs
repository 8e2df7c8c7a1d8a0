//! The machine: serial port, clock, interrupts, and the loop that sleeps.
//!
//! No trap is ever taken: interrupts stay masked, `wfi` sleeps until one is pending, and the loop looks which.

use core::cell::RefCell;
use core::fmt::Write;
use core::future::poll_fn;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};

use critical_section::Mutex;
use embassy_sync::waitqueue::AtomicWaker;
use embassy_time_queue_utils::Queue;
use wirelet_app::line::Line;
use wirelet_app::panics;

const UART: *mut u8 = 0x1000_0000 as _;
const UART_INTERRUPT: usize = 10;
const FINISHER: *mut u32 = 0x0010_0000 as _;
const MTIMECMP: *mut u32 = 0x0200_4000 as _;
const MTIME: *const u32 = 0x0200_bff8 as _;
const PLIC: usize = 0x0c00_0000;
/// The bits of `mie` and `mip`.
const TIMER: usize = 1 << 7;
const EXTERNAL: usize = 1 << 11;

/// The serial port.
pub(crate) struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the transmit register of the machine's 16550, which QEMU empties at once.
            unsafe { write_volatile(UART, byte) }
        }
        Ok(())
    }
}

macro_rules! println {
    ($($arguments:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::machine::Uart, $($arguments)*);
    }};
}
pub(crate) use println;

static TYPED: AtomicWaker = AtomicWaker::new();

/// The next line that somebody types; one that is longer than 64 bytes loses its end. For one task.
pub(crate) async fn line() -> Line<64> {
    enable_interrupt(UART_INTERRUPT);
    // SAFETY: the interrupt enable register of the machine's 16550: what arrives.
    unsafe { write_volatile(UART.add(1), 1) };
    let mut line = Line::new();
    poll_fn(|cx| {
        TYPED.register(cx.waker());
        while let Some(byte) = typed() {
            match char::from(byte) {
                '\r' | '\n' => return Poll::Ready(()),
                letter => drop(line.write_char(letter)),
            }
        }
        Poll::Pending
    })
    .await;
    line
}

fn typed() -> Option<u8> {
    // SAFETY: the line status and receive registers of the machine's 16550.
    unsafe { (read_volatile(UART.add(5)) & 1 != 0).then(|| read_volatile(UART)) }
}

/// Ends QEMU with this exit status.
pub(crate) fn exit(status: u32) -> ! {
    finish(if status == 0 { 0x5555 } else { (status << 16) | 0x3333 })
}

/// Starts the machine again. Its memory keeps what the firmware's image does not lie in.
pub(crate) fn restart() -> ! {
    finish(0x7777)
}

fn finish(word: u32) -> ! {
    // SAFETY: the register of the machine's test finisher.
    unsafe { write_volatile(FINISHER, word) }
    loop {
        core::hint::spin_loop();
    }
}

/// The record of panics, behind the memory that the linker knows.
pub(crate) struct Kept;

const KEPT: *mut u8 = 0x8040_0000_usize as _;

impl panics::Memory for Kept {
    fn read(&self) -> [u8; panics::SIZE] {
        // SAFETY: memory of the machine that nothing else uses.
        core::array::from_fn(|at| unsafe { read_volatile(KEPT.add(at)) })
    }

    fn write(&self, bytes: &[u8; panics::SIZE]) {
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: as in `read`.
            unsafe { write_volatile(KEPT.add(at), *byte) }
        }
    }
}

/// Ticks of 100 ns since the machine was started.
fn ticks() -> u64 {
    loop {
        // SAFETY: the two halves of the machine's clock.
        let [high, low, again] =
            unsafe { [read_volatile(MTIME.add(1)), read_volatile(MTIME), read_volatile(MTIME.add(1))] };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Microseconds since the machine was started.
pub(crate) fn micros() -> u64 {
    ticks() / 10
}

struct Time(Mutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static TIME: Time = Time(Mutex::new(RefCell::new(Queue::new()))));

impl embassy_time_driver::Driver for Time {
    fn now(&self) -> u64 {
        ticks()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            let mut queue = self.0.borrow_ref_mut(section);
            if queue.schedule_wake(at, waker) {
                set_alarm(queue.next_expiration(ticks()));
            }
        });
    }
}

fn set_alarm(at: u64) {
    // SAFETY: the compare registers of hart 0; the first write keeps the halves from meeting the clock by accident.
    unsafe {
        write_volatile(MTIMECMP.add(1), u32::MAX);
        write_volatile(MTIMECMP, at as u32);
        write_volatile(MTIMECMP.add(1), (at >> 32) as u32);
    }
}

/// Somebody was woken.
static WOKEN: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    WOKEN.store(true, Ordering::Relaxed);
}

/// Lets an interrupt of a device become pending.
pub(crate) fn enable_interrupt(number: usize) {
    // SAFETY: registers of the interrupt controller: priority, enable bits of hart 0, threshold.
    unsafe {
        write_volatile((PLIC + 4 * number) as *mut u32, 1);
        let enable = (PLIC + 0x2000 + 4 * (number / 32)) as *mut u32;
        write_volatile(enable, read_volatile(enable) | 1 << (number % 32));
        write_volatile((PLIC + 0x20_0000) as *mut u32, 0);
    }
}

/// Polls, and sleeps while nobody is woken.
pub(crate) fn idle_loop(mut poll: impl FnMut()) -> ! {
    set_alarm(u64::MAX);
    // SAFETY: interrupts become pending; `mstatus` keeps them from being taken.
    unsafe { core::arch::asm!("csrs mie, {0}", in(reg) TIMER | EXTERNAL) };
    loop {
        WOKEN.store(false, Ordering::Relaxed);
        poll();
        let pending: usize;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("csrr {0}, mip", out(reg) pending) };
        if pending & TIMER != 0 {
            critical_section::with(|section| {
                let mut queue = TIME.0.borrow_ref_mut(section);
                set_alarm(queue.next_expiration(ticks()));
            });
        }
        if pending & EXTERNAL != 0 {
            serve_interrupt();
        }
        if !WOKEN.load(Ordering::Relaxed) {
            // SAFETY: sleeps until an interrupt is pending; one that is already ends it at once.
            unsafe { core::arch::asm!("wfi") };
        }
    }
}

fn serve_interrupt() {
    let claim = (PLIC + 0x20_0004) as *mut u32;
    // SAFETY: the claim register of hart 0: a read takes the interrupt, a write gives it back.
    unsafe {
        let number = read_volatile(claim);
        match number as usize {
            0 => return,
            UART_INTERRUPT => TYPED.wake(),
            _ => crate::virtio_net::on_interrupt(),
        }
        write_volatile(claim, number);
    }
}
