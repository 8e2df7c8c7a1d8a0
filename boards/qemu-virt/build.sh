#!/bin/sh
# build.sh [CARGO OPTIONS]: builds the firmware, see ../build.sh.
exec "$(dirname "$0")/../build.sh" qemu-virt "$@"
