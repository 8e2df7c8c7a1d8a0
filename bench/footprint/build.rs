//! Lets the linker find the memory map.

fn main() {
    println!(
        "cargo::rustc-link-arg-bins=-T{}/memory.ld",
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")
    );
    println!("cargo::rerun-if-changed=memory.ld");
}
