#!/bin/sh
# run.sh ELF: boots the firmware; its port 80 is 127.0.0.1:$PORT (18080). More options for QEMU in $QEMU_OPTS.
set -e
port=${PORT:-18080}
command -v qemu-system-riscv32 >/dev/null || {
  echo "qemu-system-riscv32 is missing: install QEMU 8 or later (Debian: qemu-system-riscv, in bookworm from backports)" >&2
  exit 1
}
echo "console: http://127.0.0.1:$port/   echo: ws://127.0.0.1:$port/ws   (Ctrl-C ends it)"
# shellcheck disable=SC2086 # several options
exec qemu-system-riscv32 -M virt -m 8M -smp 1 -bios none -display none -monitor none -serial stdio $QEMU_OPTS \
  -global virtio-mmio.force-legacy=false \
  -netdev "user,id=n0,hostfwd=tcp:127.0.0.1:$port-:80" -device virtio-net-device,netdev=n0 \
  -device virtio-rng-device \
  -kernel "$1"
