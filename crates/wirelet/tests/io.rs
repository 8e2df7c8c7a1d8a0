//! A WebSocket as a byte stream.

mod peer;
mod running;

use std::io::ErrorKind;

use peer::*;
use running::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wirelet::io::ByteStream;
use wirelet::server::{Router, ws};
use wirelet::{Client, CloseCode, Config, WebSocket};

/// The two ends of a connection over a pipe.
fn ends() -> (ByteStream, WebSocket) {
    let (server, client) = pair(Config::new(), 1 << 16);
    (ByteStream::new(client), server)
}

#[tokio::test]
async fn a_piece_is_a_message_and_messages_are_one_stream() {
    let (mut stream, mut peer) = ends();
    let lens = tokio::spawn(async move {
        let mut lens = Vec::new();
        while lens.iter().sum::<usize>() < 200_005 {
            lens.push(peer.recv().await.unwrap().unwrap().len());
        }
        for message in [&b"one"[..], b"", b" line\nand ", b"more"] {
            peer.send(message).await.unwrap();
        }
        peer.close(CloseCode::NORMAL, "").await.unwrap();
        lens
    });
    assert_eq!(stream.write(b"").await.unwrap(), 0);
    stream.write_all(b"hello").await.unwrap();
    stream.write_all(&[7; 200_000]).await.unwrap();
    stream.flush().await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    assert_eq!(line, "one line\n");
    let mut first = [0; 2];
    stream.read_exact(&mut first).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!((&first, rest.as_str()), (b"an", "d more"));
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the end stays the end");
    assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    stream.shutdown().await.unwrap();
    assert_eq!(lens.await.unwrap(), [5, 65_536, 65_536, 65_536, 3_392]);
}

#[tokio::test]
async fn what_is_no_byte_stream_or_no_clean_end_is_an_error() {
    let (mut stream, mut peer) = ends();
    let telling = tokio::spawn(async move {
        peer.send("text").await.unwrap();
        let _ = peer.recv().await;
        peer.close_info().received
    });
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::InvalidData);
    stream.shutdown().await.unwrap();
    assert_eq!(telling.await.unwrap(), Some(CloseCode::UNSUPPORTED_DATA));
    for (code, end) in [
        (CloseCode::NORMAL, None),
        (CloseCode::GOING_AWAY, None),
        (CloseCode::NO_STATUS, None),
        (CloseCode::INTERNAL_ERROR, Some(ErrorKind::UnexpectedEof)),
    ] {
        let (mut stream, mut peer) = ends();
        let closing = tokio::spawn(async move {
            peer.send(&b"last"[..]).await.unwrap();
            peer.close(code, "").await
        });
        let mut text = String::new();
        let read = stream.read_to_string(&mut text).await;
        assert_eq!(read.err().map(|error| error.kind()), end, "{code:?}");
        let _ = stream.shutdown().await;
        closing.await.unwrap().unwrap();
    }
    let (mut stream, peer) = ends();
    drop(peer);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

/// Sockets both ways: a protocol over TCP, through a server's handler, and back over TCP.
#[tokio::test]
async fn a_protocol_that_knows_no_messages_passes_through_a_handler() {
    let upper = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upper.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = upper.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut data = vec![0; 1000];
        loop {
            let n = socket.read(&mut data).await.unwrap();
            data[..n].make_ascii_uppercase();
            socket.write_all(&data[..n]).await.unwrap();
            if n == 0 {
                break;
            }
        }
    });
    let tunnel = ws(move |ws, _| async move {
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut ByteStream::new(ws), &mut socket).await
    });
    let running = serve(Router::new().ws("/tunnel", tunnel)).await;
    let client = Client::builder(format!("ws://{}/tunnel", running.address));
    let mut stream = ByteStream::from(client.connect_once().await.unwrap().0);
    let sent: Vec<u8> = (0..300_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    let mut echoed = vec![0; sent.len()];
    for (piece, echoed) in sent.chunks(7_001).zip(echoed.chunks_mut(7_001)) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        stream.read_exact(echoed).await.unwrap();
    }
    assert!(echoed == sent.to_ascii_uppercase());
    stream.shutdown().await.unwrap();
    let (socket, unread) = stream.into_parts();
    assert_eq!((socket.close_info().received, unread.len()), (Some(CloseCode::NORMAL), 0));
}
