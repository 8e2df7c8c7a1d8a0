//! A connection over any stream: messages, fragments, chunks, control frames, closing, in both roles.

mod peer;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peer::*;
use wirelet::proto::{CloseCode, Delivery, Initiator, State};
use wirelet::{Bytes, Config, Error, Event, Message, Role, WebSocket};

/// Echoes until the end.
async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

fn sizes() -> impl Iterator<Item = usize> {
    [0, 1, 125, 126, 127, 1000, 8191, 8192, 65_535, 65_536, 69_631, 69_632, 200_000, 1 << 20].into_iter()
}

#[tokio::test]
async fn messages_of_every_size_come_back_with_and_without_the_connections_own_future() {
    for driven in [true, false] {
        let (server, mut client) = pair(Config::new(), 100_000);
        let server = match driven {
            true => tokio::spawn(server.drive(echo)),
            false => tokio::spawn(async { echo(server).await.expect("a clean end") }),
        };
        for size in sizes() {
            let data = Bytes::from_iter((0..size).map(|i| i as u8));
            client.send(data.clone()).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(Message::Binary(data)));
            let text = "é".repeat(size / 2);
            client.send_text(&text).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(Message::from(text)));
        }
        client.close(CloseCode::NORMAL, "done").await.unwrap();
        assert!(client.close_info().is_clean());
        assert_eq!(client.close_info().initiator, Some(Initiator::Local));
        server.await.unwrap();
    }
}

#[tokio::test]
async fn it_works_byte_by_byte_with_pending_before_every_operation() {
    for most in [1, 2, 7, 100] {
        let (near, far) = tokio::io::duplex(64);
        let config = std::sync::Arc::new(Config::new());
        let server = WebSocket::from_upgraded(Hesitant::new(near, most), Role::Server, config.clone(), &[]);
        let mut client = WebSocket::from_upgraded(Hesitant::new(far, most), Role::Client, config, &[]);
        let server = tokio::spawn(server.drive(echo));
        let (mut send, mut receive) = (0, 0);
        while receive < 40 {
            // Two are on their way at a time.
            while send < 40 && send < receive + 2 {
                client.send(format!("{send}").repeat(send)).await.unwrap();
                send += 1;
            }
            let text = format!("{receive}").repeat(receive);
            assert_eq!(client.recv().await.unwrap(), Some(Message::from(text)));
            receive += 1;
        }
        client.close(CloseCode::GOING_AWAY, "").await.unwrap();
        server.await.unwrap();
    }
}

#[tokio::test]
async fn fragments_arrive_as_one_message_or_as_chunks() {
    let chunks = Config { delivery: Delivery::Chunks, ..Config::new() };
    for (config, whole) in [(Config::new(), true), (chunks, false)] {
        let (mut server, mut client) = pair(config, 1000);
        let mut message = client.text_fragments();
        message.write(&"a".repeat(32)).await.unwrap();
        message.write(&"b".repeat(32)).await.unwrap();
        message.finish("").await.unwrap();
        client.send(vec![1, 2, 3]).await.unwrap();
        let text = "a".repeat(32) + &"b".repeat(32);
        if whole {
            assert_eq!(server.recv().await.unwrap(), Some(Message::from(text)));
            assert_eq!(server.recv().await.unwrap(), Some(Message::from(vec![1, 2, 3])));
        } else {
            let mut got = Vec::new();
            for (offset, first, last) in [(0, true, false), (32, false, false), (64, false, true)] {
                let chunk = server.recv_chunk().await.unwrap().unwrap();
                assert_eq!((chunk.offset, chunk.first, chunk.last), (offset, first, last));
                assert_eq!(chunk.frame.unwrap().len, if last { 0 } else { 32 });
                got.extend(chunk.data);
            }
            assert_eq!(got, text.as_bytes());
            assert_eq!(&server.recv_chunk().await.unwrap().unwrap().data[..], [1, 2, 3]);
        }
    }
}

#[tokio::test]
async fn a_message_larger_than_memory_passes_in_chunks() {
    let mut config = Config { delivery: Delivery::Chunks, ..Config::new() };
    config.limits.message = u64::MAX;
    let (mut server, mut client) = pair(config, 10_000);
    let piece = vec![7; 50_000];
    let sending = tokio::spawn(async move {
        let mut message = client.binary_fragments();
        for _ in 0..100 {
            message.write(&piece).await.unwrap();
        }
        message.finish(&[]).await.unwrap();
        client
    });
    let mut total = 0;
    loop {
        let chunk = server.recv_chunk().await.unwrap().unwrap();
        assert_eq!(chunk.offset, total);
        total += chunk.data.len() as u64;
        if chunk.last {
            break;
        }
    }
    assert_eq!(total, 5_000_000);
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn an_unfinished_fragmented_message_fails_the_connection_and_is_never_ended() {
    let (mut server, mut far) = server_over_pipe(Config::new(), 1000);
    let mut message = server.text_fragments();
    message.write("half").await.unwrap();
    drop(message);
    assert!(matches!(server.send("more").await, Err(Error::Closed)));
    drop(server);
    assert_eq!(read_frame(&mut far).await.unwrap(), (0x01, b"half".to_vec()));
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1011).to_vec()));
    assert_eq!(read_all(&mut far).await, b"");
}

#[tokio::test]
async fn an_unbegun_fragmented_message_changes_nothing() {
    let (mut server, mut far) = server_over_pipe(Config::new(), 1000);
    drop(server.text_fragments());
    server.send("x").await.unwrap();
    assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"x".to_vec()));
}

#[tokio::test]
async fn pings_are_answered_and_seen_on_request() {
    let (mut server, mut client) = pair(Config::new(), 1000);
    server.ping(b"are you there").await.unwrap();
    client.ping(b"and you").await.unwrap();
    assert_eq!(client.recv_event().await.unwrap(), Some(Event::Ping(Bytes::from_static(b"are you there"))));
    client.flush().await.unwrap();
    assert_eq!(server.recv_event().await.unwrap(), Some(Event::Ping(Bytes::from_static(b"and you"))));
    assert_eq!(server.recv_event().await.unwrap(), Some(Event::Pong(Bytes::from_static(b"are you there"))));
    assert!(matches!(server.ping(&[0; 126]).await, Err(Error::Misuse(_))));
}

#[tokio::test]
async fn ten_pings_in_one_read_get_ten_pongs() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let server = tokio::spawn(server.drive(echo));
    let pings: Vec<u8> = (0..10).flat_map(|n| client_frame(PING, &[n])).collect();
    write(&mut far, &pings).await;
    for n in 0..10 {
        assert_eq!(read_frame(&mut far).await.unwrap(), (PONG, vec![n]));
    }
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn what_came_before_an_error_is_delivered_and_answered() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let server = tokio::spawn(server.drive(|mut ws| async move {
        assert_eq!(ws.recv().await.unwrap(), Some("good".into()));
        ws.send("answer").await.unwrap();
        assert!(matches!(ws.recv().await, Err(Error::Protocol(_))));
        assert_eq!(ws.recv().await.unwrap(), None);
        assert!(matches!(ws.send("late").await, Err(Error::Closed)));
    }));
    let wire = [client_frame(TEXT, b"good"), vec![0x83, 0x80, 0, 0, 0, 0], vec![0xaa; 500]].concat();
    write(&mut far, &wire).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"answer".to_vec()));
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1002).to_vec()));
    assert_eq!(read_all(&mut far).await, b"");
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn the_peers_close_is_answered_and_says_why() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let server = tokio::spawn(server.drive(|mut ws| async move {
        assert_eq!(ws.recv().await.unwrap(), None);
        assert_eq!(ws.close_reason().as_deref(), Some("bye"));
        assert_eq!(ws.close_info().received, Some(CloseCode::GOING_AWAY));
        assert_eq!(ws.close_info().initiator, Some(Initiator::Remote));
        assert_eq!(ws.state(), State::Closed);
    }));
    write(&mut far, &client_frame(CLOSE, b"\x03\xe9bye")).await;
    // What comes after a close frame is ignored.
    write(&mut far, b"rubbish").await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
    assert_eq!(read_all(&mut far).await, b"");
    drop(far);
    server.await.unwrap();
}

#[tokio::test]
async fn the_end_of_input_without_a_close_frame_is_an_error_once() {
    let (mut server, far) = server_over_pipe(Config::new(), 1000);
    drop(far);
    assert!(matches!(server.recv().await, Err(Error::Abnormal)));
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(server.close_info().code(), CloseCode::ABNORMAL);
}

#[tokio::test]
async fn a_handlers_return_error_and_panic_close_with_1000_and_1011() {
    std::panic::set_hook(Box::new(|_| {}));
    for (case, code) in [(0, 1000_u16), (1, 1011), (2, 1011)] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let driver = tokio::spawn(server.drive(move |mut ws| async move {
            ws.send("last words").await?;
            match case {
                0 => Ok(()),
                1 => Err(Error::Misuse("an error")),
                _ => panic!("a panic"),
            }
        }));
        assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"last words".to_vec()));
        assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, code.to_be_bytes().to_vec()));
        write(&mut far, &client_frame(CLOSE, &code.to_be_bytes())).await;
        assert_eq!(read_all(&mut far).await, b"");
        drop(far);
        driver.await.unwrap();
    }
    let _ = std::panic::take_hook();
}

#[tokio::test(start_paused = true)]
async fn while_the_handler_waits_elsewhere_pings_are_answered_and_one_message_is_read_ahead() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let (go, wait) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(server.drive(|mut ws| async move {
        wait.await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("one".into()));
        assert_eq!(ws.recv().await.unwrap(), Some("two".into()));
        assert_eq!(ws.recv().await.unwrap(), Some("three".into()));
    }));
    write(&mut far, &client_frame(PING, b"first")).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (PONG, b"first".to_vec()));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, b"two")).await;
    write(&mut far, &client_frame(PING, b"second")).await;
    // The second ping stands behind messages that nobody has taken: reading is held.
    let answer = tokio::time::timeout(Duration::from_millis(50), read_frame(&mut far)).await;
    assert!(answer.is_err());
    go.send(()).unwrap();
    assert_eq!(read_frame(&mut far).await.unwrap(), (PONG, b"second".to_vec()));
    write(&mut far, &client_frame(TEXT, b"three")).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
    drop(far);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_without_end_stops_when_nobody_receives() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let driver = tokio::spawn(server.drive(|ws| async move {
        std::future::pending::<()>().await;
        drop(ws);
    }));
    let frame = client_frame(BINARY, &[0; 10_000]);
    let writing = async {
        for _ in 0..1000 {
            write(&mut far, &frame).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(100), writing).await.is_err());
    driver.abort();
}

#[tokio::test]
async fn halves_work_in_two_tasks() {
    for driven in [true, false] {
        let (server, client) = pair(Config::new(), 500);
        let run = |server: WebSocket| async move {
            let (mut send, mut receive) = server.split();
            let (to, mut from) = tokio::sync::mpsc::channel(4);
            let receiver = tokio::spawn(async move {
                while let Some(message) = receive.recv().await.unwrap() {
                    to.send(message).await.unwrap();
                }
            });
            while let Some(message) = from.recv().await {
                send.send(message).await.unwrap();
            }
            receiver.await.unwrap();
        };
        let server = match driven {
            true => tokio::spawn(server.drive(run)),
            false => tokio::spawn(run(server)),
        };
        let (mut send, mut receive) = client.split();
        let sending = tokio::spawn(async move {
            for n in 0..300 {
                send.send(format!("{n}").repeat(n)).await.unwrap();
            }
            send
        });
        for n in 0..300 {
            assert_eq!(receive.recv().await.unwrap(), Some(format!("{n}").repeat(n).into()));
        }
        sending.await.unwrap().close(CloseCode::NORMAL, "").await.unwrap();
        assert_eq!(receive.recv().await.unwrap(), None);
        drop(receive);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn it_is_a_stream_and_a_sink() {
    let (server, client) = pair(Config::new(), 1000);
    let server = tokio::spawn(server.drive(|ws| async move {
        let (sink, stream) = StreamExt::split(ws);
        stream.forward(sink).await
    }));
    let (mut sink, mut stream) = StreamExt::split(client);
    for n in 0..10 {
        sink.feed(Message::from(format!("{n}"))).await.unwrap();
    }
    sink.flush().await.unwrap();
    for n in 0..10 {
        assert_eq!(stream.next().await.unwrap().unwrap(), Message::from(format!("{n}")));
    }
    let (closed, rest) = tokio::join!(sink.close(), stream.collect::<Vec<_>>());
    closed.unwrap();
    assert!(rest.is_empty());
    drop(sink);
    server.await.unwrap();
}

#[tokio::test]
async fn leftover_bytes_of_the_handshake_come_first() {
    let (near, mut far) = tokio::io::duplex(100);
    let leftover = [client_frame(TEXT, b"early"), client_frame(TEXT, b"split")[..4].to_vec()].concat();
    let config = std::sync::Arc::new(Config::new());
    let mut ws = WebSocket::from_upgraded(near, Role::Server, config, &leftover);
    write(&mut far, &client_frame(TEXT, b"split")[4..]).await;
    assert_eq!(ws.recv().await.unwrap(), Some("early".into()));
    assert_eq!(ws.recv().await.unwrap(), Some("split".into()));
}

#[tokio::test]
async fn senders_wait_behind_a_fragmented_message_and_pings_do_not() {
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let sender = server.sender();
        let run = |mut ws: WebSocket| async move {
            let mut message = ws.binary_fragments();
            message.write(b"one").await.unwrap();
            sender.try_send("between").unwrap();
            tokio::task::yield_now().await;
            message.write(b"two").await.unwrap();
            message.finish(b"three").await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), None);
        };
        let server = match driven {
            true => tokio::spawn(server.drive(run)),
            false => tokio::spawn(run(server)),
        };
        write(&mut far, &client_frame(PING, b"p")).await;
        let mut data = Vec::new();
        while data.len() < 4 {
            match read_frame(&mut far).await.unwrap() {
                (PONG, payload) => assert_eq!(payload, b"p"),
                frame => data.push(frame),
            }
        }
        let expected: [(u8, &[u8]); 4] = [(2, b"one"), (0, b"two"), (0x80, b"three"), (TEXT, b"between")];
        assert_eq!(data, expected.map(|(first, payload)| (first, payload.to_vec())));
        write(&mut far, &client_frame(CLOSE, &[])).await;
        drop(read_all(&mut far).await);
        drop(far);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_room_and_loses_nothing() {
    let mut config = Config::new();
    config.limits.queued = 1000;
    let (server, mut far) = server_over_pipe(config, 100);
    let sender = server.sender();
    let server = tokio::spawn(server.drive(|mut ws| async move { ws.recv().await.map(drop) }));
    let sending = tokio::spawn(async move {
        for n in 0..2000 {
            sender.send(format!("{n} {}", "x".repeat(300))).await.unwrap();
            assert!(sender.queued() <= 1000);
        }
        // Larger than the whole queue: taken when nothing else waits.
        sender.send("y".repeat(5000)).await.unwrap();
        sender.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(sender.send("late").await.unwrap_err().0, Message::from("late"));
    });
    for n in 0..2000 {
        let text = format!("{n} {}", "x".repeat(300));
        assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, text.into_bytes()));
    }
    assert_eq!(read_frame(&mut far).await.unwrap().1.len(), 5000);
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
    sending.await.unwrap();
    write(&mut far, &client_frame(CLOSE, &close_payload(1000))).await;
    assert_eq!(read_all(&mut far).await, b"");
    drop(far);
    server.await.unwrap();
}

/// The handler of one connection drives another one inside, whose handler sends to the first.
#[tokio::test]
async fn a_connection_that_is_driven_inside_the_handler_of_another_reaches_it() {
    for panics in [false, true] {
        let (outer, mut outer_peer) = pair(Config::new(), 1000);
        let (inner, mut inner_peer) = pair(Config::new(), 1000);
        let driver = tokio::spawn(outer.drive(move |ws| async move {
            let (mut send, mut receive) = ws.split();
            let relay = inner.drive(move |mut inner| async move {
                while let Some(message) = inner.recv().await? {
                    send.send(message).await?;
                    inner.send("passed on").await?;
                }
                assert!(!panics, "the inner handler ends so");
                send.send("the end").await
            });
            let (received, ()) = tokio::join!(receive.recv(), relay);
            assert_eq!(received?, Some("from outside".into()));
            Ok::<_, Error>(())
        }));
        for n in 0..100 {
            inner_peer.send(format!("{n}")).await.unwrap();
            assert_eq!(outer_peer.recv().await.unwrap(), Some(format!("{n}").into()));
            assert_eq!(inner_peer.recv().await.unwrap(), Some("passed on".into()));
        }
        outer_peer.send("from outside").await.unwrap();
        inner_peer.close(CloseCode::NORMAL, "").await.unwrap();
        if !panics {
            assert_eq!(outer_peer.recv().await.unwrap(), Some("the end".into()));
        }
        assert_eq!(outer_peer.recv().await.unwrap(), None);
        assert_eq!(outer_peer.close_info().received, Some(CloseCode::NORMAL));
        drop((outer_peer, inner_peer));
        driver.await.unwrap();
    }
}

/// A chunk was lost to a call that asks for whole messages.
#[tokio::test]
async fn asking_for_a_message_where_chunks_are_delivered_takes_nothing() {
    let (mut server, mut client) = pair(Config { delivery: Delivery::Chunks, ..Config::new() }, 1000);
    client.send("one").await.unwrap();
    client.send("two").await.unwrap();
    for text in ["one", "two"] {
        assert!(matches!(server.recv().await, Err(Error::Misuse(_))));
        assert_eq!(&server.recv_chunk().await.unwrap().unwrap().data[..], text.as_bytes());
    }
}
