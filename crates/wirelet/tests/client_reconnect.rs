//! The client that connects again: its events, its sender, its end. On real sockets; where time matters it is
//! tokio's, paused once the connection stands.

mod client_peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client_peer::{Peer, cancelled_after, closed_port, unhung};
use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use wirelet::client::{Builder, Closed, ConnectError, Event, Reason, ReconnectConfig, retry};
use wirelet::{
    Client, CloseCode, Delivery, Error, Keepalive, Limits, Message, SendError, Timeout, TrySendError,
    WebSocket,
};

/// Tries again within milliseconds.
const QUICK: ReconnectConfig = ReconnectConfig { initial_max: 20, cap: 50, ..ReconnectConfig::DEFAULT };

fn quick(peer: &Peer) -> Builder {
    Client::builder(peer.url()).reconnect(QUICK)
}

/// The next event, which is there to come.
async fn next(client: &mut Client) -> Event {
    unhung(client.next()).await.expect("the client has ended")
}

/// Goes on to the next connection.
async fn until_connected(client: &mut Client) {
    while !matches!(next(client).await, Event::Connected(_)) {}
}

/// Goes on to the next end of a connection, or of an attempt.
async fn until_disconnected(client: &mut Client) -> (Reason, Option<Duration>, usize) {
    loop {
        if let Event::Disconnected { reason, retry_in, requeued } = next(client).await {
            return (reason, retry_in, requeued);
        }
    }
}

async fn until_closed(client: &mut Client) -> Closed {
    loop {
        if let Event::Closed(closed) = next(client).await {
            assert!(unhung(client.next()).await.is_none());
            return closed;
        }
    }
}

/// A client and the server's side of its connection.
async fn connected(builder: Builder, peer: &Peer) -> (Client, WebSocket) {
    let mut client = builder.connect().unwrap();
    let websocket = peer.websocket().await;
    until_connected(&mut client).await;
    (client, websocket)
}

#[tokio::test]
async fn events_come_in_their_order() {
    let peer = Peer::bind().await;
    let mut client = quick(&peer).connect().unwrap();
    assert!(!client.is_connected());
    let server = async {
        let mut websocket = peer.request().await.accept("X-Two: 2\r\n").await;
        websocket.send("hello").await.unwrap();
        websocket.close(CloseCode::GOING_AWAY, "restart").await.unwrap();
        let mut websocket = peer.websocket().await;
        websocket.close(CloseCode::NORMAL, "enough").await.unwrap();
    };
    let client = async {
        assert!(matches!(next(&mut client).await, Event::Connecting { attempt: 1 }));
        let Event::Connected(response) = next(&mut client).await else { panic!() };
        assert_eq!((response.status, response.header("x-two")), (101, Some("2")));
        assert!(
            matches!(next(&mut client).await, Event::Message(message) if message == Message::from("hello"))
        );
        let Event::Disconnected { reason, retry_in: Some(_), requeued: 0 } = next(&mut client).await else {
            panic!()
        };
        assert_eq!(reason.to_string(), "the server closed with 1001 (going away): restart");
        assert!(matches!(next(&mut client).await, Event::Connecting { attempt: 1 }));
        assert!(matches!(next(&mut client).await, Event::Connected(_)));
        // 1000: the connection has fulfilled its purpose.
        let Event::Disconnected { reason, retry_in: None, .. } = next(&mut client).await else { panic!() };
        assert!(matches!(reason, Reason::Closed { info, .. } if info.is_clean()));
        let Event::Closed(closed) = next(&mut client).await else { panic!() };
        assert_eq!((closed.info.received, closed.text.as_str()), (Some(CloseCode::NORMAL), "enough"));
        assert!(closed.unsent.is_empty());
        assert!(client.next().await.is_none());
    };
    unhung(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn it_is_a_stream() {
    let peer = Peer::bind().await;
    let mut client = std::pin::pin!(quick(&peer).connect().unwrap());
    let event = unhung(std::future::poll_fn(|cx| client.as_mut().poll_next(cx))).await;
    assert!(matches!(event, Some(Event::Connecting { attempt: 1 })));
}

// ---- the fate of messages ----

#[tokio::test]
async fn what_is_queued_while_the_server_is_away_arrives_once_and_in_order() {
    let address = closed_port().await;
    let mut client = Client::builder(format!("ws://{address}")).reconnect(QUICK).connect().unwrap();
    for n in 0..50 {
        client.send(format!("{n}")).await.unwrap();
    }
    let (reason, retry_in, _) = until_disconnected(&mut client).await;
    assert!(matches!(reason, Reason::Connect(ConnectError::Connect { .. })) && retry_in.is_some());
    assert!(reason.raw_os_error().is_some());
    let peer = Peer { listener: TcpListener::bind(address).await.unwrap(), address };
    let mut websocket = peer.websocket().await;
    for n in 0..50 {
        assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some(n.to_string().as_str()));
    }
    client.wait_connected().await.unwrap();
    assert!(client.is_connected());
    // The server restarts; meanwhile the application goes on.
    websocket.close(CloseCode::SERVICE_RESTART, "").await.unwrap();
    drop((websocket, peer));
    until_disconnected(&mut client).await;
    assert!(!client.is_connected());
    let sender = client.sender();
    for n in 50..100 {
        sender.try_send(format!("{n}")).unwrap();
    }
    until_disconnected(&mut client).await;
    let peer = Peer { listener: TcpListener::bind(address).await.unwrap(), address };
    let mut websocket = peer.websocket().await;
    for n in 50..100 {
        assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some(n.to_string().as_str()));
    }
    client.send("last").await.unwrap();
    assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some("last"));
}

/// Larger than what the system's socket buffers take.
const HUGE: usize = 24 << 20;

fn huge_limits() -> Limits {
    Limits { queued: 64 << 20, ..Limits::new() }
}

/// A client and its connection, of which the server's side is in bytes.
async fn connected_in_bytes(builder: Builder, peer: &Peer) -> (Client, TcpStream) {
    let mut client = builder.connect().unwrap();
    let mut request = peer.request().await;
    let acceptance = request.acceptance("");
    request.answer(acceptance).await;
    until_connected(&mut client).await;
    (client, request.stream)
}

async fn read_exactly(stream: &mut TcpStream, bytes: usize) {
    unhung(stream.read_exact(&mut vec![0; bytes])).await.unwrap();
}

#[tokio::test]
async fn a_message_that_was_half_sent_is_sent_again_first() {
    let peer = Peer::bind().await;
    let (mut client, mut stream) = connected_in_bytes(quick(&peer).limits(huge_limits()), &peer).await;
    client.send("first").await.unwrap();
    client.send(vec![7; HUGE]).await.unwrap();
    for n in 0..3 {
        client.send(format!("{n}")).await.unwrap();
    }
    // The server has the first one and a part of the second, and dies.
    read_exactly(&mut stream, 2 + 4 + 5 + 100_000).await;
    drop(stream);
    let (reason, _, requeued) = until_disconnected(&mut client).await;
    assert!(matches!(reason, Reason::Failed(_)), "{reason}");
    assert!(requeued >= 1);
    let mut websocket = peer.websocket().await;
    let message = unhung(websocket.recv()).await.unwrap().unwrap();
    assert!(message.len() == HUGE && message.as_bytes().iter().all(|byte| *byte == 7));
    for n in 0..3 {
        assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some(n.to_string().as_str()));
    }
    client.send("last").await.unwrap();
    assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some("last"));
}

#[tokio::test]
async fn wherever_the_connection_breaks_nothing_comes_twice_or_out_of_order() {
    const SIZE: usize = 16 * 1024;
    const COUNT: usize = 2000;
    for read in [0, 1, 7, 8, SIZE, 100 * SIZE + 5, 300 * (SIZE + 8), 900 * SIZE] {
        let peer = Peer::bind().await;
        let (client, mut stream) = connected_in_bytes(quick(&peer).limits(huge_limits()), &peer).await;
        for n in 0..COUNT {
            let mut data = vec![0; SIZE];
            data[..8].copy_from_slice(&(n as u64).to_le_bytes());
            client.send(data).await.unwrap();
        }
        read_exactly(&mut stream, read).await;
        drop(stream);
        let mut websocket = peer.websocket().await;
        let mut next = None;
        while next != Some(COUNT) {
            let message = unhung(websocket.recv()).await.unwrap().unwrap();
            let number = u64::from_le_bytes(message.as_bytes()[..8].try_into().unwrap()) as usize;
            match next {
                // Not one that the first server has whole; what the system had taken for it is lost.
                None => assert!(number >= read / (SIZE + 8), "{number} after {read} bytes"),
                Some(next) => assert_eq!(number, next, "after {read} bytes"),
            }
            next = Some(number + 1);
        }
        drop(client);
    }
}

#[tokio::test]
async fn whatever_was_not_sent_comes_back_at_the_end() {
    let peer = Peer::bind().await;
    let limits = Limits { closing_time: Duration::from_millis(50), ..huge_limits() };
    let (mut client, _websocket) = connected(quick(&peer).limits(limits), &peer).await;
    client.send(vec![7; HUGE]).await.unwrap();
    client.send("waits").await.unwrap();
    let sender = client.sender();
    let closed = unhung(client.close(CloseCode::NORMAL, "")).await.unwrap().unwrap();
    assert!(!closed.info.is_clean());
    assert_eq!(closed.unsent.len(), 2);
    assert_eq!((closed.unsent[0].len(), &closed.unsent[1]), (HUGE, &Message::from("waits")));
    assert!(sender.is_closed());
    assert_eq!(sender.try_send("x"), Err(TrySendError::Closed("x".into())));
    assert_eq!(sender.send("x").await, Err(SendError("x".into())));
    assert!(client.close(CloseCode::NORMAL, "").await.unwrap().is_none());
}

#[tokio::test]
async fn the_queue_is_bounded_and_gives_messages_back() {
    let address = closed_port().await;
    let limits = Limits { queued: 1000, ..Limits::new() };
    let builder = Client::builder(format!("ws://{address}")).reconnect(QUICK).limits(limits);
    let client = builder.connect().unwrap();
    let sender = client.sender();
    let message = Message::from(vec![0; 100]);
    let mut queued = 0;
    let back = loop {
        match sender.try_send(message.clone()) {
            Ok(()) => queued += 1,
            Err(back) => break back,
        }
    };
    assert_eq!((queued, back), (1000 / 140, TrySendError::Full(message.clone())));
    assert_eq!(sender.queued(), queued * 140);
    // Waits for room; given up, it leaves no trace.
    for _ in 0..5 {
        assert!(cancelled_after(1, sender.send(message.clone())).await.is_none());
    }
    assert_eq!(sender.queued(), queued * 140);
    // Room comes with a connection.
    let waits = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("waited").await }
    });
    let peer = Peer { listener: TcpListener::bind(address).await.unwrap(), address };
    let mut websocket = peer.websocket().await;
    for _ in 0..queued {
        assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap(), message);
    }
    assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some("waited"));
    unhung(waits).await.unwrap().unwrap();
    drop(client);
}

#[tokio::test]
async fn it_sends_and_answers_pings_while_the_application_does_something_else() {
    let peer = Peer::bind().await;
    let (client, mut websocket) = connected(quick(&peer), &peer).await;
    client.send("hello").await.unwrap();
    assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some("hello"));
    websocket.ping(b"ping").await.unwrap();
    let event = unhung(websocket.recv_event()).await.unwrap().unwrap();
    assert_eq!(event, wirelet::Event::Pong("ping".into()));
}

#[tokio::test]
async fn an_application_that_does_not_look_holds_the_server_up_and_loses_nothing() {
    let peer = Peer::bind().await;
    let (mut client, websocket) = connected(quick(&peer), &peer).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let total = 1000;
    let server = tokio::spawn(async move {
        let mut websocket = websocket;
        for n in 0..total {
            let mut data = vec![0; 64 * 1024];
            data[..8].copy_from_slice(&(n as u64).to_le_bytes());
            websocket.send(data).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
        websocket
    });
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
    assert!(before < total, "62 MiB have been taken in");
    for n in 0..total {
        let Event::Message(message) = next(&mut client).await else { panic!() };
        assert_eq!(message.as_bytes()[..8], (n as u64).to_le_bytes());
    }
    unhung(server).await.unwrap();
}

#[tokio::test]
async fn chunks_are_delivered_where_they_are_asked_for() {
    let peer = Peer::bind().await;
    let (mut client, mut websocket) = connected(quick(&peer).delivery(Delivery::Chunks), &peer).await;
    websocket.send("hello").await.unwrap();
    let mut text = Vec::new();
    loop {
        let Event::Chunk(chunk) = next(&mut client).await else { panic!() };
        assert_eq!(chunk.offset, text.len() as u64);
        text.extend_from_slice(&chunk.data);
        if chunk.last {
            break;
        }
    }
    assert_eq!(text, b"hello");
}

// ---- whether to go on ----

/// A server that refuses with these statuses, one after the other, and accepts then.
async fn refuse(peer: &Peer, statuses: &[u16]) -> WebSocket {
    for status in statuses {
        peer.request().await.answer(format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nno")).await;
    }
    peer.websocket().await
}

/// The statuses that a client has got until it was connected or has ended, and whether it has ended.
async fn statuses(builder: Builder, peer: &Peer, refusals: &[u16]) -> (Vec<u16>, bool) {
    let mut client = builder.connect().unwrap();
    let outcome = async {
        let mut got = Vec::new();
        loop {
            match next(&mut client).await {
                Event::Disconnected { reason, retry_in, .. } => {
                    got.push(reason.status().unwrap());
                    let Reason::Connect(error) = reason else { panic!() };
                    assert_eq!(error.response().unwrap().text(), "no");
                    if retry_in.is_none() {
                        assert!(matches!(next(&mut client).await, Event::Closed(_)));
                        return (got, true);
                    }
                }
                Event::Connected(_) => return (got, false),
                _ => {}
            }
        }
    };
    tokio::select! {
        biased;
        outcome = unhung(outcome) => outcome,
        _ = async { (refuse(peer, refusals).await, std::future::pending::<()>().await) } => unreachable!(),
    }
}

#[tokio::test]
async fn by_default_it_goes_on_where_another_attempt_may_help() {
    let peer = Peer::bind().await;
    let passing = [500, 502, 503, 504, 408, 429];
    assert_eq!(statuses(quick(&peer), &peer, &passing).await, (passing.to_vec(), false));
    for status in [400, 401, 403, 404, 410, 426] {
        let peer = Peer::bind().await;
        assert_eq!(statuses(quick(&peer), &peer, &[503, status, 503]).await, (vec![503, status], true));
    }
}

#[tokio::test]
async fn it_stops_where_it_is_not_welcome() {
    for status in [401, 403, 404] {
        let peer = Peer::bind().await;
        let builder = quick(&peer).retry_if(retry::unless_denied);
        assert_eq!(statuses(builder, &peer, &[400, status, 503]).await, (vec![400, status], true));
    }
}

#[tokio::test]
async fn it_may_be_told_to_go_on_always_or_to_stop_at_will() {
    let peer = Peer::bind().await;
    let all = [401, 403, 404, 500];
    assert_eq!(statuses(quick(&peer).retry_if(retry::always), &peer, &all).await, (all.to_vec(), false));
    let peer = Peer::bind().await;
    let mut left = 3;
    let builder = quick(&peer).retry_if(move |_| {
        left -= 1;
        left > 0
    });
    assert_eq!(statuses(builder, &peer, &[500; 9]).await, (vec![500; 3], true));
    let peer = Peer::bind().await;
    let reconnect = ReconnectConfig { max_attempts: Some(2), ..QUICK };
    assert_eq!(statuses(quick(&peer).reconnect(reconnect), &peer, &[500; 9]).await, (vec![500; 3], true));
    let peer = Peer::bind().await;
    let reconnect = ReconnectConfig { stop_when_refused: true, ..QUICK };
    let builder = quick(&peer).reconnect(reconnect).retry_if(retry::always);
    assert_eq!(statuses(builder, &peer, &[500, 403, 500]).await, (vec![500, 403], true));
}

#[tokio::test]
async fn attempts_are_counted_and_wait_longer_and_longer() {
    let address = closed_port().await;
    let reconnect = ReconnectConfig { initial_max: 1000, cap: 4000, ..ReconnectConfig::DEFAULT };
    let mut client = Client::builder(format!("ws://{address}")).reconnect(reconnect).connect().unwrap();
    for (attempt, most) in [(1, 1000), (2, 2000), (3, 4000), (4, 4000)] {
        assert!(matches!(next(&mut client).await, Event::Connecting { attempt: n } if n == attempt));
        let Event::Disconnected { retry_in: Some(delay), .. } = next(&mut client).await else { panic!() };
        assert!(delay <= Duration::from_millis(most), "{delay:?} after {attempt}");
        // Until the client has begun to wait.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        client.reconnect_now();
    }
}

// ---- the end ----

#[tokio::test]
async fn closing_sends_what_is_queued_and_closes_cleanly() {
    let peer = Peer::bind().await;
    let (mut client, mut websocket) = connected(quick(&peer), &peer).await;
    for n in 0..100 {
        client.send(format!("{n}")).await.unwrap();
    }
    let server = async {
        for n in 0..100 {
            assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some(n.to_string().as_str()));
        }
        assert!(websocket.recv().await.unwrap().is_none());
        assert_eq!(websocket.close_reason().as_deref(), Some("bye"));
    };
    let (closed, ()) =
        unhung(async { tokio::join!(client.close(CloseCode::GOING_AWAY, "bye"), server) }).await;
    let closed = closed.unwrap().unwrap();
    assert!(closed.info.is_clean() && closed.unsent.is_empty());
    assert_eq!(closed.info.sent, Some(CloseCode::GOING_AWAY));
    assert!(!client.is_connected());
    assert!(matches!(client.wait_connected().await, Err(Error::Closed)));
}

#[tokio::test]
async fn messages_go_on_to_arrive_while_it_closes() {
    let peer = Peer::bind().await;
    let (mut client, mut websocket) = connected(quick(&peer), &peer).await;
    websocket.send("before").await.unwrap();
    client.start_close(CloseCode::NORMAL, "").unwrap();
    let server = async { websocket.recv().await.unwrap() };
    let client = async {
        assert!(matches!(next(&mut client).await, Event::Message(_)));
        assert!(until_closed(&mut client).await.info.is_clean());
    };
    let ((), end) = unhung(async { tokio::join!(client, server) }).await;
    assert!(end.is_none());
}

#[tokio::test]
async fn closing_is_bounded_when_the_server_never_answers() {
    let peer = Peer::bind().await;
    let (mut client, _websocket) = connected(quick(&peer), &peer).await;
    tokio::time::pause();
    let started = Instant::now();
    let closed = unhung(client.close(CloseCode::NORMAL, "")).await.unwrap().unwrap();
    assert_eq!((closed.info.sent, closed.info.received), (Some(CloseCode::NORMAL), None));
    assert!(started.elapsed() <= Duration::from_millis(10_100), "{:?}", started.elapsed());
}

#[tokio::test]
async fn closing_gives_up_an_attempt_and_a_pause() {
    // A server that says nothing.
    let peer = Peer::bind().await;
    let mut client = quick(&peer).connect().unwrap();
    client.send("x").await.unwrap();
    let mut stream = peer.connection().await;
    let closed = unhung(client.close(CloseCode::NORMAL, "")).await.unwrap().unwrap();
    assert_eq!((closed.unsent, closed.info.sent), (vec![Message::from("x")], None));
    let mut rest = Vec::new();
    let _ = unhung(stream.read_to_end(&mut rest)).await;
    // A pause that is long.
    let reconnect = ReconnectConfig { initial_max: u32::MAX, cap: u32::MAX, ..ReconnectConfig::DEFAULT };
    let builder = Client::builder(format!("ws://{}", closed_port().await)).reconnect(reconnect);
    let mut client = builder.connect().unwrap();
    until_disconnected(&mut client).await;
    assert!(unhung(client.close(CloseCode::NORMAL, "")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_close_code_that_must_not_be_sent_is_refused() {
    let peer = Peer::bind().await;
    let (mut client, _websocket) = connected(quick(&peer), &peer).await;
    for (code, reason) in [(1005, "x"), (1006, ""), (999, ""), (1000, "x".repeat(124).as_str())] {
        let refused = client.close(CloseCode::new(code), reason).await;
        assert!(matches!(refused, Err(Error::Misuse(_))), "{code}");
    }
    assert!(client.is_connected());
}

#[tokio::test]
async fn dropping_it_drops_the_socket_and_tells_the_senders() {
    let peer = Peer::bind().await;
    let (client, mut websocket) = connected(quick(&peer), &peer).await;
    let sender = client.sender();
    drop(client);
    assert!(matches!(unhung(websocket.recv()).await, Err(Error::Abnormal | Error::Io(_))));
    assert!(matches!(unhung(sender.wait_connected()).await, Err(Error::Closed)));
    assert_eq!(unhung(sender.send("x")).await, Err(SendError("x".into())));
    // Nobody comes back.
    assert!(cancelled_after(1, peer.listener.accept()).await.is_none());
}

#[tokio::test]
async fn bytes_after_the_servers_close_frame_are_ignored() {
    let peer = Peer::bind().await;
    let mut client = quick(&peer).connect().unwrap();
    let server = async {
        let mut request = peer.request().await;
        let acceptance = request.acceptance("");
        request.answer(acceptance).await;
        request.answer(b"\x81\x02hi\x88\x02\x03\xe8HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        request.stream.shutdown().await.unwrap();
        let mut close = Vec::new();
        let _ = request.stream.read_to_end(&mut close).await;
        assert_eq!((close.len(), close[0]), (8, 0x88));
    };
    let client = async {
        until_connected(&mut client).await;
        assert!(
            matches!(next(&mut client).await, Event::Message(message) if message.as_text() == Some("hi"))
        );
        let (reason, _, _) = until_disconnected(&mut client).await;
        assert!(matches!(reason, Reason::Closed { info, .. } if info.is_clean()));
    };
    unhung(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn the_watchdog_bites_and_the_client_comes_back() {
    let peer = Peer::bind().await;
    let keepalive = Keepalive { ping: None, idle: Some(Duration::from_secs(5)), ..Keepalive::default() };
    let (mut client, _websocket) = connected(quick(&peer).keepalive(keepalive), &peer).await;
    tokio::time::pause();
    let started = Instant::now();
    let (reason, retry_in, _) = until_disconnected(&mut client).await;
    assert!(matches!(reason, Reason::Failed(Error::Timeout(Timeout::Idle))), "{reason}");
    assert!(retry_in.is_some());
    assert!((4_900..=5_200).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    tokio::time::resume();
    let _websocket = peer.websocket().await;
    until_connected(&mut client).await;
}

#[tokio::test]
async fn a_server_that_dies_is_told_as_such() {
    let peer = Peer::bind().await;
    let (mut client, websocket) = connected(quick(&peer), &peer).await;
    drop(websocket);
    let (reason, retry_in, _) = until_disconnected(&mut client).await;
    assert!(matches!(reason, Reason::Failed(Error::Abnormal | Error::Io(_))), "{reason}");
    assert!(retry_in.is_some());
}

// ---- cancellation ----

#[tokio::test]
async fn next_may_be_given_up_at_every_poll() {
    for polls in 1..4 {
        let peer = Peer::bind().await;
        let mut client = quick(&peer).connect().unwrap();
        let server = async {
            let mut websocket = peer.websocket().await;
            for n in 0..100 {
                websocket.send(format!("{n}")).await.unwrap();
                tokio::task::yield_now().await;
            }
            websocket.close(CloseCode::NORMAL, "").await.unwrap();
        };
        let client = async {
            let mut texts = Vec::new();
            loop {
                match cancelled_after(polls, client.next()).await {
                    Some(Some(Event::Message(message))) => texts.push(message.as_text().unwrap().to_owned()),
                    Some(None) => break,
                    Some(Some(_)) => {}
                    None => tokio::task::yield_now().await,
                }
            }
            texts
        };
        let (texts, ()) = unhung(async { tokio::join!(client, server) }).await;
        assert_eq!(texts, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn close_may_be_given_up_at_every_poll() {
    for polls in 1..20 {
        let peer = Peer::bind().await;
        let (mut client, mut websocket) = connected(quick(&peer), &peer).await;
        client.send("x").await.unwrap();
        let server = async {
            assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("x"));
            assert!(websocket.recv().await.unwrap().is_none());
        };
        let client = async {
            match cancelled_after(polls, client.close(CloseCode::NORMAL, "")).await {
                Some(closed) => closed.unwrap().unwrap(),
                None => until_closed(&mut client).await,
            }
        };
        let (closed, ()) = unhung(async { tokio::join!(client, server) }).await;
        assert!(closed.info.is_clean());
    }
}

/// A server that asked to be left alone for ten minutes was asked again within five seconds.
#[tokio::test]
async fn a_server_that_asked_to_be_left_alone_was_not() {
    let dates = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:57 GMT";
    for (headers, least) in [
        ("Retry-After: 600", 60_000),
        ("Retry-After: 7", 7_000),
        (dates, 20_000),
        ("Retry-After: Sun, 06 Nov 1994 08:49:57 GMT", 0),
        ("X: y", 0),
    ] {
        let peer = Peer::bind().await;
        let mut client = Client::builder(peer.url()).connect().unwrap();
        let server = async {
            let mut request = peer.request().await;
            request.answer(format!("HTTP/1.1 503 x\r\nContent-Length: 0\r\n{headers}\r\n\r\n")).await;
        };
        let ((reason, retry_in, _), ()) = tokio::join!(until_disconnected(&mut client), server);
        assert_eq!(reason.status(), Some(503));
        let waited = u64::try_from(retry_in.unwrap().as_millis()).unwrap();
        assert!((least..=least + 5_000).contains(&waited), "{headers}: {waited}");
        // It does so.
        tokio::time::pause();
        let started = Instant::now();
        assert!(matches!(next(&mut client).await, Event::Connecting { attempt: 2 }));
        assert!(started.elapsed() >= Duration::from_millis(least), "{headers}");
        tokio::time::resume();
    }
}
