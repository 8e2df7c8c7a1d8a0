//! The protocol core alone as a server.

#![no_std]
#![no_main]

use wirelet_footprint::core_server::{Memory, serve};
use wirelet_footprint::machine::exit;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    serve(&mut Memory::new())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
