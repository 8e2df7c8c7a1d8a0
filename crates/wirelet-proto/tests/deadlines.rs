//! Every deadline to the millisecond, on a virtual clock (class P).

use std::time::Duration;

use testkit::pair::Pair;
use testkit::trace::{Endpoint, Seen, endpoint};
use testkit::wire::{Frame, ROLES, peer};
use wirelet_proto::{CloseCode, Config, Expired, Growable, Instant, Keepalive, Role, State, Status};

fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn handle(endpoint: &mut Endpoint<Growable>, millis: u64) -> Option<Expired> {
    endpoint.now = ms(millis);
    endpoint.connection.handle_deadline(&mut endpoint.keys, ms(millis))
}

fn receive_at(endpoint: &mut Endpoint<Growable>, millis: u64, wire: &[u8]) {
    endpoint.now = ms(millis);
    endpoint.receive(wire);
}

fn deadline(endpoint: &Endpoint<Growable>) -> Option<u64> {
    endpoint.connection.poll_deadline().map(Instant::as_millis)
}

fn without_pings() -> Config {
    Config { keepalive: Keepalive { ping: None, ..Keepalive::new() }, ..Config::new() }
}

#[test]
fn a_silent_peer_is_pinged_then_failed_then_dropped() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        assert_eq!(deadline(&endpoint), Some(20_000));
        assert_eq!(handle(&mut endpoint, 19_999), None);
        assert!(endpoint.connection.poll_transmit().is_empty());
        assert_eq!(handle(&mut endpoint, 20_000), None);
        endpoint.flush();
        assert!(matches!(endpoint.sent().seen[..], [Seen::Ping(_)]));
        assert_eq!(deadline(&endpoint), Some(40_000));
        assert_eq!(handle(&mut endpoint, 39_999), None);
        assert_eq!(handle(&mut endpoint, 40_000), Some(Expired::Pong));
        endpoint.flush();
        let timeout = Seen::Close(Some((CloseCode::TIMEOUT.into(), String::new())));
        assert_eq!(endpoint.sent().seen.last(), Some(&timeout));
        assert_eq!(endpoint.turn(), Ok(Status::Closed));
        assert_eq!(deadline(&endpoint), Some(45_000));
        assert_eq!(handle(&mut endpoint, 44_999), None);
        assert_eq!(handle(&mut endpoint, 45_000), Some(Expired::Closing));
        assert_eq!((deadline(&endpoint), endpoint.connection.state()), (None, State::Closed));
        assert!(endpoint.connection.close_info().failed);
    }
}

#[test]
fn whatever_arrives_is_a_sign_of_life() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        handle(&mut endpoint, 20_000);
        endpoint.flush();
        // The first byte of a header is enough.
        receive_at(&mut endpoint, 39_999, &[0x82]);
        assert_eq!(handle(&mut endpoint, 40_000), None);
        assert_eq!(deadline(&endpoint), Some(59_999));
        let pong = Frame::pong("?").from(peer(role)).bytes();
        receive_at(&mut endpoint, 50_000, &Frame::binary([]).from(peer(role)).bytes()[1..]);
        assert_eq!(deadline(&endpoint), Some(70_000));
        handle(&mut endpoint, 70_000);
        receive_at(&mut endpoint, 70_001, &pong);
        assert_eq!(deadline(&endpoint), Some(90_001));
    }
}

#[test]
fn keepalive_pings_are_numbered() {
    let mut endpoint = endpoint(Role::Server, &Config::new());
    for round in 1..=300_u32 {
        let now = deadline(&endpoint).unwrap();
        assert_eq!(handle(&mut endpoint, now), None);
        endpoint.flush();
        assert_eq!(endpoint.sent().seen.last(), Some(&Seen::Ping(round.to_be_bytes().to_vec())));
        receive_at(&mut endpoint, now + 1, &Frame::pong(round.to_be_bytes()).from(Role::Client).bytes());
    }
}

#[test]
fn an_idle_peer_fails_where_no_pings_are_sent() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_pings());
        assert_eq!(deadline(&endpoint), Some(120_000));
        receive_at(&mut endpoint, 5000, &Frame::pong([]).from(peer(role)).bytes());
        assert_eq!(handle(&mut endpoint, 124_999), None);
        assert_eq!(handle(&mut endpoint, 125_000), Some(Expired::Idle));
        assert_eq!(endpoint.connection.close_info().sent, Some(CloseCode::TIMEOUT));
    }
}

#[test]
fn keepalive_can_be_off_or_have_one_interval() {
    let off = Config { keepalive: Keepalive::off(), ..Config::new() };
    assert_eq!(deadline(&endpoint(Role::Client, &off)), None);
    let every = Config { keepalive: Keepalive::every(Duration::from_secs(7)), ..Config::new() };
    let mut endpoint = endpoint(Role::Client, &every);
    handle(&mut endpoint, 7000);
    endpoint.flush();
    assert_eq!(deadline(&endpoint), Some(14_000));
}

#[test]
fn a_ping_of_the_caller_is_answered_in_time_or_fails() {
    let mut endpoint = endpoint(Role::Client, &Config::new());
    for now in [3000, 9000] {
        endpoint.now = ms(now);
        endpoint.connection.ping(b"mine", &mut endpoint.keys, ms(now)).unwrap();
        endpoint.flush();
        // The second one does not move the deadline of the first.
        assert_eq!(deadline(&endpoint), Some(23_000));
    }
    assert_eq!(handle(&mut endpoint, 22_999), None);
    assert_eq!(handle(&mut endpoint, 23_000), Some(Expired::Pong));
}

#[test]
fn a_message_of_a_byte_a_second_is_failed() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&Frame::binary([]).announcing(1000).from(peer(role)).header());
        let mut second = 0;
        while deadline(&endpoint).unwrap() > second * 1000 {
            receive_at(&mut endpoint, second * 1000, &[1]);
            second += 1;
        }
        // 61 bytes had come with the 60th second, a millisecond for each.
        assert_eq!(deadline(&endpoint), Some(60_061));
        assert_eq!(handle(&mut endpoint, 60_060), None);
        assert_eq!(handle(&mut endpoint, 60_061), Some(Expired::Message));
        endpoint.flush();
        let sent = endpoint.sent().seen;
        assert_eq!(sent, [Seen::Close(Some((CloseCode::TIMEOUT.into(), String::new())))]);
    }
}

#[test]
fn fragments_control_frames_and_half_headers_do_not_prolong_a_message() {
    for role in ROLES {
        for drip in [
            Frame::continuation([]).fragment().from(peer(role)).bytes(),
            Frame::ping([]).from(peer(role)).bytes(),
            Frame::pong("x").from(peer(role)).bytes(),
        ] {
            let mut endpoint = endpoint(role, &Config::new());
            receive_at(&mut endpoint, 100, &Frame::text([]).fragment().from(peer(role)).bytes());
            let mut now = 100;
            while handle(&mut endpoint, now).is_none() {
                receive_at(&mut endpoint, now, &drip);
                now += 500;
            }
            assert_eq!(now, 60_100);
        }
    }
}

#[test]
fn an_honest_slow_upload_is_not_failed() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.message = 4 << 20;
        let mut endpoint = endpoint(role, &config);
        let payload = vec![5; 1 << 20];
        let wire = Frame::binary(&payload).from(peer(role)).bytes();
        // 16 kbit/s: nine minutes.
        for (i, piece) in wire.chunks(2000).enumerate() {
            let now = i as u64 * 1000;
            assert_eq!(handle(&mut endpoint, now), None, "{i}");
            receive_at(&mut endpoint, now, piece);
        }
        assert!(endpoint.seen == [Seen::Binary(payload)]);
    }
}

#[test]
fn between_messages_there_is_no_message_deadline() {
    let mut endpoint = endpoint(Role::Client, &without_pings());
    receive_at(&mut endpoint, 1000, &Frame::text("whole").bytes());
    endpoint.run();
    assert_eq!(deadline(&endpoint), Some(121_000));
    receive_at(&mut endpoint, 2000, &Frame::text("part").fragment().bytes());
    assert_eq!(deadline(&endpoint), Some(62_004));
    receive_at(&mut endpoint, 3000, &Frame::continuation("").bytes());
    endpoint.run();
    assert_eq!(deadline(&endpoint), Some(123_000));
}

#[test]
fn a_closing_handshake_that_does_not_end_is_dropped() {
    for role in ROLES {
        let mut ours = endpoint(role, &Config::new());
        ours.now = ms(1000);
        ours.close(1000, "").unwrap();
        ours.flush();
        // What arrives does not prolong it.
        receive_at(&mut ours, 5000, &Frame::text("talking on").from(peer(role)).bytes());
        assert_eq!(deadline(&ours), Some(6000));
        assert_eq!(handle(&mut ours, 5999), None);
        assert_eq!(handle(&mut ours, 6000), Some(Expired::Closing));
        assert_eq!(ours.connection.close_info().code(), CloseCode::ABNORMAL);
        let mut theirs = endpoint(role, &Config::new());
        receive_at(&mut theirs, 1000, &Frame::close(1000, "").from(peer(role)).bytes());
        assert_eq!(handle(&mut theirs, 6000), Some(Expired::Closing));
        assert!(theirs.connection.close_info().is_clean());
    }
}

#[test]
fn deadlines_stand_still_while_reading_is_held() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        receive_at(&mut endpoint, 10_000, &Frame::text("a").fragment().from(peer(role)).bytes());
        assert_eq!(deadline(&endpoint), Some(30_000));
        endpoint.connection.hold_reading(true, ms(12_000));
        endpoint.connection.hold_reading(true, ms(15_000));
        assert_eq!(deadline(&endpoint), None);
        assert_eq!(handle(&mut endpoint, 500_000), None);
        endpoint.connection.hold_reading(false, ms(1_012_000));
        assert_eq!(deadline(&endpoint), Some(1_030_000));
        handle(&mut endpoint, 1_030_000);
        endpoint.flush();
        assert_eq!(deadline(&endpoint), Some(1_050_000), "pong");
        endpoint.connection.hold_reading(true, ms(1_040_000));
        endpoint.connection.hold_reading(false, ms(1_041_000));
        assert_eq!(deadline(&endpoint), Some(1_051_000), "pong, a second later");
        receive_at(&mut endpoint, 1_050_000, &Frame::pong("").from(peer(role)).bytes());
        assert_eq!(handle(&mut endpoint, 1_070_000), None);
        receive_at(&mut endpoint, 1_070_500, &Frame::pong("").from(peer(role)).bytes());
        // The message has stood still for 1,001 seconds.
        assert_eq!(deadline(&endpoint), Some(10_000 + 60_000 + 1 + 1_001_000));
    }
}

#[test]
fn what_arrives_while_reading_is_held_does_not_move_deadlines_beyond_the_hold() {
    let mut endpoint = endpoint(Role::Client, &Config::new());
    endpoint.connection.hold_reading(true, ms(1000));
    // One event more, that was in the buffer or that the driver still takes.
    receive_at(&mut endpoint, 9000, &Frame::text("one more").bytes());
    endpoint.connection.hold_reading(false, ms(11_000));
    assert_eq!(deadline(&endpoint), Some(31_000));
}

#[test]
fn closing_does_not_stand_still() {
    let mut endpoint = endpoint(Role::Server, &Config::new());
    endpoint.connection.hold_reading(true, ms(0));
    endpoint.now = ms(100);
    endpoint.close(1001, "").unwrap();
    endpoint.flush();
    assert_eq!(deadline(&endpoint), Some(5100));
}

#[test]
fn an_idle_pair_lives_on_its_pings() {
    let mut pair = Pair::new(&Config::new(), &Config::new(), 1);
    pair.links[0].delay = 900;
    pair.links[1].delay = 300;
    pair.drive(3_600_000);
    for end in &pair.ends {
        assert_eq!((end.endpoint.connection.state(), &end.expired[..]), (State::Open, &[][..]));
        assert!(end.endpoint.seen.len() > 100, "pings and pongs");
    }
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    for gone in 0..2 {
        let mut pair = Pair::new(&Config::new(), &Config::new(), 1);
        pair.ends[gone].reading = false;
        pair.ends[gone].writing = false;
        pair.drive(60_000);
        let end = &pair.ends[1 - gone];
        assert_eq!(end.expired, [Expired::Pong, Expired::Closing]);
        assert_eq!(end.endpoint.connection.state(), State::Closed);
    }
}

#[test]
fn a_header_or_control_frame_that_trickles_is_failed_without_keepalive_too() {
    for role in ROLES {
        for wire in [
            Frame::binary([7; 300]).from(peer(role)).bytes()[..3].to_vec(),
            Frame::ping([7; 100]).from(peer(role)).bytes()[..50].to_vec(),
        ] {
            let config = Config { keepalive: Keepalive::off(), ..Config::new() };
            let mut endpoint = endpoint(role, &config);
            receive_at(&mut endpoint, 1_000, &wire[..1]);
            for (second, byte) in (2..).zip(&wire[1..]) {
                receive_at(&mut endpoint, second * 1_000, &[*byte]);
                assert_eq!(deadline(&endpoint), Some(61_000));
            }
            assert_eq!(handle(&mut endpoint, 60_999), None);
            assert_eq!(handle(&mut endpoint, 61_000), Some(Expired::Message));
        }
    }
}
