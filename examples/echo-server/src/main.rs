//! The smallest server: it sends every message back.
//!
//! `cargo run -p example-echo-server`, then open a WebSocket to ws://127.0.0.1:8080/ws.

use wirelet::server::{Page, Router, Server, ws};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = ws(|mut socket, _context| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?; // no copy; leaves with all that this batch sends
        }
        Ok::<_, wirelet::Error>(())
    });
    let router = Router::new().page("/", Page::html("<h1>hello</h1>")).ws("/ws", echo);
    Server::bind("127.0.0.1:8080").await?.serve(router).await?;
    Ok(())
}
