//! The client as Autobahn's fuzzing server wants it: runs every case, echoing chunk by chunk.

use core::cell::RefCell;
use core::fmt::Write as _;

use critical_section::Mutex;
use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Finished, Options};
use wirelet_embedded::compression::Compression;
use wirelet_embedded::net::Connect;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{CloseCode, Config, Delivery, Event, Limits, MaskKeys, ReconnectConfig};
use wirelet_embedded::{Clock, Handler, Peer};

use crate::line::Line;
use crate::{RX, TX};

/// The longest address of a connection: the server's, what is asked of it, and the agent's name.
const ADDRESS: usize = 256;

/// Messages are as long as the suite likes, and take their time.
const CONFIG: Config = Config {
    limits: Limits { message: u64::MAX, message_time: None, ..Limits::new() },
    delivery: Delivery::Chunks,
    ..Config::new()
};

/// Why not all cases were run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Addresses have at most 256 bytes, and begin with `ws://`.
    Address,
    /// A connection did not come about.
    Connection(Finished),
    /// The server did not say how many cases there are.
    Count,
}

/// Sends back what arrives, and keeps the text that a question was answered with.
struct Echo {
    answer: Mutex<RefCell<Line<16>>>,
    listens: bool,
}

impl Echo {
    const fn new(listens: bool) -> Self {
        Self { answer: Mutex::new(RefCell::new(Line::new())), listens }
    }
}

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        let Event::Chunk(chunk) = event else { return };
        if self.listens {
            let text = core::str::from_utf8(chunk.data).unwrap_or("?");
            // A number with more digits than there is room for is none.
            let _ = critical_section::with(|section| self.answer.borrow_ref_mut(section).write_str(text));
        } else if peer.send_fragment(chunk.kind, chunk.data, chunk.last).is_err() && peer.is_open() {
            let _ = peer.close(CloseCode::INTERNAL_ERROR, "");
        }
    }
}

impl ClientHandler for Echo {}

/// Runs all cases of the server at `ws://HOST:PORT`, with compression offered if there is memory for it; answers how many
/// there are.
///
/// # Errors
/// A connection failed, or the server's answer makes no sense.
///
/// # Cancel safety
/// Dropping it ends the connection.
pub async fn run<N: Connect, C: Clock, K: MaskKeys>(
    server: &str,
    agent: &str,
    network: &mut N,
    clock: &C,
    random: &mut K,
    compression: Option<Compression<'_>>,
) -> Result<u32, Stopped> {
    let mut suite = Suite { server, network, clock, random, compression };
    let question = Echo::new(true);
    suite.talk(format_args!("getCaseCount"), &question).await?;
    let answer = critical_section::with(|section| *question.answer.borrow_ref(section));
    let count = answer.text().parse().map_err(|_| Stopped::Count)?;
    for case in 1..=count {
        suite.talk(format_args!("runCase?case={case}&agent={agent}"), &Echo::new(false)).await?;
    }
    suite.talk(format_args!("updateReports?agent={agent}"), &Echo::new(false)).await?;
    Ok(count)
}

struct Suite<'s, N, C, K> {
    server: &'s str,
    network: &'s mut N,
    clock: &'s C,
    random: &'s mut K,
    compression: Option<Compression<'s>>,
}

impl<N: Connect, C: Clock, K: MaskKeys> Suite<'_, N, C, K> {
    /// One connection, from its beginning to its end.
    async fn talk(&mut self, target: core::fmt::Arguments<'_>, echo: &Echo) -> Result<(), Stopped> {
        let mut address = Line::<ADDRESS>::new();
        let written = write!(address, "{}/{target}", self.server.trim_end_matches('/'));
        let uri = written.ok().and_then(|()| Uri::parse(address.text()).ok()).ok_or(Stopped::Address)?;
        // A handshake that fails would fail again: the run ends, and says why.
        let reconnect = ReconnectConfig { max_attempts: Some(0), ..ReconnectConfig::DEFAULT };
        let options = Options { config: CONFIG, reconnect, connect_after_loss: false, ..Options::new(uri) };
        let mut resources = ClientResources::<RX, TX, 64>::new();
        let (client, _) = Client::new(&mut resources, &options);
        let mut client = match self.compression {
            Some(compression) => client.with_compression(compression),
            None => client,
        };
        match client.run(self.network, self.clock, self.random, echo).await {
            Finished::Ended(_) => Ok(()),
            other => Err(Stopped::Connection(other)),
        }
    }
}
