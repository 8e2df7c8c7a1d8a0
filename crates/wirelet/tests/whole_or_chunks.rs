//! Whole messages and chunks on one connection: the choice is made for each message.

mod peer;
mod running;

use std::pin::pin;

use futures_util::FutureExt;
use peer::*;
use running::*;
use wirelet::proto::{LimitError, MessageKind};
use wirelet::server::{Router, ws};
use wirelet::{Client, CloseCode, Config, Delivery, Error, Limits, Message, WebSocket};

/// A connection that delivers chunks, and its peer. `piece`: bytes in the pipe at a time.
fn ends(piece: usize) -> (WebSocket, WebSocket) {
    pair(Config { delivery: Delivery::Chunks, ..Config::new() }, piece)
}

/// One upload that did not fit into memory made chunks of every chat message of its connection.
#[tokio::test]
async fn an_upload_made_chunks_of_every_other_message() {
    const UPLOAD: usize = 24 << 20;
    // Chat messages are told back, uploads are counted.
    let route = ws(|mut ws, _| async move {
        while let Some(first) = ws.recv_chunk().await? {
            if first.kind == MessageKind::Text {
                let Some(message) = ws.recv_rest(first, 100_000).await? else { break };
                ws.send(message).await?;
                continue;
            }
            let (mut len, mut last) = (first.data.len(), first.last);
            while !last {
                let Some(chunk) = ws.recv_chunk().await? else { return Ok(()) };
                assert_eq!(chunk.offset, len as u64);
                (len, last) = (len + chunk.data.len(), chunk.last);
            }
            ws.send(format!("{len} bytes")).await?;
        }
        Ok::<_, Error>(())
    });
    let limits = Limits { message: 1 << 30, frame: 1 << 30, ..Limits::default() };
    let running = serve(Router::new().ws("/ws", route.delivery(Delivery::Chunks).limits(limits))).await;
    let client = Client::builder(format!("ws://{}/ws", running.address));
    let (mut ws, _) = client.connect_once().await.unwrap();
    let long = "é".repeat(49_000);
    for text in ["", "hello", &long] {
        ws.send(text).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some(text));
    }
    let mut upload = ws.binary_fragments();
    for _ in 0..UPLOAD / (1 << 20) {
        upload.write(&[7; 1 << 20]).await.unwrap();
    }
    upload.finish(b"end").await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("25165827 bytes"));
    ws.send(vec![1; 3]).await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("3 bytes"));
    let mut fragments = ws.text_fragments();
    fragments.write("one ").await.unwrap();
    fragments.finish("text").await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("one text"));
    ws.send("x".repeat(100_001)).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    assert_eq!(ws.close_info().received, Some(CloseCode::MESSAGE_TOO_BIG));
}

#[tokio::test]
async fn whole_messages_are_gathered_whatever_their_pieces() {
    for piece in [1, 2, 7, 1000, 1 << 20] {
        let (mut server, mut client) = ends(piece);
        let texts = ["", "é", "héllo", &"é".repeat(500)];
        let sending = async {
            for text in texts {
                client.send(text).await.unwrap();
                let mut fragments = client.text_fragments();
                for character in text.chars() {
                    fragments.write(&character.to_string()).await.unwrap();
                }
                fragments.finish("").await.unwrap();
                client.send(text.as_bytes()).await.unwrap();
            }
        };
        let receiving = async {
            for text in texts {
                let binary = Message::from(text.as_bytes());
                for message in [Message::from(text), Message::from(text), binary] {
                    assert_eq!(server.recv_whole(1000).await.unwrap().unwrap(), message, "{piece}");
                }
            }
        };
        tokio::join!(sending, receiving);
    }
}

/// What was gathered when the future is dropped is there for the next call, whichever that is.
#[tokio::test]
async fn what_was_gathered_is_not_lost() {
    for by_chunks in [false, true] {
        let (mut server, mut client) = ends(1 << 16);
        let mut fragments = client.text_fragments();
        fragments.write("one ").await.unwrap();
        let first = server.recv_chunk().await.unwrap().unwrap();
        assert!(pin!(server.recv_rest(first, 100)).now_or_never().is_none());
        fragments.write("two ").await.unwrap();
        assert!(pin!(server.recv_whole(100)).now_or_never().is_none());
        fragments.finish("three").await.unwrap();
        if !by_chunks {
            let whole = server.recv_whole(100).await.unwrap().unwrap();
            assert_eq!(whole.as_text(), Some("one two three"));
            continue;
        }
        let first = server.recv_chunk().await.unwrap().unwrap();
        assert_eq!(
            (&first.data[..], first.offset, first.first, first.last),
            (&b"one two "[..], 0, true, false)
        );
        assert!(matches!(server.recv_whole(100).await, Err(Error::Misuse(_))));
        let last = server.recv_chunk().await.unwrap().unwrap();
        assert_eq!((&last.data[..], last.offset, last.first, last.last), (&b"three"[..], 8, false, true));
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_the_first_chunk_is_an_error() {
    for (pieces, fits) in
        [(&["12345"][..], true), (&["123456"], false), (&["123", "45"], true), (&["123", "456"], false)]
    {
        let (mut server, mut client) = ends(1 << 16);
        let (last, before) = pieces.split_last().unwrap();
        let mut fragments = client.text_fragments();
        for piece in before {
            fragments.write(piece).await.unwrap();
        }
        fragments.finish(last).await.unwrap();
        let received = server.recv_whole(5).await;
        if fits {
            assert_eq!(received.unwrap().unwrap().as_text(), Some(&*pieces.concat()));
            continue;
        }
        assert!(matches!(received, Err(Error::Limit(LimitError::Message))), "{received:?}");
        let ending = async { while client.recv_chunk().await.unwrap().is_some() {} };
        tokio::join!(ending, async { while server.recv_chunk().await.unwrap().is_some() {} });
        assert_eq!(client.close_info().received, Some(CloseCode::MESSAGE_TOO_BIG));
    }
    let (mut server, mut client) = ends(1 << 16);
    client.send("hé").await.unwrap();
    let mut first = server.recv_chunk().await.unwrap().unwrap();
    let mut another = first.clone();
    another.first = false;
    assert!(matches!(server.recv_rest(another, 10).await, Err(Error::Misuse(_))));
    let mut unfinished = first.clone();
    unfinished.last = false;
    assert!(matches!(server.recv_rest(unfinished, 10).await, Err(Error::Misuse(_))));
    // A text whose chunk was changed does not become one that is no UTF-8.
    first.data = first.data.slice(..2);
    assert!(matches!(server.recv_rest(first, 10).await, Err(Error::Misuse(_))));
    client.send("still").await.unwrap();
    assert_eq!(server.recv_whole(10).await.unwrap().unwrap().as_text(), Some("still"));
}
