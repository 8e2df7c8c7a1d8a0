//! What a careless driver or a codec that lies may do: errors, never a panic, never text that is not text.

use testkit::random::Keys;
use testkit::trace::{Seen, endpoint};
use testkit::wire::{Frame, ROLES, peer};
use wirelet_proto::deflate::Params;
use wirelet_proto::{
    Codec, CodecError, Config, Connection, Event, Extensions, Fixed, Growable, Instant, MessageKind, NoKeys,
    Progress, RecvBuffer, Role, SendError, Spare, Status, Storage, Upgraded,
};

const NOW: Instant = Instant::from_millis(0);

/// A connection and a buffer that have just answered `Ready` for a text message.
fn ready_text(config: &Config) -> (Connection<&Config>, RecvBuffer<Growable>) {
    let mut connection = Connection::new(Role::Client, config, NOW);
    let mut rx = RecvBuffer::new(Growable::new(1000));
    receive(&mut connection, &mut rx, &Frame::text("fine").bytes());
    (connection, rx)
}

fn receive<S: Spare>(connection: &mut Connection<&Config>, rx: &mut RecvBuffer<S>, wire: &[u8]) {
    let _ = connection.advance(rx, &mut NoKeys, NOW);
    rx.spare_mut()[..wire.len()].copy_from_slice(wire);
    rx.commit(wire.len());
    let _ = connection.advance(rx, &mut NoKeys, NOW);
}

/// Whatever `event` answers, its text is text.
fn check(event: Event<'_>) {
    if let Event::Text(text) = event {
        assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "{:?}", text.as_bytes());
    }
}

#[test]
fn an_event_from_the_buffer_of_a_failed_connection_is_no_invalid_text() {
    let config = Config::new();
    for bad in [&b"\xff"[..], b"ab\xc0\x80", b"\xed\xa0\x80", &[&[b'a'; 100][..], b"\xff"].concat()] {
        let (reader, _) = ready_text(&config);
        let mut failing = Connection::new(Role::Client, &config, NOW);
        let mut rx = RecvBuffer::new(Growable::new(1000));
        receive(&mut failing, &mut rx, &Frame::text(bad).bytes());
        check(reader.event(&rx));
        let mut rx = RecvBuffer::new(Fixed::new([0; 400]));
        let mut failing = Connection::new(Role::Client, &config, NOW);
        receive(&mut failing, &mut rx, &Frame::text(bad).bytes());
        check(reader.event(&rx));
    }
}

#[test]
fn an_event_from_the_buffer_of_another_connection_is_no_invalid_text() {
    let config = Config::new();
    for wire in [
        Frame::binary(b"\xff\xfe").bytes(),
        Frame::text(b"\xc3").fragment().bytes(),
        [Frame::text("a").fragment().bytes(), Frame::ping(b"\xff").bytes()].concat(),
        [Frame::text("a").bytes(), Frame::binary(b"\xff").bytes()].concat(),
        vec![0x81, 5, 0xff],
    ] {
        let (reader, mine) = ready_text(&config);
        assert_eq!(reader.event(&mine), Event::Text("fine"));
        let mut other = Connection::new(Role::Client, &config, NOW);
        let mut rx = RecvBuffer::new(Growable::new(1000));
        for _ in 0..3 {
            receive(&mut other, &mut rx, &wire);
            check(reader.event(&rx));
        }
    }
}

#[test]
fn two_connections_on_one_buffer_make_no_invalid_text() {
    let config = Config::new();
    let mut rng = testkit::random::Rng::new(3);
    for _ in 0..3000 {
        let mut rx = RecvBuffer::new(Growable::new(1000));
        let mut connections: Vec<_> = (0..2).map(|_| Connection::new(Role::Client, &config, NOW)).collect();
        for _ in 0..12 {
            let i = rng.below(2);
            let payload = if rng.one_in(2) { rng.text(5).into_bytes() } else { rng.bytes(5) };
            let frame = Frame::new([0, 1, 2, 9][rng.below(4)], &payload[..rng.below(6)]);
            let frame = if rng.one_in(2) { frame.fragment() } else { frame };
            let bytes = frame.bytes();
            let n = rng.below(bytes.len() + 1);
            if rx.spare_mut().len() >= n {
                rx.spare_mut()[..n].copy_from_slice(&bytes[..n]);
                rx.commit(n);
            }
            let _ = connections[i].advance(&mut rx, &mut NoKeys, NOW);
            connections.iter().for_each(|connection| check(connection.event(&rx)));
        }
    }
}

#[test]
fn a_changed_storage_makes_no_invalid_text() {
    let config = Config::new();
    let (connection, mut rx) = ready_text(&config);
    rx.storage_mut().filled_mut().fill(0xff);
    check(connection.event(&rx));
    let (connection, mut rx) = ready_text(&config);
    *rx.storage_mut() = Growable::new(10);
    check(connection.event(&rx));
    let (mut connection, mut rx) = ready_text(&config);
    rx.storage_mut().truncate(1);
    rx.storage_mut().discard_front(1);
    check(connection.event(&rx));
    receive(&mut connection, &mut rx, &Frame::text("more").bytes());
    check(connection.event(&rx));
}

/// Says that it wrote more than there was room for.
struct Liar(usize);

impl Codec for Liar {
    fn decompress(&mut self, input: &[u8], _: &mut [u8], _: bool) -> Result<Progress, CodecError> {
        Ok(Progress { consumed: input.len().saturating_add(self.0), produced: self.0, done: true })
    }
}

#[test]
fn a_codec_that_lies_about_its_output_makes_no_invalid_text() {
    let config = Config::new();
    for lie in [1, 100, 600, usize::MAX / 2, usize::MAX] {
        let upgraded = Upgraded { subprotocol: None, extensions: Extensions::deflate(Params::LARGEST) };
        let mut connection = Connection::from_upgraded(Role::Client, &config, upgraded, NOW);
        let (mut rx, mut out) = (RecvBuffer::new(Growable::new(1000)), RecvBuffer::new(Growable::new(1000)));
        let mut codec = Liar(lie);
        for frame in [Frame::text("ab").fragment().rsv(4), Frame::continuation("cd")] {
            let _ = connection.advance_with(&mut rx, &mut codec, &mut out, &mut NoKeys, NOW);
            let wire = frame.bytes();
            rx.spare_mut()[..wire.len()].copy_from_slice(&wire);
            rx.commit(wire.len());
            let _ = connection.advance_with(&mut rx, &mut codec, &mut out, &mut NoKeys, NOW);
            check(connection.event_with(&rx, &out));
            out.spare_mut().fill(0xff);
            out.commit(lie);
            check(connection.event_with(&rx, &out));
        }
    }
}

#[test]
fn frames_of_the_wrong_kind_or_after_the_end_are_refused() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.send(MessageKind::Text, b"a", false).unwrap();
        assert_eq!(endpoint.send(MessageKind::Binary, b"b", true), Err(SendError::WrongKind));
        assert_eq!(endpoint.connection.may_begin_frame(MessageKind::Binary), Err(SendError::WrongKind));
        assert_eq!(endpoint.connection.may_begin_frame(MessageKind::Text), Ok(()));
        endpoint.send(MessageKind::Text, b"c", true).unwrap();
        endpoint.send(MessageKind::Binary, b"d", true).unwrap();
        assert_eq!(endpoint.sent().seen, [Seen::Text("ac".into()), Seen::Binary(b"d".to_vec())]);
        let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
        let compressed = connection.begin_compressed_frame(MessageKind::Text, 1, true, keys);
        assert_eq!(compressed, Err(SendError::WrongKind), "nothing was negotiated");
        connection.received_eof();
        assert_eq!(connection.begin_frame(MessageKind::Text, 1, true, keys), Err(SendError::NotOpen));
        assert_eq!(connection.ping(b"", keys, NOW), Err(SendError::NotOpen));
    }
}

#[test]
fn a_frame_longer_than_the_wire_can_say_is_refused() {
    for role in ROLES {
        for len in [1 << 63, u64::MAX] {
            let mut endpoint = endpoint(role, &Config::new());
            let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
            assert_eq!(connection.begin_frame(MessageKind::Binary, len, true, keys), Err(SendError::TooLong));
            assert_eq!(connection.begin_frame(MessageKind::Text, len, false, keys), Err(SendError::TooLong));
            assert_eq!(keys.drawn, 0, "nothing has changed");
            assert!(
                connection.begin_frame(MessageKind::Binary, len >> 1 & (u64::MAX >> 1), true, keys).is_ok()
            );
        }
    }
}

#[test]
fn control_payloads_and_reasons_that_are_too_long_are_refused() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new());
        assert_eq!(endpoint.close(1000, &"r".repeat(124)), Err(SendError::TooLong));
        let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
        assert_eq!(connection.ping(&[0; 126], keys, NOW), Err(SendError::TooLong));
        assert!(connection.poll_transmit().is_empty());
        connection.ping(&[0; 125], keys, NOW).unwrap();
        endpoint.flush();
        endpoint.close(1000, &"r".repeat(123)).unwrap();
        endpoint.flush();
        let close = Seen::Close(Some((1000, "r".repeat(123))));
        assert_eq!(endpoint.sent().seen, [Seen::Ping(vec![0; 125]), close]);
    }
}

#[test]
fn more_reported_as_transmitted_than_there_is_counts_as_all() {
    for role in ROLES {
        for extra in [1, 200, usize::MAX - 200] {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.connection.transmitted(extra);
            let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
            connection.ping(b"x", keys, NOW).unwrap();
            let len = connection.poll_transmit().len();
            connection.transmitted(1);
            connection.transmitted(len + extra);
            assert!(connection.poll_transmit().is_empty());
            connection.ping(b"y", keys, NOW).unwrap();
            assert_eq!(connection.poll_transmit().len(), len);
        }
    }
}

#[test]
fn more_committed_than_there_is_room_counts_as_all() {
    let config = Config::new();
    let mut connection = Connection::new(Role::Server, &config, NOW);
    let mut rx = RecvBuffer::new(Fixed::new([0; 200]));
    rx.commit(usize::MAX);
    assert!(connection.advance(&mut rx, &mut NoKeys, NOW).is_err());
    assert_eq!(connection.advance(&mut rx, &mut NoKeys, NOW), Ok(Status::Closed));
}

#[test]
fn a_failure_with_a_code_that_must_not_be_sent_becomes_an_internal_error() {
    for role in ROLES {
        for code in [0, 1005, 1006, 1015, 2000, 65535] {
            let mut endpoint = endpoint(role, &Config::new());
            let mut keys = Keys::new(1);
            endpoint.connection.fail(wirelet_proto::CloseCode::new(code), &mut keys, NOW);
            endpoint.flush();
            assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1011, String::new())))], "{code}");
            endpoint.receive(&Frame::text("late").from(peer(role)).bytes());
            assert_eq!(endpoint.seen, []);
        }
    }
}

#[test]
fn events_without_an_event_are_an_empty_pong() {
    let config = Config::new();
    let connection = Connection::new(Role::Client, &config, NOW);
    assert_eq!(connection.event(&RecvBuffer::new(Fixed::new([0; 9]))), Event::Pong(&[]));
}
