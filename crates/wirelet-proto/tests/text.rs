//! Text is checked as it arrives: the first byte that no text could have fails the connection (RFC 6455 8.1).

use testkit::trace::{Seen, chunked, endpoint};
use testkit::vectors::not_utf8;
use testkit::wire::{Frame, KEY, ROLES, peer};
use wirelet_proto::{Config, Failure, ProtocolError, Role};

const INVALID: Option<Failure> = Some(Failure::Protocol(ProtocolError::InvalidUtf8));

/// The bytes of a frame's payload as they are on the wire, masked or not.
fn on_the_wire(role: Role, payload: &[u8]) -> Vec<u8> {
    let key = if role == Role::Server { KEY } else { [0; 4] };
    payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

#[test]
fn the_first_impossible_byte_fails_and_none_before() {
    for role in ROLES {
        for config in [Config::new(), chunked(&Config::new())] {
            for (bytes, at) in not_utf8() {
                let mut endpoint = endpoint(role, &config);
                // More is announced than comes, so that only the bytes themselves can give it away.
                endpoint.receive(&Frame::text([]).announcing(1000).from(peer(role)).header());
                for (i, byte) in on_the_wire(role, &bytes).into_iter().enumerate() {
                    endpoint.receive(&[byte]);
                    assert_eq!(endpoint.failure, if i < at { None } else { INVALID }, "{bytes:x?} {i}");
                    if i >= at {
                        break;
                    }
                }
                assert_eq!(endpoint.failure.is_some(), at < bytes.len());
                let closed = Seen::Close(Some((1007, String::new())));
                assert_eq!(endpoint.sent().seen, if at < bytes.len() { vec![closed] } else { vec![] });
            }
        }
    }
}

#[test]
fn in_fragments_of_one_byte_it_is_the_same_byte() {
    for role in ROLES {
        for (bytes, at) in not_utf8() {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::text([]).fragment().from(peer(role)).bytes());
            for (i, byte) in bytes.iter().enumerate() {
                endpoint.receive(&Frame::continuation([*byte]).fragment().from(peer(role)).bytes());
                endpoint.receive(&Frame::ping([]).from(peer(role)).bytes());
                assert_eq!(endpoint.failure, if i < at { None } else { INVALID }, "{bytes:x?} {i}");
                if i >= at {
                    break;
                }
            }
            // What is only cut off fails with the end of the message.
            if at == bytes.len() {
                endpoint.receive(&Frame::continuation([]).from(peer(role)).bytes());
                assert_eq!(endpoint.failure, INVALID);
            }
        }
    }
}

#[test]
fn a_message_may_end_only_after_a_whole_character() {
    for role in ROLES {
        for config in [Config::new(), chunked(&Config::new())] {
            let text = "aé日😀".as_bytes();
            for cut in 0..=text.len() {
                let mut endpoint = endpoint(role, &config);
                endpoint.receive(&Frame::text(&text[..cut]).from(peer(role)).bytes());
                let whole = std::str::from_utf8(&text[..cut]);
                assert_eq!(endpoint.failure, if whole.is_ok() { None } else { INVALID }, "{cut}");
                if let Ok(whole) = whole {
                    assert_eq!(endpoint.seen, [Seen::Text(whole.into())]);
                }
            }
        }
    }
}

#[test]
fn every_character_arrives() {
    for role in ROLES {
        let all: String = (0..=char::MAX as u32).step_by(7).filter_map(char::from_u32).collect();
        let mut config = Config::new();
        config.limits.message = 4 << 20;
        for size in [1000, 1 << 22] {
            let mut endpoint = endpoint(role, &config);
            let wire = Frame::text(&all).from(peer(role)).bytes();
            wire.chunks(size).for_each(|piece| endpoint.receive(piece));
            assert!(endpoint.seen == [Seen::Text(all.clone())]);
        }
    }
}

#[test]
fn binary_messages_may_hold_anything() {
    for role in ROLES {
        for (bytes, _) in not_utf8() {
            let mut endpoint = endpoint(role, &Config::new());
            endpoint.receive(&Frame::binary(&bytes).from(peer(role)).bytes());
            assert_eq!(endpoint.seen, [Seen::Binary(bytes)]);
        }
    }
}
