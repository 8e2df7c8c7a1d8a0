//! Tokio alone: a task for each connection, which writes what it has read. No protocol, no limits, no deadlines.

use std::future::poll_fn;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut memory = vec![0; 64 * 1024];
    loop {
        let mut received = ReadBuf::new(&mut memory);
        poll_fn(|task| Pin::new(&mut stream).poll_read(task, &mut received)).await?;
        let mut left = received.filled();
        if left.is_empty() {
            return Ok(());
        }
        while !left.is_empty() {
            let written = poll_fn(|task| Pin::new(&mut stream).poll_write(task, left)).await?;
            left = left.get(written..).unwrap_or_default();
        }
    }
}
