use core::time::Duration;
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec;
use std::vec::Vec;

use wirelet_proto::handshake::{PatternError, Rejection};
use wirelet_proto::{CloseCode, Config, Delivery, Event, Keepalive, Limits};

use super::support::*;
use crate::net::Socket as _;
use crate::server::{Acceptance, Opening, OriginPolicy, Route, Settings, Upgrade, WebSocketRoute};
use crate::{Cause, ConnectionId, End, Handler, Message, Overflow, Peer, Phase, SendReason};

/// Echoes messages whole and chunks as fragments, and keeps a diary.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

impl Echo {
    fn note(&self, text: impl ToString) {
        self.0.lock().unwrap().push(text.to_string());
    }

    fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Handler for Echo {
    fn on_open(&self, peer: &mut Peer<'_>) {
        self.note(std::format!("open {:?}", peer.subprotocol()));
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text("close") => peer.close(CloseCode::NORMAL, "as you wish").unwrap(),
            Event::Text("ping") => peer.ping(b"are you there?").unwrap(),
            Event::Text(text) => peer.send(text).unwrap(),
            Event::Binary(bytes) => peer.send(bytes).unwrap(),
            Event::Chunk(chunk) => peer.send_fragment(chunk.kind, chunk.data, chunk.last).unwrap(),
            Event::Ping(payload) => self.note(std::format!("ping {}", payload.escape_ascii())),
            Event::Pong(payload) => self.note(std::format!("pong {}", payload.escape_ascii())),
            Event::Close(frame) => {
                self.note(std::format!("close {:?}", frame.map(|frame| u16::from(frame.code))))
            }
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        self.note(std::format!("end {:?}", end.cause));
    }
}

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };
const CHUNKS: Config = Config { delivery: Delivery::Chunks, ..QUIET };

fn with_echo<const N: usize, const RX: usize>(
    config: &Config,
    capacity: usize,
    script: impl AsyncFnOnce(Rig<'_>, &Echo),
) {
    let echo = Echo::default();
    let route = WebSocketRoute { subprotocols: &["v2", "v1"], ..WebSocketRoute::new(&echo, config) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<N, RX, 512, 128>(&Settings::new(&routes), capacity, async |rig| script(rig, &echo).await);
}

async fn opened(rig: &Rig<'_>) -> Dialed {
    let mut peer = rig.net.dial();
    peer.upgrade("/ws", "").await;
    peer
}

#[test]
fn messages_are_echoed_whole() {
    for capacity in [1, 3, 64, 4096] {
        with_echo::<2, 512>(&QUIET, capacity, async |rig, echo| {
            let mut peer = opened(&rig).await;
            for len in [0, 1, 20, 125, 126, 300, 373] {
                let payload: Vec<u8> = (0..len).map(|i| b'a' + (i % 26) as u8).collect();
                peer.send(masked(0x81, &payload)).await;
                assert_eq!(peer.frame().await, (0x81, payload.clone()));
                peer.send(masked(0x82, &payload)).await;
                assert_eq!(peer.frame().await, (0x82, payload));
            }
            peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
            assert_eq!(peer.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
            assert!(peer.rest().await.is_empty());
            peer.finish().await;
            assert_eq!(echo.take(), ["open None", "close Some(1000)", "end Closed"]);
        });
    }
}

#[test]
fn chunks_carry_messages_larger_than_all_buffers() {
    for capacity in [1, 100, 4096] {
        with_echo::<2, 256>(&CHUNKS, capacity, async |rig, _| {
            let mut peer = opened(&rig).await;
            let payload: String = (0..65_536 / 4).map(|i| if i % 2 == 0 { "abcd" } else { "äö" }).collect();
            let wire = masked(0x81, &payload);
            let (_, mut writer) = peer.wire.split();
            let sent = async { embedded_io_async::Write::write_all(&mut writer, &wire).await.unwrap() };
            let ((), (opcode, echoed, frames)) = both(sent, peer.message()).await;
            assert!(opcode == 1 && frames > 64_000 / 512, "{frames}");
            assert!(echoed == payload.as_bytes());
        });
    }
}

#[test]
fn fragments_make_one_message_with_pings_between() {
    for config in [&QUIET, &CHUNKS] {
        with_echo::<2, 512>(config, 8, async |rig, echo| {
            let mut peer = opened(&rig).await;
            peer.trickle(masked(0x01, "a".repeat(32))).await;
            peer.trickle(masked(0x89, "between")).await;
            peer.trickle(masked(0x00, "b".repeat(32))).await;
            peer.trickle(masked(0x80, "")).await;
            let mut text = Vec::new();
            let mut pongs = 0;
            loop {
                match peer.frame().await {
                    (0x8a, pong) => {
                        assert_eq!(pong, b"between");
                        pongs += 1;
                    }
                    (first, more) => {
                        text.extend(more);
                        if first & 0x80 != 0 {
                            break;
                        }
                    }
                }
            }
            assert_eq!(text, std::format!("{}{}", "a".repeat(32), "b".repeat(32)).as_bytes());
            assert_eq!(pongs, 1);
            assert_eq!(echo.take(), ["open None", "ping between"]);
        });
    }
}

#[test]
fn a_frame_in_the_packet_of_the_handshake_is_not_lost() {
    with_echo::<2, 512>(&QUIET, 4096, async |rig, _| {
        let mut peer = rig.net.dial();
        let mut bytes = upgrade_request("/ws", "").into_bytes();
        bytes.extend(masked(0x81, "early"));
        peer.send(bytes).await;
        peer.head().await;
        assert_eq!(peer.frame().await, (0x81, b"early".to_vec()));
    });
}

#[test]
fn the_handler_may_close_and_ping() {
    with_echo::<2, 512>(&QUIET, 32, async |rig, echo| {
        let mut peer = opened(&rig).await;
        peer.send(masked(0x81, "ping")).await;
        assert_eq!(peer.frame().await, (0x89, b"are you there?".to_vec()));
        peer.send(masked(0x8a, "yes")).await;
        peer.send(masked(0x81, "close")).await;
        assert_eq!(peer.frame().await, (0x88, b"\x03\xe8as you wish".to_vec()));
        peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
        assert!(peer.rest().await.is_empty());
        assert_eq!(echo.take(), ["open None", "pong yes", "close Some(1000)", "end Closed"]);
    });
}

/// Which frames are broken is the scenarios' business.
#[test]
fn what_follows_a_failure_is_thrown_away_and_the_close_frame_arrives() {
    with_echo::<2, 512>(&QUIET, 16, async |rig, echo| {
        let mut peer = opened(&rig).await;
        peer.send(masked(0x81, "before")).await;
        peer.send(masked(0x83, "")).await;
        assert_eq!(peer.frame().await, (0x81, b"before".to_vec()));
        assert_eq!(peer.frame().await, (0x88, 1002_u16.to_be_bytes().to_vec()));
        // More than all the pipes hold: nobody is reset.
        peer.send("0".repeat(500)).await;
        assert!(peer.rest().await.is_empty());
        let diary = echo.take();
        assert!(diary.len() == 2 && diary[1].starts_with("end Failed("), "{diary:?}");
    });
}

#[test]
fn streams_that_end_and_wires_that_break_are_told_apart() {
    with_echo::<3, 512>(&QUIET, 16, async |rig, echo| {
        let mut peer = opened(&rig).await;
        peer.finish().await;
        peer.rest().await;
        assert_eq!(echo.take(), ["open None", "end EndOfStream"]);
        drop(opened(&rig).await);
        rig.clock.sleep(1).await;
        assert_eq!(echo.take(), ["open None", "end Io(ConnectionReset)"]);
        assert_eq!(rig.handle.connections().count(), 0);
    });
}

#[test]
fn silent_peers_are_pinged_and_given_up() {
    let config = Config { keepalive: Keepalive::every(Duration::from_secs(5)), ..Config::new() };
    with_echo::<2, 512>(&config, 256, async |rig, echo| {
        let mut peer = opened(&rig).await;
        let (first, payload) = peer.frame().await;
        assert_eq!((first, rig.clock.now.get()), (0x89, 5_000));
        peer.send(masked(0x8a, payload)).await;
        assert_eq!(peer.frame().await.0, 0x89);
        assert_eq!(rig.clock.now.get(), 10_000);
        assert_eq!(peer.frame().await, (0x88, 3008_u16.to_be_bytes().to_vec()));
        assert_eq!(rig.clock.now.get(), 15_000);
        assert!(peer.rest().await.is_empty());
        assert_eq!(echo.take().last().unwrap(), "end Expired(Pong)");
        // It never ends its stream: the closing deadline does.
        assert_eq!(rig.handle.connections().count(), 1);
        rig.clock.sleep(5_001).await;
        assert_eq!(rig.handle.connections().count(), 0);
    });
}

#[test]
fn other_tasks_send_list_and_close() {
    with_echo::<3, 512>(&QUIET, 16, async |rig, echo| {
        let mut peer = opened(&rig).await;
        let info = rig.handle.connections().next().unwrap();
        assert_eq!((info.phase, info.route, info.queued), (Phase::Open, Some("/ws"), 0));
        rig.handle.try_send(info.id, "Async data").unwrap();
        rig.handle.try_send(info.id, &b"\x00\x01"[..]).unwrap();
        assert_eq!(rig.handle.connection(info.id).unwrap().queued, 12);
        assert!(rig.handle.close(info.id, CloseCode::GOING_AWAY, ""));
        assert_eq!(peer.frame().await, (0x81, b"Async data".to_vec()));
        assert_eq!(peer.frame().await, (0x82, vec![0, 1]));
        assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
        let gone = rig.handle.try_send(info.id, "too late").unwrap_err();
        assert_eq!((gone.message, gone.reason), (Message::Text("too late"), SendReason::Gone));
        peer.send(masked(0x88, 1001_u16.to_be_bytes())).await;
        assert!(peer.rest().await.is_empty());
        peer.finish().await;
        rig.clock.sleep(1).await;
        assert_eq!(echo.take().last().unwrap(), "end Closed");
        // The next connection has the same place and another id.
        let _peer = opened(&rig).await;
        let next = rig.handle.connections().next().unwrap();
        assert_eq!(next.id.index(), info.id.index());
        assert_eq!(rig.handle.try_send(info.id, "stale").unwrap_err().reason, SendReason::Gone);
        assert!(
            !rig.handle.close(info.id, CloseCode::NORMAL, "") && rig.handle.connection(info.id).is_none()
        );
    });
}

#[test]
fn a_full_queue_gives_the_message_back_and_nobody_else_waits() {
    with_echo::<5, 512>(&QUIET, 8, async |rig, _| {
        let mut deaf = [opened(&rig).await, opened(&rig).await];
        let mut peer = opened(&rig).await;
        let ids: Vec<_> = rig.handle.connections().map(|info| info.id).collect();
        let text = "0123456789".repeat(4);
        let mut sent = 0;
        let full = loop {
            rig.clock.sleep(1).await;
            match rig.handle.try_send(ids[0], &*text) {
                Ok(()) => sent += 1,
                Err(full) => break full,
            }
        };
        assert_eq!((full.message, full.reason), (Message::Text(&text), SendReason::Full));
        let most = "x".repeat(rig.handle.largest_message());
        assert_eq!(most.len(), 124);
        let more = std::format!("{most}x");
        assert_eq!(rig.handle.try_send(ids[2], &*more).unwrap_err().reason, SendReason::TooLong);
        let before = rig.clock.now.get();
        for round in 0..50 {
            let outcome = rig.handle.broadcast("to all", |info| info.id != ids[1]);
            // Short ones still fit at first.
            let both = (outcome.sent, outcome.refused);
            assert!(both == (1, 1) || (both == (2, 0) && round < 10), "{both:?} {round}");
            assert_eq!(peer.frame().await, (0x81, b"to all".to_vec()));
            peer.send(masked(0x81, "echo")).await;
            assert_eq!(peer.frame().await, (0x81, b"echo".to_vec()));
        }
        assert_eq!(rig.clock.now.get(), before);
        for _ in 0..sent {
            assert_eq!(deaf[0].frame().await, (0x81, text.clone().into_bytes()));
        }
        assert_eq!(deaf[0].frame().await, (0x81, b"to all".to_vec()));
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let limits = Limits { stalled_time: Some(Duration::from_secs(10)), ..Limits::new() };
    let config = Config { limits, ..QUIET };
    with_echo::<2, 512>(&config, 8, async |rig, echo| {
        let mut peer = opened(&rig).await;
        peer.send(masked(0x81, "a".repeat(100))).await;
        rig.clock.sleep(9_000).await;
        assert_eq!(peer.take(4).await, b"\x81\x64aa");
        rig.clock.sleep(9_000).await;
        assert_eq!(echo.take(), ["open None"]);
        rig.clock.sleep(1_001).await;
        assert_eq!(echo.take(), ["end Expired(Stalled)"]);
        assert_eq!(rig.handle.connections().count(), 0);
    });
}

#[test]
fn flooding_pings_are_answered_within_bounds() {
    with_echo::<2, 512>(&QUIET, 64, async |rig, _| {
        let mut peer = opened(&rig).await;
        for round in 0..200_u16 {
            peer.send(masked(0x89, round.to_be_bytes())).await;
            if round % 5 == 0 {
                while peer.pending() {
                    assert_eq!(peer.frame().await.0, 0x8a);
                }
            }
        }
        peer.send(masked(0x81, "done")).await;
        while peer.frame().await.0 != 0x81 {}
    });
}

#[test]
fn slow_receivers_are_treated_as_the_route_says() {
    for overflow in [Overflow::DropOldest, Overflow::Close] {
        let echo = Echo::default();
        let route = WebSocketRoute { overflow, ..WebSocketRoute::new(&echo, &QUIET) };
        let routes = [Route::websocket("/ws", &route)];
        serve::<2, 512, 256, 128>(&Settings::new(&routes), 8, async |rig| {
            let mut peer = opened(&rig).await;
            let id = rig.handle.connections().next().unwrap().id;
            let mut refused = 0;
            for number in 10..60 {
                rig.clock.sleep(1).await;
                let text = std::format!("{number}{}", "-".repeat(58));
                refused += usize::from(rig.handle.try_send(id, &*text).is_err());
            }
            let last = loop {
                let next = peer.frame().await;
                if next.0 == 0x88 || next.1.starts_with(b"59") {
                    break next;
                }
            };
            match overflow {
                Overflow::DropOldest => assert_eq!((last.0, refused), (0x81, 0)),
                _ => assert_eq!(last, (0x88, 1013_u16.to_be_bytes().to_vec())),
            }
        });
    }
}

#[test]
fn handshakes_are_refused_with_status_and_body() {
    let echo = Echo::default();
    let decide = |request: &Opening<'_>, _: &mut Acceptance<'_>| match request.head().query() {
        Some("token=17") => Ok(()),
        _ => Err(Rejection { status: 401, headers: &[("WWW-Authenticate", "Token")], body: b"no token\n" }),
    };
    let open = WebSocketRoute { subprotocols: &["v2", "v1"], ..WebSocketRoute::new(&echo, &QUIET) };
    let origins = &["https://app.example", "file://", "http://localhost:*", "https://*.example:443"];
    let listed = WebSocketRoute { origin: OriginPolicy::Listed(origins), ..open };
    let any = WebSocketRoute { origin: OriginPolicy::Any, ..open };
    let asked = WebSocketRoute { upgrade: Some(Upgrade::new(&decide)), ..open };
    let routes = [
        Route::websocket("/ws", &open),
        Route::websocket("/listed", &listed),
        Route::websocket("/any", &any),
        Route::websocket("/asked", &asked),
    ];
    serve::<2, 512, 512, 64>(&Settings::new(&routes), 64, async |rig| {
        for (target, headers, accepted) in [
            ("/ws", "Origin: http://device\r\n", true),
            ("/ws", "Origin: http://evil.example\r\n", false),
            ("/listed", "Origin: HTTPS://app.example\r\n", true),
            ("/listed", "Origin: http://device\r\n", false),
            ("/listed", "Origin: file://\r\n", true),
            ("/listed", "Origin: http://localhost:3000\r\n", true),
            ("/listed", "Origin: https://a.example\r\n", true),
            ("/listed", "Origin: https://example\r\n", false),
            ("/any", "Origin: null\r\n", true),
            ("/any", "Origin:\r\n", true),
            ("/any", "Origin: a\r\nOrigin: a\r\n", true),
            ("/any", "Origin: http://caf\u{e9}\r\n", true),
            ("/listed", "Origin:\r\n", false),
            ("/listed", "Origin: file://\r\nOrigin: file://\r\n", false),
            ("/ws", "Origin: http://device\r\nOrigin: http://device\r\n", false),
            ("/ws", "Origin:\r\n", false),
            ("/ws", "Origin: http://device.\r\n", true),
            ("/asked?token=17", "", true),
            ("/asked", "", false),
        ] {
            let mut peer = rig.net.dial();
            peer.send(upgrade_request(target, headers)).await;
            let (head, body) = peer.response().await;
            let status = match (accepted, target) {
                (true, _) => "101",
                (_, "/asked") => "401",
                _ if headers.contains("Origin:\r\n") || headers.matches("Origin").count() > 1 => "400",
                _ => "403",
            };
            assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{target} {headers} {head}");
            assert!(accepted || !body.is_empty());
            drop(peer);
            rig.clock.sleep(1).await;
        }
        let mut peer = rig.net.dial();
        let (head, _) = peer.get("/ws", "").await;
        assert!(
            head.starts_with("HTTP/1.1 426 ") && head.contains("Sec-WebSocket-Version: 13\r\n"),
            "{head}"
        );
        peer.send(upgrade_request("/ws", "").replace(": 13", ": 8")).await;
        let (head, _) = peer.response().await;
        assert!(
            head.starts_with("HTTP/1.1 426 ") && head.contains("Sec-WebSocket-Version: 13\r\n"),
            "{head}"
        );
    });
}

#[test]
fn an_origin_that_no_page_has_is_found_where_the_program_starts() {
    let listed = OriginPolicy::Listed(&["https://app.example", "app.example", "https://"]);
    assert_eq!(listed.check(), Err(("app.example", PatternError::Scheme)));
    for good in [OriginPolicy::Listed(&["file://"]), OriginPolicy::Same, OriginPolicy::Any] {
        assert_eq!(good.check(), Ok(()));
    }
}

/// 426 named the protocol in Upgrade without saying in Connection that the field is for the next hop (RFC 9110 7.8).
#[test]
fn a_required_upgrade_lacked_its_connection_option() {
    with_echo::<2, 512>(&QUIET, 64, async |rig, _| {
        let plain = "GET /ws HTTP/1.1\r\nHost: device\r\n\r\n".to_string();
        let old = upgrade_request("/ws", "").replace(": 13", ": 8");
        let h2c = plain.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
        for request in [plain, old, h2c] {
            let mut peer = rig.net.dial();
            peer.send(&request).await;
            let (head, body) = peer.response().await;
            assert!(head.starts_with("HTTP/1.1 426 ") && !body.is_empty(), "{head}");
            assert!(head.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"), "{head}");
        }
    });
}

/// Who waits for 100 before it goes on got 101 at once (RFC 9110 7.8).
#[test]
fn who_expects_100_got_101_at_once() {
    with_echo::<2, 512>(&QUIET, 64, async |rig, _| {
        for kept in [false, true] {
            let mut peer = rig.net.dial();
            if kept {
                peer.get("/nothing", "").await;
            }
            peer.send(upgrade_request("/ws", "Expect: 100-continue\r\n")).await;
            assert_eq!(peer.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
            assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
            peer.send(masked(0x81, "hi")).await;
            assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
            drop(peer);
            rig.clock.sleep(1).await;
        }
        // Who is refused is not told to go on.
        let mut peer = rig.net.dial();
        peer.send(upgrade_request("/ws", "Expect: 100-continue\r\nOrigin: http://evil\r\n")).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 403 "));
    });
}

#[test]
fn the_servers_preference_among_the_offered_subprotocols_counts() {
    with_echo::<2, 512>(&QUIET, 64, async |rig, echo| {
        for (offer, chosen, number) in [("v1, v2", Some("v2"), "open Some(0)"), ("v3", None, "open None")] {
            let mut peer = rig.net.dial();
            let head = peer.upgrade("/ws", &std::format!("Sec-WebSocket-Protocol: {offer}\r\n")).await;
            let line = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
            assert_eq!(line, chosen);
            assert_eq!(echo.take()[0], number);
            drop(peer);
            rig.clock.sleep(1).await;
            echo.take();
        }
    });
}

#[test]
fn the_last_worker_tells_who_comes_too_late() {
    with_echo::<3, 512>(&QUIET, 64, async |rig, _| {
        let _first = opened(&rig).await;
        let second = opened(&rig).await;
        let mut third = rig.net.dial();
        third.send(upgrade_request("/ws", "")).await;
        let (head, body) = third.response().await;
        assert!(head.starts_with("HTTP/1.1 503 ") && !body.is_empty(), "{head}");
        drop((second, third));
        rig.clock.sleep(1).await;
        opened(&rig).await;
    });
}

/// A client that came while the one before it was just leaving got 503.
#[test]
fn clients_that_come_and_go_without_a_pause_were_refused() {
    fn come_and_go<const N: usize>(leave: impl AsyncFn(Dialed) -> Option<Dialed>) {
        // A whole request comes at once.
        with_echo::<N, 512>(&QUIET, 4096, async |rig, _| {
            let mut staying = Vec::new();
            for _ in 0..N - 2 {
                staying.push(opened(&rig).await);
            }
            let mut left = None;
            for n in 0..30 {
                let mut peer = opened(&rig).await;
                peer.send(masked(0x81, n.to_string())).await;
                assert_eq!(peer.frame().await, (0x81, n.to_string().into_bytes()));
                // The one before is still held where it only waits for its end.
                drop(core::mem::replace(&mut left, leave(peer).await));
            }
            // No lingering connection was waited out.
            assert!(rig.clock.now.get() < 30 * 250, "{}", rig.clock.now.get());
        });
    }
    // It breaks off, it ends its side, it closes and breaks off before the answer, or it closes and keeps its end open for a while.
    let broken = async |_: Dialed| None;
    let ended = async |mut peer: Dialed| {
        peer.finish().await;
        None
    };
    let hasty = async |mut peer: Dialed| {
        peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
        None
    };
    let closed = async |mut peer: Dialed| {
        peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
        assert_eq!(peer.frame().await.0, 0x88);
        None
    };
    come_and_go::<2>(broken);
    come_and_go::<4>(broken);
    come_and_go::<2>(ended);
    come_and_go::<4>(hasty);
    come_and_go::<2>(closed);
    come_and_go::<4>(closed);
    // With a worker more than it needs, also where the last one lingers.
    let held = async |mut peer: Dialed| {
        peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
        assert_eq!(peer.frame().await.0, 0x88);
        Some(peer)
    };
    come_and_go::<3>(held);
}

/// The newcomer's worker was asked before the other one had seen that its peer is gone.
#[test]
fn a_newcomer_was_served_before_the_end_of_the_last_one_was_seen() {
    with_echo::<2, 512>(&QUIET, 4096, async |rig, _| {
        for _ in 0..3 {
            // It takes the first worker, which is polled first.
            let mut page = rig.net.dial();
            page.get("/nothing", "").await;
            let websocket = opened(&rig).await;
            drop((page, websocket));
            let newcomer = opened(&rig).await;
            drop(newcomer);
            rig.clock.sleep(1).await;
        }
    });
}

#[test]
fn a_dropped_worker_frees_its_place_and_tells_the_handler() {
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let mut resources = crate::Resources::<1, 512, 512, 64>::new();
    let (server, handle) = crate::Server::new(&mut resources, &settings);
    let [mut worker] = server.into_workers();
    let clock = ManualClock::default();
    let net = Net::new(64);
    for _ in 0..2 {
        let mut peer = net.dial();
        let mut listener = net.clone();
        let both = async {
            let mut run = core::pin::pin!(worker.run(&mut listener, &clock));
            let mut script = core::pin::pin!(peer.upgrade("/ws", ""));
            core::future::poll_fn(|cx| {
                assert!(run.as_mut().poll(cx).is_pending());
                script.as_mut().poll(cx).map(drop)
            })
            .await;
            assert_eq!(handle.connections().count(), 1);
        };
        block_on(&clock, both, Vec::new());
        assert_eq!(handle.connections().count(), 0);
        assert_eq!(echo.take(), ["open None", std::format!("end {:?}", Cause::Dropped).as_str()]);
    }
}

#[test]
fn limits_of_time_hold_for_messages_too() {
    let limits = Limits { message_time: Some(Duration::from_secs(3)), ..Limits::new() };
    let config = Config { limits, ..QUIET };
    with_echo::<2, 512>(&config, 64, async |rig, echo| {
        let mut peer = opened(&rig).await;
        peer.send(masked(0x01, "never ends")).await;
        assert_eq!(peer.frame().await.0, 0x88);
        assert_eq!(rig.clock.now.get(), 3_010);
        drop(peer);
        rig.clock.sleep(1).await;
        assert_eq!(echo.take().last().unwrap(), "end Expired(Message)");
    });
}

#[test]
fn two_slow_peers_and_a_flood_starve_none_of_four_others_and_take_no_memory() {
    with_echo::<8, 512>(&QUIET, 64, async |rig, _| {
        // Two that never read.
        let mut deaf = [opened(&rig).await, opened(&rig).await];
        for peer in &mut deaf {
            peer.send(masked(0x82, [7; 100])).await;
        }
        let deaf_ids: Vec<_> = rig.handle.connections().map(|connection| connection.id).collect();
        assert_eq!(deaf_ids.len(), 2);
        // One that never stops sending, and reads as fast as it can.
        let flooding = opened(&rig).await;
        let mut normal = Vec::new();
        for _ in 0..4 {
            normal.push(opened(&rig).await);
        }
        let done = core::cell::Cell::new(false);
        let flood = async {
            let mut flooding = flooding;
            let (mut reader, mut writer) = flooding.wire.split();
            let (mut sent, mut received) = (0_u64, 0_u64);
            let frame = masked(0x82, [1; 40]);
            let send = async {
                while !done.get() {
                    embedded_io_async::Write::write_all(&mut writer, &frame).await.unwrap();
                    sent += 1;
                }
            };
            let receive = async {
                let mut buffer = [0; 42];
                while !done.get() {
                    embedded_io_async::Read::read_exact(&mut reader, &mut buffer).await.unwrap();
                    received += 1;
                }
            };
            both(send, receive).await;
            (sent, received)
        };
        let talk = async {
            for round in 0..500 {
                let text = std::format!("message {round}");
                // All memory is the caller's and of fixed size: a peer that takes nothing fills its own queue, and no more.
                for id in &deaf_ids {
                    let taken = rig.handle.try_send(*id, &*text);
                    assert!(taken.is_ok() || round > 5, "{taken:?}");
                    assert!(rig.handle.connection(*id).unwrap().queued <= 128);
                }
                for peer in &mut normal {
                    peer.send(masked(0x81, &text)).await;
                    assert_eq!(peer.frame().await, (0x81, text.clone().into_bytes()));
                }
            }
            done.set(true);
        };
        let ((sent, received), ()) = std::boxed::Box::pin(both(flood, talk)).await;
        assert!(received >= 500 && sent >= received, "{sent} {received}");
        // Nobody waited for time to pass.
        assert_eq!(rig.clock.now.get(), 0);
    });
}

#[test]
fn a_peer_that_has_ended_its_stream_gets_what_it_was_promised() {
    with_echo::<2, 512>(&QUIET, 8, async |rig, echo| {
        let mut peer = opened(&rig).await;
        let payload = "e".repeat(120);
        let (_, mut writer) = peer.wire.split();
        let wire = [masked(0x81, &payload), masked(0x88, 1000_u16.to_be_bytes())].concat();
        let send = async { embedded_io_async::Write::write_all(&mut writer, &wire).await.unwrap() };
        send.await;
        peer.finish().await;
        rig.clock.sleep(1).await;
        assert_eq!(peer.frame().await, (0x81, payload.into_bytes()));
        assert_eq!(peer.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
        assert_eq!(rig.clock.now.get(), 1);
        peer.rest().await;
        assert_eq!(echo.take(), ["open None", "close Some(1000)", "end Closed"]);
    });
}

#[test]
fn the_place_of_a_peer_that_never_answers_a_close_is_free_at_the_deadline() {
    with_echo::<2, 512>(&QUIET, 64, async |rig, echo| {
        let mut peer = opened(&rig).await;
        let id = rig.handle.connections().next().unwrap().id;
        rig.handle.close(id, CloseCode::GOING_AWAY, "");
        assert_eq!(peer.frame().await.0, 0x88);
        rig.clock.sleep(5_001).await;
        assert_eq!(echo.take().last().unwrap(), "end Expired(Closing)");
        assert_eq!(rig.handle.connections().count(), 0);
    });
}

/// Whoever is woken may look at the connections at once: an executor that did saw none, because the table was in use.
#[test]
fn nobody_is_woken_within_a_critical_section() {
    use core::pin::pin;
    use core::task::{Context, Waker};
    use std::boxed::Box;
    use std::sync::{Arc, OnceLock};

    static HANDLE: OnceLock<crate::Handle<'static>> = OnceLock::new();
    static SEEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    struct Looking;
    impl std::task::Wake for Looking {
        fn wake(self: Arc<Self>) {
            SEEN.lock().unwrap().push(HANDLE.get().unwrap().connections().count());
        }
    }

    let echo = Box::leak(Box::new(Echo::default()));
    let route = Box::leak(Box::new(WebSocketRoute::new(echo, &QUIET)));
    let routes = Box::leak(Box::new([Route::websocket("/ws", route)]));
    let settings = Box::leak(Box::new(Settings::new(routes)));
    let resources = Box::leak(Box::new(crate::Resources::<1, 512, 512, 64>::new()));
    let (server, handle) = crate::Server::new(resources, settings);
    assert!(HANDLE.set(handle).is_ok());
    let [mut worker] = server.into_workers();
    let (clock, net) = (ManualClock::default(), Net::new(512));
    let (mut listener, mut peer) = (net.clone(), net.dial());
    block_on(&clock, peer.send(upgrade_request("/ws", "")), Vec::new());
    let waker = Waker::from(Arc::new(Looking));
    let mut run = pin!(worker.run(&mut listener, &clock));
    assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let id = handle.connections().next().unwrap().id;
    SEEN.lock().unwrap().clear();
    handle.try_send(id, "hello").unwrap();
    assert_eq!(*SEEN.lock().unwrap(), [1]);
}
