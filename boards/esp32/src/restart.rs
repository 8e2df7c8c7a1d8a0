//! Why the chip has started, what is done when the firmware panics, and the watchdog.

use core::panic::PanicInfo;
use core::time::Duration;

use esp_backtrace::Backtrace;
use esp_hal::peripherals::TIMG1;
use esp_hal::ram;
use esp_hal::rtc_cntl::SocResetReason;
use esp_hal::system::{reset_reason, software_reset};
use esp_hal::time::{Duration as Time, Instant};
use esp_hal::timer::timg::{MwdtStage, TimerGroup, Wdt};
use esp_println::println;
use wirelet_app::panics::{self, Policy, Reset, SIZE};
use wirelet_embedded::EmbassyClock;

/// After so long without a turn of the executor the chip starts again: an erased sector of flash takes a tenth of a second.
const WATCHDOG: Time = Time::from_secs(8);

/// The record of panics, in memory that only a loss of power clears.
pub(crate) struct Kept;

#[ram(unstable(rtc_fast, persistent))]
static mut RECORD: [u8; SIZE] = [0; SIZE];

impl panics::Memory for Kept {
    fn read(&self) -> [u8; SIZE] {
        // SAFETY: the task that keeps the record and the panic handler are on one core, and neither is interrupted by the other.
        core::array::from_fn(|at| unsafe { (&raw const RECORD[at]).read_volatile() })
    }

    fn write(&self, bytes: &[u8; SIZE]) {
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: as in `read`.
            unsafe { (&raw mut RECORD[at]).write_volatile(*byte) }
        }
    }
}

/// What has started the chip.
pub(crate) fn reason() -> Reset {
    match reset_reason() {
        None | Some(SocResetReason::ChipPowerOn | SocResetReason::SysBrownOut) => Reset::Power,
        Some(
            SocResetReason::CoreMwdt0
            | SocResetReason::CoreMwdt1
            | SocResetReason::CoreRtcWdt
            | SocResetReason::SysRtcWdt,
        ) => Reset::Watchdog,
        Some(_) => Reset::Other,
    }
}

/// Starts the watchdog.
pub(crate) fn watchdog(timer: TIMG1<'static>) -> Wdt<TIMG1<'static>> {
    let mut watchdog = TimerGroup::new(timer).wdt;
    watchdog.set_timeout(MwdtStage::Stage0, WATCHDOG);
    watchdog.enable();
    watchdog
}

/// Feeds the watchdog, and keeps the record of panics.
#[embassy_executor::task]
pub(crate) async fn keep(mut watchdog: Wdt<TIMG1<'static>>) {
    panics::keep(&Kept, Policy::DEFAULT, &EmbassyClock, || watchdog.feed()).await;
}

/// Logs the panic (an exception of the processor is one) with the calls that have led to it, and starts again.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("\n{info}");
    for frame in Backtrace::capture().frames() {
        println!("  0x{:x}", frame.program_counter());
    }
    let uptime = Instant::now().duration_since_epoch().as_micros();
    panics::panicked(&Kept, Duration::from_micros(uptime), info);
    software_reset()
}
