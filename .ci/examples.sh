#!/usr/bin/env bash
# What other libraries have to do with wirelet: its features `axum` and `serde`, and the examples that have tests.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --quiet --package wirelet --features axum,serde --test axum --test json
cargo test --quiet --package example-axum --package example-graphql
cargo test --quiet --manifest-path examples/mqtt/Cargo.toml --locked --target-dir target/mqtt
