#!/usr/bin/env bash
# The libraries must compile with each of their features alone, with none and with all of them: features only add.
set -euo pipefail
cd "$(dirname "$0")/.."

features_of() { # PACKAGE
    cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
features = next(package["features"] for package in packages if package["name"] == sys.argv[1])
print(*sorted(name for name in features if name != "default" and not name.startswith("_")))' "$1"
}

for package in wirelet-proto wirelet-deflate wirelet wirelet-embedded; do
    features=$(features_of "$package")
    for chosen in "" $features "$features"; do
        echo "$package, features: ${chosen:-none}"
        cargo clippy --quiet --package "$package" --no-default-features --features "$chosen" -- -D warnings
    done
done
echo "wirelet-embedded, tests with compression and TLS"
cargo clippy --quiet --package wirelet-embedded --all-targets --features deflate,tls -- -D warnings
