//! Limits: what is over them fails before its payload is taken in, what is at them passes.

use std::collections::HashSet;

use testkit::random::Keys;
use testkit::reference::End;
use testkit::trace::{Buffer, Seen, chunked, endpoint, run};
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::{
    Config, Connection, Failure, Fixed, Instant, LimitError, MessageKind, RecvBuffer, Role, Status,
};

fn failure_of(role: Role, config: &Config, wire: &[u8]) -> Option<Failure> {
    let mut endpoint = endpoint(role, config);
    endpoint.receive(wire);
    if let Some(failure) = endpoint.failure {
        let code = failure.close_code().into();
        assert_eq!(endpoint.sent().seen.last(), Some(&Seen::Close(Some((code, String::new())))));
    }
    endpoint.failure
}

#[test]
fn frames_and_messages_at_the_limit_pass_and_over_it_fail_with_their_header() {
    for role in ROLES {
        for delivery in [Config::new(), chunked(&Config::new())] {
            for limit in [0, 1, 125, 126, 1000, 65535, 65536] {
                let mut frame = delivery.clone();
                frame.limits.frame = limit;
                let mut message = delivery.clone();
                message.limits.message = limit;
                for (config, error) in [(frame, LimitError::Frame), (message, LimitError::Message)] {
                    let fits = Frame::binary(vec![1; limit as usize]).from(peer(role)).bytes();
                    assert_eq!(failure_of(role, &config, &fits), None, "{limit}");
                    let header = Frame::text([]).announcing(limit + 1).from(peer(role)).header();
                    assert_eq!(failure_of(role, &config, &header), Some(Failure::Limit(error)), "{limit}");
                    assert_eq!(failure_of(role, &config, &header[..header.len() - 1]), None, "{limit}");
                }
            }
        }
    }
}

#[test]
fn the_sum_of_fragments_counts() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.message = 100;
        let begun = stream(peer(role), [Frame::binary([1; 60]).fragment(), Frame::ping("p")]);
        let fits = [&begun[..], &Frame::continuation([2; 40]).from(peer(role)).bytes()].concat();
        assert_eq!(failure_of(role, &config, &fits), None);
        let over = [&begun[..], &Frame::continuation([]).announcing(41).from(peer(role)).header()].concat();
        assert_eq!(failure_of(role, &config, &over), Some(Failure::Limit(LimitError::Message)));
        let again = [&fits[..], &fits].concat();
        assert_eq!(failure_of(role, &config, &again), None, "each message anew");
    }
}

#[test]
fn announcements_beyond_any_memory_are_refused_with_their_header() {
    for role in ROLES {
        for len in [(1 << 63) - 1, 1 << 62, (1 << 32) + 1, 1 << 32, (1 << 32) - 1, 1 << 31, (1 << 20) + 1] {
            let header = Frame::binary([]).announcing(len).from(peer(role)).header();
            for config in [Config::new(), chunked(&Config::new())] {
                for buffer in [Buffer::Growable(1 << 20), Buffer::Fixed(256), Buffer::Fixed(4096)] {
                    assert_eq!(run(role, &config, buffer, &header, &[1]).end, End::Failed(1009), "{len}");
                }
            }
            // In chunks, where the caller allows it, any length is taken as it comes: nothing wraps around.
            let mut config = chunked(&Config::new());
            config.limits.message = u64::MAX;
            let mut memory = [0; 256];
            let mut endpoint = testkit::trace::Endpoint::new(role, &config, Fixed::new(&mut memory[..]));
            endpoint.receive(&[&header[..], &[0; 100_000]].concat());
            assert_eq!(endpoint.failure, None, "{len}");
            assert_eq!(endpoint.partial.map(|(_, payload)| payload.len()), Some(100_000));
        }
    }
}

#[test]
fn the_sum_of_lengths_does_not_overflow() {
    for role in ROLES {
        let mut config = chunked(&Config::new());
        config.limits.message = u64::MAX - 1;
        let begun = Frame::binary([7; 3]).fragment().from(peer(role)).bytes();
        let huge = Frame::continuation([]).fragment().announcing((1 << 63) - 1).from(peer(role)).header();
        assert_eq!(failure_of(role, &config, &[&begun[..], &huge].concat()), None);
        config.limits.message = (1 << 63) + 1;
        let over = failure_of(role, &config, &[&begun[..], &huge].concat());
        assert_eq!(over, Some(Failure::Limit(LimitError::Message)));
    }
}

#[test]
fn a_million_empty_fragments_end_in_1008_with_pings_answered() {
    for role in ROLES {
        for delivery in [Config::new(), chunked(&Config::new())] {
            let mut endpoint = endpoint(role, &delivery);
            endpoint.receive(&Frame::text([]).fragment().from(peer(role)).bytes());
            let empty = Frame::continuation([]).fragment().from(peer(role)).bytes();
            let ping = Frame::ping("still there?").from(peer(role)).bytes();
            let mut frames = 1;
            for i in 0..1_000_000 {
                if i % 1000 == 0 {
                    let before = endpoint.sent.len();
                    endpoint.receive(&ping);
                    assert!(endpoint.closed || endpoint.sent.len() > before, "a pong");
                }
                endpoint.receive(&empty);
                frames += u32::from(!endpoint.closed);
                assert!(endpoint.rx.storage().capacity() <= 512);
            }
            assert_eq!(frames, 131_072);
            assert_eq!(endpoint.failure, Some(Failure::Limit(LimitError::Fragments)));
            assert_eq!(endpoint.sent().seen.last(), Some(&Seen::Close(Some((1008, String::new())))));
        }
    }
}

#[test]
fn as_many_fragments_as_the_limit_pass() {
    for role in ROLES {
        for limit in 1..6_u32 {
            let mut config = Config::new();
            config.limits.fragments = limit;
            let message = |count: u32| {
                let frames = (0..count).map(|i| {
                    let frame = if i == 0 { Frame::text("a") } else { Frame::continuation("b") };
                    if i + 1 == count { frame } else { frame.fragment() }
                });
                stream(peer(role), frames)
            };
            let twice = [message(limit), message(limit)].concat();
            assert_eq!(failure_of(role, &config, &twice), None);
            let over = failure_of(role, &config, &message(limit + 1));
            assert_eq!(over, Some(Failure::Limit(LimitError::Fragments)));
        }
    }
}

#[test]
fn what_came_before_the_limit_is_delivered() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.message = 10;
        let wire = stream(peer(role), [Frame::text("fine"), Frame::ping("p"), Frame::binary([0; 11])]);
        let outcome = run(role, &config, Buffer::Growable(10), &wire, &[usize::MAX]);
        assert_eq!(outcome.seen, [Seen::Text("fine".into()), Seen::Ping(b"p".to_vec())]);
        assert_eq!(outcome.end, End::Failed(1009));
    }
}

#[test]
fn a_fixed_buffer_that_is_too_small_for_anything_fails_cleanly() {
    for role in ROLES {
        for size in 0..140 {
            let mut memory = vec![0; size];
            let config = Config::new();
            let mut connection = Connection::new(role, &config, Instant::from_millis(0));
            let mut rx = RecvBuffer::new(Fixed::new(&mut memory[..]));
            let mut keys = Keys::new(1);
            let wire = Frame::binary([1; 2]).from(peer(role)).bytes();
            let mut rest = &wire[..];
            for _ in 0..50 {
                let n = rest.len().min(rx.spare_mut().len());
                rx.spare_mut()[..n].copy_from_slice(&rest[..n]);
                rx.commit(n);
                rest = &rest[n..];
                match connection.advance(&mut rx, &mut keys, Instant::from_millis(0)) {
                    Ok(Status::NeedInput) => assert!(!rx.spare_mut().is_empty()),
                    Ok(status) => assert_eq!(status, Status::Closed),
                    Err(failure) => assert_eq!(failure, Failure::Limit(LimitError::Message)),
                }
            }
            assert_eq!(connection.close_info().sent.map(u16::from), Some(1009), "{size}");
        }
    }
}

#[test]
fn each_frame_of_a_client_has_a_key_of_its_own() {
    let config = Config::new();
    let mut connection = Connection::new(Role::Client, &config, Instant::from_millis(0));
    let mut keys = Keys::new(99);
    let mut fresh = HashSet::new();
    for i in 0..1_000_000_u64 {
        let drawn = keys.drawn;
        let key: [u8; 4] = if i % 100 == 0 {
            connection.ping(b"k", &mut keys, Instant::from_millis(0)).unwrap();
            let key = connection.poll_transmit()[2..6].try_into().unwrap();
            connection.transmitted(usize::MAX);
            key
        } else {
            let head = connection.begin_frame(MessageKind::Binary, i % 200, i % 3 == 0, &mut keys).unwrap();
            head[head.len() - 4..].try_into().unwrap()
        };
        assert_eq!(keys.drawn, drawn + 1, "one draw for each frame");
        assert_eq!(key, keys.last, "as it was drawn");
        fresh.insert(key);
    }
    // Of a million draws of 32 bits some 116 meet another.
    assert!(fresh.len() > 999_500, "{}", fresh.len());
}

#[test]
fn a_server_draws_no_keys() {
    let mut endpoint = endpoint(Role::Server, &Config::new());
    endpoint.receive(&stream(Role::Client, [Frame::ping("x"), Frame::text("y"), Frame::close(1000, "")]));
    assert_eq!(endpoint.keys.drawn, 0);
    assert!(endpoint.sent.len() > 4);
}
