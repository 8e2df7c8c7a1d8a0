//! One connection: addresses, the opening handshake, refusals, redirects, the end. On real sockets; where time
//! matters it is tokio's, paused once the connection stands.

mod client_peer;

use std::time::Duration;

use client_peer::{Peer, Request, cancelled_after, closed_port, unhung};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use wirelet::client::{Builder, ConnectError, Phase, RedirectError};
use wirelet::proto::handshake::{HandshakeError, UriError};
use wirelet::{Client, CloseCode, Error, Keepalive, Limits, Timeout, WebSocket};

/// What a client says when `answer` talks to it.
async fn attempt<F: Future<Output = ()>>(
    peer: &Peer,
    builder: Builder,
    answer: impl FnOnce(Request) -> F,
) -> Result<WebSocket, ConnectError> {
    let server = async { answer(peer.request().await).await };
    let (result, ()) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    result.map(|(websocket, _)| websocket)
}

/// What a client says to the answer `text`.
async fn answered(text: &str) -> ConnectError {
    let peer = Peer::bind().await;
    let builder = Client::builder(peer.url());
    attempt(&peer, builder, async |mut request| request.answer(text).await).await.unwrap_err()
}

#[tokio::test]
async fn request_and_response_carry_what_was_asked_for() {
    let peer = Peer::bind().await;
    let url = format!("ws://Aladdin:open%20sesame@{}/a/b?c=d", peer.address);
    let client = Client::builder(&url)
        .header("X-One", "1")
        .origin("http://example.com")
        .user_agent("tests")
        .subprotocol("first")
        .subprotocol("second");
    let server = async {
        let request = peer.request().await;
        assert_eq!(request.target(), "/a/b?c=d");
        for (name, value) in [
            ("Host", peer.address.to_string().as_str()),
            ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("X-One", "1"),
            ("Origin", "http://example.com"),
            ("User-Agent", "tests"),
            ("Sec-WebSocket-Protocol", "first, second"),
            ("Sec-WebSocket-Version", "13"),
        ] {
            assert_eq!(request.header(name).as_deref(), Some(value), "{name}");
        }
        let mut websocket = request.accept("Sec-WebSocket-Protocol: second\r\nX-Two: 2\r\n").await;
        let message = websocket.recv().await.unwrap().unwrap();
        websocket.send(message).await.unwrap();
        assert!(websocket.recv().await.unwrap().is_none());
        assert_eq!(websocket.close_info().received, Some(CloseCode::NORMAL));
    };
    let client = async {
        let (mut websocket, response) = client.connect_once().await.unwrap();
        assert_eq!((response.status, response.header("x-two")), (101, Some("2")));
        assert_eq!((response.subprotocol.as_deref(), websocket.subprotocol()), (Some("second"), Some(1)));
        assert_eq!(
            (response.address.socket().unwrap(), response.url),
            (peer.address, format!("ws://{}/a/b?c=d", peer.address))
        );
        websocket.send("hello").await.unwrap();
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("hello"));
        websocket.close(CloseCode::NORMAL, "done").await.unwrap();
        assert!(websocket.close_info().is_clean());
    };
    unhung(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn the_default_request_is_plain() {
    let peer = Peer::bind().await;
    let builder = Client::builder(format!("http://{}", peer.address));
    let websocket = attempt(&peer, builder, async |request| {
        assert_eq!(request.target(), "/");
        assert!(request.header("User-Agent").unwrap().starts_with("wirelet/"));
        for name in ["Authorization", "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
            assert_eq!(request.header(name), None);
        }
        request.accept("").await;
    });
    websocket.await.unwrap();
}

#[tokio::test]
async fn the_answer_may_come_in_any_pieces_with_frames_behind_it() {
    for piece in [1, 2, 7, usize::MAX] {
        let peer = Peer::bind().await;
        let server = async {
            let mut request = peer.request().await;
            let mut bytes = request.acceptance("").into_bytes();
            bytes.extend_from_slice(b"\x81\x05hello\x82\x01x\x88\x02\x03\xe8");
            request.stream.set_nodelay(true).unwrap();
            for piece in bytes.chunks(piece.min(bytes.len())) {
                request.answer(piece).await;
                tokio::task::yield_now().await;
            }
            request
        };
        let builder = Client::builder(peer.url());
        let (opened, mut request) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
        let (mut websocket, _) = opened.unwrap();
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("hello"));
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_bytes(), b"x");
        assert!(websocket.recv().await.unwrap().is_none());
        let mut close = [0; 8];
        unhung(request.stream.read_exact(&mut close)).await.unwrap();
        assert_eq!(close[..2], [0x88, 0x82]);
    }
}

// ---- addresses ----

#[tokio::test]
async fn a_refused_port_keeps_the_systems_error() {
    let address = closed_port().await;
    let error = Client::builder(format!("ws://{address}")).connect_once().await.unwrap_err();
    assert_eq!(error.phase(), Phase::Connect);
    assert_eq!((error.address(), error.status()), (Some(&address.into()), None));
    assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(error.raw_os_error().is_some());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn the_next_address_follows_one_that_refuses() {
    let (closed, peer) = (closed_port().await, Peer::bind().await);
    let builder = Client::builder("ws://example.com/").addresses([closed, peer.address]);
    let websocket = attempt(&peer, builder, async |request| {
        assert_eq!(request.header("Host").as_deref(), Some("example.com"));
        request.accept("").await;
    });
    websocket.await.unwrap();
}

/// A listener whose backlog is full: the system answers no more requests to connect.
#[cfg(target_os = "linux")]
async fn deaf_port() -> (TcpListener, std::net::SocketAddr, Vec<tokio::task::JoinHandle<()>>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // The first one or two are taken into the backlog.
    let fillers = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let _stream = TcpStream::connect(address).await;
                std::future::pending::<()>().await;
            })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    (listener, address, fillers)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_next_address_follows_one_that_does_not_answer() {
    let ((_listener, deaf, _fillers), peer) = (deaf_port().await, Peer::bind().await);
    let builder = Client::builder("ws://example.com/").addresses([deaf, peer.address]);
    let started = std::time::Instant::now();
    attempt(&peer, builder, async |request| drop(request.accept("").await)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200), "the first address was not tried");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connect_deadline_names_every_address() {
    let ((_listener, deaf, _fillers), closed) = (deaf_port().await, closed_port().await);
    let builder = Client::builder("ws://example.com/")
        .addresses([closed, deaf])
        .connect_timeout(Duration::from_millis(1500));
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { which: Timeout::Connect, .. }), "{error}");
    assert_eq!(error.phase(), Phase::Connect);
    let tried: Vec<_> =
        error.tried().iter().map(|tried| (tried.address.socket().unwrap(), tried.error.is_some())).collect();
    assert_eq!(tried, [(closed, true), (deaf, false)]);
}

#[tokio::test]
async fn when_all_refuse_the_error_names_them_in_order() {
    let addresses = [closed_port().await, closed_port().await, closed_port().await];
    let builder = Client::builder("ws://example.com/").addresses(addresses);
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert_eq!(
        error.tried().iter().map(|tried| tried.address.socket().unwrap()).collect::<Vec<_>>(),
        addresses
    );
    assert!(error.tried().iter().all(|tried| tried.error.is_some()));
}

#[tokio::test]
async fn an_unknown_name_is_told() {
    // Longer than a label may be: no name server is asked.
    let host = "x".repeat(64);
    let error = unhung(Client::builder(format!("ws://{host}/")).connect_once()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Resolve { host: name, .. } if *name == host), "{error}");
    assert_eq!(error.phase(), Phase::Resolve);
}

// ---- what is the caller's fault ----

#[tokio::test]
async fn nothing_is_sent_that_must_not_be() {
    let peer = Peer::bind().await;
    let url = peer.url();
    let build = || Client::builder(&url);
    let refused = [
        build().header("X", "a\r\nY: b"),
        build().header("X\0", "a"),
        build().header("Host", "other"),
        build().header("Sec-WebSocket-Key", "x"),
        build().user_agent("a\nb"),
        build().subprotocol("a b"),
        build().subprotocol("a").subprotocol("a"),
        build().origin("http://a\r\n"),
    ];
    for builder in refused {
        let error = builder.connect_once().await.unwrap_err();
        assert!(matches!(error, ConnectError::Request(_)), "{error}");
        assert!(error.is_callers());
        assert!(builder.connect().is_err());
    }
    for (url, expected) in [
        ("http//x", UriError::Scheme),
        ("ftp://x", UriError::Scheme),
        ("ws://", UriError::Host),
        ("ws://x:99999", UriError::Port),
        ("ws://x/#y", UriError::Fragment),
        ("ws://x/ y", UriError::Character),
    ] {
        let error = Client::builder(url).connect_once().await.unwrap_err();
        assert!(matches!(error, ConnectError::Url(error) if error == expected), "{url}");
    }
    #[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
    {
        let error = Client::builder("wss://user:secret@localhost/x").connect_once().await.unwrap_err();
        assert!(matches!(&error, ConnectError::NoTls { host } if host == "localhost"), "{error}");
        assert!(error.is_callers());
    }
    let nobody = cancelled_after(1, peer.listener.accept()).await;
    assert!(nobody.is_none(), "somebody has connected");
}

#[test]
fn no_password_is_shown() {
    let builder = Client::builder("ws://user:secret@localhost/x").header("Cookie", "secret");
    assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
}

// ---- answers that open nothing ----

#[tokio::test]
async fn a_refusal_keeps_status_headers_and_body() {
    let error = answered(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 9\r\n\r\nwho? you?never seen",
    )
    .await;
    let response = error.response().unwrap();
    assert_eq!((error.status(), error.phase()), (Some(401), Phase::Handshake));
    assert_eq!(response.header("www-authenticate"), Some("Basic"));
    assert_eq!((response.text().as_ref(), response.is_complete), ("who? you?", true));
    assert!(error.to_string().contains("401 (Unauthorized)"), "{error}");
}

#[tokio::test]
async fn a_refusal_in_chunks_or_until_the_end() {
    let chunked = "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbe\r\n4\r\ngone\r\n0\r\n\r\n";
    let until_end = "HTTP/1.0 503 x\r\n\r\nbegone";
    for text in [chunked, until_end] {
        let error = answered(text).await;
        let response = error.response().unwrap();
        assert_eq!((response.text().as_ref(), response.is_complete), ("begone", true));
    }
}

#[tokio::test]
async fn a_refusals_body_is_bounded() {
    let peer = Peer::bind().await;
    let error = attempt(&peer, Client::builder(peer.url()), async |mut request| {
        request.answer("HTTP/1.1 500 x\r\n\r\n").await;
        // Until nobody reads any more.
        while request.stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let error = error.await.unwrap_err();
    let response = error.response().unwrap();
    assert_eq!((response.body.len(), response.is_complete), (16 * 1024, false));
}

#[tokio::test]
async fn a_refusals_body_that_does_not_come_is_not_waited_for() {
    let peer = Peer::bind().await;
    let started = Instant::now();
    let error = attempt(&peer, Client::builder(peer.url()), async |mut request| {
        request.answer("HTTP/1.1 403 x\r\nContent-Length: 100\r\n\r\nsome").await;
        tokio::time::pause();
        // Held open until the client has let go.
        let mut rest = Vec::new();
        let _ = request.stream.read_to_end(&mut rest).await;
    });
    let error = error.await.unwrap_err();
    let response = error.response().unwrap();
    assert_eq!((error.status(), response.text().as_ref(), response.is_complete), (Some(403), "some", false));
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
}

#[tokio::test]
async fn answers_that_are_none() {
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let upgrade = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let long = format!("{upgrade}X: {}\r\n\r\n", "x".repeat(17_000));
    let many = format!("{upgrade}{}\r\n", "X: y\r\n".repeat(2000));
    for (text, expected) in [
        (format!("{upgrade}{accept}\r\n"), HandshakeError::Accept),
        (format!("{upgrade}Sec-WebSocket-Accept:\r\n\r\n"), HandshakeError::Accept),
        (format!("{upgrade}\r\n"), HandshakeError::Accept),
        (format!("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n{accept}\r\n"), HandshakeError::ResponseUpgrade),
        (format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n{accept}\r\n"), HandshakeError::ResponseConnection),
        (long, HandshakeError::HeadTooLarge),
        (many, HandshakeError::TooManyHeaders),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), HandshakeError::NotHttp),
        ("\0\x01\x02".to_owned(), HandshakeError::NotHttp),
    ] {
        match answered(&text).await {
            ConnectError::Handshake { error, .. } => {
                assert_eq!(error, expected, "{:.60}", text.escape_debug())
            }
            other => panic!("{other} for {:.60}", text.escape_debug()),
        }
    }
}

#[tokio::test]
async fn what_was_not_asked_for_opens_nothing() {
    for (more, expected) in [
        ("Sec-WebSocket-Protocol: chat\r\n", HandshakeError::UnrequestedSubprotocol),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", HandshakeError::UnrequestedExtension),
    ] {
        let peer = Peer::bind().await;
        let builder = Client::builder(peer.url()).subprotocol("other");
        let error =
            attempt(&peer, builder, async |request| drop(request.accept(more).await)).await.unwrap_err();
        assert_eq!(error.status(), Some(101));
        assert!(matches!(error, ConnectError::Handshake { error, .. } if error == expected), "{error}");
    }
}

#[tokio::test]
async fn a_status_of_200_opens_nothing_whatever_it_says() {
    let peer = Peer::bind().await;
    let error = attempt(&peer, Client::builder(peer.url()), async |mut request| {
        let acceptance =
            request.acceptance("Content-Length: 0\r\n").replace("101 Switching Protocols", "200 OK");
        request.answer(acceptance).await;
    });
    assert_eq!(error.await.unwrap_err().response().unwrap().status, 200);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told() {
    let peer = Peer::bind().await;
    let error = attempt(&peer, Client::builder(peer.url()), async |request| drop(request)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
    assert_eq!((error.phase(), error.address()), (Phase::Handshake, Some(&peer.address.into())));
}

#[tokio::test]
async fn a_silent_server_meets_the_handshake_deadline() {
    let peer = Peer::bind().await;
    let began = tokio::sync::OnceCell::new();
    let error = attempt(&peer, Client::builder(peer.url()), async |mut request| {
        tokio::time::pause();
        began.set(Instant::now()).unwrap();
        assert_eq!(request.stream.read(&mut [0]).await.unwrap_or(0), 0);
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { which: Timeout::Handshake, .. }), "{error}");
    assert_eq!((error.phase(), error.address()), (Phase::Handshake, Some(&peer.address.into())));
    let elapsed = began.get().unwrap().elapsed();
    assert!(elapsed <= Duration::from_millis(10_001), "{elapsed:?}");
}

#[tokio::test]
async fn a_byte_a_second_meets_the_handshake_deadline() {
    let peer = Peer::bind().await;
    let error = attempt(&peer, Client::builder(peer.url()), async |mut request| {
        tokio::time::pause();
        let acceptance = request.acceptance("");
        let mut sent = 0;
        for byte in acceptance.bytes() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if request.stream.write_u8(byte).await.is_err() {
                break;
            }
            sent += 1;
        }
        assert!((9..=12).contains(&sent), "{sent}");
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { which: Timeout::Handshake, .. }), "{error}");
}

// ---- redirects ----

/// `HTTP/1.1 302` to `location`.
fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let error = answered(&redirect("http://elsewhere/")).await;
    assert!(matches!(error, ConnectError::Refused(_)));
    assert_eq!(error.response().unwrap().location().unwrap(), "http://elsewhere/");
    assert!(error.to_string().ends_with("to http://elsewhere/"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_on_demand_with_credentials_on_the_same_host() {
    let peer = Peer::bind().await;
    let builder = Client::builder(peer.url()).basic_auth("a", "b").header("Cookie", "c").redirects(2);
    let server = async {
        peer.request().await.answer(redirect("/next?x")).await;
        peer.request().await.answer(redirect(&format!("http://{}/last", peer.address))).await;
        let request = peer.request().await;
        assert_eq!(request.target(), "/last");
        assert!(request.header("Authorization").is_some() && request.header("Cookie").is_some());
        request.accept("").await
    };
    let (opened, _) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    assert_eq!(opened.unwrap().1.url, format!("ws://{}/last", peer.address));
}

#[tokio::test]
async fn another_host_gets_no_credentials_not_even_after_a_way_back() {
    let (peer, other) = (Peer::bind().await, Peer::bind().await);
    let builder = Client::builder(format!("ws://a:b@{}", peer.address)).header("cookie", "c").redirects(2);
    let server = async {
        let mut request = peer.request().await;
        assert!(request.header("Authorization").is_some() && request.header("Cookie").is_some());
        request.answer(redirect(&format!("//e:f@{}/", other.address))).await;
        let mut request = other.request().await;
        assert_eq!((request.header("Authorization"), request.header("Cookie")), (None, None));
        request.answer(redirect(&peer.url())).await;
        let request = peer.request().await;
        assert_eq!((request.header("Authorization"), request.header("Cookie")), (None, None));
        request.accept("").await
    };
    let (opened, _) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    opened.unwrap();
}

#[tokio::test]
async fn redirects_that_cannot_be_followed() {
    for (location, expected) in [
        #[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
        ("https://127.0.0.1/", RedirectError::NoTls),
        #[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
        ("wss://127.0.0.1/", RedirectError::NoTls),
        ("ftp://127.0.0.1/", RedirectError::Location(UriError::Scheme)),
        ("file:///etc/passwd", RedirectError::Location(UriError::Scheme)),
    ] {
        let peer = Peer::bind().await;
        let builder = Client::builder(peer.url()).redirects(5);
        let error = attempt(&peer, builder, async |mut request| request.answer(redirect(location)).await);
        let error = error.await.unwrap_err();
        assert_eq!(error.status(), Some(302));
        assert!(
            matches!(error, ConnectError::Redirect { error, .. } if error == expected),
            "{location}: {error}"
        );
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let peer = Peer::bind().await;
    let builder = Client::builder(peer.url()).redirects(3);
    let server = async {
        for _ in 0..4 {
            peer.request().await.answer(redirect("/")).await;
        }
    };
    let (error, ()) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    assert!(matches!(error, Err(ConnectError::Redirect { error: RedirectError::TooMany, .. })));
}

// ---- the end ----

/// A connection with a peer that speaks in bytes.
async fn with_bytes(builder: impl FnOnce(Builder) -> Builder) -> (WebSocket, TcpStream) {
    let peer = Peer::bind().await;
    let builder = builder(Client::builder(peer.url()));
    let server = async {
        let mut request = peer.request().await;
        let acceptance = request.acceptance("");
        request.answer(acceptance).await;
        request.stream
    };
    let (opened, stream) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    (opened.unwrap().0, stream)
}

/// An answer to another protocol, in the same socket: what some servers write after their close frame.
const NOISE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn bytes_after_the_peers_close_frame_are_ignored() {
    let (mut websocket, mut stream) = with_bytes(|builder| builder).await;
    stream.write_all(&[b"\x81\x02hi\x88\x05\x03\xe8bye", NOISE].concat()).await.unwrap();
    let client = async {
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("hi"));
        assert!(websocket.recv().await.unwrap().is_none());
        websocket.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(websocket.close_info().is_clean());
        assert_eq!(websocket.close_reason().as_deref(), Some("bye"));
    };
    let server = async {
        let mut close = [0; 8];
        stream.read_exact(&mut close).await.unwrap();
        assert_eq!(close[..2], [0x88, 0x82]);
        stream.write_all(NOISE).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    };
    unhung(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn bytes_after_the_answer_to_a_close_frame_are_ignored() {
    let (mut websocket, mut stream) = with_bytes(|builder| builder).await;
    let server = async {
        let mut close = [0; 8];
        stream.read_exact(&mut close).await.unwrap();
        stream.write_all(&[b"\x88\x02\x03\xe8", NOISE].concat()).await.unwrap();
        drop(stream);
    };
    let client = async {
        websocket.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(websocket.close_info().is_clean());
    };
    unhung(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn closing_is_bounded_when_the_peer_never_answers() {
    let (mut websocket, _stream) = with_bytes(|builder| builder).await;
    tokio::time::pause();
    let started = Instant::now();
    let error = unhung(websocket.close(CloseCode::NORMAL, "")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Closing)), "{error}");
    let elapsed = started.elapsed();
    assert!((4_900..=5_100).contains(&elapsed.as_millis()), "{elapsed:?}");
    assert!(!websocket.close_info().is_clean());
}

#[tokio::test]
async fn the_watchdog_bites_when_nothing_arrives() {
    let keepalive =
        wirelet::Keepalive { ping: None, idle: Some(Duration::from_secs(5)), ..Default::default() };
    let (mut websocket, mut stream) = with_bytes(|builder| builder.keepalive(keepalive)).await;
    tokio::time::pause();
    let started = Instant::now();
    // A pong counts too.
    stream.write_all(b"\x8a\x00").await.unwrap();
    let error = unhung(websocket.recv()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Idle)), "{error}");
    assert!((4_900..=10_100).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let mut close = [0; 8];
    unhung(stream.read_exact(&mut close)).await.unwrap();
    assert_eq!(close[..2], [0x88, 0x82]);
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let limits = Limits { message: 4, ..Limits::new() };
    let (mut websocket, mut stream) = with_bytes(|builder| builder.limits(limits)).await;
    stream.write_all(b"\x81\x05hello").await.unwrap();
    let error = unhung(websocket.recv()).await.unwrap_err();
    assert_eq!(
        (error.close_code(), websocket.close_info().sent),
        (CloseCode::MESSAGE_TOO_BIG, Some(CloseCode::MESSAGE_TOO_BIG))
    );
}

// ---- cancellation ----

#[tokio::test]
async fn an_attempt_may_be_given_up_at_every_poll() {
    let peer = Peer::bind().await;
    let (ended, mut count) = tokio::sync::mpsc::unbounded_channel();
    let address = peer.address;
    tokio::spawn(async move {
        loop {
            let mut stream = peer.connection().await;
            let ended = ended.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(n @ 1..) => head.extend_from_slice(&buffer[..n]),
                        _ => {
                            let _ = ended.send(false);
                            return;
                        }
                    }
                }
                let request = Request { stream, head: String::from_utf8(head).unwrap() };
                let mut websocket = request.accept("").await;
                while let Ok(Some(message)) = websocket.recv().await {
                    let _ = websocket.send(message).await;
                }
                let _ = ended.send(true);
            });
        }
    });
    let mut completed = None;
    for polls in 1..1000 {
        let builder = Client::builder(format!("ws://{address}"));
        if let Some(opened) = unhung(cancelled_after(polls, builder.connect_once())).await {
            let (mut websocket, _) = opened.unwrap();
            websocket.send("x").await.unwrap();
            assert_eq!(unhung(websocket.recv()).await.unwrap().unwrap().as_text(), Some("x"));
            completed = Some(polls);
            break;
        }
    }
    let completed = completed.expect("it never completes");
    assert!(completed > 2, "{completed} polls");
    // What was opened has been closed again: the last one is, and it is the only one that came through.
    let mut whole = 0;
    while whole == 0 {
        whole += usize::from(unhung(count.recv()).await.unwrap());
    }
}

// ---- two tasks ----

#[tokio::test]
async fn both_halves_see_a_connection_that_breaks() {
    for read in [0, 1, 1000, 100_000, 3_000_000] {
        let (websocket, mut stream) = with_bytes(|builder| builder).await;
        let (mut send, mut receive) = websocket.split();
        let sending = tokio::spawn(async move {
            // More than the system's buffers take: it waits, or is told.
            loop {
                if let Err(error) = send.send(vec![0; 1 << 20]).await {
                    break error;
                }
            }
        });
        let receiving = tokio::spawn(async move { receive.recv().await });
        unhung(stream.read_exact(&mut vec![0; read])).await.unwrap();
        drop(stream);
        let (sent, received) = unhung(async { tokio::join!(sending, receiving) }).await;
        assert!(matches!(sent, Ok(Error::Closed)), "{sent:?}");
        assert!(matches!(received, Ok(Err(Error::Io(_) | Error::Abnormal))), "{received:?}");
    }
}

/// `Duration::MAX`, which says "never" in most programs, was added to the clock and panicked.
#[tokio::test]
async fn a_duration_that_no_clock_can_hold_panicked_as_a_timeout() {
    let max = Duration::MAX;
    let limits = Limits { handshake_time: max, closing_time: max, message_time: Some(max), ..Limits::new() };
    let never = |url: String| {
        Client::builder(url)
            .limits(limits.clone())
            .connect_timeout(max)
            .handshake_timeout(max)
            .keepalive(Keepalive { ping: Some(max), pong: max, idle: Some(max) })
    };
    let peer = Peer::bind().await;
    let serve = async || {
        let mut websocket = peer.websocket().await;
        while let Some(message) = websocket.recv().await.unwrap() {
            websocket.send(message).await.unwrap();
        }
    };
    let once = async {
        let (mut websocket, _) = never(peer.url()).connect_once().await.unwrap();
        websocket.send("hello").await.unwrap();
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("hello"));
        websocket.close(CloseCode::NORMAL, "").await.unwrap();
    };
    unhung(async { tokio::join!(once, serve()) }).await;
    let reconnecting = async {
        let mut client = never(peer.url()).connect().unwrap();
        client.wait_connected().await.unwrap();
        client.close(CloseCode::NORMAL, "").await.unwrap();
    };
    unhung(async { tokio::join!(reconnecting, serve()) }).await;
    let refused = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    let error = attempt(&peer, never(peer.url()), async |mut request| request.answer(refused).await).await;
    assert_eq!(error.unwrap_err().response().unwrap().text(), "no");
}

/// What a server of another protocol had said was not to be seen; and as it ends no head, it was waited for.
#[tokio::test]
async fn an_answer_that_is_none_was_not_shown() {
    for (text, shown) in [
        (
            "SSH-2.0-OpenSSH_9.6\r\n",
            "did not open a WebSocket: the answer is not HTTP; it begins with \"SSH-2.0-OpenSSH_9.6\\r\\n\"",
        ),
        ("\x15\x03\x01\0\x02\x02F", "it begins with \"\\x15\\x03\\x01\\x00\\x02\\x02F\""),
        (
            "HTTP/1.1 101 x\r\nX : y\r\n\r\n",
            "the name of a header is not a token; it begins with \"HTTP/1.1 101 x\\r\\nX : y\\r\\n\\r\\n\"",
        ),
        ("HTTP/1.1 101 x\r\nUp", "ended it in its answer, which begins with \"HTTP/1.1 101 x\\r\\nUp\""),
        ("", "the server ended it without an answer"),
    ] {
        let error = answered(text).await.to_string();
        assert!(error.contains(shown), "{text:?}: {error}");
    }
    let long = answered(&"x".repeat(1000)).await;
    assert!(matches!(&long, ConnectError::Handshake { received, .. } if received.len() == 64), "{long}");
    // Who says so and waits is not waited for.
    let peer = Peer::bind().await;
    let server = async {
        let mut request = peer.request().await;
        request.answer("SSH-2.0-x\r\n").await;
        let mut rest = Vec::new();
        let _ = request.stream.read_to_end(&mut rest).await;
    };
    let builder = Client::builder(peer.url());
    let (error, ()) = tokio::join!(unhung(builder.connect_once()), server);
    assert!(matches!(error, Err(ConnectError::Handshake { error: HandshakeError::NotHttp, .. })));
}

/// An IPv6 address with a zone was no host. A number is a zone of any address, so that the loopback's does.
#[tokio::test]
async fn an_address_with_a_zone_was_no_host() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let peer = Peer { address: listener.local_addr().unwrap(), listener };
    for zone in ["%1", "%251"] {
        let builder = Client::builder(format!("ws://[::1{zone}]:{port}/a"));
        let server = async {
            let request = peer.request().await;
            assert_eq!(request.header("Host"), Some(format!("[::1]:{port}")));
            request.accept("").await
        };
        let (opened, _websocket) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
        let (_, response) = opened.unwrap();
        assert_eq!(response.url, format!("ws://[::1]:{port}/a"));
    }
}

/// A header value with UTF-8 in it was refused before it was sent.
#[tokio::test]
async fn a_header_beyond_ascii_was_refused() {
    let peer = Peer::bind().await;
    let client =
        Client::builder(peer.url()).header("X-Name", "caf\u{e9} \u{65e5}\u{672c}").user_agent("\u{fc}");
    let server = async {
        let request = peer.request().await;
        assert_eq!(request.header("X-Name").as_deref(), Some("caf\u{e9} \u{65e5}\u{672c}"));
        assert_eq!(request.header("User-Agent").as_deref(), Some("\u{fc}"));
        request.accept("X-Answer: \u{fc}\r\n").await
    };
    let (opened, _websocket) = unhung(async { tokio::join!(client.connect_once(), server) }).await;
    let (_, response) = opened.unwrap();
    assert_eq!(response.headers.get("x-answer").unwrap().as_bytes(), "\u{fc}".as_bytes());
    for control in ["a\u{7f}", "a\0b", "a\r\nB: c", "\u{1b}[1m"] {
        let error = Client::builder(peer.url()).header("X", control).connect_once().await.unwrap_err();
        assert!(matches!(error, ConnectError::Request(_)), "{error}");
    }
}
