//! Telemetry from an ESP32-C6 to the server of `WIRELET_URL`: another task than the client's sends a line each second, over all
//! reconnects. What it sends while there is no connection waits, as far as the queue has room.

#![no_std]
#![no_main]

use core::fmt::Write as _;

use board::Keys;
use embassy_executor::Spawner;
use embassy_time::{Duration, Instant, Ticker};
use esp_println::println;
use heapless::String;
use wirelet_embedded::client::{Gap, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Error, Sender, WebSocket};

wirelet_embedded::embassy! {
    fn connect = client { rx: 1024, tx: 1024, queue: 1024, tcp: 1460, keys: Keys, function: listen };
}

#[board::main]
async fn main(spawner: Spawner) {
    let (stack, keys) = board::start(spawner);
    let uri = Uri::parse(env!("WIRELET_URL")).expect("a URI");
    let options = Options { gap: Gap::KEEP, connect_after_close: true, ..Options::new(uri) };
    let sender = connect(spawner, stack, options, keys).expect("started once");
    spawner.spawn(telemetry(sender).expect("spawned once"));
}

async fn listen(mut ws: WebSocket<'_>) -> Result<(), Error> {
    println!("connected");
    let mut buffer = [0; 512];
    while let Some(message) = ws.recv(&mut buffer).await? {
        println!("received: {message:?}");
    }
    Ok(())
}

#[embassy_executor::task]
async fn telemetry(sender: Sender<'static>) {
    let mut seconds = Ticker::every(Duration::from_secs(1));
    loop {
        seconds.next().await;
        let mut line = String::<64>::new();
        let _ = write!(line, r#"{{"uptime":{}}}"#, Instant::now().as_secs());
        if let Err(error) = sender.try_send(line.as_str()) {
            println!("not sent: {error}");
        }
    }
}
