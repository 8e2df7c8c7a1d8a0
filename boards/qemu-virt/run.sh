#!/bin/sh
# run.sh ELF: boots the firmware; its port 80 is 127.0.0.1:$PORT (18080). More options for QEMU in $QEMU_OPTS.
set -e
port=${PORT:-18080}
command -v qemu-system-riscv32 >/dev/null || {
  echo "qemu-system-riscv32 is missing: install QEMU 8 or later (Debian: qemu-system-riscv, in bookworm from backports)" >&2
  exit 1
}
echo "console: http://127.0.0.1:$port/   echo: ws://127.0.0.1:$port/ws   (Ctrl-C ends it)"
# Between the board and the network stands a hub: QEMU's monitor can pull the board's cable (`set_link cable off`), which the
# board sees, or the network's (`set_link network off`), which it does not.
# shellcheck disable=SC2086 # several options
exec qemu-system-riscv32 -M virt -m 8M -smp 1 -bios none -display none -monitor none -serial stdio $QEMU_OPTS \
  -global virtio-mmio.force-legacy=false \
  -netdev "user,id=network,hostfwd=tcp:127.0.0.1:$port-:80" -netdev hubport,id=uplink,hubid=0,netdev=network \
  -netdev hubport,id=cable,hubid=0 -device virtio-net-device,netdev=cable \
  -device virtio-rng-device \
  -kernel "$1"
