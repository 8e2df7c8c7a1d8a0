//! A client through proxies, which pass its bytes on to a server.

mod client_peer;
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
mod tls_peer;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
use client_peer::accept_on;
use client_peer::{Peer, closed_port, unhung};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use wirelet::client::{ConnectError, Event, Phase, Proxy, ProxyError, ReconnectConfig};
use wirelet::{Client, Message, Timeout};

fn proxy(url: &str) -> Proxy {
    Proxy::parse(url).unwrap()
}

/// What a client asks a proxy for: the head of CONNECT.
async fn connect_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(unhung(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Passes bytes on both ways.
async fn pass_on(mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: SocketAddr) {
    let mut far = TcpStream::connect(to).await.unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut stream, &mut far).await });
}

#[tokio::test]
async fn a_connection_passes_through_connect_and_the_proxy_alone_sees_its_credentials() {
    let (peer, proxy_peer) = (Peer::bind().await, Peer::bind().await);
    let builder = Client::builder("ws://server.invalid:8765/x")
        .basic_auth("server", "secret")
        .proxy(proxy(&format!("http://us%65r:pa%3Ass@{}", proxy_peer.address)));
    let through = async {
        let mut stream = proxy_peer.connection().await;
        let head = connect_head(&mut stream).await;
        // RFC 7617: "user:pa:ss".
        assert_eq!(
            head,
            "CONNECT server.invalid:8765 HTTP/1.1\r\nHost: server.invalid:8765\r\n\
             Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"
        );
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n").await.unwrap();
        pass_on(stream, peer.address).await;
    };
    let server = async {
        let request = peer.request().await;
        assert_eq!(request.header("Host").as_deref(), Some("server.invalid:8765"));
        assert!(request.header("Proxy-Authorization").is_none() && request.header("Authorization").is_some());
        request.accept("").await
    };
    let (opened, (), mut server) =
        unhung(async { tokio::join!(builder.connect_once(), through, server) }).await;
    let (mut client, response) = opened.unwrap();
    assert_eq!(response.address, proxy_peer.address);
    client.send("through").await.unwrap();
    assert_eq!(unhung(server.recv()).await.unwrap().unwrap(), Message::from("through"));
}

#[tokio::test]
async fn a_proxy_that_refuses_or_talks_nonsense_is_told() {
    for (answer, expected) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Some(407)),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Some(503)),
        ("SSH-2.0-x\r\n\r\n", None),
        // More than an answer: nobody has asked the server for anything yet.
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n", None),
    ] {
        let proxy_peer = Peer::bind().await;
        let builder =
            Client::builder("ws://server.invalid/").proxy(proxy(&format!("http://{}", proxy_peer.address)));
        let through = async {
            let mut stream = proxy_peer.connection().await;
            connect_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (opened, _stream) = unhung(async { tokio::join!(builder.connect_once(), through) }).await;
        let error = opened.unwrap_err();
        // The status is the proxy's, and no answer of the server's.
        assert_eq!((error.phase(), error.status()), (Phase::Proxy, None), "{error}");
        assert_eq!(error.address(), Some(&proxy_peer.address.into()));
        match error {
            ConnectError::Proxy { error: ProxyError::Status(status), .. } => {
                assert_eq!(Some(status), expected)
            }
            ConnectError::Proxy { error: ProxyError::Answer, .. } => assert_eq!(expected, None),
            error => panic!("{answer}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_ends_or_says_nothing_or_never_stops_is_told() {
    let closed = closed_port().await;
    let builder = Client::builder("ws://server.invalid/").proxy(proxy(&closed.to_string()));
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Connect { .. }) && error.address() == Some(&closed.into()),
        "{error}"
    );

    for kind in ["http", "socks5h"] {
        let proxy_peer = Peer::bind().await;
        let url = format!("{kind}://{}", proxy_peer.address);
        let builder = Client::builder("ws://server.invalid/").proxy(proxy(&url));
        let ends = async { drop(proxy_peer.connection().await) };
        let (opened, ()) = unhung(async { tokio::join!(builder.connect_once(), ends) }).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, ConnectError::Proxy { error: ProxyError::Io(_), .. }), "{error}");
        assert!(error.io_error().is_some());

        let builder = Client::builder("ws://server.invalid/")
            .connect_timeout(Duration::from_millis(200))
            .proxy(proxy(&url));
        let (opened, _stream) =
            unhung(async { tokio::join!(builder.connect_once(), proxy_peer.connection()) }).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, ConnectError::Timeout { which: Timeout::Connect, .. }), "{error}");
    }

    let proxy_peer = Peer::bind().await;
    let builder = Client::builder("ws://x.invalid/").proxy(proxy(&format!("http://{}", proxy_peer.address)));
    let endless = async {
        let mut stream = proxy_peer.connection().await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_ok() {}
    };
    let (opened, ()) = unhung(async { tokio::join!(builder.connect_once(), endless) }).await;
    assert!(matches!(opened, Err(ConnectError::Proxy { error: ProxyError::Answer, .. })));
}

/// A SOCKS5 proxy (RFC 1928, RFC 1929): answers the place that was asked for, and name and password.
async fn socks5(stream: &mut TcpStream, wants: Option<(&str, &str)>) -> io::Result<(Vec<u8>, u16)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let mut methods = vec![0; head[1].into()];
    stream.read_exact(&mut methods).await?;
    let method = if wants.is_some() { 2 } else { 0 };
    if head[0] != 5 || !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).await?;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(&[5, method]).await?;
    if let Some((user, password)) = wants {
        let mut fields = Vec::new();
        assert_eq!(stream.read_u8().await?, 1);
        for _ in 0..2 {
            let mut field = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut field).await?;
            fields.push(field);
        }
        let good = fields == [user.as_bytes(), password.as_bytes()];
        stream.write_all(&[1, u8::from(!good)]).await?;
        if !good {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head[..3], [5, 1, 0]);
    let len = match head[3] {
        1 => 4,
        4 => 16,
        _ => stream.read_u8().await?.into(),
    };
    let mut host = vec![0; len];
    stream.read_exact(&mut host).await?;
    Ok((host, stream.read_u16().await?))
}

const SOCKS_OK: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn socks5_looks_the_name_up_here_or_there_and_takes_name_and_password() {
    for (url, wants, host) in [
        ("socks5h://{}", None, &b"server.invalid"[..]),
        ("socks5h://user:pass@{}", Some(("user", "pass")), b"server.invalid"),
        ("socks5://{}", None, &[127, 0, 0, 1]),
    ] {
        let (peer, proxy_peer) = (Peer::bind().await, Peer::bind().await);
        let proxy = proxy(&url.replace("{}", &proxy_peer.address.to_string()));
        let builder = Client::builder("ws://server.invalid:81/").addresses([peer.address]).proxy(proxy);
        let through = async {
            let mut stream = proxy_peer.connection().await;
            let asked = socks5(&mut stream, wants).await.unwrap();
            assert_eq!(asked, (host.to_vec(), 81), "{url}");
            stream.write_all(&SOCKS_OK).await.unwrap();
            pass_on(stream, peer.address).await;
        };
        let (opened, (), _websocket) =
            unhung(async { tokio::join!(builder.connect_once(), through, peer.websocket()) }).await;
        opened.unwrap();
    }
}

#[tokio::test]
async fn what_socks5_refuses_is_told() {
    let proxy_peer = Peer::bind().await;
    for (user, refusal, text) in [
        ("user:wrong@", None, "auth"),
        ("", None, "auth"),
        ("user:pass@", Some(5), "refused"),
        ("user:pass@", Some(2), "not allowed"),
    ] {
        let url = format!("socks5h://{user}{}", proxy_peer.address);
        let builder = Client::builder("ws://server.invalid/").proxy(proxy(&url));
        let through = async {
            let mut stream = proxy_peer.connection().await;
            if socks5(&mut stream, Some(("user", "pass"))).await.is_ok() {
                let refusal = refusal.unwrap();
                stream.write_all(&[5, refusal, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            }
            stream
        };
        let (opened, _stream) = unhung(async { tokio::join!(builder.connect_once(), through) }).await;
        let error = opened.unwrap_err();
        assert_eq!(error.phase(), Phase::Proxy, "{error}");
        assert!(error.to_string().to_lowercase().contains(text), "{text}: {error}");
    }
}

#[tokio::test]
async fn each_attempt_and_each_redirect_asks_the_proxy_again() {
    let (peer, proxy_peer) = (Peer::bind().await, Peer::bind().await);
    let quick = ReconnectConfig { initial_max: 1, cap: 1, ..ReconnectConfig::DEFAULT };
    let mut client = Client::builder("ws://one.invalid/")
        .proxy(proxy(&format!("http://a:b@{}", proxy_peer.address)))
        .redirects(1)
        .reconnect(quick)
        .connect()
        .unwrap();
    let through = async {
        for name in ["one.invalid", "one.invalid", "two.invalid"] {
            let mut stream = proxy_peer.connection().await;
            let head = connect_head(&mut stream).await;
            assert!(
                head.starts_with(&format!("CONNECT {name}:80 ")) && head.contains("Proxy-Auth"),
                "{head}"
            );
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
            pass_on(stream, peer.address).await;
        }
    };
    let server = async {
        drop(peer.websocket().await);
        let mut request = peer.request().await;
        request.answer("HTTP/1.1 308 Permanent Redirect\r\nLocation: ws://two.invalid/\r\n\r\n").await;
        drop(request);
        let mut websocket = peer.websocket().await;
        websocket.send("there").await.unwrap();
        websocket
    };
    let events = async {
        loop {
            if let Event::Message(message) = client.next().await.unwrap() {
                return message;
            }
        }
    };
    let ((), _websocket, message) = unhung(async { tokio::join!(through, server, events) }).await;
    assert_eq!(message, Message::from("there"));
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
#[tokio::test]
async fn tls_passes_through_a_proxy_that_is_spoken_to_by_tls() {
    use tls_peer::{Authority, Clients, TlsPeer, server};
    use wirelet::client::Tls;
    let (authority, clients) = (Authority::new(), Authority::new());
    let versions = rustls::ALL_VERSIONS;
    let device = clients.identity(&["device"], |_| {});
    let far = TlsPeer::bind(server(
        &authority.identity(&["far.invalid"], |_| {}),
        Clients::Required(&clients),
        versions,
    ))
    .await;
    let near = TlsPeer::bind(server(&authority.local(), Clients::Asked(&clients), versions)).await;
    let tls = Tls::builder()
        .roots_pem(authority.pem())
        .client_certificate_pem(device.certificate.pem(), device.key.serialize_pem())
        .build()
        .unwrap();
    let builder = Client::builder("wss://far.invalid/")
        .tls(tls)
        .proxy(proxy(&format!("https://127.0.0.1:{}", near.port())));
    let through = async {
        let mut stream = near.accept().await.unwrap();
        assert!(stream.get_ref().1.peer_certificates().is_none(), "the proxy was shown the certificate");
        assert!(connect_head(&mut stream).await.starts_with("CONNECT far.invalid:443 "));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        pass_on(stream, far.listener.local_addr().unwrap()).await;
    };
    let serve = async { accept_on(far.accept().await.unwrap()).await.unwrap() };
    let (opened, (), (mut server, _)) =
        unhung(async { tokio::join!(builder.connect_once(), through, serve) }).await;
    let (mut client, _) = opened.unwrap();
    client.send("twice").await.unwrap();
    assert_eq!(unhung(server.recv()).await.unwrap().unwrap(), Message::from("twice"));
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
#[tokio::test]
async fn a_build_without_tls_says_so_of_a_proxy_by_tls() {
    let proxy_peer = Peer::bind().await;
    let url = format!("https://{}", proxy_peer.address);
    let error = Client::builder("ws://x/").proxy(proxy(&url)).connect_once().await.unwrap_err();
    assert!(matches!(error, ConnectError::NoTls { .. }), "{error}");
}
