//! Output and time: what waits, what has left, and how long a peer may take for it.

use std::time::Duration;

use testkit::trace::{Endpoint, Seen, endpoint};
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::{
    CloseCode, Config, EventKind, Expired, Growable, Initiator, Instant, Keepalive, Limits, MessageKind,
    OutputWatch, SendError, State, Status,
};

fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn sent(endpoint: &mut Endpoint<Growable>, millis: u64, n: usize, waiting: usize) {
    endpoint.now = ms(millis);
    endpoint.connection.sent(n, waiting, ms(millis));
}

fn handle(endpoint: &mut Endpoint<Growable>, millis: u64) -> Option<Expired> {
    endpoint.now = ms(millis);
    endpoint.connection.handle_deadline(&mut endpoint.keys, ms(millis))
}

fn deadline(endpoint: &Endpoint<Growable>) -> Option<u64> {
    endpoint.connection.poll_deadline().map(Instant::as_millis)
}

fn receive_at(endpoint: &mut Endpoint<Growable>, millis: u64, wire: &[u8]) {
    endpoint.now = ms(millis);
    endpoint.receive(wire);
}

/// The driver takes all that is in the slot, and writes nothing yet. How many bytes.
fn take_slot(endpoint: &mut Endpoint<Growable>) -> usize {
    let len = endpoint.connection.poll_transmit().len();
    endpoint.sent.extend_from_slice(endpoint.connection.poll_transmit());
    endpoint.connection.transmitted(len);
    len
}

/// No deadlines but those of output.
fn without_keepalive() -> Config {
    Config { keepalive: Keepalive::off(), ..Config::new() }
}

/// 4 MiB at 64 KiB/s: a keepalive ping waited in the slot while the frame left, and its answer was overdue before it had left
/// itself.
#[test]
fn a_ping_behind_a_large_frame_is_waited_for_when_it_has_left() {
    for role in ROLES {
        let mut config = Config::new();
        // Progress is life; this is about the ping of an application that wants to know more.
        config.keepalive.ping = None;
        let mut endpoint = endpoint(role, &config);
        sent(&mut endpoint, 0, 65_536, 4 << 20);
        endpoint.connection.ping(b"?", &mut endpoint.keys, ms(0)).unwrap();
        let mut waiting = 4 << 20;
        for second in 1..=63 {
            waiting -= 65_536;
            sent(&mut endpoint, second * 1000, 65_536, waiting);
            assert_eq!(handle(&mut endpoint, second * 1000), None);
        }
        // The frame has room for the slot behind it.
        let ping = take_slot(&mut endpoint);
        sent(&mut endpoint, 64_000, 60_000, waiting - 60_000 + ping);
        assert_eq!(deadline(&endpoint), Some(184_000), "it has not left");
        sent(&mut endpoint, 65_000, waiting - 60_000 + ping - 1, 1);
        assert_eq!(deadline(&endpoint), Some(185_000), "its last byte has not left");
        sent(&mut endpoint, 66_000, 1, 0);
        assert_eq!(deadline(&endpoint), Some(86_000));
        assert_eq!(handle(&mut endpoint, 85_999), None);
        assert_eq!(handle(&mut endpoint, 86_000), Some(Expired::Pong));
    }
}

/// What is queued behind a ping made it look as if the ping had not left.
#[test]
fn a_ping_has_left_when_what_was_before_it_has() {
    for role in ROLES {
        let mut config = without_keepalive();
        config.keepalive.pong = Duration::from_secs(7);
        let mut endpoint = endpoint(role, &config);
        sent(&mut endpoint, 0, 0, 1000);
        endpoint.connection.ping(b"", &mut endpoint.keys, ms(0)).unwrap();
        let ping = take_slot(&mut endpoint);
        sent(&mut endpoint, 1000, 0, 1000 + ping);
        // A thousand bytes more for each thousand that leave.
        sent(&mut endpoint, 2000, 1000, 1000 + ping);
        assert_eq!(deadline(&endpoint), Some(122_000));
        sent(&mut endpoint, 3000, 1000, 1000 + ping);
        assert_eq!(deadline(&endpoint), Some(10_000), "it has left with the second thousand");
    }
}

/// The slot held a pong that waited for room when a keepalive ping was due: no ping was sent, and the connection was failed
/// since nothing had come after it.
#[test]
fn a_keepalive_ping_that_finds_the_slot_busy_is_sent_later_and_not_waited_for_before() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        let wire = Frame::ping("theirs").from(peer(role)).bytes();
        assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
        endpoint.read(&wire);
        assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
        assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
        // The pong waits, since a large frame is on its way and has stopped.
        sent(&mut endpoint, 0, 0, 50_000);
        let pong = endpoint.connection.poll_transmit().to_vec();
        assert_eq!(deadline(&endpoint), Some(120_000), "no ping is due, and nothing is expected");
        assert_eq!(handle(&mut endpoint, 60_000), None);
        assert_eq!(endpoint.connection.poll_transmit(), pong);
        // When it goes on, that is life, and the slot has room.
        sent(&mut endpoint, 70_000, 50_000, 0);
        endpoint.flush();
        assert_eq!(deadline(&endpoint), Some(90_000));
        assert_eq!(handle(&mut endpoint, 90_000), None);
        endpoint.flush();
        let [Seen::Pong(_), Seen::Ping(_)] = &endpoint.sent().seen[..] else { panic!() };
        assert_eq!(handle(&mut endpoint, 109_999), None);
        assert_eq!(handle(&mut endpoint, 110_000), Some(Expired::Pong));
    }
}

/// The slot is free again long after the ping was due.
#[test]
fn a_keepalive_ping_that_found_the_slot_busy_is_due_when_it_is_free() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        receive_at(&mut endpoint, 0, &[]);
        endpoint.read(&Frame::ping("theirs").from(peer(role)).bytes());
        assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
        sent(&mut endpoint, 0, 0, 50_000);
        assert_eq!(handle(&mut endpoint, 60_000), None);
        take_slot(&mut endpoint);
        assert_eq!(deadline(&endpoint), Some(20_000), "at once");
        assert_eq!(handle(&mut endpoint, 60_000), None);
        assert!(!endpoint.connection.poll_transmit().is_empty());
        // And once only: it is on its way.
        take_slot(&mut endpoint);
        assert_eq!(deadline(&endpoint), Some(120_000));
    }
}

/// A peer that received for a minute without a word of its own was given up by keepalive.
#[test]
fn bytes_that_a_blocked_peer_takes_are_a_sign_of_life() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        sent(&mut endpoint, 0, 1000, 100_000);
        for second in 1..=90 {
            sent(&mut endpoint, second * 1000, 1000, 100_000 - second as usize * 1000);
            assert_eq!(handle(&mut endpoint, second * 1000), None);
            assert!(endpoint.connection.poll_transmit().is_empty(), "no ping: it is alive");
            assert_eq!(deadline(&endpoint), Some((second + 20) * 1000));
        }
    }
}

/// A dead peer's socket still takes what an application sends, until it is full.
#[test]
fn bytes_that_an_empty_socket_takes_are_no_sign_of_life() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        for second in 0..20 {
            sent(&mut endpoint, second * 1000, 100, 0);
            assert_eq!(deadline(&endpoint), Some(20_000));
        }
        handle(&mut endpoint, 20_000);
        endpoint.flush();
        for second in 20..40 {
            sent(&mut endpoint, second * 1000, 100, 0);
            assert_eq!(deadline(&endpoint), Some(40_000));
        }
        assert_eq!(handle(&mut endpoint, 40_000), Some(Expired::Pong));
    }
}

/// A ping is written into a socket that has been full, and the room that it needed counted as its answer.
#[test]
fn the_room_that_a_ping_leaves_into_is_no_answer_to_it() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        handle(&mut endpoint, 20_000);
        let ping = take_slot(&mut endpoint);
        sent(&mut endpoint, 20_000, 0, ping);
        sent(&mut endpoint, 21_000, ping, 0);
        assert_eq!(deadline(&endpoint), Some(41_000), "pong");
        assert_eq!(handle(&mut endpoint, 41_000), Some(Expired::Pong));
    }
}

/// A driver reported that nothing waits before it had taken a ping out of the slot, and then that the ping had left: that
/// looked like a peer that had made room.
#[test]
fn a_ping_that_the_driver_had_not_taken_yet_is_no_progress_when_it_leaves() {
    for role in ROLES {
        let keepalive =
            Keepalive { ping: None, pong: Duration::from_secs(60), idle: Some(Duration::from_secs(30)) };
        let mut endpoint = endpoint(role, &Config { keepalive, ..Config::new() });
        endpoint.connection.ping(b"", &mut endpoint.keys, ms(10_000)).unwrap();
        sent(&mut endpoint, 10_000, 0, 0);
        let ping = take_slot(&mut endpoint);
        sent(&mut endpoint, 11_000, ping, 0);
        assert_eq!(deadline(&endpoint), Some(30_000), "idle");
    }
}

/// A driver that writes the slot as it is, without memory of its own.
#[test]
fn a_slot_that_is_written_directly_and_stops_is_a_stall() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_keepalive());
        endpoint.connection.ping(&[7; 100], &mut endpoint.keys, ms(0)).unwrap();
        for second in 1..=3 {
            endpoint.connection.transmitted(30);
            sent(&mut endpoint, second * 1000, 30, 0);
            assert_eq!(deadline(&endpoint), Some(second * 1000 + 120_000));
        }
        sent(&mut endpoint, 50_000, 0, 0);
        assert_eq!(handle(&mut endpoint, 122_999), None);
        assert_eq!(handle(&mut endpoint, 123_000), Some(Expired::Stalled));
    }
}

/// A driver that drops what it had queued has less before the ping than it had said.
#[test]
fn a_ping_has_left_when_nothing_waits_any_more() {
    for role in ROLES {
        let mut config = without_keepalive();
        config.keepalive.pong = Duration::from_secs(7);
        let mut endpoint = endpoint(role, &config);
        endpoint.connection.ping(b"", &mut endpoint.keys, ms(0)).unwrap();
        take_slot(&mut endpoint);
        sent(&mut endpoint, 1000, 0, 1000);
        sent(&mut endpoint, 2000, 10, 0);
        assert_eq!(deadline(&endpoint), Some(9000));
    }
}

/// The system of a peer acknowledges on and on what is in the socket: a link of 1,000 bytes a second with 100 kB in buffers.
#[test]
fn what_the_system_says_is_acknowledged_is_a_sign_of_life_and_progress() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.slowest = None;
        let mut endpoint = endpoint(role, &config);
        handle(&mut endpoint, 20_000);
        endpoint.flush();
        sent(&mut endpoint, 20_000, 0, 10);
        for now in (40_000..=400_000).step_by(20_000) {
            assert_eq!(deadline(&endpoint), Some(now), "pong");
            endpoint.connection.acknowledged(ms(now));
            assert_eq!(handle(&mut endpoint, now), None);
        }
        // It is acknowledged, and never answered.
        assert_eq!(handle(&mut endpoint, 420_000), Some(Expired::Pong));
        sent(&mut endpoint, 500_000, 0, 10);
        assert_eq!(deadline(&endpoint), Some(520_000), "stalled");
        endpoint.connection.acknowledged(ms(520_000));
        assert_eq!(handle(&mut endpoint, 639_999), None);
        assert_eq!(handle(&mut endpoint, 640_000), Some(Expired::Stalled));
    }
}

/// "Send and close" of a megabyte was cut off five seconds later.
#[test]
fn the_closing_deadline_begins_when_the_close_frame_has_left() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_keepalive());
        sent(&mut endpoint, 0, 65_536, 1 << 20);
        endpoint.close(1000, "").unwrap();
        let mut waiting = (1 << 20) + take_slot(&mut endpoint);
        for second in 1..=15 {
            waiting -= 65_536;
            sent(&mut endpoint, second * 1000, 65_536, waiting);
            assert_eq!(deadline(&endpoint), Some((second + 120) * 1000), "stalled_time");
        }
        sent(&mut endpoint, 16_000, waiting, 0);
        assert_eq!(deadline(&endpoint), Some(21_000));
        assert_eq!(handle(&mut endpoint, 20_999), None);
        assert_eq!(handle(&mut endpoint, 21_000), Some(Expired::Closing));
        assert_eq!(endpoint.connection.close_info().sent, Some(CloseCode::NORMAL));
    }
}

/// The close frame of a failure waits for the slot, and for the peer to take what is in it.
#[test]
fn a_failure_behind_a_peer_that_takes_nothing_ends_when_it_has_stalled() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        handle(&mut endpoint, 20_000);
        endpoint.connection.transmitted(1);
        endpoint.connection.fail(CloseCode::POLICY_VIOLATION, &mut endpoint.keys, ms(30_000));
        sent(&mut endpoint, 31_000, 0, 5);
        assert_eq!(deadline(&endpoint), Some(140_000), "since the ping was queued");
        assert_eq!(handle(&mut endpoint, 140_000), Some(Expired::Stalled));
        let info = endpoint.connection.close_info();
        assert_eq!((info.sent, info.initiator, info.failed), (None, None, true), "it never left");
    }
}

/// A driver that never writes and never reports would keep a closing connection for ever.
#[test]
fn a_close_frame_that_no_driver_takes_is_a_stall() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.now = ms(1000);
        endpoint.close(1000, "").unwrap();
        assert_eq!(deadline(&endpoint), Some(121_000));
        take_slot(&mut endpoint);
        assert_eq!(handle(&mut endpoint, 121_000), Some(Expired::Stalled));
        assert_eq!(endpoint.connection.poll_expiry(), Some(Expired::Closing));
    }
}

/// A peer that takes nothing was watched only where there was an idle limit, and by each driver in its own way.
#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    for role in ROLES {
        for keepalive in [Keepalive::new(), Keepalive::every(Duration::from_secs(200)), Keepalive::off()] {
            let mut endpoint = endpoint(role, &Config { keepalive, ..Config::new() });
            // It talks, and does not read.
            let chatter = Frame::pong("").from(peer(role)).bytes();
            assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
            sent(&mut endpoint, 5000, 500, 10);
            for second in 6..125 {
                sent(&mut endpoint, second * 1000, 0, 10 + second as usize);
                endpoint.read(&chatter);
                assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Pong)));
                assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
                assert_eq!(handle(&mut endpoint, second * 1000), None, "{second}");
            }
            endpoint.read(&Frame::text("last words").from(peer(role)).bytes());
            assert_eq!(handle(&mut endpoint, 125_000), Some(Expired::Stalled));
            assert_eq!(endpoint.connection.poll_expiry(), Some(Expired::Closing));
            endpoint.run();
            assert_eq!(endpoint.seen.last(), Some(&Seen::Text("last words".into())));
        }
    }
}

/// `stalled_time` counts from the last byte that was taken, over any number of attempts.
#[test]
fn a_byte_that_is_taken_begins_the_stall_again() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_keepalive());
        sent(&mut endpoint, 0, 0, 10);
        sent(&mut endpoint, 100_000, 0, 10);
        assert_eq!(deadline(&endpoint), Some(120_000));
        sent(&mut endpoint, 119_000, 1, 9);
        assert_eq!(deadline(&endpoint), Some(239_000));
        sent(&mut endpoint, 130_000, 9, 0);
        assert_eq!(deadline(&endpoint), None, "nothing waits");
        sent(&mut endpoint, 500_000, 0, 10);
        assert_eq!(deadline(&endpoint), Some(620_000));
    }
}

/// The time in which bytes waited of a period, after which `rate` bytes were taken each second of it.
fn ends_as_slow(slowest: Option<u32>, bytes: usize, interval: u64) -> Option<u64> {
    let mut config = without_keepalive();
    config.limits.slowest = slowest;
    let mut endpoint = endpoint(ROLES[0], &config);
    sent(&mut endpoint, 0, 60_000, 1 << 20);
    for i in 1.. {
        let now = i * interval;
        if now > 3_600_000 {
            return None;
        }
        while let Some(due) = deadline(&endpoint).filter(|due| *due < now) {
            if let Some(expired) = handle(&mut endpoint, due) {
                assert_eq!(expired, Expired::Slow);
                return Some(due);
            }
        }
        sent(&mut endpoint, now, bytes, 1 << 20);
    }
    None
}

/// A byte every nine seconds is progress, and kept memory and a socket for ever.
#[test]
fn a_peer_that_takes_a_byte_every_nine_seconds_is_given_up_after_ten_minutes() {
    assert_eq!(ends_as_slow(Some(32), 1, 9000), Some(600_000));
    assert_eq!(ends_as_slow(None, 1, 9000), None);
    assert_eq!(ends_as_slow(Some(32), 1000, 1000), None, "a slow line, honest");
    assert_eq!(ends_as_slow(Some(32), 32, 1000), None, "just fast enough");
    assert_eq!(ends_as_slow(Some(33), 32, 1000), Some(600_000));
    // A socket that has room only when a third of it is free.
    assert_eq!(ends_as_slow(Some(32), 100_000, 100_000), None);
}

/// An average over all time would let a peer live on what it took long ago.
#[test]
fn each_period_of_slowness_begins_anew() {
    let mut endpoint = endpoint(ROLES[0], &without_keepalive());
    sent(&mut endpoint, 0, 0, 1 << 30);
    for second in 1..=600 {
        sent(&mut endpoint, second * 1000, 1 << 20, 1 << 30);
    }
    for second in 601..1200 {
        sent(&mut endpoint, second * 1000, 1, 1 << 30);
        assert_eq!(handle(&mut endpoint, second * 1000), None, "{second}");
    }
    assert_eq!(handle(&mut endpoint, 1_200_000), Some(Expired::Slow));
}

/// A connection on which a little is sent now and then is not a slow one.
#[test]
fn only_time_in_which_bytes_wait_counts_as_slow() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_keepalive());
        for hour in 0..100 {
            let now = hour * 3_600_000;
            sent(&mut endpoint, now, 0, 10);
            assert_eq!(handle(&mut endpoint, now + 1000), None);
            // Ten bytes that wait for a second: slower than 32 bytes a second, but only 100 seconds of it.
            sent(&mut endpoint, now + 1000, 10, 0);
            assert_eq!(deadline(&endpoint), None);
        }
        let now = 400_000_000;
        sent(&mut endpoint, now, 0, 10);
        assert_eq!(deadline(&endpoint), Some(now + 120_000));
        for i in 1..=9 {
            sent(&mut endpoint, now + i * 55_000, 1, 10);
        }
        // 100 seconds, and 500 more.
        assert_eq!(deadline(&endpoint), Some(now + 500_000));
        assert_eq!(handle(&mut endpoint, now + 500_000), Some(Expired::Slow));
    }
}

#[test]
fn limits_on_output_can_be_off() {
    for role in ROLES {
        let mut config = without_keepalive();
        (config.limits.stalled_time, config.limits.slowest) = (None, None);
        let mut endpoint = endpoint(role, &config);
        sent(&mut endpoint, 0, 0, 10);
        assert_eq!(deadline(&endpoint), None);
        assert_eq!(handle(&mut endpoint, u64::MAX), None);
    }
}

/// A fragmented message that an application began and forgot kept the connection from sending any other, for ever.
#[test]
fn a_fragmented_message_that_is_not_continued_fails_the_connection() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &without_keepalive());
        assert!(!endpoint.connection.is_sending_message());
        endpoint.send(MessageKind::Text, b"once upon", false).unwrap();
        assert!(endpoint.connection.is_sending_message());
        sent(&mut endpoint, 1000, 0, 11);
        assert_eq!(deadline(&endpoint), Some(121_000), "it waits");
        sent(&mut endpoint, 3000, 11, 0);
        assert_eq!(deadline(&endpoint), Some(63_000));
        // What else is sent does not prolong it, unless it has to wait.
        sent(&mut endpoint, 4000, 10, 0);
        assert_eq!(deadline(&endpoint), Some(63_000));
        endpoint.connection.hold_reading(true, ms(5000));
        endpoint.send(MessageKind::Text, b" a time", false).unwrap();
        sent(&mut endpoint, 60_000, 9, 0);
        assert_eq!(deadline(&endpoint), Some(120_000), "though the application reads nothing");
        assert_eq!(handle(&mut endpoint, 119_999), None);
        assert_eq!(handle(&mut endpoint, 120_000), Some(Expired::Fragment));
        assert_eq!(endpoint.connection.close_info().sent, Some(CloseCode::INTERNAL_ERROR));
        endpoint.flush();
        assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1011, String::new())))]);
    }
}

#[test]
fn a_fragmented_message_that_ends_in_time_leaves_no_deadline() {
    for role in ROLES {
        let mut config = without_keepalive();
        let mut endpoint = endpoint(role, &config);
        for (second, fin) in [(0, false), (59, false), (118, false), (177, true)] {
            assert_eq!(handle(&mut endpoint, second * 1000), None);
            endpoint.send(MessageKind::Binary, b"..", fin).unwrap();
            sent(&mut endpoint, second * 1000, 4, 0);
        }
        assert!(!endpoint.connection.is_sending_message());
        assert_eq!(deadline(&endpoint), None);
        config.limits.fragment_time = None;
        let mut endpoint = testkit::trace::endpoint(role, &config);
        endpoint.send(MessageKind::Binary, b"..", false).unwrap();
        sent(&mut endpoint, 0, 4, 0);
        assert_eq!(deadline(&endpoint), None);
    }
}

/// A peer that half-closes and does not read what it asked for.
#[test]
fn output_that_waits_is_limited_after_the_end_of_input_too() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        receive_at(&mut endpoint, 0, &Frame::text("all of it!").from(peer(role)).bytes());
        endpoint.send(MessageKind::Text, &[b'x'; 900], true).unwrap();
        sent(&mut endpoint, 1000, 0, 902);
        endpoint.connection.received_eof();
        assert_eq!(endpoint.turn(), Ok(Status::Closed));
        assert_eq!(endpoint.connection.state(), State::Closed);
        sent(&mut endpoint, 2000, 10, 892);
        assert_eq!(deadline(&endpoint), Some(122_000));
        assert_eq!(handle(&mut endpoint, 122_000), Some(Expired::Stalled));
        assert_eq!(deadline(&endpoint), None);
        let mut flushed = testkit::trace::endpoint(role, &Config::new());
        sent(&mut flushed, 1000, 0, 902);
        flushed.connection.received_eof();
        sent(&mut flushed, 2000, 902, 0);
        assert_eq!(deadline(&flushed), None, "nothing waits");
    }
}

/// Messages that had been read but not taken in when the input ended were thrown away.
#[test]
fn what_was_received_before_the_end_of_input_is_delivered() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.run();
        let frames =
            [Frame::text("one"), Frame::ping("?"), Frame::text("two"), Frame::text("half").fragment()];
        endpoint.read(&stream(peer(role), frames));
        endpoint.connection.received_eof();
        endpoint.run();
        assert!(endpoint.closed);
        let ping = Seen::Ping(b"?".to_vec());
        assert_eq!(endpoint.seen, [Seen::Text("one".into()), ping, Seen::Text("two".into())]);
    }
}

/// A write that failed threw away every message that had been received before.
#[test]
fn what_was_received_is_delivered_after_output_has_failed() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.run();
        let pings = (0..3).map(|_| Frame::ping("?")).chain([Frame::text("one"), Frame::ping("?")]);
        endpoint.read(&stream(peer(role), pings.chain([Frame::text("two"), Frame::close(4000, "bye")])));
        assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
        endpoint.connection.transmitted(1);
        assert_eq!(endpoint.turn(), Ok(Status::NeedTransmit));
        endpoint.connection.output_failed();
        assert_eq!(endpoint.connection.poll_transmit(), b"");
        assert_eq!((deadline(&endpoint), endpoint.connection.state()), (Some(5000), State::Closing));
        let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
        assert_eq!(connection.ping(b"", keys, ms(0)), Err(SendError::NotOpen));
        assert_eq!(connection.begin_frame(MessageKind::Text, 1, true, keys), Err(SendError::NotOpen));
        assert_eq!(endpoint.close(1000, ""), Err(SendError::NotOpen));
        endpoint.run();
        assert_eq!((&endpoint.sent[..], endpoint.connection.poll_transmit()), (&[][..], &[][..]));
        let (ping, close) = (Seen::Ping(b"?".to_vec()), Seen::Close(Some((4000, "bye".into()))));
        let (one, two) = (Seen::Text("one".into()), Seen::Text("two".into()));
        assert_eq!(endpoint.seen, [ping.clone(), ping.clone(), ping.clone(), one, ping, two, close]);
        let info = endpoint.connection.close_info();
        assert_eq!((info.sent, info.received), (None, Some(CloseCode::new(4000))));
        assert_eq!((info.initiator, info.is_clean()), (Some(Initiator::Remote), false));
        assert_eq!((endpoint.connection.state(), endpoint.failure), (State::Closed, None));
    }
}

/// Of a close frame that never left `CloseInfo` said that it was sent.
#[test]
fn a_close_frame_that_could_not_leave_was_not_sent() {
    for role in ROLES {
        for (left, sent_code) in [(false, None), (true, Some(CloseCode::NORMAL))] {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.close(1000, "").unwrap();
            let n = take_slot(&mut endpoint);
            sent(&mut endpoint, 0, if left { n } else { 1 }, if left { 0 } else { n - 1 });
            endpoint.connection.output_failed();
            let info = endpoint.connection.close_info();
            assert_eq!((info.sent, info.initiator), (sent_code, sent_code.map(|_| Initiator::Local)));
            // The peer's answer, or its own, is still taken.
            receive_at(&mut endpoint, 10, &Frame::close(1000, "").from(peer(role)).bytes());
            assert_eq!(endpoint.connection.close_info().is_clean(), left);
        }
    }
}

/// An application that reads late lost what had arrived when the closing deadline passed.
#[test]
fn what_was_received_is_delivered_after_the_closing_deadline() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.run();
        endpoint.close(1000, "").unwrap();
        endpoint.flush();
        endpoint.read(&stream(peer(role), [Frame::text("one"), Frame::ping("?"), Frame::text("two")]));
        assert_eq!(handle(&mut endpoint, 5000), Some(Expired::Closing));
        endpoint.run();
        let ping = Seen::Ping(b"?".to_vec());
        assert_eq!(endpoint.seen, [Seen::Text("one".into()), ping, Seen::Text("two".into())]);
        assert!(endpoint.closed);
    }
}

/// A protocol error in what was received before output failed is still an error, and nothing is sent about it.
#[test]
fn a_failure_after_output_has_failed_says_nothing() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.run();
        endpoint.read(&[0xff; 10]);
        endpoint.connection.output_failed();
        assert!(endpoint.turn().is_err());
        assert_eq!(endpoint.connection.poll_transmit(), b"");
        assert_eq!(endpoint.connection.close_info().sent, None);
        assert!(endpoint.connection.close_info().failed);
    }
}

/// A server that stops waited for each connection in turn: for a close frame to leave, then for its answer.
#[test]
fn the_moment_by_which_a_connection_ends_holds_whatever_waits() {
    for role in ROLES {
        for closes in [false, true] {
            for blocked in [false, true] {
                for ended in [false, true] {
                    let mut endpoint = endpoint(role, &Config::new());
                    endpoint.connection.end_by(ms(8000));
                    endpoint.connection.end_by(ms(3000));
                    endpoint.connection.end_by(ms(9000));
                    if blocked {
                        sent(&mut endpoint, 0, 0, 100);
                    }
                    if closes {
                        endpoint.close(1001, "").unwrap();
                    }
                    if ended {
                        endpoint.connection.received_eof();
                    }
                    assert_eq!(deadline(&endpoint), Some(3000));
                    assert_eq!(handle(&mut endpoint, 2999), None);
                    assert_eq!(handle(&mut endpoint, 3000), Some(Expired::Closing));
                    assert_eq!((deadline(&endpoint), endpoint.connection.state()), (None, State::Closed));
                    assert_eq!(endpoint.connection.poll_transmit(), b"");
                }
            }
        }
    }
}

/// A response of HTTP had a limit of its own, which a peer met by taking a byte every 29 seconds.
#[test]
fn output_that_is_no_connections_has_the_same_limits() {
    /// When the peer is given up that takes `bytes` every `interval` while others wait; not within 20 minutes otherwise.
    fn given_up(limits: &Limits, bytes: usize, interval: u64) -> Option<(u64, Expired)> {
        let mut watch = OutputWatch::new();
        watch.sent(0, 1000, limits, ms(0));
        for now in 1..=1_200_000 {
            if let Some(expired) = watch.expired(limits, ms(now)) {
                assert_eq!(watch.poll_deadline(limits), Some(ms(now)));
                return Some((now, expired));
            }
            if now % interval == 0 {
                watch.sent(bytes, 1000, limits, ms(now));
            }
        }
        None
    }
    let limits = Limits::new();
    assert_eq!(given_up(&limits, 0, 1000), Some((120_000, Expired::Stalled)));
    assert_eq!(given_up(&limits, 1, 29_000), Some((600_000, Expired::Slow)));
    assert_eq!(given_up(&limits, 1000, 29_000), None);
    let off = Limits { stalled_time: None, slowest: None, ..Limits::new() };
    assert_eq!(given_up(&off, 0, 1000), None);
    let mut watch = OutputWatch::new();
    watch.sent(0, 1000, &limits, ms(0));
    watch.acknowledged(ms(60_000));
    assert_eq!(watch.poll_deadline(&limits), Some(ms(180_000)));
    watch.sent(1000, 0, &limits, ms(70_000));
    assert_eq!(watch.poll_deadline(&limits), None);
    assert_eq!(watch.expired(&limits, ms(u64::MAX)), None);
}

/// A transport that could not be written to any more, and did not end, kept the connection for ever.
#[test]
fn a_connection_whose_output_has_failed_ends_when_nothing_more_comes() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        assert_eq!(endpoint.connection.poll_expiry(), None, "a ping is due first");
        endpoint.connection.acknowledged(ms(1000));
        endpoint.connection.output_failed();
        assert_eq!(
            (deadline(&endpoint), endpoint.connection.poll_expiry()),
            (Some(6000), Some(Expired::Closing))
        );
        // The application does not take what has arrived: it is not dropped.
        endpoint.connection.hold_reading(true, ms(2000));
        assert_eq!(deadline(&endpoint), None);
        endpoint.connection.hold_reading(false, ms(100_000));
        assert_eq!(deadline(&endpoint), Some(104_000));
        receive_at(&mut endpoint, 101_000, &Frame::pong("more").from(peer(role)).bytes());
        assert_eq!(deadline(&endpoint), Some(106_000));
        endpoint.connection.end_by(ms(105_000));
        assert_eq!(deadline(&endpoint), Some(105_000));
        assert_eq!(handle(&mut endpoint, 105_000), Some(Expired::Closing));
        assert_eq!((deadline(&endpoint), endpoint.connection.poll_expiry()), (None, None));
    }
}
