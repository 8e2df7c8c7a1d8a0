//! A server with one WebSocket at `/ws`, on QEMU's riscv32 machine: it echoes messages of any size, chunk by chunk.

#![no_std]
#![no_main]

use board::{Keys, log};
use embassy_executor::Spawner;
use embassy_net::Stack;
use wirelet_embedded::proto::{Config, Delivery, Event};
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Error, WebSocket};

static CONFIG: Config = Config { delivery: Delivery::Chunks, ..Config::new() };
static SETTINGS: Settings<'static> =
    Settings::new(&[Route::websocket("/ws", &WebSocketRoute::pull(&CONFIG))]);

wirelet_embedded::embassy! {
    fn serve = server { connections: 8, rx: 4096, tx: 4096, queue: 256, tcp: 2920, function: echo };
}

#[board::entry]
fn main() -> ! {
    board::run(start)
}

fn start(spawner: Spawner, stack: Stack<'static>, _: Keys) {
    serve(spawner, stack, 80, &SETTINGS).expect("started once");
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    log(format_args!("{}: open", ws.id().index()));
    let mut buffer = [0; 1024];
    while let Some(event) = ws.recv_event(&mut buffer).await? {
        if let Event::Chunk(chunk) = event {
            ws.send_fragment(chunk.kind, chunk.data, chunk.last).await?;
        }
    }
    Ok(())
}
