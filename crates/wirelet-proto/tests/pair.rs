//! A client core against a server core on a virtual clock: whatever both do, every message arrives once and in
//! order, and a closing handshake ends cleanly.

use std::time::Duration;

use testkit::fuzz;
use testkit::pair::Pair;
use testkit::random::Rng;
use testkit::trace::Seen;
use wirelet_proto::{CloseCode, Config, Initiator, MessageKind, State};

fn pair(seed: u64) -> Pair {
    Pair::new(&Config::new(), &Config::new(), seed)
}

fn texts(seen: &[Seen]) -> Vec<&str> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn random_operations_lose_nothing_and_end_cleanly() {
    for seed in 0..1500 {
        let len = 20 + (seed as usize % 400);
        fuzz::pair(&Rng::new(seed).bytes(len));
    }
}

#[test]
fn messages_arrive_in_order_over_a_narrow_link() {
    for capacity in [1, 2, 3, 13, 200] {
        let mut pair = pair(5);
        for link in &mut pair.links {
            (link.capacity, link.delay) = (capacity, 3);
        }
        let messages: Vec<String> = (0..20).map(|i| format!("{i} ").repeat(i)).collect();
        for i in 0..2 {
            for message in &messages {
                pair.ends[i].send(MessageKind::Text, message.as_bytes(), true).unwrap();
            }
        }
        pair.drive(30_000);
        for end in &pair.ends {
            assert_eq!(texts(&end.endpoint.seen), messages, "{capacity}");
        }
    }
}

#[test]
fn both_close_at_once() {
    for delay in [0, 1, 100] {
        let mut pair = pair(delay as u64);
        for link in &mut pair.links {
            link.delay = delay;
        }
        pair.ends[0].endpoint.close(3001, "client").unwrap();
        pair.ends[1].endpoint.close(3002, "server").unwrap();
        pair.drive(1000);
        assert!(pair.is_over());
        for (i, end) in pair.ends.iter().enumerate() {
            let info = end.endpoint.connection.close_info();
            assert!(info.is_clean());
            assert_eq!(info.initiator, Some(Initiator::Local));
            let codes = [CloseCode::new(3001), CloseCode::new(3002)];
            assert_eq!((info.sent, info.received), (Some(codes[i]), Some(codes[1 - i])));
            assert!(end.expired.is_empty());
        }
    }
}

#[test]
fn a_close_does_not_overtake_what_was_accepted_before_it() {
    for closer in 0..2 {
        for delay in [0, 50] {
            let mut pair = pair(3);
            pair.most_written = 7;
            for link in &mut pair.links {
                (link.delay, link.capacity) = (delay, 30);
            }
            for i in 0..10 {
                pair.ends[closer]
                    .send(MessageKind::Text, format!("message {i}").as_bytes(), i % 3 == 0)
                    .unwrap();
            }
            pair.ends[closer].endpoint.close(1000, "").unwrap();
            pair.drive(4000);
            assert!(pair.is_over());
            let seen = &pair.ends[1 - closer].endpoint.seen;
            assert_eq!(texts(seen).concat(), (0..10).map(|i| format!("message {i}")).collect::<String>());
            assert_eq!(seen.last(), Some(&Seen::Close(Some((1000, String::new())))));
            let info = pair.ends[1 - closer].endpoint.connection.close_info();
            assert_eq!((info.initiator, info.is_clean()), (Some(Initiator::Remote), true));
        }
    }
}

#[test]
fn pongs_overtake_data_between_frames_but_not_inside() {
    let mut pair = pair(9);
    pair.most_written = 100;
    pair.links[0].capacity = 50;
    for _ in 0..20 {
        pair.ends[0].send(MessageKind::Binary, &[1; 100], false).unwrap();
    }
    pair.ends[0].send(MessageKind::Binary, &[1; 100], true).unwrap();
    pair.ends[1].ping(b"hurry").unwrap();
    pair.drive(5000);
    let seen = &pair.ends[1].endpoint.seen;
    assert_eq!(seen[..], [Seen::Pong(b"hurry".to_vec()), Seen::Binary(vec![1; 2100])]);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_why() {
    let mut config = Config::new();
    config.limits.message = 100;
    for server_is_strict in [false, true] {
        let (client, server) =
            if server_is_strict { (Config::new(), config.clone()) } else { (config.clone(), Config::new()) };
        let mut pair = Pair::new(&client, &server, 2);
        let (talker, strict) = if server_is_strict { (0, 1) } else { (1, 0) };
        pair.links[0].delay = 20;
        pair.ends[talker].send(MessageKind::Text, b"short", true).unwrap();
        pair.ends[talker].send(MessageKind::Text, &[b'x'; 101], true).unwrap();
        pair.drive(2000);
        let told = pair.ends[talker].endpoint.connection.close_info();
        assert_eq!(told.received, Some(CloseCode::MESSAGE_TOO_BIG));
        assert_eq!(texts(&pair.ends[strict].endpoint.seen), ["short"]);
        assert!(pair.ends[strict].endpoint.connection.close_info().failed);
        assert_eq!(pair.ends[talker].endpoint.connection.state(), State::Closed);
    }
}

#[test]
fn what_waits_while_reading_is_held_arrives_afterwards() {
    let mut pair = pair(4);
    pair.ends[1].hold_reading(true);
    for i in 0..50 {
        pair.ends[0].send(MessageKind::Text, format!("{i}").as_bytes(), true).unwrap();
    }
    pair.ends[0].endpoint.connection.hold_reading(true, pair.ends[0].endpoint.now);
    pair.drive(1_000_000);
    assert!(texts(&pair.ends[1].endpoint.seen).is_empty());
    pair.ends[1].hold_reading(false);
    pair.ends[0].hold_reading(false);
    pair.drive(1_001_000);
    assert_eq!(texts(&pair.ends[1].endpoint.seen).len(), 50);
    assert!(pair.ends.iter().all(|end| end.expired.is_empty()));
}

/// The slowest link of [`slow_but_honest`], bytes a second, and the longest frame on it.
const RATE: usize = 2000;
const FRAME: usize = 20_000;

/// Ends that always answer, over links that take at least [`RATE`] bytes a second.
fn slow_but_honest(rng: &mut Rng) -> Pair {
    let mut config = Config::new();
    // A link holds two seconds, on either way; a pong waits for those, and for a short frame.
    config.keepalive.ping = Some(Duration::from_millis(700));
    config.keepalive.pong = Duration::from_secs(6);
    config.limits.stalled_time = Some(Duration::from_secs(3));
    config.limits.slowest = Some(RATE as u32 * 9 / 10);
    // What the peer has queued leaves before its answer to a close frame.
    config.limits.closing_time = Duration::from_secs(20);
    config.limits.message = 1 << 20;
    let mut pair = Pair::new(&config, &config, rng.next());
    for link in &mut pair.links {
        link.rate = RATE << rng.below(4);
        link.capacity = 200 + rng.below(2 * RATE - 200);
        link.delay = rng.below(100);
    }
    pair.most_written = [usize::MAX, 100, 1500][rng.below(3)];
    pair
}

/// Peers that were slow but did all that they had to were given up: by keepalive, since a ping waited behind a large frame; by
/// the closing deadline, since it ran while messages were on their way.
#[test]
fn a_peer_that_answers_and_takes_within_its_bounds_is_never_given_up() {
    let mut late = 0;
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut pair = slow_but_honest(&mut rng);
        // The one end sends large frames, the other little, so that its pongs come soon.
        let large = rng.below(2);
        let mut accepted: [Vec<String>; 2] = Default::default();
        for _ in 0..rng.below(12) {
            for (i, accepted) in accepted.iter_mut().enumerate() {
                for _ in 0..rng.below(4) {
                    let len = rng.below(if i == large { FRAME } else { 200 });
                    let text = "x".repeat(len);
                    pair.ends[i].send(MessageKind::Text, text.as_bytes(), true).unwrap();
                    accepted.push(text);
                }
                if rng.one_in(3) {
                    let _ = pair.ends[i].ping(b"application");
                }
            }
            pair.drive(pair.now() + rng.below(5000) as u64);
        }
        // The one that is to answer the close frame can, within its bound.
        let closer = rng.below(2);
        while pair.ends[1 - closer].queued() > 15 * RATE {
            pair.drive(pair.now() + 1000);
        }
        let began = pair.now();
        while pair.ends[closer].endpoint.close(1000, "").is_err() {
            pair.drive(pair.now() + 1);
        }
        while !pair.is_over() {
            assert!(pair.now() < began + 1_000_000, "{seed}");
            for i in 0..2 {
                assert_eq!(pair.ends[i].expired, [], "{seed}, {i} of {large}, {:?}", pair.links);
            }
            pair.drive(pair.now() + 100);
        }
        for (i, accepted) in accepted.iter().enumerate() {
            assert_eq!(pair.ends[i].expired, []);
            assert!(texts(&pair.ends[1 - i].endpoint.seen) == *accepted, "{seed}");
            assert!(pair.ends[i].endpoint.connection.close_info().is_clean());
        }
        late += u32::from(pair.now() > began + 20_000);
    }
    // Closings that would have been cut off if `closing_time` began at `close`.
    assert!(late > 20, "{late}");
}
