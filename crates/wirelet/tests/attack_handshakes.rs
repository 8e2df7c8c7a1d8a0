//! Opening handshakes that are too large, too slow, or none. Classes M and P.

mod hostile;

use std::time::Duration;

use hostile::*;
use wirelet::Limits;

/// What is larger than a head may be: 16 KiB and 128 fields, the defaults of `Limits`.
fn oversized() -> [(&'static str, String, u16); 4] {
    let long = "x".repeat(64 * 1024);
    [
        ("2,000 headers", upgrade_request("/ws", &"A: b\r\n".repeat(2000)), 431),
        ("129 headers more", upgrade_request("/ws", &"A: b\r\n".repeat(129)), 431),
        ("a header of 64 KiB", upgrade_request("/ws", &format!("A: {long}\r\n")), 431),
        ("a target of 64 KiB", upgrade_request(&format!("/{long}"), ""), 414),
    ]
}

#[test]
fn a_head_that_is_too_large_is_refused_and_costs_no_more_than_a_block() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    for (what, request, status) in oversized() {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = site.connect();
            let _ = attacker.try_send(request.as_bytes());
            attacker.finish_writing();
            assert_eq!(attacker.response().0, status, "{what}");
            assert_eq!(attacker.rest(), b"", "{what}");
        });
        site.assert_small(start);
    }
}

/// Class M: the limits on a head hold for every request of a connection.
#[test]
fn a_head_that_is_too_large_is_refused_on_a_kept_connection_too() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    for (what, request, status) in oversized() {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = site.connect();
            attacker.get_page();
            let _ = attacker.try_send(request.as_bytes());
            attacker.finish_writing();
            assert_eq!(attacker.response().0, status, "{what}");
            assert_eq!(attacker.rest(), b"", "{what}");
        });
        assert_eq!(site.handle.count(), 1, "{what}");
        // hyper has buffers of its own for the request before, for reading and for writing: 8 KiB at first.
        site.assert_peak(start, WORKING + 4 * CONNECTION + 4 * 2 * 8192);
        site.assert_largest_is_a_block();
    }
}

/// Class M: where two rules are broken the same one answers on a new and on a kept connection, and each answers before
/// anything is switched.
#[test]
fn of_two_broken_rules_the_same_one_answers_on_a_new_and_on_a_kept_connection() {
    let site = Site::echo(|server| server.hosts(["localhost"]));
    let rebound = |request: String| request.replace("Host: localhost", "Host: rebound.example");
    let foreign = "Origin: https://evil.example\r\n";
    for (what, request, status) in [
        ("host and origin", rebound(upgrade_request("/ws", foreign)), 421),
        ("host and route", rebound(upgrade_request("/none", "")), 421),
        ("route and origin", upgrade_request("/none", foreign), 404),
        (
            "origin and subprotocol list",
            upgrade_request("/ws", &format!("{foreign}Sec-WebSocket-Protocol: a,a\r\n")),
            400,
        ),
        ("version and origin", upgrade_request("/ws", foreign).replace("Version: 13", "Version: 12"), 426),
        ("two hosts", upgrade_request("/ws", "Host: localhost\r\n"), 400),
        (
            "a body and origin",
            upgrade_request("/ws", &format!("{foreign}Content-Length: 3\r\n")) + "abc",
            400,
        ),
    ] {
        let mut fresh = site.connect();
        fresh.send(request.as_bytes());
        let mut kept = site.connect();
        kept.get_page();
        kept.send(request.as_bytes());
        assert_eq!((fresh.response().0, kept.response().0), (status, status), "{what}");
    }
    assert_eq!(site.handle.count(), 0);
}

/// The handshake has a second here; a byte comes each 20 ms, and the head never ends.
#[test]
fn a_handshake_that_comes_byte_by_byte_gets_408_at_its_deadline() {
    let limits = Limits { handshake_time: Duration::from_secs(1), ..Limits::new() };
    let site = Site::echo(move |server| server.limits(limits));
    let mut good = site.open();
    let start = site.zone.mark();
    echoes_during(&mut good, || {
        let mut attacker = site.connect();
        attacker.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX: ");
        attacker.trickle(b"y");
        assert_eq!(attacker.response().0, 408);
        attacker.finish_writing();
        assert_eq!(attacker.rest(), b"");
    });
    site.assert_small(start);
    // Silence gets none.
    echoes_during(&mut good, || assert_eq!(site.connect().rest(), b""));
    site.assert_small(start);
    // The next head on a kept connection has as long.
    echoes_during(&mut good, || {
        let mut attacker = site.connect();
        attacker.get_page();
        attacker.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX: ");
        attacker.trickle(b"y");
        let rest = attacker.rest();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", rest.escape_ascii());
    });
    site.assert_peak(start, WORKING + 4 * CONNECTION + 4 * 2 * 8192);
}

#[test]
fn a_handshake_in_single_bytes_is_served() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    let request = upgrade_request("/ws", "");
    let start = site.zone.mark();
    echoes_during(&mut good, || {
        let mut peer = site.connect();
        for byte in request.as_bytes().chunks(1) {
            peer.send(byte);
        }
        assert_eq!(peer.response().0, 101);
        peer.echo("served");
        peer.close();
    });
    site.assert_small(start);
}

/// The connection was closed without an answer.
const SILENCE: u16 = 0;

#[test]
fn what_is_no_http_is_refused_at_its_first_bytes() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    // RFC 8446 4.1.2 and 5.1: the record's header, then a ClientHello of 512 bytes.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xa5; 506]].concat();
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (what, wire, statuses) in [
        ("TLS", hello, &[400][..]),
        // RFC 9113 3.4. HTTP/2 is not spoken here, and its peers expect no words of HTTP/1.1.
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[SILENCE, 505]),
        ("noise", noise, &[400]),
        ("zeros", vec![0; 4096], &[400]),
        ("HTTP/0.9", b"GET /ws\r\n\r\n".to_vec(), &[400]),
        ("HTTP/1.0", upgrade_request("/ws", "").replace("1.1", "1.0").into_bytes(), &[426, 505]),
        ("bare line feeds", upgrade_request("/ws", "").replace('\r', "").into_bytes(), &[400]),
        ("frames at once", frame(TEXT, b"hello"), &[400]),
    ] {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = site.connect();
            let _ = attacker.try_send(&wire);
            attacker.finish_writing();
            let status = attacker.try_response().map_or(SILENCE, |(status, ..)| status);
            assert!(statuses.contains(&status), "{what}: {status}");
            assert_eq!(attacker.rest(), b"", "{what}");
        });
        site.assert_small(start);
    }
    assert_eq!(site.handle.count(), 1);
}
