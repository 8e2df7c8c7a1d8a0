//! Telemetry from an ESP32-C6: every browser at `/ws` gets a line each second; a slow one loses lines, and holds up nobody.

#![no_std]
#![no_main]

use core::fmt::Write as _;

use embassy_executor::Spawner;
use embassy_time::{Duration, Instant, Ticker};
use heapless::String;
use wirelet_embedded::http::File;
use wirelet_embedded::proto::Config;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Error, Handle, WebSocket};

static PAGE: &[u8] = b"<pre id=o></pre><script>new WebSocket(`ws://${location.host}/ws`).onmessage=e=>o.prepend(e.data+'\n')</script>";
static SETTINGS: Settings<'static> = Settings::new(&[
    Route::file("/", File::new(PAGE, "text/html")),
    Route::websocket("/ws", &WebSocketRoute::pull(&Config::new())),
]);

wirelet_embedded::embassy! {
    fn serve = server { connections: 6, rx: 1024, tx: 1024, queue: 512, tcp: 1460, function: listen };
}

#[board::main]
async fn main(spawner: Spawner) {
    let (stack, _) = board::start(spawner);
    let handle = serve(spawner, stack, 80, &SETTINGS).expect("started once");
    spawner.spawn(telemetry(handle).expect("spawned once"));
}

/// Browsers say nothing; what they say is passed over.
async fn listen(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 256];
    while ws.recv(&mut buffer).await?.is_some() {}
    Ok(())
}

#[embassy_executor::task]
async fn telemetry(handle: Handle<'static>) {
    let mut seconds = Ticker::every(Duration::from_secs(1));
    loop {
        seconds.next().await;
        let mut line = String::<64>::new();
        let _ = write!(line, r#"{{"uptime":{},"free":{}}}"#, Instant::now().as_secs(), board::free_memory());
        handle.broadcast(line.as_str(), |_| true);
    }
}
