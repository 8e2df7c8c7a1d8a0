//! Tasks of this repository that need more than cargo. `cargo xtask` lists them.

mod device;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask device [--port PORT] [--demo URL]

  device    builds the firmware of boards/qemu-virt, boots it in QEMU and prints the console's address.
            Ctrl-C ends it. Nothing is installed; what is missing is named.

  --port    the port of 127.0.0.1 that leads to the firmware (default: 18080, or a free one when that is taken)
  --demo    boots the client instead, which talks to the server at URL. This machine is 10.0.2.2 for it:
            ws://10.0.2.2:8080/ws is `wirelet serve`
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["device", ref options @ ..] => {
            device::Options::parse(options).and_then(|options| device::run(&options))
        }
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [other, ..] => Err(format!("there is no task '{other}'\n{USAGE}")),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
