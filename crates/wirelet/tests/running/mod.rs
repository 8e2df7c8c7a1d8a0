//! A server on a real socket, in a task of the test.
#![allow(dead_code)] // each test program uses a part of it

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wirelet::server::{Context, Router, Server, ServerHandle};
use wirelet::{Error, WebSocket};

use crate::peer::*;

pub(crate) async fn echo(mut ws: WebSocket, _: Context) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// A server in a task, which ends with this.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection whose handshake is done.
    pub(crate) async fn open(&self, target: &str) -> TcpStream {
        let mut stream = self.connect().await;
        write(&mut stream, upgrade_request(target, "").as_bytes()).await;
        let (status, ..) = read_response(&mut stream).await.unwrap();
        assert_eq!(status, 101, "{target}");
        stream
    }

    /// The answer to a request on a new connection.
    pub(crate) async fn ask(&self, request: &str) -> (u16, String, Vec<u8>) {
        let mut stream = self.connect().await;
        write(&mut stream, request.as_bytes()).await;
        read_response(&mut stream).await.unwrap()
    }

    /// Connects and sends a request before the server, which runs on this thread, has looked at the connection.
    pub(crate) fn newcomer(&self) -> TcpStream {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        std::io::Write::write_all(&mut stream, upgrade_request("/ws", "").as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    }

    /// A connection that hyper has kept after a request for the page at `/`.
    pub(crate) async fn kept(&self) -> TcpStream {
        let mut stream = self.connect().await;
        write(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(read_response(&mut stream).await.unwrap().0, 200);
        stream
    }

    /// A connection that is new, or that hyper has kept.
    pub(crate) async fn connect_or_keep(&self, kept: bool) -> TcpStream {
        if kept { self.kept().await } else { self.connect().await }
    }
}

pub(crate) async fn serve_with(router: Router, change: impl FnOnce(Server) -> Server) -> Running {
    let server = change(Server::bind("127.0.0.1:0").await.unwrap());
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    Running { address, handle, task: tokio::spawn(server.serve(router)) }
}

pub(crate) async fn serve(router: Router) -> Running {
    serve_with(router, |server| server).await
}
