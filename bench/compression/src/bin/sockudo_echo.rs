//! sockudo-ws: `sockudo_echo PORT plain|browser|reset|takeover send|feed`, an echo on one thread.
//!
//! `send` writes each answer by itself, as the crate's examples do; `feed` takes all messages that are ready before it
//! flushes by hand.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{CompressedWebSocketStream, Compression, Config, Message, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, setting, way] = &arguments[..] else {
        return Err("usage: sockudo_echo PORT plain|browser|reset|takeover send|feed".into());
    };
    // The crate's own presets: both level 6, a window of 32 KiB.
    let compression = match setting.as_str() {
        "plain" => Compression::Disabled,
        "browser" | "reset" => Compression::Shared,
        "takeover" => Compression::Dedicated,
        _ => return Err("plain, browser, reset or takeover is expected".into()),
    };
    let feed = way == "feed";
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, compression, feed));
    }
}

async fn serve(mut stream: TcpStream, compression: Compression, feed: bool) -> Result<(), Failure> {
    let negotiated = open(&mut stream, compression.to_deflate_config()).await?;
    let config = Config::builder().compression(compression).build();
    match negotiated {
        Some(deflate) => echo(CompressedWebSocketStream::server(stream, config, deflate), feed).await,
        None => echo(WebSocketStream::server(stream, config), feed).await,
    }
}

/// The opening handshake; the load waits for the response before it sends frames.
async fn open(
    stream: &mut TcpStream,
    policy: Option<DeflateConfig>,
) -> Result<Option<DeflateConfig>, Failure> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Err("no request".into());
        }
        let Some((head, _)) = parse_request(&request)? else { continue };
        let negotiation = policy
            .zip(head.extensions)
            .and_then(|(policy, offers)| negotiate_server_deflate(offers, &policy));
        let extension = negotiation.as_ref().map(|negotiation| negotiation.to_response_header());
        let response = build_response(&generate_accept_key(head.key), None, extension.as_deref());
        stream.write_all(&response).await?;
        return Ok(negotiation.map(|negotiation| negotiation.config));
    }
}

async fn echo<S>(mut socket: S, feed: bool) -> Result<(), Failure>
where
    S: Stream<Item = sockudo_ws::Result<Message>> + Sink<Message, Error = sockudo_ws::Error> + Unpin,
{
    while let Some(message) = socket.next().await {
        let message = message?;
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            continue;
        }
        if !feed {
            socket.send(message).await?;
            continue;
        }
        socket.feed(message).await?;
        while let Some(message) = ready(&mut socket.next()) {
            match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.feed(message).await?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
        socket.flush().await?;
    }
    Ok(())
}

/// What a future has ready; it is polled again by the task afterwards, which then waits.
fn ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
