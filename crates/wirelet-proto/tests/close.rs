//! The closing handshake: every code, who answers what, and that nothing comes after it (RFC 6455 5.5.1, 7).

use testkit::reference::End;
use testkit::trace::{Seen, endpoint};
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::{
    CloseCode, Config, Failure, Initiator, MessageKind, ProtocolError, Role, SendError, State, Status,
};

fn sendable(code: u16) -> bool {
    [1000..=1003, 1007..=1014, 3000..=4999].iter().any(|range| range.contains(&code))
}

#[test]
fn every_code_on_the_wire_is_echoed_or_refused() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::close(code, "why").from(peer(role)).bytes());
            let answer = if sendable(code) { code } else { 1002 };
            assert_eq!(endpoint.sent().seen, [Seen::Close(Some((answer, String::new())))], "{code}");
            let info = endpoint.connection.close_info();
            assert_eq!(info.sent, Some(CloseCode::new(answer)));
            assert_eq!(info.failed, !sendable(code));
            if sendable(code) {
                assert_eq!(endpoint.seen, [Seen::Close(Some((code, "why".into())))]);
                assert_eq!(
                    (info.received, info.initiator),
                    (Some(CloseCode::new(code)), Some(Initiator::Remote))
                );
                assert!(info.is_clean());
            } else {
                assert_eq!(endpoint.seen, []);
                assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::CloseCodeInvalid)));
            }
        }
    }
}

#[test]
fn every_code_of_the_caller_is_sent_or_refused() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let mut endpoint = endpoint(role, &Config::new());
            let result = endpoint.close(code, "because");
            assert_eq!(
                result,
                if sendable(code) { Ok(()) } else { Err(SendError::InvalidCloseCode) },
                "{code}"
            );
            endpoint.flush();
            assert_eq!(endpoint.sent.is_empty(), !sendable(code));
            if sendable(code) {
                assert_eq!(endpoint.sent().seen, [Seen::Close(Some((code, "because".into())))]);
                assert_eq!(endpoint.connection.close_info().initiator, Some(Initiator::Local));
            } else {
                assert_eq!(endpoint.connection.state(), State::Open);
            }
        }
    }
}

#[test]
fn a_close_without_code_is_answered_without_code() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&Frame::close_empty().from(peer(role)).bytes());
        assert_eq!(endpoint.seen, [Seen::Close(None)]);
        assert_eq!(endpoint.sent().seen, [Seen::Close(None)]);
        let info = endpoint.connection.close_info();
        assert_eq!((info.code(), info.sent), (CloseCode::NO_STATUS, Some(CloseCode::NO_STATUS)));
        assert!(info.is_clean());
    }
}

#[test]
fn a_close_without_code_can_be_sent() {
    let mut endpoint = endpoint(Role::Server, &Config::new());
    assert_eq!(endpoint.close(1005, "but a reason"), Err(SendError::InvalidCloseCode));
    endpoint.close(1005, "").unwrap();
    endpoint.flush();
    assert_eq!(endpoint.sent, [0x88, 0]);
}

#[test]
fn a_payload_of_one_byte_is_refused() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&Frame::new(8, [3]).from(peer(role)).bytes());
        assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::CloseTooShort)));
        assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1002, String::new())))]);
    }
}

#[test]
fn reasons_of_every_length_and_only_text() {
    for role in ROLES {
        for len in 0..=123 {
            let reason = testkit::random::Rng::new(len as u64).text(len);
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::close(1000, &reason).from(peer(role)).bytes());
            assert_eq!(endpoint.seen, [Seen::Close(Some((1000, reason)))]);
        }
        for (bytes, _) in testkit::vectors::NOT_UTF8.iter().filter(|(bytes, _)| bytes.len() < 120) {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::close(1000, bytes).from(peer(role)).bytes());
            assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::CloseReasonInvalidUtf8)));
            assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1007, String::new())))]);
        }
    }
}

#[test]
fn nothing_is_delivered_or_answered_after_a_close_frame() {
    for role in ROLES {
        let after = [Frame::text("x"), Frame::ping("y"), Frame::close(1000, ""), Frame::new(3, "illegal")];
        let wire = stream(peer(role), [vec![Frame::close(1001, "")], after.to_vec()].concat());
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&wire);
        endpoint.read(&wire);
        assert_eq!(endpoint.turn(), Ok(Status::Closed));
        endpoint.flush();
        assert_eq!(endpoint.seen, [Seen::Close(Some((1001, String::new())))]);
        assert_eq!(endpoint.sent().seen, endpoint.seen);
        assert!(endpoint.rx.is_empty(), "what came after it is discarded");
    }
}

#[test]
fn nothing_is_delivered_after_a_failure_and_only_one_close_is_sent() {
    for role in ROLES {
        let wire = stream(peer(role), [Frame::new(11, ""), Frame::text("x"), Frame::close(1000, "")]);
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&wire);
        for _ in 0..3 {
            endpoint.read(&wire);
            assert_eq!(endpoint.turn(), Ok(Status::Closed));
            endpoint.flush();
        }
        assert_eq!(endpoint.seen, []);
        assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1002, String::new())))]);
        assert!(!endpoint.connection.close_info().is_clean());
    }
}

#[test]
fn no_data_frame_is_sent_after_a_close_frame() {
    for role in ROLES {
        for by_peer in [false, true] {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.send(MessageKind::Text, b"begun", false).unwrap();
            if by_peer {
                endpoint.receive(&Frame::close_empty().from(peer(role)).bytes());
            } else {
                endpoint.close(1000, "").unwrap();
            }
            let len = endpoint.sent.len();
            assert_eq!(endpoint.send(MessageKind::Text, b"x", true), Err(SendError::NotOpen));
            let (connection, keys, now) = (&mut endpoint.connection, &mut endpoint.keys, endpoint.now);
            assert_eq!(connection.ping(b"x", keys, now), Err(SendError::NotOpen));
            assert_eq!(endpoint.close(1000, ""), Err(SendError::NotOpen));
            assert_eq!(endpoint.sent.len(), len);
        }
    }
}

#[test]
fn messages_arrive_until_the_peer_has_answered_the_close() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.close(3000, "mine").unwrap();
        endpoint.flush();
        assert_eq!(endpoint.connection.state(), State::Closing);
        let wire = stream(peer(role), [Frame::text("late"), Frame::ping("?"), Frame::close(3000, "")]);
        endpoint.receive(&wire);
        let close = Seen::Close(Some((3000, String::new())));
        assert_eq!(endpoint.seen, [Seen::Text("late".into()), Seen::Ping(b"?".to_vec()), close]);
        assert_eq!(endpoint.sent().seen.len(), 1, "no pong after a close frame, and no second close frame");
        assert_eq!(endpoint.connection.state(), State::Closed);
        assert!(endpoint.connection.close_info().is_clean());
        assert_eq!(endpoint.connection.close_info().initiator, Some(Initiator::Local));
    }
}

#[test]
fn an_end_of_input_without_close_frame_is_abnormal() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(&Frame::text("cut").fragment().from(peer(role)).bytes());
        endpoint.connection.received_eof();
        assert_eq!(endpoint.turn(), Ok(Status::Closed));
        let info = endpoint.connection.close_info();
        assert_eq!((info.code(), info.is_clean(), info.initiator), (CloseCode::ABNORMAL, false, None));
        assert_eq!(endpoint.connection.state(), State::Closed);
        assert_eq!(endpoint.close(1000, ""), Err(SendError::NotOpen));
        assert_eq!(endpoint.outcome().end, End::Closed);
    }
}

#[test]
fn a_failing_close_frame_after_ours_is_not_answered_twice() {
    let mut endpoint = endpoint(Role::Client, &Config::new());
    endpoint.close(1000, "").unwrap();
    endpoint.flush();
    endpoint.receive(&Frame::close(1006, "").bytes());
    assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::CloseCodeInvalid)));
    assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1000, String::new())))]);
    assert!(!endpoint.connection.close_info().is_clean());
}
