//! The embedded client as Autobahn's fuzzing server wants it: runs every case, echoing chunk by chunk.
//!
//! ```sh
//! autobahn URL AGENT     # ws://127.0.0.1:9001 wirelet-embedded
//! ```

use std::cell::RefCell;
use std::process::ExitCode;

use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Finished, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{CloseCode, Config, Delivery, Event, Limits};
use wirelet_embedded::{Handler, Peer};
use wirelet_linux::net::Dialer;
use wirelet_linux::system::{SystemClock, SystemRandom};

const RX: usize = 4096;
const TX: usize = 4096 + 256;

/// Sends back what arrives, and keeps the text that a question was answered with.
#[derive(Default)]
struct Echo {
    answer: RefCell<Vec<u8>>,
    listens: bool,
}

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        let Event::Chunk(chunk) = event else { return };
        if self.listens {
            self.answer.borrow_mut().extend(chunk.data);
        } else if peer.send_fragment(chunk.kind, chunk.data, chunk.last).is_err() && peer.is_open() {
            let _ = peer.close(CloseCode::INTERNAL_ERROR, "");
        }
    }
}

impl ClientHandler for Echo {}

/// One connection, from its beginning to its end.
async fn talk(url: &str, echo: &Echo) -> Result<(), String> {
    let uri = Uri::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let limits = Limits { message: u64::MAX, message_time: None, ..Limits::new() };
    let config = Config { limits, delivery: Delivery::Chunks, ..Config::new() };
    let options = Options { config, connect_after_loss: false, ..Options::new(uri) };
    let mut resources = Box::new(ClientResources::<RX, TX, 64>::new());
    let (mut client, _) = Client::new(&mut *resources, &options);
    match client.run(&mut Dialer, &SystemClock, &mut SystemRandom, echo).await {
        Finished::Ended(_) => Ok(()),
        other => Err(format!("{url}: {other:?}")),
    }
}

async fn run(server: &str, agent: &str) -> Result<(), String> {
    let question = Echo { listens: true, ..Echo::default() };
    talk(&format!("{server}/getCaseCount"), &question).await?;
    let answer = String::from_utf8_lossy(&question.answer.take()).into_owned();
    let count: u32 = answer.parse().map_err(|_| format!("not a number of cases: {answer}"))?;
    for case in 1..=count {
        talk(&format!("{server}/runCase?case={case}&agent={agent}"), &Echo::default()).await?;
    }
    talk(&format!("{server}/updateReports?agent={agent}"), &Echo::default()).await
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, agent] = &arguments[..] else {
        eprintln!("usage: autobahn URL AGENT");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run(server.trim_end_matches('/'), agent)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
