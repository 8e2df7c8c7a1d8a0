//! The embedded client as Autobahn's fuzzing server wants it.
//!
//! ```sh
//! autobahn URL AGENT     # ws://127.0.0.1:9001 wirelet-embedded
//! ```

use std::process::ExitCode;

use wirelet_app::{Lanes, autobahn};
use wirelet_linux::net::Dialer;
use wirelet_linux::system::{SystemClock, SystemRandom};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, agent] = &arguments[..] else {
        eprintln!("usage: autobahn URL AGENT");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut network, mut random) = (Dialer, SystemRandom);
    let lane = Box::new(Lanes::<1>::new());
    let compression = Some(lane.compression());
    let cases = Box::pin(autobahn::run(server, agent, &mut network, &SystemClock, &mut random, compression));
    match runtime.block_on(cases) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{server}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
