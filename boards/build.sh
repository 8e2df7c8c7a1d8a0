#!/bin/sh
# build.sh BOARD [CARGO OPTIONS]: builds a board's firmware in release and says how large it is. BOARD is qemu-virt,
# esp32c3, esp32c6 or esp32. The core library is rustup's when it is installed (`rustup target add …`); otherwise Debian's
# (packages rustc-web and rust-web-src) is built by cargo and linked by rustup's linker. esp32 needs Espressif's toolchain.
# FIRMWARE_TARGET_DIR is cargo's target folder for boards alone, which may be kept: the core library takes minutes on a slow
# machine.
set -e
if [ -n "$FIRMWARE_TARGET_DIR" ]; then export CARGO_TARGET_DIR="$FIRMWARE_TARGET_DIR"; fi
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
  exit 77
fi

# Cargo's own messages may be read by a program: the report goes to standard error.
elf=${CARGO_TARGET_DIR:-target}/$target/release/$program
esp_report() {
  # What is given to the radio's library: statics that are called HEAP, one of them where the boot loader has been.
  heap=$(nm -S -C "$elf" | awk '/::HEAP$/ { print "0x" $2 }')
  total=0
  for bytes in $heap; do [ $((bytes)) -lt 4096 ] || total=$((total + bytes)); done
  # Some sections only reserve addresses.
  size -A "$elf" | grep -v 'dummy\|gap' | awk -v heap="$total" -v chip="$board" '
    /^\.(text|rodata|flash\.appdesc)[._a-z]* / { text += $2 }
    /^\.(trap|vectors|rwtext)[._a-z]* / { ram += $2 }
    /^\.data[._a-z]* / { data += $2 }
    /^\.(bss|noinit) / { bss += $2 }
    /^\.stack / { stack = $2 }
    END {
      # A row of the table in esp32/README.md.
      print "(chip, text, of it in RAM, data, bss, stack, heap of the radio)"
      printf "| %s | %d | %d | %d | %d | %d | %d |\n", chip, text + ram, ram, data, bss, stack, heap
    }'
  if command -v espflash >/dev/null; then
    # For the chip's first partition for programs; `--merge` would make one with boot loader and partition table.
    espflash save-image --chip "$board" "$elf" "$elf.bin"
    echo "flash image $elf.bin: $(wc -c <"$elf.bin") bytes"
  else
    echo "no flash image: 'cargo install espflash --locked' brings what makes one"
  fi
}
{
  if ! [ -f "$elf" ]; then
    exit 0 # other programs were asked for
  fi
  echo "$elf"
  if ! command -v size >/dev/null || ! command -v nm >/dev/null; then
    echo "no size report: 'size' and 'nm' (binutils) are missing"
  elif [ "$folder" = esp32 ]; then
    esp_report
  else
    size "$elf" || true # one of another architecture may not know the format
  fi
} >&2
