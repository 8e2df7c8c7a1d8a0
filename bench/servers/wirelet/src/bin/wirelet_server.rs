//! wirelet's server: `wirelet_server PORT [echo]`, the README's echo on one current-thread runtime, with the library's defaults.

use std::error::Error;

use wirelet::server::{Page, Router, Server, ws};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let port: u16 = match words[..] {
        [port] | [port, "echo"] => port.parse()?,
        _ => return Err("usage: wirelet_server PORT [echo]".into()),
    };
    let echo = ws(|mut socket, _context| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<_, wirelet::Error>(())
    });
    let router = Router::new().page("/", Page::html("<h1>hello</h1>")).ws("/ws", echo);
    Server::bind(("127.0.0.1", port)).await?.serve(router).await?;
    Ok(())
}
