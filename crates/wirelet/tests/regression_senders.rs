//! `Sender`s: the end is told to them, order is kept, nobody starves, and no queue stands still.

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use peer::*;
use tokio::time::{Instant, sleep, timeout};
use wirelet::{Config, Error, Keepalive, Message, SlowReceiver, TrySendError, WebSocket};

/// Longer than any deadline.
const HOURS: Duration = Duration::from_secs(24 * 3600);

/// The senders of a connection without a task of its own were never told that it had ended: `is_closed` was false,
/// `try_send` lost messages and `send` hung.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_without_a_task_was_not_told_to_its_senders() {
    for clean in [true, false] {
        let mut config = Config::new();
        config.limits.queued = 1000;
        let (mut ws, mut far) = server_over_pipe(config, 1000);
        let sender = ws.sender();
        let other = ws.sender();
        sender.try_send("x".repeat(2000)).unwrap();
        let waiting = tokio::spawn(async move { other.send("y".repeat(900)).await });
        tokio::task::yield_now().await;
        if clean {
            write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
            let reading = tokio::spawn(async move { read_all(&mut far).await });
            assert_eq!(ws.recv().await.unwrap(), None);
            drop(ws.recv().await);
            drop(reading);
        } else {
            drop(far);
            let end = ws.recv().await;
            assert!(matches!(end, Err(Error::Abnormal | Error::Io(_))), "{end:?}");
        }
        assert!(sender.is_closed());
        assert!(matches!(sender.try_send("lost"), Err(TrySendError::Closed(_))));
        // It was taken while there was room, or comes back.
        let _ = timeout(HOURS, waiting).await.expect("a sender waits for ever").unwrap();
        let late = timeout(HOURS, sender.send("late")).await.expect("a sender waits for ever");
        assert_eq!(late.unwrap_err().0, Message::from("late"));
    }
}

/// Between making room and taking it another sender was faster: `DropOldest` called an open connection closed.
#[test]
fn drop_oldest_called_an_open_connection_closed() {
    const THREADS: usize = 4;
    const EACH: usize = 200_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut config = Config::new();
    config.limits.queued = 200;
    let (server, _far) = server_over_pipe(config, 10);
    let sender = server.sender().with_policy(SlowReceiver::DropOldest);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let message = Message::from("x".repeat(100));
                for _ in 0..EACH {
                    if sender.try_send(message.clone()).is_err() {
                        refused.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    assert!(!sender.is_closed());
    assert_eq!(refused.load(SeqCst), 0, "of {}", THREADS * EACH);
    // One message fits, or one that is larger than the queue.
    assert!(sender.queued() <= 200, "{}", sender.queued());
    drop(server);
}

/// A handler that sends without end starved all senders.
#[tokio::test(start_paused = true)]
async fn a_handler_that_sends_without_end_starved_the_senders() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let sender = server.sender();
    let driver =
        tokio::spawn(server.drive(|mut ws| async move { while ws.send(vec![1; 10_000]).await.is_ok() {} }));
    for n in 0..20 {
        assert_eq!(read_frame(&mut far).await.unwrap().0, BINARY, "{n}");
    }
    sender.try_send("urgent").unwrap();
    // What the handler had queued before leaves first: 64 KiB and a message; as much again on its way.
    let mut between = 0;
    while read_frame(&mut far).await.unwrap().0 != TEXT {
        between += 1;
        assert!(between < 30, "the sender starves");
    }
    driver.abort();
}

/// Senders that never stop don't starve the handler either: it comes behind what they had queued before it.
#[tokio::test(start_paused = true)]
async fn senders_that_never_stop_do_not_starve_the_handler() {
    let mut config = Config::new();
    config.limits.queued = 100_000;
    let (server, mut far) = server_over_pipe(config, 1000);
    for _ in 0..3 {
        let sender = server.sender();
        tokio::spawn(async move { while sender.send(vec![1; 10_000]).await.is_ok() {} });
    }
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        sleep(Duration::from_secs(1)).await;
        ws.send("urgent").await?;
        ws.recv().await
    }));
    // The queue is full before the handler sends.
    sleep(Duration::from_secs(2)).await;
    let mut between = 0;
    while read_frame(&mut far).await.unwrap().0 != TEXT {
        between += 1;
        // 100,000 bytes in the queue, 64 KiB and a message behind it.
        assert!(between < 60, "the handler starves");
    }
    driver.abort();
}

/// What a task had queued by a `Sender` was overtaken by what it sent then by `send`.
#[tokio::test(start_paused = true)]
async fn send_overtook_what_the_same_task_had_queued_by_a_sender() {
    const PAIRS: usize = 200;
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let work = |mut ws: WebSocket| async move {
            let sender = ws.sender();
            for n in 0..PAIRS {
                sender.try_send(format!("{}", 2 * n)).unwrap();
                ws.send(format!("{}", 2 * n + 1)).await.unwrap();
            }
            let _ = ws.recv().await;
        };
        let task = match driven {
            true => tokio::spawn(server.drive(work)),
            false => tokio::spawn(work(server)),
        };
        for n in 0..2 * PAIRS {
            let (_, payload) = timeout(HOURS, read_frame(&mut far)).await.expect("it hangs").unwrap();
            assert_eq!(String::from_utf8(payload).unwrap(), n.to_string());
        }
        drop(far);
        timeout(HOURS, task).await.expect("the task hangs").unwrap();
    }
}

/// What senders had queued stayed where it was although the peer read, up to the next ping: a connection without a task of
/// its own wrote what it had, took nothing more, and was woken by nobody.
#[tokio::test(start_paused = true)]
async fn the_queue_of_a_connection_without_a_task_stood_still() {
    for (len, messages) in [(200_000, 500), (1000, 20_000)] {
        let config = Config { keepalive: Keepalive::off(), ..Config::new() };
        let (mut ws, mut far) = server_over_pipe(config, 1 << 20);
        let sender = ws.sender();
        tokio::spawn(async move {
            for _ in 0..messages {
                sender.send(vec![7; len]).await.unwrap();
            }
        });
        let receiving = tokio::spawn(async move { ws.recv().await.map(|_| ()) });
        let began = Instant::now();
        let mut pauses = Duration::ZERO;
        for n in 0..messages {
            let frame = timeout(HOURS, read_frame(&mut far)).await;
            assert!(frame.is_ok(), "message {n} of {messages} never came");
            // It is slow for a moment.
            if n % 20 == 0 {
                sleep(Duration::from_millis(10)).await;
                pauses += Duration::from_millis(10);
            }
        }
        let waited = began.elapsed() - pauses;
        assert!(waited <= Duration::from_secs(1) + pauses, "{waited:?} besides the peer's pauses");
        drop(far);
        let _ = receiving.await.unwrap();
    }
}

/// `ping` had no bound: a loop of pings to a peer that does not read grew the queue without end.
#[tokio::test(start_paused = true)]
async fn pings_to_a_peer_that_does_not_read_were_queued_without_end() {
    const PINGS: usize = 20_000;
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let work = |mut ws: WebSocket| async move {
            for _ in 0..PINGS {
                ws.ping(&[7; 125]).await.unwrap();
                count.fetch_add(1, SeqCst);
            }
            let _ = ws.recv().await;
        };
        let task = match driven {
            true => tokio::spawn(server.drive(work)),
            false => tokio::spawn(work(server)),
        };
        sleep(Duration::from_secs(10)).await;
        // 64 KiB, as for messages, and what the pipe holds.
        let queued = done.load(SeqCst) * 127;
        assert!(queued <= 64 * 1024 + 1000 + 1000, "{queued} bytes of pings wait");
        for _ in 0..PINGS {
            let ping = timeout(HOURS, read_frame(&mut far)).await.expect("it hangs").unwrap();
            assert_eq!(ping, (PING, vec![7; 125]));
        }
        drop(far);
        timeout(HOURS, task).await.expect("the task hangs").unwrap();
    }
}
