#!/bin/sh
# build.sh BOARD [CARGO OPTIONS]: builds a board's firmware in release and says how large it is. BOARD is qemu-virt,
# esp32c3, esp32c6 or esp32. The core library is rustup's when it is installed (`rustup target add …`); otherwise Debian's
# (packages rustc-web and rust-web-src) is built by cargo and linked by rustup's linker. esp32 needs Espressif's toolchain.
set -e
usage() {
  echo "usage: build.sh qemu-virt|esp32c3|esp32c6|esp32 [CARGO OPTIONS]" >&2
  exit 2
}
[ $# -gt 0 ] || usage
board=$1
shift
case $board in
  qemu-virt) folder=qemu-virt program=wirelet-qemu-virt target=riscv32imc-unknown-none-elf ;;
  esp32c3) folder=esp32 program=wirelet-esp32 target=riscv32imc-unknown-none-elf ;;
  esp32c6) folder=esp32 program=wirelet-esp32 target=riscv32imac-unknown-none-elf ;;
  esp32) folder=esp32 program=wirelet-esp32 target=xtensa-esp32-none-elf ;;
  *) usage ;;
esac
cd "$(dirname "$0")/$folder"
set -- --release --target "$target" "$@"
if [ "$folder" = esp32 ]; then set -- --features "$board" "$@"; fi

if [ "$board" = esp32 ]; then
  cargo +esp --version >/dev/null 2>&1 || {
    echo "no Espressif toolchain: 'cargo install espup && espup install', then '. ~/export-esp.sh'" >&2
    exit 1
  }
  cargo +esp build -Zbuild-std=core,alloc "$@"
elif [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
  cargo build "$@"
elif [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
  host=$(rustc -vV | sed -n 's/^host: //p')
  PATH=$(rustc --print sysroot)/lib/rustlib/$host/bin:$PATH
  export PATH
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 cargo build -Zbuild-std=core,alloc "$@"
else
  echo "no core library for $target: run 'rustup target add $target', or install Debian's rustc-web and rust-web-src" >&2
  exit 1
fi

# Cargo's own messages may be read by a program: the report goes to standard error.
elf=${CARGO_TARGET_DIR:-target}/$target/release/$program
{
  if ! [ -f "$elf" ]; then
    exit 0 # other programs were asked for
  fi
  echo "$elf"
  if ! command -v size >/dev/null; then
    echo "no size report: 'size' (binutils) is missing"
  elif [ "$folder" = esp32 ]; then
    # Some sections only reserve addresses.
    size -A "$elf" | grep -v 'dummy\|gap' | awk '
      /^\.(text|rodata|flash\.appdesc)[._a-z]* / { text += $2 }
      /^\.(trap|vectors|rwtext)[._a-z]* / { ram += $2 }
      /^\.data[._a-z]* / { data += $2 }
      /^\.(bss|noinit) / { bss += $2 }
      /^\.dram2_uninit / { dram2 = $2 }
      /^\.stack / { stack = $2 }
      END {
        printf "text %d (of it in RAM %d), data %d, bss %d, stack %d, boot loader memory used as heap %d\n", \
          text + ram, ram, data, bss, stack, dram2
      }'
  else
    size "$elf" || true # one of another architecture may not know the format
  fi
} >&2
