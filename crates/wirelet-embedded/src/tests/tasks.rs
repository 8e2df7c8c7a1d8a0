//! What tasks wait for: room, and the end.

use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::time::Duration;
use std::vec::Vec;

use wirelet_proto::{CloseCode, Config, Event, Keepalive, MessageKind};

use super::support::*;
use crate::server::{Route, Settings, WebSocketRoute};
use crate::time::before;
use crate::{Clock as _, ConnectionId, Handler, Message, Peer, SendReason};

const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };

struct Listener;

impl Handler for Listener {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Text("begin") = event {
            peer.send_fragment(MessageKind::Text, b"begun", false).unwrap();
        }
    }
}

/// Runs `script` with a connection whose pipes hold 8 bytes, and queues 128.
fn with(script: impl AsyncFnOnce(Rig<'_>, Dialed, ConnectionId)) {
    let route = WebSocketRoute::new(&Listener, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    serve::<2, 512, 512, 128>(&Settings::new(&routes), 8, async |rig| {
        let mut peer = rig.net.dial();
        peer.upgrade("/ws", "").await;
        let id = rig.handle.connections().next().unwrap().id;
        script(rig, peer, id).await;
    });
}

#[test]
fn a_task_waits_for_room_and_its_messages_keep_their_order() {
    with(async |rig, mut peer, id| {
        let send = async {
            for number in 0..60_u8 {
                rig.handle.send(id, &[number; 40]).await.unwrap();
            }
        };
        let read = async {
            for number in 0..60_u8 {
                rig.clock.sleep(10).await;
                assert_eq!(peer.frame().await, (0x82, [number; 40].to_vec()));
            }
        };
        both(send, read).await;
        let most = [0; 200];
        let refused = rig.handle.send(id, &most).await.unwrap_err();
        assert_eq!((refused.message, refused.reason), (Message::Binary(&most), SendReason::TooLong));
        assert_eq!(rig.handle.ready(id, 200).await, Err(SendReason::TooLong));
    });
}

#[test]
fn many_tasks_wait_at_once_and_all_of_them_get_through() {
    with(async |rig, mut peer, id| {
        let sent = Cell::new(0);
        let task = async |name: u8| {
            for number in 0..20_u8 {
                rig.handle.ready(id, 50).await.unwrap();
                rig.handle.send(id, &[[name; 25], [number; 25]].concat()[..]).await.unwrap();
                sent.set(sent.get() + 1);
            }
        };
        let read = async {
            let mut next = [0; 4];
            for _ in 0..80 {
                let (_, payload) = peer.frame().await;
                let at = usize::from(payload[0]);
                assert_eq!(payload[25], next[at]);
                next[at] += 1;
            }
        };
        both(both(both(task(0), task(1)), both(task(2), task(3))), read).await;
        assert_eq!(sent.get(), 80);
    });
}

/// Fills the queue of a peer that does not read; how many messages that took.
async fn fill(rig: &Rig<'_>, id: ConnectionId) -> usize {
    let mut count = 0;
    loop {
        rig.clock.sleep(1).await;
        if rig.handle.try_send(id, &[7; 50]).is_err() {
            return count;
        }
        count += 1;
    }
}

#[test]
fn who_waits_for_room_learns_that_there_will_be_none() {
    // By the end, by a close, and by a stop.
    for way in 0..3 {
        with(async |rig, peer, id| {
            fill(&rig, id).await;
            let wait = async {
                let refused = rig.handle.send(id, &[8; 100]).await.unwrap_err();
                (refused.reason, rig.handle.ready(id, 100).await)
            };
            let end = async {
                rig.clock.sleep(100).await;
                match way {
                    0 => drop(peer),
                    1 => assert!(rig.handle.close(id, CloseCode::NORMAL, "")),
                    _ => rig.handle.stop(),
                }
            };
            let (refused, ()) = both(wait, end).await;
            assert_eq!(refused, (SendReason::Gone, Err(SendReason::Gone)));
            assert_eq!(rig.clock.now.get() / 100, 1);
        });
    }
}

#[test]
fn who_waits_for_room_behind_fragments_gets_it_after_the_last() {
    with(async |rig, mut peer, id| {
        let mut fragments = rig.handle.fragments(id, MessageKind::Binary).unwrap();
        fragments.try_send(&[1; 10], false).unwrap();
        let wait = async {
            rig.handle.send(id, "behind").await.unwrap();
            let mut more = rig.handle.fragments(id, MessageKind::Text).unwrap();
            more.write(b"one ").await.unwrap();
            more.finish(b"more").await.unwrap();
        };
        let end = async {
            // Larger than the queue, all together.
            for _ in 0..20 {
                fragments.write(&[2; 100]).await.unwrap();
            }
            fragments.finish(b"").await.unwrap();
        };
        let read = async {
            let (opcode, payload, frames) = peer.message().await;
            assert_eq!((opcode, payload.len(), frames), (2, 2_010, 22));
            assert_eq!(peer.frame().await, (0x81, b"behind".to_vec()));
            assert_eq!(peer.message().await, (1, b"one more".to_vec(), 2));
        };
        both(both(wait, end), read).await;
    });
}

#[test]
fn pings_of_tasks_leave_in_their_turn_between_fragments_too() {
    with(async |rig, mut peer, id| {
        assert_eq!(rig.handle.ping(id, &[0; 126]), Err(SendReason::TooLong));
        rig.handle.try_send(id, "first").unwrap();
        rig.handle.ping(id, b"there?").unwrap();
        rig.handle.ping(id, b"").unwrap();
        rig.handle.try_send(id, "second").unwrap();
        assert_eq!(peer.frame().await, (0x81, b"first".to_vec()));
        assert_eq!(peer.frame().await, (0x89, b"there?".to_vec()));
        assert_eq!(peer.frame().await, (0x89, b"".to_vec()));
        assert_eq!(peer.frame().await, (0x81, b"second".to_vec()));
        let filled = fill(&rig, id).await;
        assert_eq!(rig.handle.ping(id, &[0; 100]), Err(SendReason::Full));
        for _ in 0..filled {
            assert_eq!(peer.frame().await, (0x82, [7; 50].to_vec()));
        }
    });
}

#[test]
fn the_reason_of_a_close_is_sent_behind_what_is_queued() {
    with(async |rig, mut peer, id| {
        rig.handle.try_send(id, "the last").unwrap();
        assert!(rig.handle.close(id, CloseCode::new(4001), "enough"));
        // Who asks first names code and reason.
        assert!(rig.handle.close(id, CloseCode::new(4002), "too late"));
        assert_eq!(peer.frame().await, (0x81, b"the last".to_vec()));
        assert_eq!(peer.frame().await, (0x88, b"\x0f\xa1enough".to_vec()));
    });
    for (what, reason) in [("no room", "r".repeat(100)), ("too long", "r".repeat(124))] {
        with(async |rig, mut peer, id| {
            let filled = if what == "no room" { fill(&rig, id).await } else { 0 };
            assert!(rig.handle.close(id, CloseCode::NORMAL, &reason), "{what}");
            for _ in 0..filled {
                assert_eq!(peer.frame().await, (0x82, [7; 50].to_vec()));
            }
            assert_eq!(peer.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()), "{what}");
        });
    }
    // A handler that has not ended its message holds the queue up, but no close.
    with(async |rig, mut peer, id| {
        peer.send(masked(0x81, "begin")).await;
        assert_eq!(peer.frame().await, (0x01, b"begun".to_vec()));
        assert!(rig.handle.close(id, CloseCode::NORMAL, "enough"));
        assert_eq!(peer.frame().await.0, 0x88);
    });
}

#[test]
fn tasks_wait_for_the_end_of_that_connection() {
    with(async |rig, mut peer, id| {
        let waited = RefCell::new(Vec::new());
        let wait = async |name| {
            rig.handle.closed(id).await;
            waited.borrow_mut().push((name, rig.clock.now.get()));
        };
        let script = async {
            rig.clock.sleep(50).await;
            assert!(rig.handle.close(id, CloseCode::NORMAL, ""));
            assert_eq!(peer.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
            rig.clock.sleep(50).await;
            peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
            peer.rest().await;
            peer.finish().await;
            rig.clock.sleep(1).await;
            // The next one in the same place.
            let mut next = rig.net.dial();
            next.upgrade("/ws", "").await;
            rig.handle.closed(id).await;
            let other = rig.handle.connections().next().unwrap().id;
            let patience = rig.clock.now().plus(Duration::from_secs(60));
            assert!(before(rig.clock, patience, pin!(rig.handle.closed(other))).await.is_none());
        };
        both(both(wait("one"), wait("two")), script).await;
        let waited = waited.into_inner();
        assert_eq!(waited.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [100, 100]);
    });
}
