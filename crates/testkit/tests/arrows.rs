//! The arrows between the crates: what may depend on what. ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate, and the crates of this project that it may use. `testkit` may be a dev-dependency of any, and a crate its own, with
/// features for its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("wirelet-proto", &[]),
    ("wirelet-deflate", &["wirelet-proto"]),
    ("wirelet", &["wirelet-deflate", "wirelet-proto"]),
    ("wirelet-embedded", &["wirelet-deflate", "wirelet-proto"]),
    ("wirelet-cli", &["wirelet"]),
    ("testkit", &["wirelet-deflate", "wirelet-proto"]),
    ("conformance", &["wirelet"]),
    ("xtask", &[]),
    ("example-echo-server", &["wirelet"]),
    ("example-axum", &["wirelet"]),
    ("example-chat", &["wirelet"]),
    ("example-callback-server", &["wirelet"]),
    ("example-core-on-std", &["wirelet-proto"]),
    ("example-graphql", &["wirelet"]),
    ("example-reconnecting-client", &["wirelet"]),
];

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "a crate without a row in ARROWS, or a row without a crate"
    );
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let is_test_bench = (used == "testkit" || used == name) && dependency["kind"] == "dev";
            if names.contains(used) && !is_test_bench {
                assert!(allowed[name].contains(used), "{name} must not depend on {used}");
            }
        }
    }
}

#[test]
fn the_core_has_no_dependency_that_is_not_optional() {
    let packages = packages();
    let core = packages.iter().find(|package| package["name"] == "wirelet-proto").unwrap();
    for dependency in core["dependencies"].as_array().unwrap() {
        let is_ordinary = dependency["kind"].is_null();
        assert!(!is_ordinary || dependency["optional"] == true, "{} is not optional", dependency["name"]);
    }
}

fn packages() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}
