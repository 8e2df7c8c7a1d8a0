//! Decompressors that are lent by the process, and whom that may hold up. A program of its own: they are shared.

#![cfg(feature = "deflate")]

mod peer;
mod zlib;

use std::sync::Arc;
use std::time::Duration;

use peer::*;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use wirelet::proto::deflate::{Params, Window};
use wirelet::proto::{Delivery, Extensions, Upgraded};
use wirelet::{Chunk, Config, Keepalive, Role, WebSocket};
use zlib_rs::Deflate;

/// Shorter than any deadline, so that nothing ends by itself.
const SOON: Duration = Duration::from_secs(1);

/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;

/// A connection that delivers chunks and has negotiated compression without context takeover.
fn connection() -> (WebSocket, DuplexStream) {
    let (near, far) = tokio::io::duplex(10_000);
    let params = Params { server: Window::fresh(15), client: Window::fresh(15) };
    let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
    let config = Config { delivery: Delivery::Chunks, keepalive: Keepalive::off(), ..Config::new() };
    (WebSocket::with_upgraded(near, Role::Server, Arc::new(config), upgraded, &[]), far)
}

/// The decompressors are the process's: one test at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// Sixty-four peers that stopped inside a compressed message, and applications that did not go on, blocked all other
/// connections that deliver chunks: pings were not answered and plain messages were not delivered.
#[tokio::test(start_paused = true)]
async fn lent_decompressors_blocked_what_needs_none() {
    let _turn = TURN.lock().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        let (ws, mut far) = connection();
        let (tell, mut told) = mpsc::channel::<()>(1);
        let task = tokio::spawn(ws.drive(|mut ws| async move {
            let begun = ws.recv_chunk().await.unwrap().unwrap();
            assert!(begun.first && !begun.last);
            tell.send(()).await.unwrap();
            // It does not go on.
            std::future::pending::<()>().await;
        }));
        let half = zlib::deflated(&mut Deflate::new(6, false, 15), &[b'h'; 1000], false);
        write(&mut far, &client_frame(0x01 | COMPRESSED, &half)).await;
        timeout(SOON, told.recv()).await.expect("the message does not begin").unwrap();
        held.push((task, far));
    }
    let (ws, mut far) = connection();
    let (tell, mut told) = mpsc::channel::<Chunk>(10);
    let task = tokio::spawn(ws.drive(|mut ws| async move {
        while let Ok(Some(chunk)) = ws.recv_chunk().await {
            tell.send(chunk).await.unwrap();
        }
    }));
    write(&mut far, &client_frame(PING, b"alive?")).await;
    let pong = timeout(SOON, read_frame(&mut far)).await.expect("the ping is not answered").unwrap();
    assert_eq!(pong, (PONG, b"alive?".to_vec()));
    write(&mut far, &client_frame(TEXT, b"plain")).await;
    let chunk = timeout(SOON, told.recv()).await.expect("a plain message is held up").unwrap();
    assert_eq!((&chunk.data[..], chunk.first, chunk.last), (&b"plain"[..], true, true));
    // One that is compressed has to wait for a decompressor; control frames before it don't.
    write(&mut far, &client_frame(PING, b"still?")).await;
    write(&mut far, &client_frame(TEXT | COMPRESSED, &zlib::message(b"compressed"))).await;
    let pong = timeout(SOON, read_frame(&mut far)).await.expect("the ping is not answered").unwrap();
    assert_eq!(pong, (PONG, b"still?".to_vec()));
    for (task, _far) in held {
        task.abort();
    }
    let mut text = Vec::new();
    loop {
        let chunk = timeout(SOON, told.recv()).await.expect("the decompressors did not come back").unwrap();
        text.extend(chunk.data);
        if chunk.last {
            break;
        }
    }
    assert_eq!(text, b"compressed");
    drop(far);
    timeout(SOON, task).await.expect("the task hangs").unwrap();
}

/// Receives a chunk, and the rest of its message when it is told to; answers how long the message was.
async fn hold(
    mut ws: WebSocket,
    begun: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
    done: oneshot::Sender<usize>,
) {
    let mut chunk = ws.recv_chunk().await.unwrap().unwrap();
    assert!(chunk.first && !chunk.last);
    begun.send(()).unwrap();
    go_on.await.unwrap();
    while !chunk.last {
        chunk = ws.recv_chunk().await.unwrap().unwrap();
    }
    done.send(chunk.offset as usize + chunk.data.len()).unwrap();
}

/// Sixty-four applications that had a chunk of a compressed message and did not come back for the next one kept the right to
/// decompress, for as long as they liked: nobody else got a compressed message. Those they held up go on behind the others.
#[tokio::test(start_paused = true)]
async fn applications_that_hold_a_chunk_starved_all_others() {
    const HOLDERS: usize = 64;
    const LEN: usize = 100_000;
    let _turn = TURN.lock().await;
    for driven in [true, false] {
        let mut held = Vec::new();
        for _ in 0..HOLDERS {
            let (ws, mut far) = connection();
            let ((begin, begun), (go_on, going), (tell, done)) =
                (oneshot::channel(), oneshot::channel(), oneshot::channel());
            let work = |ws| hold(ws, begin, going, tell);
            let task = match driven {
                true => tokio::spawn(ws.drive(work)),
                false => tokio::spawn(work(ws)),
            };
            // More than one chunk: the next one waits for the application.
            let message = zlib::message(&[b'h'; LEN]);
            write(&mut far, &client_frame(TEXT | COMPRESSED, &message)).await;
            timeout(SOON, begun).await.expect("the message does not begin").unwrap();
            held.push((task, far, go_on, done));
        }
        let (ws, mut far) = connection();
        let (tell, done) = oneshot::channel();
        let task = tokio::spawn(ws.drive(|mut ws| async move {
            let chunk = ws.recv_chunk().await.unwrap().unwrap();
            let _ = tell.send(chunk);
        }));
        write(&mut far, &client_frame(TEXT | COMPRESSED, &zlib::message(b"another"))).await;
        let chunk = timeout(SOON, done).await.expect("it is starved by applications").unwrap();
        assert_eq!((&chunk.data[..], chunk.last), (&b"another"[..], true));
        task.abort();
        for (task, far, go_on, done) in held {
            go_on.send(()).unwrap();
            let len = timeout(SOON, done).await.expect("the message does not go on").unwrap();
            assert_eq!(len, LEN);
            drop(far);
            timeout(SOON, task).await.expect("the task hangs").unwrap();
        }
    }
}
