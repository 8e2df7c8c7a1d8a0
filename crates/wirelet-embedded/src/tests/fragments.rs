//! Messages that other tasks send in pieces.

use std::string::ToString;
use std::vec::Vec;

use wirelet_proto::{CloseCode, Config, Event, Keepalive, MessageKind};

use super::support::*;
use crate::server::{Route, Settings, WebSocketRoute};
use crate::{Fragments, Handler, Overflow, Peer, SendReason};

struct Echo;

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => peer.send(text).unwrap(),
            // A handler that speaks unasked finds no room while another task's message is under way.
            Event::Pong(_) => {
                let said = peer.send("pong").err().map(|error| error.reason);
                assert!(said.is_none_or(|reason| reason == SendReason::Full));
            }
            _ => {}
        }
    }
}

fn rig(overflow: Overflow, script: impl AsyncFnOnce(&Rig<'_>, Dialed)) {
    let config = Config { keepalive: Keepalive::off(), ..Config::new() };
    let route = WebSocketRoute { overflow, ..WebSocketRoute::new(&Echo, &config) };
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 256, 64>(&Settings::new(&routes), 32, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        script(&rig, peer).await;
    });
}

async fn begun<'r>(rig: &Rig<'r>, kind: MessageKind) -> Fragments<'r> {
    let id = rig.handle.connections().next().unwrap().id;
    rig.handle.fragments(id, kind).unwrap()
}

/// Until there is room.
async fn send(rig: &Rig<'_>, fragments: &mut Fragments<'_>, payload: &[u8], fin: bool) {
    while let Err(reason) = fragments.try_send(payload, fin) {
        assert_eq!(reason, SendReason::Full);
        rig.clock.sleep(1).await;
    }
}

#[test]
fn a_message_larger_than_all_buffers_leaves_in_fragments_and_nothing_comes_between() {
    rig(Overflow::Refuse, async |rig, mut peer| {
        let mut fragments = begun(rig, MessageKind::Binary).await;
        let id = rig.handle.connections().next().unwrap().id;
        assert_eq!(fragments.largest(), 60);
        assert_eq!(fragments.try_send(&[0; 61], false), Err(SendReason::TooLong));
        // Before its first fragment it holds nobody up; who comes first, comes first.
        let mut second = rig.handle.fragments(id, MessageKind::Text).unwrap();
        send(rig, &mut fragments, &[0; 50], false).await;
        assert_eq!(second.try_send(b"second", true), Err(SendReason::Full));
        assert_eq!(rig.handle.fragments(id, MessageKind::Text).unwrap_err(), SendReason::Full);
        rig.clock.sleep(1).await;
        // What would come between waits, or is given back; pings are answered as soon as there is room.
        peer.send(masked(0x81, "echo")).await;
        peer.send(masked(0x8a, "")).await;
        assert_eq!(rig.handle.try_send(id, "whole").unwrap_err().reason, SendReason::Full);
        let rest = async {
            for at in 1..100_u8 {
                send(rig, &mut fragments, &[at; 50], at == 99).await;
            }
            assert_eq!(fragments.try_send(b"more", true), Err(SendReason::Gone));
            drop(fragments);
            while rig.handle.try_send(id, "whole").is_err() {
                rig.clock.sleep(1).await;
            }
        };
        let ((), (opcode, payload, frames)) = std::boxed::Box::pin(both(rest, peer.message())).await;
        assert_eq!((opcode, payload.len(), frames), (2, 5_000, 100));
        assert!(payload.chunks(50).zip(0..100).all(|(piece, at)| piece == [at; 50]));
        let mut answers: Vec<_> = Vec::new();
        for _ in 0..3 {
            answers.push(peer.frame().await);
        }
        answers.sort();
        assert_eq!(answers, ["echo", "pong", "whole"].map(|text| (0x81, text.as_bytes().to_vec())));
    });
}

#[test]
fn half_a_message_is_never_taken_for_a_whole_one() {
    rig(Overflow::DropOldest, async |rig, mut peer| {
        // Nothing was sent: nothing happens.
        drop(begun(rig, MessageKind::Text).await);
        let id = rig.handle.connections().next().unwrap().id;
        rig.handle.try_send(id, "free again").unwrap();
        assert_eq!(peer.frame().await, (0x81, b"free again".to_vec()));
        let mut fragments = begun(rig, MessageKind::Text).await;
        fragments.try_send(b"half", false).unwrap();
        drop(fragments);
        assert_eq!(peer.frame().await, (0x01, b"half".to_vec()));
        assert_eq!(peer.frame().await, (0x88, 1011_u16.to_be_bytes().to_vec()));
    });
}

#[test]
fn newer_messages_drop_no_fragments() {
    rig(Overflow::DropOldest, async |rig, mut peer| {
        let id = rig.handle.connections().next().unwrap().id;
        let mut fragments = begun(rig, MessageKind::Text).await;
        fragments.try_send(&[b'a'; 20], false).unwrap();
        fragments.try_send(&[b'b'; 20], true).unwrap();
        assert_eq!(rig.handle.try_send(id, "c".repeat(40).as_str()).unwrap_err().reason, SendReason::Full);
        assert_eq!(peer.message().await, (1, ["a".repeat(20), "b".repeat(20)].concat().into_bytes(), 2));
    });
}

#[test]
fn fragments_end_with_their_connection() {
    rig(Overflow::Refuse, async |rig, mut peer| {
        let mut fragments = begun(rig, MessageKind::Text).await;
        fragments.try_send(b"one", false).unwrap();
        assert_eq!(peer.frame().await, (0x01, b"one".to_vec()));
        let id = rig.handle.connections().next().unwrap().id;
        assert!(rig.handle.close(id, CloseCode::GOING_AWAY, ""));
        assert_eq!(peer.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
        assert_eq!(fragments.try_send(b"two", true), Err(SendReason::Gone));
        peer.send(masked(0x88, 1001_u16.to_be_bytes())).await;
        peer.finish().await;
        peer.rest().await;
        // The place is somebody else's now, and free for fragments.
        let mut other = rig.net.dial();
        other.upgrade("/ws", "").await;
        assert_eq!(fragments.try_send(b"two", true), Err(SendReason::Gone));
        drop(fragments);
        let mut fragments = begun(rig, MessageKind::Text).await;
        fragments.try_send("tw\u{f6}".to_string().as_bytes(), true).unwrap();
        assert_eq!(other.frame().await, (0x81, "twö".as_bytes().to_vec()));
    });
}
