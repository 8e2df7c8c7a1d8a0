#!/bin/bash
# build.sh [BOARD...]: builds the examples of the boards with a riscv32 chip and of the operating system, and checks those of the
# boards with an ARM chip. Without a board: all of them. `--message-format=…` before the boards is handed to cargo.
#
# The core library is rustup's where it is installed (`rustup target add TARGET`), otherwise Debian's (packages rustc-web and
# rust-web-src), which cargo builds. A board that can be built by neither is named, and left out; the exit status is then 77.
# FIRMWARE_TARGET_DIR is cargo's target folder, which may be kept: the core library takes minutes on a slow machine.
set -euo pipefail
cd "$(dirname "$0")"
cargo=()
while [ "$#" -gt 0 ] && [[ $1 == --* ]]; do cargo+=("$1") && shift; done
if [ "$#" -eq 0 ]; then set -- std qemu-virt esp32c3 esp32c6 rp2040-cyw43 stm32-ethernet; fi
if [ -n "${FIRMWARE_TARGET_DIR:-}" ]; then export CARGO_TARGET_DIR=$FIRMWARE_TARGET_DIR; fi
# What a device of one's own would have; nothing here is sent anywhere.
export WIRELET_SSID=${WIRELET_SSID:-network} WIRELET_PASSWORD=${WIRELET_PASSWORD:-password}
export WIRELET_URL=${WIRELET_URL:-ws://192.168.0.2:8080/ws} WIRELET_TOKEN=${WIRELET_TOKEN:-token}
host=$(rustc -vV | sed -n 's/^host: //p')
missing=0
for board in "$@"; do
    build=(build --release)
    case $board in
        std) target= ;;
        qemu-virt | esp32c3) target=riscv32imc-unknown-none-elf ;;
        esp32c6) target=riscv32imac-unknown-none-elf ;;
        rp2040-cyw43) target=thumbv6m-none-eabi build=(check) ;;
        stm32-ethernet) target=thumbv7em-none-eabihf build=(check) ;;
        *) echo "build.sh: no board is called $board" >&2 && exit 2 ;;
    esac
    if [ "$board" = rp2040-cyw43 ] && [ -z "${CYW43_FIRMWARE:-}" ]; then
        # Checking takes any file; programs that are built need the real ones.
        CYW43_FIRMWARE=$(mktemp -d)
        export CYW43_FIRMWARE
        trap 'rm -r "$CYW43_FIRMWARE"' EXIT
        touch "$CYW43_FIRMWARE"/{43439A0.bin,43439A0_clm.bin,nvram_rp2040.bin}
    fi
    build+=(--locked "${cargo[@]}" --package "wirelet-example-$board")
    if [ -z "$target" ]; then
        environment=()
    elif [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
        environment=() build+=(--target "$target")
    elif [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
        # Debian's compiler has no linker of its own for chips.
        linker=$(rustc --print sysroot)/lib/rustlib/$host/bin
        environment=(env "PATH=$linker:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1)
        build+=(--target "$target" -Zbuild-std=core,alloc)
    else
        echo "build.sh: $board is left out: no core library for $target (rustup target add $target)" >&2
        missing=77
        continue
    fi
    echo "build.sh: cargo ${build[*]}" >&2
    "${environment[@]}" cargo "${build[@]}"
done
exit "$missing"
