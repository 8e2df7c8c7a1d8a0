//! A server with one WebSocket at `/ws` on a Raspberry Pi Pico W: it echoes.

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use wirelet_embedded::proto::Config;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Error, WebSocket};

static SETTINGS: Settings<'static> =
    Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);

wirelet_embedded::embassy! {
    fn serve = server { connections: 4, rx: 2048, tx: 2048, queue: 512, tcp: 1460, function: echo };
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let (stack, _) = board::start(spawner).await;
    serve(spawner, stack, 80, &SETTINGS).expect("started once");
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}
