//! A client that connects again whenever its connection is lost; what is sent meanwhile waits.
//!
//! `cargo run -p example-reconnecting-client`, with a server on ws://127.0.0.1:8080/ws or without one.

use wirelet::client::{Client, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::builder("ws://127.0.0.1:8080/ws").connect()?; // reconnects; `retry_if` says when not
    client.send("hello").await?; // kept while there is no connection
    while let Some(event) = client.next().await {
        match event {
            Event::Message(message) => println!("{message:?}"),
            other => println!("[{other:?}]"),
        }
    }
    Ok(())
}
