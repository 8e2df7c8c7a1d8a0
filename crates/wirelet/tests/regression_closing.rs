//! Closing: nothing that was sent before it is cut off, the peer's answer is seen, and every task ends.

mod peer;
mod scripted;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peer::*;
use scripted::*;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use wirelet::proto::CloseCode;
use wirelet::proto::State;
use wirelet::{Config, Error, Role, WebSocket};

/// Longer than any deadline.
const HOURS: Duration = Duration::from_secs(24 * 3600);

/// Bytes a second.
const SLOW: u64 = 64 * 1024;

/// A peer that reads 1 MiB at 64 KiB a second, up to the close frame, and answers it or does not. How long the socket
/// stayed open after the close frame.
async fn slow_peer(mut far: DuplexStream, messages: usize, len: usize, code: u16, answers: bool) -> Duration {
    let frame = len + if len < 65_536 { 4 } else { 10 };
    let wire = read_slowly(&mut far, messages * frame + 4, 1000, SLOW).await.expect("it was cut off");
    let frames = frames(&wire);
    assert_eq!(frames.len(), messages + 1);
    for (first, payload) in &frames[..messages] {
        assert_eq!((*first, payload.len()), (BINARY, len));
    }
    assert_eq!(frames[messages], (CLOSE, close_payload(code).to_vec()));
    let left = Instant::now();
    if answers {
        write(&mut far, &client_frame(CLOSE, &close_payload(code))).await;
    }
    assert_eq!(read_all(&mut far).await, b"");
    left.elapsed()
}

#[track_caller]
fn assert_ended_in_time(open_for: Duration, answers: bool) {
    let limit = if answers { Duration::from_secs(1) } else { Duration::from_secs(6) };
    assert!(open_for <= limit, "open for {open_for:?} after the close frame");
}

/// A handler that sent 1 MiB and returned: the peer got 314,000 bytes and a reset, five seconds later.
#[tokio::test(start_paused = true)]
async fn what_a_handler_had_sent_before_it_returned_was_cut_off() {
    for answers in [true, false] {
        let (server, far) = server_over_pipe(Config::new(), 1000);
        let driver = tokio::spawn(server.drive(|mut ws| async move { ws.send(vec![7; 1 << 20]).await }));
        assert_ended_in_time(slow_peer(far, 1, 1 << 20, 1000, answers).await, answers);
        timeout(HOURS, driver).await.expect("the task hangs").unwrap();
    }
}

/// The same with `close`, which began its deadline before its close frame had left.
#[tokio::test(start_paused = true)]
async fn what_was_sent_before_close_was_cut_off() {
    for driven in [true, false] {
        for answers in [true, false] {
            let (server, far) = server_over_pipe(Config::new(), 1000);
            let (tell, told) = oneshot::channel();
            let work = |mut ws: WebSocket| async move {
                ws.feed(vec![7; 1 << 20]).await.unwrap();
                tell.send(ws.close(CloseCode::GOING_AWAY, "").await).unwrap();
            };
            let task = match driven {
                true => tokio::spawn(server.drive(work)),
                false => tokio::spawn(work(server)),
            };
            assert_ended_in_time(slow_peer(far, 1, 1 << 20, 1001, answers).await, answers);
            let closed = timeout(HOURS, told).await.expect("close hangs").unwrap();
            assert_eq!(closed.is_ok(), answers, "{closed:?}");
            timeout(HOURS, task).await.expect("the task hangs").unwrap();
        }
    }
}

/// The same with `Sender::close`, which "closes the connection behind what has been queued".
#[tokio::test(start_paused = true)]
async fn what_senders_had_queued_before_they_closed_was_cut_off() {
    const MESSAGES: usize = 63;
    const LEN: usize = 16 * 1024;
    for answers in [true, false] {
        let (server, far) = server_over_pipe(Config::new(), 1000);
        let sender = server.sender();
        let driver =
            tokio::spawn(server.drive(|mut ws| async move { while let Ok(Some(_)) = ws.recv().await {} }));
        for _ in 0..MESSAGES {
            sender.try_send(vec![7; LEN]).unwrap();
        }
        sender.close(CloseCode::GOING_AWAY, "").unwrap();
        assert_ended_in_time(slow_peer(far, MESSAGES, LEN, 1001, answers).await, answers);
        timeout(HOURS, driver).await.expect("the task hangs").unwrap();
    }
}

/// Closed while a message was unread, the connection never saw the peer's answer, was reset after five seconds, and made
/// an empty message of the unread one.
#[tokio::test(start_paused = true)]
async fn the_answer_to_a_close_was_not_seen_behind_an_unread_message() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let sender = server.sender();
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let one = ws.recv().await;
        // It works on the first message.
        sleep(Duration::from_secs(60)).await;
        let news = (one, ws.recv().await, ws.recv().await);
        tell.send((news, ws.close_info())).unwrap();
    }));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, b"two")).await;
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    sender.close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
    write(&mut far, &client_frame(CLOSE, &close_payload(1001))).await;
    assert_eq!(read_all(&mut far).await, b"");
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    let ((one, two, end), info) = timeout(HOURS, told).await.expect("it hangs").unwrap();
    assert_eq!(one.unwrap(), Some("one".into()));
    assert_eq!(two.unwrap(), Some("two".into()));
    assert!(matches!(end, Ok(None)), "{end:?}");
    assert!(info.is_clean());
    timeout(HOURS, driver).await.expect("the task hangs").unwrap();
}

/// Each read takes 120 ms of the paused clock, finds nothing and wakes nobody.
struct SlowToRead;

impl AsyncRead for SlowToRead {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Its first poll moves the clock.
        let mut advance = Box::pin(tokio::time::advance(Duration::from_millis(120)));
        let _ = advance.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Poll::Pending
    }
}

impl AsyncWrite for SlowToRead {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection whose closing deadline passed between two looks at the clock dropped its socket and never ended: its task
/// and its places in the server's counts leaked.
#[tokio::test(start_paused = true)]
async fn a_task_never_ended_when_its_deadline_passed_while_it_read() {
    let mut config = Config::new();
    config.limits.closing_time = Duration::from_millis(100);
    let server = WebSocket::from_upgraded(SlowToRead, Role::Server, Arc::new(config), &[]);
    let sender = server.sender();
    let driver = tokio::spawn(server.drive(|_| async {}));
    timeout(HOURS, driver).await.expect("the task never ends").unwrap();
    assert!(sender.is_closed());
}

/// A `close` that was refused for its reason left the connection open, without its senders.
#[tokio::test(start_paused = true)]
async fn a_refused_close_closed_all_senders() {
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let sender = server.sender();
        let work = |mut ws: WebSocket| async move {
            let refused = ws.close(CloseCode::NORMAL, &"x".repeat(200)).await;
            assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
            assert_eq!(ws.state(), State::Open);
            let sender = ws.sender();
            let refused = sender.close(CloseCode::NORMAL, &"x".repeat(200));
            assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
            assert!(!sender.is_closed());
            sender.try_send("still here").unwrap();
            let _ = ws.recv().await;
        };
        let task = match driven {
            true => tokio::spawn(server.drive(work)),
            false => tokio::spawn(work(server)),
        };
        assert_eq!(
            timeout(HOURS, read_frame(&mut far)).await.unwrap().unwrap(),
            (TEXT, b"still here".to_vec())
        );
        assert!(!sender.is_closed());
        drop(far);
        let _ = timeout(HOURS, task).await.expect("the task hangs");
    }
}

/// Closed inside a fragmented message, the connection sent 1011 in place of the code that was asked for. Control frames
/// may stand between fragments (RFC 6455 5.4).
#[tokio::test(start_paused = true)]
async fn closing_inside_a_fragmented_message_sent_another_code() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let sender = server.sender();
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let mut message = ws.text_fragments();
        message.write("half").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let rest = message.finish("rest").await;
        tell.send((rest, ws.recv().await, ws.close_info())).unwrap();
    }));
    assert_eq!(read_frame(&mut far).await.unwrap(), (0x01, b"half".to_vec()));
    sender.close(CloseCode::GOING_AWAY, "server goes down").unwrap();
    let close = [&close_payload(1001)[..], b"server goes down"].concat();
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close));
    write(&mut far, &client_frame(CLOSE, &close_payload(1001))).await;
    // Nothing follows the close frame.
    assert_eq!(read_all(&mut far).await, b"");
    let (rest, end, info) = timeout(HOURS, told).await.expect("it hangs").unwrap();
    assert!(matches!(rest, Err(Error::Closed)), "{rest:?}");
    assert!(matches!(end, Ok(None)), "{end:?}");
    assert!(info.is_clean() && info.sent == Some(CloseCode::GOING_AWAY), "{info:?}");
    timeout(HOURS, driver).await.expect("the task hangs").unwrap();
}

/// Stopping the server did the same.
#[tokio::test]
async fn stopping_inside_a_fragmented_message_sent_another_code() {
    use tokio::io::AsyncWriteExt;
    use wirelet::server::{Router, Server, ws};

    let route = ws(|mut ws: WebSocket, _| async move {
        let mut message = ws.text_fragments();
        message.write("half").await?;
        std::future::pending::<()>().await;
        message.finish("rest").await
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap().grace(Duration::from_secs(10));
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let serving = tokio::spawn(server.serve(Router::new().ws("/ws", route)));
    tokio::time::pause();
    let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
    far.write_all(upgrade_request("/ws", "").as_bytes()).await.unwrap();
    read_head(&mut far).await.unwrap();
    assert_eq!(read_frame(&mut far).await.unwrap(), (0x01, b"half".to_vec()));
    handle.stop();
    let (first, payload) = read_frame(&mut far).await.unwrap();
    assert_eq!((first, payload.first_chunk()), (CLOSE, Some(&close_payload(1001))));
    far.write_all(&client_frame(CLOSE, &close_payload(1001))).await.unwrap();
    assert_eq!(read_all(&mut far).await, b"");
    timeout(HOURS, serving).await.expect("the server does not stop").unwrap().unwrap();
}
