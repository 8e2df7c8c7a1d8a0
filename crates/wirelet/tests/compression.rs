//! permessage-deflate between our own endpoints and with hand-made peers.

#![cfg(feature = "deflate")]

use wirelet::client::Client;
use wirelet::proto::CloseCode;
use wirelet::server::{Router, Server, ServerHandle, ws};
use wirelet::{Compression, Error, Message, WebSocket};

/// Something of about `len` bytes as JSON is, another one for each `n`.
fn json(n: usize, len: usize) -> String {
    let mut text = format!("{{\"id\":{n},\"readings\":[");
    let mut at = n;
    while text.len() < len {
        at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % 1_000_003;
        text.push_str(&format!("{{\"sensor\":\"s{}\",\"value\":{}.{}}},", at % 7, at % 97, at % 10));
    }
    text + "]}"
}

async fn echo(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

const MODES: [Compression; 5] = [
    Compression::shared(),
    Compression::windowed(1024),
    Compression::windowed(4096).window_bits(9),
    Compression::dedicated(15),
    Compression::dedicated(9).memory_level(1).level(1),
];

/// A server that echoes, with `compression`; ends with the handle.
async fn serve(compression: Compression, change: impl FnOnce(Server) -> Server) -> (String, ServerHandle) {
    let server = change(Server::bind("127.0.0.1:0").await.unwrap().compression(compression));
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    tokio::spawn(server.serve(Router::new().ws("/", ws(|socket, _| echo(socket)))));
    (format!("ws://{address}/"), handle)
}

/// Messages of many lengths, and compressible or not.
fn messages() -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for (n, len) in
        [0, 1, 20, 127, 128, 129, 1000, 1000, 1000, 5000, 20_000, 70_000, 300_000].into_iter().enumerate()
    {
        all.push(json(n, len).into());
        all.push(vec![n as u8; len].into());
        let mut state = n as u32 + 1;
        let noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        all.push((0..len).map(noise).collect::<Vec<u8>>().into());
    }
    all
}

#[tokio::test]
async fn clients_and_servers_of_every_kind_understand_each_other() {
    for server_side in MODES.into_iter().chain([Compression::off()]) {
        let (url, handle) = serve(server_side, |server| server).await;
        for client_side in MODES.into_iter().chain([Compression::off()]) {
            let builder = Client::builder(&url).compression(client_side);
            let (mut socket, response) = builder.connect_once().await.unwrap();
            let both = client_side != Compression::off() && server_side != Compression::off();
            assert_eq!(socket.compression().is_some(), both);
            assert_eq!(response.headers.contains_key("sec-websocket-extensions"), both);
            for message in messages() {
                socket.send(message.clone()).await.unwrap();
                let back = socket.recv().await.unwrap();
                assert!(back == Some(message), "{client_side:?} with {server_side:?}");
            }
            if let Some(info) = socket.compression() {
                let plain: usize = messages().iter().map(Message::len).sum();
                assert_eq!((info.sent.plain, info.received.plain), (plain as u64, plain as u64));
                for volume in [info.sent, info.received] {
                    assert!(volume.ratio().unwrap() > 2.0, "{client_side:?} with {server_side:?}: {info:?}");
                }
            }
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        }
        handle.stop();
    }
}
