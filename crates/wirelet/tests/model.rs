//! Model check of everything that a connection's tasks share: shuttle runs the real driver and lets the tasks take turns at each
//! lock and atomic. A wake-up that is lost is a deadlock, which it finds; messages are counted by `testkit`'s ledger.
//!
//! `RUSTFLAGS='--cfg wirelet_model' cargo test --release -p wirelet --test model --target-dir target/model`; `WIRELET_SCHEDULES` says
//! how many schedules each test tries. Time stands still: no deadline helps out.

#![cfg(wirelet_model)]

#[path = "operations/stream.rs"]
mod stream;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use shuttle::future::{block_on, spawn};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config as Checker, MaxSteps, Runner};
use stream::Stream;
use testkit::operations::ledger::{End, Fact, Times};
use testkit::operations::link::Shape;
use testkit::operations::peer::{Act, Pace};
use testkit::operations::{Ledger, Link, Peer, Pulse};
use testkit::wire::{self, Frame};
use wirelet::{
    CloseCode, Config, Error, Keepalive, Limits, ReceiveHalf, Role, SendHalf, Sender, SlowReceiver, WebSocket,
};

/// Schedules of each kind that a test tries.
const SCHEDULES: usize = 2000;

/// Runs `body` under many schedules.
fn check(body: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("WIRELET_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(SCHEDULES);
    let body = Arc::new(body);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        // Deadlines are kept by tokio's timers; its clock stands still.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        // Never dropped: what it still has belongs to the checker's last run.
        let runtime = Box::leak(Box::new(runtime.expect("a runtime without I/O can be made")));
        let _context = runtime.enter();
        let mut config = Checker::new();
        config.max_steps = MaxSteps::FailAfter(200_000);
        config.stack_size = 1 << 18;
        let body = Arc::clone(&body);
        Runner::new(scheduler, config).run(move || body());
    };
    run(Box::new(RandomScheduler::new(schedules)));
    run(Box::new(PctScheduler::new(3, schedules)));
}

/// A connection, its accounts and the other end of its link.
struct Bench {
    ledger: Ledger,
    link: Link,
    peer: Peer,
}

fn bench(outgoing: usize, queued: usize, script: &[Act]) -> (WebSocket, Bench) {
    let pulse = Pulse::default();
    // A message of the peer comes alone: the receiver waits for each.
    let shape = Shape { outgoing, incoming: 30, most: usize::MAX, hesitates: 0 };
    let (link, local) = Link::new(shape, 1, pulse.clone());
    let times =
        Times { pong: u64::MAX, stalled: u64::MAX, closing: u64::MAX, earliest: u64::MAX, delivers: true };
    let ledger = Ledger::new(pulse.clone(), link.clone(), times, false);
    let role = Role::Server;
    let peer = Peer::new(link.clone(), ledger.clone(), pulse, wire::peer(role), false, script, 1);
    let limits = Limits { queued, ..Limits::new() };
    let config = Config { limits, keepalive: Keepalive::off(), ..Config::new() };
    let ws = WebSocket::from_upgraded(Stream(local), role, Arc::new(config), &[]);
    (ws, Bench { ledger, link, peer })
}

impl Bench {
    /// Runs the peer beside everything else; the accounts must be right at the end.
    fn play(self) -> Playing {
        let Self { ledger, link, mut peer } = self;
        let playing = spawn(async move { poll_fn(|cx| peer.poll(cx)).await });
        Playing { ledger, link, playing }
    }
}

struct Playing {
    ledger: Ledger,
    link: Link,
    playing: shuttle::future::JoinHandle<()>,
}

impl Playing {
    fn end(self) {
        block_on(self.playing).expect("the peer ends");
        assert!(self.link.is_dropped(), "the connection has ended");
        self.ledger.finish(true);
        assert_eq!(self.ledger.failure(), None);
    }
}

const READS: [Act; 1] = [Act::Pace(Pace::Free)];

async fn queue(ledger: &Ledger, sender: &Sender, source: usize, count: usize) {
    for _ in 0..count {
        let (number, payload) = ledger.offer(source, 10, true, true);
        match sender.send(payload).await {
            Ok(()) => ledger.accepted(number),
            Err(_) => ledger.refused(number),
        }
    }
}

async fn send(ledger: &Ledger, half: &mut SendHalf, count: usize) {
    for _ in 0..count {
        let (number, payload) = ledger.offer(0, 10, true, false);
        match half.send(payload).await {
            Ok(()) => ledger.accepted(number),
            Err(_) => return,
        }
    }
}

/// Receives to the end.
async fn drain(ledger: &Ledger, half: &mut ReceiveHalf) {
    loop {
        match half.recv().await {
            Ok(Some(message)) => ledger.received(message.as_text().is_some(), message.as_bytes()),
            Ok(None) => return ledger.told(End::Clean),
            Err(Error::Abnormal) => return ledger.told(End::Abnormal),
            Err(Error::Io(_)) => return ledger.told(End::Io),
            Err(error) => return ledger.told(End::Other(format!("{error:?}"))),
        }
    }
}

fn message() -> Act {
    Act::Send { size: 20, text: true, pieces: 1, pings: false }
}

fn close() -> Act {
    Act::Close { code: 1000, reason: "" }
}

/// Senders of several tasks wait for room in a queue that is too small for them, and nobody is forgotten.
#[test]
fn senders_wait_for_room_and_are_woken() {
    check(|| {
        // 40 bytes for each message, and its payload.
        let (ws, bench) = bench(1 << 16, 100, &READS);
        let playing = bench.play();
        let senders: Vec<_> = (1..=2)
            .map(|source| {
                let (ledger, sender) = (playing.ledger.clone(), ws.sender());
                spawn(async move { queue(&ledger, &sender, source, 4).await })
            })
            .collect();
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |ws| async move {
            for sender in senders {
                let _ = sender.await;
            }
            ledger.closes(1000);
            drop(ws);
        }));
        block_on(driver).expect("the driver ends");
        playing.end();
    });
}

/// Both halves live in other tasks; what is sent and received is whole and in order.
#[test]
fn halves_in_other_tasks_lose_nothing() {
    check(|| {
        let script = [message(), message(), message(), close()];
        let (ws, bench) = bench(60, 1 << 20, &script);
        let playing = bench.play();
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |ws| async move {
            let (mut half, mut receive) = ws.split();
            let sending = spawn({
                let ledger = ledger.clone();
                async move { send(&ledger, &mut half, 3).await }
            });
            let receiving = spawn({
                let ledger = ledger.clone();
                async move { drain(&ledger, &mut receive).await }
            });
            let _ = sending.await;
            let _ = receiving.await;
            ledger.note(Fact::Discards);
        }));
        block_on(driver).expect("the driver ends");
        playing.end();
    });
}

/// What a task sends through its half and through its sender leaves in that order.
#[test]
fn a_half_and_its_sender_keep_their_order() {
    check(|| {
        let (ws, bench) = bench(1 << 16, 1 << 20, &READS);
        let playing = bench.play();
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |ws| async move {
            let (mut half, receive) = ws.split();
            let sending = spawn({
                let ledger = ledger.clone();
                async move {
                    let sender = half.sender();
                    for _ in 0..2 {
                        queue(&ledger, &sender, 0, 1).await;
                        send(&ledger, &mut half, 1).await;
                    }
                    half.flush().await.expect("the connection is open");
                    ledger.written(0);
                }
            });
            let _ = sending.await;
            ledger.note(Fact::Discards);
            ledger.closes(1000);
            drop(receive);
        }));
        block_on(driver).expect("the driver ends");
        playing.end();
    });
}

/// One task closes while another sends and a third receives: what was taken before leaves before, and all are told.
#[test]
fn closing_beside_sending_loses_nothing_that_was_taken() {
    check(|| {
        let (ws, bench) = bench(60, 200, &[message(), Act::Pace(Pace::Free)]);
        let playing = bench.play();
        let (ledger, sender) = (playing.ledger.clone(), ws.sender());
        let sending = spawn(async move { queue(&ledger, &sender, 1, 4).await });
        let (ledger, sender) = (playing.ledger.clone(), ws.sender());
        let closing = spawn(async move {
            queue(&ledger, &sender, 2, 1).await;
            if sender.close(CloseCode::GOING_AWAY, "").is_ok() {
                ledger.closes(1001);
            }
        });
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |ws| async move {
            let (half, mut receive) = ws.split();
            let receiving = spawn({
                let ledger = ledger.clone();
                async move { drain(&ledger, &mut receive).await }
            });
            let _ = receiving.await;
            drop(half);
        }));
        block_on(driver).expect("the driver ends");
        block_on(sending).expect("the sender is told");
        block_on(closing).expect("whoever closes goes on");
        playing.end();
    });
}

/// The task of a connection is dropped: whoever waits on it is told.
#[test]
fn whoever_waits_is_told_that_the_task_is_gone() {
    check(|| {
        let (ws, bench) = bench(10, 60, &[Act::Pace(Pace::Nothing)]);
        let playing = bench.play();
        let ledger = playing.ledger.clone();
        let sender = ws.sender();
        let sending = spawn({
            let ledger = ledger.clone();
            async move { queue(&ledger, &sender, 1, 4).await }
        });
        let (to, from) = tokio::sync::oneshot::channel();
        let mut driver = Box::pin(ws.drive(move |ws| async move {
            let _ = to.send(ws);
            std::future::pending::<()>().await;
        }));
        let waiting = spawn(async move {
            let Ok(ws) = from.await else { return };
            let (mut half, mut receive) = ws.split();
            let flushing = spawn(async move {
                let _ = half.send("x".repeat(100_000)).await;
                let _ = half.send("x".repeat(100_000)).await;
                let _ = half.flush().await;
                let _ = half.close(CloseCode::NORMAL, "").await;
            });
            assert!(matches!(receive.recv().await, Ok(None) | Err(_)));
            let _ = flushing.await;
        });
        let aborted = spawn(async move {
            for _ in 0..3 {
                poll_fn(|cx| {
                    let _ = driver.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
                shuttle::future::yield_now().await;
            }
            ledger.note(Fact::Aborted);
            drop(driver);
        });
        block_on(aborted).expect("it is dropped");
        block_on(sending).expect("the sender is told");
        block_on(waiting).expect("the halves are told");
        playing.end();
    });
}

/// The connection is closed by a task that does not own it, and its end is told there.
#[test]
fn closing_from_another_task_ends() {
    check(|| {
        let (ws, bench) = bench(60, 1 << 20, &[message(), Act::Pace(Pace::Free)]);
        let playing = bench.play();
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |mut ws| async move {
            let closing = spawn({
                let ledger = ledger.clone();
                async move {
                    let (number, payload) = ledger.offer(0, 100, true, false);
                    if ws.send(payload).await.is_ok() {
                        ledger.accepted(number);
                    }
                    ledger.closes(1001);
                    ledger.note(Fact::Discards);
                    ws.close(CloseCode::GOING_AWAY, "").await.expect("the peer answers");
                }
            });
            let _ = closing.await;
        }));
        block_on(driver).expect("the driver ends");
        playing.end();
    });
}

/// A queue that closes the connection when it is full.
#[test]
fn a_receiver_that_is_too_slow_is_closed_and_everybody_is_told() {
    check(|| {
        let (ws, bench) = bench(60, 60, &READS);
        let playing = bench.play();
        let senders: Vec<_> = (1..=2)
            .map(|source| {
                let (ledger, sender) = (playing.ledger.clone(), ws.sender().with_policy(SlowReceiver::Close));
                spawn(async move {
                    for _ in 0..3 {
                        let (number, payload) = ledger.offer(source, 10, true, true);
                        match sender.try_send(payload) {
                            Ok(()) => ledger.accepted(number),
                            Err(_) => {
                                ledger.note(Fact::Fails);
                                ledger.refused(number);
                            }
                        }
                    }
                })
            })
            .collect();
        let ledger = playing.ledger.clone();
        let driver = spawn(ws.drive(move |ws| async move {
            let (half, mut receive) = ws.split();
            let receiving = spawn(async move { while let Ok(Some(_)) = receive.recv().await {} });
            for sender in senders {
                let _ = sender.await;
            }
            ledger.note(Fact::Discards);
            ledger.closes(1000);
            drop(half);
            drop(receiving);
        }));
        block_on(driver).expect("the driver ends");
        playing.end();
    });
}

/// A connection without a task is moved by whichever half is polled, and each is woken for what it waits for.
#[test]
fn a_connection_without_a_task_is_moved_by_both_halves() {
    check(|| {
        let script = [message(), message(), message(), close()];
        let (ws, bench) = bench(60, 100, &script);
        let playing = bench.play();
        let queueing = spawn({
            let (ledger, sender) = (playing.ledger.clone(), ws.sender());
            async move { queue(&ledger, &sender, 1, 4).await }
        });
        let (mut half, mut receive) = ws.split();
        let sending = spawn({
            let ledger = playing.ledger.clone();
            async move {
                send(&ledger, &mut half, 3).await;
                half
            }
        });
        let receiving = spawn({
            let ledger = playing.ledger.clone();
            async move {
                drain(&ledger, &mut receive).await;
                receive
            }
        });
        let half = block_on(sending).expect("sending ends");
        let receive = block_on(receiving).expect("receiving ends");
        block_on(queueing).expect("the sender is told");
        playing.ledger.note(Fact::Dropped);
        playing.ledger.note(Fact::Discards);
        drop((half, receive));
        // What is left to do with the socket is a task of tokio's, which does not run here.
        playing.playing.abort();
        assert_eq!(playing.ledger.failure(), None);
    });
}

/// Question and answer by halves in two other tasks: nothing but the wake-up for the one message moves them on.
#[test]
fn a_receiver_in_another_task_is_woken_for_each_message() {
    check(|| {
        let (ws, Bench { link, .. }) = bench(1 << 16, 1 << 20, &[]);
        let driver = spawn(ws.drive(|ws| async move {
            let (mut half, mut receive) = ws.split();
            let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
            let receiving = spawn(async move {
                while let Ok(Some(message)) = receive.recv().await {
                    let _ = to.send(message);
                }
            });
            let answering = spawn(async move {
                while let Some(message) = from.recv().await {
                    half.send(message).await.expect("the peer listens");
                }
            });
            let _ = receiving.await;
            let _ = answering.await;
        }));
        for _ in 0..3 {
            let frame = Frame::text("question").masked([1, 2, 3, 4]).bytes();
            assert_eq!(block_on(talk(&link, &frame, 10)), b"\x81\x08question");
        }
        let close = Frame::close(1000, "").masked([0; 4]).bytes();
        assert_eq!(block_on(talk(&link, &close, 4)), b"\x88\x02\x03\xe8");
        link.peer_end();
        block_on(driver).expect("the driver ends");
    });
}

/// Sends `bytes` and takes `len` for an answer.
async fn talk(link: &Link, bytes: &[u8], len: usize) -> Vec<u8> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += poll_fn(|cx| link.peer_write(cx, &bytes[sent..])).await.expect("the connection is there");
    }
    let mut answer = vec![0; len];
    let mut got = 0;
    while got < len {
        let n = poll_fn(|cx| link.peer_read(cx, &mut answer[got..])).await.expect("the connection is there");
        assert!(n > 0, "the connection ends after {:?}", answer[..got].escape_ascii().to_string());
        got += n;
    }
    answer
}
