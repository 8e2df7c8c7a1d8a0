//! GraphQL subscriptions by async-graphql, in both protocols that clients speak: it takes a stream of messages.
//!
//! `cargo run -p example-graphql`, then point a client at ws://127.0.0.1:8080/graphql with the query `subscription { count(to: 3) }`.

use std::future::ready;

use async_graphql::http::{
    ALL_WEBSOCKET_PROTOCOLS, WebSocket as Subscriptions, WebSocketProtocols, WsMessage,
};
use async_graphql::{EmptyMutation, Object, Schema, Subscription};
use futures_util::{Stream, StreamExt, stream};
use wirelet::server::{Context, Router, Server, Verdict, shutdown_signal, ws_gated};
use wirelet::{CloseCode, Error, WebSocket};

#[cfg(test)]
mod tests;

struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &'static str {
        "hello"
    }
}

struct Counting;

#[Subscription]
impl Counting {
    async fn count(&self, to: u32) -> impl Stream<Item = u32> {
        stream::iter(1..=to)
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    Server::bind("127.0.0.1:8080").await?.shutdown_on(shutdown_signal()).serve(router()).await
}

fn router() -> Router {
    let schema = Schema::new(Query, EmptyMutation, Counting);
    let serve = move |ws, _, protocol| answer(ws, schema.clone(), protocol);
    Router::new().ws("/graphql", ws_gated(protocol, serve).subprotocols(ALL_WEBSOCKET_PROTOCOLS))
}

/// The protocol that is agreed on; there is no GraphQL without.
async fn protocol(context: Context) -> Verdict<WebSocketProtocols> {
    match context.common_subprotocols().next().map(str::parse) {
        Some(Ok(protocol)) => Verdict::accept_with(protocol),
        _ => Verdict::reject(400, format!("a subprotocol is needed: {}", ALL_WEBSOCKET_PROTOCOLS.join(", "))),
    }
}

async fn answer(
    ws: WebSocket,
    schema: Schema<Query, EmptyMutation, Counting>,
    protocol: WebSocketProtocols,
) -> Result<(), Error> {
    let (mut send, receive) = ws.split();
    // Why an error is the end: it is told once, and nothing follows it.
    let messages = receive.filter_map(|message| ready(message.ok()));
    let mut answers = Subscriptions::new(schema, messages, protocol);
    while let Some(answer) = answers.next().await {
        match answer {
            WsMessage::Text(text) => send.send(text).await?,
            WsMessage::Close(code, reason) => return send.close(CloseCode::new(code), &reason).await,
        }
    }
    Ok(())
}
