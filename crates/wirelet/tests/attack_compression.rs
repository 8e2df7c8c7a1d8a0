//! Compressed messages that cost more than they should, or that are none: bombs, blocks of nothing, data that is cut off.
//! Class G.

#![cfg(feature = "deflate")]

mod hostile;
mod zlib;

use hostile::*;
use wirelet::server::{Router, ws};
use wirelet::{Compression, Delivery, Error, Keepalive, Limits, WebSocket};

/// The limit on a message, bytes.
const MESSAGE: u64 = 32 * 1024;
/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;
const EXTENSION: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

async fn echo_chunks(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(chunk) = socket.recv_chunk().await? {
        if chunk.first {
            socket.send("begun").await?;
        }
        if chunk.last {
            socket.send(format!("{}", chunk.offset + chunk.data.len() as u64)).await?;
        }
    }
    Ok(())
}

/// An echo with nothing of its own at `/ws`, with a context of its own at `/own`; what answers how long messages were
/// at `/chunks`. Each has compressed and decompressed something.
fn site(limits: Limits) -> Site {
    let own = limits.clone();
    let routes = move || {
        let chunks = ws(|socket, _| echo_chunks(socket)).delivery(Delivery::Chunks);
        let own = ws(echo).limits(own).compression(Compression::dedicated(15));
        Router::new().ws("/ws", ws(echo)).ws("/own", own).ws("/chunks", chunks)
    };
    let site = Site::start(routes, move |server| {
        server.limits(limits).compression(Compression::shared()).keepalive(Keepalive::off())
    });
    let text = "compressible ".repeat(50);
    for _ in 0..20 {
        let mut peer = open(&site, "/ws");
        peer.send(&frame(TEXT | COMPRESSED, &zlib::message(text.as_bytes())));
        let (first, payload) = peer.frame();
        assert_eq!(first, TEXT | COMPRESSED);
        assert_eq!(zlib::inflated(&mut zlib_rs::Inflate::new(false, 15), &payload), text.as_bytes());
        peer.close();
    }
    let mut peer = open(&site, "/chunks");
    peer.send(&frame(TEXT | COMPRESSED, &zlib::message(text.as_bytes())));
    assert_eq!(peer.frame(), (TEXT, b"begun".to_vec()));
    assert_eq!(peer.frame(), (TEXT, b"650".to_vec()));
    peer.close();
    site.wait_for_count(0);
    site
}

fn limits() -> Limits {
    Limits { message: MESSAGE, ..Limits::new() }
}

fn open(site: &Site, target: &str) -> Peer {
    let mut peer = site.connect();
    peer.send(upgrade_request(target, EXTENSION).as_bytes());
    let (status, head, _) = peer.response();
    assert!(status == 101 && head.contains("permessage-deflate"), "{head}");
    peer
}

/// What a connection with a context of its own takes besides, bytes.
const OWN: usize = 512 * 1024;

/// The attack at each of `targets`, 100 echoes meanwhile; the server answers with `code`, and its memory stays flat.
fn expect(site: &Site, targets: &[&str], what: &str, wire: &[u8], code: u16) {
    let mut good = site.open();
    for target in targets {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = open(site, target);
            let _ = attacker.try_send(wire);
            assert_eq!(attacker.close_code(), code, "{what} at {target}");
        });
        let own = if *target == "/own" { 4 * OWN } else { 0 };
        site.assert_peak(start, WORKING + 4 * CONNECTION + own);
        if own == 0 {
            site.assert_largest_is_a_block();
        }
    }
}

const ALL: [&str; 3] = ["/ws", "/own", "/chunks"];

/// As pieces of `len` bytes, each a fragment, a ping between each two.
fn in_fragments(first: u8, payload: &[u8], len: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let count = payload.chunks(len).count();
    for (n, piece) in payload.chunks(len).enumerate() {
        let opcode = if n == 0 { first & 0x4f } else { 0 };
        let fin = if n + 1 == count { 0x80 } else { 0 };
        wire.extend(frame(opcode | fin, piece));
        if n % 100 == 0 {
            wire.extend(frame(PING, b"between"));
        }
    }
    wire
}

#[test]
fn a_bomb_ends_in_1009_at_the_limit_and_in_flat_memory() {
    let site = site(limits());
    // 32 MB of zeros in 32 KB.
    let bomb = zlib::zeros(32);
    assert!(bomb.len() < 34_000, "{}", bomb.len());
    expect(&site, &ALL, "a bomb", &frame(BINARY | COMPRESSED, &bomb), 1009);
    expect(&site, &ALL, "a bomb in fragments", &in_fragments(BINARY | COMPRESSED, &bomb, 50), 1009);
}

/// With the default limits: what is on the wire is collected, at most 9/8 of the limit, and what comes out ends at the limit.
/// Either is held twice while its memory grows.
#[test]
fn a_megabyte_that_would_be_a_gigabyte_ends_in_1009() {
    let limit = 1 << 20;
    let site = site(Limits::new());
    let bomb = zlib::zeros(1024);
    assert!((1 << 20..1_100_000).contains(&bomb.len()), "{}", bomb.len());
    let mut good = site.open();
    for target in ALL {
        let start = site.zone.mark();
        echoes_during(&mut good, || {
            let mut attacker = open(&site, target);
            let _ = attacker.try_send(&frame(BINARY | COMPRESSED, &bomb));
            assert_eq!(attacker.close_code(), 1009, "{target}");
        });
        let own = if target == "/own" { 4 * OWN } else { 0 };
        site.assert_peak(start, WORKING + 4 * CONNECTION + own + 3 * limit * 9 / 8 + 3 * limit);
    }
}

/// A bomb that has been packed again: what comes out of it is a bomb, which nobody unpacks.
#[test]
fn nested_bombs_are_unpacked_once() {
    let site = site(limits());
    let inner = zlib::zeros(16);
    let outer = zlib::message(&inner);
    for target in ["/ws", "/own"] {
        let mut peer = open(&site, target);
        peer.send(&frame(BINARY | COMPRESSED, &outer));
        let (first, payload) = peer.frame();
        assert_eq!(first, BINARY | COMPRESSED);
        assert!(zlib::inflated(&mut zlib_rs::Inflate::new(false, 15), &payload) == inner);
        peer.close();
    }
}

#[test]
fn the_limit_holds_for_what_comes_out_to_the_byte() {
    let site = site(limits());
    for target in ["/ws", "/own"] {
        let mut peer = open(&site, target);
        let whole = vec![7; MESSAGE as usize];
        peer.send(&frame(BINARY | COMPRESSED, &zlib::message(&whole)));
        let (_, payload) = peer.frame();
        assert!(zlib::inflated(&mut zlib_rs::Inflate::new(false, 15), &payload) == whole);
        peer.send(&frame(BINARY | COMPRESSED, &zlib::message(&vec![7; MESSAGE as usize + 1])));
        assert_eq!(peer.close_code(), 1009);
    }
}

/// Blocks and streams of nothing: as many as the limit on the wire allows make an empty message, more are refused.
#[test]
fn blocks_of_nothing_are_nothing_and_end_in_1009_when_there_are_too_many() {
    let site = site(limits());
    for block in [&[0x00, 0x00, 0x00, 0xff, 0xff][..], &[0x01, 0x00, 0x00, 0xff, 0xff], &[0x03, 0x00]] {
        let some = [&block.repeat(MESSAGE as usize / block.len())[..], &[0]].concat();
        for target in ALL {
            let start = site.zone.mark();
            let mut peer = open(&site, target);
            peer.send(&frame(BINARY | COMPRESSED, &some));
            let answers: &[(u8, &[u8])] =
                if target == "/chunks" { &[(TEXT, b"begun"), (TEXT, b"0")] } else { &[(BINARY, b"")] };
            for (first, payload) in answers {
                assert_eq!(peer.frame(), (*first, payload.to_vec()), "{block:x?} at {target}");
            }
            peer.close();
            site.wait_for_count(0);
            site.assert_peak(start, WORKING + 4 * CONNECTION + if target == "/own" { OWN } else { 0 });
        }
        let many = block.repeat(200_000 / block.len());
        expect(&site, &ALL, "blocks of nothing", &frame(BINARY | COMPRESSED, &many), 1009);
        expect(&site, &ALL, "the same in fragments", &in_fragments(BINARY | COMPRESSED, &many, 100), 1009);
    }
}

#[test]
fn what_is_corrupt_or_cut_off_ends_in_1007() {
    let site = site(limits());
    let hello = zlib::message(b"Hello, hello, hello");
    let mut state = 7_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(5000)
    .collect();
    for (what, payload) in [
        ("noise", &noise[..]),
        ("a reserved type of block", &[0x07]),
        ("a message that is cut off", &hello[..hello.len() - 1]),
        (
            "trailing data behind the last block",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff, 0xff, 0xff],
        ),
        ("lengths that contradict each other", &[0x00, 0x05, 0x00, 0xfb, 0xff, 0x48]),
        ("a distance beyond the beginning", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
    ] {
        expect(&site, &ALL, what, &frame(BINARY | COMPRESSED, payload), 1007);
    }
    let text = zlib::message(b"not \xff UTF-8");
    expect(&site, &ALL, "text that is none", &frame(TEXT | COMPRESSED, &text), 1007);
    // Part of a character at the end.
    let text = zlib::message(b"caf\xc3");
    expect(&site, &ALL, "half a character", &frame(TEXT | COMPRESSED, &text), 1007);
}

#[test]
fn the_bit_stands_where_it_may_and_only_where_it_was_agreed_on() {
    let site = site(limits());
    let hello = zlib::message(b"Hello");
    let (begin, end) = hello.split_at(3);
    let twice = [frame(0x01 | COMPRESSED, begin), frame(0x80 | COMPRESSED, end)].concat();
    expect(&site, &ALL, "the bit on a continuation", &twice, 1002);
    expect(&site, &ALL, "the bit on a ping", &frame(PING | COMPRESSED, b""), 1002);
    let mut peer = site.open();
    peer.send(&frame(TEXT | COMPRESSED, &hello));
    assert_eq!(peer.close_code(), 1002);
}

/// A message that refers to the one before, where it was agreed that none does.
#[test]
fn a_context_that_was_not_agreed_on_is_not_there() {
    let site = site(limits());
    let mut deflate = zlib_rs::Deflate::new(6, false, 15);
    let text = b"some text that comes twice: the second time it is a distance";
    let messages = [zlib::deflated(&mut deflate, text, true), zlib::deflated(&mut deflate, text, true)];
    let wire = messages.map(|message| frame(TEXT | COMPRESSED, &message)).concat();
    let mut own = open(&site, "/own");
    own.send(&wire);
    assert_eq!((own.frame().0, own.frame().0), (TEXT, TEXT));
    own.close();
    expect(&site, &["/ws", "/chunks"], "a context that is not there", &wire, 1007);
}

/// More connections than there are decompressors have each begun a message that is delivered in chunks: the others wait their
/// turn, and get it when a message ends, a connection breaks, or a deadline passes. Whole messages are nobody's concern.
#[test]
fn decompressors_for_chunks_are_lent_in_turn() {
    const LENT: usize = 64;
    let site = site(limits());
    let mut good = open(&site, "/ws");
    let text = "to be continued, ".repeat(40);
    let message = zlib::message(text.as_bytes());
    let (begin, end) = message.split_at(message.len() / 2);
    let mut peers: Vec<Peer> = (0..LENT)
        .map(|_| {
            let mut peer = open(&site, "/chunks");
            peer.send(&frame(0x01 | COMPRESSED, begin));
            assert_eq!(peer.frame(), (TEXT, b"begun".to_vec()));
            peer
        })
        .collect();
    let start = site.zone.mark();
    let mut late: Vec<Peer> = (0..10)
        .map(|_| {
            let mut peer = open(&site, "/chunks");
            peer.send(&frame(TEXT | COMPRESSED, &message));
            peer
        })
        .collect();
    good.send(&frame(TEXT | COMPRESSED, &message));
    assert_eq!(good.frame().0, TEXT | COMPRESSED);
    // Nothing is decompressed for those that wait.
    site.assert_peak(start, WORKING + 14 * CONNECTION);
    for peer in &late {
        peer.stream.set_nonblocking(true).unwrap();
        assert!(peer.stream.peek(&mut [0]).is_err());
        peer.stream.set_nonblocking(false).unwrap();
    }
    // One message ends, one connection breaks, one is closed.
    peers[0].send(&frame(0x80, end));
    assert_eq!(peers[0].frame(), (TEXT, format!("{}", text.len()).into_bytes()));
    peers.pop().unwrap().reset();
    peers.pop().unwrap().close();
    for peer in &mut late {
        assert_eq!(peer.frame(), (TEXT, b"begun".to_vec()));
        assert_eq!(peer.frame(), (TEXT, format!("{}", text.len()).into_bytes()));
    }
    for mut peer in peers.drain(1..) {
        peer.send(&frame(0x80, end));
        assert_eq!(peer.frame(), (TEXT, format!("{}", text.len()).into_bytes()));
    }
}
