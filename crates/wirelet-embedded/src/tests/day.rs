//! A day on a virtual clock: peers that break, stall, flood and vanish at random, for the server and for the client. The
//! seed is fixed, so that every run is the same.

use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec::Vec;

use embedded_io_async::{Read as _, Write as _};
use testkit::random::{Keys, Rng};
use wirelet_proto::handshake::{ResponseHead, Uri, accept_key};
use wirelet_proto::{CloseCode, Config, Delivery, Event, Limits};

use super::support::*;
use crate::client::{Client, ClientHandler, ClientResources, Failure, Finished, Options};
use crate::http::{Methods, Request, Response};
use crate::net::{Listen as _, Socket as _};
use crate::server::{Route, Server, Settings, WebSocketRoute};
use crate::time::before;
use crate::{Clock as _, ConnectionId, End, Handle, Handler, Overflow, Peer, Resources};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const QUEUE: usize = 128;

/// How often what has happened.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, u32>>);

impl Tally {
    fn count(&self, what: impl ToString) {
        *self.0.lock().unwrap().entry(what.to_string()).or_default() += 1;
    }

    fn of(&self, start: &str) -> u32 {
        self.0.lock().unwrap().iter().filter(|(what, _)| what.starts_with(start)).map(|(_, n)| n).sum()
    }
}

/// Echoes, and counts how connections begin and end.
#[derive(Default)]
struct Echo(Tally);

impl Handler for Echo {
    fn on_open(&self, _: &mut Peer<'_>) {
        self.0.count("open");
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            // What a peer that closes has begun need not come back.
            Event::Chunk(chunk) if peer.is_open() => {
                peer.send_fragment(chunk.kind, chunk.data, chunk.last).expect("there is room for an echo");
            }
            _ => {}
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        self.0.count("closed");
        let cause = format!("{:?}", end.cause);
        self.0.count(format!("end {}", cause.split(" {").next().unwrap_or_default()));
    }
}

impl ClientHandler for Echo {
    fn on_response(&self, head: &ResponseHead<'_>) {
        self.0.count(format!("status {}", head.status()));
    }

    fn on_failure(&self, failure: &Failure) {
        let failure = format!("{failure:?}");
        self.0.count(format!("failure {}", failure.split('(').next().unwrap_or_default()));
    }
}

/// A raw connection whose operations may fail, and take no longer than they are given.
struct Raw<'c> {
    clock: &'c ManualClock,
    wire: Wire,
    received: Vec<u8>,
    /// Nothing more will come.
    over: bool,
}

impl<'c> Raw<'c> {
    fn new(clock: &'c ManualClock, wire: Wire) -> Self {
        Self { clock, wire, received: Vec::new(), over: false }
    }

    async fn put(&mut self, bytes: &[u8], millis: u64) -> Option<()> {
        let deadline = self.clock.now().plus(Duration::from_millis(millis));
        let (_, mut writer) = self.wire.split();
        before(self.clock, deadline, pin!(writer.write_all(bytes))).await?.ok()
    }

    async fn more(&mut self, millis: u64) -> Option<()> {
        let deadline = self.clock.now().plus(Duration::from_millis(millis));
        let (mut reader, _) = self.wire.split();
        let mut buffer = [0; 256];
        let n = before(self.clock, deadline, pin!(reader.read(&mut buffer))).await?.unwrap_or(0);
        self.received.extend(&buffer[..n]);
        self.over = n == 0;
        (n > 0).then_some(())
    }

    async fn take(&mut self, n: usize, millis: u64) -> Option<Vec<u8>> {
        while self.received.len() < n {
            self.more(millis).await?;
        }
        Some(self.received.drain(..n).collect())
    }

    async fn head(&mut self, millis: u64) -> Option<String> {
        loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.received.drain(..at + 4).collect()).ok();
            }
            self.more(millis).await?;
        }
    }

    /// The next frame, unmasked.
    async fn frame(&mut self, millis: u64) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2, millis).await?;
        let len = match head[1] & 0x7f {
            126 => u16::from_be_bytes(self.take(2, millis).await?.try_into().ok()?).into(),
            len => usize::from(len),
        };
        let key = if head[1] & 0x80 == 0 { [0; 4] } else { self.take(4, millis).await?.try_into().ok()? };
        let payload = self.take(len, millis).await?;
        Some((head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
    }

    /// Reads until the peer ends it, however long that takes.
    async fn drain(&mut self) {
        while self.more(HOUR).await.is_some() {
            self.received.clear();
        }
    }
}

/// A visitor of the server: one visit after the other, each another way.
async fn visitor(net: Net, clock: &ManualClock, mut rng: Rng, pause: &Cell<bool>, tally: &Tally) {
    while clock.now.get() < DAY {
        clock.sleep(1_000 + rng.below(240_000) as u64).await;
        if pause.get() {
            continue;
        }
        let mut raw = Raw::new(clock, net.dial().wire);
        let kind = rng.below(9);
        let outcome = visit(&mut raw, kind, &mut rng).await;
        tally.count(format!("visit {kind} {}", outcome.unwrap_or("broken")));
    }
}

async fn visit(raw: &mut Raw<'_>, kind: usize, rng: &mut Rng) -> Option<&'static str> {
    if kind == 0 {
        raw.put(b"GET /status HTTP/1.1\r\nHost: device\r\n\r\n", 60_000).await?;
        assert!(raw.head(60_000).await?.starts_with("HTTP/1.1 200 "));
        return Some("served");
    }
    if kind == 1 {
        // Half a request, or rubbish; then nothing, or the end.
        raw.put([&b"GET /ws HT"[..], b"\x16\x03\x01\x02", b"\r\n\r\n\r\n"][rng.below(3)], 60_000).await?;
        if rng.one_in(2) {
            raw.drain().await;
        }
        return Some("done");
    }
    raw.put(upgrade_request("/ws", "").as_bytes(), 60_000).await?;
    let head = raw.head(120_000).await.expect("whoever waits gets an answer");
    if !head.starts_with("HTTP/1.1 101 ") {
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        return Some("full");
    }
    match kind {
        // Gone in the middle of a frame.
        2 => raw.put(&masked(0x82, [0; 90])[..rng.below(90)], 60_000).await?,
        // Half-open: nobody is there any more, and nothing says so.
        3 => {
            hold(raw).await;
        }
        // A byte now and then.
        4 => {
            for byte in masked(0x82, [0; 40]) {
                raw.put(&[byte], 60_000).await?;
                raw.clock.sleep(rng.below(3_000) as u64).await;
            }
        }
        // A flood of frames, and not one answer read.
        5 => {
            let flood = [masked(0x89, b"ping"), masked(0x82, [7; 100])][rng.below(2)].repeat(50);
            raw.put(&flood, 60_000).await?;
        }
        // Rubbish instead of frames.
        6 => {
            raw.put(&rng.bytes(64), 60_000).await?;
            raw.drain().await;
        }
        // All is well: that has to work, whoever else is there.
        _ => {
            talk(raw, rng).await.expect("who behaves is served");
            return Some("good");
        }
    }
    Some("done")
}

/// Holds the connection without reading or writing until the server has given it up.
async fn hold(raw: &mut Raw<'_>) {
    while raw.put(&[], HOUR).await.is_some() && !raw.wire.is_broken() {
        raw.clock.sleep(1_000).await;
    }
}

async fn talk(raw: &mut Raw<'_>, rng: &mut Rng) -> Option<()> {
    for _ in 0..=rng.below(6) {
        let len = 1 + rng.below(300);
        let sent = rng.bytes(len);
        raw.put(&masked(0x82, &sent), 5_000).await?;
        let mut echoed = Vec::new();
        while echoed.len() < sent.len() {
            match raw.frame(5_000).await? {
                (first, payload) if first & 0x0f <= 2 && first != 0x81 => echoed.extend(payload),
                (0x81, news) => assert_eq!(news, b"news"),
                (0x89, payload) => raw.put(&masked(0x8a, payload), 5_000).await?,
                other => panic!("{other:?}"),
            }
        }
        assert!(echoed == sent);
        raw.clock.sleep(rng.below(10_000) as u64).await;
    }
    raw.put(&masked(0x88, 1000_u16.to_be_bytes()), 5_000).await?;
    loop {
        let (first, payload) = raw.frame(5_000).await?;
        if first == 0x88 {
            assert_eq!(payload, 1000_u16.to_be_bytes());
            return Some(());
        }
    }
}

fn status(_: &Request<'_>, response: &mut Response<'_>) {
    let _ = core::fmt::Write::write_str(response, "{}");
}

/// Every hour the visitors rest, and all places are free after two minutes; then the server stops.
async fn supervise(clock: &ManualClock, net: &Net, handle: Handle<'_>, pause: &Cell<bool>, echo: &Echo) {
    for hour in 1..=24 {
        while clock.now.get() < hour * HOUR - 240_000 {
            clock.sleep(10_000).await;
            handle.broadcast("news", |_| true);
            assert!(handle.connections().all(|connection| connection.queued <= QUEUE));
        }
        pause.set(true);
        // The longest that a visit may take that has just begun, and what the server grants it.
        clock.sleep(239_000).await;
        assert_eq!(handle.connections().count(), 0, "hour {hour}: {handle:?}");
        assert_eq!((net.waiting(), net.open()), (0, 0), "hour {hour}");
        assert_eq!(echo.0.of("open"), echo.0.of("closed"));
        pause.set(hour == 24);
        clock.sleep(1_000).await;
    }
    clock.sleep(300_000).await;
    handle.stop();
}

#[test]
fn a_server_lives_through_a_day_of_faults() {
    let (clock, net, echo, tally) = (ManualClock::default(), Net::new(96), Echo::default(), Tally::default());
    // Shorter than the keepalive of a peer that is silent, so that those who take nothing are told apart.
    let limits = Limits { stalled_time: Some(Duration::from_secs(10)), ..Limits::new() };
    let config = Config { delivery: Delivery::Chunks, limits, ..Config::new() };
    let route = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&echo, &config) };
    let routes = [Route::call("/status", Methods::GET, &status), Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let mut resources = Box::new(Resources::<6, 512, 512, QUEUE>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let mut workers = server.into_workers();
    let pause = Cell::new(false);
    let visitors = (0..14).map(|seed| -> Task<'_> {
        Box::pin(visitor(net.clone(), &clock, Rng::new(2026 + seed), &pause, &tally))
    });
    let done = Cell::new(0);
    let running = workers.iter_mut().map(|worker| -> Task<'_> {
        let (mut listener, clock, done) = (net.clone(), &clock, &done);
        Box::pin(async move {
            worker.run(&mut listener, clock).await;
            done.set(done.get() + 1);
        })
    });
    let tasks = visitors.chain(running).collect();
    block_on(
        &clock,
        async {
            supervise(&clock, &net, handle, &pause, &echo).await;
            clock.sleep(10_000).await;
        },
        tasks,
    );
    assert_eq!(done.get(), 6);
    std::println!("{:?}\n{:?}", tally.0.lock().unwrap(), echo.0.0.lock().unwrap());
    for outcome in ["visit 0 served", "visit 7 good", "visit 8 good"] {
        assert!(tally.of(outcome) > 300, "{outcome}");
    }
    for end in ["end Closed", "end Io", "end Expired", "end Failed", "end Expired(Stalled"] {
        assert!(echo.0.of(end) > 20, "{end}");
    }
}

/// A server that is good for every surprise.
async fn moody_server(net: Net, clock: &ManualClock, mut rng: Rng, tally: &Tally) {
    loop {
        if rng.one_in(12) {
            net.refuse(true);
            clock.sleep(rng.below(600_000) as u64).await;
            net.refuse(false);
        }
        let Ok(wire) = net.clone().accept().await;
        let mut raw = Raw::new(clock, wire);
        let kind = rng.below(10);
        let outcome = entertain(&mut raw, kind, &mut rng).await;
        tally.count(format!("served {kind} {}", if outcome.is_some() { "done" } else { "broken" }));
    }
}

async fn entertain(raw: &mut Raw<'_>, kind: usize, rng: &mut Rng) -> Option<()> {
    let head = raw.head(60_000).await?;
    match kind {
        0 => return raw.put(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", 60_000).await,
        1 => return raw.put(&rng.bytes(40), 60_000).await,
        // An answer that never comes.
        2 => {
            raw.drain().await;
            return Some(());
        }
        _ => {}
    }
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).ok()?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    raw.put(answer.as_bytes(), 60_000).await?;
    // A good while first.
    let until = raw.clock.now.get() + rng.below(1_200_000) as u64;
    while raw.clock.now.get() < until {
        match raw.frame(1_000).await {
            Some((0x88, payload)) => return raw.put(&unmasked(0x88, payload), 60_000).await,
            Some((0x89, payload)) => raw.put(&unmasked(0x8a, payload), 60_000).await?,
            Some((_, payload)) if payload == b"telemetry" => {
                raw.put(&unmasked(0x81, "noted"), 60_000).await?
            }
            // The echo of that.
            Some(_) => {}
            None if raw.over => return None,
            None => {}
        }
    }
    match kind {
        // The connection breaks.
        3 => Some(()),
        // Half-open: nothing is taken any more, or everything is and nothing comes back.
        4 => {
            hold(raw).await;
            Some(())
        }
        5 => {
            raw.drain().await;
            Some(())
        }
        // A flood.
        6 => raw.put(&unmasked(0x82, [9; 100]).repeat(200), 5_000).await,
        7 => {
            raw.put(&rng.bytes(80), 5_000).await?;
            raw.drain().await;
            Some(())
        }
        _ => {
            raw.put(&unmasked(0x88, 1001_u16.to_be_bytes()), 5_000).await?;
            while raw.frame(5_000).await?.0 != 0x88 {}
            Some(())
        }
    }
}

#[test]
fn a_client_lives_through_a_day_of_faults() {
    let (clock, net, echo, tally) = (ManualClock::default(), Net::new(96), Echo::default(), Tally::default());
    let config = Config { delivery: Delivery::Chunks, ..Config::new() };
    let uri = Uri::parse("ws://device/").unwrap();
    let options = Options { config, connect_after_close: true, ..Options::new(uri) };
    let mut resources = Box::new(ClientResources::<512, 512, QUEUE>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let (mut network, mut keys) = (net.clone(), Keys::new(7));
    let run = client.run(&mut network, &clock, &mut keys, &echo);
    let script = async {
        let (mut sent, mut longest, mut last) = (0_u32, 0, 0);
        while clock.now.get() < DAY {
            clock.sleep(5_000).await;
            if sender.is_connected() {
                last = clock.now.get();
                sent += u32::from(sender.try_send("telemetry").is_ok());
                if sent % 997 == 0 {
                    sender.close(CloseCode::NORMAL, "");
                }
            }
            assert!(sender.queued() <= QUEUE && net.open() <= 2);
            longest = longest.max(clock.now.get() - last);
        }
        sender.stop();
        (sent, longest)
    };
    let server: Task<'_> = Box::pin(moody_server(net.clone(), &clock, Rng::new(11), &tally));
    let (finished, (sent, longest)) =
        block_on(&clock, async { Box::pin(both(run, script)).await }, [server].into());
    std::println!(
        "{sent} sent, away for {longest} ms at most; {:?}\n{:?}",
        tally.0.lock().unwrap(),
        echo.0.0.lock().unwrap()
    );
    assert_eq!(finished, Finished::Stopped);
    assert_eq!(echo.0.of("open"), echo.0.of("closed"));
    assert!(sent > 5_000 && echo.0.of("open") > 80, "{sent} {}", echo.0.of("open"));
    // It always came back: the longest that the server refused, failed attempts, and the delays between.
    assert!(longest < 1_800_000, "{longest}");
    for seen in [
        "status 503",
        "failure Handshake",
        "failure Timeout",
        "failure Network",
        "end Expired",
        "end Failed",
        "end Io",
        "end Closed",
    ] {
        assert!(echo.0.of(seen) > 0, "{seen}");
    }
    drop(network);
    assert!(net.open() <= 1 && sender.queued() == 0 && !sender.is_connected());
}
