//! Lets the linker find the memory map of boards/qemu-virt.

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    let map = include_str!("../../../boards/qemu-virt/memory.x");
    std::fs::write(format!("{out}/memory.x"), map).expect("the target folder can be written");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed=../../../boards/qemu-virt/memory.x");
}
