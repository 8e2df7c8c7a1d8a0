//! The decompressor of permessage-deflate alone.

#![no_std]
#![no_main]

use wirelet_footprint::deflate::decompress;
use wirelet_footprint::machine::exit;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    decompress(&mut [0; _]);
    exit(1)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
