//! A client whose server, request, delays and pings change while it lives, and whose messages wait.

use core::time::Duration;
use std::boxed::Box;
use std::string::String;
use std::sync::Mutex;
use std::vec::Vec;

use wirelet_proto::handshake::{Field, Uri, WriteError, accept_key};
use wirelet_proto::{CloseCode, Config, Event, Keepalive, MaskKeys, ReconnectConfig};

use super::support::*;
use crate::client::{
    Attempt, Client, ClientHandler, ClientResources, Credentials, Failure, Finished, Gap, Options, Prepare,
    Sender, ServerUri, SetUriError,
};
use crate::net::Listen as _;
use crate::{Counters, Handler, Overflow, Peer, SendReason};

struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 0xff, 0xff, 0xff]
    }
}

/// Notes what it is told; delays are doubled where it says so.
#[derive(Default)]
struct Notes {
    failures: Mutex<Vec<Failure>>,
    delays: Mutex<Vec<u64>>,
    doubles: bool,
}

impl Handler for Notes {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

impl ClientHandler for Notes {
    fn on_failure(&self, failure: &Failure) {
        self.failures.lock().unwrap().push(*failure);
    }

    fn delay(&self, proposed: Duration) -> Duration {
        if self.doubles { proposed * 2 } else { proposed }
    }

    fn on_waiting(&self, delay: Duration) {
        self.delays.lock().unwrap().push(delay.as_millis() as u64);
    }
}

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };

fn options(uri: &str) -> Options<'_> {
    Options { config: QUIET, ..Options::new(Uri::parse(uri).unwrap()) }
}

fn run(
    options: &Options<'_>,
    notes: &Notes,
    script: impl AsyncFnOnce(&ManualClock, Net, Sender<'_>),
) -> Finished {
    let (clock, net) = (ManualClock::default(), Net::new(512));
    let mut resources = Box::new(ClientResources::<1024, 512, 96>::new());
    let (mut client, sender) = Client::new(&mut *resources, options);
    let (mut network, mut keys) = (net.clone(), Keys(0));
    let client = client.run(&mut network, &clock, &mut keys, notes);
    block_on(&clock, both(script(&clock, net, sender), client), Vec::new()).1
}

async fn accepted(net: &Net) -> (Dialed, String) {
    let Ok(wire) = net.clone().accept().await;
    let mut server = Dialed::new(wire);
    let head = server.head().await;
    (server, head)
}

async fn opened(net: &Net) -> (Dialed, String) {
    let (mut server, head) = accepted(net).await;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).unwrap();
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    server.send(std::format!("{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n")).await;
    (server, head)
}

/// A client's frame, unmasked.
async fn frame(server: &mut Dialed) -> (u8, Vec<u8>) {
    let head = server.take(2).await;
    let key: [u8; 4] = server.take(4).await.try_into().unwrap();
    let payload = server.take(usize::from(head[1] & 0x7f)).await;
    (head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

fn has(head: &str, line: &str) -> bool {
    head.lines().any(|other| other == line)
}

#[test]
fn the_hook_changes_server_headers_and_token_before_each_attempt() {
    let prepare = |attempt: &mut Attempt<'_>| {
        if attempt.number() > 1 {
            assert!(matches!(attempt.uri("nonsense"), Err(SetUriError::Uri(_))));
            let long = std::format!("ws://{}", "x".repeat(300));
            assert_eq!(attempt.uri(&long), Err(SetUriError::TooLong));
            attempt.uri("ws://second:81/b?c=d").unwrap();
        }
        let number = std::format!("{}", attempt.number());
        attempt.header("X-Attempt", &number);
        attempt.bearer(&std::format!("token{number}"));
    };
    let credentials = Credentials { user: "not", password: "sent" };
    let options = Options {
        prepare: Some(Prepare::new(&prepare)),
        headers: &[("X-One", "1")],
        credentials: Some(credentials),
        ..options("ws://first/a")
    };
    run(&options, &Notes::default(), async |_, net, sender| {
        for number in 1..=3 {
            let (mut server, head) = opened(&net).await;
            let (line, host, remote) = match number {
                1 => ("GET /a HTTP/1.1", "Host: first", "first:80"),
                _ => ("GET /b?c=d HTTP/1.1", "Host: second:81", "second:81"),
            };
            assert!(head.starts_with(line) && has(&head, host) && has(&head, "X-One: 1"), "{head}");
            assert_eq!(net.remotes(), [remote]);
            assert!(has(&head, &std::format!("X-Attempt: {number}")), "{head}");
            assert!(has(&head, &std::format!("Authorization: Bearer token{number}")), "{head}");
            assert_eq!(head.matches("Authorization").count(), 1);
            // What is kept behind the receive buffer's room does not stand in the way.
            sender.connected().await;
            server.send(unmasked(0x81, "x".repeat(800))).await;
            sender.try_send("there").unwrap();
            assert_eq!(frame(&mut server).await.1, b"there");
        }
        sender.stop();
    });
}

#[test]
fn the_hooks_headers_go_along_to_the_same_host_and_to_no_other() {
    let prepare = |attempt: &mut Attempt<'_>| {
        attempt.uri("ws://second/b").unwrap();
        attempt.bearer("secret").header("X-More", "m");
    };
    let options = Options { prepare: Some(Prepare::new(&prepare)), redirects: 2, ..options("ws://first/a") };
    run(&options, &Notes::default(), async |_, net, sender| {
        for (path, location, trusted) in
            [("/b", "/c?d", true), ("/c?d", "http://elsewhere/e", true), ("/e", "", false)]
        {
            let (mut server, head) = accepted(&net).await;
            assert!(head.starts_with(&std::format!("GET {path} ")), "{head}");
            assert_eq!(has(&head, "Authorization: Bearer secret") && has(&head, "X-More: m"), trusted);
            assert_eq!(head.contains("Authorization") || head.contains("X-More"), trusted, "{head}");
            if location.is_empty() {
                break;
            }
            server.send(std::format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")).await;
        }
        assert_eq!(net.remotes(), ["second:80", "second:80", "elsewhere:80"]);
        sender.stop();
    });
}

#[test]
fn what_the_hook_must_not_add_ends_the_client() {
    let split = |attempt: &mut Attempt<'_>| {
        attempt.header("X", "a\r\nY: b");
    };
    let spaced = |attempt: &mut Attempt<'_>| {
        attempt.bearer("a token");
    };
    let large = |attempt: &mut Attempt<'_>| {
        attempt.header("X", &"y".repeat(300));
    };
    let many = |attempt: &mut Attempt<'_>| {
        (0..17).for_each(|_| {
            attempt.header("X", "y");
        });
    };
    let reserved = |attempt: &mut Attempt<'_>| {
        attempt.header("Host", "y");
    };
    let invalid = Finished::Request(WriteError::Invalid(Field::HeaderValue));
    type Hook<'h> = &'h (dyn Fn(&mut Attempt<'_>) + Sync);
    let hooks: [(Hook<'_>, Finished); 5] = [
        (&split, invalid),
        (&spaced, invalid),
        (&large, invalid),
        (&many, Finished::Request(WriteError::Invalid(Field::HeaderName))),
        (&reserved, Finished::Request(WriteError::ReservedHeader)),
    ];
    for (hook, expected) in hooks {
        let options = Options { prepare: Some(Prepare::new(hook)), ..options("ws://first/a") };
        assert_eq!(run(&options, &Notes::default(), async |_, _, _| {}), expected);
    }
}

#[test]
fn tasks_send_the_client_to_another_server() {
    let room = ServerUri::<32>::new();
    let with_room = Options {
        server: Some(&room),
        connect_after_close: true,
        delay: Some(Duration::from_millis(10)),
        ..options("ws://first/a")
    };
    run(&with_room, &Notes::default(), async |_, net, sender| {
        let (_server, _) = opened(&net).await;
        sender.connected().await;
        assert!(matches!(sender.set_uri("first"), Err(SetUriError::Uri(_))));
        assert_eq!(sender.set_uri("ws://second/and-a-path-that-is-long"), Err(SetUriError::TooLong));
        sender.set_uri("ws://user:pass@second/b").unwrap();
        assert!(sender.close(CloseCode::NORMAL, ""));
        let (_server, head) = accepted(&net).await;
        assert!(head.starts_with("GET /b ") && has(&head, "Host: second"), "{head}");
        assert!(has(&head, "Authorization: Basic dXNlcjpwYXNz"), "{head}");
        sender.stop();
    });
    run(&options("ws://first/a"), &Notes::default(), async |_, _, sender| {
        assert_eq!(sender.set_uri("ws://second/b"), Err(SetUriError::TooLong));
        sender.stop();
    });
}

#[test]
fn user_information_in_the_uri_is_sent_decoded() {
    let long = std::format!("ws://{}@device/", "u".repeat(200));
    for (uri, expected) in [
        ("ws://Aladdin:open%20sesame@device/", Some("QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
        ("ws://user@device/", Some("dXNlcjo=")),
        ("ws://us%3aer:p%25%C3%A4@device/", Some("dXM6ZXI6cCXDpA==")),
        ("ws://a:b:c@device/", Some("YTpiOmM=")),
        ("ws://device/", None),
    ] {
        run(&options(uri), &Notes::default(), async |_, net, sender| {
            let (_server, head) = accepted(&net).await;
            let value = head.lines().find_map(|line| line.strip_prefix("Authorization: Basic "));
            assert_eq!(value, expected, "{uri}");
            sender.stop();
        });
    }
    let refused = Finished::Request(WriteError::Invalid(Field::Authorization));
    for uri in ["ws://a%2@device/", "ws://a:%zz@device/", "ws://%ff@device/", &long] {
        assert_eq!(run(&options(uri), &Notes::default(), async |_, _, _| {}), refused, "{uri}");
    }
    // What the options name goes before it.
    let credentials = Some(Credentials { user: "Aladdin", password: "open sesame" });
    let named = Options { credentials, ..options("ws://user:pass@device/") };
    run(&named, &Notes::default(), async |_, net, sender| {
        let (_server, head) = accepted(&net).await;
        assert!(has(&head, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "{head}");
        sender.stop();
    });
}

#[test]
fn delays_are_random_or_fixed_or_the_applications_own() {
    let reconnect = ReconnectConfig { max_attempts: Some(3), ..ReconnectConfig::DEFAULT };
    for (delay, doubles, expected) in [
        (None, false, [5_000, 10_000, 20_000]),
        (Some(1_234), false, [1_234; 3]),
        (Some(1_234), true, [2_468; 3]),
        (Some(0), false, [0; 3]),
    ] {
        let notes = Notes { doubles, ..Notes::default() };
        let delay = delay.map(Duration::from_millis);
        let counters = Counters::new();
        let options = Options { delay, reconnect, counters: Some(&counters), ..options("ws://first/a") };
        let finished = run(&options, &notes, async |clock, net, sender| {
            net.refuse(true);
            clock.sleep(100_000).await;
            assert_eq!(clock.now.get(), 100_000);
            let counts = sender.counts().unwrap();
            assert_eq!((counts.connections, counts.failed, counts.opened), (4, 4, 0));
        });
        assert!(matches!(finished, Finished::GaveUp(Failure::Network(_))), "{finished:?}");
        assert_eq!(*notes.delays.lock().unwrap(), expected);
    }
}

#[test]
fn a_delay_that_is_changed_while_it_is_waited_for_counts_at_once() {
    let notes = Notes::default();
    let options = Options { delay: Some(Duration::from_secs(3_600)), ..options("ws://first/a") };
    run(&options, &notes, async |clock, net, sender| {
        net.refuse(true);
        clock.sleep(1_000).await;
        assert_eq!(net.remotes().len(), 1);
        sender.set_reconnect_delay(Some(Duration::from_secs(10)));
        clock.sleep(8_999).await;
        assert_eq!(net.remotes().len(), 0);
        clock.sleep(2).await;
        assert_eq!((clock.now.get(), net.remotes().len()), (10_001, 1));
        // It has waited longer than this already.
        clock.sleep(5_000).await;
        sender.set_reconnect_delay(Some(Duration::from_secs(1)));
        clock.sleep(1).await;
        assert_eq!(net.remotes().len(), 1);
        sender.set_reconnect_delay(None);
        clock.sleep(60_000).await;
        assert_eq!(net.remotes().len(), 0);
        assert!(sender.retry_now());
        clock.sleep(1).await;
        assert_eq!(net.remotes().len(), 1);
        sender.stop();
    });
    let delays = [3_600_000, 10_000, 10_000, 1_000, 1_000, 3_600_000, 3_600_000];
    assert_eq!(*notes.delays.lock().unwrap(), delays);
}

#[test]
fn the_interval_of_pings_changes_on_the_open_connection_and_holds_for_the_next() {
    let keepalive = Keepalive { ping: Some(Duration::from_secs(50)), pong: Duration::MAX, idle: None };
    let config = Config { keepalive, ..Config::new() };
    let delay = Some(Duration::from_millis(1));
    let options = Options { config, delay, ..options("ws://first/a") };
    run(&options, &Notes::default(), async |clock, net, sender| {
        let open = async || {
            let (server, _) = opened(&net).await;
            sender.connected().await;
            server
        };
        let mut server = open().await;
        let start = clock.now.get();
        assert_eq!(frame(&mut server).await.0, 0x89);
        assert_eq!(clock.now.get() - start, 50_000);
        server.send(unmasked(0x8a, "")).await;
        sender.set_ping_interval(Some(Duration::from_secs(5)));
        let mut since = clock.now.get();
        for _ in 0..3 {
            assert_eq!(frame(&mut server).await.0, 0x89);
            assert_eq!(clock.now.get() - since, 5_000);
            since = clock.now.get();
            server.send(unmasked(0x8a, "")).await;
        }
        drop(server);
        let mut server = open().await;
        let since = clock.now.get();
        assert_eq!(frame(&mut server).await.0, 0x89);
        assert_eq!(clock.now.get() - since, 5_000);
        server.send(unmasked(0x8a, "")).await;
        sender.set_ping_interval(None);
        clock.sleep(1_000_000).await;
        assert!(!server.pending());
        sender.stop();
    });
}

#[test]
fn messages_wait_over_a_reconnect_where_that_is_chosen() {
    for (gap, keeps) in [(Gap::REFUSE, false), (Gap::KEEP, true)] {
        let options = Options { gap, overflow: Overflow::Refuse, ..options("ws://first/a") };
        run(&options, &Notes::default(), async |clock, net, sender| {
            // Before the first connection.
            let early = sender.try_send("early").map_err(|error| error.reason);
            assert_eq!(early, if keeps { Ok(()) } else { Err(SendReason::Gone) });
            let (mut server, _) = opened(&net).await;
            sender.connected().await;
            if keeps {
                assert_eq!(frame(&mut server).await, (0x81, b"early".to_vec()));
            }
            drop(server);
            clock.sleep(1).await;
            assert!(!sender.is_connected());
            for text in ["one", "two"] {
                assert_eq!(sender.try_send(text).is_ok(), keeps);
            }
            if !keeps {
                assert_eq!(sender.send("three").await.unwrap_err().reason, SendReason::Gone);
                return sender.stop();
            }
            assert_eq!(sender.ping(b"nobody"), Err(SendReason::Gone));
            // A full queue is waited for, over the gap.
            sender.try_send(&*"f".repeat(70)).unwrap();
            assert_eq!(sender.try_send("no room").unwrap_err().reason, SendReason::Full);
            let server = async {
                let (mut server, _) = opened(&net).await;
                let mut heard = Vec::new();
                for _ in 0..4 {
                    heard.push(String::from_utf8(frame(&mut server).await.1).unwrap());
                }
                (server, heard)
            };
            let (sent, (mut server, heard)) = both(sender.send("waited"), server).await;
            sent.unwrap();
            assert_eq!(heard, ["one", "two", &"f".repeat(70), "waited"]);
            // The server says goodbye while messages wait: they are for the next connection, if there is one.
            server.send(unmasked(0x88, 1001_u16.to_be_bytes())).await;
            server.finish().await;
            clock.sleep(1).await;
        });
    }
}

#[test]
fn what_waits_when_a_client_finishes_is_dropped_and_nothing_more_is_taken() {
    let options = Options { gap: Gap::KEEP, ..options("ws://first/a") };
    run(&options, &Notes::default(), async |clock, net, sender| {
        net.refuse(true);
        clock.sleep(1).await;
        sender.try_send("never sent").unwrap();
        assert_eq!(sender.queued(), 10);
        sender.stop();
        clock.sleep(1).await;
        assert_eq!(sender.queued(), 0);
        assert_eq!(sender.try_send("too late").unwrap_err().reason, SendReason::Gone);
        assert_eq!(sender.ready(1).await, Err(SendReason::Gone));
    });
}

#[test]
fn a_lost_connection_may_be_the_end() {
    let options = Options { connect_after_loss: false, ..options("ws://first/a") };
    let finished = run(&options, &Notes::default(), async |_, net, sender| {
        let (server, _) = opened(&net).await;
        sender.connected().await;
        drop(server);
    });
    let Finished::Ended(end) = finished else { panic!("{finished:?}") };
    assert!(!end.close.is_clean());
}
