//! A server with one WebSocket at `/ws`, over the sockets of the standard library: `server [ADDRESS]`. Such a program shows on a
//! desktop what the same code does on a chip.

use std::env;

use embassy_futures::join::join_array;
use wirelet_embedded::proto::Config;
use wirelet_embedded::server::{Resources, Route, Server, Settings, WebSocketRoute};
use wirelet_embedded::{Error, StdClock, StdListener, WebSocket};

static SETTINGS: Settings<'static> =
    Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&Config::new()))]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = StdListener::bind(address.parse()?)?;
    println!("ws://{}/ws", listener.local_addr()?);
    let mut resources = Box::new(Resources::<8, 2048, 2048, 512>::new());
    let (server, _handle) = Server::new(&mut resources, &SETTINGS);
    let workers = server.into_workers().map(|mut worker| {
        let mut listener = &listener;
        async move { worker.run_with(&mut listener, &StdClock, echo).await }
    });
    async_io::block_on(join_array(workers));
    Ok(())
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 2048];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}
