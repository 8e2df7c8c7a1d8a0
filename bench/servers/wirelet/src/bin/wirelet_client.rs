//! wirelet's clients: `wirelet_client PORT once|reconnecting sends|receives SIZE`, on tokio's current-thread runtime. Sends a binary
//! message of SIZE bytes again and again, or receives whatever comes, until the connection ends.

use std::error::Error;

use wirelet::client::Client;
use wirelet::{Message, WebSocket};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [port, client, direction, size] = words[..] else {
        return Err("usage: wirelet_client PORT once|reconnecting sends|receives SIZE".into());
    };
    let message = Message::binary(vec![7; size.parse()?]);
    let builder = Client::builder(format!("ws://127.0.0.1:{port}/ws"));
    match (client, direction) {
        ("once", "sends") => send(builder.connect_once().await?.0, message).await,
        ("once", "receives") => receive(builder.connect_once().await?.0).await,
        ("reconnecting", "sends") => queue(builder.connect()?, message).await,
        ("reconnecting", "receives") => take(builder.connect()?).await,
        _ => Err(format!("{client} {direction}").into()),
    }
}

async fn send(mut socket: WebSocket, message: Message) -> Result<(), Failure> {
    loop {
        socket.send(message.clone()).await?;
    }
}

async fn receive(mut socket: WebSocket) -> Result<(), Failure> {
    while socket.recv().await?.is_some() {}
    Ok(())
}

async fn queue(client: Client, message: Message) -> Result<(), Failure> {
    loop {
        client.send(message.clone()).await?;
    }
}

async fn take(mut client: Client) -> Result<(), Failure> {
    while client.next().await.is_some() {}
    Ok(())
}
