//! wirelet's server: `wirelet_echo PORT MODE [LEVEL]`, an echo on one thread. MODE is `off`, `shared`, `windowed:BYTES` or
//! `dedicated:BITS`.

use std::error::Error;

use wirelet::Compression;
use wirelet::server::{Router, Server, ws};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, compression) = match &arguments[..] {
        [port, mode] => (port, compression(mode)?),
        [port, mode, level] => (port, compression(mode)?.level(level.parse()?)),
        _ => return Err("usage: wirelet_echo PORT MODE [LEVEL]".into()),
    };
    let echo = ws(|mut socket, _context| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<_, wirelet::Error>(())
    });
    let server = Server::bind(("127.0.0.1", port.parse()?)).await?;
    server.compression(compression).serve(Router::new().ws("/ws", echo)).await?;
    Ok(())
}

fn compression(mode: &str) -> Result<Compression, Failure> {
    Ok(match mode.split_once(':').unwrap_or((mode, "")) {
        ("off", "") => Compression::off(),
        ("shared", "") => Compression::shared(),
        ("windowed", bytes) => Compression::windowed(bytes.parse()?),
        ("dedicated", bits) => Compression::dedicated(bits.parse()?),
        _ => return Err(format!("{mode}: off, shared, windowed:BYTES or dedicated:BITS is expected").into()),
    })
}
