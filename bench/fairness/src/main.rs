//! What a normal client waits for its echo while other peers flood the server. See README.md.
//!
//! One program in four parts, each a process: this one, which measures; `serve`, the server; `flood`, the peers; `freezes`, which
//! shows whether the machine itself stood still.

mod baseline;
#[path = "../../../crates/wirelet/tests/blocks/mod.rs"]
mod blocks;
mod echoes;
mod flood;
mod freezes;
mod options;
mod processes;
mod serve;
mod table;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use flood::Kind;
use options::Options;
use processes::{Failure, Flood, Served};
use table::{Row, Table};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["serve", mode] => serve::run(mode),
        ["flood", kind, address, peers, seconds] => flood::run(kind, address, peers, seconds),
        ["freezes"] => {
            freezes::run();
            Ok(())
        }
        _ => match Options::parse(&words) {
            Ok(Some(options)) => return measure_all(&options),
            Ok(None) => {
                print!("{}", options::HELP);
                Ok(())
            }
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairness: {error}");
            ExitCode::from(2)
        }
    }
}

/// A server's program, and what the table calls it.
struct Version {
    name: String,
    program: PathBuf,
}

fn measure_all(options: &Options) -> ExitCode {
    let table = match versions(options).and_then(|versions| run(options, &versions)) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("fairness: {error}");
            return ExitCode::from(2);
        }
    };
    print!("{table}");
    let complaints = table.complaints(options.require, options.keep);
    for complaint in &complaints {
        println!("{complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn versions(options: &Options) -> Result<Vec<Version>, Failure> {
    let mut versions = Vec::new();
    if let Some(revision) = &options.baseline {
        versions.push(Version { name: revision.clone(), program: baseline::build(revision)? });
    }
    let program =
        std::env::current_exe().map_err(|error| Failure(format!("where is this program? {error}")))?;
    versions.push(Version { name: "now".to_owned(), program });
    Ok(versions)
}

/// Each attack on each version, in turns.
fn run(options: &Options, versions: &[Version]) -> Result<Table, Failure> {
    let kinds: Vec<&Kind> = flood::KINDS.iter().filter(|kind| options.wants(kind.name)).collect();
    let mut progress = Progress::new(versions.len() * (1 + kinds.len()));
    let mut table = Table::default();
    // Nobody floods: what the machine can do.
    for version in versions {
        progress.step(&format!("no flood, {}", version.name));
        table.rows.push(quiet(options, version)?);
    }
    for kind in kinds {
        for version in versions {
            progress.step(&format!("{}, {}", kind.name, version.name));
            table.rows.push(attack(options, version, kind)?);
        }
    }
    progress.end();
    Ok(table)
}

fn quiet(options: &Options, version: &Version) -> Result<Row, Failure> {
    let server = Served::start(&version.program, "off")?;
    let before = freezes::look();
    let echoes = echoes::measure(server.address, options.time)?;
    let freezes = before.and(freezes::look());
    Ok(Row { attack: "none", mode: "off", version: version.name.clone(), echoes, taken: None, freezes })
}

fn attack(options: &Options, version: &Version, kind: &Kind) -> Result<Row, Failure> {
    let server = Served::start(&version.program, kind.mode)?;
    let before = freezes::look();
    let flood = Flood::start(kind.name, server.address, options.peers, flood::WARM_UP + options.time)?;
    // Sockets fill before anything is counted.
    std::thread::sleep(flood::WARM_UP);
    let echoes = echoes::measure(server.address, options.time)?;
    let taken = flood.end()?;
    drop(server);
    let freezes = before.and(freezes::look());
    let version = version.name.clone();
    Ok(Row { attack: kind.name, mode: kind.mode, version, echoes, taken: Some(taken), freezes })
}

/// A bar on the terminal, where there is one.
struct Progress {
    done: usize,
    all: usize,
    shown: bool,
}

impl Progress {
    const WIDTH: usize = 30;

    fn new(all: usize) -> Self {
        Self { done: 0, all, shown: std::io::stderr().is_terminal() }
    }

    fn step(&mut self, what: &str) {
        if self.shown {
            let full = Self::WIDTH * self.done / self.all;
            let (bar, rest) = ("#".repeat(full), ".".repeat(Self::WIDTH - full));
            eprint!("\r\x1b[K[{bar}{rest}] {}/{} {what}", self.done + 1, self.all);
            let _ = std::io::stderr().flush();
        }
        self.done += 1;
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// Microseconds, as milliseconds.
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
