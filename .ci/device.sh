#!/usr/bin/env bash
# device.sh COMMAND...: runs a command that needs the firmware, with what it is built by: QEMU, the compiler, and a target
# folder that is kept ($FIRMWARE_TARGET_DIR, for all boards), since the core library takes minutes on a slow machine. Without a
# command: builds the firmware.
# Ends with status 77 where QEMU or a compiler for the board can't be had.
set -euo pipefail
cd "$(dirname "$0")/.."

target=riscv32imc-unknown-none-elf
.ci/qemu.sh
compiler=rustc
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    compiler=/usr/bin/rustc
    if ! dpkg-query --show rustc-web rust-web-src >/dev/null 2>&1; then
        echo "device: no core library for $target: neither rustup's target nor Debian's rustc-web and rust-web-src"
        exit 77
    fi
fi
# Version and revision: an updated compiler starts a folder of its own.
version=$("$compiler" --version | tr -d '()' | cut -d ' ' -f 2-3 | tr ' ' '-')
export FIRMWARE_TARGET_DIR=${WIRELET_CACHE:-$HOME/.cache/wirelet}/device-$version
if [ "$#" -gt 0 ]; then exec "$@"; fi
boards/qemu-virt/build.sh --locked
size=$(command -v size riscv64-linux-gnu-size | head -1 || true)
if [ -n "$size" ]; then "$size" "$FIRMWARE_TARGET_DIR/$target/release/wirelet-qemu-virt" || true; fi
