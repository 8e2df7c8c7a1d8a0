#!/usr/bin/env bash
# Builds the protocol core and wirelet-deflate for a chip without an operating system (riscv32imc: no compare-and-swap), without
# features and with each that such a chip can have.
#
# With rustup's target when it is installed (`rustup target add riscv32imc-unknown-none-elf`), else with Debian's
# rustc-web and the core library built from rust-web-src, which this script installs. What it builds is kept in
# ${WIRELET_CACHE:-$HOME/.cache/wirelet}/bare-metal-<compiler version>: the core library takes minutes on a slow machine.
set -euo pipefail
cd "$(dirname "$0")/.."

target=riscv32imc-unknown-none-elf

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

debian_compiler_is_ready() {
    local package
    for package in rustc-web rust-web-src; do
        [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || return 1
    done
}

install_debian_compiler() {
    if ! command -v apt-get >/dev/null; then
        echo "bare-metal: no apt-get here; run: rustup target add $target" >&2
        exit 1
    fi
    as_root apt-get -o DPkg::Lock::Timeout=900 update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=900 install -y -q --no-install-recommends rustc-web rust-web-src
}

build=(cargo build --locked --release --target "$target" --no-default-features)
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    compiler=rustc
else
    debian_compiler_is_ready || install_debian_compiler
    compiler=/usr/bin/rustc
    # Cargo builds the core library by an option that stable compilers keep behind this variable.
    export RUSTC=$compiler RUSTC_BOOTSTRAP=1
    build+=(-Zbuild-std=core,alloc)
fi
# Version and revision: an updated compiler starts a folder of its own.
version=$("$compiler" --version | tr -d '()' | cut -d ' ' -f 2-3 | tr ' ' '-')
export CARGO_TARGET_DIR=${WIRELET_CACHE:-$HOME/.cache/wirelet}/bare-metal-$version

while read -r package features; do
    echo "$package for $target, features: ${features:-none} ($("$compiler" --version))"
    "${build[@]}" --package "$package" --features "$features"
done <<'END'
wirelet-proto
wirelet-proto alloc
wirelet-deflate
wirelet-deflate inflater
wirelet-deflate alloc
END
