//! A server of another library: `peer_server NAME PORT [echo|broadcast|deflate] [WORKERS]`; one worker is the current-thread runtime.
//!
//! Each is written as the library's own examples are. `NAME-fed` takes every message that is there before it flushes.

use std::error::Error;
use std::io;

use base64::Engine;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite;

type Failure = Box<dyn Error + Send + Sync>;

/// RFC 7692 7.1: what the load offers, and those agree on that compress.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// RFC 6455 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Messages that a receiver of broadcasts may be behind.
const BEHIND: usize = 1024;

/// The largest message that yawc takes, and its buffer, bytes.
const YAWC_MESSAGE: usize = 16 << 20;
const YAWC_BUFFER: usize = 32 << 20;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, port, mode, workers) = match words[..] {
        [name, port] => (name, port, "echo", 1),
        [name, port, mode] => (name, port, mode, 1),
        [name, port, mode, workers] => (name, port, mode, workers.parse()?),
        _ => return Err("usage: peer_server NAME PORT [echo|broadcast|deflate] [WORKERS]".into()),
    };
    if name == "sockudo-compio" {
        return sockudo_on_compio(port.parse()?);
    }
    let peer = Peer::new(name, mode)?;
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers).enable_all().build()?.block_on(serve(port.parse()?, peer))
}

async fn serve(port: u16, peer: Peer) -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener: TcpListener = socket.listen(4096)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(peer.clone().connection(stream));
    }
}

/// Which library, and what it does.
#[derive(Clone)]
struct Peer {
    library: Library,
    fed: bool,
    all: broadcast::Sender<tungstenite::Message>,
}

#[derive(Clone, Copy)]
enum Library {
    Fastwebsockets,
    Soketto,
    Sockudo,
    SockudoDeflate,
    TokioWebsockets,
    Tungstenite,
    TungsteniteBroadcast,
    WebSocket,
    Wtx,
    Yawc,
    YawcDeflate,
}

impl Peer {
    fn new(name: &str, mode: &str) -> Result<Self, Failure> {
        let (base, fed) = name.strip_suffix("-fed").map_or((name, false), |base| (base, true));
        let library = match (base, mode) {
            ("fastwebsockets", "echo") => Library::Fastwebsockets,
            ("soketto", "echo") => Library::Soketto,
            ("sockudo", "echo") => Library::Sockudo,
            ("sockudo", "deflate") => Library::SockudoDeflate,
            ("tokio-websockets", "echo") => Library::TokioWebsockets,
            ("tungstenite", "echo") => Library::Tungstenite,
            ("tungstenite", "broadcast") => Library::TungsteniteBroadcast,
            ("web-socket", "echo") => Library::WebSocket,
            ("wtx", "echo") => Library::Wtx,
            ("yawc", "echo") => Library::Yawc,
            ("yawc", "deflate") => Library::YawcDeflate,
            _ => return Err(format!("there is no {name} for {mode}").into()),
        };
        Ok(Self { library, fed, all: broadcast::Sender::new(BEHIND) })
    }

    /// One connection to its end.
    async fn connection(self, stream: TcpStream) -> Result<(), Failure> {
        match self.library {
            Library::Fastwebsockets => fastwebsockets(stream).await,
            Library::Soketto => soketto(stream).await,
            Library::Sockudo => sockudo(stream, self.fed).await,
            Library::SockudoDeflate => sockudo_deflate(stream, self.fed).await,
            Library::TokioWebsockets => tokio_websockets(stream, self.fed).await,
            Library::Tungstenite => tungstenite(stream, self.fed).await,
            Library::TungsteniteBroadcast => tungstenite_broadcast(stream, self.all).await,
            Library::WebSocket => web_socket(stream).await,
            Library::Wtx => wtx(stream).await,
            Library::Yawc => yawc(stream, self.fed, false).await,
            Library::YawcDeflate => yawc(stream, self.fed, true).await,
        }
    }
}

/// Echoes what is data, of a library whose socket is a stream and a sink.
async fn echo<S, M, E>(mut socket: S, fed: bool, is_data: fn(&M) -> bool) -> Result<(), Failure>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    Failure: From<E> + From<S::Error>,
{
    while let Some(message) = socket.next().await {
        let message = message?;
        match (fed, is_data(&message)) {
            (false, true) => socket.send(message).await?,
            (true, true) => socket.feed(message).await?,
            (_, false) => {}
        }
        while fed && let Some(message) = socket.next().now_or_never() {
            let Some(message) = message.transpose()? else { return Ok(()) };
            if is_data(&message) {
                socket.feed(message).await?;
            }
        }
        if fed {
            socket.flush().await?;
        }
    }
    Ok(())
}

async fn tungstenite(stream: TcpStream, fed: bool) -> Result<(), Failure> {
    let socket = tokio_tungstenite::accept_async(stream).await?;
    echo(socket, fed, |message: &tungstenite::Message| message.is_binary() || message.is_text()).await
}

async fn tungstenite_broadcast(
    stream: TcpStream,
    all: broadcast::Sender<tungstenite::Message>,
) -> Result<(), Failure> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let mut receiver = all.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                Some(message) if message.is_binary() || message.is_text() => drop(all.send(message)),
                Some(_) => {}
                None => return Ok(()),
            },
            message = receiver.recv() => socket.send(message?).await?,
        }
    }
}

async fn tokio_websockets(stream: TcpStream, fed: bool) -> Result<(), Failure> {
    let (_request, socket) = tokio_websockets::ServerBuilder::new().accept(stream).await?;
    echo(socket, fed, |message: &tokio_websockets::Message| message.is_binary() || message.is_text()).await
}

async fn sockudo(mut stream: TcpStream, fed: bool) -> Result<(), Failure> {
    sockudo_ws::handshake::server_handshake(&mut stream).await?;
    let socket = sockudo_ws::WebSocketStream::server(stream, sockudo_ws::Config::default());
    echo(socket, fed, |message: &sockudo_ws::Message| !message.is_control()).await
}

async fn sockudo_deflate(mut stream: TcpStream, fed: bool) -> Result<(), Failure> {
    let config = sockudo_ws::DeflateConfig {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Default::default()
    };
    let agreed =
        sockudo_ws::deflate::negotiate_server_deflate(DEFLATE, &config).ok_or("nothing agreed on")?;
    handshake(&mut stream, Some(&agreed.to_response_header())).await?;
    let config = sockudo_ws::Config::default();
    let socket = sockudo_ws::CompressedWebSocketStream::server(stream, config, agreed.config);
    echo(socket, fed, |message: &sockudo_ws::Message| !message.is_control()).await
}

fn sockudo_on_compio(port: u16) -> Result<(), Failure> {
    use sockudo_ws::compio::net::TcpListener;
    use sockudo_ws::compio::{accept_async, runtime};
    runtime::Runtime::new()?.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let echo = async move {
                let (mut socket, _) = accept_async(stream, sockudo_ws::Config::default()).await?;
                while let Some(message) = socket.next().await {
                    let message = message?;
                    if !message.is_control() {
                        socket.send(message).await?;
                    }
                }
                Ok::<_, Failure>(())
            };
            runtime::spawn(echo).detach();
        }
    })
}

async fn fastwebsockets(mut stream: TcpStream) -> Result<(), Failure> {
    use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
    handshake(&mut stream, None).await?;
    let mut socket = WebSocket::after_handshake(stream, Role::Server);
    socket.set_auto_close(true);
    socket.set_auto_pong(true);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn web_socket(mut stream: TcpStream) -> Result<(), Failure> {
    use web_socket::{DataType, Event, WebSocket};
    handshake(&mut stream, None).await?;
    let mut socket = WebSocket::server(tokio::io::BufReader::new(stream));
    loop {
        match socket.recv().await? {
            Event::Data { ty: DataType::Complete(_), data } => socket.send(&data[..]).await?,
            Event::Ping(data) => socket.send_pong(data).await?,
            Event::Close { .. } | Event::Error(_) => return Ok(()),
            _ => {}
        }
    }
}

async fn soketto(stream: TcpStream) -> Result<(), Failure> {
    use soketto::handshake::server::{Response, Server};
    use tokio_util::compat::TokioAsyncReadCompatExt;
    let mut server = Server::new(stream.compat());
    let key = server.receive_request().await?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    let (mut sender, mut receiver) = server.into_builder().finish();
    let mut data = Vec::new();
    loop {
        data.clear();
        if receiver.receive_data(&mut data).await?.is_text() {
            sender.send_text(std::str::from_utf8(&data)?).await?;
        } else {
            sender.send_binary_mut(&mut data).await?;
        }
        sender.flush().await?;
    }
}

async fn yawc(mut stream: TcpStream, fed: bool, deflate: bool) -> Result<(), Failure> {
    use yawc::{Frame, OpCode, Options, Role, WebSocket};
    let agreed = deflate.then_some(DEFLATE);
    handshake(&mut stream, agreed).await?;
    let mut options = Options::default().with_limits(YAWC_MESSAGE, YAWC_BUFFER);
    if deflate {
        options =
            options.with_balanced_compression().server_no_context_takeover().client_no_context_takeover();
    }
    let socket = WebSocket::from_stream_with_extensions(stream, Role::Server, agreed, options)?;
    let is_data = |frame: &Frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary);
    echo(socket.map(Ok::<_, yawc::WebSocketError>), fed, is_data).await
}

async fn wtx(mut stream: TcpStream) -> Result<(), Failure> {
    use wtx::web_socket::{OpCode, WebSocket, WebSocketBuffer, WebSocketPayloadOrigin};
    handshake(&mut stream, None).await?;
    let random = wtx::rng::Xorshift64::from(wtx::rng::simple_seed());
    let mut socket: WebSocket<(), _, _, _, false> =
        WebSocket::new((), false, random, stream, WebSocketBuffer::new());
    let mut buffer = wtx::collection::Vector::new();
    let (mut common, mut reader, mut writer) = socket.split_mut();
    loop {
        let origin = WebSocketPayloadOrigin::Adaptive;
        let mut frame = reader.read_frame(&mut buffer, &mut common, origin).await?;
        match frame.op_code() {
            OpCode::Binary | OpCode::Text => writer.write_frame(&mut common, &mut frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

/// The opening handshake for libraries that leave it to their users.
async fn handshake(stream: &mut TcpStream, extensions: Option<&str>) -> Result<(), Failure> {
    let (mut head, mut length) = ([0; 2048], 0);
    while !head[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[length..]).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => length += count,
        }
    }
    let head = std::str::from_utf8(&head[..length])?;
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let key = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = key.ok_or("no key")?.1.trim();
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let extensions =
        extensions.map(|agreed| format!("Sec-WebSocket-Extensions: {agreed}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}
