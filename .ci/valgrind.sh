#!/usr/bin/env bash
# valgrind.sh COMMAND...: runs a command that needs valgrind, which is installed unless it is there.
#
# Ends with status 77 where it can't be had: no Debian, no rights, no network.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/apt.sh

if ! command -v valgrind >/dev/null; then
    require_apt valgrind
    if [ -z "$(candidate valgrind)" ]; then
        apt update || lacking "the lists of packages can't be loaded"
    fi
    apt install -y --no-install-recommends valgrind || lacking "valgrind can't be installed"
fi
valgrind --version
exec "$@"
