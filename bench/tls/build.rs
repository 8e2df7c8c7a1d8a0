//! Lets the linker find the memory map: a copy of it beside what is built, since a kept target folder outlives the checkout.

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(format!("{out}/memory.ld"), include_str!("../footprint/memory.ld"))
        .expect("the target folder can be written");
    println!("cargo::rustc-link-arg-bins=-T{out}/memory.ld");
    println!("cargo::rerun-if-changed=../footprint/memory.ld");
}
