//! The session's loop, dropped and begun again at every single poll.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::time::Duration;
use std::vec::Vec;

use embedded_io_async::Write as _;
use wirelet_proto::{CloseCode, Config, Connection, Delivery, Event, Fixed, Keepalive, MaskKeys, Role};

use super::support::*;
use crate::net::Socket as _;
use crate::outgoing::Outgoing;
use crate::session::{Session, Surroundings};
use crate::table::{Link, Phase, Slots, Table};
use crate::{Cause, Handle, Handler, Peer};

struct Echo;

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => peer.send(text).unwrap(),
            Event::Binary(bytes) => peer.send(bytes).unwrap(),
            Event::Chunk(chunk) => peer.send_fragment(chunk.kind, chunk.data, chunk.last).unwrap(),
            _ => {}
        }
    }
}

struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 2, 3, 4]
    }
}

/// What the peer of an echoing session receives when it sends `wire`, and how the session ends.
fn echoed(role: Role, config: &Config, wire: &[u8], capacity: usize, restless: bool) -> (Vec<u8>, Cause) {
    let clock = ManualClock::default();
    let settings = crate::server::Settings::new(&[]);
    let slots = Slots::<1, 256, 64>::new();
    let table: &dyn Table = &slots;
    let link = Link { table, index: 0 };
    link.with(|slot, _| slot.enter(Phase::Open));
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let mut core = Connection::new(role, config, crate::Clock::now(&clock));
    let (polls, mut keys) = (Cell::new(0), Keys(0));
    let (rx, tx) = (Fixed::new(&mut rx[..]), Outgoing::new(&mut tx, 0));
    let mut session = Session::new(&mut core, rx, tx, &mut keys, link.id());
    let around = Surroundings {
        link,
        clock: &clock,
        handler: &Echo,
        closing_time: &Duration::from_secs(5),
        counters: None,
    };
    let (mut here, there) = self::wire(capacity);
    let mut peer = Dialed::new(there);
    let (_, mut writer) = peer.wire.split();
    let run = async {
        let cause = run_session(restless, &polls, &mut session, &mut here, &around).await;
        drop(here);
        cause
    };
    let script = async {
        let handle = Handle::new(table, &settings);
        handle.try_send(link.id(), "Async data").unwrap();
        writer.write_all(wire).await.unwrap();
    };
    let (cause, ((), received)) = block_on(&clock, both(run, both(script, peer.rest())), Vec::new());
    assert!(!restless || polls.get() > wire.len() / capacity, "{}", polls.get());
    (received, cause)
}

pub(super) async fn run_session(
    restless: bool,
    polls: &Cell<usize>,
    session: &mut Session<'_, '_>,
    wire: &mut Wire,
    around: &Surroundings<'_, ManualClock>,
) -> Cause {
    if !restless {
        return session.run(wire, around).await;
    }
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        pin!(session.run(wire, around)).poll(cx)
    })
    .await
}

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    let frame = |role, first, payload: &[u8]| match role {
        Role::Server => masked(first, payload),
        Role::Client => unmasked(first, payload),
    };
    for (role, delivery) in [
        (Role::Server, Delivery::Messages),
        (Role::Server, Delivery::Chunks),
        (Role::Client, Delivery::Messages),
        (Role::Client, Delivery::Chunks),
    ] {
        let config = Config { delivery, keepalive: Keepalive::off(), ..Config::new() };
        let wire = [
            frame(role, 0x81, "täxt".as_bytes()),
            frame(role, 0x89, b"ping"),
            frame(role, 0x02, &[1; 40]),
            frame(role, 0x89, b"between"),
            frame(role, 0x80, &[2; 60]),
            frame(role, 0x82, &[3; 110]),
            frame(role, 0x88, &u16::from(CloseCode::NORMAL).to_be_bytes()),
        ]
        .concat();
        for capacity in [1, 2, 7, 50, 1000] {
            let (calm, cause) = echoed(role, &config, &wire, capacity, false);
            assert_eq!(cause, Cause::Closed, "{role:?} {delivery:?} {capacity}");
            let (restless, cause) = echoed(role, &config, &wire, capacity, true);
            assert_eq!(cause, Cause::Closed, "{role:?} {delivery:?} {capacity}");
            for bytes in [&calm, &restless] {
                let (payload, pongs) = heard(role, bytes);
                let expected = ["Async datatäxt".as_bytes(), &[1; 40], &[2; 60], &[3; 110]].concat();
                assert!(payload == expected, "{role:?} {delivery:?} {capacity} {}", payload.escape_ascii());
                assert!(pongs >= 1);
            }
        }
    }
}

/// All data that the frames of an endpoint carry, and the number of its pongs; the last is a close frame.
fn heard(role: Role, bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut data, mut pongs, mut rest) = (Vec::new(), 0, bytes);
    loop {
        let (first, len) = (rest[0], usize::from(rest[1] & 0x7f));
        assert!(len < 126 && (rest[1] & 0x80 != 0) == (role == Role::Client));
        let (key, body) =
            if role == Role::Client { rest[2..].split_at(4) } else { (&[0; 4][..], &rest[2..]) };
        let payload = body[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        rest = &body[len..];
        match first & 0x0f {
            8 => {
                assert!(rest.is_empty());
                return (data, pongs);
            }
            10 => pongs += 1,
            _ => data.extend(payload),
        }
    }
}

#[test]
fn futures_and_state_are_small() {
    let clock = ManualClock::default();
    let routes = [];
    let settings = crate::server::Settings::new(&routes);
    let mut resources = crate::Resources::<1, 512, 512, 64>::new();
    let state = size_of_val(&resources) - 512 - 512 - 64;
    let (server, _) = crate::Server::new(&mut resources, &settings);
    let [mut worker] = server.into_workers();
    let mut net = Net::new(16);
    let run = size_of_val(&worker.run(&mut net, &clock));
    std::println!("a connection besides its buffers: {state} bytes; a worker's future: {run} bytes");
    assert!(state <= 512, "{state}");
    assert!(run <= 1024, "{run}");
}
