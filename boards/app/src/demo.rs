//! The client: five texts a second apart, a text in three fragments, then whatever the server says, until it has been
//! silent for five seconds.

use core::cell::Cell;
use core::fmt::Write as _;
use core::future::poll_fn;
use core::pin::pin;
use core::time::Duration;

use critical_section::Mutex;
use serde::Deserialize;
use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Failure, Finished, Options};
use wirelet_embedded::net::Connect;
use wirelet_embedded::proto::handshake::{ResponseHead, Uri};
use wirelet_embedded::proto::{
    Chunk, CloseCode, Config, Delivery, Event, Instant, MaskKeys, MessageKind, ReconnectConfig,
};
use wirelet_embedded::{Clock, ConnectionId, End, Handler, Peer, Sender};

use crate::line::Line;
use crate::{Board, QUEUE, RX, TX};

/// The texts that are sent.
const TEXTS: u32 = 5;
/// The text whose echo starts the fragmented one.
const LAST_TEXT: &[u8] = b"hello 0004";
/// After so long without data the demo is over.
const SILENCE: Duration = Duration::from_secs(5);

/// The memory of the demo's connection.
pub type DemoMemory<'c> = ClientResources<'c, RX, TX, QUEUE>;

/// The options of the demo's connection to a server: what arrives is shown as it arrives.
pub const fn options(server: Uri<'_>) -> Options<'_> {
    // The script takes ten seconds: a connection that is lost is to come back before its last text.
    let reconnect = ReconnectConfig { initial_max: 2_000, ..ReconnectConfig::DEFAULT };
    let config = Config { delivery: Delivery::Chunks, ..Config::new() };
    Options { config, reconnect, ..Options::new(server) }
}

/// Runs the demo to its end, over as many connections as that takes.
///
/// # Cancel safety
/// Dropping it ends the connection without a closing handshake.
pub async fn run<'c, N: Connect, C: Clock + Sync, K: MaskKeys>(
    board: &dyn Board,
    memory: &mut DemoMemory<'c>,
    options: &'c Options<'c>,
    network: &mut N,
    clock: &C,
    random: &mut K,
) -> Finished {
    let (mut client, sender) = Client::new(memory, options);
    let now = || clock.now();
    let demo = Demo::new(board, &now);
    let mut script = pin!(demo.send(sender, clock));
    let mut talk = pin!(client.run(network, clock, random, &demo));
    let mut sent = false;
    poll_fn(|cx| {
        sent = sent || script.as_mut().poll(cx).is_ready();
        talk.as_mut().poll(cx)
    })
    .await
}

/// The demo's handler, and the script of what it sends.
struct Demo<'b> {
    board: &'b dyn Board,
    now: &'b (dyn Fn() -> Instant + Sync),
    heard: Mutex<Cell<Option<Instant>>>,
}

/// An element of a JSON array that is worth a line.
#[derive(Deserialize)]
struct Item<'j> {
    id: &'j str,
    name: &'j str,
}

impl<'b> Demo<'b> {
    const fn new(board: &'b dyn Board, now: &'b (dyn Fn() -> Instant + Sync)) -> Self {
        Self { board, now, heard: Mutex::new(Cell::new(None)) }
    }

    /// Sends, waits for silence, closes. The client's `run` returns after that.
    async fn send<C: Clock>(&self, sender: Sender<'_>, clock: &C) {
        sender.connected().await;
        self.hear();
        for number in 0..TEXTS {
            let mut line = Line::<16>::new();
            let _ = write!(line, "hello {number:04}");
            match sender.try_send(line.text()) {
                Ok(()) => self.board.log(format_args!("sent: {}", line.text())),
                Err(error) => self.board.log(format_args!("not sent: {}: {error}", line.text())),
            }
            clock.wait_until(clock.now().plus(Duration::from_secs(1))).await;
        }
        loop {
            let heard = critical_section::with(|section| self.heard.borrow(section).get());
            let until = heard.unwrap_or_default().plus(SILENCE);
            if clock.now() >= until {
                break;
            }
            clock.wait_until(until).await;
        }
        self.board.log(format_args!("no data for {} seconds", SILENCE.as_secs()));
        sender.close(CloseCode::NORMAL, "");
        sender.stop();
    }

    fn hear(&self) {
        let now = (self.now)();
        critical_section::with(|section| self.heard.borrow(section).set(Some(now)));
    }

    fn chunk(&self, chunk: &Chunk<'_>) {
        let (opcode, len) = chunk.frame.map_or((0, 0), |frame| (frame.opcode as u8, frame.len));
        self.board.log(format_args!("data: opcode {opcode}, payload {len}, offset {}", chunk.offset));
        match core::str::from_utf8(chunk.data) {
            Ok(text) => self.board.log(format_args!("received: {text}")),
            Err(_) => self.board.log(format_args!("received: {}", chunk.data.escape_ascii())),
        }
        if chunk.first && chunk.last {
            self.json(chunk.data);
        }
    }

    /// Names the elements of a JSON array of objects with `id` and `name`; anything else is passed over.
    fn json(&self, data: &[u8]) {
        for element in Elements(data.trim_ascii()) {
            if let Ok((item, _)) = serde_json_core::from_slice::<Item<'_>>(element) {
                self.board.log(format_args!("item {}: {}", item.id, item.name));
            }
        }
    }
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

impl Handler for Demo<'_> {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Chunk(chunk) => {
                self.hear();
                self.chunk(&chunk);
                if chunk.first && chunk.last && chunk.data == LAST_TEXT {
                    let sent = [(&[b'a'; 32][..], false), (&[b'b'; 32], false), (&[], true)]
                        .into_iter()
                        .try_for_each(|(part, fin)| peer.send_fragment(MessageKind::Text, part, fin));
                    self.board.log(format_args!("sent: three fragments: {sent:?}"));
                }
            }
            Event::Close(frame) => self.board.log(format_args!("close frame: {frame:?}")),
            Event::Ping(payload) => self.board.log(format_args!("ping: {}", payload.escape_ascii())),
            Event::Pong(payload) => self.board.log(format_args!("pong: {}", payload.escape_ascii())),
            Event::Text(_) | Event::Binary(_) => {}
        }
    }

    fn on_open(&self, _: &mut Peer<'_>) {
        self.board.log(format_args!("connected"));
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        let code = u16::from(end.close.code());
        if end.was_closing && !end.close.is_clean() {
            // This client has said its last word: that is no failure.
            self.board.log(format_args!("no clean answer to the close frame: {:?}", end.cause));
        }
        self.board.log(format_args!(
            "disconnected: {code}, {:?}, clean: {}",
            end.cause,
            end.close.is_clean()
        ));
    }
}

impl ClientHandler for Demo<'_> {
    fn on_connecting(&self, attempt: u32) {
        self.board.log(format_args!("connecting, attempt {attempt}"));
    }

    fn on_response(&self, head: &ResponseHead<'_>) {
        self.board.log(format_args!("the server answers with {}", head.status()));
    }

    fn on_failure(&self, failure: &Failure) {
        self.board.log(format_args!("not connected: {failure:?}"));
    }

    fn on_waiting(&self, delay: Duration) {
        self.board.log(format_args!("next attempt in {} ms", delay.as_millis()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Log;

    #[test]
    fn json_is_looked_into_and_never_trusted() {
        let log = Log::default();
        let demo = Demo::new(&log, &Instant::default);
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
            demo.json(text.as_bytes());
        }
        assert_eq!(log.lines(), ["item 1: one", "item 3: x, ]"]);
    }
}
