//! What was received before the end of a connection is delivered before the end is told, however it ends.

mod peer;
mod scripted;
#[cfg(feature = "deflate")]
mod zlib;

use std::sync::Arc;
use std::time::Duration;

use peer::*;
use scripted::*;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use wirelet::proto::{CloseCode, Delivery};
use wirelet::{Config, Error, Message, Role, SlowReceiver, Timeout, WebSocket};

const TRANSFER: &str = "transfer 100 to bob";

/// What `recv` says until the end, at most `most` times.
async fn all_news(ws: &mut WebSocket, most: usize) -> Vec<Result<Option<Message>, Error>> {
    let mut news = Vec::new();
    while news.len() < most && !matches!(news.last(), Some(Ok(None))) {
        news.push(ws.recv().await);
    }
    news
}

/// Asserts: [`TRANSFER`], then what the network had to say, then nothing.
#[track_caller]
fn assert_message_then_error(news: &[Result<Option<Message>, Error>]) {
    assert!(
        matches!(
            news,
            [Ok(Some(Message::Text(text))), Err(Error::Io(_) | Error::Abnormal), Ok(None)] if *text == *TRANSFER
        ),
        "{news:?}"
    );
}

/// A message that had been received and not taken when a write failed was delivered as an empty one.
#[tokio::test(start_paused = true)]
async fn an_unread_message_became_an_empty_one_when_a_write_failed() {
    let (server, mut far) = server_over_pipe(Config::new(), 10_000);
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let one = ws.recv().await;
        // Meanwhile the second message arrives, and the peer goes away.
        sleep(Duration::from_millis(110)).await;
        let _ = ws.send("answer").await;
        sleep(Duration::from_millis(10)).await;
        tell.send((one, all_news(&mut ws, 5).await)).unwrap();
    }));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, TRANSFER.as_bytes())).await;
    sleep(Duration::from_millis(50)).await;
    drop(far);
    let (one, news) = told.await.unwrap();
    assert_eq!(one.unwrap(), Some("one".into()));
    assert_message_then_error(&news);
    driver.await.unwrap();
}

/// A message that had been received and not taken was delivered as an empty one when the policy of a `Sender` closed the
/// connection.
#[tokio::test(start_paused = true)]
async fn an_unread_message_became_an_empty_one_when_a_slow_receiver_was_closed() {
    let mut config = Config::new();
    config.limits.queued = 1000;
    let (server, mut far) = server_over_pipe(config, 100);
    let sender = server.sender().with_policy(SlowReceiver::Close);
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let one = ws.recv().await;
        sleep(Duration::from_secs(1)).await;
        while sender.try_send("x".repeat(3000)).is_ok() {}
        sleep(Duration::from_secs(1)).await;
        let news = (ws.recv().await, ws.recv().await);
        tell.send((one, news, ws.close_info().sent)).unwrap();
    }));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, TRANSFER.as_bytes())).await;
    let reader = tokio::spawn(async move {
        sleep(Duration::from_millis(1500)).await;
        read_all(&mut far).await
    });
    let (one, news, sent) = told.await.unwrap();
    assert_eq!(one.unwrap(), Some("one".into()));
    assert!(matches!(&news.0, Ok(Some(Message::Text(text))) if **text == *TRANSFER), "{news:?}");
    assert!(!matches!(&news.1, Ok(Some(_))), "{news:?}");
    assert_eq!(sent, Some(CloseCode::TRY_AGAIN_LATER));
    driver.await.unwrap();
    let wire = frames(&reader.await.unwrap());
    assert_eq!(wire.last().unwrap(), &(CLOSE, close_payload(1013).to_vec()));
}

/// A message that was received while a `send` waited was delivered as an empty one when that failed.
#[tokio::test(start_paused = true)]
async fn a_message_received_by_a_waiting_send_became_an_empty_one() {
    let (mut ws, mut far) = server_over_pipe(Config::new(), 100);
    write(&mut far, &client_frame(TEXT, TRANSFER.as_bytes())).await;
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        drop(far);
    });
    // The peer does not read.
    let sent = within_polls(1000, ws.send(vec![0; 10_000])).await;
    assert!(matches!(sent, Err(Error::Closed)), "{sent:?}");
    assert_message_then_error(&all_news(&mut ws, 5).await);
}

/// Ten messages were in memory; all but two were thrown away when the answer to the first one could not be written.
#[tokio::test(start_paused = true)]
async fn received_messages_were_lost_when_a_write_failed() {
    let (server, mut far) = server_over_pipe(Config::new(), 10_000);
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let mut got = Vec::new();
        let end = loop {
            match ws.recv().await {
                Ok(Some(message)) => got.push(message.as_text().unwrap().to_owned()),
                end => break end.map(|_| ()),
            }
            sleep(Duration::from_secs(1)).await;
            let _ = ws.send("ack").await;
        };
        tell.send((got, end)).unwrap();
    }));
    let readings: Vec<String> = (0..10).map(|n| format!("reading {n}")).collect();
    let wire: Vec<u8> = readings.iter().flat_map(|text| client_frame(TEXT, text.as_bytes())).collect();
    write(&mut far, &wire).await;
    sleep(Duration::from_millis(500)).await;
    drop(far);
    let (got, end) = told.await.unwrap();
    assert_eq!(got, readings);
    assert!(matches!(end, Err(Error::Io(_) | Error::Abnormal)), "{end:?}");
    driver.await.unwrap();
}

/// What a connection with a failing transport was asked to do.
async fn send_until_it_fails(ws: &mut WebSocket) {
    while ws.send(vec![0; 10_000]).await.is_ok() {}
}

/// Runs `work` in both kinds of connection, over a stream that takes 5,000 bytes and fails then, with `last` as the last
/// words of its peer.
async fn while_sending_fails<T, W, F>(config: Config, last: &[u8], work: W) -> [T; 2]
where
    T: Send + std::fmt::Debug + 'static,
    W: Fn(WebSocket) -> F + Copy + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let config = Arc::new(config);
    let mut seen = Vec::new();
    for driven in [true, false] {
        let (stream, script) = scripted(5000);
        let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::clone(&config), &[]);
        let (tell, told) = oneshot::channel();
        let work = move |ws: WebSocket| async move { tell.send(work(ws).await).unwrap() };
        let task = match driven {
            true => tokio::spawn(ws.drive(work)),
            false => tokio::spawn(work(ws)),
        };
        // It waits for room.
        sleep(Duration::from_millis(1)).await;
        script.say_and_reset(last);
        seen.push(timeout(Duration::from_secs(3600), told).await.expect("it hangs").unwrap());
        let _ = timeout(Duration::from_secs(3600), task).await.expect("its task hangs");
    }
    seen.try_into().unwrap()
}

/// The last words of a peer that reset the connection were replaced by an empty message or lost.
#[tokio::test(start_paused = true)]
async fn the_last_words_before_a_reset_were_lost() {
    let last = client_frame(TEXT, TRANSFER.as_bytes());
    let seen = while_sending_fails(Config::new(), &last, |mut ws| async move {
        send_until_it_fails(&mut ws).await;
        all_news(&mut ws, 5).await
    });
    for news in seen.await {
        assert_message_then_error(&news);
    }
}

/// The last chunk of a peer that reset the connection was an empty one, first and last of its message.
#[tokio::test(start_paused = true)]
async fn the_last_chunk_before_a_reset_was_lost() {
    let last = client_frame(TEXT, TRANSFER.as_bytes());
    let config = Config { delivery: Delivery::Chunks, ..Config::new() };
    let seen = while_sending_fails(config, &last, |mut ws| async move {
        send_until_it_fails(&mut ws).await;
        (ws.recv_chunk().await, ws.recv_chunk().await)
    });
    for (chunk, error) in seen.await {
        let chunk = chunk.unwrap().unwrap();
        assert_eq!((&chunk.data[..], chunk.first, chunk.last), (TRANSFER.as_bytes(), true, true));
        assert!(matches!(error, Err(Error::Io(_) | Error::Abnormal)), "{error:?}");
    }
}

/// A text, the close code and the reason of a peer that closed with unread input were lost to EPIPE (RFC 6455 7.1.5).
#[tokio::test(start_paused = true)]
async fn the_close_frame_before_a_reset_was_lost() {
    let mut last = client_frame(TEXT, TRANSFER.as_bytes());
    last.extend(client_frame(CLOSE, b"\x03\xf0rate limit"));
    let seen = while_sending_fails(Config::new(), &last, |mut ws| async move {
        send_until_it_fails(&mut ws).await;
        let news = (ws.recv().await, ws.recv().await);
        (news, ws.close_info().received, ws.close_reason())
    });
    for ((message, end), code, reason) in seen.await {
        assert_eq!(message.unwrap(), Some(TRANSFER.into()));
        assert!(matches!(end, Ok(None)), "{end:?}");
        assert_eq!((code, reason.as_deref()), (Some(CloseCode::POLICY_VIOLATION), Some("rate limit")));
    }
}

/// A compressed message that had been received and not taken became an empty one when a write failed.
#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn an_unread_compressed_message_became_an_empty_one_when_a_write_failed() {
    use wirelet::proto::deflate::{Params, Window};
    use wirelet::proto::{Extensions, Upgraded};

    let window = Window::fresh(15);
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let (stream, script) = scripted(5000);
        let upgraded = Upgraded {
            extensions: Extensions::deflate(Params { server: window, client: window }),
            ..Upgraded::default()
        };
        let config = Arc::new(Config { delivery, ..Config::new() });
        let mut ws = WebSocket::with_upgraded(stream, Role::Server, config, upgraded, &[]);
        let task = tokio::spawn(async move {
            while ws.send_binary(&[0; 100_000]).await.is_ok() {}
            (ws.recv_chunk().await, ws.recv_chunk().await)
        });
        sleep(Duration::from_millis(1)).await;
        script.say_and_reset(&client_frame(TEXT | 0x40, &zlib::message(TRANSFER.as_bytes())));
        let (first, second) = timeout(Duration::from_secs(3600), task).await.expect("it hangs").unwrap();
        let mut text = Vec::new();
        let chunk = first.unwrap().unwrap();
        text.extend(chunk.data);
        let mut end = second;
        if let Ok(Some(chunk)) = &end {
            // The last chunk of a compressed message may be empty.
            assert!(delivery == Delivery::Chunks && chunk.last);
            text.extend(&chunk.data);
            end = Err(Error::Abnormal);
        }
        assert_eq!(text, TRANSFER.as_bytes());
        assert!(matches!(end, Err(Error::Io(_) | Error::Abnormal)), "{end:?}");
    }
}

/// A message that waits when the peer is given up for taking nothing comes before that is told.
#[tokio::test(start_paused = true)]
async fn an_unread_message_is_kept_when_the_peer_is_given_up_for_taking_nothing() {
    let (server, mut far) = server_over_pipe(Config::new(), 100);
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        let first = ws.recv().await;
        while ws.send(vec![0; 10_000]).await.is_ok() {}
        tell.send((first, all_news(&mut ws, 5).await)).unwrap();
    }));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, TRANSFER.as_bytes())).await;
    let (first, news) = timeout(Duration::from_secs(3600), told).await.expect("it hangs").unwrap();
    assert_eq!(first.unwrap(), Some("one".into()));
    let [Ok(Some(message)), Err(Error::Timeout(Timeout::Stalled)), Ok(None)] = &news[..] else {
        panic!("{news:?}")
    };
    assert_eq!(message.as_text(), Some(TRANSFER));
    timeout(Duration::from_secs(10), driver).await.expect("the socket was to be dropped").unwrap();
    drop(far);
}

/// `close` answered `Ok` although the connection had failed: the error stood behind a message that nobody had taken.
#[tokio::test(start_paused = true)]
async fn close_hid_an_error_behind_an_unread_message() {
    let (server, mut far) = server_over_pipe(Config::new(), 10_000);
    let (tell, told) = oneshot::channel();
    let driver = tokio::spawn(server.drive(|mut ws| async move {
        ws.recv().await.unwrap();
        sleep(Duration::from_millis(110)).await;
        let _ = ws.send("answer").await;
        sleep(Duration::from_millis(10)).await;
        tell.send(ws.close(CloseCode::NORMAL, "").await).unwrap();
    }));
    write(&mut far, &client_frame(TEXT, b"one")).await;
    write(&mut far, &client_frame(TEXT, b"two")).await;
    sleep(Duration::from_millis(50)).await;
    drop(far);
    let closed = told.await.unwrap();
    assert!(matches!(closed, Err(Error::Io(_) | Error::Abnormal)), "{closed:?}");
    driver.await.unwrap();
}
