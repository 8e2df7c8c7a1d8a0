//! wirelet in axum, and axum behind wirelet: real servers and real clients.

mod peer;
mod running;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::routing::{any, get};
use hyper_util::rt::TokioIo;
use peer::*;
use running::*;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower_service::Service;
use wirelet::axum::WebSocketUpgrade;
use wirelet::server::{Context, Origins, Page, Router, Verdict, WebSocketService, WebSockets, ws, ws_gated};
use wirelet::{Client, CloseCode, Compression, Limits, Message, WebSocket};

/// An axum server on a real socket, which ends with this.
struct Axum {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Axum {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Axum {
    async fn serve(app: axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        Self { address, task: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }) }
    }

    fn client(&self, target: &str) -> wirelet::client::Builder {
        Client::builder(format!("ws://{}{target}", self.address))
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Says what its context knows, then echoes.
async fn tell(mut ws: WebSocket, context: Context) -> Result<(), wirelet::Error> {
    let known = format!(
        "{} {:?} room {:?} of {} by {:?}",
        context.path(),
        context.query(),
        context.param("room"),
        context.peer().unwrap().ip(),
        context.subprotocol()
    );
    ws.send(known).await?;
    echo(ws, context).await
}

async fn room(upgrade: WebSocketUpgrade) -> Response {
    upgrade.subprotocols(["b", "a"]).compression(Compression::shared().threshold(1)).on_upgrade(tell)
}

/// Twenty-five lines by hand, without compression, limits or numbers: that was wirelet in axum.
#[tokio::test]
async fn an_application_of_axum_had_to_write_the_handshake_by_hand() {
    let sockets = WebSockets::new();
    let rooms = axum::Router::new().route("/{room}", any(room));
    let app = axum::Router::new().nest("/rooms", rooms).layer(Extension(sockets.clone()));
    let axum = Axum::serve(app).await;
    let client = axum.client("/rooms/caf%C3%A9?x=1").subprotocol("a").compression(Compression::shared());
    let (mut ws, response) = client.connect_once().await.unwrap();
    assert_eq!(response.subprotocol.as_deref(), Some("a"));
    assert!(ws.compression().is_some());
    let told = ws.recv().await.unwrap().unwrap();
    let known = "/rooms/caf%C3%A9 Some(\"x=1\") room Some(\"café\") of 127.0.0.1 by Some(\"a\")";
    assert_eq!(told.as_text(), Some(known));
    for message in [Message::from("x".repeat(10_000)), Message::from(vec![7; 100_000]), Message::from("")] {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().unwrap(), message);
    }
    // By number, and all of them.
    let handle = sockets.handle();
    let known = handle.connections();
    assert_eq!(known.iter().map(|known| &*known.route).collect::<Vec<_>>(), ["/rooms/{room}"]);
    handle.try_send(known[0].id, "to you").unwrap();
    assert_eq!(handle.broadcast("to all"), 1);
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("to you"));
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("to all"));
    // axum forgets what it has upgraded; these are closed, and waited for.
    let client = async {
        assert_eq!(ws.recv().await.unwrap(), None);
        ws.close(CloseCode::NORMAL, "").await.unwrap();
    };
    tokio::join!(client, sockets.shutdown(Duration::from_secs(60)));
    assert_eq!(ws.close_info().received, Some(CloseCode::GOING_AWAY));
    assert_eq!(handle.count(), 0);
    let refused = axum.client("/rooms/x").connect_once().await.unwrap_err();
    assert!(format!("{refused:?}").contains("503"), "{refused:?}");
}

/// A request was judged by other rules where a library had read it.
#[tokio::test]
async fn a_request_that_axum_had_read_was_judged_by_other_rules() {
    let route = || ws(echo).gate(|_| async { Verdict::accept() });
    let service = WebSockets::new().service(route()).unwrap();
    let extractor = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    let app = axum::Router::new().route_service("/ws", service).route("/extracted", any(extractor));
    let axum = Axum::serve(app.clone()).await;
    let pages = Router::new().page("/", Page::html("x"));
    let own = serve(pages.ws("/ws", route()).ws("/extracted", route())).await;
    let behind = serve(Router::new().page("/", Page::html("x")).fallback(app)).await;
    let upgrade = |headers: &str| upgrade_request("/ws", headers);
    let without = |line: &str| upgrade("").replace(line, "");
    for (request, status) in [
        (upgrade(""), 101),
        (without("Upgrade: websocket\r\n"), 426),
        (without("Connection: Upgrade\r\n"), 400),
        (without("Sec-WebSocket-Version: 13\r\n"), 426),
        (upgrade("Sec-WebSocket-Version: 13\r\n"), 426),
        (upgrade("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (upgrade("Origin: http://other.example\r\n"), 403),
        (upgrade("Origin: http://localhost:8080\r\n"), 101),
        (upgrade("Origin: a\r\nOrigin: b\r\n"), 400),
        (upgrade("Sec-WebSocket-Protocol: a, a\r\n"), 400),
        (upgrade("Sec-WebSocket-Protocol:\r\n"), 400),
        (upgrade("Sec-WebSocket-Extensions: ;\r\n"), 400),
        (upgrade("Transfer-Encoding: chunked\r\n"), 400),
        (upgrade("").replace("GET", "PUT"), 405),
        (upgrade("").replace("/ws", "/ws?x|y"), 101),
        (upgrade("").replace("Host: localhost:8080", "Host: fd00::1:8081"), 400),
        (upgrade("").replace("GET /ws", "GET http://localhost:8080/ws"), 101),
        (upgrade("Origin: http://localhost:8080\r\n").replace("GET /ws", "GET http://other/ws"), 403),
    ] {
        for target in ["/ws", "/extracted"] {
            let request = request.replacen("/ws", target, 1);
            for kept in [false, true] {
                let mut streams = vec![own.connect_or_keep(kept).await, behind.connect_or_keep(kept).await];
                if !kept {
                    streams.push(axum.connect().await);
                }
                for mut stream in streams {
                    write(&mut stream, request.as_bytes()).await;
                    let (answered, head, _) = read_response(&mut stream).await.unwrap();
                    assert_eq!(answered, status, "{request}{head}");
                    if status == 101 {
                        write(&mut stream, &client_frame(TEXT, b"hello")).await;
                        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"hello".to_vec()));
                    }
                }
            }
        }
    }
}

/// What follows the request at once, in the same segment, is the first message.
#[tokio::test]
async fn messages_that_come_with_the_request_are_not_lost() {
    let app = || axum::Router::new().route("/ws", any(|up: WebSocketUpgrade| async { up.on_upgrade(echo) }));
    let axum = Axum::serve(app()).await;
    let behind = serve(Router::new().page("/", Page::html("x")).fallback(app())).await;
    for mut stream in [axum.connect().await, behind.connect().await, behind.kept().await] {
        let mut wire = upgrade_request("/ws", "").into_bytes();
        wire.extend(client_frame(BINARY, &[7; 70_000]));
        wire.extend(client_frame(TEXT, b"last"));
        write(&mut stream, &wire).await;
        assert_eq!(read_response(&mut stream).await.unwrap().0, 101);
        assert_eq!(read_frame(&mut stream).await.unwrap(), (BINARY, vec![7; 70_000]));
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"last".to_vec()));
    }
}

/// A server of wirelet had pages and single services, and no place for an application behind it.
#[tokio::test]
async fn all_other_paths_could_not_be_left_to_a_tower_service() {
    let who = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("hello, {}", peer.ip()) };
    let app = axum::Router::new().route("/page", get(who)).route("/rooms/{room}", any(room));
    let router = Router::new().ws("/own", ws(echo)).page("/", Page::html("x")).fallback(app);
    let running =
        serve_with(router, |server| server.limits(Limits { message: 20_000, ..Limits::default() })).await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (target, status, body) in [
        ("/", 200, "x"),
        ("/page", 200, "hello, 127.0.0.1"),
        ("/nothing", 404, ""),
        // A WebSocket of wirelet's is not the fallback's.
        ("/own", 426, "here is a WebSocket"),
    ] {
        let (answered, _, text) = running.ask(&get(target)).await;
        assert_eq!((answered, String::from_utf8_lossy(&text).as_ref()), (status, body), "{target}");
    }
    let address = running.address;
    let open = async |target: &str| Client::builder(format!("ws://{address}{target}")).connect_once().await;
    let (mut own, _) = open("/own").await.unwrap();
    let (mut behind, _) = open("/rooms/kitchen").await.unwrap();
    let told = behind.recv().await.unwrap().unwrap();
    assert_eq!(told.as_text(), Some("/rooms/kitchen None room Some(\"kitchen\") of 127.0.0.1 by None"));
    // Both are the server's: by number, with its limits, and when it stops.
    assert_eq!(running.handle.broadcast("all"), 2);
    for ws in [&mut own, &mut behind] {
        assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("all"));
    }
    let (mut large, _) = open("/rooms/hall").await.unwrap();
    large.recv().await.unwrap();
    large.send(vec![0; 20_001]).await.unwrap();
    assert_eq!(large.recv().await.unwrap(), None);
    assert_eq!(large.close_info().received, Some(CloseCode::MESSAGE_TOO_BIG));
    running.handle.stop();
    for ws in [&mut own, &mut behind] {
        assert_eq!(ws.recv().await.unwrap(), None);
        assert_eq!(ws.close_info().received, Some(CloseCode::GOING_AWAY));
    }
    assert_eq!(open("/rooms/kitchen").await.err().map(|_| ()), Some(()));
}

/// Serves one connection by hyper alone.
fn serve_by_hyper<S>(stream: S, service: &WebSocketService)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service.clone();
    let service = hyper::service::service_fn(move |request| service.clone().call(request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::spawn(connection.with_upgrades());
}

#[tokio::test]
async fn hyper_alone_serves_over_sockets_and_over_other_streams() {
    let service = WebSockets::new().service(ws(echo)).unwrap();
    let request = upgrade_request("/", "");
    let wire =
        [request.as_bytes(), &client_frame(TEXT, b"hello"), &client_frame(BINARY, &[7; 70_000])].concat();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    serve_by_hyper(listener.accept().await.unwrap().0, &service);
    let (mut pipe, other) = tokio::io::duplex(1 << 20);
    serve_by_hyper(other, &service);
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, wire: &[u8]) {
        write(stream, wire).await;
        assert_eq!(read_response(stream).await.unwrap().0, 101);
        assert_eq!(read_frame(stream).await.unwrap(), (TEXT, b"hello".to_vec()));
        assert_eq!(read_frame(stream).await.unwrap(), (BINARY, vec![7; 70_000]));
        write(stream, &client_frame(CLOSE, &close_payload(1000))).await;
        assert_eq!(read_frame(stream).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
        assert!(read_all(stream).await.is_empty());
    }
    talk(&mut socket, &wire).await;
    talk(&mut pipe, &wire).await;
}

/// A peer that does not answer a close frame, and a handler that never returns, hold up nobody for longer than the grace.
#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let sockets = WebSockets::new();
    let waits = ws(|ws, _| async move {
        std::future::pending::<()>().await;
        drop(ws);
    });
    let app = axum::Router::new().route_service("/ws", sockets.service(waits).unwrap());
    let axum = Axum::serve(app).await;
    let mut stream = axum.connect().await;
    write(&mut stream, upgrade_request("/ws", "").as_bytes()).await;
    assert_eq!(read_response(&mut stream).await.unwrap().0, 101);
    while sockets.handle().count() == 0 {
        tokio::task::yield_now().await;
    }
    sockets.shutdown(Duration::from_millis(50)).await;
    assert_eq!(sockets.handle().count(), 0);
    assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
    assert!(read_all(&mut stream).await.is_empty());
}

/// The value of a gate reaches its handler behind a library too, and a service says what it is asked for.
#[tokio::test]
async fn a_route_is_a_service() {
    let gate = |context: Context| async move {
        match context.query_value("user") {
            Some(user) => Verdict::accept_with(user),
            None => Verdict::reject(401, "who are you?"),
        }
    };
    let route = ws_gated(gate, |mut ws, _context, user: String| async move { ws.send(user).await });
    let sockets = WebSockets::new();
    let axum = Axum::serve(axum::Router::new().route_service("/ws", sockets.service(route).unwrap())).await;
    let (mut ws, _) = axum.client("/ws?user=ann").connect_once().await.unwrap();
    assert_eq!(ws.recv().await.unwrap().unwrap().as_text(), Some("ann"));
    for (request, status, body) in [
        (upgrade_request("/ws", ""), 401, "who are you?"),
        ("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 426, "here is a WebSocket"),
    ] {
        let mut stream = axum.connect().await;
        write(&mut stream, request.as_bytes()).await;
        let (answered, head, text) = read_response(&mut stream).await.unwrap();
        assert_eq!((answered, String::from_utf8_lossy(&text).as_ref()), (status, body), "{head}");
    }
    let nowhere = wirelet::server::ws(echo).origins(Origins::allow(["example.com"]));
    assert_eq!(sockets.service(nowhere).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}
