//! Who moves a connection, and what others may rely on meanwhile: a flush, an aborted task, a socket that is driven already, a
//! task that has not been polled.

mod peer;
mod scripted;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use peer::*;
use scripted::*;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use wirelet::{CloseCode, Config, Error, Keepalive, Message, Role, Timeout, WebSocket};

/// Longer than any deadline.
const HOURS: Duration = Duration::from_secs(24 * 3600);

fn quiet() -> Config {
    Config { keepalive: Keepalive::off(), ..Config::new() }
}

/// A flush waited until nothing at all was queued, also for what others had queued after it began.
#[tokio::test(start_paused = true)]
async fn a_flush_waited_for_what_was_queued_later() {
    const FRAME: usize = 2 + 100;
    let flushing = |mut ws: WebSocket| async move {
        ws.feed(vec![1; 100]).await.unwrap();
        ws.flush().await
    };
    // Without a task.
    let (stream, script) = scripted(FRAME / 2);
    let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(quiet()), &[]);
    let sender = ws.sender();
    let mut task = Task::new(flushing(ws));
    assert!(task.poll().is_pending());
    sender.try_send(vec![2; 10_000]).unwrap();
    script.take(FRAME / 2);
    assert!(matches!(task.run(10).await.1, Poll::Ready(Ok(()))), "it waits for more");
    assert_eq!(script.written(), FRAME);
    // With one: the handler goes on to its end while the other message waits.
    let (stream, script) = scripted(FRAME / 2);
    let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(quiet()), &[]);
    let sender = ws.sender();
    let (tell, mut told) = oneshot::channel();
    let mut task = Task::new(ws.drive(|ws| async move {
        tell.send(flushing(ws).await).unwrap();
        std::future::pending::<()>().await;
    }));
    let _ = task.run(10).await;
    sender.try_send(vec![2; 10_000]).unwrap();
    let _ = task.run(10).await;
    assert!(told.try_recv().is_err());
    script.take(FRAME / 2);
    let _ = task.run(10).await;
    assert!(matches!(told.try_recv(), Ok(Ok(()))), "it waits for more");
    assert_eq!(script.written(), FRAME);
}

/// An application that comes back late finds what its peer has sent meanwhile, and an answer that is still missing has a
/// moment more; but once: a peer that is silent for ever is given up by one that is always late.
#[tokio::test(start_paused = true)]
async fn lateness_is_excused_once() {
    let (mut ws, mut far) = server_over_pipe(Config::new(), 1000);
    let mut ends = Vec::new();
    for _ in 0..4 {
        let end = {
            let mut receiving = pin!(ws.recv());
            poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx))).await
        };
        ends.push(end);
        sleep(Duration::from_secs(300)).await;
    }
    // The first one begins; the second one sends the ping that was due; the third one is late for its answer, and excused.
    assert!(ends[..3].iter().all(Poll::is_pending), "{ends:?}");
    assert!(matches!(ends[3], Poll::Ready(Err(Error::Timeout(Timeout::Pong)))), "{ends:?}");
    assert_eq!(read_frame(&mut far).await.unwrap().0, PING);
}

/// A task that was aborted is no clean end for the half that another task holds.
#[tokio::test(start_paused = true)]
async fn the_abort_of_a_task_looked_like_an_end() {
    let (ws, mut far) = server_over_pipe(quiet(), 1000);
    let (give, given) = oneshot::channel();
    let task = tokio::spawn(ws.drive(|ws| async move {
        let (_send, receive) = ws.split();
        let _ = give.send(receive);
        std::future::pending::<()>().await;
    }));
    let mut receive = given.await.unwrap();
    let receiving = tokio::spawn(async move {
        let first = receive.recv().await;
        (first, receive.recv().await, receive.recv().await)
    });
    write(&mut far, &client_frame(TEXT, b"before")).await;
    sleep(Duration::from_secs(1)).await;
    task.abort();
    let (first, second, third) = timeout(HOURS, receiving).await.expect("it hangs").unwrap();
    assert_eq!(first.unwrap(), Some("before".into()));
    assert!(matches!(second, Err(Error::Abnormal)), "{second:?}");
    assert!(matches!(third, Ok(None)), "{third:?}");
    assert_eq!(read_all(&mut far).await, b"");
}

/// A half in another task flushed once more when the connection's task had ended, and nobody told it anything.
#[tokio::test(start_paused = true)]
async fn a_flush_behind_the_end_hung() {
    let (ws, _far) = server_over_pipe(quiet(), 1000);
    let (give, given) = oneshot::channel();
    let task = tokio::spawn(ws.drive(|ws| async move {
        let (send, _receive) = ws.split();
        let _ = give.send(send);
        std::future::pending::<()>().await;
    }));
    let mut send = given.await.unwrap();
    send.send("before").await.unwrap();
    send.flush().await.unwrap();
    task.abort();
    sleep(Duration::from_secs(1)).await;
    for _ in 0..2 {
        let flushed = timeout(HOURS, send.flush()).await.expect("it hangs");
        assert!(matches!(flushed, Err(Error::Closed)), "{flushed:?}");
    }
}

/// `drive` on a socket whose connection has a task, as in a server's handler: the inner handler runs, and the task goes on to
/// own the connection.
#[tokio::test(start_paused = true)]
async fn a_socket_that_is_driven_is_driven_once_more() {
    let (ws, mut far) = server_over_pipe(quiet(), 1000);
    let task = tokio::spawn(ws.drive(|ws| async move {
        ws.drive(|mut ws| async move {
            ws.send("begun").await?;
            while let Some(message) = ws.recv().await? {
                ws.send(message).await?;
            }
            Ok::<_, Error>(())
        })
        .await;
    }));
    assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"begun".to_vec()));
    for n in 0..3 {
        sleep(Duration::from_secs(1)).await;
        write(&mut far, &client_frame(TEXT, format!("{n}").as_bytes())).await;
        assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, format!("{n}").into_bytes()));
    }
    write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
    assert_eq!(read_all(&mut far).await, b"");
    timeout(HOURS, task).await.expect("the task hangs").unwrap();
}

/// What a sender queues, and its close, before the connection's task has been polled: the task finds both.
#[tokio::test(start_paused = true)]
async fn a_sender_is_used_before_the_task_is_polled() {
    let (ws, mut far) = server_over_pipe(quiet(), 1000);
    let sender = ws.sender();
    let (tell, told) = oneshot::channel();
    let driving = ws.drive(|mut ws| async move {
        let _ = tell.send(ws.recv().await);
    });
    sender.try_send("early").unwrap();
    assert!(sender.queued() > 0);
    sender.close(CloseCode::new(4000), "done").unwrap();
    assert!(sender.try_send("late").is_err());
    let task = tokio::spawn(driving);
    assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"early".to_vec()));
    let (first, payload) = read_frame(&mut far).await.unwrap();
    assert_eq!((first, &payload[..2], &payload[2..]), (CLOSE, &close_payload(4000)[..], &b"done"[..]));
    write(&mut far, &client_frame(CLOSE, &close_payload(4000))).await;
    let end = timeout(HOURS, told).await.expect("it hangs").unwrap();
    assert!(matches!(end, Ok(None)), "{end:?}");
    assert_eq!(read_all(&mut far).await, b"");
    timeout(HOURS, task).await.expect("the task hangs").unwrap();
}

/// As the documentation of `Sender::close` says: inside a fragmented message of another task nothing but the close frame can
/// leave. What waited for the message's end is dropped.
#[tokio::test(start_paused = true)]
async fn a_close_inside_a_fragmented_message_drops_what_waits_for_its_end() {
    let (ws, mut far) = server_over_pipe(quiet(), 1000);
    let sender = ws.sender();
    let task = tokio::spawn(ws.drive(|mut ws| async move {
        let mut fragments = ws.text_fragments();
        fragments.write("begun").await.unwrap();
        std::future::pending::<()>().await;
    }));
    assert_eq!(read_frame(&mut far).await.unwrap(), (0x01, b"begun".to_vec()));
    sender.try_send("waits for the end of the other one").unwrap();
    sleep(Duration::from_secs(1)).await;
    sender.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
    assert_eq!(sender.queued(), 0);
    assert_eq!(sender.send("late").await.unwrap_err().0, Message::from("late"));
    task.abort();
}
