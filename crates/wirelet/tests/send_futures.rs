//! Every public future of the crate can be spawned: this file does not compile otherwise.

mod client_peer;

use std::future::Future;
use std::time::Duration;

use client_peer::{Peer, unhung};
use wirelet::client::Builder;
use wirelet::server::{Context, Router, Server, shutdown_signal, ws};
use wirelet::{
    BinaryFragments, Client, CloseCode, Error, ReceiveHalf, SendHalf, Sender, TextFragments, WebSocket,
};

/// Only for what another thread may run. It is not polled: what it would do is tested elsewhere.
fn spawnable<F: Future + Send>(future: F) {
    drop(future);
}

fn client(builder: &Builder, client: &mut Client, sender: &wirelet::client::Sender) {
    spawnable(builder.connect_once());
    spawnable(client.next());
    spawnable(client.send("text"));
    spawnable(client.wait_connected());
    spawnable(client.close(CloseCode::NORMAL, ""));
    spawnable(sender.send("text"));
    spawnable(sender.wait_connected());
    #[cfg(feature = "deflate")]
    spawnable(client.send_with("text", wirelet::Compress::Never));
}

fn websocket(ws: &mut WebSocket) {
    spawnable(ws.recv());
    spawnable(ws.recv_chunk());
    spawnable(ws.recv_event());
    spawnable(ws.for_each_message(|_, _| ()));
    spawnable(ws.send("text"));
    spawnable(ws.send_text("text"));
    spawnable(ws.send_binary(b"data"));
    spawnable(ws.feed("text"));
    spawnable(ws.flush());
    spawnable(ws.ping(b"data"));
    spawnable(ws.close(CloseCode::NORMAL, ""));
    #[cfg(feature = "deflate")]
    spawnable(ws.send_with("text", wirelet::Compress::Never));
}

fn halves(send: &mut SendHalf, receive: &mut ReceiveHalf, sender: &Sender) {
    spawnable(receive.recv());
    spawnable(receive.recv_chunk());
    spawnable(receive.recv_event());
    spawnable(send.send("text"));
    spawnable(send.send_text("text"));
    spawnable(send.send_binary(b"data"));
    spawnable(send.feed("text"));
    spawnable(send.flush());
    spawnable(send.ping(b"data"));
    spawnable(send.close(CloseCode::NORMAL, ""));
    spawnable(sender.send("text"));
    #[cfg(feature = "deflate")]
    {
        spawnable(send.send_with("text", wirelet::Compress::Never));
        spawnable(sender.send_with("text", wirelet::Compress::Never));
    }
}

fn fragments(mut text: TextFragments<'_>, mut binary: BinaryFragments<'_>) {
    spawnable(text.write("text"));
    spawnable(text.finish("text"));
    spawnable(binary.write(b"data"));
    spawnable(binary.finish(b"data"));
}

fn drive(ws: WebSocket) {
    spawnable(ws.drive(|mut ws| async move { ws.recv().await.map(drop) }));
}

fn server(server: Server) {
    let handler = |mut ws: WebSocket, _: Context| async move { ws.recv().await.map(drop) };
    spawnable(Server::bind("127.0.0.1:0"));
    spawnable(server.shutdown_on(shutdown_signal()).serve(Router::new().ws("/", ws(handler))));
    spawnable(shutdown_signal());
}

/// The functions above are checked by the compiler, and need not run.
#[test]
fn every_public_future_is_send() {
    let _ = (client, websocket, halves, fragments, drive, server);
}

/// The future of `connect_once` held the builder, whose `retry_if` cannot be shared: it could not be awaited in a task.
#[tokio::test]
async fn connect_once_could_not_be_awaited_in_a_spawned_task() {
    let peer = Peer::bind().await;
    let url = peer.url();
    let client = tokio::spawn(async move {
        let builder = Client::builder(url).connect_timeout(Duration::from_secs(5)).retry_if(|_| false);
        let (mut ws, _) = builder.connect_once().await.unwrap();
        ws.send("from a task").await?;
        let answer = ws.recv().await?;
        Ok::<_, Error>((answer, ws))
    });
    let mut ws = unhung(peer.websocket()).await;
    let message = ws.recv().await.unwrap().unwrap();
    ws.send(message).await.unwrap();
    let (answer, _ws) = unhung(client).await.unwrap().unwrap();
    assert_eq!(answer.unwrap().as_text(), Some("from a task"));
}
