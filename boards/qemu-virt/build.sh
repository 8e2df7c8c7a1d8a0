#!/bin/sh
# build.sh [CARGO OPTIONS]: builds the firmware. With rustup's target when it is installed
# (`rustup target add riscv32imc-unknown-none-elf`), otherwise with Debian's rustc-web and rust-web-src, whose cargo builds
# the core library, and rustup's linker.
set -e
cd "$(dirname "$0")"
target=riscv32imc-unknown-none-elf
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
  exec cargo build --release "$@"
fi
[ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library ] || [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ] || {
  echo "no core library for $target: run 'rustup target add $target', or install Debian's rustc-web and rust-web-src" >&2
  exit 1
}
host=$(rustc -vV | sed -n 's/^host: //p')
PATH=$(rustc --print sysroot)/lib/rustlib/$host/bin:$PATH
export PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
exec cargo build --release -Zbuild-std=core,alloc "$@"
