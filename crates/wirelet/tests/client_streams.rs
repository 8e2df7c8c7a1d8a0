//! A client over streams that are not its own TCP sockets.

mod client_peer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client_peer::{Peer, Request, accept_on, unhung};
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpStream;
use wirelet::client::{Address, ConnectError, Endpoint, Event, ReconnectConfig};
use wirelet::{Client, CloseCode, Message, Timeout};

#[tokio::test]
async fn a_websocket_is_opened_on_a_given_stream() {
    let (near, far) = duplex(64);
    let server = async {
        let (mut websocket, _) = accept_on(far).await.unwrap();
        let message = websocket.recv().await.unwrap().unwrap();
        websocket.send(message).await.unwrap();
        assert!(websocket.recv().await.unwrap().is_none());
    };
    let client = async {
        let builder = Client::builder("ws://example.com:81/x");
        let (mut websocket, response) = builder.connect_on(near).await.unwrap();
        assert_eq!((response.address, &*response.url), (Address::Stream, "ws://example.com:81/x"));
        websocket.send("over a pipe").await.unwrap();
        assert_eq!(websocket.recv().await.unwrap().unwrap().as_text(), Some("over a pipe"));
        websocket.close(CloseCode::NORMAL, "").await.unwrap();
    };
    unhung(async { tokio::join!(server, client) }).await;
}

#[tokio::test]
async fn a_given_tcp_socket_keeps_its_address_and_follows_no_redirect() {
    let peer = Peer::bind().await;
    let server = async {
        peer.request().await.answer("HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n").await;
    };
    let client = async {
        let stream = TcpStream::connect(peer.address).await.unwrap();
        Client::builder("ws://example.com/x").redirects(3).connect_on(stream).await.unwrap_err()
    };
    let ((), error) = unhung(async { tokio::join!(server, client) }).await;
    assert_eq!((error.status(), error.address()), (Some(302), Some(&peer.address.into())));
}

#[tokio::test]
async fn a_given_stream_that_ends_or_says_nothing_is_told() {
    let (near, far) = duplex(1024);
    drop(far);
    let error = Client::builder("ws://x/").connect_on(near).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io { address: Address::Stream, .. }), "{error}");

    tokio::time::pause();
    let (near, _far) = duplex(1024);
    let error = unhung(Client::builder("ws://x/").connect_on(near)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { which: Timeout::Handshake, .. }), "{error}");
}

#[tokio::test]
async fn the_reconnecting_client_uses_the_connector_each_time() {
    let peer = Arc::new(Peer::bind().await);
    let asked = Arc::new(AtomicUsize::new(0));
    let connector = {
        let (asked, address) = (Arc::clone(&asked), peer.address);
        move |to: Endpoint| {
            let attempt = asked.fetch_add(1, Ordering::Relaxed);
            async move {
                assert_eq!((to.host.as_str(), to.port, to.is_secure), ("device.invalid", 81, false));
                if attempt == 1 {
                    return Err(io::Error::other("no tunnel"));
                }
                TcpStream::connect(address).await
            }
        }
    };
    let quick = ReconnectConfig { initial_max: 1, cap: 1, ..ReconnectConfig::DEFAULT };
    let mut client =
        Client::builder("ws://device.invalid:81/").connector(connector).reconnect(quick).connect().unwrap();
    let server = async {
        drop(peer.websocket().await);
        let mut websocket = peer.websocket().await;
        websocket.send("again").await.unwrap();
        websocket
    };
    let events = async {
        let mut failures = Vec::new();
        loop {
            match client.next().await.unwrap() {
                Event::Message(message) => return (message, failures),
                Event::Disconnected { reason, .. } => failures.push(reason.to_string()),
                _ => {}
            }
        }
    };
    let (_websocket, (message, failures)) = unhung(async { tokio::join!(server, events) }).await;
    assert_eq!((message, asked.load(Ordering::Relaxed)), (Message::from("again"), 3));
    assert!(failures.len() == 2 && failures[1].contains("no tunnel"), "{failures:?}");
}

#[tokio::test]
async fn a_redirect_asks_the_connector_again_and_its_deadline_holds() {
    let peer = Arc::new(Peer::bind().await);
    let address = peer.address;
    let builder =
        Client::builder("ws://one.invalid/").redirects(1).connector(move |to: Endpoint| async move {
            if to.host == "three.invalid" {
                std::future::pending::<()>().await;
            }
            TcpStream::connect(address).await
        });
    let server = async {
        let mut request = peer.request().await;
        request.answer("HTTP/1.1 302 Found\r\nLocation: ws://two.invalid/\r\n\r\n").await;
        drop(request);
        let request: Request = peer.request().await;
        assert_eq!(request.header("Host").as_deref(), Some("two.invalid"));
        request.accept("").await
    };
    let (opened, _websocket) = unhung(async { tokio::join!(builder.connect_once(), server) }).await;
    assert_eq!(opened.unwrap().1.url, "ws://two.invalid/");

    tokio::time::pause();
    let builder = Client::builder("ws://three.invalid/")
        .connect_timeout(Duration::from_secs(3))
        .connector(|_: Endpoint| async { std::future::pending::<io::Result<DuplexStream>>().await });
    let error = unhung(builder.connect_once()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { which: Timeout::Connect, .. }), "{error}");
}
