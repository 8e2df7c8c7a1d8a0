#!/bin/bash
# check-xtensa.sh: compiles what the ESP32 (Xtensa) shares with the other chips for its own target, as far as that goes without
# Espressif's toolchain: types, borrows and lints of the application with its embassy tasks, of wirelet-embedded and the core, of
# embassy-net and all below them. What only Espressif's compiler can do is left out: code, and the chip's own crates, which are
# full of its assembly. Needs Debian's rustc-web and rust-web-src, whose core library is checked first.
set -euo pipefail

# Cargo calls this script in the compiler's place, too. The core library is always built, never just checked, and the compiler
# of Debian can't generate this chip's code: so metadata is all that is made of anything, and all that is asked for.
if [ "${XTENSA_METADATA_ONLY:-}" = yes ]; then
  rustc=$1 arguments=()
  shift
  case " $* " in
    *" --target xtensa-"*)
      for argument in "$@"; do
        argument=${argument/,metadata,link/,metadata}
        case $argument in *xtensa-*.rlib) argument=${argument%.rlib}.rmeta ;; esac
        arguments+=("$argument")
      done ;;
    *) arguments=("$@") ;;
  esac
  exec "$rustc" "${arguments[@]}"
fi

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
cd "$(dirname "$0")/app"
if [ ! -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
  echo "no core library for Xtensa: install Debian's rustc-web and rust-web-src" >&2
  exit 77
fi
if [ -n "${FIRMWARE_TARGET_DIR:-}" ]; then export CARGO_TARGET_DIR="$FIRMWARE_TARGET_DIR"; fi
XTENSA_METADATA_ONLY=yes RUSTC_WRAPPER=$self RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
  cargo check -Zbuild-std=core,alloc --release --target xtensa-esp32-none-elf --features embassy "$@"
