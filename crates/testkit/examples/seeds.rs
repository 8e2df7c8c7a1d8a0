//! Writes the fuzz targets' seeds from the vectors: `cargo run -p testkit --example seeds`.

use std::fs;

use testkit::deflate::{Messages, Zlib, compress, deflater};
use testkit::fuzz::{DEFLATE_HEAD, seeds_dir};
use testkit::offers::offers;
use testkit::random::{Rng, stream};
use testkit::telemetry::{Device, KINDS};
use testkit::vectors::{NOT_UTF8, illegal_headers, legal_streams, rfc_examples};
use testkit::wire::{Frame, peer};
use wirelet_proto::deflate::Window;
use wirelet_proto::{Flush, Role};

fn main() -> std::io::Result<()> {
    for (target, role) in [("frames_server", Role::Server), ("frames_client", Role::Client)] {
        write(target, frames(role))?;
    }
    let closes = [0, 999, 1000, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535];
    let mut payloads: Vec<Vec<u8>> =
        closes.iter().map(|code| [&u16::to_be_bytes(*code)[..], "går 😀".as_bytes()].concat()).collect();
    payloads.extend([vec![], vec![3], vec![3, 232], vec![3, 232, 0xff], [3, 232].repeat(62)]);
    write("close_payload", payloads)?;
    write("server_handshake", requests())?;
    write("client_handshake", responses())?;
    write("header_lists", LISTS.iter().map(|list| list.as_bytes().to_vec()))?;
    write("negotiation", (0..24).map(negotiation))?;
    write("deflate", (0..12).map(to_deflate))?;
    write("inflate", (0..16).map(to_inflate))?;
    write("server_inflate", (0..12).map(to_inflate_at_once))?;
    write("pair", (0..24).map(|seed| Rng::new(seed).bytes(8 + 4 * seed as usize)))
}

/// Streams behind the bytes that choose limits, buffer and pieces.
fn frames(role: Role) -> Vec<Vec<u8>> {
    let sender = peer(role);
    let mut streams: Vec<Vec<u8>> = legal_streams(sender).into_iter().map(|(_, wire)| wire).collect();
    streams.extend(illegal_headers(sender).into_iter().step_by(5).map(|(wire, _)| wire));
    streams.extend(NOT_UTF8.iter().step_by(3).map(|(text, _)| Frame::text(text).from(sender).bytes()));
    streams.extend(
        rfc_examples().into_iter().filter(|(by, wire, _)| *by == sender && wire.len() < 300).map(|e| e.1),
    );
    streams.extend((0..8).map(|seed| stream(&mut Rng::new(seed), sender)).filter(|wire| wire.len() < 4096));
    let heads = [[0, 0, 255, 255, 255], [1, 0, 0, 0, 0], [0, 100, 6, 0, 20], [3, 200, 1, 2, 3]];
    streams.into_iter().zip(heads.iter().cycle()).map(|(wire, head)| [&head[..], &wire].concat()).collect()
}

const REQUEST: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Version: 13\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

const LISTS: &[&str] = &[
    "chat, superchat",
    "permessage-deflate; client_max_window_bits=\"15\", foo; a=b",
    "x; y=\"\\a\\b\"",
    ",, ,",
    "\"",
    "a;b=\"c",
    "keep-alive, Upgrade",
    "WebSocket",
    "[::1]:8080",
    "https://example.com:443",
    "ws://user@example.com:81/path?query",
    "wss://[2001:db8::1]/",
    "ws://h?q",
];

/// Offers behind the bytes that choose settings.
fn negotiation(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut input = rng.bytes(3);
    input.extend(offers(&mut rng).bytes());
    input
}

/// Messages behind the bytes that choose window, memory and pieces.
fn to_deflate(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut device = Device::new(KINDS[seed as usize % KINDS.len()], 250, seed);
    let mut input = rng.bytes(DEFLATE_HEAD);
    for _ in 0..3 {
        input.extend(device.message().bytes());
        input.push(b'\n');
    }
    input.extend(Messages::new(seed).message().iter().take(1000));
    input
}

/// Two compressed messages behind the bytes that choose window and pieces.
fn to_inflate(seed: u64) -> Vec<u8> {
    const HELLO: [&[u8]; 4] = [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ];
    let mut rng = Rng::new(seed);
    let mut head = rng.bytes(DEFLATE_HEAD);
    if let Some(hello) = HELLO.get(seed as usize) {
        return [&head, *hello].concat();
    }
    let window = Window::kept(8 + (head[0] & 7) % 5);
    head[0] = (window.bits - 8) | 8;
    let (mut deflater, mut device) = (deflater(window), Device::new(KINDS[seed as usize % 4], 700, seed));
    let mut message =
        || compress(&mut deflater, device.message().as_bytes(), Flush::Message, &[usize::MAX], &[1 << 12]);
    let (first, second) = (message(), message());
    // The first of the two as the target cuts them.
    let len = first.len() + second.len();
    head[1] = (first.len() * 255).div_ceil(len) as u8;
    [head, first, second].concat()
}

/// Two messages that zlib has compressed, behind the length of the first.
fn to_inflate_at_once(seed: u64) -> Vec<u8> {
    let (mut zlib, mut device) =
        (Zlib::new(Window::fresh(15)), Device::new(KINDS[seed as usize % 4], 300, seed));
    let (first, second) =
        (zlib.message(&device.message().as_bytes()[..20]), zlib.message(device.message().as_bytes()));
    [&[first.len() as u8], &first[..], &second[..]].concat()
}

/// Requests behind the size of the pieces.
fn requests() -> Vec<Vec<u8>> {
    let changes = [
        ("", ""),
        ("GET", "POST"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("/chat?x=1", "http://other:81/"),
        ("websocket", "h2c, WebSocket"),
        ("Version: 13", "Version: 8"),
        ("dGhl", "dGh"),
        ("Host:", "Hos:"),
        ("Origin: http", "Origin: https"),
        ("chat, superchat", "chat, chat"),
        ("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello"),
        ("\r\n\r\n", ""),
    ];
    heads(REQUEST, &changes)
}

/// Responses behind the size of the pieces.
fn responses() -> Vec<Vec<u8>> {
    let changes = [
        ("", ""),
        ("101 Switching Protocols", "401 Unauthorized"),
        ("101 Switching Protocols", "301 Moved\r\nLocation: /x\r\nContent-Length: 3"),
        ("HTTP/1.1 101", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101"),
        ("xOo=", "xOo"),
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""),
        ("Protocol: chat", "Protocol: other"),
        ("Protocol: chat", "Extensions: permessage-deflate"),
        ("\r\nConnection", "\t \r\nConnection"),
        ("Upgrade: websocket\r\n", ""),
        ("101 Switching Protocols", "503 x\r\nTransfer-Encoding: chunked"),
    ];
    heads(RESPONSE, &changes)
}

fn heads(usual: &str, changes: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let head = |(size, (from, to)): (usize, &(&str, &str))| {
        [&[(size * 37) as u8][..], usual.replacen(from, to, 1).as_bytes()].concat()
    };
    changes.iter().enumerate().map(head).collect()
}

fn write(target: &str, seeds: impl IntoIterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let dir = seeds_dir(target);
    fs::create_dir_all(&dir)?;
    for (i, seed) in seeds.into_iter().enumerate() {
        fs::write(dir.join(format!("{i:02}")), seed)?;
    }
    Ok(())
}
