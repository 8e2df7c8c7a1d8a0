//! A server on an STM32F429: a WebSocket at `/ws` that echoes, and `/status`, a page in JSON.

#![no_std]
#![no_main]

use core::fmt::Write as _;

use embassy_executor::Spawner;
use embassy_time::Instant;
use wirelet_embedded::http::{Methods, Request, Response};
use wirelet_embedded::proto::Config;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Error, WebSocket};

static SETTINGS: Settings<'static> = Settings::new(&[
    Route::call("/status", Methods::GET, &status),
    Route::websocket("/ws", &WebSocketRoute::pull(&Config::new())),
]);

wirelet_embedded::embassy! {
    fn serve = server { connections: 4, rx: 2048, tx: 2048, queue: 512, tcp: 1460, function: echo };
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let (stack, _) = board::start(spawner);
    serve(spawner, stack, 80, &SETTINGS).expect("started once");
}

fn status(_: &Request<'_>, response: &mut Response<'_>) {
    let _ = write!(response, r#"{{"uptime":{}}}"#, Instant::now().as_secs());
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}
