//! The client: five texts a second apart, a text in three fragments, and whatever the server says, until it has been
//! silent for five seconds.

use core::cell::Cell;
use core::convert::Infallible;
use core::fmt::Write as _;
use core::future::pending;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use serde::Deserialize;
use wirelet_embedded::client::{
    Attempt, Client, ClientHandler, ClientResources, Failure, Finished, Options, Prepare,
};
use wirelet_embedded::net::Connect;
use wirelet_embedded::proto::handshake::{ResponseHead, Uri};
use wirelet_embedded::proto::{
    Chunk, CloseCode, Config, Delivery, Event, Instant, MaskKeys, ReconnectConfig,
};
use wirelet_embedded::{Clock, Counters, Error, Handler, Peer, ReceiveHalf, SendHalf, Sender, WebSocket};

use crate::line::Line;
use crate::{Board, QUEUE, RX, TX};

/// The texts that are sent.
const TEXTS: u32 = 5;
/// After so long without a frame the demo is over.
const SILENCE: Duration = Duration::from_secs(5);
/// What is received at a time. JSON in larger messages is not looked into.
const PIECE: usize = 2048;

static COUNTERS: Counters = Counters::new();

/// The memory of the demo's connection.
pub type DemoMemory<'c> = ClientResources<'c, RX, TX, QUEUE>;

/// The options of the demo's connection to a server: what arrives is shown as it arrives.
pub const fn options(server: Uri<'_>) -> Options<'_> {
    // The script takes ten seconds: a connection that is lost is to come back before its last text.
    let reconnect = ReconnectConfig { initial_max: 2_000, ..ReconnectConfig::DEFAULT };
    let config = Config { delivery: Delivery::Chunks, ..Config::new() };
    let (prepare, counters) = (Some(Prepare::new(&name_attempt)), Some(&COUNTERS));
    Options { config, reconnect, prepare, counters, ..Options::new(server) }
}

/// Tells the server which attempt it is, for its log.
fn name_attempt(attempt: &mut Attempt<'_>) {
    let mut number = Line::<10>::new();
    let _ = write!(number, "{}", attempt.number());
    attempt.header("X-Attempt", number.text());
}

/// Runs the demo to its end, over as many connections as that takes.
///
/// # Cancel safety
/// Dropping it ends the connection without a closing handshake.
pub async fn run<'c, N: Connect, C: Clock, K: MaskKeys>(
    board: &dyn Board,
    memory: &mut DemoMemory<'c>,
    options: &'c Options<'c>,
    network: &mut N,
    clock: &C,
    random: &mut K,
) -> Finished {
    let (mut client, sender) = Client::new(memory, options);
    let demo = Demo { board, clock, step: Cell::new(0), heard: Cell::new(Instant::default()) };
    let talk = async |ws: WebSocket<'_>| demo.talk(ws).await;
    let events = Events(board);
    let running = client.run_with(network, clock, random, &events, talk);
    let finished = match select(running, demo.watch(sender)).await {
        Either::First(finished) => finished,
        Either::Second(never) => match never {},
    };
    board.log(format_args!("{:?}", COUNTERS.counts()));
    finished
}

/// What the demo remembers from one connection to the next.
struct Demo<'b, C> {
    board: &'b dyn Board,
    clock: &'b C,
    /// How far the script has come: so many texts were sent; one more step are the fragments.
    step: Cell<u32>,
    /// When the last frame came.
    heard: Cell<Instant>,
}

impl<C: Clock> Demo<'_, C> {
    /// A connection: sends what is left of the script, and shows what comes.
    async fn talk(&self, ws: WebSocket<'_>) -> Result<(), Error> {
        let (mut send, mut receive) = ws.split();
        match select(self.listen(&mut receive), self.script(&mut send)).await {
            Either::First(ended) => ended,
            Either::Second(Err(error)) => Err(error),
            Either::Second(Ok(never)) => match never {},
        }
    }

    async fn script(&self, send: &mut SendHalf<'_>) -> Result<Infallible, Error> {
        while self.step.get() < TEXTS {
            let mut line = Line::<16>::new();
            let _ = write!(line, "hello {:04}", self.step.get());
            send.send(line.text()).await?;
            self.board.log(format_args!("sent: {}", line.text()));
            self.step.set(self.step.get() + 1);
            self.clock.wait_until(self.clock.now().plus(Duration::from_secs(1))).await;
        }
        if self.step.get() == TEXTS {
            let mut text = send.text_fragments();
            text.write("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await?;
            text.write("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").await?;
            text.finish("").await?;
            self.board.log(format_args!("sent: three fragments"));
            self.step.set(TEXTS + 1);
        }
        pending().await
    }

    async fn listen(&self, receive: &mut ReceiveHalf<'_>) -> Result<(), Error> {
        let mut buffer = [0; PIECE];
        while let Some(event) = receive.recv_event(&mut buffer).await? {
            // Control frames, too: the tutorial's timer is restarted by whatever the client hands over.
            self.heard.set(self.clock.now());
            match event {
                Event::Chunk(chunk) => show(self.board, &chunk),
                Event::Close(frame) => self.board.log(format_args!("close frame: {frame:?}")),
                Event::Ping(payload) => self.board.log(format_args!("ping: {}", payload.escape_ascii())),
                Event::Pong(payload) => self.board.log(format_args!("pong: {}", payload.escape_ascii())),
                Event::Text(_) | Event::Binary(_) => {}
            }
        }
        Ok(())
    }

    /// Waits for silence, from the first connection on, and closes. The client's `run` returns after that.
    async fn watch(&self, sender: Sender<'_>) -> Infallible {
        sender.connected().await;
        self.heard.set(self.clock.now());
        while self.clock.now() < self.heard.get().plus(SILENCE) {
            self.clock.wait_until(self.heard.get().plus(SILENCE)).await;
        }
        self.board.log(format_args!("no data for {} seconds", SILENCE.as_secs()));
        sender.close(CloseCode::NORMAL, "");
        sender.stop();
        pending().await
    }
}

fn show(board: &dyn Board, chunk: &Chunk<'_>) {
    let (opcode, len) = chunk.frame.map_or((0, 0), |frame| (frame.opcode as u8, frame.len));
    board.log(format_args!("data: opcode {opcode}, payload {len}, offset {}", chunk.offset));
    match core::str::from_utf8(chunk.data) {
        Ok(text) => board.log(format_args!("received: {text}")),
        Err(_) => board.log(format_args!("received: {}", chunk.data.escape_ascii())),
    }
    if chunk.first && chunk.last {
        show_items(board, chunk.data);
    }
}

/// Names the elements of a JSON array of objects with `id` and `name`; anything else is passed over.
fn show_items(board: &dyn Board, data: &[u8]) {
    for element in Elements(data.trim_ascii()) {
        if let Ok((item, _)) = serde_json_core::from_slice::<Item<'_>>(element) {
            board.log(format_args!("item {}: {}", item.id, item.name));
        }
    }
}

/// An element of a JSON array that is worth a line.
#[derive(Deserialize)]
struct Item<'j> {
    id: &'j str,
    name: &'j str,
}

/// The elements of a JSON array, by brackets and quotes.
struct Elements<'j>(&'j [u8]);

impl<'j> Iterator for Elements<'j> {
    type Item = &'j [u8];

    fn next(&mut self) -> Option<&'j [u8]> {
        let (_, rest) = self.0.split_first().filter(|(first, _)| matches!(first, b'[' | b','))?;
        let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
        let end = rest.iter().position(|byte| {
            match (quoted, escaped, byte) {
                (true, true, _) => escaped = false,
                (true, false, b'\\') => escaped = true,
                (_, _, b'"') => quoted = !quoted,
                (false, _, b'[' | b'{') => depth = depth.saturating_add(1),
                (false, _, b']' | b'}' | b',') if depth == 0 => return true,
                (false, _, b']' | b'}') => depth -= 1,
                _ => {}
            }
            false
        })?;
        let (element, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        Some(element.trim_ascii())
    }
}

/// Logs the attempts to connect. What is open and what has ended is logged by the library.
struct Events<'b>(&'b dyn Board);

impl Handler for Events<'_> {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

impl ClientHandler for Events<'_> {
    fn on_connecting(&self, attempt: u32) {
        self.0.log(format_args!("connecting, attempt {attempt}"));
    }

    fn on_response(&self, head: &ResponseHead<'_>) {
        self.0.log(format_args!("the server answers with {}", head.status()));
    }

    fn on_failure(&self, failure: &Failure) {
        self.0.log(format_args!("error: {failure:?}"));
    }

    fn on_waiting(&self, delay: Duration) {
        self.0.log(format_args!("next attempt in {} ms", delay.as_millis()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Log;

    #[test]
    fn json_is_looked_into_and_never_trusted() {
        let log = Log::default();
        for text in [
            r#"[{"id":"1","name":"one"},{"id":2,"name":"two"},{"name":"x, ]","id":"3","more":[1,{}]},7,"a"]"#,
            r#"{"id":"4","name":"four"}"#,
            r#"[{"id":"5""#,
            "[",
            "]",
            "[,,,",
            "[[[[[[",
            "",
            "[\"\\",
        ] {
            show_items(&log, text.as_bytes());
        }
        assert_eq!(log.lines(), ["item 1: one", "item 3: x, ]"]);
    }
}
