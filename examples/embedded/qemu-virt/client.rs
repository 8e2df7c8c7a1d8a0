//! A client on QEMU's riscv32 machine: it says hello to the server of the setting `url`, waits for the answer, closes the
//! connection and switches the machine off.

#![no_std]
#![no_main]

use board::{Keys, log};
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_time::{Duration, Timer, with_timeout};
use wirelet_embedded::client::Options;
use wirelet_embedded::proto::{CloseCode, handshake::Uri};
use wirelet_embedded::{Error, WebSocket};

wirelet_embedded::embassy! {
    fn connect = client { rx: 1024, tx: 1024, queue: 256, tcp: 1460, keys: Keys, function: hello };
}

#[board::entry]
fn main() -> ! {
    board::run(start)
}

fn start(spawner: Spawner, stack: Stack<'static>, keys: Keys) {
    let url = board::setting("url").unwrap_or("ws://10.0.2.2:8080/ws");
    let uri = Uri::parse(url).expect("a URI");
    connect(spawner, stack, Options::new(uri), keys).expect("started once");
}

async fn hello(mut ws: WebSocket<'_>) -> Result<(), Error> {
    log(format_args!("connected"));
    for _ in 0..3 {
        ws.send("hello").await?;
        let mut buffer = [0; 256];
        match with_timeout(Duration::from_secs(5), ws.recv(&mut buffer)).await {
            Ok(answer) => log(format_args!("received: {:?}", answer?)),
            Err(_) => board::exit(1),
        }
        Timer::after_millis(100).await;
    }
    let end = ws.close(CloseCode::NORMAL, "").await?;
    log(format_args!("closed: {}", u16::from(end.close.code())));
    board::exit(0)
}
