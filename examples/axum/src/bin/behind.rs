//! wirelet with axum behind it: WebSockets and their limits are wirelet's, all other paths the application's.
//!
//! `cargo run -p example-axum --bin behind`, then open http://127.0.0.1:8080/, or a WebSocket to ws://127.0.0.1:8080/ws.

use axum::routing::get;
use wirelet::WebSocket;
use wirelet::server::{Context, Router, Server, shutdown_signal, ws};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal()).serve(router()).await
}

fn router() -> Router {
    let pages = axum::Router::new().route("/", get(|| async { "a page of axum" }));
    Router::new().ws("/ws", ws(echo)).fallback(pages)
}

async fn echo(mut ws: WebSocket, _: Context) -> Result<(), wirelet::Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use wirelet::Client;

    use super::*;

    #[tokio::test]
    async fn one_port_has_both() {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let (address, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = tokio::spawn(server.serve(router()));
        let mut page = TcpStream::connect(address).await.unwrap();
        page.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        page.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("a page of axum"), "{text}");
        let (mut ws, _) = Client::builder(format!("ws://{address}/ws")).connect_once().await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("hello"));
        drop(ws);
        handle.stop();
        serving.await.unwrap().unwrap();
    }
}
