//! Servers on other streams than TCP: Unix sockets, several listeners, streams that somebody else accepted.

mod peer;
mod running;

use std::io;
use std::net::SocketAddr;

use peer::*;
use running::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wirelet::server::{Capacity, Context, Listener, Page, Router, Server, ws};
use wirelet::{Error, WebSocket};

/// Says from where the connection comes, then echoes.
async fn whence(mut ws: WebSocket, context: Context) -> Result<(), Error> {
    ws.send(context.peer().map_or("nowhere".to_owned(), |peer| peer.ip().to_string())).await?;
    echo(ws, context).await
}

fn routes() -> Router {
    Router::new().ws("/ws", ws(whence)).page("/", Page::html("a page"))
}

/// Runs `server` in a task, at no address.
fn running(server: Server) -> Running {
    let address = server.local_addr().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into());
    Running { address, handle: server.handle(), task: tokio::spawn(server.serve(routes())) }
}

/// Pages, kept, then a WebSocket that echoes.
async fn assert_serves(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), from: &str) {
    for _ in 0..2 {
        write(stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let (status, _, body) = read_response(stream).await.unwrap();
        assert_eq!((status, &body[..]), (200, &b"a page"[..]));
    }
    open(stream, from).await;
    for size in [0, 1, 100_000] {
        write(stream, &client_frame(BINARY, &vec![7; size])).await;
        assert_eq!(read_frame(stream).await.unwrap(), (BINARY, vec![7; size]));
    }
}

async fn open(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), from: &str) {
    write(stream, upgrade_request("/ws", "").as_bytes()).await;
    assert_eq!(read_response(stream).await.unwrap().0, 101);
    assert_eq!(read_frame(stream).await.unwrap(), (TEXT, from.as_bytes().to_vec()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_serves_pages_and_websockets() {
    let folder = std::env::temp_dir().join(format!("wirelet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("ws.sock");
    let server = Server::from_listener(tokio::net::UnixListener::bind(&path).unwrap());
    assert_eq!(server.local_addr().unwrap_err().kind(), io::ErrorKind::Unsupported);
    // Limits for one address are not for those who have none.
    let server =
        server.capacity(Capacity { per_address: 1, handshakes_per_address: 1, ..Capacity::default() });
    let mut running = running(server);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        assert_serves(&mut stream, "nowhere").await;
        streams.push(stream);
    }
    assert_eq!(running.handle.count(), 3);
    assert!(running.handle.connections().iter().all(|info| info.peer.is_none()));
    running.handle.stop();
    for mut stream in streams {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
        drop(stream);
    }
    (&mut running.task).await.unwrap().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Connections in the process, and errors between them.
struct Pipes(mpsc::Receiver<io::Result<DuplexStream>>);

impl Listener for Pipes {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        match self.0.recv().await {
            Some(pipe) => Ok((pipe?, Some(([192, 0, 2, 7], 1).into()))),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_server_listens_at_several_places_of_several_kinds() {
    let (give, pipes) = mpsc::channel(8);
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_address = second.local_addr().unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap().listen(second).listen(Pipes(pipes));
    let mut running = running(server);
    give.send(Err(io::ErrorKind::Other.into())).await.unwrap();
    give.send(Err(io::ErrorKind::ConnectionAborted.into())).await.unwrap();
    let (mut near, far) = duplex(1000);
    give.send(Ok(far)).await.unwrap();
    assert_serves(&mut near, "192.0.2.7").await;
    assert_serves(&mut running.connect().await, "127.0.0.1").await;
    running.address = other_address;
    assert_serves(&mut running.connect().await, "127.0.0.1").await;
}

/// The limits of an address hold for what the listener says it is.
#[tokio::test]
async fn a_listener_of_another_kind_is_limited_as_tcp_is() {
    let (give, pipes) = mpsc::channel(8);
    let capacity = Capacity { per_address: 1, ..Capacity::default() };
    let running = running(Server::from_listener(Pipes(pipes)).capacity(capacity));
    let (mut first, far) = duplex(1000);
    give.send(Ok(far)).await.unwrap();
    open(&mut first, "192.0.2.7").await;
    let (mut second, far) = duplex(1000);
    give.send(Ok(far)).await.unwrap();
    assert_eq!(read_response(&mut second).await.unwrap().0, 503);
    let (mut third, far) = duplex(1000);
    running.handle.accept(far, Some(([192, 0, 2, 8], 1).into())).await.unwrap();
    open(&mut third, "192.0.2.8").await;
}

#[tokio::test]
async fn a_stream_that_somebody_else_accepted_is_served_and_stopped_with_the_server() {
    let server = Server::new();
    let handle = server.handle();
    // Before it serves.
    let (mut early, far) = duplex(64);
    handle.accept(far, None).await.unwrap();
    let mut running = running(server);
    open(&mut early, "nowhere").await;
    let (mut stream, far) = duplex(64);
    handle.accept(far, Some(([192, 0, 2, 9], 80).into())).await.unwrap();
    assert_serves(&mut stream, "192.0.2.9").await;
    // A TCP socket is one of the streams.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    handle.accept(listener.accept().await.unwrap().0, None).await.unwrap();
    assert_serves(&mut tcp, "nowhere").await;
    handle.stop();
    for mut stream in [early, stream] {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
    }
    drop(tcp);
    (&mut running.task).await.unwrap().unwrap();
    assert!(matches!(handle.accept(duplex(1).0, None).await, Err(Error::Closed)));
}

/// A request that was pipelined behind one for a page is read from a stream that cannot be peeked at.
#[tokio::test]
async fn the_request_behind_a_page_is_not_lost_on_a_stream_without_peek() {
    let server = Server::new();
    let handle = server.handle();
    let _running = running(server);
    let (mut stream, far) = duplex(100_000);
    handle.accept(far, None).await.unwrap();
    let page = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    write(&mut stream, format!("{page}{page}{}", upgrade_request("/ws", "")).as_bytes()).await;
    for status in [200, 200, 101] {
        assert_eq!(read_response(&mut stream).await.unwrap().0, status);
    }
    assert_eq!(read_frame(&mut stream).await.unwrap().1, b"nowhere");
}

/// Who leaves while the answer is computed is noticed on such a stream too.
#[tokio::test]
async fn who_leaves_before_the_answer_is_noticed_on_a_stream_without_peek() {
    let (began, mut begun) = mpsc::channel::<()>(1);
    let (dropped, mut told) = mpsc::channel::<()>(1);
    let slow = hyper::service::service_fn(move |_: http::Request<hyper::body::Incoming>| {
        let (began, held) = (began.clone(), dropped.clone());
        async move {
            began.send(()).await.unwrap();
            let _held = held;
            std::future::pending::<Result<http::Response<http_body_util::Empty<wirelet::Bytes>>, io::Error>>()
                .await
        }
    });
    let server = Server::new();
    let handle = server.handle();
    let router = Router::new().service("/slow", slow);
    let task = tokio::spawn(server.serve(router));
    let (mut stream, far) = duplex(1000);
    handle.accept(far, None).await.unwrap();
    write(&mut stream, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    begun.recv().await.unwrap();
    drop(stream);
    // The answer's future is dropped; what is left is the service's own sender.
    while told.sender_strong_count() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(told.try_recv().is_err());
    task.abort();
}

#[tokio::test]
async fn with_a_thread_for_each_core_other_streams_are_served_by_the_caller() {
    let (give, pipes) = mpsc::channel(8);
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_address = second.local_addr().unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap().listen(second).listen(Pipes(pipes));
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let mut running = Running { address, handle, task: tokio::spawn(server.serve_per_core(2, routes())) };
    let (mut pipe, far) = duplex(1000);
    give.send(Ok(far)).await.unwrap();
    assert_serves(&mut pipe, "192.0.2.7").await;
    let (mut handed, far) = duplex(1000);
    running.handle.accept(far, None).await.unwrap();
    assert_serves(&mut handed, "nowhere").await;
    let mut streams = vec![running.connect().await];
    running.address = other_address;
    streams.push(running.connect().await);
    for stream in &mut streams {
        assert_serves(stream, "127.0.0.1").await;
    }
    assert_eq!(running.handle.count(), 4);
    assert_eq!(running.handle.broadcast("all"), 4);
    for stream in &mut streams {
        assert_eq!(read_frame(stream).await.unwrap(), (TEXT, b"all".to_vec()));
    }
    assert_eq!(read_frame(&mut pipe).await.unwrap(), (TEXT, b"all".to_vec()));
    running.handle.stop();
    for mut stream in streams {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!(read_frame(&mut handed).await.unwrap(), (TEXT, b"all".to_vec()));
    for mut stream in [pipe, handed] {
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
    }
    (&mut running.task).await.unwrap().unwrap();
}
