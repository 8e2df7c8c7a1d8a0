//! A server for tests, byte by byte where a test wants it.
#![allow(dead_code)] // each test program uses a part of it

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wirelet::proto::handshake::{RequestHead, accept_key};
use wirelet::{Config, Keepalive, Limits, Role, WebSocket};

/// Nothing here takes that long; what does is a hang.
pub(crate) const HANG: Duration = Duration::from_secs(120);

pub(crate) struct Peer {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// A connection that was accepted, with the head of its request.
pub(crate) struct Request {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// An accepted connection before anything is read from it.
    pub(crate) async fn connection(&self) -> TcpStream {
        unhung(self.listener.accept()).await.unwrap().0
    }

    pub(crate) async fn request(&self) -> Request {
        Request::read(self.connection().await).await
    }

    /// A connection with its opening handshake done.
    pub(crate) async fn websocket(&self) -> WebSocket {
        self.request().await.accept("").await
    }
}

impl Request {
    pub(crate) async fn read(mut stream: TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(unhung(stream.read_u8()).await.unwrap());
        }
        Self { stream, head: String::from_utf8(head).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = RequestHead::parse(self.head.as_bytes()).unwrap();
        head.header(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The head of the answer that opens the WebSocket, with more headers (`Name: value\r\n`).
    pub(crate) fn acceptance(&self, more: &str) -> String {
        let key = self.header("Sec-WebSocket-Key").unwrap();
        let accept = accept_key(key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{more}\r\n",
            std::str::from_utf8(&accept).unwrap()
        )
    }

    /// Answers with `text` as it is.
    pub(crate) async fn answer(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    pub(crate) async fn accept(mut self, more: &str) -> WebSocket {
        let acceptance = self.acceptance(more);
        self.answer(acceptance).await;
        let limits = Limits { message: 64 << 20, ..Limits::new() };
        let config = Config { limits, keepalive: Keepalive::off(), ..Config::new() };
        WebSocket::from_upgraded(self.stream, Role::Server, Arc::new(config), &[])
    }
}

/// Answers the opening handshake on any stream; the head of the request too.
pub(crate) async fn accept_on<S>(mut stream: S) -> std::io::Result<(WebSocket, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(unhung(stream.read_u8()).await?);
    }
    let parsed = RequestHead::parse(&head).unwrap();
    let accept = accept_key(parsed.header("Sec-WebSocket-Key").unwrap());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        std::str::from_utf8(&accept).unwrap()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    let websocket = WebSocket::from_upgraded(stream, Role::Server, Arc::new(Config::new()), &[]);
    Ok((websocket, String::from_utf8(head).unwrap()))
}

/// An address on which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    Peer::bind().await.address
}

/// Fails the test when `future` hangs. Tests pause tokio's clock: this one is a thread's.
pub(crate) async fn unhung<F: Future>(future: F) -> F::Output {
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let started = std::time::Instant::now();
    std::thread::spawn(move || {
        if ended.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
            waker.wake();
        }
    });
    let mut future = std::pin::pin!(future);
    let output = std::future::poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        assert!(poll.is_ready() || started.elapsed() < HANG, "it hangs");
        poll
    })
    .await;
    drop(done);
    output
}

/// Polls `future` at most `polls` times (each time that it is woken) and drops it then.
pub(crate) async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
