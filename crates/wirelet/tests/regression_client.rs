//! The fate of messages in the client that connects again, and what else it lost. On real sockets; they are made narrow, so
//! that a test knows how little of what was sent they can hold.

mod client_peer;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use client_peer::{HANG, Peer, unhung};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wirelet::client::{Builder, Closed, Event, Reason, ReconnectConfig};
use wirelet::{Client, Error, Limits, Message};

/// Tries again within milliseconds.
const QUICK: ReconnectConfig = ReconnectConfig { initial_max: 20, cap: 50, ..ReconnectConfig::DEFAULT };

fn quick(peer: &Peer) -> Builder {
    let limits = Limits { queued: 64 << 20, ..Limits::new() };
    Client::builder(peer.url()).reconnect(QUICK).limits(limits)
}

/// A listener whose connections have small segments and small buffers, on both sides.
fn narrow() -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    Peer { listener, address }
}

async fn next(client: &mut Client) -> Event {
    unhung(client.next()).await.expect("the client has ended")
}

/// Goes on to the next end of a connection.
async fn until_disconnected(client: &mut Client) -> (Reason, usize) {
    loop {
        if let Event::Disconnected { reason, requeued, .. } = next(client).await {
            return (reason, requeued);
        }
    }
}

async fn until_closed(client: &mut Client) -> Closed {
    loop {
        if let Event::Closed(closed) = next(client).await {
            return closed;
        }
    }
}

/// The server's side of a connection, in bytes; its client knows that it is connected.
async fn accepted(client: &mut Client, peer: &Peer) -> TcpStream {
    let mut request = peer.request().await;
    let acceptance = request.acceptance("");
    request.answer(acceptance).await;
    while !matches!(next(client).await, Event::Connected(_)) {}
    request.stream
}

/// Ends it as a server does that dies.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// Larger than what narrow sockets hold.
const LARGE: usize = 1 << 20;

/// A message of 64 KiB or more whose first write met a dead connection vanished: it was not sent, not sent again, and not
/// handed back.
#[tokio::test]
async fn a_large_message_that_met_a_dead_connection_was_lost() {
    for round in 0..4 {
        let peer = narrow();
        let mut client = quick(&peer).connect().unwrap();
        let stream = accepted(&mut client, &peer).await;
        reset(stream);
        // The client does not know yet.
        client.send(vec![7; LARGE]).await.unwrap();
        client.send("behind it").await.unwrap();
        until_disconnected(&mut client).await;
        let mut websocket = peer.websocket().await;
        let message = unhung(websocket.recv()).await.unwrap().unwrap();
        assert_eq!(message.len(), LARGE, "round {round}");
        assert_eq!(unhung(websocket.recv()).await.unwrap(), Some("behind it".into()));
    }
}

/// The same when there is no other connection: it was not among the messages that were not sent.
#[tokio::test]
async fn a_large_message_that_met_a_dead_connection_was_not_handed_back() {
    let peer = narrow();
    let mut client = quick(&peer).retry_if(|_| false).connect().unwrap();
    let stream = accepted(&mut client, &peer).await;
    reset(stream);
    client.send(vec![7; LARGE]).await.unwrap();
    client.send("behind it").await.unwrap();
    let unsent = until_closed(&mut client).await.unsent;
    assert_eq!(unsent.iter().map(Message::len).collect::<Vec<_>>(), [LARGE, 9]);
}

/// Messages that the server had read whole were sent again when the connection broke: what had left while the client
/// waited for the rest to leave was forgotten.
#[tokio::test]
async fn messages_that_the_server_had_received_were_sent_again() {
    const SMALL: usize = 300;
    for rest in [0, 1, 10_000, 100_000] {
        let peer = narrow();
        let mut client = quick(&peer).connect().unwrap();
        for n in 0..SMALL {
            client.send(format!("{n:0>1000}")).await.unwrap();
        }
        client.send(vec![7; 4 * LARGE]).await.unwrap();
        client.send("last").await.unwrap();
        let mut stream = accepted(&mut client, &peer).await;
        // All that is small, and some of what is large: a header of 8 bytes for each, of 14 for the large one.
        let mut wire = vec![0; SMALL * (8 + 1000) + rest];
        unhung(stream.read_exact(&mut wire)).await.unwrap();
        reset(stream);
        let (reason, requeued) = until_disconnected(&mut client).await;
        assert!(matches!(reason, Reason::Failed(_)), "{reason}");
        assert!((1..=2).contains(&requeued), "{requeued} will be sent again");
        let mut websocket = peer.websocket().await;
        let message = unhung(websocket.recv()).await.unwrap().unwrap();
        assert_eq!(message.len(), 4 * LARGE, "{:?} is sent again", message.as_text());
        assert_eq!(unhung(websocket.recv()).await.unwrap(), Some("last".into()));
    }
}

/// The last words of a server that reset the connection were lost while the client was sending.
#[tokio::test]
async fn the_last_words_of_a_server_were_lost() {
    let peer = narrow();
    let mut client = quick(&peer).connect().unwrap();
    client.send(vec![7; 4 * LARGE]).await.unwrap();
    let mut stream = accepted(&mut client, &peer).await;
    unhung(stream.read_exact(&mut [0; 100_000])).await.unwrap();
    stream.write_all(b"\x81\x0alast words").await.unwrap();
    // What it has not read makes a reset of this.
    drop(stream);
    loop {
        match next(&mut client).await {
            Event::Message(message) => {
                assert_eq!(message.as_text(), Some("last words"));
                break;
            }
            Event::Disconnected { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
    let (reason, requeued) = until_disconnected(&mut client).await;
    assert!(matches!(reason, Reason::Failed(Error::Io(_) | Error::Abnormal)), "{reason}");
    assert_eq!(requeued, 1);
}

/// A reset hid the close code and the reason that had arrived before it (RFC 6455 7.1.5).
#[tokio::test]
async fn the_close_frame_of_a_server_was_lost() {
    let peer = narrow();
    let mut client = quick(&peer).connect().unwrap();
    client.send(vec![7; 4 * LARGE]).await.unwrap();
    let mut stream = accepted(&mut client, &peer).await;
    unhung(stream.read_exact(&mut [0; 100_000])).await.unwrap();
    stream.write_all(b"\x88\x0c\x03\xf0rate limit").await.unwrap();
    drop(stream);
    let (reason, requeued) = until_disconnected(&mut client).await;
    assert_eq!(reason.to_string(), "the server closed with 1008 (policy violation): rate limit");
    assert_eq!(requeued, 1);
}

/// Asks for the next attempt as soon as there is news: while the client's task tells it.
struct Eager {
    client: Mutex<Client>,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        self.client.lock().unwrap().reconnect_now();
    }
}

/// `reconnect_now` was lost when it came between the news that the connection had ended and the pause.
#[tokio::test]
async fn reconnect_now_was_lost_before_the_pause() {
    let peer = Peer::bind().await;
    let days = ReconnectConfig { initial_max: u32::MAX, cap: u32::MAX, ..ReconnectConfig::DEFAULT };
    let mut client = quick(&peer).reconnect(days).connect().unwrap();
    let stream = accepted(&mut client, &peer).await;
    let eager = Arc::new(Eager { client: Mutex::new(client) });
    let waker = Waker::from(Arc::clone(&eager));
    let mut cx = Context::from_waker(&waker);
    let mut look = || pin!(eager.client.lock().unwrap().next()).poll(&mut cx);
    assert!(look().is_pending());
    reset(stream);
    // News is there once it is looked for; who looks is woken while it is put there.
    let began = Instant::now();
    let mut next = async || loop {
        if let Poll::Ready(event) = look() {
            return event.expect("the client has ended");
        }
        assert!(began.elapsed() < HANG, "it pauses on");
        tokio::task::yield_now().await;
    };
    assert!(matches!(next().await, Event::Disconnected { retry_in: Some(_), .. }));
    assert!(matches!(next().await, Event::Connecting { .. }));
}
