//! Class P: every deadline, on a clock that stands still unless everybody waits.

mod peer;

use std::time::Duration;

use peer::*;
use tokio::time::{Instant, sleep};
use wirelet::proto::{CloseCode, Keepalive};
use wirelet::{Config, Error, Timeout, WebSocket};

async fn drain(mut ws: WebSocket) -> Result<(), Error> {
    while ws.recv().await?.is_some() {}
    Ok(())
}

/// Seconds since `began`, rounded down.
fn seconds(began: Instant) -> u64 {
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_given_up_by_both_kinds_of_connection() {
    for driven in [true, false] {
        let (server, mut far) = server_over_pipe(Config::new(), 1000);
        let began = Instant::now();
        let server = match driven {
            true => tokio::spawn(server.drive(drain)),
            false => tokio::spawn(async {
                assert!(matches!(drain(server).await, Err(Error::Timeout(Timeout::Pong))));
            }),
        };
        assert_eq!(read_frame(&mut far).await.unwrap().0, PING);
        assert_eq!(seconds(began), 20);
        assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(3008).to_vec()));
        assert_eq!(seconds(began), 40);
        assert_eq!(read_all(&mut far).await, b"");
        server.await.unwrap();
        // The peer did not end the connection: the closing deadline has.
        assert!(seconds(began) <= 46);
        drop(far);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_lives_until_the_idle_limit_if_there_is_none_for_ever() {
    let keepalive = Keepalive { idle: None, ..Keepalive::new() };
    let (server, mut far) = server_over_pipe(Config { keepalive, ..Config::new() }, 1000);
    let server = tokio::spawn(server.drive(drain));
    for _ in 0..100 {
        let (first, payload) = read_frame(&mut far).await.unwrap();
        assert_eq!(first, PING);
        write(&mut far, &client_frame(PONG, &payload)).await;
    }
    assert!(!server.is_finished());
    drop(far);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_pings_the_idle_limit_holds() {
    let keepalive = Keepalive { ping: None, idle: Some(Duration::from_secs(30)), ..Keepalive::new() };
    let (server, mut far) = server_over_pipe(Config { keepalive, ..Config::new() }, 1000);
    let server = tokio::spawn(server.drive(drain));
    let began = Instant::now();
    sleep(Duration::from_secs(20)).await;
    write(&mut far, &client_frame(TEXT, b"alive")).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(3008).to_vec()));
    assert_eq!(seconds(began), 50);
    drop(far);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_is_given_up() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let server = tokio::spawn(server.drive(drain));
    let began = Instant::now();
    let frame = client_frame(BINARY, &[0; 200]);
    write(&mut far, &frame[..6]).await;
    for byte in &frame[6..] {
        // A byte a second, for longer than the message may take; each byte adds a millisecond.
        sleep(Duration::from_secs(1)).await;
        write(&mut far, &[*byte]).await;
        if seconds(began) > 61 {
            break;
        }
    }
    assert_eq!(read_frame(&mut far).await.unwrap(), (CLOSE, close_payload(3008).to_vec()));
    assert!((60..=62).contains(&seconds(began)), "{}", seconds(began));
    drop(far);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_is_bounded_in_both_roles_and_kinds() {
    for driven in [true, false] {
        let (server, far) = server_over_pipe(Config::new(), 1000);
        let began = Instant::now();
        let close = |mut ws: WebSocket| async move {
            let closed = ws.close(CloseCode::NORMAL, "").await;
            assert!(matches!(closed, Err(Error::Timeout(Timeout::Closing))), "{closed:?}");
        };
        match driven {
            true => server.drive(close).await,
            false => close(server).await,
        }
        assert_eq!(seconds(began), 5);
        drop(far);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_is_bounded_when_the_peer_reads_nothing() {
    for driven in [true, false] {
        let (server, far) = server_over_pipe(Config::new(), 100);
        let began = Instant::now();
        let close = |mut ws: WebSocket| async move {
            ws.feed(vec![0; 10_000]).await.unwrap();
            assert!(ws.close(CloseCode::NORMAL, "").await.is_err());
        };
        match driven {
            true => server.drive(close).await,
            false => close(server).await,
        }
        // The close frame never leaves: the limit for a peer that takes nothing holds.
        assert_eq!(seconds(began), 120);
        drop(far);
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_stand_still_while_the_application_does_not_receive() {
    let (server, mut far) = server_over_pipe(Config::new(), 1000);
    let server = tokio::spawn(server.drive(|mut ws| async move {
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(ws.recv().await?, Some("kept".into()));
        ws.send("back").await
    }));
    write(&mut far, &client_frame(TEXT, b"kept")).await;
    assert_eq!(read_frame(&mut far).await.unwrap(), (TEXT, b"back".to_vec()));
    drop(far);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_polled_for_long_is_not_given_up_for_it() {
    let (mut server, mut far) = server_over_pipe(Config::new(), 1000);
    for n in 0..3 {
        write(&mut far, &client_frame(TEXT, b"tick")).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(server.recv().await.unwrap(), Some("tick".into()), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_and_never_reads_is_given_up_although_reading_is_held() {
    let (server, mut far) = server_over_pipe(Config::new(), 100);
    let began = Instant::now();
    let server = tokio::spawn(server.drive(|mut ws| async move {
        while let Some(message) = ws.recv().await? {
            // The peer does not read: this waits, and the next message waits behind it.
            while ws.send(message.clone()).await.is_ok() {}
        }
        Ok::<_, Error>(())
    }));
    write(&mut far, &client_frame(TEXT, &[b'x'; 1000])).await;
    write(&mut far, &client_frame(TEXT, b"undelivered")).await;
    server.await.unwrap();
    assert!((120..=126).contains(&seconds(began)), "{}", seconds(began));
    drop(far);
}
