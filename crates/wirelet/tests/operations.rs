//! Random operations on connections of both roles, with a task of their own and without: see `testkit::operations`.
//!
//! `WIRELET_SEED=n cargo test -p wirelet --test operations -- --nocapture` runs case `n` of each kind again and prints it, made
//! smaller when it fails. `WIRELET_CASES=1000000 cargo test --release -p wirelet --test operations` runs a million. With
//! `WIRELET_SURVEY=1` all cases are run, and the failures of each kind are counted.

#![cfg(feature = "deflate")]

#[path = "operations/case.rs"]
mod case;
#[path = "operations/program.rs"]
mod program;
#[path = "operations/run.rs"]
mod run;
#[path = "operations/stream.rs"]
mod stream;

use std::collections::BTreeMap;

use case::Case;
use testkit::operations::shrink::shrink;
use wirelet::Role;

/// Cases of all kinds together.
const CASES: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn cases(role: Role, driven: bool) {
    if let Some(seed) = number("WIRELET_SEED") {
        let case = Case::random(seed, role, driven);
        println!("{case:?}");
        return check(case);
    }
    let first = number("WIRELET_FIRST").unwrap_or(0);
    let seeds = first..first + number("WIRELET_CASES").unwrap_or(CASES) / 4;
    let survey = number("WIRELET_SURVEY").is_some();
    let mut failures = BTreeMap::<String, (u64, u64, String)>::new();
    for seed in seeds.clone() {
        let case = Case::random(seed, role, driven);
        if !survey {
            check(case);
            continue;
        }
        if let Err(failure) = run::run(&case) {
            failures.entry(kind(&failure)).or_insert((0, seed, failure)).0 += 1;
        }
    }
    for (count, seed, failure) in failures.values() {
        println!("{role:?} driven: {driven}: {count} of {}, seed {seed}: {failure}", seeds.end - seeds.start);
    }
    assert!(failures.is_empty());
}

/// Runs `case`; a failure is made smaller and told.
fn check(case: Case) {
    let Err(failure) = run::run(&case) else { return };
    let kind = kind(&failure);
    let seed = case.seed;
    let (smaller, last) = shrink(case, failure.clone(), 2000, |case| {
        run::run(case).err().filter(|failure| self::kind(failure) == kind)
    });
    panic!("seed {seed}: {failure}\nmade smaller: {smaller:?}\n{last}");
}

/// A failure without its numbers.
fn kind(failure: &str) -> String {
    failure.chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
}

#[test]
#[ignore = "finds what connections still do wrong"]
fn a_server_with_a_task_of_its_own_keeps_its_promises() {
    cases(Role::Server, true);
}

#[test]
#[ignore = "finds what connections still do wrong"]
fn a_client_with_a_task_of_its_own_keeps_its_promises() {
    cases(Role::Client, true);
}

#[test]
#[ignore = "finds what connections still do wrong"]
fn a_server_without_a_task_keeps_its_promises() {
    cases(Role::Server, false);
}

#[test]
#[ignore = "finds what connections still do wrong"]
fn a_client_without_a_task_keeps_its_promises() {
    cases(Role::Client, false);
}
