//! A server whose handlers never wait: each message is lent to a callback, on a thread for each core. It tells each client how
//! many bytes it has sent so far.
//!
//! `cargo run -p example-callback-server`, then open a WebSocket to ws://127.0.0.1:8080/count.

use wirelet::server::{Router, Server, ws};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = ws(|mut socket, _context| async move {
        let mut bytes = 0;
        socket
            .for_each_message(|peer, message| {
                bytes += message.len();
                let _ = peer.send(bytes.to_string().as_str()); // fails when the connection is closing
            })
            .await
    });
    let server =
        Server::bind("127.0.0.1:8080").await?.shutdown_on(async { _ = tokio::signal::ctrl_c().await });
    server.serve_per_core(0, Router::new().ws("/count", count)).await?;
    Ok(())
}
