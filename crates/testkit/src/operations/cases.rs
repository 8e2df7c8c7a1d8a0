//! Runs the cases of a test, as environment variables say.
//!
//! | variable | what it does |
//! |---|---|
//! | `WIRELET_SEED` | this case alone, printed |
//! | `WIRELET_CASES` | so many, all tests of a file together |
//! | `WIRELET_FIRST` | begins with this seed |
//! | `WIRELET_SURVEY` | runs all cases and counts the failures of each kind |

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::shrink::{Smaller, shrink};

/// Cases of all tests of a file together.
const CASES: u64 = 20_000;

/// Smaller cases that are tried when one fails.
const SHRINKS: usize = 2000;

/// Runs the cases of one of the `kinds` of a file.
///
/// # Panics
/// A case fails. It is made smaller and printed.
pub fn cases<C: Smaller + Debug>(
    kinds: u64,
    random: impl Fn(u64) -> C,
    run: impl Fn(&C) -> Result<(), String>,
) {
    if let Some(seed) = number("WIRELET_SEED") {
        let case = random(seed);
        println!("{case:?}");
        return check(seed, case, run);
    }
    let first = number("WIRELET_FIRST").unwrap_or(0);
    let seeds = first..first + number("WIRELET_CASES").unwrap_or(CASES) / kinds;
    if number("WIRELET_SURVEY").is_some() {
        return survey(seeds, random, run);
    }
    for seed in seeds {
        check(seed, random(seed), &run);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check<C: Smaller + Debug>(seed: u64, case: C, run: impl Fn(&C) -> Result<(), String>) {
    let Err(failure) = run(&case) else { return };
    let sort = sort(&failure);
    let fails = |case: &C| run(case).err().filter(|failure| self::sort(failure) == sort);
    let (smaller, last) = shrink(case, failure.clone(), SHRINKS, fails);
    panic!("seed {seed}: {failure}\nmade smaller: {smaller:?}\n{last}");
}

fn survey<C>(seeds: std::ops::Range<u64>, random: impl Fn(u64) -> C, run: impl Fn(&C) -> Result<(), String>) {
    let all = seeds.end - seeds.start;
    let mut failures = BTreeMap::<String, (u64, u64, String)>::new();
    for seed in seeds {
        if let Err(failure) = run(&random(seed)) {
            failures.entry(sort(&failure)).or_insert((0, seed, failure)).0 += 1;
        }
    }
    for (count, seed, failure) in failures.values() {
        println!("{count} of {all}, seed {seed}: {failure}");
    }
    assert!(failures.is_empty());
}

/// A failure without its numbers.
fn sort(failure: &str) -> String {
    failure.chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
}
