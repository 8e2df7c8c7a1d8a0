//! A client on a Raspberry Pi Pico W: it says hello every ten seconds to the server of `WIRELET_URL`, which the build's environment
//! names, and connects again for ever.

#![no_std]
#![no_main]

use board::Keys;
use embassy_executor::Spawner;
use embassy_time::Timer;
use wirelet_embedded::client::Options;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Error, WebSocket};

wirelet_embedded::embassy! {
    fn connect = client { rx: 1024, tx: 1024, queue: 256, tcp: 1460, keys: Keys, function: hello };
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let (stack, keys) = board::start(spawner).await;
    let uri = Uri::parse(env!("WIRELET_URL")).expect("a URI");
    let options = Options { connect_after_close: true, ..Options::new(uri) };
    connect(spawner, stack, options, keys).expect("started once");
}

async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 512];
    loop {
        ws.send("hello").await?;
        if ws.recv(&mut buffer).await?.is_none() {
            return Ok(());
        }
        Timer::after_secs(10).await;
    }
}
