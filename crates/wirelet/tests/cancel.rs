//! Class O: futures that are dropped at any poll lose no message, leave no half frame, and forget no close.

mod peer;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use peer::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wirelet::proto::CloseCode;
use wirelet::{Config, Error, Message, Role, Sender, WebSocket};

/// Polls `future` at most `polls` times, giving all other tasks their turn between, then drops it.
async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = poll {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// A pipe so narrow that everything takes many polls, and a server's end that hesitates.
fn narrow() -> (WebSocket, DuplexStream) {
    pipe(16, 5)
}

fn pipe(capacity: usize, most: usize) -> (WebSocket, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    (WebSocket::from_upgraded(Hesitant::new(near, most), Role::Server, Config::new().into(), &[]), far)
}

fn numbered(n: usize) -> String {
    format!("{n}:{}", "x".repeat(n % 40))
}

#[tokio::test(start_paused = true)]
async fn receiving_loses_nothing_wherever_it_is_dropped() {
    for driven in [true, false] {
        for polls in [1, 2, 3, 5, 8] {
            let (server, mut far) = narrow();
            let receive = move |mut ws: WebSocket| async move {
                let mut n = 0;
                while n < 60 {
                    match at_most(polls, ws.recv()).await {
                        Some(message) => {
                            assert_eq!(message.unwrap(), Some(numbered(n).into()));
                            n += 1;
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
                assert!(ws.recv().await.unwrap().is_none());
            };
            let server = match driven {
                true => tokio::spawn(server.drive(receive)),
                false => tokio::spawn(receive(server)),
            };
            for n in 0..60 {
                write(&mut far, &client_frame(TEXT, numbered(n).as_bytes())).await;
            }
            write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
            assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
            drop(far);
            server.await.unwrap();
        }
    }
}

/// Sends numbered messages, each future polled a few times only, and answers which were sent for certain.
async fn send_impatiently(ws: &mut WebSocket, polls: usize, feed: bool) -> Vec<usize> {
    let mut sent = Vec::new();
    for n in 0..60 {
        let message = numbered(n);
        let result = match feed {
            true => at_most(polls, ws.feed(message)).await,
            false => at_most(polls, ws.send(message)).await,
        };
        if result.is_some_and(|result| result.is_ok()) {
            sent.push(n);
        }
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn sending_queues_whole_messages_or_none_wherever_it_is_dropped() {
    for (driven, feed) in [(true, false), (false, false), (false, true)] {
        for polls in [1, 2, 3, 5, 8] {
            let (server, mut far) = narrow();
            let (done, sent) = tokio::sync::oneshot::channel();
            let run = move |mut ws: WebSocket| async move {
                let sent = send_impatiently(&mut ws, polls, feed).await;
                done.send(sent).unwrap();
                ws.close(CloseCode::NORMAL, "").await.unwrap();
            };
            let server = match driven {
                true => tokio::spawn(server.drive(run)),
                false => tokio::spawn(run(server)),
            };
            let mut got = Vec::new();
            loop {
                let (first, payload) = read_frame(&mut far).await.unwrap();
                if first == CLOSE {
                    break;
                }
                let text = String::from_utf8(payload).unwrap();
                let n: usize = text.split(':').next().unwrap().parse().unwrap();
                assert_eq!((first, text), (TEXT, numbered(n)));
                got.push(n);
            }
            assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
            let sent = sent.await.unwrap();
            assert!(sent.iter().all(|n| got.contains(n)), "{sent:?} in {got:?}");
            write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
            assert_eq!(read_all(&mut far).await, b"");
            drop(far);
            server.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fragment_that_is_dropped_unsent_can_be_sent_again_and_the_message_is_whole() {
    for polls in [1, 2, 3] {
        let (server, mut far) = pipe(4096, 1000);
        let server = tokio::spawn(server.drive(move |mut ws| async move {
            let mut message = ws.text_fragments();
            for _ in 0..30 {
                // Room for 64 KiB is not always there: the future may be dropped before the fragment is queued.
                let _ = at_most(polls, message.write(&"y".repeat(30_000))).await;
            }
            message.finish("end").await
        }));
        let (mut total, mut fragments) = (0, 0);
        loop {
            let (first, payload) = read_frame(&mut far).await.unwrap();
            assert_eq!(first & 0x0f, u8::from(fragments == 0));
            fragments += 1;
            total += payload.len();
            if first & 0x80 != 0 {
                assert_eq!(payload, b"end");
                break;
            }
        }
        assert_eq!(total, (fragments - 1) * 30_000 + 3);
        assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
        drop(far);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_goes_on_when_its_future_is_dropped() {
    for driven in [true, false] {
        for polls in 0..12 {
            let (server, mut far) = narrow();
            let run = move |mut ws: WebSocket| async move {
                ws.feed("before").await.unwrap();
                let closed = at_most(polls, ws.close(CloseCode::GOING_AWAY, "going")).await;
                if closed.is_none() {
                    ws.close(CloseCode::GOING_AWAY, "going").await.unwrap();
                }
                assert!(ws.close_info().is_clean());
            };
            let server = match driven {
                true => tokio::spawn(server.drive(run)),
                false => tokio::spawn(run(server)),
            };
            assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"before".to_vec()));
            assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, b"\x03\xe9going".to_vec()));
            write(&mut far, &client_frame(CLOSE, &close_payload(1001))).await;
            assert_eq!(read_all(&mut far).await, b"");
            drop(far);
            server.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_arrives_when_the_connection_is_dropped_after_an_error() {
    let (mut server, mut far) = narrow();
    let rest = tokio::spawn(async move {
        let mut all = Vec::new();
        let writing = client_frame(0x83, b"a reserved opcode");
        far.write_all(&writing).await.unwrap();
        far.write_all(&[0; 1000]).await.unwrap();
        far.shutdown().await.unwrap();
        far.read_to_end(&mut all).await.unwrap();
        all
    });
    assert!(matches!(server.recv().await, Err(Error::Protocol(_))));
    drop(server);
    assert_eq!(rest.await.unwrap(), server_frame(CLOSE, &close_payload(1002)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_connections_future_tells_everybody() {
    let (server, far) = narrow();
    let sender: Sender = server.sender();
    let (to, from) = tokio::sync::oneshot::channel();
    let mut driver = Box::pin(server.drive(|ws| async move {
        let (send, mut receive) = ws.split();
        tokio::spawn(async move { to.send(receive.recv().await) });
        std::future::pending::<()>().await;
        drop(send);
    }));
    assert!(driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    tokio::task::yield_now().await;
    drop(driver);
    let end = from.await.unwrap();
    assert!(matches!(end, Ok(None) | Err(_)));
    assert!(sender.is_closed());
    assert_eq!(sender.send("late").await.unwrap_err().0, Message::from("late"));
    drop(far);
}
