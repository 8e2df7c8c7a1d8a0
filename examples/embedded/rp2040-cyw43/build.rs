//! The memory map of the RP2040, and where the radio's firmware is.

use std::path::Path;

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(format!("{out}/memory.x"), include_str!("memory.x"))
        .expect("the target folder can be written");
    println!("cargo::rustc-link-search={out}");
    for script in ["link.x", "link-rp.x"] {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-env-changed=CYW43_FIRMWARE");
    let folder = std::env::var("CYW43_FIRMWARE").unwrap_or_else(|_| {
        println!("cargo::error=CYW43_FIRMWARE names no folder with the radio's firmware, see README.md");
        std::process::exit(1)
    });
    for file in ["43439A0.bin", "43439A0_clm.bin", "nvram_rp2040.bin"] {
        let path = Path::new(&folder).join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.is_file() {
            println!("cargo::error={} is missing", path.display());
        }
    }
}
