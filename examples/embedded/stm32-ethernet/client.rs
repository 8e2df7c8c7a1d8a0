//! A client on an STM32F429 that shows the server of `WIRELET_URL` a token, `WIRELET_TOKEN`, and echoes what it is sent. It connects
//! again for ever, every ten seconds.

#![no_std]
#![no_main]

use core::time::Duration;

use board::Keys;
use embassy_executor::Spawner;
use wirelet_embedded::client::Options;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Error, WebSocket};

const HEADERS: &[(&str, &str)] = &[("Authorization", concat!("Bearer ", env!("WIRELET_TOKEN")))];

wirelet_embedded::embassy! {
    fn connect = client { rx: 2048, tx: 2048, queue: 256, tcp: 1460, keys: Keys, function: echo };
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let (stack, keys) = board::start(spawner);
    let uri = Uri::parse(env!("WIRELET_URL")).expect("a URI");
    let delay = Some(Duration::from_secs(10));
    let options = Options { headers: HEADERS, delay, connect_after_close: true, ..Options::new(uri) };
    connect(spawner, stack, options, keys).expect("started once");
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}
