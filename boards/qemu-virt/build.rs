//! Lets the linker find the memory map: a copy of it beside what is built, since a kept target folder outlives the checkout.

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(format!("{out}/memory.x"), include_str!("memory.x"))
        .expect("the target folder can be written");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rerun-if-changed=memory.x");
}
