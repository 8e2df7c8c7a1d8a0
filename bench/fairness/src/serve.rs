//! The server: an echo on the library's defaults, with two worker threads.

use wirelet::server::{Router, Server, ws};
use wirelet::{Compression, Error, WebSocket};

use crate::processes::Failure;

/// Serves until it is killed; the port is the first line of its output.
pub(crate) fn run(mode: &str) -> Result<(), Failure> {
    let compression = match mode {
        "off" => Compression::off(),
        "shared" => Compression::shared(),
        "windowed" => Compression::windowed(4096),
        "dedicated" => Compression::dedicated(15),
        mode => return Err(Failure(format!("{mode}: no kind of compression"))),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let server = Server::bind("127.0.0.1:0").await?.compression(compression);
            println!("{}", server.local_addr()?);
            server.serve(Router::new().ws("/ws", ws(|ws, _| echo(ws)))).await
        })
    });
    served.map_err(|error| Failure(format!("the server: {error}")))
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
