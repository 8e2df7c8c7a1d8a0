//! The codec hook, with a toy codec: what compression will rest on.

use testkit::codec::RunLength;
use testkit::trace::{Endpoint, Seen, chunked};
use testkit::wire::{Frame, ROLES, peer, stream};
use wirelet_proto::{Config, Failure, Fixed, Growable, LimitError, MessageKind, ProtocolError, Role, Status};

const RSV1: u8 = 4;

fn endpoint(role: Role, config: &Config, collects: bool) -> Endpoint<Growable> {
    let mut endpoint = Endpoint::compressed(role, config, Growable::new(1 << 20), 1 << 20);
    endpoint.codec.as_mut().expect("there is a codec").0.collects = collects;
    endpoint
}

/// Both deliveries, with a codec that takes pieces as they come and with one that wants whole messages.
fn ways() -> [(Config, bool); 4] {
    let [messages, chunks] = [Config::new(), chunked(&Config::new())];
    [(messages.clone(), false), (messages, true), (chunks.clone(), false), (chunks, true)]
}

/// `payload` compressed, in fragments of `size` bytes, with a ping before each but the first.
fn compressed(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    let packed = RunLength::compress(payload);
    let pieces: Vec<&[u8]> = if packed.is_empty() { vec![&[]] } else { packed.chunks(size).collect() };
    let mut frames = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let frame = if i == 0 { Frame::new(opcode, piece).rsv(RSV1) } else { Frame::continuation(piece) };
        if i > 0 {
            frames.push(Frame::ping([i as u8]));
        }
        frames.push(if i + 1 == pieces.len() { frame } else { frame.fragment() });
    }
    frames
}

fn feed<S: wirelet_proto::Spare>(endpoint: &mut Endpoint<S>, wire: &[u8], size: usize) {
    wire.chunks(size).for_each(|piece| endpoint.receive(piece));
}

fn messages<S>(endpoint: &Endpoint<S>) -> Vec<Seen> {
    let is_message = |seen: &&Seen| matches!(seen, Seen::Text(_) | Seen::Binary(_));
    endpoint.seen.iter().filter(is_message).cloned().collect()
}

#[test]
fn compressed_messages_arrive_in_any_fragments_and_pieces() {
    let text = ["a".repeat(3000), "é日😀".repeat(30), String::new(), "z".into()];
    for role in ROLES {
        for (config, collects) in ways() {
            for fragment in [1, 2, 3, 100, 100_000] {
                for piece in [1, 7, 100_000] {
                    let mut endpoint = endpoint(role, &config, collects);
                    for text in &text {
                        let frames = compressed(1, text.as_bytes(), fragment);
                        feed(&mut endpoint, &stream(peer(role), frames), piece);
                        // One that is not compressed in between.
                        feed(&mut endpoint, &Frame::binary([1, 2]).from(peer(role)).bytes(), piece);
                    }
                    let expected: Vec<Seen> = text
                        .iter()
                        .flat_map(|text| [Seen::Text(text.clone()), Seen::Binary(vec![1, 2])])
                        .collect();
                    assert_eq!(messages(&endpoint), expected, "{fragment} {piece}");
                    assert_eq!(endpoint.failure, None);
                }
            }
        }
    }
}

#[test]
fn control_frames_between_fragments_are_answered() {
    for role in ROLES {
        for (config, collects) in ways() {
            let mut endpoint = endpoint(role, &config, collects);
            feed(&mut endpoint, &stream(peer(role), compressed(2, b"abcdef", 2)), 3);
            let pongs: Vec<Seen> = (1..6).map(|i| Seen::Pong(vec![i])).collect();
            assert_eq!(endpoint.sent().seen, pongs);
            assert_eq!(endpoint.seen.last(), Some(&Seen::Binary(b"abcdef".to_vec())));
        }
    }
}

#[test]
fn a_full_output_is_asked_to_be_enlarged_and_nothing_is_lost() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.message = 10_000;
        let payload = [vec![1; 3000], vec![2; 3000]].concat();
        // Room for 2,000 bytes and the overhead, with a message of 6,000.
        let mut endpoint = Endpoint::compressed(role, &config, Growable::new(1000), 2000);
        let wire = stream(peer(role), compressed(2, &payload, 1000));
        assert_eq!(endpoint.turn(), Ok(Status::NeedInput));
        assert_eq!(endpoint.read(&wire), wire.len());
        assert_eq!(endpoint.turn(), Ok(Status::NeedOutput));
        assert_eq!(endpoint.turn(), Ok(Status::NeedOutput));
        let (_, out) = endpoint.codec.as_mut().unwrap();
        assert_eq!(wirelet_proto::Storage::filled(out.storage()), &payload[..2139]);
        let mut larger = Growable::new(8000);
        let bytes = wirelet_proto::Storage::filled(out.storage()).to_vec();
        for piece in bytes.chunks(100) {
            use wirelet_proto::{Spare, Storage};
            assert!(larger.make_room(10_000));
            let room = larger.spare_mut().len().min(piece.len());
            larger.spare_mut()[..room].copy_from_slice(&piece[..room]);
            larger.commit(room);
            assert!(larger.make_room(10_000));
            larger.spare_mut()[..piece.len() - room].copy_from_slice(&piece[room..]);
            larger.commit(piece.len() - room);
        }
        *out.storage_mut() = larger;
        endpoint.run();
        assert!(endpoint.seen == [Seen::Binary(payload)]);
    }
}

#[test]
fn limits_apply_after_decompression_and_are_overshot_by_one_byte_at_most() {
    for role in ROLES {
        for (delivery, collects) in ways() {
            for limit in [0_usize, 1, 100, 511, 5000] {
                let mut config = delivery.clone();
                config.limits.message = limit as u64;
                for (len, failure) in [(limit, None), (limit + 1, Some(Failure::Limit(LimitError::Message)))]
                {
                    let mut endpoint = endpoint(role, &config, collects);
                    feed(&mut endpoint, &stream(peer(role), compressed(2, &vec![0; len], 4)), 1000);
                    assert_eq!(endpoint.failure, failure, "{limit}");
                    assert_eq!(messages(&endpoint).len(), usize::from(failure.is_none()));
                }
                let mut bomb = endpoint(role, &config, collects);
                feed(&mut bomb, &stream(peer(role), compressed(1, &vec![b'x'; 1 << 20], 500)), 1 << 20);
                assert_eq!(bomb.failure, Some(Failure::Limit(LimitError::Message)));
                assert_eq!(bomb.sent().seen.last(), Some(&Seen::Close(Some((1009, String::new())))));
                let (codec, out) = bomb.codec.as_ref().unwrap();
                assert!(codec.largest <= limit + 1, "{}", codec.largest);
                assert!(out.storage().capacity() <= (2 * limit).max(512) + 139);
            }
        }
    }
}

#[test]
fn data_that_compression_makes_larger_may_be_as_large_as_the_limit() {
    for role in ROLES {
        for (config, collects) in ways() {
            let config =
                Config { limits: wirelet_proto::Limits { message: 5000, ..config.limits }, ..config };
            let payload: Vec<u8> = (0..5000).map(|i| i as u8).collect();
            assert_eq!(RunLength::compress(&payload).len(), 10_000);
            for fragment in [100, 100_000] {
                let mut endpoint = endpoint(role, &config, collects);
                feed(&mut endpoint, &stream(peer(role), compressed(2, &payload, fragment)), 999);
                if collects {
                    assert_eq!(endpoint.failure, Some(Failure::Limit(LimitError::Message)));
                } else {
                    assert!(messages(&endpoint) == [Seen::Binary(payload.clone())], "{:?}", endpoint.failure);
                }
            }
        }
    }
}

#[test]
fn a_collected_message_may_be_larger_by_an_eighth_and_a_kilobyte_on_the_wire() {
    for role in ROLES {
        let mut config = Config::new();
        config.limits.message = 4096;
        for (len, taken) in [(4096 / 8 * 9 + 1024, true), (4096 / 8 * 9 + 1024 + 2, false)] {
            for fragment in [100, 100_000] {
                let mut endpoint = endpoint(role, &config, true);
                let payload: Vec<u8> = (0..len / 2).map(|i| i as u8).collect();
                feed(&mut endpoint, &stream(peer(role), compressed(2, &payload, fragment)), 1000);
                assert_eq!(endpoint.failure.is_none(), taken, "{len}");
                assert_eq!(messages(&endpoint).len(), usize::from(taken));
            }
        }
    }
}

#[test]
fn compressed_data_far_beyond_the_limit_is_refused_with_its_header() {
    for role in ROLES {
        for len in [1 << 20, 1 << 40, (1 << 63) - 1] {
            let mut config = Config::new();
            config.limits.message = 5000;
            let mut endpoint = endpoint(role, &config, false);
            endpoint.receive(&Frame::binary([]).rsv(RSV1).announcing(len).from(peer(role)).header());
            assert_eq!(endpoint.failure, Some(Failure::Limit(LimitError::Message)));
        }
    }
}

#[test]
fn text_is_checked_after_decompression() {
    for role in ROLES {
        for (config, collects) in ways() {
            for (bytes, _) in testkit::vectors::not_utf8() {
                for fragment in [1, 100_000] {
                    let mut endpoint = endpoint(role, &config, collects);
                    feed(&mut endpoint, &stream(peer(role), compressed(1, &bytes, fragment)), 50);
                    assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::InvalidUtf8)));
                    assert_eq!(endpoint.sent().seen.last(), Some(&Seen::Close(Some((1007, String::new())))));
                    let mut binary = self::endpoint(role, &config, collects);
                    feed(&mut binary, &stream(peer(role), compressed(2, &bytes, fragment)), 50);
                    assert_eq!(messages(&binary), [Seen::Binary(bytes.clone())]);
                }
            }
        }
    }
}

#[test]
fn corrupt_data_fails_with_1007() {
    for role in ROLES {
        for (config, collects) in ways() {
            for corrupt in [&[0, 1][..], &[3], &[1, b'a', 0], &[1, b'a', 2]] {
                let mut endpoint = endpoint(role, &config, collects);
                endpoint.receive(&Frame::text(corrupt).rsv(RSV1).from(peer(role)).bytes());
                assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::InvalidCompressedData)));
                assert_eq!(endpoint.sent().seen, [Seen::Close(Some((1007, String::new())))]);
            }
        }
    }
}

#[test]
fn the_reserved_bit_stands_on_first_frames_only_and_only_when_negotiated() {
    for role in ROLES {
        let config = Config::new();
        for frames in [
            vec![Frame::text([1, b'a']).rsv(RSV1).fragment(), Frame::continuation([1, b'b']).rsv(RSV1)],
            vec![Frame::ping("x").rsv(RSV1)],
            vec![Frame::close_empty().rsv(RSV1)],
            vec![Frame::text([1, b'a']).rsv(2)],
            vec![Frame::text([1, b'a']).rsv(5)],
        ] {
            let mut endpoint = endpoint(role, &config, false);
            endpoint.receive(&stream(peer(role), frames));
            assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::ReservedBits)));
        }
        let mut plain = testkit::trace::endpoint(role, &config);
        plain.receive(&Frame::text([1, b'a']).rsv(RSV1).from(peer(role)).bytes());
        assert_eq!(plain.failure, Some(Failure::Protocol(ProtocolError::ReservedBits)));
    }
}

#[test]
fn without_a_codec_at_hand_compressed_messages_fail() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new(), false);
        endpoint.codec = None;
        endpoint.receive(&Frame::text([1, b'a']).rsv(RSV1).from(peer(role)).bytes());
        assert_eq!(endpoint.failure, Some(Failure::Protocol(ProtocolError::InvalidCompressedData)));
    }
}

#[test]
fn a_large_message_passes_through_small_buffers_in_chunks() {
    for role in ROLES {
        let config = chunked(&Config::new());
        let payload: Vec<u8> = (0..200_000_u32).map(|i| (i / 1000) as u8).collect();
        let mut memory = [0; 200];
        let mut endpoint = Endpoint::compressed(role, &config, Fixed::new(&mut memory[..]), 100);
        feed(&mut endpoint, &stream(peer(role), compressed(2, &payload, 333)), 1000);
        assert!(messages(&endpoint) == [Seen::Binary(payload)]);
        assert!(endpoint.chunks > 100);
    }
}

#[test]
fn compressed_frames_are_sent_with_the_bit_on_the_first() {
    for role in ROLES {
        let mut endpoint = endpoint(role, &Config::new(), false);
        let (connection, keys) = (&mut endpoint.connection, &mut endpoint.keys);
        let mut first_byte =
            |len, fin| connection.begin_compressed_frame(MessageKind::Text, len, fin, keys).unwrap()[0];
        assert_eq!([first_byte(1, false), first_byte(1, false), first_byte(1, true)], [0x41, 0, 0x80]);
        assert_eq!(first_byte(1, true), 0xc1);
    }
}
