//! What a client does before and around each attempt: the hook, where connections come from, Unix sockets.

mod client_peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client_peer::{Peer, accept_on, closed_port, unhung};
use wirelet::client::{
    Address, AttemptRequest, ConnectError, Cookies, Event, Phase, Reason, ReconnectConfig, RedirectError,
    WhileAway,
};
use wirelet::proto::handshake::UriError;
use wirelet::{Client, Message};

const QUICK: ReconnectConfig = ReconnectConfig { initial_max: 1, cap: 1, ..ReconnectConfig::DEFAULT };

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_fresh_token_comes_with_each_attempt_and_the_refusal_before_is_known() {
    let peer = Peer::bind().await;
    let tokens = Arc::new(AtomicUsize::new(0));
    let mut client = {
        let tokens = Arc::clone(&tokens);
        Client::builder(peer.url())
            .header("X-Old", "1")
            .header("X-Kept", "2")
            .reconnect(QUICK)
            .retry_if(|_| true)
            .prepare(move |mut request: AttemptRequest| {
                let token = tokens.fetch_add(1, Ordering::Relaxed);
                async move {
                    let last = request.last_status().unwrap_or(0).to_string();
                    let attempt = request.attempt().to_string();
                    request.bearer(token).header("X-Old", "new").header("X-Last", last);
                    request.header("X-Attempt", attempt).remove_header("X-Gone").remove_header("user-agent");
                    Ok(request)
                }
            })
            .connect()
            .unwrap()
    };
    let server = async {
        for (token, last, attempt) in [(0, "0", "1"), (1, "401", "2"), (2, "0", "1")] {
            let mut request = peer.request().await;
            let expected = format!("Bearer {token}");
            assert_eq!(request.header("Authorization").as_deref(), Some(expected.as_str()));
            assert_eq!(request.header("X-Last").as_deref(), Some(last));
            assert_eq!(request.header("X-Attempt").as_deref(), Some(attempt));
            assert_eq!(request.header("X-Kept").as_deref(), Some("2"));
            assert_eq!((request.head.matches("X-Old").count(), request.header("User-Agent")), (1, None));
            match token {
                0 => request.answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await,
                1 => drop(request.accept("").await),
                _ => return request.accept("").await,
            }
        }
        unreachable!("the last one returns")
    };
    let events = async { while client.next().await.is_some() {} };
    tokio::pin!(events);
    unhung(async {
        tokio::select! { websocket = server => drop(websocket), () = &mut events => {} }
    })
    .await;
    assert_eq!(tokens.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_hook_may_choose_another_server_each_time() {
    let (first, second) = (Peer::bind().await, Peer::bind().await);
    let url = second.url();
    let builder = Client::builder(first.url()).addresses([first.address]).prepare(
        move |mut request: AttemptRequest| {
            let url = url.replace("ws://", "ws://me:secret@") + "/there?x";
            async move {
                assert_eq!(request.set_url("ftp://x"), Err(UriError::Scheme));
                request.set_url(url)?;
                assert!(!format!("{request:?}").contains("secret"));
                Ok(request)
            }
        },
    );
    let server = async {
        let request = second.request().await;
        assert_eq!(request.target(), "/there?x");
        assert!(request.header("Authorization").is_some());
        request.accept("").await
    };
    let (opened, _websocket) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    assert_eq!(opened.unwrap().1.address, second.address);
}

#[tokio::test]
async fn a_hook_that_fails_hangs_or_asks_for_nonsense_is_told_and_tried_again() {
    let peer = Peer::bind().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let mut client = Client::builder(peer.url())
        .reconnect(QUICK)
        .prepare(move |request: AttemptRequest| {
            let fails = tries.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if fails { Err("no token today".into()) } else { Ok(request) } }
        })
        .connect()
        .unwrap();
    let events = async {
        let mut failures = Vec::new();
        loop {
            match client.next().await.unwrap() {
                Event::Connected(_) => return failures,
                Event::Disconnected { reason: Reason::Connect(error), .. } => failures.push(error),
                _ => {}
            }
        }
    };
    let (failures, _websocket) = unhung(async { tokio::join!(events, peer.websocket()) }).await;
    let [error] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((error.phase(), error.is_callers()), (Phase::Prepare, false));
    assert!(error.to_string().contains("no token today"), "{error}");

    let builder = Client::builder("ws://x/").prepare(|mut request: AttemptRequest| async move {
        request.header("X", "a\r\nY: b");
        Ok(request)
    });
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Request(_)), "{error}");

    tokio::time::pause();
    let builder =
        Client::builder("ws://x/").prepare(|_: AttemptRequest| async { std::future::pending().await });
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Prepare(_)) && error.to_string().contains("in time"), "{error}");
}

#[tokio::test]
async fn another_server_gets_no_header_unless_the_hook_sets_it_again() {
    let (peer, other) = (Peer::bind().await, Peer::bind().await);
    let builder = Client::builder(format!("ws://a:b@{}", peer.address))
        .header("Cookie", "c")
        .header("X-Api-Key", "d")
        .header("Proxy-Authorization", "e")
        .user_agent("kept")
        .subprotocol("kept")
        .redirects(2)
        .prepare(|mut request: AttemptRequest| async move {
            if request.is_redirect() && !request.url().contains("last") {
                request.header("X-Again", "f");
            }
            Ok(request)
        });
    const SECRET: [&str; 4] = ["Authorization", "Cookie", "X-Api-Key", "Proxy-Authorization"];
    let server = async {
        let mut request = peer.request().await;
        assert!(SECRET.iter().all(|name| request.header(name).is_some()));
        request.answer(redirect(&format!("//e:f@{}/", other.address))).await;
        let mut request = other.request().await;
        assert!(SECRET.iter().all(|name| request.header(name).is_none()), "{}", request.head);
        assert_eq!(request.header("X-Again").as_deref(), Some("f"));
        assert_eq!(request.header("User-Agent").as_deref(), Some("kept"));
        request.answer(redirect(&(peer.url() + "/last"))).await;
        let request = peer.request().await;
        assert!(SECRET.iter().all(|name| request.header(name).is_none()), "{}", request.head);
        assert_eq!(request.header("X-Again"), None);
        request.accept("Sec-WebSocket-Protocol: kept\r\n").await
    };
    let (opened, _websocket) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    opened.unwrap();
}

#[tokio::test]
async fn connections_come_from_the_address_that_was_chosen() {
    let peer = Peer::bind().await;
    let source = "127.0.0.5".parse().unwrap();
    let closed = closed_port().await;
    let builder = Client::builder("ws://example.com/")
        .addresses(["[::1]:9".parse().unwrap(), peer.address])
        .source(source)
        .tcp_keepalive(Duration::from_secs(5), Duration::from_secs(7), 3);
    let server = async {
        let request = peer.request().await;
        assert_eq!(request.stream.peer_addr().unwrap().ip(), source);
        request.accept("").await
    };
    let (opened, _websocket) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    opened.unwrap();

    // An address that is not this machine's.
    let builder = Client::builder("ws://x/").addresses([closed]).source("192.0.2.1".parse().unwrap());
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::AddrNotAvailable, "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interface_that_is_not_there_is_told() {
    let peer = Peer::bind().await;
    let builder = Client::builder(peer.url()).interface("nosuch0");
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(error.raw_os_error().is_some() && error.phase() == Phase::Connect, "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_a_way_to_a_server_and_to_that_alone() {
    let path = std::env::temp_dir().join(format!("wirelet-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let error = Client::builder("ws://app/x").unix(&path).connect_once().await.unwrap_err();
    assert_eq!(error.address(), Some(&Address::Unix(path.clone())), "{error}");
    assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::NotFound);

    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut client = Client::builder("ws://app/x").unix(&path).reconnect(QUICK).connect().unwrap();
    let server = async {
        drop(listener.accept().await.unwrap());
        let (mut websocket, head) = accept_on(listener.accept().await.unwrap().0).await.unwrap();
        assert!(head.starts_with("GET /x ") && head.contains("Host: app\r\n"), "{head}");
        websocket.send("by path").await.unwrap();
        websocket
    };
    let events = async {
        loop {
            if let Event::Message(message) = client.next().await.unwrap() {
                return message;
            }
        }
    };
    let (_websocket, message) = unhung(async { tokio::join!(server, events) }).await;
    assert_eq!(message, Message::from("by path"));

    for (location, elsewhere) in [("ws://other/", true), ("/y", false)] {
        let builder = Client::builder("ws://app/x").unix(&path).redirects(1);
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, redirect(location).as_bytes()).await.unwrap();
            let mut head = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
            if !elsewhere {
                accept_on(listener.accept().await.unwrap().0).await.unwrap();
            }
        };
        let (opened, ()) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
        match opened {
            Err(ConnectError::Redirect { error: RedirectError::OtherServer, .. }) => assert!(elsewhere),
            opened => assert!(opened.is_ok() && !elsewhere),
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn cookies_pass_over_redirects_and_connections_and_to_no_other_server() {
    let (peer, other) = (Peer::bind().await, Peer::bind().await);
    let cookies = Cookies::new();
    cookies.set(peer.url(), "given=0; Path=/").unwrap();
    let mut client = Client::builder(peer.url() + "/x/y")
        .cookies(cookies.clone())
        .header("cookie", "own=1")
        .redirects(3)
        .reconnect(QUICK)
        .retry_if(|_| true)
        .connect()
        .unwrap();
    let server = async {
        let mut request = peer.request().await;
        assert_eq!(request.header("Cookie").as_deref(), Some("own=1; given=0"));
        let set = "HTTP/1.1 302 Found\r\nLocation: /x/z\r\nSet-Cookie: a=2; HttpOnly\r\nSet-Cookie: b=3; Path=/x\r\n\r\n";
        request.answer(set).await;
        drop(request);
        let mut request = peer.request().await;
        assert_eq!(request.header("Cookie").as_deref(), Some("own=1; a=2; b=3; given=0"));
        request.answer(redirect(&other.url())).await;
        let mut request = other.request().await;
        assert_eq!(request.header("Cookie"), None);
        request.answer("HTTP/1.1 401 No\r\nSet-Cookie: theirs=4\r\nContent-Length: 0\r\n\r\n").await;
        drop(request);
        let request = peer.request().await;
        assert_eq!(request.header("Cookie").as_deref(), Some("own=1; a=2; b=3; given=0"));
        drop(request.accept("Set-Cookie: b=5; Path=/x\r\nSet-Cookie: a=; Max-Age=0\r\n").await);
        let request = peer.request().await;
        assert_eq!(request.header("Cookie").as_deref(), Some("own=1; b=5; given=0"));
        assert_eq!(request.head.to_lowercase().matches("cookie:").count(), 1);
        request.accept("").await
    };
    let events = async { while client.next().await.is_some() {} };
    tokio::pin!(events);
    let ended = async {
        tokio::select! { websocket = server => Some(websocket), () = &mut events => None }
    };
    assert!(unhung(ended).await.is_some());
    assert_eq!(cookies.value(other.url(), "theirs").unwrap().as_deref(), Some("4"));
}

#[tokio::test]
async fn delays_may_be_fixed_and_changed_while_they_are_waited_for() {
    let peer = Peer::bind().await;
    let mut client =
        Client::builder(peer.url()).reconnect_delay(Duration::from_secs(4000)).connect().unwrap();
    let lost = async {
        drop(peer.websocket().await);
        loop {
            if let Event::Disconnected { retry_in, .. } = client.next().await.unwrap() {
                return retry_in;
            }
        }
    };
    assert_eq!(unhung(lost).await, Some(Duration::from_secs(4000)));
    // From the beginning of the pause: it is over.
    client.set_reconnect_delay(Some(Duration::ZERO));
    drop(unhung(peer.websocket()).await);
    client.set_reconnect_delay(None);
    let lost = async {
        loop {
            if let Event::Disconnected { retry_in, .. } = client.next().await.unwrap() {
                return retry_in.unwrap();
            }
        }
    };
    // Drawn again, up to the policy's cap.
    assert!(unhung(lost).await <= Duration::from_secs(60));
}

#[tokio::test]
async fn messages_that_are_refused_while_away_come_back() {
    let peer = Peer::bind().await;
    let mut client =
        Client::builder(peer.url()).while_away(WhileAway::Refuse).reconnect(QUICK).connect().unwrap();
    let sender = client.sender();
    assert_eq!(sender.send("early").await.unwrap_err().0, Message::from("early"));
    let mut server = unhung(peer.websocket()).await;
    unhung(client.wait_connected()).await.unwrap();
    sender.send("in time").await.unwrap();
    assert_eq!(unhung(server.recv()).await.unwrap().unwrap(), Message::from("in time"));
    assert!(!sender.is_closed() && sender.dropped() == 0);
    while !matches!(unhung(client.next()).await.unwrap(), Event::Connected(_)) {}
}
