//! Names the linker script of cortex-m-rt; embassy-stm32 has the chip's memory map.

fn main() {
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
