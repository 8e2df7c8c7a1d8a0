//! A client of another library: `peer_client PORT NAME sends|receives SIZE`, on tokio's current-thread runtime. Sends a binary message
//! of SIZE bytes again and again, or receives whatever comes, until the connection ends.

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [port, name, direction, size] = words[..] else {
        return Err("usage: peer_client PORT NAME sends|receives SIZE".into());
    };
    let payload = vec![7; size.parse()?];
    let sends = direction == "sends";
    let url = format!("ws://127.0.0.1:{port}/ws");
    match name {
        "tungstenite" => tungstenite(&url, sends.then_some(payload)).await,
        "tokio-websockets" => tokio_websockets(&url, sends.then_some(payload)).await,
        "fastwebsockets" => fastwebsockets(port.parse()?, sends.then_some(payload)).await,
        _ => Err(format!("{name}: tungstenite, tokio-websockets or fastwebsockets is expected").into()),
    }
}

async fn tungstenite(url: &str, payload: Option<Vec<u8>>) -> Result<(), Failure> {
    use tokio_tungstenite::tungstenite::Message;
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    match payload.map(Message::from) {
        Some(message) => loop {
            socket.send(message.clone()).await?;
        },
        None => while socket.next().await.transpose()?.is_some() {},
    }
    Ok(())
}

async fn tokio_websockets(url: &str, payload: Option<Vec<u8>>) -> Result<(), Failure> {
    use tokio_websockets::{ClientBuilder, Message};
    let (mut socket, _) = ClientBuilder::new().uri(url)?.connect().await?;
    match payload.map(Message::binary) {
        Some(message) => loop {
            socket.send(message.clone()).await?;
        },
        None => while socket.next().await.transpose()?.is_some() {},
    }
    Ok(())
}

async fn fastwebsockets(port: u16, payload: Option<Vec<u8>>) -> Result<(), Failure> {
    use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    handshake(&mut stream, port).await?;
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Client));
    match payload {
        Some(payload) => loop {
            // The frame is masked where its payload is.
            socket.write_frame(Frame::binary(Payload::Borrowed(&payload))).await?;
        },
        None => while socket.read_frame().await?.opcode != OpCode::Close {},
    }
    Ok(())
}

/// The opening handshake, which this library does over hyper only; with the key of the example in RFC 6455 1.3.
async fn handshake(stream: &mut TcpStream, port: u16) -> Result<(), Failure> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101") { Ok(()) } else { Err("the handshake was refused".into()) }
}
