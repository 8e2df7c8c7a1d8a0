//! axum with wirelet in it: pages and rooms of an application, which closes its WebSockets when it stops.
//!
//! `cargo run -p example-axum`, then open http://127.0.0.1:8080/, or a WebSocket to ws://127.0.0.1:8080/rooms/kitchen.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use wirelet::axum::{WebSocketUpgrade, WebSockets};
use wirelet::server::shutdown_signal;

#[cfg(test)]
mod tests;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    serve(TcpListener::bind("127.0.0.1:8080").await?, shutdown_signal()).await
}

async fn serve(
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let sockets = WebSockets::new();
    let app = Router::new()
        .route("/", get(count))
        .route("/rooms/{room}", any(room))
        .layer(Extension(sockets.clone()))
        .into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        stop.await;
        // Requests for pages are answered meanwhile, those for WebSockets with 503.
        sockets.shutdown(Duration::from_secs(10)).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

async fn count(Extension(sockets): Extension<WebSockets>) -> String {
    format!("{} WebSockets are open.", sockets.handle().count())
}

async fn room(Path(room): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut ws, context| async move {
        let from = context.peer().map_or("you".to_owned(), |peer| peer.ip().to_string());
        ws.send(format!("welcome to {room}, {from}")).await?;
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok::<_, wirelet::Error>(())
    })
}
