//! RFC 6455's tables: its examples, every header form, every illegal header, every control payload length.

use testkit::reference::End;
use testkit::trace::{Buffer, Seen, endpoint, run};
use testkit::vectors::{illegal_headers, legal_streams, rfc_examples};
use testkit::wire::{Frame, LengthForm, ROLES, peer, stream};
use wirelet_proto::{Config, Failure, ProtocolError, Role};

const GROWABLE: Buffer = Buffer::Growable(1 << 20);

#[test]
fn the_examples_of_section_5_7_mean_what_it_says() {
    for (by, wire, meaning) in rfc_examples() {
        let outcome = run(peer(by), &Config::new(), GROWABLE, &wire, &[usize::MAX]);
        assert_eq!((outcome.seen, outcome.end), (meaning, End::Open), "{:x?}", &wire[..wire.len().min(16)]);
    }
}

#[test]
fn the_examples_of_section_5_7_are_sent_as_it_says() {
    use wirelet_proto::MessageKind::{Binary, Text};
    let mut server = endpoint(Role::Server, &Config::new());
    server.send(Text, b"Hello", true).unwrap();
    assert_eq!(server.sent, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    server.sent.clear();
    server.send(Text, b"Hel", false).unwrap();
    server.send(Text, b"lo", true).unwrap();
    assert_eq!(server.sent, [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]);
    for (len, head) in [(256, &[0x82, 0x7e, 1, 0][..]), (65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])] {
        server.sent.clear();
        server.send(Binary, &vec![9; len], true).unwrap();
        assert_eq!(server.sent[..head.len()], *head);
        assert_eq!(server.sent.len(), head.len() + len);
    }
    let mut client = endpoint(Role::Client, &Config::new());
    client.send(Text, b"Hello", true).unwrap();
    assert_eq!(client.sent, Frame::text("Hello").masked(client.keys.last).bytes());
    server.sent.clear();
    server.receive(&Frame::ping("Hello").from(Role::Client).bytes());
    assert_eq!(server.sent, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn every_header_form_is_read_at_its_bounds() {
    for role in ROLES {
        for len in [0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 100_000] {
            for opcode in [1, 2] {
                let payload = vec![b'x'; len];
                let wire = Frame::new(opcode, &payload).from(peer(role)).bytes();
                let expected = if opcode == 1 {
                    Seen::Text(String::from_utf8(payload).unwrap())
                } else {
                    Seen::Binary(payload)
                };
                for sizes in [&[usize::MAX][..], &[1, 2, 3, 4, 5, 6, 7, 1000]] {
                    let outcome = run(role, &Config::new(), GROWABLE, &wire, sizes);
                    assert_eq!(outcome.end, End::Open, "{role:?} {len}");
                    assert!(outcome.seen == [expected.clone()], "{role:?} {len}");
                }
            }
        }
    }
}

#[test]
fn what_is_sent_reads_back_at_every_bound() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 65535, 65536, 70_000] {
            let mut endpoint = endpoint(role, &Config::new());
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            endpoint.send(wirelet_proto::MessageKind::Binary, &payload, true).unwrap();
            assert!(endpoint.sent().seen == [Seen::Binary(payload)], "{role:?} {len}");
            let expected_header = match len {
                0..=125 => 2,
                126..=65535 => 4,
                _ => 10,
            } + if role == Role::Client { 4 } else { 0 };
            assert_eq!(endpoint.sent.len(), expected_header + len);
        }
    }
}

#[test]
fn every_illegal_header_fails_with_its_error_and_its_close_code() {
    for role in ROLES {
        for (wire, error) in illegal_headers(peer(role)) {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&wire);
            assert_eq!(endpoint.failure, Some(Failure::Protocol(error)), "{role:?} {wire:02x?}");
            assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1002, String::new())))], "{wire:02x?}");
        }
    }
}

#[test]
fn an_illegal_header_fails_with_its_last_byte_and_not_before() {
    for role in ROLES {
        for (wire, error) in illegal_headers(peer(role)) {
            let (last, before) = wire.split_last().unwrap();
            let mut endpoint = endpoint(role, &Config::new());
            before.iter().for_each(|byte| endpoint.receive(&[*byte]));
            assert_eq!(endpoint.failure, None, "{role:?} {wire:02x?}");
            endpoint.receive(&[*last]);
            assert_eq!(endpoint.failure, Some(Failure::Protocol(error)), "{role:?} {wire:02x?}");
        }
    }
}

#[test]
fn every_first_byte_is_taken_or_refused_as_section_5_2_says() {
    for role in ROLES {
        for first in 0..=255_u8 {
            for in_message in [false, true] {
                let mut endpoint = endpoint(role, &Config::new());
                if in_message {
                    endpoint.receive(&Frame::binary("x").fragment().from(peer(role)).bytes());
                }
                endpoint.receive(&[first]);
                let (fin, rsv, opcode) = (first & 0x80 != 0, first & 0x70, first & 15);
                let legal = rsv == 0
                    && match opcode {
                        0 => in_message,
                        1 | 2 => !in_message,
                        8..=10 => fin,
                        _ => false,
                    };
                assert_eq!(endpoint.failure.is_none(), legal, "{role:?} {first:02x} {in_message}");
            }
        }
    }
}

#[test]
fn masked_or_not_depends_on_the_role() {
    let (masked, plain) = (Frame::text("a").masked([0; 4]).bytes(), Frame::text("a").bytes());
    for (role, wire, error) in [
        (Role::Server, &plain, Some(ProtocolError::Unmasked)),
        (Role::Server, &masked, None),
        (Role::Client, &masked, Some(ProtocolError::Masked)),
        (Role::Client, &plain, None),
    ] {
        let mut endpoint = endpoint(role, &Config::new());
        endpoint.receive(wire);
        assert_eq!(endpoint.failure, error.map(Failure::Protocol), "{role:?}");
    }
}

#[test]
fn pings_are_answered_with_their_payload_at_every_length() {
    for role in ROLES {
        for len in 0..=125 {
            let payload: Vec<u8> = (0..len).map(|i| 255 - i).collect();
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::ping(&payload).from(peer(role)).bytes());
            assert_eq!(endpoint.seen, [Seen::Ping(payload.clone())]);
            assert_eq!(endpoint.sent().seen, [Seen::Pong(payload)]);
        }
    }
}

#[test]
fn pongs_are_taken_unasked_and_not_answered() {
    for role in ROLES {
        for len in 0..=125 {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::pong(vec![7; len]).from(peer(role)).bytes());
            assert_eq!(endpoint.seen, [Seen::Pong(vec![7; len])]);
            assert!(endpoint.sent.is_empty());
        }
    }
}

#[test]
fn what_came_before_an_error_is_delivered_and_answered_first() {
    for role in ROLES {
        let before = [Frame::text("one"), Frame::ping("two"), Frame::binary([3])];
        let seen = [Seen::Text("one".into()), Seen::Ping(b"two".to_vec()), Seen::Binary(vec![3])];
        for (bad, error) in illegal_headers(peer(role)) {
            let wire = [stream(peer(role), before.clone()), bad].concat();
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&wire);
            assert_eq!(endpoint.seen, seen, "{error:?}");
            assert_eq!(endpoint.failure, Some(Failure::Protocol(error)));
            let answers = [Seen::Pong(b"two".to_vec()), Seen::Close(Some((1002, String::new())))];
            assert_eq!(endpoint.sent().seen, answers);
        }
    }
}

#[test]
fn the_legal_streams_are_legal() {
    for role in ROLES {
        for (name, wire) in legal_streams(peer(role)) {
            let outcome = run(role, &Config::new(), GROWABLE, &wire, &[usize::MAX]);
            assert!(!matches!(outcome.end, End::Failed(_)), "{name}: {outcome:?}");
            assert_eq!(outcome.seen.is_empty(), wire.is_empty(), "{name}");
        }
    }
}

#[test]
fn a_length_in_any_longer_form_is_refused() {
    for role in ROLES {
        for (form, lens) in [(LengthForm::Bits16, 0..126), (LengthForm::Bits64, 0..65536)] {
            for len in lens.step_by(5) {
                let wire = Frame::binary([]).length_form(form).announcing(len).from(peer(role)).header();
                let mut endpoint = endpoint(role, &Config::new());
                endpoint.receive(&wire);
                assert_eq!(
                    endpoint.failure,
                    Some(Failure::Protocol(ProtocolError::LengthNotMinimal)),
                    "{len}"
                );
            }
        }
    }
}

#[test]
fn payloads_are_masked_in_any_pieces() {
    for role in ROLES {
        let payload: Vec<u8> = (0..300).map(|i| i as u8).collect();
        for cut in 0..payload.len() {
            let mut endpoint = endpoint(role, &Config::new());
            let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
            let kind = wirelet_proto::MessageKind::Binary;
            let mut wire = Vec::new();
            for copied in [false, true] {
                let head = connection.begin_frame(kind, payload.len() as u64, true, keys).unwrap();
                wire.extend_from_slice(&head);
                for piece in [&payload[..cut], &payload[cut..]] {
                    let mut out = piece.to_vec();
                    if copied {
                        assert_eq!(connection.copy_masked(piece, &mut out), piece.len());
                    } else {
                        connection.mask(&mut out);
                    }
                    wire.extend(out);
                }
            }
            endpoint.sent = wire;
            assert!(endpoint.sent().seen == [Seen::Binary(payload.clone()), Seen::Binary(payload.clone())]);
        }
    }
}
