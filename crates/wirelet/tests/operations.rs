//! Random operations on connections of both roles, with a task of their own and without: see `testkit::operations`.
//!
//! `WIRELET_SEED=n cargo test -p wirelet --test operations -- --nocapture` runs case `n` of each kind again and prints it, made
//! smaller when it fails. `WIRELET_CASES=1000000 cargo test --release -p wirelet --test operations` runs a million.

#![cfg(feature = "deflate")]

#[path = "operations/case.rs"]
mod case;
#[path = "operations/program.rs"]
mod program;
#[path = "operations/run.rs"]
mod run;
#[path = "operations/stream.rs"]
mod stream;

use case::Case;
use testkit::operations::cases::cases;
use wirelet::Role;

fn keeps_its_promises(role: Role, driven: bool) {
    cases(4, |seed| Case::random(seed, role, driven), run::run);
}

#[test]
fn a_server_with_a_task_of_its_own_keeps_its_promises() {
    keeps_its_promises(Role::Server, true);
}

#[test]
fn a_client_with_a_task_of_its_own_keeps_its_promises() {
    keeps_its_promises(Role::Client, true);
}

#[test]
fn a_server_without_a_task_keeps_its_promises() {
    keeps_its_promises(Role::Server, false);
}

#[test]
fn a_client_without_a_task_keeps_its_promises() {
    keeps_its_promises(Role::Client, false);
}
