#!/usr/bin/env bash
# Installs QEMU for RISC-V (qemu-system-riscv32, version 8 or later) unless it is there.
#
# Debian's bookworm has it in its backports, whose source is added here: from the same mirror as bookworm itself. Ends with
# status 77 where it can't be had: no Debian, no rights, no network.
set -euo pipefail
. "$(dirname "$0")/apt.sh"

# The mirror that a release comes from and the key it is signed with, as the line of a source list begins.
source_of() { # CODENAME
    awk -v release="$1" '
        function entry() {
            if (uri != "" && (" " suites " ") ~ (" " release " ")) { print key, uri; found = 1; exit }
            uri = suites = key = ""
        }
        FNR == 1 { entry() }
        /^deb / { # one line: deb [options] URI suite component...
            line = $0; sub(/^deb +/, "", line); options = ""
            if (match(line, /^\[[^]]*\] */)) { options = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1) }
            split(line, word, / +/)
            if (word[2] == release) { print options, word[1]; found = 1; exit }
        }
        /^$/ { entry() } # a stanza: URIs, Suites, Signed-By
        /^URIs:/ { uri = $2 }
        /^Suites:/ { suites = $0; sub(/^Suites: */, "", suites) }
        /^Signed-By: *\// { key = "[signed-by=" $2 "]" }
        END { if (!found) entry() }
    ' /dev/null "${sources[@]}"
}

add_backports() {
    local source list=/etc/apt/sources.list.d/wirelet-backports.list
    local sources=()
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -r "$source" ]; then sources+=("$source"); fi
    done
    if [ -z "$codename" ] || [ "${#sources[@]}" = 0 ]; then lacking "no sources of Debian packages"; fi
    source=$(source_of "$codename")
    if [ -z "$source" ]; then lacking "no source of $codename in /etc/apt"; fi
    printf 'deb %s %s-backports main\n' "$source" "$codename" | tr -s ' ' | as_root tee "$list"
}

# Before version 8 the board has no fw_cfg device in the emulator, by which it is told its settings.
is_new_enough() {
    local major
    major=$(qemu-system-riscv32 --version 2>/dev/null | sed -n '1s/^QEMU emulator version \([0-9]*\)\..*/\1/p')
    [ "${major:-0}" -ge 8 ]
}

if is_new_enough; then
    qemu-system-riscv32 --version | head -1
    exit
fi
require_apt qemu-system-riscv32
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
if [ -z "$(candidate qemu-system-riscv)" ]; then
    add_backports
    apt update || lacking "the lists of packages can't be loaded"
fi
version=$(candidate qemu-system-riscv)
if [ -z "$version" ]; then lacking "there is no package qemu-system-riscv"; fi
release=() # what it depends on comes from the backports, too
if [[ $version == *~bpo* ]]; then release=(-t "$codename-backports"); fi
apt install -y --no-install-recommends "${release[@]}" qemu-system-riscv || lacking "qemu-system-riscv $version can't be installed"
is_new_enough || lacking "qemu-system-riscv32 is older than version 8"
qemu-system-riscv32 --version | head -1
