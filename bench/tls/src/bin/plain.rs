//! The client without TLS, with all that the other image has besides.

#![no_std]
#![no_main]

use wirelet_footprint::machine::exit;
use wirelet_footprint::serial::Serial;
use wirelet_tls_footprint::{run, start_heap};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    start_heap();
    run("ws://localhost/ws", &mut Serial)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
