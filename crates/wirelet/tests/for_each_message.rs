//! `WebSocket::for_each_message`: every message is lent to the callback once and in order, with a task and without one.

mod peer;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use peer::*;
use tokio::io::DuplexStream;
use wirelet::{CloseCode, Config, Error, Message, MessageKind, Role, WebSocket};

fn pipe(capacity: usize, most: usize) -> (WebSocket, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    (WebSocket::from_upgraded(Hesitant::new(near, most), Role::Server, Config::new().into(), &[]), far)
}

/// Runs `handler` with a task of its own, or as it is.
async fn run<F, Fut>(ws: WebSocket, driven: bool, handler: F)
where
    F: FnOnce(WebSocket) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    if driven { ws.drive(handler).await } else { handler(ws).await }
}

fn numbered(n: usize) -> String {
    format!("{n}:{}", "ä".repeat(n % 70))
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_form_are_answered_in_order() {
    for driven in [true, false] {
        for (capacity, most) in [(16, 5), (1 << 16, 1 << 16)] {
            let (server, far) = pipe(capacity, most);
            let serve = run(server, driven, |mut ws| async move {
                let ended = ws
                    .for_each_message(|peer, message| {
                        assert_eq!(message.as_text().is_some(), message.kind() == MessageKind::Text);
                        peer.send(message).unwrap();
                    })
                    .await;
                assert!(ended.is_ok(), "{ended:?}");
            });
            let talk = async {
                let (mut reader, mut writer) = tokio::io::split(far);
                let send = async {
                    for n in 0..50 {
                        write(&mut writer, &client_frame(0x81, numbered(n).as_bytes())).await;
                        write(&mut writer, &client_frame(0x89, b"?")).await;
                        write(&mut writer, &client_frame(0x02, &[1; 30])).await;
                        write(&mut writer, &client_frame(0x80, &[2; 300])).await;
                        write(&mut writer, &client_frame(0x82, &[])).await;
                    }
                    write(&mut writer, &client_frame(0x82, &vec![7; 200_000])).await;
                    write(&mut writer, &client_frame(0x88, &close_payload(1000))).await;
                };
                let receive = async {
                    let mut messages = Vec::new();
                    loop {
                        match read_frame(&mut reader).await.unwrap() {
                            (0x8a, _) => {}
                            (0x88, payload) => break assert_eq!(payload, close_payload(1000)),
                            frame => messages.push(frame),
                        }
                    }
                    let mut expected = Vec::new();
                    for n in 0..50 {
                        expected.push((0x81, numbered(n).into_bytes()));
                        expected.push((0x82, [vec![1; 30], vec![2; 300]].concat()));
                        expected.push((0x82, vec![]));
                    }
                    expected.push((0x82, vec![7; 200_000]));
                    assert!(messages == expected, "{driven} {capacity}: {} messages", messages.len());
                };
                tokio::join!(send, receive);
            };
            tokio::join!(serve, talk);
        }
    }
}

/// Messages are handed over although nobody reads the answers: the queue grew without a limit.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_gets_no_more_than_the_queue_holds() {
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1 << 20);
        let lent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lent);
        write(&mut far, &client_frame(0x82, &[7; 1000]).repeat(1000)).await;
        let serve = tokio::spawn(async move {
            run(server, driven, |mut ws| async move {
                ws.for_each_message(|peer, message| {
                    count.fetch_add(1, Ordering::Relaxed);
                    // Three answers to each message, so that output is the narrower side.
                    for _ in 0..3 {
                        peer.send(message).unwrap();
                    }
                })
                .await
                .unwrap();
            })
            .await;
        });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        // 1 MiB in the pipe and 64 KiB in the queue.
        let so_far = lent.load(Ordering::Relaxed);
        assert!((300..480).contains(&so_far), "{driven}: {so_far} messages");
        for _ in 0..3000 {
            assert_eq!(read_frame(&mut far).await.unwrap().1.len(), 1000, "{driven}");
        }
        assert_eq!(lent.load(Ordering::Relaxed), 1000);
        serve.abort();
    }
}

/// Messages were lost when the future was dropped between two of them.
#[tokio::test(start_paused = true)]
async fn wherever_it_is_dropped_each_message_is_lent_once() {
    for driven in [true, false] {
        for polls in 1..6 {
            let (server, far) = pipe(16, 5);
            let serve = run(server, driven, move |mut ws| async move {
                let mut n = 0;
                while n < 60 {
                    let mut future = pin!(ws.for_each_message(|peer, message| {
                        assert_eq!(message.as_text(), Some(&*numbered(n)));
                        peer.send(message).unwrap();
                        n += 1;
                    }));
                    for _ in 0..polls {
                        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
                        assert!(poll.is_pending());
                        tokio::task::yield_now().await;
                    }
                }
                assert!(ws.recv().await.unwrap().is_none());
            });
            let talk = async {
                let (mut reader, mut writer) = tokio::io::split(far);
                tokio::join!(
                    async {
                        for n in 0..60 {
                            write(&mut writer, &client_frame(0x81, numbered(n).as_bytes())).await;
                        }
                        write(&mut writer, &client_frame(0x88, &close_payload(1000))).await;
                    },
                    async {
                        for n in 0..60 {
                            assert_eq!(
                                read_frame(&mut reader).await.unwrap(),
                                (0x81, numbered(n).into_bytes())
                            );
                        }
                    }
                );
            };
            tokio::join!(serve, talk);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_closes_ends_it_behind_what_it_has_sent() {
    for driven in [true, false] {
        let (server, mut far) = pipe(1 << 16, 1 << 16);
        let serve = run(server, driven, |mut ws| async move {
            let mut after = 0;
            let ended = ws
                .for_each_message(|peer, message| {
                    if message.as_bytes() == b"bye" {
                        peer.send("last").unwrap();
                        assert!(matches!(peer.close(CloseCode::new(1), ""), Err(Error::Misuse(_))));
                        peer.close(CloseCode::new(4000), "enough").unwrap();
                        assert!(matches!(peer.close(CloseCode::NORMAL, ""), Err(Error::Closed)));
                        assert!(matches!(peer.send("later"), Err(Error::Closed)));
                    } else {
                        after += 1;
                    }
                })
                .await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(after, 1);
        });
        let talk = async {
            write(&mut far, &client_frame(0x81, b"bye")).await;
            assert_eq!(read_frame(&mut far).await.unwrap(), (0x81, b"last".to_vec()));
            assert_eq!(
                read_frame(&mut far).await.unwrap(),
                (0x88, [&4000_u16.to_be_bytes()[..], b"enough"].concat())
            );
            write(&mut far, &client_frame(0x81, b"still on its way")).await;
            write(&mut far, &client_frame(0x88, &close_payload(4000))).await;
            let _ = read_all(&mut far).await;
        };
        tokio::join!(serve, talk);
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_is_told_behind_the_messages_before_it() {
    for driven in [true, false] {
        let (server, mut far) = pipe(1 << 16, 1 << 16);
        let serve = run(server, driven, |mut ws| async move {
            let mut lent = Vec::new();
            let ended = ws.for_each_message(|_, message| lent.push(message.to_message())).await;
            assert!(matches!(ended, Err(Error::Protocol(_))), "{ended:?}");
            assert_eq!(lent, [Message::from("a"), Message::from("b")]);
        });
        let talk = async {
            let invalid = client_frame(0x81, &[0xff; 9]);
            write(&mut far, &[client_frame(0x81, b"a"), client_frame(0x81, b"b"), invalid].concat()).await;
            assert_eq!(read_frame(&mut far).await.unwrap(), (0x88, close_payload(1007).to_vec()));
            drop(far);
        };
        tokio::join!(serve, talk);
    }
}

/// What another task has queued before leaves before what the callback sends.
#[tokio::test(start_paused = true)]
async fn a_sender_that_came_first_is_first() {
    for driven in [true, false] {
        let (server, mut far) = pipe(1 << 16, 1 << 16);
        let serve = run(server, driven, |mut ws| async move {
            ws.for_each_message(|peer, message| {
                peer.sender().try_send("first").unwrap();
                peer.send(message).unwrap();
            })
            .await
            .unwrap();
        });
        let talk = async {
            write(&mut far, &client_frame(0x81, b"a").repeat(3)).await;
            for _ in 0..3 {
                assert_eq!(read_frame(&mut far).await.unwrap(), (0x81, b"first".to_vec()));
                assert_eq!(read_frame(&mut far).await.unwrap(), (0x81, b"a".to_vec()));
            }
            write(&mut far, &client_frame(0x88, &close_payload(1000))).await;
            let _ = read_all(&mut far).await;
        };
        tokio::join!(serve, talk);
    }
}

/// A panic took the received bytes with it.
#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_closes_with_1011_alone() {
    let (server, mut far) = pipe(1 << 16, 1 << 16);
    let serve = server.drive(|mut ws| async move {
        ws.for_each_message(|_, message| assert_eq!(message.as_text(), Some("good"))).await
    });
    let talk = async {
        let frames = [client_frame(0x81, b"good"), client_frame(0x81, b"good"), client_frame(0x81, b"bad")];
        write(&mut far, &[&frames.concat()[..], &client_frame(0x81, &[b'x'; 3000])[..1000]].concat()).await;
        assert_eq!(read_frame(&mut far).await.unwrap(), (0x88, close_payload(1011).to_vec()));
        write(&mut far, &client_frame(0x81, &[b'x'; 3000])[1000..]).await;
        write(&mut far, &client_frame(0x88, &close_payload(1011))).await;
        let _ = read_all(&mut far).await;
    };
    tokio::join!(serve, talk);
}
