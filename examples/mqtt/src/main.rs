//! MQTT over WebSocket for a broker that speaks TCP: browsers, and clients behind proxies, reach it through here.
//!
//! `cargo run --manifest-path examples/mqtt/Cargo.toml -- 127.0.0.1:1883`, with the broker's address, then point a client of MQTT at
//! ws://127.0.0.1:8080/mqtt.

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use wirelet::WebSocket;
use wirelet::io::ByteStream;
use wirelet::server::{Context, Router, Server, Verdict, shutdown_signal, ws_gated};

#[cfg(test)]
mod tests;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let broker = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1883".to_owned());
    Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal()).serve(router(broker)).await
}

fn router(broker: String) -> Router {
    let gate = move |context| connect(context, broker.clone());
    // MQTT 5, 6.0: the client offers `mqtt`.
    Router::new().ws("/mqtt", ws_gated(gate, pass).subprotocols(["mqtt"]))
}

/// A connection to the broker for each client; without one the client is refused, and sees why.
async fn connect(context: Context, broker: String) -> Verdict<TcpStream> {
    if context.common_subprotocols().next().is_none() {
        return Verdict::reject(400, "the subprotocol mqtt is needed");
    }
    let connected = TcpStream::connect(broker).await;
    match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
        Ok(stream) => Verdict::accept_with(stream),
        Err(error) => Verdict::reject(502, format!("the broker cannot be reached: {error}")),
    }
}

async fn pass(ws: WebSocket, _: Context, mut broker: TcpStream) -> std::io::Result<()> {
    copy_bidirectional(&mut ByteStream::new(ws), &mut broker).await.map(drop)
}
