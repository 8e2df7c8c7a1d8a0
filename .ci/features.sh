#!/usr/bin/env bash
# The core must compile with each of its features alone, with none and with all of them: features only add.
set -euo pipefail
cd "$(dirname "$0")/.."

features=$(cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
features = next(package["features"] for package in packages if package["name"] == "wirelet-proto")
print(*sorted(set(features) - {"default"}))')
for chosen in "" $features "$features"; do
    echo "wirelet-proto, features: ${chosen:-none}"
    cargo clippy --quiet --package wirelet-proto --no-default-features --features "$chosen" -- -D warnings
done
