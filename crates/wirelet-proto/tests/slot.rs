//! The control slot: what is in flight is never replaced, what waits is bounded.

use testkit::reference::{Rules, decode};
use testkit::trace::{Endpoint, Seen, endpoint};
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::{
    CONTROL_SLOT, CloseCode, Config, EventKind, Growable, Initiator, Instant, SendError, State, Status,
};

const NOW: Instant = Instant::from_millis(0);

fn ping(endpoint: &mut Endpoint<Growable>, payload: &[u8]) -> Result<(), SendError> {
    endpoint.connection.ping(payload, &mut endpoint.keys, NOW)
}

/// Sends `n` bytes of the slot.
fn send_some(endpoint: &mut Endpoint<Growable>, n: usize) {
    endpoint.sent.extend_from_slice(&endpoint.connection.poll_transmit()[..n]);
    endpoint.connection.transmitted(n);
}

/// Puts `wire` into the buffer, where there is room for it.
fn arrive(endpoint: &mut Endpoint<Growable>, wire: &[u8]) {
    assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
    assert_eq!(endpoint.read(wire), wire.len());
}

fn sent(endpoint: &Endpoint<Growable>) -> Vec<Seen> {
    decode(&Rules::new(peer(endpoint.connection.role())), &endpoint.sent).seen
}

#[test]
fn bytes_in_flight_are_never_replaced() {
    for role in ROLES {
        for in_flight in 1..10 {
            let mut endpoint = endpoint(role, &Config::new());
            arrive(&mut endpoint, &stream(peer(role), [Frame::ping("first 1"), Frame::ping("second")]));
            assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
            if in_flight >= endpoint.connection.poll_transmit().len() {
                continue;
            }
            send_some(&mut endpoint, in_flight);
            let waiting = endpoint.connection.poll_transmit().to_vec();
            for _ in 0..3 {
                assert_eq!(endpoint.turn(), Ok(Status::NeedTransmit));
                assert_eq!(endpoint.connection.poll_transmit(), waiting);
            }
            assert_eq!(ping(&mut endpoint, b""), Err(SendError::Busy));
            assert_eq!(endpoint.close(1000, ""), Err(SendError::Busy));
            assert_eq!(endpoint.connection.poll_transmit(), waiting);
            assert_eq!(endpoint.connection.state(), State::Open);
            endpoint.flush();
            assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
            endpoint.flush();
            assert_eq!(sent(&endpoint), [Seen::Pong(b"first 1".to_vec()), Seen::Pong(b"second".to_vec())]);
        }
    }
}

#[test]
fn of_pings_that_wait_the_latest_counts() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        let pings: Vec<Frame> = (0..20_u8).map(|i| Frame::ping([i])).collect();
        arrive(&mut endpoint, &stream(peer(role), pings));
        for _ in 0..20 {
            assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
        }
        endpoint.flush();
        assert_eq!(sent(&endpoint), [Seen::Pong(vec![19])]);
        assert_eq!(endpoint.seen.len(), 20, "each ping is an event");
    }
}

#[test]
fn a_ping_of_ours_is_not_replaced_by_a_pong() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        arrive(&mut endpoint, &stream(peer(role), [Frame::ping("theirs")]));
        ping(&mut endpoint, b"ours").unwrap();
        assert_eq!(endpoint.turn(), Ok(Status::NeedTransmit));
        endpoint.flush();
        assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Ping)));
        endpoint.flush();
        assert_eq!(sent(&endpoint), [Seen::Ping(b"ours".to_vec()), Seen::Pong(b"theirs".to_vec())]);
    }
}

#[test]
fn a_close_of_the_peer_waits_for_the_slot() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        arrive(&mut endpoint, &stream(peer(role), [Frame::close(3000, "bye")]));
        ping(&mut endpoint, b"ours").unwrap();
        send_some(&mut endpoint, 1);
        assert_eq!(endpoint.turn(), Ok(Status::NeedTransmit));
        assert_eq!(endpoint.connection.close_info().received, None);
        endpoint.flush();
        assert_eq!(endpoint.turn(), Ok(Status::Ready(EventKind::Close)));
        assert_eq!(endpoint.connection.state(), State::Closing, "until the answer has left");
        endpoint.flush();
        assert_eq!(endpoint.connection.state(), State::Closed);
        assert_eq!(sent(&endpoint), [Seen::Ping(b"ours".to_vec()), Seen::Close(Some((3000, String::new())))]);
        assert_eq!(endpoint.connection.close_info().initiator, Some(Initiator::Remote));
    }
}

#[test]
fn a_failure_is_remembered_while_the_slot_is_in_flight() {
    for role in ROLES {
        for in_flight in 0..6 {
            let mut endpoint = endpoint(role, &Config::new());
            arrive(&mut endpoint, &[0xff]);
            ping(&mut endpoint, b"ours").unwrap();
            send_some(&mut endpoint, in_flight);
            assert!(endpoint.turn().is_err());
            assert_eq!(endpoint.turn(), Ok(Status::Closed));
            assert_eq!(endpoint.connection.close_info().sent, Some(CloseCode::PROTOCOL_ERROR));
            endpoint.flush();
            let close = Seen::Close(Some((1002, String::new())));
            assert_eq!(sent(&endpoint), [Seen::Ping(b"ours".to_vec()), close], "{in_flight}");
            assert!(endpoint.connection.poll_transmit().is_empty());
        }
    }
}

#[test]
fn the_first_of_two_failures_counts() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        ping(&mut endpoint, b"ours").unwrap();
        endpoint.connection.fail(CloseCode::POLICY_VIOLATION, &mut endpoint.keys, NOW);
        endpoint.connection.fail(CloseCode::INTERNAL_ERROR, &mut endpoint.keys, NOW);
        endpoint.flush();
        assert_eq!(sent(&endpoint).last(), Some(&Seen::Close(Some((1008, String::new())))));
        assert_eq!(sent(&endpoint).len(), 2);
    }
}

#[test]
fn a_flood_of_pings_from_a_peer_that_never_reads_costs_one_slot() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        let wire = Frame::ping([7; 125]).from(peer(role)).bytes();
        let mut taken = 0;
        for round in 0..100_000 {
            if round == 50_000 {
                // One byte has left, the rest never will.
                send_some(&mut endpoint, 1);
            }
            taken += endpoint.read(&wire[taken % wire.len()..]);
            let _ = endpoint.turn();
            assert!(endpoint.connection.poll_transmit().len() <= CONTROL_SLOT);
            assert!(endpoint.rx.storage().capacity() <= 1024);
        }
        assert_eq!(endpoint.turn(), Ok(Status::NeedTransmit), "reading has stopped");
    }
}

#[test]
fn the_longest_control_frames_fit_the_slot() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        ping(&mut endpoint, &[1; 125]).unwrap();
        assert!(endpoint.connection.poll_transmit().len() <= CONTROL_SLOT);
        endpoint.flush();
        endpoint.close(4000, &"x".repeat(123)).unwrap();
        assert!(endpoint.connection.poll_transmit().len() <= CONTROL_SLOT);
        endpoint.flush();
        let close = Seen::Close(Some((4000, "x".repeat(123))));
        assert_eq!(sent(&endpoint), [Seen::Ping(vec![1; 125]), close]);
    }
}
