//! The tutorial's server on an ESP32-C3: `/ws` echoes, and "Trigger async" is answered "Async data" by another task.

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use esp_println::println;
use wirelet_embedded::proto::Config;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{ConnectionId, Error, Handle, Message, WebSocket};

static SETTINGS: Settings<'static> =
    Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);

/// Who waits for "Async data".
static WORK: Channel<CriticalSectionRawMutex, ConnectionId, 8> = Channel::new();

wirelet_embedded::embassy! {
    fn serve = server { connections: 4, rx: 2048, tx: 2048, queue: 512, tcp: 1460, function: echo };
}

#[board::main]
async fn main(spawner: Spawner) {
    let (stack, _) = board::start(spawner);
    let handle = serve(spawner, stack, 80, &SETTINGS).expect("started once");
    spawner.spawn(work(handle).expect("spawned once"));
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    println!("{}: open", ws.id().index());
    let mut buffer = [0; 1024];
    while let Some(message) = ws.recv(&mut buffer).await? {
        println!("{}: {message:?}", ws.id().index());
        match message {
            Message::Text("Trigger async") => WORK.send(ws.id()).await,
            message => ws.send(message).await?,
        }
    }
    Ok(())
}

#[embassy_executor::task]
async fn work(handle: Handle<'static>) {
    loop {
        let id = WORK.receive().await;
        if let Err(error) = handle.send(id, "Async data").await {
            println!("{}: {error}", id.index());
        }
    }
}
