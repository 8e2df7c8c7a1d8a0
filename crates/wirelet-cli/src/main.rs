//! The program `wirelet`: `serve` answers as a WebSocket echo server with a browser console, `demo` shows what a
//! client can do.

mod arguments;
mod compression;
mod demo;
mod exit;
mod log;
mod serve;
mod shown;
mod signals;
mod sizes;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        None => serve::run(arguments.serve),
        Some(Command::Serve(serve)) => serve::run(serve),
        Some(Command::Demo(demo)) => demo::run(demo),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
