//! What a connection costs: no allocation for a message in steady state, no buffer while idle, little memory.
//!
//! One test, alone in its process: it counts every allocation there is.

#![allow(unsafe_code)]

#[allow(dead_code, reason = "not all of it is used here")]
mod counting;
mod peer;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use counting::{ALLOCATIONS, LIVE};
use peer::{BINARY, TEXT, client_frame, server_frame, upgrade_request};
use wirelet::server::{Context, Router, Server, ServerHandle, ws};
use wirelet::{Error, WebSocket};

/// Lets go of the context at once: it would be the handler's own memory.
#[allow(clippy::manual_async_fn, reason = "an async function would keep the context")]
fn echo(mut ws: WebSocket, _: Context) -> impl Future<Output = Result<(), Error>> + Send {
    async move {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok(())
    }
}

/// What the server's thread is asked for.
enum Ask {
    Pool(mpsc::Sender<wirelet::diagnostics::Usage>),
}

/// A server on a thread of its own with one current-thread runtime, so that there is one pool.
fn start() -> (SocketAddr, ServerHandle, tokio::sync::mpsc::UnboundedSender<Ask>) {
    let (started, wait) = mpsc::channel();
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let server = Server::bind("127.0.0.1:0").await.unwrap();
            started.send((server.local_addr().unwrap(), server.handle())).unwrap();
            let serving = tokio::spawn(server.serve(Router::new().ws("/ws", ws(echo))));
            while let Some(Ask::Pool(answer)) = asked.recv().await {
                answer.send(wirelet::diagnostics::pool()).unwrap();
            }
            serving.abort();
        });
    });
    let (address, handle) = wait.recv().unwrap();
    (address, handle, ask)
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(upgrade_request("/ws", "").as_bytes()).unwrap();
    let mut head = [0; 4096];
    let mut len = 0;
    while !head[..len].ends_with(b"\r\n\r\n") {
        len += stream.read(&mut head[len..]).unwrap();
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Sends `request`, expects `answer`; no allocation.
fn exchange(stream: &mut TcpStream, request: &[u8], answer: &[u8], buffer: &mut [u8]) {
    stream.write_all(request).unwrap();
    let buffer = &mut buffer[..answer.len()];
    stream.read_exact(buffer).unwrap();
    assert!(buffer == answer);
}

fn allocations_of(mut f: impl FnMut()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    f();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn pool(ask: &tokio::sync::mpsc::UnboundedSender<Ask>) -> wirelet::diagnostics::Usage {
    let (answer, wait) = mpsc::channel();
    assert!(ask.send(Ask::Pool(answer)).is_ok());
    wait.recv().unwrap()
}

#[test]
fn a_connection_costs_little_and_a_message_nothing() {
    const CONNECTIONS: usize = 1000;
    let (address, handle, ask) = start();
    let mut buffer = vec![0; 200_000];
    let small = (client_frame(TEXT, b"twenty bytes of text"), server_frame(TEXT, b"twenty bytes of text"));
    let batch = (small.0.repeat(16), small.1.repeat(16));
    let data: Vec<u8> = (0..65_536).map(|i| i as u8).collect();
    let large = (client_frame(BINARY, &data), server_frame(BINARY, &data));
    let mut first = open(address);
    for (name, (request, answer), most) in [
        ("small", &small, 0),
        ("16 small", &batch, 0),
        // A message that arrives in pieces may move to other blocks, whose number grows to what is needed.
        ("64 KiB", &large, 10),
    ] {
        for _ in 0..100 {
            exchange(&mut first, request, answer, &mut buffer);
        }
        let count = allocations_of(|| {
            for _ in 0..1000 {
                exchange(&mut first, request, answer, &mut buffer);
            }
        });
        println!("{name}: {count} allocations for 1,000 exchanges");
        assert!(count <= most, "{name}: {count} allocations for 1,000 exchanges");
    }
    let mut streams = Vec::with_capacity(CONNECTIONS);
    let before = LIVE.load(Ordering::Relaxed);
    for _ in 0..CONNECTIONS {
        streams.push(open(address));
    }
    let each = |live: isize| (live - before) / CONNECTIONS as isize;
    let idle = each(LIVE.load(Ordering::Relaxed));
    for stream in &mut streams {
        exchange(stream, &large.0, &large.1, &mut buffer);
    }
    let usage = pool(&ask);
    let after = each(LIVE.load(Ordering::Relaxed));
    println!("bytes for each connection: {idle} idle, {after} after 64 KiB; {usage:?}");
    assert_eq!(handle.count(), CONNECTIONS + 1);
    // Nothing is lent, and what is in reserve is bounded whatever the number of connections.
    assert_eq!(usage.lent, 0);
    assert!(usage.free + usage.pinned <= 80, "{usage:?}");
    // 1.5 KiB, and the handler's own state.
    assert!(idle <= 1536 + 256, "{idle} bytes for an idle connection");
    assert!(after <= idle + 16, "{after} bytes after 64 KiB");
}
