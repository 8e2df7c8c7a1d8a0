//! The core's operations, each as often as `REPEATED` says, for callgrind to count: it collects inside of `counted` alone, and
//! writes down what it has at the end of `dump`. Prints the name of each operation, in the order of the dumps.

use std::hint::black_box;

use wirelet::proto::handshake::{
    AcceptOptions, Answer, ClientHandshake, HeadLimits, HeadScanner, RequestHead, RequestOptions,
    UpgradeRequest, Uri, accept_key,
};
use wirelet::proto::{
    Config, Connection, Event, Fixed, Instant, MaskKeys, MessageKind, NoKeys, RecvBuffer, Role, Status,
    Utf8Validator, kernels,
};

/// How often each operation is counted. `run.py` knows it from the first line that is printed.
const REPEATED: usize = 50;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SMALL: usize = 20;
const MEDIUM: usize = 512;
const LARGE: usize = 64 * 1024;

fn main() {
    println!("{REPEATED}");
    // What counting itself costs: `run.py` takes it off from the others.
    count("nothing", &mut (), |_| {}, |_| true);
    for len in [SMALL, MEDIUM, LARGE] {
        decode(&format!("decode.{len}"), MessageKind::Binary, &letters(len));
    }
    decode("decode.text.512", MessageKind::Text, &letters(MEDIUM));
    decode("decode.cjk.512", MessageKind::Text, &cjk(MEDIUM));
    for len in [SMALL, MEDIUM, LARGE] {
        encode(&format!("encode.server.{len}"), Role::Server, &letters(len));
        encode(&format!("encode.client.{len}"), Role::Client, &letters(len));
    }
    for len in [SMALL, MEDIUM, LARGE] {
        unmask(&format!("unmask.{len}"), &letters(len));
    }
    for len in [SMALL, MEDIUM, LARGE] {
        validate(&format!("utf8.ascii.{len}"), &letters(len));
        validate(&format!("utf8.cjk.{len}"), &cjk(len));
    }
    server_handshake("handshake.server", PLAIN);
    server_handshake("handshake.server.browser", BROWSER);
    client_handshake("handshake.client");
}

/// Counts one operation. What `prepare` does is not counted; `operation` answers whether it came to what it should.
fn count<S>(name: &str, state: &mut S, prepare: impl Fn(&mut S), mut operation: impl FnMut(&mut S) -> bool) {
    println!("{name}");
    // Before anything is kept, each path has been taken once: what the processor has is asked for once.
    for times in [1, REPEATED] {
        for _ in 0..times {
            prepare(state);
            let good = counted(&mut || operation(state));
            assert!(good, "{name}");
        }
        dump();
    }
}

#[inline(never)]
fn counted(operation: &mut dyn FnMut() -> bool) -> bool {
    black_box(operation)()
}

#[inline(never)]
fn dump() {
    black_box(());
}

/// A masked message, which stands in the buffer: it is taken in, looked at, and released.
fn decode(name: &str, kind: MessageKind, payload: &[u8]) {
    let now = Instant::from_millis(1);
    let config = Config::new();
    let mut memory = vec![0; payload.len() + 1024];
    let wire = frame(Role::Client, kind, payload);
    let core = Connection::new(Role::Server, &config, now);
    let rx = RecvBuffer::new(Fixed::new(&mut memory[..]));
    let prepare = |(_, rx): &mut (_, RecvBuffer<Fixed<&mut [u8]>>)| {
        rx.spare_mut()[..wire.len()].copy_from_slice(&wire);
    };
    count(name, &mut (core, rx), prepare, |(core, rx)| {
        rx.commit(wire.len());
        let Ok(Status::Ready(_)) = core.advance(rx, &mut NoKeys, now) else { return false };
        let arrived = match core.event(rx) {
            Event::Text(text) => black_box(text).len(),
            Event::Binary(data) => black_box(data).len(),
            _ => return false,
        };
        arrived == payload.len() && matches!(core.advance(rx, &mut NoKeys, now), Ok(Status::NeedInput))
    });
}

/// A message is put where it leaves: its header, and its payload, which a client masks.
fn encode(name: &str, role: Role, payload: &[u8]) {
    let now = Instant::from_millis(1);
    let config = Config::new();
    let core = Connection::new(role, &config, now);
    let wanted = frame(role, MessageKind::Binary, payload);
    let mut state = (core, vec![0; wanted.len()]);
    count(
        name,
        &mut state,
        |_| {},
        |(core, out)| {
            let head = core.begin_frame(MessageKind::Binary, payload.len() as u64, true, &mut Fresh);
            let Ok(head) = head else { return false };
            let (front, rest) = black_box(&mut out[..]).split_at_mut(head.len());
            front.copy_from_slice(&head);
            let len = head.len() + core.copy_masked(payload, rest);
            core.sent(len, 0, now);
            len == wanted.len()
        },
    );
    assert!(state.1 == wanted, "{name}");
}

fn unmask(name: &str, payload: &[u8]) {
    let mut masked = payload.to_vec();
    kernels::unmask(&mut masked, KEY);
    let prepare = |data: &mut Vec<u8>| data.copy_from_slice(&masked);
    let mut data = masked.clone();
    count(name, &mut data, prepare, |data| kernels::unmask(black_box(data), KEY));
    assert!(data == payload, "{name}");
}

fn validate(name: &str, text: &[u8]) {
    count(
        name,
        &mut (),
        |_| {},
        |_| {
            let mut validator = Utf8Validator::new();
            validator.push(black_box(text)).is_ok() && validator.is_complete()
        },
    );
}

const PLAIN: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What Chromium sends.
const BROWSER: &[u8] = b"GET /chat?room=7 HTTP/1.1\r\nHost: server.example.com:8080\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://server.example.com:8080\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// A request, which has arrived as a whole, is parsed and verified, and its answer written.
fn server_handshake(name: &str, request: &[u8]) {
    let limits = HeadLimits::default();
    count(
        name,
        &mut [0; 512],
        |_| {},
        |out| {
            let received = black_box(request);
            let Ok(Some(len)) = HeadScanner::new().scan(received, &limits) else { return false };
            let Ok(request) = RequestHead::parse(received).and_then(UpgradeRequest::verify) else {
                return false;
            };
            let Ok(written) = request.accept(&AcceptOptions::default(), black_box(out)) else { return false };
            len == received.len() && out[..written].starts_with(b"HTTP/1.1 101 ")
        },
    );
}

/// A URI is parsed, a request written, and the answer to it verified.
fn client_handshake(name: &str) {
    let limits = HeadLimits::default();
    let nonce = *b"the sample nonce"; // RFC 6455 1.3
    let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
    let mut answer = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        &accept[..],
        b"\r\n\r\n",
    ]
    .concat();
    count(
        name,
        &mut [0; 512],
        |_| {},
        |out| {
            let Ok(uri) = Uri::parse(black_box("ws://server.example.com:8080/chat")) else { return false };
            let mut handshake = ClientHandshake::new(black_box(nonce), RequestOptions::from_uri(&uri));
            let Ok(written) = handshake.write_request(black_box(out)) else { return false };
            black_box(&out[..written]);
            let len = answer.len();
            match handshake.read_response(black_box(&mut answer), &limits) {
                Ok(Some(Answer::Accepted(accepted))) => accepted.len() == len,
                _ => false,
            }
        },
    );
}

/// A source of masking keys that is none: it is the same key each time.
struct Fresh;

impl MaskKeys for Fresh {
    fn next_key(&mut self) -> [u8; 4] {
        KEY
    }
}

/// A frame as it is on the wire (RFC 6455 5.2), without the code that is counted.
fn frame(role: Role, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
    let masked = if role == Role::Client { 0x80 } else { 0 };
    let mut wire = vec![if kind == MessageKind::Text { 0x81 } else { 0x82 }];
    match payload.len() {
        len @ ..126 => wire.push(masked | len as u8),
        len @ 126..65_536 => {
            wire.push(masked | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        len => {
            wire.push(masked | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    if role == Role::Client {
        wire.extend(KEY);
        wire.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        wire.extend(payload);
    }
    wire
}

fn letters(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

/// Characters of three bytes, and letters up to the length.
fn cjk(len: usize) -> Vec<u8> {
    let mut text: Vec<u8> = "日本語".bytes().cycle().take(len / 3 * 3).collect();
    text.extend(letters(len % 3));
    text
}
