//! Both directions at once: what tasks send, and what the peer says.

use core::cell::Cell;
use std::boxed::Box;
use std::string::String;
use std::sync::Mutex;
use std::vec::Vec;

use embedded_io_async::{Read as _, Write as _};
use testkit::random::{Keys, Rng};
use wirelet_proto::handshake::Uri;
use wirelet_proto::{CloseCode, Config, Delivery, Event, Keepalive};

use super::support::*;
use crate::client::{Client, ClientHandler, ClientResources, Options};
use crate::net::Socket as _;
use crate::server::{Route, Settings, WebSocketRoute};
use crate::{Cause, ConnectionId, End, Handler, Overflow, Peer};

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };

/// Answers texts that begin with `?`, keeps what else it hears, and how it ended.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<Vec<u8>>>,
    end: Mutex<Option<End>>,
}

impl Listener {
    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn note(&self, bytes: &[u8]) {
        self.heard.lock().unwrap().push(bytes.to_vec());
    }
}

impl Handler for Listener {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => {
                if text.starts_with('?') {
                    peer.send(text).expect("an answer has room");
                }
                self.note(text.as_bytes());
            }
            Event::Binary(bytes) => self.note(bytes),
            Event::Chunk(chunk) => {
                // A whole echo of every piece must have room, wanted or not.
                assert!(peer.room() >= chunk.data.len());
                self.note(chunk.data);
            }
            Event::Close(frame) => self.note(frame.map_or("", |frame| frame.reason).as_bytes()),
            _ => {}
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        *self.end.lock().unwrap() = Some(*end);
    }
}

impl ClientHandler for Listener {}

/// A server whose tasks never stop sending did not read: no pong, no "stop", no close handshake.
#[test]
fn a_peer_is_heard_however_much_tasks_send() {
    let listener = Listener::default();
    let route = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&listener, &QUIET) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 128>(&Settings::new(&routes), 64, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        let done = Cell::new(false);
        let produce = async {
            while !done.get() {
                let _ = rig.handle.try_send(id, "telemetry 0123456789");
                rig.clock.sleep(1).await;
            }
        };
        let script = async {
            rig.clock.sleep(100).await;
            peer.send(masked(0x89, "ping")).await;
            peer.send(masked(0x81, "?stop")).await;
            // 1,000 bytes a second.
            let mut bytes: Vec<u8> = Vec::new();
            let (mut reader, _) = peer.wire.split();
            let seen = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
            while !seen(&bytes, b"\x8a\x04ping") || !seen(&bytes, b"\x81\x05?stop") {
                let mut some = [0; 20];
                let n = reader.read(&mut some).await.unwrap();
                bytes.extend(&some[..n]);
                rig.clock.sleep(20).await;
            }
            assert_eq!(listener.heard(), 1);
            // What was in the buffers before them, and once more as much.
            assert!(bytes.len() <= 2 * (256 + 64), "{}", bytes.len());
            done.set(true);
        };
        Box::pin(both(produce, script)).await;
    });
}

/// Two ends that each sent a burst waited for each other to read, until both gave the other up.
#[test]
fn two_ends_that_both_send_a_burst_hear_each_other() {
    for (capacity, len) in [(16, 60), (64, 60), (256, 60), (64, 100)] {
        let server = Listener::default();
        let route = WebSocketRoute::new(&server, &QUIET);
        let routes = [Route::websocket("/ws", &route)];
        serve::<2, 512, 256, 2048>(&Settings::new(&routes), capacity, async |rig| {
            let options = Options { config: QUIET, ..Options::new(Uri::parse("ws://device/ws").unwrap()) };
            let mut resources = Box::new(ClientResources::<512, 256, 2048>::new());
            let (mut client, sender) = Client::new(&mut *resources, &options);
            let handler = Listener::default();
            let (mut network, mut keys) = (rig.net.clone(), Keys::new(3));
            let run = client.run(&mut network, rig.clock, &mut keys, &handler);
            let script = async {
                assert!(sender.connected().await);
                let id = rig.handle.connections().next().unwrap().id;
                for number in 0..16 {
                    let text = std::format!("{number:0len$}");
                    rig.handle.try_send(id, &*text).unwrap();
                    sender.try_send(&*text).unwrap();
                }
                while server.heard() < 16 || handler.heard() < 16 {
                    rig.clock.sleep(1).await;
                    assert!(rig.clock.now.get() < 1_000, "{} {}", server.heard(), handler.heard());
                }
                for heard in [&server.heard, &handler.heard] {
                    let heard = heard.lock().unwrap();
                    assert!(
                        heard
                            .iter()
                            .zip(0..)
                            .all(|(text, number)| *text == std::format!("{number:0len$}").into_bytes())
                    );
                }
                sender.stop();
            };
            Box::pin(both(run, script)).await;
        });
    }
}

/// Whatever the sizes, and however slowly the peer reads: what it says is delivered before it has read what was in the buffers
/// when it spoke, and one message of a task besides.
fn is_heard_in_time<const TX: usize>(seed: u64, delivery: Delivery) {
    let mut rng = Rng::new(seed);
    let capacity = 1 + rng.below(200);
    let listener = Listener::default();
    let config = Config { delivery, ..QUIET };
    let route = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&listener, &config) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, TX, 1024>(&Settings::new(&routes), capacity, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        let (done, read) = (Cell::new(false), Cell::new(0));
        let largest = rig.handle.largest_message();
        let mut sizes = Rng::new(seed + 1);
        let produce = async {
            while !done.get() {
                let _ = rig.handle.try_send(id, &std::vec![7; sizes.below(largest + 1)][..]);
                rig.clock.sleep(1).await;
            }
        };
        let (mut reader, mut writer) = peer.wire.split();
        let drain = async {
            let mut some = [0; 16];
            while !done.get() {
                read.set(read.get() + reader.read(&mut some).await.unwrap());
                rig.clock.sleep(1).await;
            }
        };
        let speak = async {
            for _ in 0..20 {
                let len = rng.below(374).min(TX - 14);
                let mut said: Vec<u8> = rng.bytes(len).iter().map(|byte| b'a' + byte % 26).collect();
                if rng.one_in(2) && len > 0 {
                    said[0] = b'?';
                }
                listener.heard.lock().unwrap().clear();
                writer.write_all(&masked(0x81, &said)).await.unwrap();
                let from = read.get();
                while listener.heard.lock().unwrap().concat() != said {
                    let behind = read.get() - from;
                    assert!(behind <= 2 * TX + capacity, "seed {seed}, {delivery:?}: {behind}, {len} said");
                    rig.clock.sleep(1).await;
                }
            }
            done.set(true);
        };
        Box::pin(both(both(produce, drain), speak)).await;
    });
}

#[test]
fn what_a_peer_says_is_delivered_within_a_bounded_number_of_bytes_that_it_reads() {
    for seed in 0..40 {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            is_heard_in_time::<256>(seed, delivery);
            is_heard_in_time::<512>(seed, delivery);
            is_heard_in_time::<2048>(seed, delivery);
        }
    }
}

/// A peer that asks more than it reads must not keep the answers to it in the way of what tasks send.
#[test]
fn tasks_have_their_turn_however_much_a_peer_asks() {
    let listener = Listener::default();
    let route = WebSocketRoute::new(&listener, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 256>(&Settings::new(&routes), 32, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        let done = Cell::new(false);
        let (mut reader, mut writer) = peer.wire.split();
        let question = masked(0x81, "?".repeat(40));
        let ask = async {
            while !done.get() {
                writer.write_all(&question).await.unwrap();
            }
        };
        let script = async {
            rig.clock.sleep(100).await;
            let news = "n".repeat(100);
            rig.handle.try_send(id, &*news).unwrap();
            let mut bytes: Vec<u8> = Vec::new();
            while !String::from_utf8_lossy(&bytes).contains(&news) {
                let mut some = [0; 20];
                let n = reader.read(&mut some).await.unwrap();
                bytes.extend(&some[..n]);
                rig.clock.sleep(20).await;
                assert!(bytes.len() <= 256 + 32 + 102 + 20, "{}", bytes.len());
            }
            done.set(true);
            // The asker may be waiting for room.
            let mut some = [0; 256];
            while rig.clock.now.get() < 10_000 {
                let read = core::pin::pin!(reader.read(&mut some));
                let until = crate::Clock::now(rig.clock).plus(core::time::Duration::from_millis(100));
                if crate::time::before(rig.clock, until, read).await.is_none() {
                    break;
                }
            }
        };
        Box::pin(both(ask, script)).await;
    });
}

/// A peer that reads nothing before it has sent everything is read from, also when one of its messages was answered and tasks
/// have more to send than there is room for.
#[test]
fn a_peer_that_sends_before_it_reads_is_read_from() {
    let listener = Listener::default();
    let route = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&listener, &QUIET) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 512, 512>(&Settings::new(&routes), 64, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        for _ in 0..20 {
            rig.handle.try_send(id, "t".repeat(100).as_str()).unwrap();
            rig.clock.sleep(1).await;
        }
        peer.send(masked(0x81, "?status")).await;
        for _ in 0..50 {
            peer.send(masked(0x82, [1; 100])).await;
        }
        rig.clock.sleep(1).await;
        assert_eq!(listener.heard(), 51);
        // One pause, while it was the tasks' turn.
        assert!(rig.clock.now.get() < 2_000, "{}", rig.clock.now.get());
    });
}

/// A write that failed ended the connection at once, and what the peer had said before was lost, the reason for its close with
/// it.
#[test]
fn what_a_peer_said_before_it_vanished_is_delivered() {
    let listener = Listener::default();
    let route = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&listener, &QUIET) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 512>(&Settings::new(&routes), 128, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        // It has more to write than the peer takes.
        for _ in 0..5 {
            rig.handle.try_send(id, "t".repeat(90).as_str()).unwrap();
        }
        rig.clock.sleep(1).await;
        let mut last = masked(0x81, "last words");
        last.extend(masked(0x88, b"\x03\xf0rate limit"));
        peer.send(last).await;
        drop(peer);
        rig.clock.sleep(1).await;
        let heard = listener.heard.lock().unwrap().concat();
        assert_eq!(String::from_utf8(heard).unwrap(), "last wordsrate limit");
        let end = listener.end.lock().unwrap().unwrap();
        assert!(matches!(end.cause, Cause::Io(_)), "{end:?}");
        assert_eq!(end.close.received, Some(CloseCode::POLICY_VIOLATION));
    });
}

/// A message that had arrived and waited for room when the server stopped was thrown away with its connection.
#[test]
fn what_was_received_before_the_last_moment_is_delivered() {
    let listener = Listener::default();
    let route = WebSocketRoute::new(&listener, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 256>(&Settings::new(&routes), 16, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        rig.handle.try_send(id, "t".repeat(100).as_str()).unwrap();
        rig.handle.try_send(id, "t".repeat(100).as_str()).unwrap();
        rig.clock.sleep(1).await;
        // Its echo has no room, and the peer reads nothing more.
        peer.send(masked(0x82, "b".repeat(200))).await;
        rig.clock.sleep(1).await;
        assert_eq!(listener.heard(), 0);
        rig.handle.stop();
        rig.clock.sleep(5_001).await;
        assert_eq!(*listener.heard.lock().unwrap(), ["b".repeat(200).into_bytes()]);
        assert_eq!(rig.handle.connections().count(), 0);
    });
}

/// A socket that took everything at once was written to as long as tasks had something, and never read from.
#[test]
fn a_peer_that_takes_everything_at_once_is_heard_too() {
    let listener = Listener::default();
    let route = WebSocketRoute::new(&listener, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 4096>(&Settings::new(&routes), 1 << 20, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        let (done, taken) = (Cell::new(false), Cell::new(0));
        let produce = async {
            while !done.get() {
                while rig.handle.try_send(id, "telemetry 0123456789").is_ok() {}
                crate::time::yield_now().await;
            }
        };
        let (mut reader, mut writer) = peer.wire.split();
        let drain = async {
            let mut some = [0; 64];
            while !done.get() {
                taken.set(taken.get() + reader.read(&mut some).await.unwrap());
            }
        };
        let speak = async {
            for round in 1..=20 {
                writer.write_all(&masked(0x81, "hello")).await.unwrap();
                let from = taken.get();
                while listener.heard() < round {
                    assert!(taken.get() - from < 4_000, "round {round}");
                    crate::time::yield_now().await;
                }
            }
            done.set(true);
        };
        Box::pin(both(both(produce, drain), speak)).await;
    });
}

/// A device that had stood still for longer than the keepalive gave its peers up, though what they had said meanwhile was there
/// to be read.
#[test]
fn what_has_arrived_counts_before_what_is_due() {
    let listener = Listener::default();
    let config = Config::new();
    let route = WebSocketRoute::new(&listener, &config);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let (clock, net) = (ManualClock::default(), Net::new(64));
    let mut resources = Box::new(crate::Resources::<1, 512, 256, 256>::new());
    let (server, handle) = crate::Server::new(&mut *resources, &settings);
    let [mut worker] = server.into_workers();
    let mut port = net.clone();
    // It looks only when it is woken, and nobody wakes it while it stands still.
    let run: Task<'_> = Box::pin(async { worker.run(&mut port, &clock).await });
    let script = async {
        let mut peer = net.dial();
        peer.upgrade("/ws", "").await;
        let id = handle.connections().next().unwrap().id;
        // The ping.
        assert_eq!(peer.frame().await.0, 0x89);
        peer.send(masked(0x81, "still here")).await;
        handle.try_send(id, "news").unwrap();
        clock.now.set(clock.now.get() + 125_000);
        assert_eq!(peer.frame().await, (0x81, b"news".to_vec()));
        clock.sleep(1).await;
        assert_eq!((listener.heard(), handle.connection(id).is_some()), (1, true));
        assert!(listener.end.lock().unwrap().is_none());
    };
    block_on(&clock, script, [run].into());
}
