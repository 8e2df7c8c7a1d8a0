//! The command line.

use std::time::Duration;

use crate::flood::KINDS;
use crate::processes::Failure;

pub(crate) const HELP: &str = "\
What a normal client waits for its echo while other peers flood the server.

    cargo run --release --manifest-path bench/fairness/Cargo.toml -- [OPTIONS]

    --require MS        exit status 1 when the 99th percentile of an attack is over so many milliseconds
    --baseline REV      measures a server of this revision, too, which is built for it
    --keep PART         with --baseline: exit status 1 when flooders' bytes are less than so much of the baseline's (0.9)
    --only NAME         attacks whose name contains this; may be repeated
    --peers N           flooding peers (16)
    --seconds N         for each measurement (5)
    --list              the names of all attacks
";

/// What is to be measured.
pub(crate) struct Options {
    pub(crate) require: Option<Duration>,
    pub(crate) baseline: Option<String>,
    pub(crate) keep: Option<f64>,
    pub(crate) peers: usize,
    pub(crate) time: Duration,
    only: Vec<String>,
}

impl Options {
    /// `None`: the answer has been given, or is the help.
    pub(crate) fn parse(words: &[&str]) -> Result<Option<Self>, Failure> {
        let mut options = Self {
            require: None,
            baseline: None,
            keep: None,
            peers: 16,
            time: Duration::from_secs(5),
            only: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--help" | "-h" => return Ok(None),
                "--list" => {
                    KINDS.iter().for_each(|kind| println!("{}", kind.name));
                    std::process::exit(0);
                }
                option => {
                    let Some(value) = words.next() else {
                        return Err(Failure(format!("{option}: unknown, or without its value; see --help")));
                    };
                    options.set(option, value)?;
                }
            }
        }
        if let Some(name) =
            options.only.iter().find(|name| !KINDS.iter().any(|kind| kind.name.contains(&**name)))
        {
            return Err(Failure(format!("no attack has {name:?} in its name; see --list")));
        }
        Ok(Some(options))
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), Failure> {
        let number = || value.parse().map_err(|_| Failure(format!("{option} takes a number, not {value:?}")));
        match option {
            "--require" => self.require = Some(Duration::from_secs_f64(number()? / 1000.0)),
            "--keep" => self.keep = Some(number()?),
            "--baseline" => self.baseline = Some(value.to_owned()),
            "--only" => self.only.push(value.to_owned()),
            "--peers" => self.peers = number()? as usize,
            "--seconds" => self.time = Duration::from_secs_f64(number()?),
            _ => return Err(Failure(format!("{option}: unknown; see --help"))),
        }
        Ok(())
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(&**only))
    }
}
