//! Every wait has a limit: what is sent, what was begun, and what is to stop.

use core::cell::Cell;
use core::time::Duration;
use std::boxed::Box;
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec::Vec;

use embedded_io_async::Read as _;
use wirelet_proto::{CloseCode, Config, Event, Keepalive, MessageKind};

use super::support::*;
use crate::http::File;
use crate::net::{Listen, Socket as _};
use crate::server::{Route, Server, Settings, WebSocketRoute};
use crate::{ConnectionId, End, Fragments, Handler, Overflow, Peer, Phase, Resources, SendReason};

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };

/// Echoes, begins a message when it is told to and never ends it, and keeps a diary.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

impl Echo {
    fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Text(text) = event {
            match text {
                "begin" => peer.send_fragment(MessageKind::Text, b"begun", false).unwrap(),
                _ => drop(peer.send(text)),
            }
            self.0.lock().unwrap().push(text.to_string());
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        let text = std::format!(
            "{:?}, received {:?}, was closing {}",
            end.cause,
            end.close.received,
            end.was_closing
        );
        self.0.lock().unwrap().push(text);
    }
}

fn with_echo(config: &Config, overflow: Overflow, script: impl AsyncFnOnce(Rig<'_>, &Echo)) {
    let echo = Echo::default();
    let route = WebSocketRoute { overflow, ..WebSocketRoute::new(&echo, config) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 64>(&Settings::new(&routes), 512, async |rig| script(rig, &echo).await);
}

async fn opened(rig: &Rig<'_>) -> (Dialed, ConnectionId) {
    let mut peer = rig.net.dial();
    peer.upgrade("/ws", "").await;
    (peer, rig.handle.connections().next().unwrap().id)
}

async fn begun<'r>(rig: &Rig<'r>, peer: &mut Dialed, id: ConnectionId) -> Fragments<'r> {
    let mut fragments = rig.handle.fragments(id, MessageKind::Text).unwrap();
    fragments.try_send(b"half", false).unwrap();
    assert_eq!(peer.frame().await, (0x01, b"half".to_vec()));
    fragments
}

/// After an abandoned fragmented message an event that waited for it was never delivered, so that the close frame behind it
/// was never read, and the connection ended by its deadline.
#[test]
fn the_closing_handshake_ends_after_an_abandoned_message() {
    for inbound in [false, true] {
        with_echo(&QUIET, Overflow::Refuse, async |rig, echo| {
            let (mut peer, id) = opened(&rig).await;
            let fragments = begun(&rig, &mut peer, id).await;
            if inbound {
                peer.send(masked(0x81, "echo")).await;
            }
            rig.clock.sleep(10).await;
            drop(fragments);
            assert_eq!(peer.frame().await, (0x88, 1011_u16.to_be_bytes().to_vec()));
            peer.send(masked(0x88, 1011_u16.to_be_bytes())).await;
            peer.finish().await;
            assert!(peer.rest().await.is_empty());
            assert_eq!(rig.clock.now.get(), 10);
            let diary = echo.take();
            assert_eq!(diary.len(), 1 + usize::from(inbound));
            assert_eq!(diary.last().unwrap(), "Closed, received Some(CloseCode(1011)), was closing true");
        });
    }
}

/// The same when the queue was emptied because the peer was too slow for it.
#[test]
fn the_closing_handshake_ends_after_an_overflow() {
    with_echo(&QUIET, Overflow::Close, async |rig, echo| {
        let (mut peer, id) = opened(&rig).await;
        let mut fragments = begun(&rig, &mut peer, id).await;
        fragments.try_send(&[b'x'; 50], false).unwrap();
        fragments.try_send(&[b'y'; 20], true).unwrap_err();
        drop(fragments);
        rig.handle.try_send(id, "z".repeat(60).as_str()).unwrap_err();
        peer.send(masked(0x81, "echo")).await;
        let close = loop {
            let (first, payload) = peer.frame().await;
            if first == 0x88 {
                break payload;
            }
        };
        // Who asked first named the code.
        assert_eq!(close, 1011_u16.to_be_bytes());
        peer.send(masked(0x88, 1011_u16.to_be_bytes())).await;
        peer.finish().await;
        peer.rest().await;
        assert_eq!(rig.clock.now.get(), 0);
        assert!(echo.take().last().unwrap().starts_with("Closed, "));
    });
}

/// The code of whoever asked first was overwritten when the queue ran over afterwards.
#[test]
fn the_code_that_was_asked_for_first_is_sent() {
    with_echo(&QUIET, Overflow::Close, async |rig, _| {
        let (mut peer, id) = opened(&rig).await;
        rig.handle.try_send(id, "x".repeat(60).as_str()).unwrap();
        assert!(rig.handle.close(id, CloseCode::GOING_AWAY, ""));
        // It would have run over; and a stop has a code of its own.
        assert_eq!(rig.handle.try_send(id, "y".repeat(60).as_str()).unwrap_err().reason, SendReason::Gone);
        rig.handle.close(id, CloseCode::NORMAL, "");
        rig.handle.stop();
        assert_eq!(peer.frame().await, (0x81, "x".repeat(60).into_bytes()));
        assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
    });
}

/// A task that held a message which it had begun switched off every deadline of its connection, for ever when the peer was dead.
#[test]
fn a_task_that_forgets_its_message_has_a_deadline() {
    with_echo(&Config::new(), Overflow::Refuse, async |rig, echo| {
        let (mut peer, id) = opened(&rig).await;
        let fragments = begun(&rig, &mut peer, id).await;
        // It waits for the message's end to be answered, which holds the keepalive up.
        peer.send(masked(0x81, "echo")).await;
        rig.clock.sleep(59_999).await;
        assert_eq!(rig.handle.connection(id).unwrap().phase, Phase::Open);
        rig.clock.sleep(1).await;
        assert_eq!(peer.frame().await, (0x88, 1011_u16.to_be_bytes().to_vec()));
        rig.clock.sleep(5_001).await;
        assert_eq!(rig.handle.connections().count(), 0);
        let diary = echo.take();
        assert_eq!(diary[0], "echo");
        assert!(diary[1].starts_with("Expired(Fragment)"), "{diary:?}");
        drop(fragments);
    });
}

/// A handler that began a message and forgot it kept all tasks from sending for the connection's life.
#[test]
fn a_handler_that_forgets_its_message_has_a_deadline() {
    with_echo(&QUIET, Overflow::Refuse, async |rig, echo| {
        let (mut peer, id) = opened(&rig).await;
        peer.send(masked(0x81, "begin")).await;
        assert_eq!(peer.frame().await, (0x01, b"begun".to_vec()));
        rig.handle.try_send(id, "waits").unwrap();
        assert_eq!(peer.frame().await, (0x88, 1011_u16.to_be_bytes().to_vec()));
        assert_eq!(rig.clock.now.get(), 60_000);
        drop(peer);
        rig.clock.sleep(1).await;
        assert!(echo.take()[1].starts_with("Expired(Fragment)"));
    });
}

/// One writer that had begun nothing kept all tasks from sending, for as long as it was held.
#[test]
fn fragments_that_have_not_begun_hold_nobody_up() {
    with_echo(&QUIET, Overflow::Refuse, async |rig, _| {
        let (mut peer, id) = opened(&rig).await;
        let held = rig.handle.fragments(id, MessageKind::Text).unwrap();
        rig.handle.try_send(id, "passes").unwrap();
        assert_eq!(peer.frame().await, (0x81, b"passes".to_vec()));
        drop(held);
        rig.clock.sleep(1).await;
        assert_eq!(rig.handle.connection(id).unwrap().phase, Phase::Open);
    });
}

static BIG: [u8; 32_768] = [b'x'; 32_768];

/// Runs one worker and a peer that takes a byte every `pause` milliseconds of what it is sent, from a page or from what waits
/// in all the buffers of a WebSocket; answers when the connection was over, and when `run` returned, in milliseconds after
/// `stop` or, without that, after the beginning.
fn trickle(http: bool, stop: bool, pause: u64) -> (u64, Option<u64>) {
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, &QUIET);
    let routes = [Route::websocket("/ws", &route), Route::file("/big", File::new(&BIG, "text/plain"))];
    let settings = Settings::new(&routes);
    let (clock, net) = (ManualClock::default(), Net::new(16));
    let mut resources = Box::new(Resources::<1, 512, 512, 4096>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let [mut worker] = server.into_workers();
    let mut listener = net.clone();
    let returned = Cell::new(None);
    let run = async {
        worker.run(&mut listener, &clock).await;
        returned.set(Some(clock.now.get()));
    };
    let script = async {
        let mut peer = net.dial();
        if http {
            peer.send("GET /big HTTP/1.1\r\nHost: device\r\n\r\n").await;
            peer.take(16).await;
        } else {
            peer.upgrade("/ws", "").await;
            let id = handle.connections().next().unwrap().id;
            while handle.try_send(id, "0123456789".repeat(10).as_str()).is_ok() {
                crate::time::yield_now().await;
            }
        }
        let from = clock.now.get();
        if stop {
            handle.stop();
        }
        let (mut reader, _) = peer.wire.split();
        while matches!(reader.read(&mut [0]).await, Ok(1)) && handle.connections().count() > 0 {
            clock.sleep(pause).await;
        }
        let over = clock.now.get() - from;
        handle.stop();
        clock.sleep(10_000).await;
        (over, returned.get().map(|at| at - from))
    };
    block_on(&clock, async { Box::pin(both(run, script)).await }, Vec::new()).1
}

/// A peer that took a byte now and then held a stopped server for days.
#[test]
fn a_stopped_server_returns_in_time_whatever_its_peers_take() {
    for http in [false, true] {
        let (_, returned) = trickle(http, true, 900);
        assert_eq!(returned, Some(5_000), "http: {http}");
    }
}

/// A peer that took a byte every nine seconds held its place for as long as it liked.
#[test]
fn who_takes_a_byte_now_and_then_is_given_up_after_ten_minutes() {
    for http in [false, true] {
        let (over, _) = trickle(http, false, 9_000);
        assert!((600_000..620_000).contains(&over), "http: {http}: {over}");
    }
}

/// Stop was for ever: the same worker could not be run again.
#[test]
fn a_server_starts_again_after_it_was_stopped() {
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let (clock, net) = (ManualClock::default(), Net::new(64));
    let mut resources = Box::new(Resources::<2, 512, 512, 64>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let mut workers = server.into_workers();
    let returns = Cell::new(0);
    let tasks: Vec<Task<'_>> = workers
        .iter_mut()
        .map(|worker| -> Task<'_> {
            let (mut listener, clock, returns) = (net.clone(), &clock, &returns);
            Box::pin(async move {
                loop {
                    worker.run(&mut listener, clock).await;
                    returns.set(returns.get() + 1);
                    clock.sleep(1_000).await;
                }
            })
        })
        .collect();
    let script = async {
        for round in 1..=3 {
            let mut peer = net.dial();
            peer.upgrade("/ws", "").await;
            peer.send(masked(0x81, "echo")).await;
            assert_eq!(peer.frame().await, (0x81, b"echo".to_vec()));
            handle.stop();
            assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
            peer.send(masked(0x88, 1001_u16.to_be_bytes())).await;
            peer.finish().await;
            peer.rest().await;
            clock.sleep(1).await;
            assert_eq!((returns.get(), handle.connections().count()), (2 * round, 0));
            // Nobody accepts meanwhile.
            let _waiting = net.dial();
            clock.sleep(500).await;
            assert_eq!(net.waiting(), 1);
            net.refuse_waiting();
            clock.sleep(1_000).await;
        }
    };
    block_on(&clock, script, tasks);
}

/// Counts how often a listener was asked for a connection.
struct Counting<'c>(Net, &'c Cell<u32>);

impl Listen for Counting<'_> {
    type Socket<'l>
        = Wire
    where
        Self: 'l;
    type Error = core::convert::Infallible;

    async fn accept(&mut self) -> Result<Wire, core::convert::Infallible> {
        self.1.set(self.1.get() + 1);
        self.0.accept().await
    }
}

/// A note that was left for a connection which had ended cancelled the accept of the next one, which may be in the middle of a
/// peer's handshake.
#[test]
fn a_late_note_cancels_no_accept() {
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let (clock, net, accepts) = (ManualClock::default(), Net::new(64), Cell::new(0));
    let mut resources = Box::new(Resources::<1, 512, 512, 64>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let [mut worker] = server.into_workers();
    let mut listener = Counting(net.clone(), &accepts);
    let run: Task<'_> = Box::pin(async { worker.run(&mut listener, &clock).await });
    let script = async {
        let mut peer = net.dial();
        peer.upgrade("/ws", "").await;
        let id = handle.connections().next().unwrap().id;
        drop(peer);
        // The connection ends in the same moment.
        handle.close(id, CloseCode::NORMAL, "");
        clock.sleep(1).await;
        assert_eq!((handle.connections().count(), accepts.get()), (0, 2));
        handle.close(id, CloseCode::NORMAL, "");
        clock.sleep(1).await;
        assert_eq!(accepts.get(), 2);
    };
    block_on(&clock, script, [run].into());
}

/// Who had once been asked to make way had its next wait cut short, though a place was free.
#[test]
fn an_eviction_ends_with_its_wait() {
    fn page(_: &crate::http::Request<'_>, response: &mut crate::http::Response<'_>) {
        response.status(204);
    }
    let routes = [Route::call("/", crate::http::Methods::GET, &page)];
    let settings = Settings { keep_alive_time: Duration::from_secs(60), ..Settings::new(&routes) };
    let (clock, net) = (ManualClock::default(), Net::new(64));
    let mut resources = Box::new(Resources::<3, 512, 512, 64>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let mut workers = server.into_workers();
    let tasks: Vec<Task<'_>> = workers
        .iter_mut()
        .map(|worker| -> Task<'_> {
            let (mut listener, clock) = (net.clone(), &clock);
            Box::pin(async move { worker.run(&mut listener, clock).await })
        })
        .collect();
    let script = async {
        // The first worker's place is free again, the second has a connection that is kept, the third a busy one.
        let mut first = net.dial();
        first.get("/", "").await;
        let mut kept = net.dial();
        kept.get("/", "").await;
        let mut busy = net.dial();
        busy.send("GET / HTTP/1.1\r\n").await;
        assert!(first.rest().await.is_empty());
        clock.sleep(1).await;
        // A request begins in the moment in which a newcomer takes the last place, and the kept one is to make way.
        kept.send("GET / HTTP/1.1\r\n").await;
        let newcomer = net.dial();
        clock.sleep(1).await;
        assert_eq!(handle.connections().count(), 3);
        drop((newcomer, busy));
        clock.sleep(1).await;
        kept.send("Host: device\r\n\r\n").await;
        assert!(!kept.response().await.0.contains("close"));
        clock.sleep(50_000).await;
        assert_eq!(handle.connections().count(), 1);
    };
    block_on(&clock, script, tasks);
}

/// A message that was queued behind an abandoned one, before the worker had looked, was sent as its end.
#[test]
fn a_message_behind_an_abandoned_one_is_not_its_end() {
    with_echo(&QUIET, Overflow::Refuse, async |rig, _| {
        let (mut peer, id) = opened(&rig).await;
        let fragments = begun(&rig, &mut peer, id).await;
        drop(fragments);
        assert_eq!(rig.handle.try_send(id, "another").unwrap_err().reason, SendReason::Gone);
        let mut others = rig.handle.fragments(id, MessageKind::Text).unwrap();
        assert_eq!(others.try_send(b"another", true), Err(SendReason::Gone));
        assert_eq!(peer.frame().await, (0x88, 1011_u16.to_be_bytes().to_vec()));
    });
}

/// A connection that was to be closed never was while tasks went on sending to it.
#[test]
fn who_goes_on_sending_does_not_hold_a_close_up() {
    with_echo(&QUIET, Overflow::DropOldest, async |rig, _| {
        let (mut peer, id) = opened(&rig).await;
        for number in 0..200 {
            let _ = rig.handle.try_send(id, std::format!("{number:050}").as_str());
            if number == 100 {
                rig.handle.close(id, CloseCode::GOING_AWAY, "");
            }
            rig.clock.sleep(1).await;
        }
        let mut last = Vec::new();
        loop {
            let (first, payload) = peer.frame().await;
            if first == 0x88 {
                break assert_eq!(payload, 1001_u16.to_be_bytes());
            }
            last = payload;
        }
        // The last that was accepted before is the last that is sent.
        assert_eq!(last, std::format!("{:050}", 100).into_bytes());
    });
}

/// A peer that never stops sending keeps no deadline waiting.
#[test]
fn a_flood_does_not_hold_a_stop_up() {
    with_echo(&QUIET, Overflow::Refuse, async |rig, echo| {
        let (mut peer, _) = opened(&rig).await;
        rig.handle.stop();
        assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
        let flood = masked(0x82, [7; 100]);
        // The clock moves although nobody rests.
        let mut rest = &flood[..];
        while rig.handle.connections().count() > 0 {
            let (_, mut writer) = peer.wire.split();
            let n = embedded_io_async::Write::write(&mut writer, rest).await.unwrap_or(0);
            rest = if n < rest.len() { &rest[n..] } else { &flood };
            rig.clock.now.set(rig.clock.now.get() + 1);
            assert!(rig.clock.now.get() < 6_000);
        }
        let diary = echo.take();
        assert!(diary.last().unwrap().starts_with("Expired(Closing)"), "{diary:?}");
    });
}
