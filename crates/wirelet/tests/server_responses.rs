//! Peers that take a response of HTTP slowly, or not at all. They have the limits of those that a WebSocket sends to.
//!
//! The clock is paused: whoever waits for a deadline makes it jump.

mod peer;
mod running;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use peer::*;
use running::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use wirelet::server::Router;
use wirelet::{Bytes, Limits};

/// A body without end, which tells when it is dropped: then the connection has been given up.
struct Endless(UnboundedSender<()>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A peer that has asked for a body without end and has read nothing of it, and the body's end.
async fn asked(limits: Limits) -> (Running, TcpStream, UnboundedReceiver<()>) {
    let (tell, told) = unbounded_channel();
    let service = hyper::service::service_fn(move |_: http::Request<hyper::body::Incoming>| {
        std::future::ready(Ok::<_, Infallible>(http::Response::new(Endless(tell.clone()))))
    });
    let running = serve_with(Router::new().service("/", service), |server| server.limits(limits)).await;
    let mut stream = running.connect().await;
    write(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stream.readable().await.unwrap();
    (running, stream, told)
}

/// It had 30 seconds, whatever `Limits` said.
#[tokio::test(start_paused = true)]
async fn a_response_that_nobody_takes_had_a_limit_of_its_own() {
    let limits = |stalled_time: Option<u64>, slowest| Limits {
        stalled_time: stalled_time.map(Duration::from_secs),
        slowest,
        ..Limits::new()
    };
    for (limits, seconds) in [(Limits::new(), 120), (limits(Some(7), None), 7), (limits(None, Some(32)), 600)]
    {
        let (_running, _stream, mut told) = asked(limits).await;
        let began = Instant::now();
        told.recv().await.unwrap();
        let took = began.elapsed();
        let expected = Duration::from_secs(seconds);
        assert!((expected..expected + Duration::from_secs(1)).contains(&took), "{seconds}: {took:?}");
    }
    let (_running, _stream, mut told) = asked(limits(None, None)).await;
    assert!(timeout(Duration::from_secs(86_400), told.recv()).await.is_err(), "all limits are off");
    let (_running, _stream, mut told) =
        asked(Limits { stalled_time: Some(Duration::MAX), slowest: None, ..Limits::new() }).await;
    assert!(timeout(Duration::from_secs(86_400), told.recv()).await.is_err(), "so they are here");
}

/// A peer that paused for longer than 30 seconds was given up.
#[tokio::test]
async fn a_response_that_is_taken_in_large_steps_was_cut_off() {
    let (_running, mut stream, mut told) = asked(Limits::new()).await;
    let mut step = vec![0; 8 << 20];
    for _ in 0..20 {
        // The clock jumps while nobody reads, and goes on as it does while bytes are on their way.
        tokio::time::pause();
        sleep(Duration::from_secs(60)).await;
        tokio::time::resume();
        stream.read_exact(&mut step).await.unwrap();
    }
    assert!(told.try_recv().is_err());
}

/// Whatever a peer took every 29 seconds was enough.
#[tokio::test(start_paused = true)]
async fn a_response_that_was_taken_however_slowly_kept_its_connection() {
    let limits = Limits { stalled_time: None, slowest: Some(1 << 20), ..Limits::new() };
    let (_running, mut stream, mut told) = asked(limits).await;
    let began = Instant::now();
    let mut step = vec![0; 4 << 20];
    while told.try_recv().is_err() {
        sleep(Duration::from_secs(29)).await;
        let _ = stream.read(&mut step).await;
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(600)..Duration::from_secs(640)).contains(&took), "{took:?}");
}
