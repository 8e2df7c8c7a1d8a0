//! Connections that come and go, in every way: sockets, tasks and memory are back at the start. Long form: 100,000 of them.

#![cfg(feature = "deflate")]
#![allow(unsafe_code)] // the allocator that counts

mod counting;
mod sockets;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use counting::LIVE;
use sockets::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use wirelet::server::{Page, Router, Server, ServerHandle, ws};
use wirelet::{CloseCode, Compression, Config, Error, Role, WebSocket};

const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// "Hello", masked with zeros.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0Hello";

/// How many connections live at a time.
const AT_A_TIME: usize = 32;

/// From an address of its own, so that ports that wait for late segments don't run out.
async fn connect(address: SocketAddr, n: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let source = Ipv4Addr::new(127, 0, 1 + (n / 250 % 250) as u8, 1 + (n % 250) as u8);
    socket.bind((source, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

async fn opened(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = connect(address, n).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    // Every other one is compressed.
    let compression: &[u8] =
        if n.is_multiple_of(2) { b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" } else { b"\r\n" };
    stream.write_all(compression).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// One connection from its beginning to its end.
async fn come_and_go(address: SocketAddr, n: usize) {
    match Random::new(n as u64).below(11) {
        // Nothing, and a piece of a request, and a reset.
        0 => drop(connect(address, n).await),
        1 => connect(address, n).await.write_all(&REQUEST.as_bytes()[..50]).await.unwrap(),
        2 => connect(address, n).await.set_zero_linger().unwrap(),
        // A page.
        3 => {
            let mut stream = connect(address, n).await;
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
        // An end without a close frame; in a message; with unread input, which resets.
        4 => drop(opened(address, n).await),
        5 => opened(address, n).await.write_all(&HELLO[..8]).await.unwrap(),
        6 => {
            let mut stream = opened(address, n).await;
            stream.write_all(HELLO).await.unwrap();
            stream.readable().await.unwrap();
        }
        // A reset.
        7 => {
            let mut stream = opened(address, n).await;
            stream.write_all(HELLO).await.unwrap();
            stream.set_zero_linger().unwrap();
        }
        // What no peer may send.
        8 => {
            let mut stream = opened(address, n).await;
            stream.write_all(b"\xff\xff").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
        // Our own client: closes, is dropped.
        9 => {
            let mut ws = client(opened(address, n | 1).await);
            ws.send("Hello").await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some("Hello".into()));
            ws.close(CloseCode::NORMAL, "").await.unwrap();
        }
        _ => client(opened(address, n | 1).await).send("Hello").await.unwrap(),
    }
}

fn client(stream: TcpStream) -> WebSocket {
    WebSocket::from_upgraded(stream, Role::Client, Arc::new(Config::new()), &[])
}

/// So many connections, some at a time.
async fn many(address: SocketAddr, numbers: std::ops::Range<usize>) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.store(numbers.start, Ordering::Relaxed);
    let tasks: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            tokio::spawn(async move {
                loop {
                    let n = NEXT.fetch_add(1, Ordering::Relaxed);
                    if n >= numbers.end {
                        return;
                    }
                    timeout(HANG, come_and_go(address, n)).await.unwrap_or_else(|_| panic!("{n} hangs"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What there is when nobody is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    sockets: usize,
    tasks: usize,
}

fn rest() -> Rest {
    let sockets = std::fs::read_dir("/proc/self/fd").unwrap().count();
    Rest { sockets, tasks: Handle::current().metrics().num_alive_tasks() }
}

/// Waits until all connections have ended: `expected`.
async fn settle(handle: &ServerHandle, expected: Option<Rest>) {
    let waited = timeout(HANG, async {
        let mut last = rest();
        loop {
            sleep(Duration::from_millis(50)).await;
            let now = rest();
            let settled = expected.map_or(now == last, |expected| now == expected);
            if handle.count() == 0 && settled {
                return;
            }
            last = now;
        }
    });
    if waited.await.is_err() {
        panic!("{} connections, {:?}; before there were {expected:?}", handle.count(), rest());
    }
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let count = if is_long() { 100_000 } else { 2000 };
    let server = Server::bind("127.0.0.1:0").await.unwrap().compression(Compression::shared());
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let router = Router::new().page("/", Page::html("hello")).ws("/ws", ws(|ws, _| echo(ws)));
    tokio::spawn(server.serve(router));
    // Pools and tables get what they keep.
    many(address, 0..1000).await;
    settle(&handle, None).await;
    let (start, live) = (rest(), LIVE.load(Ordering::Relaxed));
    many(address, 1000..1000 + count).await;
    settle(&handle, Some(start)).await;
    let grown = LIVE.load(Ordering::Relaxed) - live;
    println!("{count} connections: {start:?} before and after, {grown} bytes more");
    // A leak of one byte for each connection would be seen by the long form; pools may hold a few blocks more or fewer.
    assert!(grown <= 512 * 1024, "{grown} bytes more than before");
    assert!(!is_long() || grown <= 6 * count as isize, "{grown} bytes more than before");
}
