//! Class L: every split of every stream, in every buffer and both deliveries, gives the same events; random
//! streams against the reference decoder.

use testkit::fuzz::check_frames;
use testkit::random::{Rng, stream};
use testkit::reference::{Rules, decode};
use testkit::trace::{Buffer, chunked, run};
use testkit::vectors::{illegal_headers, legal_streams, not_utf8, rfc_examples};
use testkit::wire::{Frame, ROLES, peer};
use wirelet_proto::{Config, FIXED_OVERHEAD, Role};

/// Every vector that `role` may receive.
fn vectors(role: Role) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = legal_streams(peer(role)).into_iter().map(|(_, wire)| wire).collect();
    all.extend(illegal_headers(peer(role)).into_iter().map(|(wire, _)| wire));
    all.extend(
        rfc_examples()
            .into_iter()
            .filter(|(by, wire, _)| *by == peer(role) && wire.len() < 1000)
            .map(|e| e.1),
    );
    for (text, _) in not_utf8().iter().filter(|(text, _)| text.len() < 40) {
        all.push(Frame::text(text).from(peer(role)).bytes());
        all.push(Frame::close(1000, text).from(peer(role)).bytes());
    }
    all
}

/// The largest message of `wire`, so that a fixed buffer can be made that holds exactly it.
fn largest(role: Role, wire: &[u8]) -> usize {
    use testkit::trace::Seen::{Binary, Text};
    let seen = decode(&Rules::new(role), wire).seen;
    let len = |seen| match seen {
        Text(text) => String::len(&text),
        Binary(bytes) => bytes.len(),
        _ => 0,
    };
    seen.into_iter().map(len).max().unwrap_or(0)
}

fn both_deliveries() -> [Config; 2] {
    [Config::new(), chunked(&Config::new())]
}

#[test]
fn every_two_way_split_gives_the_same_events() {
    for role in ROLES {
        for wire in vectors(role) {
            let exact = FIXED_OVERHEAD + largest(role, &wire).max(70);
            for config in both_deliveries() {
                for buffer in [Buffer::Growable(1 << 20), Buffer::Fixed(exact)] {
                    for cut in 1..wire.len().max(2) {
                        check_frames(role, &config, buffer, &wire, &[cut, usize::MAX]);
                    }
                }
            }
        }
    }
}

#[test]
fn byte_by_byte_and_in_small_pieces_gives_the_same_events() {
    for role in ROLES {
        for wire in vectors(role) {
            let exact = FIXED_OVERHEAD + largest(role, &wire).max(70);
            for config in both_deliveries() {
                for buffer in [exact, exact + 1, 256, 4096]
                    .map(Buffer::Fixed)
                    .into_iter()
                    .chain([Buffer::Growable(1000)])
                {
                    for sizes in [&[1][..], &[2], &[3], &[5, 1], &[14], &[140], &[usize::MAX]] {
                        check_frames(role, &config, buffer, &wire, sizes);
                    }
                }
            }
        }
    }
}

#[test]
fn coalesced_streams_give_the_events_of_each() {
    for role in ROLES {
        let streams = legal_streams(peer(role));
        let open: Vec<_> = streams.iter().filter(|(name, _)| !name.starts_with("close")).collect();
        let all: Vec<u8> = open.iter().flat_map(|(_, wire)| wire.clone()).collect();
        let config = Config::new();
        let one_by_one: Vec<_> = open
            .iter()
            .flat_map(|(_, wire)| run(role, &config, Buffer::Fixed(4096), wire, &[1]).seen)
            .collect();
        for buffer in [Buffer::Growable(1 << 20), Buffer::Fixed(500), Buffer::Fixed(4096)] {
            for sizes in [1, 7, 100, usize::MAX] {
                assert_eq!(run(role, &config, buffer, &all, &[sizes]).seen, one_by_one);
            }
        }
    }
}

#[test]
fn random_streams_agree_with_the_reference_decoder() {
    let mut rng = Rng::new(2026);
    for round in 0..6000 {
        let role = ROLES[round % 2];
        let wire = stream(&mut rng, peer(role));
        let mut config = Config::new();
        if rng.one_in(2) {
            config = chunked(&config);
        }
        if rng.one_in(3) {
            config.limits.message = rng.below(3000) as u64;
            config.limits.frame = 1 + rng.below(2000) as u64;
            config.limits.fragments = 1 + rng.below(5) as u32;
        }
        let buffer = match rng.below(3) {
            0 => Buffer::Growable(config.limits.message as usize),
            1 => Buffer::Fixed(140 + rng.below(4000)),
            _ => Buffer::Fixed([140, 256, 512, 4096][rng.below(4)]),
        };
        let sizes: Vec<usize> = (0..1 + rng.below(5)).map(|_| 1 + rng.below(300)).collect();
        check_frames(role, &config, buffer, &wire, &sizes);
    }
}

#[test]
fn a_fixed_buffer_takes_messages_of_its_size_less_the_overhead() {
    for role in ROLES {
        for len in [1, 2, 60, 117, 372, 3957] {
            let half = len / 2;
            let wire = testkit::wire::stream(
                peer(role),
                [
                    Frame::binary(vec![1; half]).fragment(),
                    Frame::ping([9; 125]),
                    Frame::continuation(vec![2; len - half]).fragment(),
                    Frame::pong([8; 125]),
                    Frame::continuation([]),
                    Frame::text("n".repeat(len)),
                ],
            );
            for sizes in [&[1][..], &[13], &[usize::MAX]] {
                let config = Config::new();
                let outcome = run(role, &config, Buffer::Fixed(len + FIXED_OVERHEAD), &wire, sizes);
                assert_eq!(outcome.seen.len(), 4, "{len} {outcome:?}");
                let outcome = run(role, &config, Buffer::Fixed(len + FIXED_OVERHEAD - 1), &wire, sizes);
                assert_eq!(outcome.end, testkit::reference::End::Failed(1009), "{len}");
            }
        }
    }
}

#[test]
fn chunks_bring_a_message_that_is_larger_than_the_buffer() {
    for role in ROLES {
        let mut config = chunked(&Config::new());
        config.limits.message = 10 << 20;
        let payload = Rng::new(4).bytes(300_000);
        let frames =
            [Frame::binary(&payload[..200_000]).fragment(), Frame::continuation(&payload[200_000..])];
        let wire = testkit::wire::stream(peer(role), frames);
        let outcome = run(role, &config, Buffer::Fixed(256), &wire, &[usize::MAX]);
        assert!(outcome.seen == [testkit::trace::Seen::Binary(payload)]);
    }
}
