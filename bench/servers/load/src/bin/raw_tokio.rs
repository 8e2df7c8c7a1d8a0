//! An echo of bytes on tokio: `raw_tokio PORT [WORKERS]`; one worker is the current-thread runtime. What a WebSocket server on tokio
//! cannot go below, unless it reads more at a time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// What is read at a time.
const PIECE: usize = 65_536;

fn main() -> std::io::Result<()> {
    let mut words =
        std::env::args().skip(1).map(|word| word.parse::<u16>().expect("usage: raw_tokio PORT [WORKERS]"));
    let port = words.next().expect("usage: raw_tokio PORT [WORKERS]");
    let workers = words.next().unwrap_or(1);
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers.into()).enable_all().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![0; PIECE];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..count]).await?;
    }
}
