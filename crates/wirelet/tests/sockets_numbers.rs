//! Numbered messages each way over a socket: by split halves and four senders at both ends, with futures that are given up and
//! receivers that stop for a while. Nothing is lost, doubled, changed or out of order. Long form: 1,000,000 each way.

mod sockets;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use sockets::*;
use tokio::time::{sleep, timeout};
use wirelet::server::{Router, Server, ws};
use wirelet::{Bytes, Client, CloseCode, Limits, ReceiveHalf, SendHalf, Sender};

/// The sending half, and four senders.
const SOURCES: usize = 5;

/// What was given up, by source and number: it was sent or it was not.
type GivenUp = Arc<Mutex<HashSet<(usize, u64)>>>;

/// A message says where it comes from, which one it is, and whether it is the last one. All other bytes follow from that.
fn message(source: usize, number: u64, last: bool, random: &mut Random) -> Vec<u8> {
    let len = match random.below(2000) {
        0 => 100_000 + random.below(200_000),
        1..40 => random.below(10_000),
        _ => random.below(100),
    };
    let mut message = vec![source as u8, u8::from(last)];
    message.extend(number.to_be_bytes());
    message.resize(10 + len as usize, number as u8);
    message
}

fn parsed(message: &[u8]) -> (usize, u64, bool) {
    let (head, rest) = message.split_at(10);
    let number = u64::from_be_bytes(*head.last_chunk().unwrap());
    assert!(rest.iter().all(|byte| *byte == number as u8), "{number} was changed");
    (usize::from(head[0]), number, head[1] == 1)
}

/// How a message is sent.
enum Source {
    Half(SendHalf),
    Sender(Sender),
}

impl Source {
    /// Sends it, and gives up after so many polls; whether it was sent.
    async fn send(&mut self, message: Vec<u8>, polls: u64) -> bool {
        let sent = match self {
            Self::Half(half) => cancelled_after(polls, half.send(message)).await.map(|sent| sent.is_ok()),
            Self::Sender(sender) => {
                cancelled_after(polls, sender.send(Bytes::from(message))).await.map(|sent| sent.is_ok())
            }
        };
        assert_ne!(sent, Some(false), "the connection has ended");
        sent.is_some()
    }
}

/// Sends `count` messages of `source`; the half comes back.
async fn send(mut by: Source, source: usize, count: u64, seed: u64, given_up: GivenUp) -> Source {
    let mut random = Random::new(seed);
    for number in 0..count {
        let last = number + 1 == count;
        let polls = if !last && random.below(3) == 0 { 1 + random.below(3) } else { u64::MAX };
        // It is known to be uncertain before it can arrive.
        if polls != u64::MAX {
            given_up.lock().unwrap().insert((source, number));
        }
        if by.send(message(source, number, last, &mut random), polls).await && polls != u64::MAX {
            given_up.lock().unwrap().remove(&(source, number));
        }
        if random.below(5000) == 0 {
            sleep(Duration::from_millis(random.below(5))).await;
        }
    }
    by
}

/// The numbers of each source that did not arrive.
async fn receive(half: &mut ReceiveHalf, seed: u64) -> Vec<(usize, u64)> {
    let mut random = Random::new(seed);
    let mut next = [0; SOURCES];
    let mut open = SOURCES;
    let mut missing = Vec::new();
    while open > 0 {
        let polls = if random.below(10) == 0 { 1 + random.below(3) } else { u64::MAX };
        let Some(received) = cancelled_after(polls, half.recv()).await else { continue };
        let received = received.unwrap().expect("more messages");
        let (source, number, last) = parsed(received.as_bytes());
        assert!(number >= next[source], "{number} of {source} comes behind {}", next[source]);
        missing.extend((next[source]..number).map(|number| (source, number)));
        next[source] = number + 1;
        open -= usize::from(last);
        if random.below(200) == 0 {
            sleep(Duration::from_millis(random.below(5))).await;
        }
    }
    missing
}

/// One end: sends and receives `count` messages in all. Its halves, what it gave up, and what did not arrive here.
async fn converse(
    send_half: SendHalf,
    mut receive_half: ReceiveHalf,
    count: u64,
    seed: u64,
) -> (SendHalf, ReceiveHalf, GivenUp, Vec<(usize, u64)>) {
    let given_up = GivenUp::default();
    let senders: Vec<Sender> = (1..SOURCES).map(|_| send_half.sender()).collect();
    let each = count / SOURCES as u64;
    let mut tasks = Vec::new();
    for (source, sender) in (1..).zip(senders) {
        let by = Source::Sender(sender);
        tasks.push(tokio::spawn(send(by, source, each, seed + source as u64, Arc::clone(&given_up))));
    }
    let half = tokio::spawn(send(Source::Half(send_half), 0, each, seed, Arc::clone(&given_up)));
    let receiving = tokio::spawn(async move {
        let missing = receive(&mut receive_half, seed + 100).await;
        (receive_half, missing)
    });
    let (mut receive_half, missing) = receiving.await.unwrap();
    // A connection without a task of its own moves while it is received from: what senders have still to send leaves.
    let sending = async {
        for task in tasks {
            task.await.unwrap();
        }
        half.await.unwrap()
    };
    let mut sending = std::pin::pin!(sending);
    let by = std::future::poll_fn(|cx| {
        if let Poll::Ready(received) = std::pin::pin!(receive_half.recv()).poll(cx) {
            assert_eq!(received.unwrap(), None);
        }
        sending.as_mut().poll(cx)
    });
    let Source::Half(send_half) = by.await else { unreachable!() };
    (send_half, receive_half, given_up, missing)
}

#[track_caller]
fn assert_only_given_up(missing: &[(usize, u64)], given_up: &GivenUp, count: u64) {
    let given_up = given_up.lock().unwrap();
    println!("of {count} messages {} were given up, and {} did not arrive", given_up.len(), missing.len());
    let lost: Vec<_> = missing.iter().filter(|number| !given_up.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// Queues that are soon full, so that senders wait.
fn limits() -> Limits {
    Limits { queued: 4 * 1024, ..Limits::new() }
}

async fn numbers(count: u64, seed: u64) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let route = ws(move |ws: wirelet::WebSocket, _| {
        let tell = tell.clone();
        async move {
            let (send, receive) = ws.split();
            let (_send, mut receive, given_up, missing) = converse(send, receive, count, seed).await;
            // The client closes.
            assert_eq!(receive.recv().await.unwrap(), None);
            tell.send((given_up, missing)).unwrap();
        }
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap().limits(limits());
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(Router::new().ws("/", route)));
    let (ws, _) = Client::builder(url).limits(limits()).connect_once().await.unwrap();
    let (send, receive) = ws.split();
    let (mut send, mut receive, given_up, missing) = converse(send, receive, count, seed + 1000).await;
    send.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(receive.recv().await.unwrap(), None);
    let (given_up_there, missing_there) = told.recv().await.unwrap();
    assert_only_given_up(&missing, &given_up_there, count);
    assert_only_given_up(&missing_there, &given_up, count);
    handle.stop();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_messages_arrive_once_and_in_order_whatever_is_given_up() {
    if is_long() {
        timeout(20 * HANG, numbers(1_000_000, 1)).await.expect("it hangs");
        return;
    }
    for seed in 0..3 {
        timeout(HANG, numbers(10_000, seed)).await.expect("it hangs");
    }
}
