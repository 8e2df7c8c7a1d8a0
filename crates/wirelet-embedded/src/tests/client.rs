use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use embedded_io_async::ErrorKind;
use wirelet_proto::handshake::{HandshakeError, ResponseHead, Uri, UriError, accept_key};
use wirelet_proto::{CloseCode, Config, Event, Keepalive, MaskKeys, ReconnectConfig};

use super::support::*;
use crate::client::{
    Client, ClientHandler, ClientResources, Credentials, Failure, Finished, Options, RedirectError, Sender,
};
use crate::net::{Connect, Listen as _, Remote};
use crate::server::{Route, Settings, WebSocketRoute};
use crate::time::before;
use crate::{Cause, Clock as _, ConnectionId, End, Handler, Peer, SendReason};

#[derive(Default)]
struct Diary(RefCell<Vec<String>>);

impl Diary {
    fn note(&self, text: impl ToString) {
        self.0.borrow_mut().push(text.to_string());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Handler for Diary {
    fn on_open(&self, peer: &mut Peer<'_>) {
        self.note(std::format!("open {:?}", peer.subprotocol()));
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text("again") => peer.send("as you wish").unwrap(),
            Event::Close(frame) => {
                self.note(std::format!("close {:?}", frame.map(|frame| u16::from(frame.code))))
            }
            event => self.note(std::format!("{event:?}")),
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        self.note(std::format!("end {:?}", end.cause));
    }
}

impl ClientHandler for Diary {
    fn on_connecting(&self, attempt: u32) {
        self.note(std::format!("connecting {attempt}"));
    }

    fn on_response(&self, head: &ResponseHead<'_>) {
        self.note(head.status());
    }

    fn on_no_answer(&self, received: &[u8]) {
        self.note(std::format!("no answer: {}", received.escape_ascii()));
    }

    fn on_failure(&self, failure: &Failure) {
        self.note(std::format!("{failure:?}"));
    }

    fn on_waiting(&self, delay: Duration) {
        self.note(std::format!("waiting {delay:?}"));
    }
}

/// Keys that make every delay the longest that the policy allows.
struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 0xff, 0xff, 0xff]
    }
}

fn options() -> Options<'static> {
    let config = Config { keepalive: Keepalive::off(), ..Config::new() };
    Options { config, ..Options::new(Uri::parse("ws://device/ws?a=1").unwrap()) }
}

/// Runs `script` beside a client; answers how the client finished.
fn run(options: &Options<'_>, script: impl AsyncFnOnce(&ManualClock, Net, Sender<'_>, &Diary)) -> Finished {
    let (clock, net, diary) = (ManualClock::default(), Net::new(512), Diary::default());
    let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, options);
    let (mut network, mut keys) = (net.clone(), Keys(0));
    let client = client.run(&mut network, &clock, &mut keys, &diary);
    block_on(&clock, both(script(&clock, net, sender, &diary), client), Vec::new()).1
}

/// The server's end of the next connection, with the request's head.
async fn accepted(net: &Net) -> (Dialed, String) {
    let Ok(wire) = net.clone().accept().await;
    let mut server = Dialed::new(wire);
    let head = server.head().await;
    (server, head)
}

/// The same, after a 101.
async fn opened(net: &Net, headers: &str) -> Dialed {
    let (mut server, head) = accepted(net).await;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).unwrap();
    let head = std::format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    );
    server.send(head).await;
    server
}

/// A client's frame, unmasked.
async fn frame(server: &mut Dialed) -> (u8, [u8; 4], Vec<u8>) {
    let head = server.take(2).await;
    assert!(head[1] & 0x80 != 0 && head[1] & 0x7f < 126);
    let key: [u8; 4] = server.take(4).await.try_into().unwrap();
    let payload = server.take(usize::from(head[1] & 0x7f)).await;
    (head[0], key, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

#[test]
fn the_request_says_what_the_options_say() {
    let options = Options {
        credentials: Some(Credentials { user: "Aladdin", password: "open sesame" }),
        subprotocols: &["v2", "v1"],
        origin: Some("http://device"),
        headers: &[("X-One", "1")],
        ..options()
    };
    let finished = run(&options, async |_, net, sender, _| {
        let (_server, head) = accepted(&net).await;
        assert!(head.starts_with("GET /ws?a=1 HTTP/1.1\r\nHost: device\r\n"), "{head}");
        for line in [
            "Sec-WebSocket-Protocol: v2, v1",
            "Origin: http://device",
            "User-Agent: wirelet",
            "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "X-One: 1",
        ] {
            assert!(head.lines().any(|other| other == line), "{line}: {head}");
        }
        sender.stop();
    });
    assert_eq!(finished, Finished::Stopped);
}

#[test]
fn messages_go_both_ways_and_a_clean_close_is_the_end() {
    let options = Options { subprotocols: &["v2", "v1"], ..options() };
    let finished = run(&options, async |_, net, sender, diary| {
        assert!(!sender.is_connected());
        assert_eq!(sender.try_send("early").unwrap_err().reason, SendReason::Gone);
        let mut server = opened(&net, "Sec-WebSocket-Protocol: v1\r\n").await;
        sender.connected().await;
        assert_eq!((sender.is_connected(), sender.subprotocol()), (true, Some(1)));
        sender.try_send("hello 0000").unwrap();
        sender.try_send(&[0xff_u8][..]).unwrap();
        let (first, key, payload) = frame(&mut server).await;
        assert_eq!((first, &payload[..]), (0x81, &b"hello 0000"[..]));
        let (first, other, payload) = frame(&mut server).await;
        assert_eq!((first, &payload[..]), (0x82, &[0xff][..]));
        assert_ne!(key, other);
        server.send(unmasked(0x81, "again")).await;
        assert_eq!(frame(&mut server).await.2, b"as you wish");
        server.send(unmasked(0x88, NORMAL)).await;
        assert_eq!(frame(&mut server).await.2, NORMAL);
        // The client leaves it to the server to end the stream.
        server.finish().await;
        assert!(server.rest().await.is_empty());
        assert_eq!(diary.take(), ["connecting 1", "101", "open Some(1)", "close Some(1000)", "end Closed"]);
    });
    let Finished::Ended(end) = finished else { panic!("{finished:?}") };
    assert!(end.close.is_clean() && end.close.code() == CloseCode::NORMAL);
}

#[test]
fn what_comes_instead_of_an_answer_to_the_close_frame_is_no_loss() {
    let instead: [(&[u8], &str); 3] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\x88\x02\x03\xe8", "end Failed"),
        (b"", "end EndOfStream"),
        (b"\x81\x7e", "end EndOfStream"),
    ];
    for (bytes, expected) in instead {
        let finished = run(&options(), async |_, net, sender, diary| {
            let mut server = opened(&net, "").await;
            sender.connected().await;
            assert!(sender.close(CloseCode::NORMAL, ""));
            assert_eq!(frame(&mut server).await.2, NORMAL);
            server.send(bytes).await;
            server.finish().await;
            assert!(server.rest().await.is_empty());
            let notes = diary.take();
            assert!(notes.last().unwrap().starts_with(expected), "{notes:?}");
        });
        let Finished::Ended(end) = finished else { panic!("{finished:?}") };
        assert!(end.was_closing && !end.close.is_clean());
    }
}

#[test]
fn a_failure_before_the_close_frame_is_a_loss() {
    run(&options(), async |clock, net, sender, diary| {
        let mut server = opened(&net, "").await;
        sender.connected().await;
        server.send(b"HTTP/1.1 200 OK\r\n").await;
        server.finish().await;
        server.rest().await;
        clock.sleep(1).await;
        assert_eq!(diary.take().last().unwrap(), "waiting 5s");
        sender.stop();
    });
}

#[test]
fn lost_connections_come_back_and_the_sender_survives() {
    run(&options(), async |clock, net, sender, diary| {
        for round in 0..3 {
            // A frame in the packet of the handshake is not lost.
            let mut server = opened(&net, "").await;
            server.send(unmasked(0x81, "welcome")).await;
            sender.connected().await;
            sender.try_send("still me").unwrap();
            assert_eq!(frame(&mut server).await.2, b"still me");
            drop(server);
            clock.sleep(1).await;
            assert_eq!(sender.try_send("nobody").unwrap_err().reason, SendReason::Gone);
            let diary = diary.take();
            assert_eq!(diary[0], std::format!("connecting {}", round + 1));
            assert_eq!(diary[3..5], ["Text(\"welcome\")", "end Io(ConnectionReset)"]);
            assert_eq!(diary[5], std::format!("waiting {}s", [5, 10, 20][round]));
        }
        // A connection that lasts makes the next delay a first one.
        let server = opened(&net, "").await;
        clock.sleep(30_001).await;
        drop(server);
        clock.sleep(1).await;
        assert_eq!(diary.take().last().unwrap(), "waiting 5s");
        sender.stop();
    });
}

#[test]
fn a_server_that_is_away_is_tried_as_often_as_the_policy_says() {
    let reconnect = ReconnectConfig { max_attempts: Some(3), ..ReconnectConfig::DEFAULT };
    let finished = run(&Options { reconnect, ..options() }, async |clock, net, _, diary| {
        net.refuse(true);
        clock.sleep(100_000).await;
        let refused = "Network(ConnectionRefused)";
        let expected = [
            "connecting 1",
            refused,
            "waiting 5s",
            "connecting 2",
            refused,
            "waiting 10s",
            "connecting 3",
            refused,
            "waiting 20s",
            "connecting 4",
            refused,
        ];
        assert_eq!(diary.take(), expected);
    });
    assert_eq!(finished, Finished::GaveUp(Failure::Network(embedded_io_async::ErrorKind::ConnectionRefused)));
}

/// A server that asked to be left alone for ten minutes was asked again within five seconds.
#[test]
fn a_server_that_asked_to_be_left_alone_was_not() {
    let policy = ReconnectConfig { initial_max: 5_000, factor: 1, cap: 60_000, ..ReconnectConfig::DEFAULT };
    let options = Options { reconnect: policy, ..options() };
    run(&options, async |clock, net, sender, diary| {
        let dates = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT";
        for (headers, least) in [
            ("Retry-After: 600", 60_000),
            ("Retry-After: 7", 7_000),
            ("X: y", 0),
            (dates, 30_000),
            ("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT", 0),
        ] {
            let (mut server, _) = accepted(&net).await;
            let asked = clock.now.get();
            server.send(std::format!("HTTP/1.1 503 x\r\nContent-Length: 0\r\n{headers}\r\n\r\n")).await;
            drop(server);
            let (_server, _) = accepted(&net).await;
            // The random part is the longest one, but for the keys' first byte.
            let waited = clock.now.get() - asked;
            assert!((least + 4_950..=least + 5_000).contains(&waited), "{headers}: {waited}");
            // An attempt that breaks off afterwards asks for nothing.
            drop(_server);
            let begun = clock.now.get();
            let (server, _) = accepted(&net).await;
            assert!(clock.now.get() - begun <= 5_000, "{headers}");
            drop(server);
        }
        sender.stop();
        diary.take();
    });
}

#[test]
fn a_fixed_delay_is_longer_where_the_server_asks_for_it() {
    let policy = ReconnectConfig { cap: 60_000, ..ReconnectConfig::DEFAULT };
    let options = Options { reconnect: policy, delay: Some(Duration::from_secs(2)), ..options() };
    run(&options, async |clock, net, sender, diary| {
        for (headers, fixed, waits) in [
            ("Retry-After: 600", None, 60_000),
            ("Retry-After: 7", None, 7_000),
            ("Retry-After: 1", None, 2_000),
            ("X: y", None, 2_000),
            ("Retry-After: 7", Some(3), 7_000),
            ("Retry-After: 7", Some(9), 9_000),
        ] {
            sender.set_reconnect_delay(fixed.map(Duration::from_secs));
            let (mut server, _) = accepted(&net).await;
            let asked = clock.now.get();
            server.send(std::format!("HTTP/1.1 503 x\r\nContent-Length: 0\r\n{headers}\r\n\r\n")).await;
            drop(server);
            let (server, _) = accepted(&net).await;
            let waited = clock.now.get() - asked;
            assert!((waits..=waits + 10).contains(&waited), "{headers}, {fixed:?}: {waited}");
            // Of this one nothing is asked.
            drop(server);
        }
        sender.stop();
        diary.take();
    });
}

/// What a server of another protocol had said was not to be seen.
#[test]
fn an_answer_that_is_none_was_not_shown() {
    run(&options(), async |clock, net, sender, diary| {
        for (sent, shown, error) in [
            ("SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6\\r\\n", HandshakeError::NotHttp),
            ("HTTP/1.1 101\r\nA\r\n\r\n", "HTTP/1.1 101\\r\\nA\\r\\n\\r\\n", HandshakeError::BadHeaderName),
        ] {
            let (mut server, _) = accepted(&net).await;
            server.send(sent).await;
            // It holds the connection: who is not HTTP is known by the first bytes.
            while !diary.0.borrow().last().unwrap().starts_with("waiting") {
                clock.sleep(1).await;
            }
            let notes = diary.take();
            let [.., said, failure, _] = &notes[..] else { panic!("{notes:?}") };
            assert_eq!(said, &std::format!("no answer: {shown}"));
            assert_eq!(failure, &std::format!("{:?}", Failure::Handshake(error)));
        }
        sender.stop();
    });
}

#[test]
fn refusals_and_broken_answers_are_failures_with_names() {
    run(&options(), async |clock, net, sender, diary| {
        let expect = async |answer: &str, failure: Failure| {
            let (mut server, _) = accepted(&net).await;
            // As much as is taken.
            server.send(&answer[..answer.len().min(512)]).await;
            if failure == Failure::EndOfStream {
                server.finish().await;
            }
            while !diary.0.borrow().last().unwrap().starts_with("waiting") {
                clock.sleep(1).await;
            }
            let notes = diary.take();
            assert_eq!(notes[notes.len() - 2], std::format!("{failure:?}"));
        };
        expect("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Failure::Refused(401)).await;
        expect("HTTP/1.1 503 No\r\n\r\n", Failure::Refused(503)).await;
        expect("SSH-2.0\r\n\r\n", Failure::Handshake(HandshakeError::NotHttp)).await;
        let wrong =
            "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
        expect(wrong, Failure::Handshake(HandshakeError::Accept)).await;
        let long = std::format!("HTTP/1.1 101 S\r\nX: {}", "x".repeat(600));
        expect(&long, Failure::Handshake(HandshakeError::HeadTooLarge)).await;
        expect("HTTP/1.1 10", Failure::EndOfStream).await;
        expect("", Failure::Timeout).await;
        sender.stop();
    });
}

#[test]
fn redirects_are_followed_and_take_no_secrets_to_other_hosts() {
    let options = Options {
        credentials: Some(Credentials { user: "me", password: "word" }),
        headers: &[("Cookie", "a=b")],
        redirects: 3,
        ..options()
    };
    run(&options, async |_, net, sender, diary| {
        let moved = async |location: &str, target: &str, host: &str, secrets: bool| {
            let (mut server, head) = accepted(&net).await;
            assert!(head.starts_with(&std::format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n")), "{head}");
            let told = [head.contains("Authorization: Basic"), head.contains("Cookie: a=b")];
            assert_eq!(told, [secrets; 2], "{head}");
            server.send(std::format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")).await;
        };
        moved("/there", "/ws?a=1", "device", true).await;
        moved("http://other:8080/ws", "/there", "device", true).await;
        // Who comes back does not get them either.
        moved("//device/back?b", "/ws", "other:8080", false).await;
        let (mut server, head) = accepted(&net).await;
        assert!(head.starts_with("GET /back?b ") && !head.contains("Basic") && !head.contains("Cookie"));
        // One too many.
        server.send("HTTP/1.1 308 Away\r\nLocation: /again\r\n\r\n").await;
        drop(server);
        moved("", "/ws?a=1", "device", true).await;
        assert_eq!(net.remotes(), ["device:80", "device:80", "other:8080", "device:80", "device:80"]);
        let mut server = opened(&net, "").await;
        sender.connected().await;
        sender.try_send("arrived").unwrap();
        assert_eq!(frame(&mut server).await.2, b"arrived");
        let notes = diary.take();
        assert!(notes.contains(&"Redirect(TooMany)".into()), "{notes:?}");
        sender.stop();
    });
}

#[test]
fn a_redirect_is_a_refusal_unless_it_may_be_followed() {
    for (redirects, location, failure) in [
        (0, "/x", Failure::Refused(302)),
        (1, "gopher://x", Failure::Redirect(RedirectError::Location(UriError::Scheme))),
        (1, &"x".repeat(300), Failure::Redirect(RedirectError::TooLong)),
    ] {
        let reconnect = ReconnectConfig { max_attempts: Some(0), ..ReconnectConfig::DEFAULT };
        let finished = run(&Options { redirects, reconnect, ..options() }, async |_, net, _, _| {
            let (mut server, _) = accepted(&net).await;
            server.send(std::format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")).await;
            server.rest().await;
        });
        assert_eq!(finished, Finished::GaveUp(failure));
    }
}

#[test]
fn refusals_may_be_final() {
    let reconnect = ReconnectConfig { stop_when_refused: true, ..ReconnectConfig::DEFAULT };
    let finished = run(&Options { reconnect, ..options() }, async |_, net, _, _| {
        for status in [503, 404] {
            let (mut server, _) = accepted(&net).await;
            server.send(std::format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")).await;
            server.rest().await;
        }
    });
    assert_eq!(finished, Finished::Refused(404));
}

#[test]
fn stopping_works_at_any_time() {
    // While it waits for the next attempt.
    let finished = run(&options(), async |clock, net, sender, _| {
        net.refuse(true);
        clock.sleep(2).await;
        sender.stop();
    });
    assert_eq!(finished, Finished::Stopped);
    // In the opening handshake.
    let finished = run(&options(), async |clock, net, sender, _| {
        let _server = accepted(&net).await;
        sender.stop();
        clock.sleep(1).await;
        assert_eq!(clock.now.get(), 1);
    });
    assert_eq!(finished, Finished::Stopped);
    // When the connection is open and the server never answers.
    let finished = run(&options(), async |clock, net, sender, diary| {
        let mut server = opened(&net, "").await;
        sender.connected().await;
        sender.try_send("last words").unwrap();
        sender.stop();
        assert_eq!(frame(&mut server).await.2, b"last words");
        assert_eq!(frame(&mut server).await.2, NORMAL);
        clock.sleep(5_001).await;
        assert_eq!(diary.take().last().unwrap(), "end Expired(Closing)");
    });
    assert_eq!(finished, Finished::Stopped);
}

#[test]
fn what_must_not_be_sent_is_the_callers_fault() {
    let headers = [("X", "a\r\nb")];
    let finished = run(&Options { headers: &headers, ..options() }, async |_, _, _, _| {});
    assert!(matches!(finished, Finished::Request(_)), "{finished:?}");
}

#[test]
fn it_talks_to_the_server_of_this_crate() {
    struct Echo;
    impl Handler for Echo {
        fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
            if let Event::Text(text) = event {
                peer.send(text).unwrap();
            }
        }
    }
    let config = Config::new();
    let route = WebSocketRoute { subprotocols: &["v1"], ..WebSocketRoute::new(&Echo, &config) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 512, 64>(&Settings::new(&routes), 16, async |rig| {
        let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
        let options = Options { subprotocols: &["v2", "v1"], ..options() };
        let (mut client, sender) = Client::new(&mut *resources, &options);
        let (mut network, mut keys, diary) = (rig.net.clone(), Keys(0), Diary::default());
        let client = client.run(&mut network, rig.clock, &mut keys, &diary);
        let script = async {
            sender.connected().await;
            for round in 0..5 {
                sender.try_send(&*std::format!("hello {round:04}")).unwrap();
                rig.clock.sleep(1_000).await;
            }
            assert!(sender.close(CloseCode::NORMAL, ""));
        };
        let (finished, ()) = Box::pin(both(client, script)).await;
        let Finished::Ended(end) = finished else { panic!("{finished:?}") };
        assert!(end.cause == Cause::Closed && end.close.is_clean());
        let mut expected = vec!["connecting 1".into(), "101".into(), "open Some(1)".into()];
        expected.extend((0..5).map(|round| std::format!("Text(\"hello {round:04}\")")));
        expected.extend(["close Some(1000)".into(), "end Closed".into()]);
        assert_eq!(diary.take(), expected);
    });
}

#[test]
fn futures_and_state_are_small() {
    let (clock, diary, options) = (ManualClock::default(), Diary::default(), options());
    let mut resources = ClientResources::<512, 512, 64>::new();
    let state = size_of_val(&resources) - 512 - 512 - 64;
    let (mut client, _) = Client::new(&mut resources, &options);
    let (mut net, mut keys) = (Net::new(16), Keys(0));
    let run = size_of_val(&client.run(&mut net, &clock, &mut keys, &diary));
    std::println!("a client besides its buffers: {state} bytes; its future: {run} bytes");
    assert!(state <= 512 && run <= 1280, "{state} {run}");
}

/// A network that comes and goes.
struct Radio<'r> {
    net: Net,
    up: &'r Cell<bool>,
    changed: &'r RefCell<Vec<Waker>>,
}

impl Radio<'_> {
    async fn until(&self, up: bool) {
        poll_fn(|cx| {
            if self.up.get() == up {
                return Poll::Ready(());
            }
            self.changed.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Connect for Radio<'_> {
    type Socket<'c>
        = Wire
    where
        Self: 'c;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<Wire, ErrorKind> {
        self.net.connect(to).await
    }

    async fn available(&mut self) {
        self.until(true).await;
    }

    async fn restored(&mut self) {
        self.until(false).await;
        self.until(true).await;
    }
}

/// An attempt without a network took the time of one, failed, and made the next delay longer; a network that had come back was
/// not noticed until the delay was over.
#[test]
fn a_client_waits_for_its_network_and_comes_back_with_it() {
    let (clock, net, diary) = (ManualClock::default(), Net::new(512), Diary::default());
    let (up, changed) = (Cell::new(false), RefCell::default());
    let mut network = Radio { net: net.clone(), up: &up, changed: &changed };
    let switch = |on| {
        up.set(on);
        changed.take().into_iter().for_each(Waker::wake);
    };
    let options = options();
    let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let mut keys = Keys(0);
    let run = client.run(&mut network, &clock, &mut keys, &diary);
    let script = async {
        clock.sleep(600_000).await;
        assert!(diary.take().is_empty());
        switch(true);
        let server = opened(&net, "").await;
        sender.connected().await;
        assert_eq!(clock.now.get(), 600_000);
        // The access point restarts.
        switch(false);
        drop(server);
        clock.sleep(1).await;
        assert_eq!(diary.take().last().unwrap(), "waiting 5s");
        clock.sleep(2_000).await;
        switch(true);
        let _server = opened(&net, "").await;
        sender.connected().await;
        assert_eq!(clock.now.get(), 602_001);
        // It is stopped as fast while there is no network.
        switch(false);
        drop(_server);
        clock.sleep(10_000).await;
        sender.stop();
    };
    let (finished, ()) = block_on(&clock, both(run, script), Vec::new());
    assert_eq!(finished, Finished::Stopped);
}

/// A task that knew better could not end the wait for the next attempt.
#[test]
fn retry_now_ends_the_wait() {
    run(&options(), async |clock, net, sender, diary| {
        assert!(!sender.retry_now());
        net.refuse(true);
        clock.sleep(1).await;
        net.refuse(false);
        assert!(sender.retry_now());
        let _server = opened(&net, "").await;
        sender.connected().await;
        assert_eq!(clock.now.get(), 1);
        assert_eq!(diary.take()[2..4], ["waiting 5s", "connecting 2"]);
        assert!(!sender.retry_now());
        sender.stop();
    });
}

/// Two tasks that waited for a connection woke each other without end; and who waited never learned that the client had
/// finished.
#[test]
fn any_number_of_tasks_wait_for_a_connection_in_peace() {
    let (clock, net, diary, options) = (ManualClock::default(), Net::new(512), Diary::default(), options());
    let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let (polls, connected, finished) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let tasks: Vec<Task<'_>> = (0..50_u64)
        .map(|at| -> Task<'_> {
            let (clock, polls, connected, finished) = (&clock, &polls, &connected, &finished);
            Box::pin(async move {
                loop {
                    let mut wait = core::pin::pin!(sender.connected());
                    let wait = core::pin::pin!(poll_fn(|cx| {
                        polls.set(polls.get() + 1);
                        wait.as_mut().poll(cx)
                    }));
                    // Some give up and come again.
                    let until = clock.now().plus(Duration::from_millis(7 + at));
                    let answer = match at % 3 {
                        0 => before(clock, until, wait).await,
                        _ => Some(wait.await),
                    };
                    match answer {
                        Some(true) => {
                            connected.set(connected.get() + 1);
                            while sender.is_connected() {
                                clock.sleep(1_000).await;
                            }
                        }
                        Some(false) => return finished.set(finished.get() + 1),
                        None => {}
                    }
                }
            })
        })
        .collect();
    let (mut network, mut keys) = (net.clone(), Keys(0));
    let run = client.run(&mut network, &clock, &mut keys, &diary);
    let script = async {
        clock.sleep(100).await;
        // Everybody once; each of those who came again made all the others look once more.
        let restarts: u64 = (0..50).step_by(3).map(|at| 100 / (7 + at)).sum();
        assert!(polls.get() <= 50 + restarts * 52 * 2, "{}", polls.get());
        for round in 1..=3 {
            let server = opened(&net, "").await;
            clock.sleep(1).await;
            assert_eq!(connected.get(), 50 * round);
            drop(server);
            clock.sleep(4_000).await;
        }
        sender.stop();
        clock.sleep(1_000).await;
        assert_eq!(finished.get(), 50);
    };
    block_on(&clock, both(run, script), tasks);
}

/// Stop was for ever: the same client could not be run again.
#[test]
fn a_client_starts_again_after_it_was_stopped() {
    let (clock, net, diary, options) = (ManualClock::default(), Net::new(512), Diary::default(), options());
    let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let (mut network, mut keys) = (net.clone(), Keys(0));
    for _ in 0..3 {
        let run = client.run(&mut network, &clock, &mut keys, &diary);
        let script = async {
            let mut server = opened(&net, "").await;
            assert!(sender.connected().await);
            sender.try_send("hello").unwrap();
            assert_eq!(frame(&mut server).await.2, b"hello");
            sender.stop();
            assert_eq!(frame(&mut server).await.2, NORMAL);
            server.send(unmasked(0x88, NORMAL)).await;
            server.finish().await;
        };
        let (finished, ()) = block_on(&clock, both(run, script), Vec::new());
        assert_eq!(finished, Finished::Stopped);
        assert!(!block_on(&clock, sender.connected(), Vec::new()));
    }
}

/// A stopped client waited for a server that takes a byte now and then, whatever its queue held.
#[test]
fn a_stopped_client_returns_in_time_whatever_the_server_takes() {
    let returned = Cell::new(0);
    run(&options(), async |clock, net, sender, _| {
        let mut server = opened(&net, "").await;
        sender.connected().await;
        while sender.try_send("0123456789012345678901234567890123456789").is_ok() {
            clock.sleep(1).await;
        }
        sender.stop();
        let from = clock.now.get();
        while !server.wire.is_broken() {
            server.take(1).await;
            clock.sleep(900).await;
        }
        returned.set(clock.now.get() - from);
    });
    assert!((5_000..6_000).contains(&returned.get()), "{}", returned.get());
}

/// Masking keys come from the application, which may look at its connection while it makes one: it saw none, because the table
/// was in use.
#[test]
fn the_application_is_not_called_within_a_critical_section() {
    struct Curious<'t>(RefCell<Option<Sender<'t>>>, Cell<u32>);
    impl MaskKeys for &Curious<'_> {
        fn next_key(&mut self) -> [u8; 4] {
            if let Some(sender) = *self.0.borrow()
                && sender.is_connected()
            {
                self.1.set(self.1.get() + 1);
            }
            [1, 2, 3, 4]
        }
    }
    let (clock, net, diary, options) = (ManualClock::default(), Net::new(512), Diary::default(), options());
    let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let curious = Curious(RefCell::new(Some(sender)), Cell::new(0));
    let (mut network, mut keys) = (net.clone(), &curious);
    let run = client.run(&mut network, &clock, &mut keys, &diary);
    let script = async {
        let mut server = opened(&net, "").await;
        sender.connected().await;
        for _ in 0..3 {
            sender.try_send("hello").unwrap();
            assert_eq!(frame(&mut server).await.2, b"hello");
        }
        assert_eq!(curious.1.get(), 3);
        sender.stop();
    };
    block_on(&clock, both(run, script), Vec::new());
}
