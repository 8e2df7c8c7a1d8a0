//! wirelet's server: `wirelet_server PORT [echo|broadcast|deflate] [WORKERS]`, with the library's defaults. The echo is the README's; one
//! worker is tokio's current-thread runtime.

use std::error::Error;

use tokio::runtime::Builder;
use wirelet::Compression;
use wirelet::server::{Page, Router, Server, ServerHandle, Ws, ws};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: wirelet_server PORT [echo|broadcast|deflate] [WORKERS]";
    let port = arguments.first().ok_or(usage)?.parse()?;
    let mode = arguments.get(1).map_or("echo", String::as_str);
    let workers = arguments.get(2).map_or(Ok(1), |word| word.parse())?;
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers).enable_all().build()?.block_on(serve(port, mode))
}

async fn serve(port: u16, mode: &str) -> Result<(), Failure> {
    let server = Server::bind(("127.0.0.1", port)).await?;
    let (server, route) = match mode {
        "echo" => (server, echo()),
        "deflate" => (server.compression(Compression::shared()), echo()),
        "broadcast" => {
            let all = server.handle();
            (server, broadcast(all))
        }
        _ => return Err(format!("{mode}: echo, broadcast or deflate is expected").into()),
    };
    let router = Router::new().page("/", Page::html("<h1>hello</h1>")).ws("/ws", route);
    Ok(server.serve(router).await?)
}

fn echo() -> Ws {
    ws(|mut socket, _context| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<_, wirelet::Error>(())
    })
}

fn broadcast(all: ServerHandle) -> Ws {
    ws(move |mut socket, _context| {
        let all = all.clone();
        async move {
            while let Some(message) = socket.recv().await? {
                all.broadcast(message);
            }
            Ok::<_, wirelet::Error>(())
        }
    })
}
