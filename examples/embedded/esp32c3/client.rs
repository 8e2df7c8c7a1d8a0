//! The tutorial's client on an ESP32-C3: five texts one second apart and one in fragments; it logs what arrives, reads JSON in it,
//! and closes the connection after five seconds without data. `WIRELET_URL` of the build's environment is the server.

#![no_std]
#![no_main]

use board::Keys;
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer, with_timeout};
use esp_println::println;
use serde::Deserialize;
use wirelet_embedded::client::{ClientHandler, Failure, Options};
use wirelet_embedded::proto::{CloseCode, Event, handshake::Uri};
use wirelet_embedded::{Error, Handler, Peer, ReceiveHalf, SendHalf, WebSocket};

wirelet_embedded::embassy! {
    fn connect = client { rx: 2048, tx: 1024, queue: 256, tcp: 1460, keys: Keys, handler: &Log, function: talk };
}

#[board::main]
async fn main(spawner: Spawner) {
    let (stack, keys) = board::start(spawner);
    let uri = Uri::parse(env!("WIRELET_URL")).expect("a URI");
    connect(spawner, stack, Options::new(uri), keys).expect("started once");
}

/// What the tutorial's event handler logs.
struct Log;

impl Handler for Log {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {} // the function has them
}

impl ClientHandler for Log {
    fn on_failure(&self, failure: &Failure) {
        println!("not connected: {failure:?}");
    }
}

async fn talk(ws: WebSocket<'_>) -> Result<(), Error> {
    println!("connected");
    let (mut send, receive) = ws.split();
    let (Either::First(result) | Either::Second(result)) = select(listen(receive), speak(&mut send)).await;
    println!("closed: {:?}", send.close(CloseCode::NORMAL, "").await);
    result
}

async fn speak(send: &mut SendHalf<'_>) -> Result<(), Error> {
    for text in ["hello 0000", "hello 0001", "hello 0002", "hello 0003", "hello 0004"] {
        send.send(text).await?;
        Timer::after_secs(1).await;
    }
    let mut message = send.text_fragments();
    message.write("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await?;
    message.write("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").await?;
    message.finish("").await?;
    core::future::pending().await
}

#[derive(Deserialize)]
struct Item<'j> {
    id: &'j str,
    name: &'j str,
}

async fn listen(mut receive: ReceiveHalf<'_>) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    while let Ok(event) = with_timeout(Duration::from_secs(5), receive.recv_event(&mut buffer)).await {
        let Some(event) = event? else { return Ok(()) };
        println!("{event:?}");
        if let Event::Text(text) = event
            && let Ok((item, _)) = serde_json_core::from_str::<Item<'_>>(text)
        {
            println!("item {}: {}", item.id, item.name);
        }
    }
    println!("no data for five seconds");
    Ok(())
}
