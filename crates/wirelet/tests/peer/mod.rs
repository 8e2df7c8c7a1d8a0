//! What the tests share: streams that count and hesitate, and a peer that speaks raw frames.

#![allow(dead_code, unreachable_pub)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use wirelet::{Config, Role, WebSocket};

/// A frame as a client sends it, masked with a fixed key.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x12, 0x34, 0x56, 0x78]))
}

/// A frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, None)
}

fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(mask | len as u8),
        len @ ..65536 => {
            frame.push(mask | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    frame
}

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// Reads one frame of a server: its first byte and its payload.
pub async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let len = match stream.read_u8().await? {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        len => u64::from(len),
    };
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload).await?;
    Ok((first, payload))
}

/// Reads to the end of input and takes it for an end if the connection is reset.
pub async fn read_all<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all
}

pub async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the other end reads");
}

/// A close frame's payload.
pub fn close_payload(code: u16) -> [u8; 2] {
    code.to_be_bytes()
}

/// A server's connection over a pipe of `capacity` bytes, and the client's end of the pipe.
pub fn server_over_pipe(config: Config, capacity: usize) -> (WebSocket, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    (WebSocket::from_upgraded(near, Role::Server, Arc::new(config), &[]), far)
}

/// A client's connection and a server's over a pipe.
pub fn pair(config: Config, capacity: usize) -> (WebSocket, WebSocket) {
    let config = Arc::new(config);
    let (near, far) = tokio::io::duplex(capacity);
    let server = WebSocket::from_upgraded(near, Role::Server, Arc::clone(&config), &[]);
    (server, WebSocket::from_upgraded(far, Role::Client, config, &[]))
}

/// How often a stream was read and written.
#[derive(Debug, Default)]
pub struct Counts {
    /// Reads that answered something.
    pub reads: AtomicUsize,
    /// Reads that found nothing.
    pub empty_reads: AtomicUsize,
    /// Writes that took something, vectored or not.
    pub writes: AtomicUsize,
}

impl Counts {
    /// Reads and writes so far, which start again from zero.
    pub fn take(&self) -> (usize, usize) {
        (self.reads.swap(0, Ordering::Relaxed), self.writes.swap(0, Ordering::Relaxed))
    }
}

/// Counts.
#[derive(Debug)]
pub struct Counting<S> {
    pub stream: S,
    pub counts: Arc<Counts>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let counter = if poll.is_ready() { &self.counts.reads } else { &self.counts.empty_reads };
        counter.fetch_add(1, Ordering::Relaxed);
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, data);
        self.counts.writes.fetch_add(usize::from(poll.is_ready()), Ordering::Relaxed);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.counts.writes.fetch_add(usize::from(poll.is_ready()), Ordering::Relaxed);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Answers `Pending` before each operation, and moves at most `most` bytes in one.
#[derive(Debug)]
pub struct Hesitant<S> {
    pub stream: S,
    pub most: usize,
    read_asked: bool,
    write_asked: bool,
}

impl<S> Hesitant<S> {
    pub const fn new(stream: S, most: usize) -> Self {
        Self { stream, most, read_asked: false, write_asked: false }
    }
}

fn hesitate(asked: &mut bool, cx: &Context<'_>) -> bool {
    *asked = !*asked;
    if *asked {
        cx.waker().wake_by_ref();
    }
    *asked
}

impl<S: AsyncRead + Unpin> AsyncRead for Hesitant<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if hesitate(&mut self.read_asked, cx) {
            return Poll::Pending;
        }
        let mut some = buffer.take(self.most);
        let poll = Pin::new(&mut self.stream).poll_read(cx, &mut some);
        let filled = some.filled().to_vec();
        buffer.put_slice(&filled);
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hesitant<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if hesitate(&mut self.write_asked, cx) {
            return Poll::Pending;
        }
        let most = self.most.min(data.len());
        Pin::new(&mut self.stream).poll_write(cx, &data[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request to open a WebSocket, with more header lines.
pub fn upgrade_request(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The head of a response, with its empty line.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The status of a response and its head in lower case; its body is read by its length.
pub async fn read_response<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(u16, String, Vec<u8>)> {
    let head = read_head(stream).await?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let len = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((status, head, body))
}
