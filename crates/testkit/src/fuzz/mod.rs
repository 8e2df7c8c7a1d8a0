//! The bodies of the fuzz targets: any bytes in, a panic where the core is wrong. The targets in `fuzz/` call
//! them, and so do tests, with the seeds.

mod deflate;
mod handshake;
mod negotiation;

use std::path::PathBuf;
use std::time::Duration;

use wirelet_proto::{CloseCode, Config, Delivery, MessageKind, Role, State};

use crate::pair::Pair;
use crate::reference::{self, Rules};
use crate::trace::{Buffer, Seen, run};
use crate::wire::{Frame, peer};

pub use deflate::{DEFLATE_HEAD, deflate, inflate};
pub use handshake::{NONCE, client_handshake, header_lists, server_handshake};
pub use negotiation::negotiation;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames_server", frames_server),
    ("frames_client", frames_client),
    ("close_payload", close_payload),
    ("pair", pair),
    ("server_handshake", server_handshake),
    ("client_handshake", client_handshake),
    ("header_lists", header_lists),
    ("negotiation", negotiation),
    ("deflate", deflate),
    ("inflate", inflate),
];

/// [`frames`] as a server receives them.
pub fn frames_server(data: &[u8]) {
    frames(Role::Server, data);
}

/// [`frames`] as a client receives them.
pub fn frames_client(data: &[u8]) {
    frames(Role::Client, data);
}

/// The first bytes of the input of [`frames`], before the stream.
pub const FRAMES_HEAD: usize = 5;

/// A stream as `role` receives it, against the reference decoder: at once, and in pieces, in a buffer of any kind.
pub fn frames(role: Role, data: &[u8]) {
    let Some((head, wire)) = data.split_first_chunk::<FRAMES_HEAD>() else { return };
    let mut config = Config::new();
    if head[0] & 1 != 0 {
        config.delivery = Delivery::Chunks;
    }
    config.limits.message = [1 << 20, 1000, 70, 0][usize::from(head[0] >> 1 & 3)];
    config.limits.frame = [u64::MAX, 300, 126, 3][usize::from(head[0] >> 3 & 3)];
    config.limits.fragments = [131_072, 3, 2, 1][usize::from(head[0] >> 5 & 3)];
    let buffer = match head[1] {
        0..=85 => Buffer::Growable(config.limits.message as usize),
        n @ 86..=170 => Buffer::Fixed(140 + usize::from(n - 86)),
        n => Buffer::Fixed(16 * usize::from(n)),
    };
    let sizes: Vec<usize> = head[2..].iter().map(|size| usize::from(*size) + 1).collect();
    check_frames(role, &config, buffer, wire, &sizes);
    check_frames(role, &config, buffer, wire, &[usize::MAX]);
}

/// Runs the core over `wire` and compares it with the reference decoder.
pub fn check_frames(role: Role, config: &Config, buffer: Buffer, wire: &[u8], sizes: &[usize]) {
    let limits = &config.limits;
    let capacity = match buffer {
        _ if config.delivery == Delivery::Chunks => u64::MAX,
        Buffer::Fixed(n) => n as u64 - wirelet_proto::FIXED_OVERHEAD as u64,
        Buffer::Growable(n) => n as u64,
    };
    let message = limits.message.min(capacity);
    let rules = Rules { role, frame: limits.frame, message, fragments: limits.fragments };
    let expected = reference::decode(&rules, wire);
    assert_eq!(run(role, config, buffer, wire, sizes), expected, "{role:?} {buffer:?} {sizes:?}");
}

/// A close frame with any payload, for both roles.
pub fn close_payload(data: &[u8]) {
    let payload = &data[..data.len().min(125)];
    for role in crate::wire::ROLES {
        let wire = Frame::new(8, payload).from(peer(role)).bytes();
        for sizes in [[usize::MAX], [1]] {
            check_frames(role, &Config::new(), Buffer::Fixed(140), &wire, &sizes);
        }
    }
}

/// Operations on a [`Pair`], each of one byte or a few: whatever both sides do, nothing is lost or reordered, and
/// a closing handshake that starts ends.
pub fn pair(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let Some(seed) = bytes.next() else { return };
    let mut config = Config::new();
    // Pings often, but no deadline that a slow link could reach: those have tests of their own.
    config.keepalive.ping = Some(Duration::from_millis(700));
    config.keepalive.pong = Duration::from_secs(3600);
    config.keepalive.idle = None;
    config.limits.closing_time = Duration::from_secs(3600);
    config.limits.message_time = None;
    config.limits.message = 16 << 20;
    let mut pair = Pair::new(&config, &config, u64::from(seed));
    let mut accepted: [Vec<Seen>; 2] = [Vec::new(), Vec::new()];
    let mut begun: [Option<(MessageKind, Vec<u8>)>; 2] = [None, None];
    while let Some(op) = bytes.next() {
        let i = usize::from(op & 1);
        match op >> 1 & 7 {
            0 => send(&mut pair, i, op, &mut bytes, &mut begun[i], &mut accepted[i]),
            1 => {
                let payload = vec![op; usize::from(op >> 4) * 8];
                let _ = pair.ends[i].ping(&payload);
            }
            2 => {
                let code = [1000, 1005, 3000, 1006][usize::from(op >> 4 & 3)];
                let _ = pair.ends[i].endpoint.close(code, if code == 1005 { "" } else { "bye" });
            }
            3 => pair.links[i].delay = usize::from(op >> 4) * 20,
            4 => pair.links[i].capacity = 1 + (usize::from(op >> 4) << 4),
            5 => pair.most_written = 1 + (usize::from(op >> 4) << 2),
            6 => pair.drive(pair.now() + u64::from(op >> 4)),
            _ => {
                for _ in 0..=op >> 4 {
                    pair.step();
                }
            }
        }
    }
    // All that was accepted arrives.
    for i in 0..2 {
        pair.links[i].capacity = 1 << 20;
        pair.links[i].delay = 0;
    }
    pair.most_written = usize::MAX;
    // What is on its way was delayed by 300 ms at most.
    pair.drive(pair.now() + 301);
    for (i, accepted) in accepted.iter().enumerate() {
        assert!(pair.ends[i].expired.is_empty(), "{:?}", pair.ends[i].expired);
        assert_eq!(pair.ends[i].endpoint.failure, None);
        let sent_all = pair.ends[1 - i].endpoint.connection.close_info().sent.is_none();
        let arrived = messages(&pair.ends[1 - i].endpoint.seen);
        // An end that has seen the peer's close frame has seen all that was accepted before it.
        let info = pair.ends[1 - i].endpoint.connection.close_info();
        assert!(accepted.starts_with(&arrived), "{arrived:?} is not the beginning of {accepted:?}");
        assert!(arrived.len() == accepted.len() || !(sent_all || info.received.is_some()), "lost messages");
    }
    finish(&mut pair);
}

fn send(
    pair: &mut Pair,
    i: usize,
    op: u8,
    bytes: &mut impl Iterator<Item = u8>,
    begun: &mut Option<(MessageKind, Vec<u8>)>,
    accepted: &mut Vec<Seen>,
) {
    let (fin, text) = (op & 0x10 != 0, op & 0x20 != 0);
    let kind = if text { MessageKind::Text } else { MessageKind::Binary };
    let len = usize::from(bytes.next().unwrap_or(0)) << (op >> 5 & 2);
    let fill = b'a' + (accepted.len() % 26) as u8;
    let wrong = begun.as_ref().is_some_and(|(before, _)| *before != kind);
    match pair.ends[i].send(kind, &vec![fill; len], fin) {
        Ok(()) => {
            assert!(!wrong && pair.ends[i].endpoint.connection.state() == State::Open);
            let (_, payload) = begun.get_or_insert((kind, Vec::new()));
            payload.extend(vec![fill; len]);
            if fin && let Some((_, payload)) = begun.take() {
                accepted.push(match kind {
                    MessageKind::Text => Seen::Text(String::from_utf8(payload).expect("ASCII")),
                    MessageKind::Binary => Seen::Binary(payload),
                });
            }
        }
        Err(_) => assert!(wrong || pair.ends[i].endpoint.connection.state() != State::Open),
    }
}

fn messages(seen: &[Seen]) -> Vec<Seen> {
    seen.iter().filter(|seen| matches!(seen, Seen::Text(_) | Seen::Binary(_))).cloned().collect()
}

/// Closes, if nobody has, and checks that the end is clean.
fn finish(pair: &mut Pair) {
    let _ = pair.ends[0].endpoint.connection.close(
        CloseCode::NORMAL,
        "",
        &mut crate::random::Keys::new(1),
        wirelet_proto::Instant::from_millis(pair.now()),
    );
    pair.drive(pair.now() + 2);
    assert!(pair.is_over(), "{:?}", [pair.ends[0].endpoint.closed, pair.ends[1].endpoint.closed]);
    for end in &pair.ends {
        let info = end.endpoint.connection.close_info();
        assert!(info.is_clean() && end.expired.is_empty(), "{info:?} {:?}", end.expired);
    }
}

/// The seeds of `target`, by name.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(seeds_dir(target))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_string_lossy().into(), std::fs::read(entry.path()).ok()?))
        })
        .collect();
    seeds.sort();
    seeds
}

/// Where the seeds of `target` are checked in.
pub fn seeds_dir(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "fuzz", "seeds", target].iter().collect()
}
