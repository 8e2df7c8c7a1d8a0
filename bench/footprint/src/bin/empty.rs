//! The machine alone: bytes that arrive are sent back.

#![no_std]
#![no_main]

use wirelet_footprint::machine::exit;
use wirelet_footprint::serial::{read_now, write_now};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut bytes = [0; 256];
    loop {
        let n = read_now(&mut bytes);
        write_now(bytes.get(..n).unwrap_or_default());
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
