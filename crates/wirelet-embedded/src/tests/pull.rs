//! Async functions as handlers.

use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::boxed::Box;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use wirelet_proto::handshake::{Uri, accept_key};
use wirelet_proto::{CloseCode, Config, Delivery, Event, Keepalive, MaskKeys};

use super::support::*;
use crate::client::{Client, ClientResources, Finished, Options};
use crate::net::{Listen as _, Socket as _};
use crate::server::{Route, Settings, WebSocketRoute};
use crate::{Cause, Clock as _, Error, Outcome, SendReason, WebSocket};

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };
const CHUNKS: Config = Config { delivery: Delivery::Chunks, ..QUIET };

/// Runs `script` beside a server whose route `/ws` is for `function`.
fn with<const N: usize, const RX: usize, O: Outcome>(
    config: &Config,
    capacity: usize,
    function: impl AsyncFn(WebSocket<'_>, &ManualClock) -> O,
    script: impl AsyncFnOnce(Rig<'_>),
) {
    let route = WebSocketRoute { subprotocols: &["v1"], ..WebSocketRoute::pull(config) };
    let routes = [Route::websocket("/ws", &route), Route::websocket("/other", &route).named("another")];
    serve_by::<N, RX, 256, 128>(
        &Settings::new(&routes),
        capacity,
        async |worker, net, clock| worker.run_with(net, clock, async |ws| function(ws, clock).await).await,
        script,
    );
}

async fn echo(mut ws: WebSocket<'_>, _: &ManualClock) -> Result<(), Error> {
    let mut buffer = [0; 256];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn opened(rig: &Rig<'_>) -> Dialed {
    let mut peer = rig.net.dial();
    peer.upgrade("/ws", "").await;
    peer
}

const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();
const INTERNAL: [u8; 2] = 1011_u16.to_be_bytes();

#[test]
fn a_function_echoes_and_ends_with_its_peer() {
    for capacity in [1, 3, 64, 4096] {
        with::<2, 512, _>(&QUIET, capacity, echo, async |rig| {
            let mut peer = opened(&rig).await;
            for len in [0, 1, 20, 125, 126, 242] {
                let payload: Vec<u8> = (0..len).map(|i| b'a' + (i % 26) as u8).collect();
                peer.send(masked(0x89, "there?")).await;
                assert_eq!(peer.frame().await, (0x8a, b"there?".to_vec()));
                peer.send(masked(0x81, &payload)).await;
                assert_eq!(peer.frame().await, (0x81, payload.clone()));
                peer.send(masked(0x82, &payload)).await;
                assert_eq!(peer.frame().await, (0x82, payload));
            }
            peer.send(masked(0x88, NORMAL)).await;
            assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
            assert!(peer.rest().await.is_empty());
            peer.finish().await;
            rig.clock.sleep(1).await;
            assert_eq!(rig.handle.connections().count(), 0);
        });
    }
}

#[test]
fn a_message_passes_through_a_buffer_that_is_smaller_than_its_chunks() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        let (mut buffer, mut next) = ([0; 50], 0);
        while let Some(event) = ws.recv_event(&mut buffer).await? {
            if let Event::Chunk(chunk) = event {
                assert_eq!((chunk.offset, chunk.first), (next, next == 0));
                assert_eq!(chunk.frame.map(|frame| frame.offset), Some(next));
                next = if chunk.last { 0 } else { next + chunk.data.len() as u64 };
                ws.send_fragment(chunk.kind, chunk.data, chunk.last).await?;
            }
        }
        Ok(())
    };
    for capacity in [1, 100, 4096] {
        with::<2, 512, _>(&CHUNKS, capacity, function, async |rig| {
            let mut peer = opened(&rig).await;
            for round in 0..2 {
                let payload: String =
                    (0..3_000 / 4).map(|i| if i % 2 == round { "abcd" } else { "äö" }).collect();
                let wire = masked(0x81, &payload);
                let (_, mut writer) = peer.wire.split();
                let sent = async { embedded_io_async::Write::write_all(&mut writer, &wire).await.unwrap() };
                let ((), (opcode, echoed, frames)) = both(sent, peer.message()).await;
                assert!(opcode == 1 && frames >= payload.len() / 50, "{frames}");
                assert!(echoed == payload.as_bytes());
            }
        });
    }
}

#[test]
fn a_message_that_finds_no_room_stays_to_be_taken() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| {
        let (mut small, mut large) = ([0; 4], [0; 16]);
        let refused = ws.recv(&mut small).await.unwrap_err();
        assert_eq!(refused, Error::TooLong { len: 5, most: 4 });
        let message = ws.recv(&mut large).await.unwrap().unwrap();
        assert_eq!(message.bytes(), b"hello");
        let most = ws.largest();
        let refused = ws.send(&*vec![0; most + 1]).await.unwrap_err();
        assert_eq!(refused, Error::TooLong { len: most + 1, most });
        ws.send(&*vec![1; most]).await.unwrap();
    };
    with::<2, 512, _>(&QUIET, 64, function, async |rig| {
        let mut peer = opened(&rig).await;
        peer.send(masked(0x81, "hello")).await;
        assert_eq!(peer.frame().await, (0x82, vec![1; 256 - 14]));
        assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
    });
}

/// While a function waits for something else, its connection goes on.
#[test]
fn pings_and_tasks_are_served_while_the_function_waits() {
    let function = async |mut ws: WebSocket<'_>, clock: &ManualClock| -> Result<(), Error> {
        let mut buffer = [0; 64];
        ws.recv(&mut buffer).await?;
        clock.sleep(1_000).await; // a slow sensor
        ws.send("measured").await
    };
    with::<2, 512, _>(&QUIET, 16, function, async |rig| {
        let mut peer = opened(&rig).await;
        let info = rig.handle.connections().next().unwrap();
        peer.send(masked(0x81, "measure")).await;
        rig.clock.sleep(1).await;
        peer.send(masked(0x89, "there?")).await;
        rig.handle.try_send(info.id, "from a task").unwrap();
        let mut heard = [peer.frame().await, peer.frame().await];
        heard.sort();
        assert_eq!(heard, [(0x81, b"from a task".to_vec()), (0x8a, b"there?".to_vec())]);
        assert_eq!(rig.clock.now.get(), 1);
        assert_eq!(peer.frame().await, (0x81, b"measured".to_vec()));
        assert_eq!(rig.clock.now.get(), 1_000);
        // It returned: the connection is closed.
        assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
    });
}

#[test]
fn a_function_sees_the_name_of_its_route_and_what_was_agreed_on() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| {
        let text = std::format!("{} {:?} {}", ws.route(), ws.subprotocol(), ws.id().index());
        ws.send(&*text).await
    };
    with::<3, 512, _>(&QUIET, 64, function, async |rig| {
        for (target, headers, expected) in
            [("/ws", "Sec-WebSocket-Protocol: v1\r\n", "/ws Some(0) "), ("/other", "", "another None ")]
        {
            let mut peer = rig.net.dial();
            peer.upgrade(target, headers).await;
            let text = String::from_utf8(peer.frame().await.1).unwrap();
            assert!(text.starts_with(expected), "{text}");
        }
    });
}

#[test]
fn without_a_function_its_routes_are_refused() {
    let route = WebSocketRoute::pull(&QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 64>(&Settings::new(&routes), 64, async |rig| {
        let mut peer = rig.net.dial();
        peer.send(upgrade_request("/ws", "")).await;
        assert!(peer.response().await.0.starts_with("HTTP/1.1 503 "));
    });
}

#[test]
fn what_a_function_returns_is_the_close_code() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), &'static str> {
        let mut buffer = [0; 16];
        let text = ws.recv(&mut buffer).await.map_err(|_| "ended")?;
        if text.is_some_and(|text| text.bytes() == b"fail") { Err("as you wish") } else { Ok(()) }
    };
    with::<2, 512, _>(&QUIET, 64, function, async |rig| {
        for (text, code) in [("fail", INTERNAL), ("return", NORMAL)] {
            let mut peer = opened(&rig).await;
            peer.send(masked(0x81, text)).await;
            assert_eq!(peer.frame().await, (0x88, code.to_vec()));
            // What still comes is thrown away, whole messages too.
            peer.send(masked(0x81, "too late")).await;
            peer.send(masked(0x88, code)).await;
            assert!(peer.rest().await.is_empty());
            peer.finish().await;
            rig.clock.sleep(1).await;
        }
    });
}

#[test]
fn a_function_closes_with_a_reason_and_learns_how_it_ended() {
    let ends = RefCell::new(Vec::new());
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| {
        let refused = ws.close(CloseCode::ABNORMAL, "").await.unwrap_err();
        assert_eq!(refused, Error::Misuse(wirelet_proto::SendError::InvalidCloseCode));
        ws.send("the last").await.unwrap();
        let end = ws.close(CloseCode::new(4001), "enough").await.unwrap();
        assert_eq!(ws.send("too late").await, Err(Error::Closed));
        assert_eq!((ws.end(), ws.is_open()), (Some(end), false));
        ends.borrow_mut().push((end.close.received.map(u16::from), end.cause));
    };
    with::<2, 512, _>(&QUIET, 16, function, async |rig| {
        for answers in [true, false] {
            let mut peer = opened(&rig).await;
            assert_eq!(peer.frame().await, (0x81, b"the last".to_vec()));
            peer.send(masked(0x81, "not looked at")).await;
            assert_eq!(peer.frame().await, (0x88, b"\x0f\xa1enough".to_vec()));
            if answers {
                peer.send(masked(0x88, 4001_u16.to_be_bytes())).await;
            }
            peer.rest().await;
            peer.finish().await;
            rig.clock.sleep(6_000).await;
        }
    });
    let expected = [(Some(4001), Cause::Closed), (None, Cause::Expired(wirelet_proto::Expired::Closing))];
    assert_eq!(ends.into_inner(), expected);
}

#[test]
fn all_events_are_there_for_who_wants_them() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        ws.ping(b"are you there?").await?;
        assert_eq!(ws.ping(&[0; 126]).await, Err(Error::Misuse(wirelet_proto::SendError::TooLong)));
        let mut buffer = [0; 64];
        let mut seen = Vec::new();
        while let Some(event) = ws.recv_event(&mut buffer).await? {
            seen.push(std::format!("{event:?}"));
            if let Event::Text(_) = event {
                ws.send(&*std::format!("{seen:?}").replace(['"', '\\'], "")).await?;
            }
        }
        assert!(seen.last().unwrap().contains("bye"), "{seen:?}");
        Ok(())
    };
    with::<2, 512, _>(&QUIET, 64, function, async |rig| {
        let mut peer = opened(&rig).await;
        assert_eq!(peer.frame().await, (0x89, b"are you there?".to_vec()));
        peer.send(masked(0x8a, "A")).await;
        peer.send(masked(0x89, "B")).await;
        assert_eq!(peer.frame().await, (0x8a, b"B".to_vec()));
        peer.send(masked(0x81, "C")).await;
        let (first, text) = peer.frame().await;
        assert_eq!((first, &*String::from_utf8(text).unwrap()), (0x81, "[Pong([65]), Ping([66]), Text(C)]"));
        peer.send(masked(0x88, b"\x03\xe8bye")).await;
        assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
    });
}

#[test]
fn fragments_are_one_message_and_a_broken_one_closes_the_connection() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        let mut text = ws.text_fragments();
        text.write(&"a".repeat(32)).await?;
        text.write(&"b".repeat(32)).await?;
        text.finish("").await?;
        drop(ws.binary_fragments()); // nothing was sent of it
        ws.send("whole").await?;
        let mut binary = ws.binary_fragments();
        binary.write(&[1; 10]).await?;
        drop(binary);
        assert_eq!(ws.send("never").await, Err(Error::Closed));
        Ok(())
    };
    with::<2, 512, _>(&QUIET, 16, function, async |rig| {
        let mut peer = opened(&rig).await;
        let both = std::format!("{}{}", "a".repeat(32), "b".repeat(32));
        assert_eq!(peer.message().await, (1, both.into_bytes(), 3));
        assert_eq!(peer.frame().await, (0x81, b"whole".to_vec()));
        assert_eq!(peer.frame().await, (0x02, vec![1; 10]));
        assert_eq!(peer.frame().await, (0x88, INTERNAL.to_vec()));
    });
}

/// A function that streams does not keep tasks from sending, and they don't keep it: both get through to a slow reader.
#[test]
fn a_streaming_function_and_a_task_take_turns() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        loop {
            ws.send(&*"f".repeat(100)).await?;
        }
    };
    with::<2, 512, _>(&QUIET, 16, function, async |rig| {
        let mut peer = opened(&rig).await;
        let id = rig.handle.connections().next().unwrap().id;
        let done = Cell::new(false);
        let produce = async {
            while !done.get() {
                if let Err(error) = rig.handle.try_send(id, &*"t".repeat(50)) {
                    assert_eq!(error.reason, SendReason::Full);
                    rig.clock.sleep(1).await;
                }
            }
        };
        let read = async {
            let mut seen = [0, 0];
            for _ in 0..200 {
                let (_, payload) = peer.frame().await;
                seen[usize::from(payload[0] == b't')] += 1;
                rig.clock.sleep(10).await;
            }
            done.set(true);
            seen
        };
        let ((), seen) = both(produce, read).await;
        assert!(seen[0] >= 60 && seen[1] >= 60, "{seen:?}");
    });
}

/// One after the other is read and sent at the same time, so that two ends which both stream never wait for each other.
#[test]
fn halves_send_while_they_receive() {
    let function = async |ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        let (mut send, mut receive) = ws.split();
        let sending = async {
            for number in 0..50_u8 {
                send.send(&[number; 100]).await?;
            }
            Ok::<_, Error>(())
        };
        let receiving = async {
            let mut buffer = [0; 128];
            for number in 0..50_u8 {
                assert_eq!(receive.recv(&mut buffer).await?.unwrap().bytes(), [number; 100]);
            }
            Ok::<_, Error>(())
        };
        let (sent, received) = both(sending, receiving).await;
        sent.and(received)
    };
    with::<2, 512, _>(&QUIET, 7, function, async |rig| {
        let mut peer = opened(&rig).await;
        // Nothing is read before all is sent.
        for number in 0..50_u8 {
            peer.send(masked(0x82, [number; 100])).await;
        }
        for number in 0..50_u8 {
            assert_eq!(peer.frame().await, (0x82, vec![number; 100]));
        }
        assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
    });
}

struct Flag(AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls its parts only when they were woken themselves, as executors within executors do. Their wakers wake the task too.
async fn choosy<T>(parts: Vec<std::pin::Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut parts: Vec<_> =
        parts.into_iter().map(|part| (part, Arc::new(Flag(AtomicBool::new(true))), None)).collect();
    poll_fn(|cx| {
        for (part, flag, output) in &mut parts {
            if output.is_none() && flag.0.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(flag.clone());
                if let Poll::Ready(ready) = part.as_mut().poll(&mut Context::from_waker(&waker)) {
                    *output = Some(ready);
                }
            }
        }
        // Where no part was woken, nothing that it waits for has happened.
        if parts.iter().any(|(_, flag, _)| flag.0.load(Ordering::Relaxed)) {
            cx.waker().wake_by_ref();
        }
        if parts.iter().all(|(.., output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    parts.into_iter().map(|(.., output)| output.unwrap()).collect()
}

/// A future that waits for a message was not woken by its own waker, but only polled with the whole task.
#[test]
fn a_part_of_the_function_with_a_waker_of_its_own_is_woken() {
    let function = async |ws: WebSocket<'_>, _: &ManualClock| {
        let (mut send, mut receive) = ws.split();
        let sending: std::pin::Pin<Box<dyn Future<Output = usize> + '_>> = Box::pin(async {
            for number in 0..20_u8 {
                send.send(&[number; 100]).await.unwrap();
            }
            20
        });
        let receiving: std::pin::Pin<Box<dyn Future<Output = usize> + '_>> = Box::pin(async {
            let (mut buffer, mut count) = ([0; 128], 0);
            while receive.recv(&mut buffer).await.unwrap().is_some() {
                count += 1;
            }
            count
        });
        assert_eq!(choosy(vec![sending, receiving]).await, [20, 3]);
    };
    with::<2, 512, _>(&QUIET, 32, function, async |rig| {
        let mut peer = opened(&rig).await;
        for number in 0..20_u8 {
            if number % 8 == 0 {
                peer.send(masked(0x81, "more")).await;
            }
            assert_eq!(peer.frame().await, (0x82, vec![number; 100]));
            rig.clock.sleep(1).await;
        }
        peer.send(masked(0x88, NORMAL)).await;
        assert_eq!(peer.frame().await, (0x88, NORMAL.to_vec()));
    });
}

/// Notes when it is dropped.
struct Dropped<'d>(&'d Cell<bool>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_function_that_does_not_return_is_dropped_after_the_closing_time() {
    let dropped = Cell::new(false);
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| {
        let _dropped = Dropped(&dropped);
        let mut buffer = [0; 16];
        let error = ws.recv(&mut buffer).await.unwrap_err();
        assert!(matches!(error, Error::Ended(end) if end.cause == Cause::EndOfStream), "{error:?}");
        pending::<()>().await;
    };
    with::<2, 512, _>(&QUIET, 16, function, async |rig| {
        let mut peer = opened(&rig).await;
        peer.finish().await;
        peer.rest().await;
        rig.clock.sleep(4_999).await;
        assert!(!dropped.get());
        rig.clock.sleep(2).await;
        assert!(dropped.get());
        assert_eq!(rig.handle.connections().count(), 0);
        // The worker serves again.
        opened(&rig).await;
    });
}

#[test]
fn a_stop_is_bounded_whatever_the_function_waits_for() {
    let function = async |ws: WebSocket<'_>, _: &ManualClock| {
        let _ws = ws;
        pending::<()>().await;
    };
    let route = WebSocketRoute::pull(&QUIET);
    let routes = [Route::websocket("/ws", &route)];
    let stopped = Cell::new(None);
    serve_by::<1, 512, 256, 64>(
        &Settings::new(&routes),
        16,
        async |worker, net, clock| {
            worker.run_with(net, clock, async |ws| function(ws, clock).await).await;
            stopped.set(Some(clock.now.get()));
        },
        async |rig| {
            let mut peer = opened(&rig).await;
            rig.clock.sleep(1_000).await;
            rig.handle.stop();
            assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
            rig.clock.sleep(10_000).await;
        },
    );
    assert_eq!(stopped.get(), Some(6_000));
}

/// The worker's future is dropped while the function holds a message in fragments: nothing is borrowed twice.
#[test]
fn a_worker_may_be_dropped_at_any_moment() {
    let function = async |mut ws: WebSocket<'_>, _: &ManualClock| -> Result<(), Error> {
        let mut text = ws.text_fragments();
        text.write("begun").await?;
        pending().await
    };
    let route = WebSocketRoute::pull(&QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve_by::<1, 512, 256, 64>(
        &Settings::new(&routes),
        16,
        async |worker, net, clock| {
            let run = worker.run_with(net, clock, async |ws| function(ws, clock).await);
            crate::time::before(clock, clock.now().plus(Duration::from_millis(50)), pin!(run)).await;
        },
        async |rig| {
            let mut peer = opened(&rig).await;
            assert_eq!(peer.frame().await, (0x01, b"begun".to_vec()));
            rig.clock.sleep(100).await;
            assert_eq!(rig.handle.connections().count(), 0);
            assert!(peer.wire.is_broken());
        },
    );
}

struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 0xff, 0xff, 0xff]
    }
}

/// A client's frame, unmasked.
async fn frame(server: &mut Dialed) -> (u8, Vec<u8>) {
    let head = server.take(2).await;
    let key: [u8; 4] = server.take(4).await.try_into().unwrap();
    let payload = server.take(usize::from(head[1] & 0x7f)).await;
    (head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

#[test]
fn a_clients_function_talks_over_connection_after_connection() {
    let (clock, net) = (ManualClock::default(), Net::new(64));
    let options = Options {
        config: QUIET,
        connect_after_close: true,
        ..Options::new(Uri::parse("ws://device/ws").unwrap())
    };
    let mut resources = Box::new(ClientResources::<512, 256, 64>::new());
    let (mut client, sender) = Client::new(&mut *resources, &options);
    let (mut network, mut keys) = (net.clone(), Keys(0));
    let rounds = Cell::new(0);
    let function = async |mut ws: WebSocket<'_>| -> Result<(), Error> {
        rounds.set(rounds.get() + 1);
        ws.send(&*std::format!("hello {}", rounds.get())).await?;
        let mut buffer = [0; 64];
        let Some(message) = ws.recv(&mut buffer).await? else { return Ok(()) };
        ws.send(message).await
    };
    let run = client.run_with(&mut network, &clock, &mut keys, &(), function);
    let script = async {
        for round in 1..3 {
            let Ok(wire) = net.clone().accept().await;
            let mut server = Dialed::new(wire);
            let head = server.head().await;
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = String::from_utf8(accept_key(key.as_bytes()).to_vec()).unwrap();
            server
                .send(std::format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                ))
                .await;
            assert_eq!(frame(&mut server).await, (0x81, std::format!("hello {round}").into_bytes()));
            server.send(unmasked(0x82, [7; 9])).await;
            assert_eq!(frame(&mut server).await, (0x82, vec![7; 9]));
            assert_eq!(frame(&mut server).await, (0x88, NORMAL.to_vec()));
            server.send(unmasked(0x88, NORMAL)).await;
            server.finish().await;
            assert!(server.rest().await.is_empty());
        }
        sender.stop();
    };
    let ((), finished) = block_on(&clock, both(script, run), Vec::new());
    assert_eq!((finished, rounds.get()), (Finished::Stopped, 2));
    let _ = Error::Closed.to_string();
}
