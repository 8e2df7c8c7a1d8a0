//! What the upgrade hook sees, decides and hands over; names, counters and the log.

use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec::Vec;

use wirelet_proto::handshake::Rejection;
use wirelet_proto::{CloseCode, Config, Event, Keepalive};

use super::support::*;
use crate::http::{BasicAuth, File, Methods, Request, Response};
use crate::server::{Acceptance, Opening, OriginPolicy, Route, Server, Settings, Upgrade, WebSocketRoute};
use crate::{Counters, Handler, Overflow, Peer, Resources, WebSocket};

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };

/// Who has connected, and how many of them there are.
struct User {
    name: String,
    count: &'static AtomicUsize,
}

impl User {
    fn new(name: String, count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { name, count }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `script` beside a server with room for users.
fn serve_users(settings: &Settings<'_>, script: impl AsyncFnOnce(Rig<'_>)) {
    let clock = ManualClock::default();
    let net = Net::new(512);
    let mut resources = std::boxed::Box::new(Resources::<2, 512, 512, 64>::new());
    let mut users = [const { None::<User> }; 2];
    let (server, handle) = Server::new(&mut *resources, settings);
    let mut workers = server.with_context(&mut users).into_workers();
    let tasks = workers.iter_mut().map(|worker| -> Task<'_> {
        let (mut listener, clock) = (net.clone(), &clock);
        std::boxed::Box::pin(async move {
            worker
                .run_with(&mut listener, clock, async |mut ws: WebSocket<'_>| {
                    let user = ws.context::<User>().map(|user| user.name.clone());
                    let _ = ws.send(&*std::format!("{user:?} by {}", ws.route())).await;
                    let _ = ws.recv(&mut [0; 8]).await;
                })
                .await;
        })
    });
    let tasks = tasks.collect();
    block_on(&clock, script(Rig { clock: &clock, net: net.clone(), handle }), tasks);
}

struct Greets;

impl Handler for Greets {
    fn on_open(&self, peer: &mut Peer<'_>) {
        let name = peer.context::<User>().map(|user| user.name.clone()).unwrap_or_default();
        assert!(peer.context::<u32>().is_none());
        peer.send(&*name).unwrap();
    }

    fn on_event(&self, peer: &mut Peer<'_>, _: Event<'_>) {
        if let Some(user) = peer.context::<User>() {
            user.name.push('!');
            let name = user.name.clone();
            peer.send(&*name).unwrap();
        }
    }
}

#[test]
fn the_hook_sees_the_request_and_hands_a_value_to_the_handler() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let decide = |request: &Opening<'_>, answer: &mut Acceptance<'_>| {
        let header = request.head().header("X-Key").and_then(|key| core::str::from_utf8(key).ok());
        let seen = std::format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            request.path_parameter("room"),
            request.parameter("token"),
            request.cookie("id"),
            header,
            request.peer(),
            request.handshake().origin().is_ok_and(|origin| origin.is_some()),
        );
        assert!(!answer.hand(7_u64), "there is no room for one of these");
        assert!(answer.hand(User::new(seen, &COUNT)));
        Ok(())
    };
    let called =
        WebSocketRoute { upgrade: Some(Upgrade::new(&decide)), ..WebSocketRoute::new(&Greets, &QUIET) };
    let pulled = WebSocketRoute { upgrade: Some(Upgrade::new(&decide)), ..WebSocketRoute::pull(&QUIET) };
    let routes = [
        Route::websocket("/rooms/{room}/ws", &called),
        Route::websocket("/pull/{room}", &pulled).named("pull"),
    ];
    serve_users(&Settings::new(&routes), async |rig| {
        for round in 0..3 {
            let mut peer = rig.net.dial();
            peer.upgrade("/rooms/attic/ws?a=1&token=sesame", "Cookie: id=4\r\nX-Key: k\r\n").await;
            let text = String::from_utf8(peer.frame().await.1).unwrap();
            let expected = r#"Some("attic") Some("sesame") Some("4") Some("k") Some(192.0.2.1:1234) false"#;
            assert_eq!(text, expected, "{round}");
            for more in ["!", "!!"] {
                peer.send(masked(0x81, "more")).await;
                assert_eq!(peer.frame().await.1, [expected, more].concat().into_bytes());
            }
            assert_eq!(COUNT.load(Ordering::Relaxed), 1);
            drop(peer);
            rig.clock.sleep(1).await;
            // It ends with its connection.
            assert_eq!(COUNT.load(Ordering::Relaxed), 0);
        }
        let mut peer = rig.net.dial();
        peer.upgrade("/pull/cellar", "").await;
        let text = String::from_utf8(peer.frame().await.1).unwrap();
        assert!(text.contains("cellar") && text.ends_with(" by pull"), "{text}");
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn the_hook_chooses_the_subprotocol_adds_headers_and_refuses_as_it_likes() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let choices = RefCell::new(Vec::new());
    let choices = Mutex::new(choices);
    let decide = |request: &Opening<'_>, answer: &mut Acceptance<'_>| {
        answer.hand(User::new(String::new(), &COUNT));
        match request.parameter("what").unwrap_or("") {
            "choose" => {
                let tried = [Some("v9"), Some("v3"), None, Some("v2")].map(|name| answer.subprotocol(name));
                choices.lock().unwrap().borrow_mut().push(tried);
            }
            "none" => assert!(answer.subprotocol(None)),
            "add" => {
                answer.header("Set-Cookie", "id=5; Path=/").header("X-Two", "").header("X-Three", "3");
            }
            "many" => (0..9).for_each(|_| {
                answer.header("X", "y");
            }),
            "large" => {
                answer.header("X", &"y".repeat(300));
            }
            "split" => {
                answer.header("X", "a\r\nY: b");
            }
            "reserved" => {
                answer.header("Sec-WebSocket-Accept", "x");
            }
            "refuse" => {
                let headers = &[("Location", "/login"), ("X-Why", "tired")];
                return Err(Rejection { status: 302, headers, body: b"over there" });
            }
            _ => return Err(Rejection::new(599)),
        }
        Ok(())
    };
    let route = WebSocketRoute {
        upgrade: Some(Upgrade::new(&decide)),
        subprotocols: &["v1", "v2", "v3"],
        ..WebSocketRoute::new(&Greets, &QUIET)
    };
    let routes = [Route::websocket("/ws", &route)];
    serve_users(&Settings::new(&routes), async |rig| {
        let offers = "Sec-WebSocket-Protocol: v2, v1\r\n";
        for (what, expected) in [
            ("choose", "Sec-WebSocket-Protocol: v2\r\n"),
            ("add", "Sec-WebSocket-Protocol: v1\r\n"),
            ("none", ""),
        ] {
            let mut peer = rig.net.dial();
            let head = peer.upgrade(&std::format!("/ws?what={what}"), offers).await;
            assert!(head.contains(expected), "{head}");
            assert_eq!(head.contains("Sec-WebSocket-Protocol"), !expected.is_empty(), "{head}");
            let added = head.contains("\r\nSet-Cookie: id=5; Path=/\r\nX-Two: \r\nX-Three: 3\r\n");
            assert_eq!(added, what == "add", "{head}");
            let info = rig.handle.connections().find(|info| info.route.is_some()).unwrap();
            let expected = expected.trim_end().rsplit(' ').next().filter(|name| !name.is_empty());
            assert_eq!(info.subprotocol, expected);
            drop(peer);
            rig.clock.sleep(1).await;
        }
        for (what, status) in
            [("many", 500), ("large", 500), ("split", 500), ("reserved", 500), ("refuse", 302), ("else", 599)]
        {
            let mut peer = rig.net.dial();
            peer.send(upgrade_request(&std::format!("/ws?what={what}"), offers)).await;
            let (head, body) = peer.response().await;
            assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{what}: {head}");
            assert_eq!(
                body == b"over there" && head.contains("X-Why: tired\r\n"),
                what == "refuse",
                "{head}"
            );
            drop(peer);
            rig.clock.sleep(1).await;
        }
        // What was handed over before a refusal is dropped as well.
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    });
    assert_eq!(choices.into_inner().unwrap().into_inner(), [[false, false, true, true]]);
}

#[test]
fn tasks_know_routes_and_subprotocols_by_their_names() {
    let route = WebSocketRoute { subprotocols: &["v1", "v2"], ..WebSocketRoute::new(&(), &QUIET) };
    let routes = [
        Route::websocket("/a", &route),
        Route::file("/", File::new(b"", "text/plain")),
        Route::websocket("/b", &route).named("telemetry"),
    ];
    serve::<4, 512, 512, 64>(&Settings::new(&routes), 64, async |rig| {
        let (mut one, mut other) = (rig.net.dial(), rig.net.dial());
        one.upgrade("/a", "").await;
        other.upgrade("/b", "Sec-WebSocket-Protocol: v2\r\n").await;
        let named: Vec<_> = rig.handle.connections().map(|info| (info.route, info.subprotocol)).collect();
        assert!(named.contains(&(Some("/a"), None)) && named.contains(&(Some("telemetry"), Some("v2"))));
        let outcome = rig.handle.broadcast("20 degrees", |info| info.route == Some("telemetry"));
        assert_eq!((outcome.sent, outcome.refused), (1, 0));
        assert_eq!(other.frame().await, (0x81, b"20 degrees".to_vec()));
    });
}

#[test]
fn what_happens_is_counted_by_its_reason() {
    let counters = Counters::new();
    let decide = |_: &Opening<'_>, _: &mut Acceptance<'_>| Err(Rejection::new(403));
    let respond = |_: &Request<'_>, response: &mut Response<'_>| {
        response.status(1);
    };
    let listener = WebSocketRoute { overflow: Overflow::DropOldest, ..WebSocketRoute::new(&(), &QUIET) };
    let asked = WebSocketRoute { upgrade: Some(Upgrade::new(&decide)), ..listener };
    let pulled = WebSocketRoute::pull(&QUIET);
    let auth = BasicAuth { realm: "device", user: "u", password: "p" };
    let routes = [
        Route::websocket("/ws", &listener),
        Route::websocket("/asked", &asked),
        Route::websocket("/pulled", &pulled),
        Route::call("/broken", Methods::POST.and(Methods::GET), &respond),
        Route::file("/secret", File::new(b"", "text/plain")).with_auth(auth),
    ];
    assert_eq!(listener.origin, OriginPolicy::Same);
    let settings = Settings { counters: Some(&counters), ..Settings::new(&routes) };
    serve::<2, 512, 512, 128>(&settings, 64, async |rig| {
        let asks = async |bytes: String| {
            let mut peer = rig.net.dial();
            peer.send(bytes).await;
            rig.clock.sleep(11_000).await;
        };
        let get =
            |target: &str| std::format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
        asks("nonsense\r\n\r\n".to_string()).await;
        asks(get("/secret")).await;
        asks(upgrade_request("/ws", "Origin: http://elsewhere\r\n")).await;
        asks(get("/nothing")).await;
        asks(get("/broken").replace("GET", "PUT")).await;
        asks("GET / HT".to_string()).await;
        asks(get("/ws")).await;
        asks(upgrade_request("/pulled", "")).await;
        asks(get("/broken")).await;
        asks(upgrade_request("/asked", "")).await;
        let refused = rig.handle.counts().unwrap().refused;
        let all = [
            refused.malformed,
            refused.unauthorized,
            refused.forbidden,
            refused.not_found,
            refused.method,
            refused.timeout,
            refused.upgrade,
            refused.unavailable,
            refused.failed,
            refused.hook,
        ];
        assert_eq!((all, refused.total()), ([1; 10], 10));
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let before = rig.handle.counts().unwrap();
        peer.send(masked(0x81, "0123456789")).await;
        let id = rig.handle.connections().find(|info| info.route.is_some()).unwrap().id;
        for _ in 0..100 {
            rig.handle.try_send(id, "0123456789").unwrap();
        }
        rig.clock.sleep(1).await;
        let full = rig.handle.counts().unwrap();
        assert_eq!((full.connections, full.opened, full.failed), (11, 1, 0));
        assert_eq!(full.received - before.received, 16);
        let mut arrived = 0;
        rig.handle.close(id, CloseCode::NORMAL, "");
        while peer.frame().await.0 == 0x81 {
            arrived += 1;
        }
        let after = rig.handle.counts().unwrap();
        assert_eq!(arrived + after.dropped, 100);
        assert!(after.dropped > 10);
        assert_eq!(after.sent - before.sent, u64::from(arrived) * 12 + 4);
        assert_eq!(after.sent - before.sent, u64::from(arrived) * 12 + 4);
    });
    let other = Settings::new(&routes);
    serve::<1, 512, 512, 128>(&other, 64, async |rig| assert!(rig.handle.counts().is_none()));
}

/// Keeps what is logged, of this thread only.
#[cfg(feature = "log")]
struct Logger;

#[cfg(feature = "log")]
std::thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[cfg(feature = "log")]
impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(std::format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

#[cfg(feature = "log")]
#[test]
fn the_log_says_what_was_refused_and_why() {
    let _ = log::set_logger(&Logger);
    log::set_max_level(log::LevelFilter::Info);
    LINES.take();
    let route = WebSocketRoute::new(&(), &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 512, 128>(&Settings::new(&routes), 64, async |rig| {
        let mut peer = rig.net.dial();
        peer.get("/nothing", "").await;
        peer.get("/ws", "").await;
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let index = rig.handle.connections().find(|info| info.route.is_some()).unwrap().id.index();
        peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
        peer.rest().await;
        peer.finish().await;
        rig.clock.sleep(1).await;
        let lines = LINES.take();
        let expected = [
            "WARN refused with 404: there is nothing at this path (GET /nothing)".to_string(),
            "WARN refused with 426: ".to_string(),
            std::format!("INFO WebSocket {index} open: /ws"),
            std::format!("INFO WebSocket {index} ended: closed, code 1000"),
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(&expected) {
            assert!(line.starts_with(expected.as_str()), "{line}");
        }
    });
}
