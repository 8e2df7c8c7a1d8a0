//! A peer that says something and resets the connection then, over real sockets: what it said is in the socket when the next
//! write fails.

mod client_peer;
mod peer;

use client_peer::{Peer, unhung};
use peer::{CLOSE, TEXT, client_frame, read_head, upgrade_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use wirelet::server::{Router, Server, ws};
use wirelet::{Client, CloseCode, Error, Message, WebSocket};

/// What the application saw: what it received, and how the connection was closed.
type Seen = (Vec<Result<Option<Message>, Error>>, Option<CloseCode>, Option<String>);

/// Sends until that fails, receives then.
async fn send_and_receive(mut ws: WebSocket) -> Seen {
    while ws.send(vec![b'x'; 100_000]).await.is_ok() {}
    let mut news = Vec::new();
    while !matches!(news.last(), Some(Ok(None))) {
        news.push(ws.recv().await);
    }
    (news, ws.close_info().received, ws.close_reason())
}

/// Says `last` and closes with unread input, which resets the connection. With `late` not before the other end has filled
/// the sockets.
async fn say_and_reset(mut stream: TcpStream, last: &[u8], late: bool) {
    stream.readable().await.unwrap();
    if late {
        // Nothing arrives any more when nobody reads: the same number of bytes can be looked at again and again.
        let mut seen = 0;
        let mut looked = vec![0; 8 << 20];
        loop {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            let now = stream.peek(&mut looked).await.unwrap();
            if now == seen {
                break;
            }
            seen = now;
        }
    }
    stream.write_all(last).await.unwrap();
    assert!(stream.peek(&mut [0]).await.unwrap() > 0);
    drop(stream);
}

/// What a client's application sees of `last`, and what a handler does.
async fn both_roles(first: u8, payload: &[u8], more: Option<(u8, &[u8])>, late: bool) -> [Seen; 2] {
    let peer = Peer::bind().await;
    let client = async {
        let (ws, _) = Client::builder(peer.url()).connect_once().await.unwrap();
        send_and_receive(ws).await
    };
    let server = async {
        let mut request = peer.request().await;
        let acceptance = request.acceptance("");
        request.answer(acceptance).await;
        let mut last = peer::server_frame(first, payload);
        last.extend(more.iter().flat_map(|(first, payload)| peer::server_frame(*first, payload)));
        say_and_reset(request.stream, &last, late).await;
    };
    let (by_client, ()) = unhung(async { tokio::join!(client, server) }).await;

    let (tell, mut told) = mpsc::unbounded_channel();
    let route = ws(move |ws: WebSocket, _| {
        let tell = tell.clone();
        async move { tell.send(send_and_receive(ws).await).unwrap() }
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let serving = tokio::spawn(server.serve(Router::new().ws("/ws", route)));
    let mut far = TcpStream::connect(address).await.unwrap();
    far.write_all(upgrade_request("/ws", "").as_bytes()).await.unwrap();
    read_head(&mut far).await.unwrap();
    far.read_exact(&mut [0; 10]).await.unwrap();
    let mut last = client_frame(first, payload);
    last.extend(more.iter().flat_map(|(first, payload)| client_frame(*first, payload)));
    say_and_reset(far, &last, late).await;
    let by_handler = unhung(told.recv()).await.unwrap();
    handle.stop();
    unhung(serving).await.unwrap().unwrap();
    [by_client, by_handler]
}

/// "last words" became an empty message, or were lost.
#[tokio::test]
async fn the_last_words_before_a_reset_became_an_empty_message() {
    for late in [false, true] {
        for (news, ..) in both_roles(TEXT, b"last words", None, late).await {
            let [Ok(Some(message)), Err(Error::Io(_) | Error::Abnormal), Ok(None)] = &news[..] else {
                panic!("{news:?}")
            };
            assert_eq!(message.as_text(), Some("last words"));
        }
    }
}

/// A text and a close frame with a reason were lost to EPIPE or ECONNRESET (RFC 6455 7.1.5).
#[tokio::test]
async fn the_close_frame_before_a_reset_was_lost() {
    let close = Some((CLOSE, &b"\x03\xf0rate limit"[..]));
    for late in [false, true] {
        for (news, code, reason) in both_roles(TEXT, b"slow down", close, late).await {
            let [Ok(Some(message)), Ok(None)] = &news[..] else { panic!("{news:?}") };
            assert_eq!(message.as_text(), Some("slow down"));
            assert_eq!((code, reason.as_deref()), (Some(CloseCode::POLICY_VIOLATION), Some("rate limit")));
        }
    }
}
