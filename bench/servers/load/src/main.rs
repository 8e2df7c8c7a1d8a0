//! The load: `load WHAT OPTIONS`, one thread, prints one line of JSON. `run.py` beside this folder knows what it takes.

mod client;
mod failure;
mod idle;
mod options;
mod patterns;
mod peers;
mod process;
mod traffic;
mod watch;
mod wire;

use std::process::ExitCode;

use failure::Failure;
use options::{Options, What};
use patterns::{Broadcast, Echo, Paced};
use serde_json::Value;
use traffic::drive;

fn main() -> ExitCode {
    match Options::from_command_line().and_then(|options| run(&options)) {
        Ok(measured) => {
            println!("{measured}");
            ExitCode::SUCCESS
        }
        Err(Failure(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Value, Failure> {
    match options.what {
        What::Echo => drive(options, Echo::new(options)),
        What::Broadcast => drive(options, Broadcast::new(options)),
        What::Paced => drive(options, Paced::new(options)),
        What::Idle => idle::measure(options),
        What::Client => client::measure(options),
    }
}
