//! Frames that cost more than they should: lengths that are only announced, fragments without end, bytes that come one
//! by one. Classes B, F and P.

mod hostile;

use std::time::Duration;

use hostile::*;
use wirelet::server::ws;
use wirelet::{Keepalive, Limits};

/// The limit on a message where the announced length is attacked, bytes.
const MESSAGE: u64 = 16 << 20;

fn site(limits: Limits) -> Site {
    Site::echo(move |server| server.limits(limits))
}

#[test]
fn a_length_over_the_limit_is_refused_at_once_and_nothing_is_allocated_for_it() {
    let site = site(Limits { message: MESSAGE, ..Limits::new() });
    let mut good = site.open();
    // Only the header is sent: the answer does not wait for a byte of the payload.
    let sum = [header(0x02, 10), vec![0; 10], header(0x80, MESSAGE - 9)].concat();
    for (what, wire, code) in [
        ("2^63 - 1", header(BINARY, i64::MAX as u64), 1009),
        ("2^31", header(BINARY, 1 << 31), 1009),
        ("the limit and one", header(BINARY, MESSAGE + 1), 1009),
        ("the limit and one, in fragments", sum, 1009),
        // RFC 6455 5.2: the most significant bit must be 0.
        ("2^63", header(BINARY, 1 << 63), 1002),
        ("2^64 - 1", header(TEXT, u64::MAX), 1002),
    ] {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = site.open();
            attacker.send(&wire);
            assert_eq!(attacker.close_code(), code, "{what}");
        });
        site.assert_small(start);
    }
}

/// Also: memory grows with what arrives, at most twice as much, or a block.
#[test]
fn the_limit_itself_is_accepted_and_memory_grows_with_what_arrives() {
    let site = site(Limits { message: MESSAGE, message_time: None, ..Limits::new() });
    let mut good = site.open();
    let start = site.zone.mark();
    let payload = vec![7; MESSAGE as usize];
    let mut attacker = site.open();
    attacker.send(&header(BINARY, MESSAGE));
    // Pings are answered in order: the server has read the header when it is idle again.
    good.echo_100();
    site.assert_small(start);
    let arrived = 1 << 20;
    attacker.send(&payload[..arrived]);
    good.echo_100();
    // Twice while it grows, when the old and the new memory exist: 1 + 2 MiB.
    site.assert_peak(start, WORKING + 4 * CONNECTION + 3 * arrived);
    assert!(site.zone.largest() <= 2 * arrived);
    std::thread::scope(|scope| {
        let mut writer = attacker.stream.try_clone().unwrap();
        let rest = &payload[arrived..];
        let writing = scope.spawn(move || std::io::Write::write_all(&mut writer, rest).unwrap());
        good.echo_100();
        writing.join().unwrap();
    });
    let (first, back) = attacker.frame();
    assert!(first == BINARY && back == payload);
    // While it is assembled: the old and the new memory. It is sent back from where it was received.
    site.assert_peak(start, WORKING + 4 * CONNECTION + 2 * MESSAGE as usize);
    attacker.close();
}

/// One frame too many, empty or not, is 1008; until then the pings between them are answered.
#[test]
fn a_million_empty_fragments_end_in_1008_in_constant_memory() {
    const BATCH: u32 = 10_000;
    for fragments in [Limits::new().fragments, 1_000_000] {
        let site = site(Limits { fragments, message_time: None, ..Limits::new() });
        let mut good = site.open();
        let start = site.zone.mark();
        let batch = header(0x00, 0).repeat(BATCH as usize);
        echoes_during(&mut good, || {
            let mut attacker = site.open();
            attacker.send(&header(0x01, 0));
            let mut left = fragments - 1;
            while left > 0 {
                let some = left.min(BATCH);
                attacker.send(&batch[..some as usize * 6]);
                attacker.ping(&left.to_be_bytes());
                left -= some;
            }
            attacker.send(&header(0x00, 0));
            assert_eq!(attacker.close_code(), 1008);
        });
        site.assert_small(start);
    }
}

/// Fragments of one byte are no way around the limit on the whole message either, and cost no memory each.
#[test]
fn fragments_of_one_byte_end_in_1009_at_the_limit_of_the_message() {
    let limit = 50_000;
    let site = site(Limits { message: limit, message_time: None, ..Limits::new() });
    let mut good = site.open();
    let start = site.zone.mark();
    let wire = [frame(0x01, b"a"), frame(0x00, b"a").repeat(limit as usize - 1)].concat();
    echoes_during(&mut good, || {
        let mut attacker = site.open();
        attacker.send(&wire);
        attacker.ping(b"all of it is there");
        attacker.send(&header(0x00, 1));
        assert_eq!(attacker.close_code(), 1009);
    });
    site.assert_small(start);
}

/// A message has 300 ms here, and 1 ms more for each byte that has arrived; the bytes come each 20 ms, so that the
/// deadline passes whatever the peer does. Keepalive is off: nothing else may end the connection.
#[test]
fn a_message_that_arrives_byte_by_byte_ends_in_3008() {
    let limits = Limits { message_time: Some(Duration::from_millis(300)), ..Limits::new() };
    let site = Site::echo(move |server| server.limits(limits).keepalive(Keepalive::off()));
    let mut good = site.open();
    let begun = header(0x01, 0);
    for (what, first, piece) in [
        ("payload", header(BINARY, 1 << 20), &b"x"[..]),
        ("empty fragments", begun.clone(), &header(0x00, 0)),
        ("fragments of a byte", begun.clone(), &frame(0x00, b"x")),
        ("pings between two fragments", begun.clone(), &header(PING, 0)),
        ("nothing after a header", header(BINARY, 10), b""),
        ("nothing after a fragment", begun, b""),
    ] {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = site.open();
            attacker.send(&first);
            if what.starts_with("pings") {
                // Its pongs say nothing about the message.
                let mut reader = Peer { stream: attacker.stream.try_clone().unwrap() };
                std::thread::scope(|scope| {
                    let code = scope.spawn(move || reader.close_code());
                    while !code.is_finished() {
                        let _ = attacker.try_send(piece);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    assert_eq!(code.join().unwrap(), 3008, "{what}");
                });
                return;
            }
            attacker.trickle(piece);
            assert_eq!(attacker.close_code(), 3008, "{what}");
        });
        site.assert_small(start);
    }
}

/// The deadline of a message runs from its first header on; before that the one of keepalive does: 300 ms of silence, and
/// 300 ms for an answer to a ping.
#[test]
fn a_header_that_does_not_end_ends_in_3008() {
    let keepalive = Keepalive::every(Duration::from_millis(300));
    let routes = move || routes().ws("/strict", ws(echo).keepalive(keepalive));
    let site = Site::start(routes, |server| server);
    let mut good = site.open();
    let whole = header(BINARY, 1 << 17);
    for part in [1, 2, whole.len() - 1] {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = Peer::open(site.address, "/strict");
            attacker.send(&whole[..part]);
            assert_eq!(attacker.frame().0, PING);
            assert_eq!(attacker.close_code(), 3008);
        });
        site.assert_small(start);
    }
}
