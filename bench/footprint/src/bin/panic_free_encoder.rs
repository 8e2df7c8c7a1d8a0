//! The same as `encoder`, which links only when nothing in it can panic: the panic handler needs a function that nobody has.

#![no_std]
#![no_main]

use wirelet_footprint::deflate::compress;
use wirelet_footprint::machine::exit;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    compress(&mut [0; _]);
    exit(1)
}

unsafe extern "C" {
    fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never called: it does not exist, so that an image with this call does not link.
    unsafe { a_panic_can_be_reached() }
}
