//! The scenarios that both drivers run, calm and dropped at every poll, over pipes from one byte to many.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::vec::Vec;

use embedded_io_async::{Read as _, Write as _};
use testkit::random::Keys;
use testkit::scenario::{Act, CLOSE, LIMIT, Scenario, Script, scenarios};
use wirelet_proto::{CloseCode, CloseInfo, Config, Connection, Delivery, Event, Fixed, Limits};

use super::cancel::run_session;
use super::support::*;
use crate::net::Socket as _;
use crate::outgoing::Outgoing;
use crate::session::{Session, Surroundings};
use crate::table::{Link, Phase, Slots, Table};
use crate::{Clock as _, Handler, Peer};

struct Echo;

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => peer.send(text).unwrap(),
            Event::Binary(bytes) => peer.send(bytes).unwrap(),
            Event::Chunk(chunk) => peer.send_fragment(chunk.kind, chunk.data, chunk.last).unwrap(),
            Event::Ping(CLOSE) => peer.close(CloseCode::NORMAL, "").unwrap(),
            _ => {}
        }
    }
}

async fn play(scenario: &Scenario, mut wire: Wire) {
    let mut script = scenario.script();
    let (mut reader, mut writer) = wire.split();
    loop {
        match script.next() {
            Act::Send(bytes) => send(&mut reader, &mut writer, &mut script, bytes).await,
            Act::Receive => {
                let mut buffer = [0; 64];
                let n = reader.read(&mut buffer).await.unwrap_or(0);
                script.received(&buffer[..n]);
            }
            Act::Finish => wire.shutdown().await.unwrap(),
            Act::Done => return,
        }
    }
}

/// Sends, and reads meanwhile: an echo may be as long. Who has failed the connection need not take all of it.
async fn send(reader: &mut Half, writer: &mut Half, script: &mut Script<'_>, mut rest: &[u8]) {
    poll_fn(|cx| {
        while !rest.is_empty() {
            if let Poll::Ready(written) = pin!(writer.write(rest)).poll(cx) {
                let Ok(n) = written else { break };
                rest = &rest[n..];
                continue;
            }
            let mut buffer = [0; 64];
            let read = pin!(reader.read(&mut buffer)).poll(cx);
            let Poll::Ready(Ok(n @ 1..)) = read else { return Poll::Pending };
            script.received(&buffer[..n]);
        }
        Poll::Ready(())
    })
    .await;
}

fn ends(scenario: &Scenario, delivery: Delivery, capacity: usize, restless: bool) -> CloseInfo {
    let clock = ManualClock::default();
    let slots = Slots::<1, 256, 64>::new();
    let table: &dyn Table = &slots;
    let link = Link { table, index: 0 };
    link.with(|slot, _| slot.enter(Phase::Open));
    let config = Config { delivery, limits: Limits { message: LIMIT, ..Limits::new() }, ..Config::new() };
    let (mut rx, mut tx) = ([0; 512], [0; 256]);
    let mut core = Connection::new(scenario.role, &config, clock.now());
    let (polls, mut keys) = (Cell::new(0), Keys::new(1));
    let rx = Fixed::new(&mut rx[..]);
    let mut session = Session::new(&mut core, rx, Outgoing::new(&mut tx, 0), &mut keys, link.id());
    let around = Surroundings {
        link,
        clock: &clock,
        handler: &Echo,
        closing_time: &Duration::from_secs(5),
        counters: None,
    };
    let (mut here, there) = wire(capacity);
    let run = async {
        let cause = run_session(restless, &polls, &mut session, &mut here, &around).await;
        session.linger(&mut here, &around).await;
        drop(here);
        session.end(cause).close
    };
    block_on(&clock, both(run, play(scenario, there)), Vec::new()).0
}

#[test]
fn every_scenario_ends_as_it_should() {
    for scenario in scenarios() {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            for capacity in [1, 3, 16, 1000] {
                for restless in [false, true] {
                    let close = ends(&scenario, delivery, capacity, restless);
                    let name = &scenario.name;
                    assert_eq!(
                        close, scenario.close,
                        "{name}, {delivery:?}, {capacity}, restless: {restless}"
                    );
                }
            }
        }
    }
}
