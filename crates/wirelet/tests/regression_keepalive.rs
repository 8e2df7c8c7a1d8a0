//! Keepalive and the watch over peers that take nothing: on for every connection, and no danger for peers that live.

mod peer;
mod scripted;

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peer::*;
use scripted::*;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use wirelet::server::{Router, Server, ws};
use wirelet::{CloseCode, Config, Error, Keepalive, Message, ReceiveHalf, Role, Timeout, WebSocket};

/// Longer than any deadline.
const HOURS: Duration = Duration::from_secs(24 * 3600);

/// 64 KiB.
const SLOW: u64 = 64 * 1024;

/// Receives, and works on each message for 25 s.
async fn receive(mut half: ReceiveHalf) -> Result<(), Error> {
    while half.recv().await?.is_some() {
        sleep(Duration::from_secs(25)).await;
    }
    Ok(())
}

/// A peer that says nothing more after so many messages: it is pinged, and given up.
async fn given_up<S: AsyncRead + Unpin>(far: &mut S, messages: u32) {
    let mut pings = 0;
    loop {
        let frame = timeout(HOURS, read_frame(far)).await;
        match frame.unwrap_or_else(|_| panic!("{pings} pings after {messages} messages, and then nothing")) {
            Ok((PING, _)) => pings += 1,
            close => {
                assert_eq!(close.unwrap(), (CLOSE, close_payload(3008).to_vec()));
                assert!(pings > 0);
                return;
            }
        }
    }
}

/// A connection whose receiving half lives in another task keeps its keepalive, also when messages have waited.
#[tokio::test(start_paused = true)]
async fn a_receiver_in_another_task_does_not_switch_keepalive_off() {
    for messages in 0..4 {
        let (server, mut far) = server_over_pipe(Config::new(), 10_000);
        let driver = tokio::spawn(server.drive(|ws| async move {
            let (_send, half) = ws.split();
            tokio::spawn(receive(half)).await.unwrap()
        }));
        for _ in 0..messages {
            write(&mut far, &client_frame(TEXT, b"work")).await;
        }
        let began = Instant::now();
        given_up(&mut far, messages).await;
        let most = Duration::from_secs(25) * messages + Duration::from_secs(41);
        assert!(began.elapsed() <= most, "{:?} after {messages} messages", began.elapsed());
        drop(far);
        timeout(HOURS, driver).await.expect("the task never ends").unwrap();
    }
}

/// In a server, whose ticker keeps the time of all connections, it had none any more after its first message.
#[tokio::test]
async fn a_receiver_in_another_task_switched_the_servers_keepalive_off() {
    let route = ws(|ws: WebSocket, _| async move {
        let (_send, mut half) = ws.split();
        let receiver = tokio::spawn(async move { while let Ok(Some(_)) = half.recv().await {} });
        receiver.await.unwrap();
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    tokio::spawn(server.serve(Router::new().ws("/ws", route)));
    tokio::time::pause();
    for messages in 0..3 {
        let mut far = TcpStream::connect(address).await.unwrap();
        far.write_all(upgrade_request("/ws", "").as_bytes()).await.unwrap();
        read_head(&mut far).await.unwrap();
        for _ in 0..messages {
            far.write_all(&client_frame(TEXT, b"work")).await.unwrap();
        }
        let began = Instant::now();
        given_up(&mut far, messages).await;
        // The peer's system acknowledges in real time, and the clock here runs ahead of it: the answer to a ping may be waited
        // for again. The limit on silence is the last one.
        assert!(began.elapsed() < Duration::from_secs(125), "{:?}", began.elapsed());
        drop(far);
    }
    timeout(HOURS, async {
        while handle.count() > 0 {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .expect("a connection is left");
}

/// Sends 4 MiB and receives then, in both kinds of connection; `peer` is the other end. What the application saw.
async fn download<F, Fut>(
    capacity: usize,
    peer: F,
) -> [(Result<(), Error>, Result<Option<Message>, Error>); 2]
where
    F: Fn(DuplexStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut seen = Vec::new();
    for driven in [true, false] {
        let (server, far) = server_over_pipe(Config::new(), capacity);
        let (tell, told) = oneshot::channel();
        let work = |mut ws: WebSocket| async move {
            let sent = within_polls(100_000, ws.send(vec![7; 4 << 20])).await;
            let _ = tell.send((sent, within_polls(100_000, ws.recv()).await));
        };
        let task = match driven {
            true => tokio::spawn(server.drive(work)),
            false => tokio::spawn(work(server)),
        };
        let peer = tokio::spawn(peer(far));
        timeout(HOURS, peer).await.expect("the peer hangs").unwrap();
        seen.push(timeout(HOURS, told).await.expect("it hangs").expect("the application's part panicked"));
        timeout(HOURS, task).await.expect("the task hangs").unwrap();
    }
    seen.try_into().unwrap()
}

/// Reads frames up to the end, answers pings, closes.
async fn close(far: &mut DuplexStream) {
    write(far, &client_frame(CLOSE, &close_payload(1000))).await;
    while let Ok((first, _)) = read_frame(far).await {
        assert!(matches!(first, PING | PONG | CLOSE), "{first:x}");
    }
}

/// The bytes of a binary message of 4 MiB on the wire.
const ON_THE_WIRE: usize = 10 + (4 << 20);

/// A peer that took 4 MiB at 64 KiB a second was cut off after 45 s: it did not answer a ping that it had not got yet.
#[tokio::test(start_paused = true)]
async fn a_peer_that_was_busy_receiving_was_given_up_for_its_silence() {
    let peer = |mut far: DuplexStream| async move {
        let wire = read_slowly(&mut far, ON_THE_WIRE, 1000, SLOW).await.expect("it was cut off");
        assert!(wire[10..].iter().all(|byte| *byte == 7));
        close(&mut far).await;
    };
    for (sent, end) in download(1000, peer).await {
        assert!(sent.is_ok(), "{sent:?}");
        assert!(matches!(end, Ok(None)), "{end:?}");
    }
}

/// A peer that took 4 MiB slowly and said something all the time was given up where a message of it waited unread: what it
/// said behind that was not looked at.
#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_was_given_up_while_its_message_waited_unread() {
    let peer = |far: DuplexStream| async move {
        let (mut reader, mut writer) = tokio::io::split(far);
        let talk = tokio::spawn(async move {
            writer.write_all(&client_frame(TEXT, b"hello")).await.unwrap();
            loop {
                writer.write_all(&client_frame(PONG, b"alive")).await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        });
        // It stops to read for a time that is longer than ping and pong, and shorter than the limit on stalls.
        read_slowly(&mut reader, 1 << 20, 1000, SLOW).await.expect("it was cut off");
        sleep(Duration::from_secs(60)).await;
        read_slowly(&mut reader, ON_THE_WIRE - (1 << 20), 1000, SLOW).await.expect("it was cut off");
        talk.abort();
        let _ = talk.await;
    };
    for (sent, received) in download(1000, peer).await {
        assert!(sent.is_ok(), "{sent:?}");
        assert_eq!(received.unwrap(), Some("hello".into()));
    }
}

/// A keepalive ping for which there was no place was never sent, but its answer was waited for: 3008 after 40 s.
#[tokio::test(start_paused = true)]
async fn a_ping_that_was_never_sent_was_waited_for() {
    let peer = |mut far: DuplexStream| async move {
        // Its pong has to wait behind 4 MiB, and takes the place of a ping.
        write(&mut far, &client_frame(PING, b"are you there?")).await;
        sleep(Duration::from_secs(100)).await;
        let (first, payload) = read_frame(&mut far).await.expect("it was cut off");
        assert_eq!((first, payload.len()), (BINARY, 4 << 20));
        assert_eq!(read_frame(&mut far).await.unwrap(), (PONG, b"are you there?".to_vec()));
        close(&mut far).await;
    };
    for (sent, end) in download(1000, peer).await {
        assert!(sent.is_ok(), "{sent:?}");
        assert!(matches!(end, Ok(None)), "{end:?}");
    }
}

/// `Keepalive::every` and `Keepalive::off` switched the watch over peers that take nothing off: they were held for ever.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_was_held_for_ever_without_an_idle_limit() {
    for keepalive in [Keepalive::new(), Keepalive::every(Duration::from_secs(20)), Keepalive::off()] {
        let (server, mut far) =
            server_over_pipe(Config { keepalive: keepalive.clone(), ..Config::new() }, 100);
        let began = Instant::now();
        let (tell, told) = oneshot::channel();
        let driver = tokio::spawn(server.drive(|mut ws| async move {
            while let Some(message) = ws.recv().await? {
                while ws.send(message.clone()).await.is_ok() {}
                if message.as_bytes() == b"undelivered" {
                    break;
                }
            }
            tell.send(ws.recv().await).unwrap();
            Ok::<_, Error>(())
        }));
        write(&mut far, &client_frame(TEXT, &[b'x'; 1000])).await;
        write(&mut far, &client_frame(TEXT, b"undelivered")).await;
        let end = timeout(HOURS, told)
            .await
            .unwrap_or_else(|_| panic!("held for ever with {keepalive:?}"))
            .unwrap();
        assert!(matches!(end, Err(Error::Timeout(Timeout::Stalled))), "{end:?}");
        timeout(HOURS, driver).await.expect("the task never ends").unwrap();
        let seconds = began.elapsed().as_secs();
        assert!((119..=126).contains(&seconds), "{seconds} s with {keepalive:?}");
        drop(far);
    }
}

/// Time in which nobody polled a connection without a task counted as time in which its peer was slow: an application that
/// looked after it every quarter of an hour gave up a peer that had taken all there was in the first instant.
#[tokio::test(start_paused = true)]
async fn a_peer_was_slow_while_nobody_looked() {
    const LEN: usize = 100_000;
    let config = Config { keepalive: Keepalive::off(), ..Config::new() };
    let (mut ws, mut far) = server_over_pipe(config, 10_000);
    let reading = tokio::spawn(async move { read_frame(&mut far).await.map(|frame| (frame, far)) });
    ws.feed(vec![7; LEN]).await.unwrap();
    // Ten times the pipe takes some, its peer reads it at once, and the application is away.
    for round in 0..10 {
        let mut flush = std::pin::pin!(ws.flush());
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(flush.as_mut().poll(cx))).await;
        assert!(!matches!(polled, std::task::Poll::Ready(Err(_))), "{polled:?} in round {round}");
        sleep(Duration::from_secs(900)).await;
    }
    ws.flush().await.unwrap();
    let (frame, _far) = reading.await.unwrap().unwrap();
    assert_eq!((frame.0, frame.1.len()), (BINARY, LEN));
}

/// The same peer, with an application that is there: it takes nothing for long, and is given up for it.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_slow_while_somebody_waits_is_given_up() {
    let limits = wirelet::Limits { stalled_time: None, ..wirelet::Limits::new() };
    let config = Config { limits, keepalive: Keepalive::off(), ..Config::new() };
    let (mut ws, mut far) = server_over_pipe(config, 10_000);
    let reading = tokio::spawn(async move { read_slowly(&mut far, 200_000, 10, 20).await });
    let began = Instant::now();
    let sent = timeout(HOURS, ws.send(vec![7; 100_000])).await.expect("it hangs");
    assert!(sent.is_err());
    assert!(matches!(ws.recv().await, Err(Error::Timeout(Timeout::Slow))));
    assert!((600..700).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    reading.abort();
}

/// The thread computes for so many milliseconds: nothing else is polled meanwhile.
fn compute(millis: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    let _ = pin!(tokio::time::advance(Duration::from_millis(millis))).poll(&mut cx);
}

/// Runs `work` as a connection's handler, and `peer` beside it, each with the other end of what is said.
async fn with_handler<F, Fut, P>(keepalive: Keepalive, work: F, peer: P)
where
    F: FnOnce(WebSocket, Script) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
    P: AsyncFnOnce(Script),
{
    let (stream, script) = scripted(usize::MAX);
    let config = Config { keepalive, ..Config::new() };
    let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(config), &[]);
    let (tell, told) = oneshot::channel();
    let theirs = script.clone();
    let driver = tokio::spawn(ws.drive(|ws| async move {
        work(ws, theirs).await;
        tell.send(()).unwrap();
    }));
    // The first one ends while the handler computes.
    sleep(Duration::from_millis(1)).await;
    sleep(Duration::from_millis(100)).await;
    peer(script.clone()).await;
    timeout(HOURS, told).await.expect("the handler hangs").expect("the handler panicked");
    script.end();
    timeout(HOURS, driver).await.expect("the task never ends").unwrap();
}

/// A ping that left when the handler had computed for long counted as one that had left before: its answer was too late.
#[tokio::test(start_paused = true)]
async fn a_ping_that_left_after_a_computation_was_answered_too_late() {
    let work = |mut ws: WebSocket, _| async move {
        ws.ping(b"are you there?").await.unwrap();
        compute(20_500);
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
    };
    with_handler(Keepalive::new(), work, async |script| {
        script.say(&client_frame(PONG, b"are you there?"));
        script.say(&client_frame(TEXT, b"hello"));
    })
    .await;
}

/// A close frame that left when the handler had computed for long counted as one that had left before.
#[tokio::test(start_paused = true)]
async fn a_close_frame_that_left_after_a_computation_was_answered_too_late() {
    let work = |ws: WebSocket, _| async move {
        let (mut send, mut half) = ws.split();
        send.close(CloseCode::NORMAL, "").await.unwrap();
        compute(5_500);
        let end = half.recv().await;
        assert!(matches!(end, Ok(None)), "{end:?}");
    };
    with_handler(Keepalive::new(), work, async |script| {
        script.say(&client_frame(CLOSE, &close_payload(1000)));
    })
    .await;
}

/// A message that began to arrive while the handler computed for long counted as one that had begun before.
#[tokio::test(start_paused = true)]
async fn a_message_that_began_during_a_computation_took_too_long() {
    let frame = client_frame(TEXT, b"hello");
    let (first, rest) = (frame[..3].to_vec(), frame[3..].to_vec());
    let work = move |mut ws: WebSocket, script: Script| async move {
        compute(60_500);
        script.say(&first);
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
    };
    with_handler(Keepalive::off(), work, async |script| script.say(&rest)).await;
}

/// A peer that spoke while the handler computed for long counted as one that had been silent since before.
#[tokio::test(start_paused = true)]
async fn a_peer_that_spoke_during_a_computation_was_silent_for_too_long() {
    let keepalive = Keepalive { ping: None, idle: Some(Duration::from_secs(5)), ..Keepalive::new() };
    let work = |mut ws: WebSocket, script: Script| async move {
        compute(5_500);
        script.say(&client_frame(TEXT, b"hello"));
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        assert_eq!(ws.recv().await.unwrap(), Some("world".into()));
    };
    with_handler(keepalive, work, async |script| script.say(&client_frame(TEXT, b"world"))).await;
}

/// A handler that had computed for long over a message, while another one waited, counted as a peer that was silent.
#[tokio::test(start_paused = true)]
async fn a_peer_that_had_to_wait_for_a_computation_was_silent_for_too_long() {
    let keepalive = Keepalive { ping: None, idle: Some(Duration::from_secs(5)), ..Keepalive::new() };
    let work = |mut ws: WebSocket, script: Script| async move {
        script.say(&client_frame(TEXT, b"hello"));
        // The message is there, and nobody takes it: time stands still for the peer.
        sleep(Duration::from_secs(60)).await;
        compute(5_500);
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        assert_eq!(ws.recv().await.unwrap(), Some("world".into()));
    };
    with_handler(keepalive, work, async |script| {
        sleep(Duration::from_secs(60)).await;
        sleep(Duration::from_millis(100)).await;
        script.say(&client_frame(TEXT, b"world"));
    })
    .await;
}

/// A stream that says so many times that there is nothing to read, and wakes at once.
struct Hesitant {
    stream: Scripted,
    times: Arc<AtomicUsize>,
}

impl AsyncRead for Hesitant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.times.fetch_update(Relaxed, Relaxed, |times| times.checked_sub(1)).is_ok() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An application that came too late twice, to a socket that had news each time, lost what the peer had said last: that it may
/// come late was used up.
#[tokio::test(start_paused = true)]
async fn the_last_words_were_lost_to_a_second_absence() {
    const MESSAGES: usize = 400;
    let keepalive = Keepalive { ping: None, idle: Some(Duration::from_secs(120)), ..Keepalive::new() };
    let (stream, script) = scripted(usize::MAX);
    let config = Config { keepalive, ..Config::new() };
    let times = Arc::new(AtomicUsize::new(0));
    let stream = Hesitant { stream, times: Arc::clone(&times) };
    let mut ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(config), &[]);
    script.say(&client_frame(TEXT, b"first"));
    assert_eq!(ws.recv().await.unwrap(), Some("first".into()));
    ws.send("hello").await.unwrap();
    script.say_and_reset(&client_frame(TEXT, &[b'x'; 1000]).repeat(MESSAGES));
    times.store(2, Relaxed);
    sleep(Duration::from_secs(560)).await;
    assert!(ws.send("anybody there?").await.is_err());
    sleep(Duration::from_secs(15)).await;
    for n in 0..MESSAGES {
        let message = ws.recv().await;
        assert_eq!(message.unwrap_or_else(|error| panic!("{error} after {n}")).unwrap().len(), 1000);
    }
    assert!(matches!(ws.recv().await, Err(Error::Io(_))));
}

/// That an application comes too late is no reason to hold a silent peer for ever.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_by_an_application_that_looks_seldom() {
    for keepalive in [Keepalive::new(), Keepalive { ping: None, ..Keepalive::new() }] {
        let (stream, _script) = scripted(usize::MAX);
        let config = Config { keepalive, ..Config::new() };
        let mut ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(config), &[]);
        let mut looks = 0;
        let end = loop {
            let polled = std::future::poll_fn(|cx| Poll::Ready(pin!(ws.recv()).poll(cx))).await;
            if let Poll::Ready(end) = polled {
                break end;
            }
            looks += 1;
            assert!(looks < 6, "it is held for ever");
            sleep(Duration::from_secs(900)).await;
        };
        assert!(matches!(end, Err(Error::Timeout(_))), "{end:?}");
    }
}
