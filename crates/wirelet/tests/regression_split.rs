//! Halves of a connection without a task of its own: one of them waits, is dropped or is busy.

mod peer;
mod scripted;

use std::time::Duration;

use peer::*;
use scripted::*;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{sleep, timeout};
use wirelet::{Config, Error};

/// Longer than any deadline.
const HOURS: Duration = Duration::from_secs(24 * 3600);

/// The peer takes 100 bytes.
async fn read_100(far: &mut DuplexStream) {
    far.read_exact(&mut [0; 100]).await.unwrap();
}

/// After `drop(ReceiveHalf)` nobody read: no pongs, the peer's close was never seen, and `send` answered `Ok`.
#[tokio::test(start_paused = true)]
async fn without_its_receiving_half_a_connection_was_deaf() {
    let (ws, mut far) = server_over_pipe(Config::new(), 10_000);
    let (mut send, receive) = ws.split();
    drop(receive);
    write(&mut far, &client_frame(TEXT, b"discarded")).await;
    write(&mut far, &client_frame(PING, b"alive?")).await;
    // Not so long that the silence of the peer would be asked for.
    for n in 0..15 {
        send.send(format!("tick {n}")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let mut pongs = 0;
    let mut ticks = 0;
    while ticks < 15 || pongs == 0 {
        match timeout(HOURS, read_frame(&mut far)).await.expect("no pong").unwrap() {
            (PONG, payload) => {
                assert_eq!(payload, b"alive?");
                pongs += 1;
            }
            (first, payload) => {
                assert_eq!((first, payload), (TEXT, format!("tick {ticks}").into_bytes()));
                ticks += 1;
            }
        }
    }
    assert_eq!(pongs, 1);
    write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
    let mut refused = None;
    for n in 0..3 {
        match send.send(format!("late {n}")).await {
            Ok(()) => sleep(Duration::from_secs(1)).await,
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(Error::Closed)), "the peer's close was not seen");
    loop {
        let (first, payload) =
            timeout(HOURS, read_frame(&mut far)).await.expect("no answer to close").unwrap();
        if first == CLOSE {
            assert_eq!(payload, close_payload(1000));
            break;
        }
    }
}

/// A `send` that waited while a message was unread woke itself without end: 90,000 polls a second.
#[tokio::test(start_paused = true)]
async fn a_send_that_waited_while_a_message_was_unread_spun() {
    for ahead in 0..3 {
        let (mut ws, mut far) = server_over_pipe(Config::new(), 100);
        for _ in 0..ahead {
            write(&mut far, &client_frame(TEXT, b"ahead")).await;
        }
        let mut sending = Task::new(ws.send(vec![0; 10_000]));
        let (polls, sent) = sending.run(1000).await;
        assert!(sent.is_pending());
        assert!(polls <= 10, "{polls} polls, {ahead} messages unread");
        // The same once more: it is woken by what happens, and by nothing else.
        read_100(&mut far).await;
        let (polls, _) = sending.run(1000).await;
        assert!(polls <= 10, "{polls} polls, {ahead} messages unread");
    }
}

/// The same with halves in two tasks: one works on a message, the other one waits for the peer.
#[tokio::test(start_paused = true)]
async fn a_sending_half_spun_while_the_receiving_half_was_busy() {
    let (ws, mut far) = server_over_pipe(Config::new(), 100);
    let (mut send, mut receive) = ws.split();
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, b"two")).await;
    let mut receiving = Task::new(receive.recv());
    assert!(receiving.poll().is_ready());
    // It works on the first message; the second one waits.
    let mut sending = Task::new(send.send(vec![0; 100_000]));
    for _ in 0..50 {
        let (polls, sent) = sending.run(1000).await;
        assert!(sent.is_pending());
        assert!(polls <= 10, "{polls} polls for 100 bytes");
        read_100(&mut far).await;
    }
    drop(sending);
    drop(receiving);
    assert_eq!(timeout(HOURS, receive.recv()).await.expect("it hangs").unwrap(), Some("two".into()));
}
