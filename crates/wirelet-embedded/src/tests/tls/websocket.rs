//! A client of this crate with `wss`.

use core::cell::RefCell;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use wirelet_proto::handshake::{Uri, accept_key};
use wirelet_proto::{CloseCode, Config, Event, Keepalive, MaskKeys, ReconnectConfig};

use super::super::support::*;
use super::support::{Chain, Issued, Peer, authority, client};
use crate::client::{Client, ClientHandler, ClientResources, Failure, Finished, Options};
use crate::handler::Peer as Answer;
use crate::net::Socket as _;
use crate::tls::{Connector, Error, LONGEST_RECORD, Memory};
use crate::{ConnectionId, End, Handler};

struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 1, 2, 3]
    }
}

#[derive(Default)]
struct Diary(RefCell<Vec<String>>);

impl Handler for Diary {
    fn on_event(&self, peer: &mut Answer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => peer.send(text).unwrap(),
            event => self.0.borrow_mut().push(std::format!("{event:?}")),
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        self.0.borrow_mut().push(std::format!("{:?}", end.cause));
    }
}

impl ClientHandler for Diary {
    fn on_failure(&self, failure: &Failure) {
        self.0.borrow_mut().push(std::format!("{failure:?}"));
    }
}

/// Runs a client that connects to `device` once, and `script` for the server.
fn run(
    config: std::sync::Arc<rustls::ClientConfig>,
    capacity: usize,
    script: impl AsyncFnOnce(Net),
) -> (Finished, Vec<String>, Vec<String>) {
    let (clock, net, diary) = (ManualClock::default(), Net::new(capacity), Diary::default());
    let reports = RefCell::new(Vec::new());
    let report = |error: &Error| reports.borrow_mut().push(error.to_string());
    let options = Options {
        config: Config { keepalive: Keepalive::off(), ..Config::new() },
        reconnect: ReconnectConfig { max_attempts: Some(0), ..ReconnectConfig::DEFAULT },
        connect_after_close: false,
        ..Options::new(Uri::parse("wss://device/ws").unwrap())
    };
    let mut resources = Box::new(ClientResources::<4096, 4352, 512>::new());
    let (mut client, _sender) = Client::new(&mut *resources, &options);
    let mut memory = Box::new(Memory::<LONGEST_RECORD, 1024>::new());
    let (mut keys, mut connector) = (Keys(0), Connector::new(net.clone(), &mut memory, config, &report));
    let talk = client.run(&mut connector, &clock, &mut keys, &diary);
    let (finished, ()) = block_on(&clock, Box::pin(both(talk, script(net.clone()))), vec![]);
    assert_eq!(net.remotes(), ["device:443"]);
    (finished, diary.0.take(), reports.take())
}

#[test]
fn messages_are_echoed_through_tls() {
    let chain = Chain::new();
    for capacity in [1, 50, 5_000] {
        let (finished, notes, reports) = run(chain.client(), capacity, async |net| {
            let mut peer = Peer::accept(&net, chain.server_without_tickets()).await;
            let head = peer.head().await;
            assert!(head.starts_with("GET /ws HTTP/1.1\r\nHost: device\r\n"), "{head}");
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = accept_key(key.as_bytes());
            let accept = core::str::from_utf8(&accept).unwrap();
            peer.send(std::format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            ))
            .await;
            for len in [0, 1, 125, 126, 1_000, 3_900] {
                let text = "x".repeat(len);
                peer.send(unmasked(0x81, &text)).await;
                let echoed = frame(&mut peer).await;
                assert!(echoed == (0x81, text.into_bytes()), "{len}");
            }
            peer.connection.refresh_traffic_keys().unwrap();
            peer.send(unmasked(0x88, u16::from(CloseCode::NORMAL).to_be_bytes())).await;
            assert_eq!(frame(&mut peer).await, (0x88, vec![3, 0xe8]));
            peer.finish().await;
            peer.wire.shutdown().await.unwrap();
            assert!(peer.rest().await.is_empty());
        });
        let Finished::Ended(end) = finished else { panic!("{finished:?}") };
        assert!(end.close.is_clean());
        assert_eq!(notes.last().unwrap(), "Closed", "{notes:?}");
        assert!(reports.is_empty());
    }
}

#[test]
fn a_server_that_is_not_to_be_trusted_gets_no_request() {
    let chain = Chain::new();
    let stranger = Issued::itself(authority("stranger"));
    let (finished, notes, reports) = run(client(&stranger), 100, async |net| {
        let mut peer = Peer::accept(&net, chain.server()).await;
        peer.handshake().await.unwrap_err();
        assert!(!peer.receive().await.unwrap_or(false));
    });
    let failure = Failure::Network(embedded_io_async::ErrorKind::PermissionDenied);
    assert_eq!(finished, Finished::GaveUp(failure));
    assert_eq!(notes, ["Network(PermissionDenied)"]);
    assert_eq!(reports, ["TLS: invalid peer certificate: UnknownIssuer"]);
}

/// A client's frame: its first byte, and its payload.
async fn frame(peer: &mut Peer) -> (u8, Vec<u8>) {
    let head = peer.take(2).await;
    assert!(head[1] & 0x80 != 0, "it is masked");
    let len = match head[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes(peer.take(2).await.try_into().unwrap())),
        len => usize::from(len),
    };
    let key = peer.take(4).await;
    let payload = peer.take(len).await;
    (head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}
