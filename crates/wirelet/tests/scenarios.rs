//! The scenarios that both drivers run, calm and dropped at every poll, by a stream that moves a few bytes at a time.

mod peer;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use peer::Hesitant;
use testkit::scenario::{Act, CLOSE, LIMIT, Scenario, scenarios};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wirelet::proto::{CloseCode, CloseInfo, Limits};
use wirelet::{Config, Error, Event, WebSocket};

/// `operation` to its end: one future, or a new one for each poll.
async fn done<T>(restless: bool, mut operation: impl AsyncFnMut() -> T) -> T {
    if !restless {
        return operation().await;
    }
    loop {
        {
            let mut future = pin!(operation());
            let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = poll {
                return output;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Echoes until the connection has ended.
async fn echo(ws: &mut WebSocket, restless: bool) -> Result<(), Error> {
    loop {
        match done(restless, async || ws.recv_event().await).await? {
            Some(Event::Message(message)) => {
                // Queued at the first poll; what is cancelled is the wait for the stream.
                ws.feed(message).await?;
                done(restless, async || ws.flush().await).await?;
            }
            Some(Event::Ping(payload)) if payload == CLOSE => {
                done(restless, async || ws.close(CloseCode::NORMAL, "").await).await?;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

async fn play(scenario: &Scenario, mut stream: DuplexStream) {
    let mut script = scenario.script();
    loop {
        match script.next() {
            // Who has failed the connection may not take all of it.
            Act::Send(bytes) => drop(stream.write_all(bytes).await),
            Act::Receive => {
                let mut buffer = [0; 64];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                script.received(&buffer[..n]);
            }
            Act::Finish => stream.shutdown().await.unwrap(),
            Act::Done => return,
        }
    }
}

async fn ends(scenario: &Scenario, most: usize, restless: bool) -> (CloseInfo, Result<(), Error>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let config = Config { limits: Limits { message: LIMIT, ..Limits::new() }, ..Config::new() };
    let mut ws = WebSocket::from_upgraded(Hesitant::new(near, most), scenario.role, config.into(), &[]);
    let run = async {
        let end = echo(&mut ws, restless).await;
        let close = ws.close_info();
        drop(ws);
        (close, end)
    };
    tokio::join!(run, play(scenario, far)).0
}

#[tokio::test(start_paused = true)]
async fn every_scenario_ends_as_it_should() {
    for scenario in scenarios() {
        for most in [1, 3, 16, 1000] {
            for restless in [false, true] {
                let (close, end) = ends(&scenario, most, restless).await;
                let name = &scenario.name;
                assert_eq!(close, scenario.close, "{name}, {most}, restless: {restless}");
                // A clean close is not an error; whatever else ends a connection is.
                assert_eq!(end.is_ok(), close.is_clean(), "{name}, {most}, restless: {restless}: {end:?}");
            }
        }
    }
}
