//! permessage-deflate between our own endpoints and with hand-made peers.

#![cfg(feature = "deflate")]

mod peer;
mod zlib;

use std::sync::Arc;

use peer::*;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use wirelet::client::{Client, ConnectError};
use wirelet::proto::deflate::{Params, Window};
use wirelet::proto::{CloseCode, Extensions, Limits, Upgraded};
use wirelet::server::{Router, Server, ServerHandle, ws};
use wirelet::{Compress, Compression, Config, Delivery, Error, Message, Role, WebSocket};
use zlib_rs::{Deflate, Inflate};

/// Something of about `len` bytes as JSON is, another one for each `n`.
fn json(n: usize, len: usize) -> String {
    let mut text = format!("{{\"id\":{n},\"readings\":[");
    let mut at = n;
    while text.len() < len {
        at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % 1_000_003;
        text.push_str(&format!("{{\"sensor\":\"s{}\",\"value\":{}.{}}},", at % 7, at % 97, at % 10));
    }
    text + "]}"
}

async fn echo(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

const MODES: [Compression; 5] = [
    Compression::shared(),
    Compression::windowed(1024),
    Compression::windowed(4096).window_bits(9),
    Compression::dedicated(15),
    Compression::dedicated(9).memory_level(1).level(1),
];

/// A server that echoes, with `compression`; ends with the handle.
async fn serve(compression: Compression, change: impl FnOnce(Server) -> Server) -> (String, ServerHandle) {
    let server = change(Server::bind("127.0.0.1:0").await.unwrap().compression(compression));
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    tokio::spawn(server.serve(Router::new().ws("/", ws(|socket, _| echo(socket)))));
    (format!("ws://{address}/"), handle)
}

/// Messages of many lengths, and compressible or not.
fn messages() -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for (n, len) in
        [0, 1, 20, 127, 128, 129, 1000, 1000, 1000, 5000, 20_000, 70_000, 300_000].into_iter().enumerate()
    {
        all.push(json(n, len).into());
        all.push(vec![n as u8; len].into());
        let mut state = n as u32 + 1;
        let noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        all.push((0..len).map(noise).collect::<Vec<u8>>().into());
    }
    all
}

#[tokio::test]
async fn clients_and_servers_of_every_kind_understand_each_other() {
    for server_side in MODES.into_iter().chain([Compression::off()]) {
        let (url, handle) = serve(server_side, |server| server).await;
        for client_side in MODES.into_iter().chain([Compression::off()]) {
            let builder = Client::builder(&url).compression(client_side);
            let (mut socket, response) = builder.connect_once().await.unwrap();
            let both = client_side != Compression::off() && server_side != Compression::off();
            assert_eq!(socket.compression().is_some(), both);
            assert_eq!(response.headers.contains_key("sec-websocket-extensions"), both);
            for message in messages() {
                socket.send(message.clone()).await.unwrap();
                let back = socket.recv().await.unwrap();
                assert!(back == Some(message), "{client_side:?} with {server_side:?}");
            }
            if let Some(info) = socket.compression() {
                let plain: usize = messages().iter().map(Message::len).sum();
                assert_eq!((info.sent.plain, info.received.plain), (plain as u64, plain as u64));
                for volume in [info.sent, info.received] {
                    assert!(volume.ratio().unwrap() > 2.0, "{client_side:?} with {server_side:?}: {info:?}");
                }
            }
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        }
        handle.stop();
    }
}

/// A server's connection over a pipe, as `compression` wants it, and the client's end.
fn over_pipe(compression: Compression, config: Config) -> (WebSocket, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let settings = compression.settings().unwrap();
    let params = Params { server: settings.outgoing, client: settings.incoming };
    let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
    let config = Arc::new(config);
    (WebSocket::with_compression(near, Role::Server, config, upgraded, &compression, &[]), far)
}

const COMPRESSED: u8 = 0x40;

/// What a client's offer makes of a server, over a socket: the answer's extension, and what comes back for three
/// messages that are compressed as it allows.
async fn dialogue(url: &str, offer: &str) -> Option<String> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    let more = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    write(&mut stream, upgrade_request("/", &more).as_bytes()).await;
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let Some(answer) = answer.map(str::to_owned) else {
        write(&mut stream, &client_frame(TEXT, b"plain")).await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"plain".to_vec()));
        return None;
    };
    let bits = |name: &str| {
        let value = answer.split("; ").find_map(|param| param.strip_prefix(name)?.strip_prefix('='));
        value.map_or(15, |value| value.parse().unwrap())
    };
    let keeps = |name: &str| !answer.split("; ").any(|param| param == name);
    // zlib has no window of 256 bytes: then it refers to nothing at all.
    let client_bits = bits("client_max_window_bits");
    let mut deflate = Deflate::new(if client_bits == 8 { 0 } else { 6 }, false, client_bits.max(9));
    // The window is exactly the one that was agreed on: a longer distance is an error of the test's.
    let mut inflate = Inflate::new(false, bits("server_max_window_bits"));
    for n in 0..3 {
        if !keeps("client_no_context_takeover") {
            deflate.reset();
        }
        let text = json(n, 3000);
        let message = zlib::deflated(&mut deflate, text.as_bytes(), true);
        write(&mut stream, &client_frame(TEXT | COMPRESSED, &message)).await;
        let (first, payload) = read_frame(&mut stream).await.unwrap();
        assert_eq!(first, TEXT | COMPRESSED, "{answer}");
        if !keeps("server_no_context_takeover") {
            inflate = Inflate::new(false, bits("server_max_window_bits"));
        }
        assert_eq!(zlib::inflated(&mut inflate, &payload), text.as_bytes(), "{answer}");
    }
    Some(answer)
}

#[tokio::test]
async fn every_legal_offer_is_met_or_declined_and_what_was_agreed_on_is_kept() {
    let bits = |name: &str, open: bool| -> Vec<String> {
        let limits = (8..=15).map(|bits| format!("; {name}={bits}"));
        limits.chain(open.then(|| format!("; {name}"))).chain([String::new()]).collect()
    };
    for compression in [Compression::shared(), Compression::windowed(2048), Compression::dedicated(12)] {
        let (url, handle) = serve(compression, |server| server).await;
        for server_bits in bits("server_max_window_bits", false) {
            for client_bits in bits("client_max_window_bits", true) {
                for flags in [
                    "",
                    "; server_no_context_takeover",
                    "; client_no_context_takeover",
                    "; server_no_context_takeover; client_no_context_takeover",
                ] {
                    let offer = format!("permessage-deflate{flags}{server_bits}{client_bits}");
                    let answer = dialogue(&url, &offer).await;
                    // A window of 256 bytes cannot be compressed with; that of a client is no concern of ours.
                    assert_eq!(answer.is_none(), server_bits.ends_with("=8"), "{offer}: {answer:?}");
                }
            }
        }
        let fallback = "permessage-deflate; server_max_window_bits=8, x-other, permessage-deflate; server_max_window_bits=10";
        assert!(dialogue(&url, fallback).await.unwrap().contains("server_max_window_bits=10"));
        for bad in ["permessage-deflate; x=1", "permessage-deflate; server_max_window_bits=7", "deflate"] {
            assert_eq!(dialogue(&url, bad).await, None);
        }
        handle.stop();
    }
}

#[tokio::test]
async fn a_client_fails_an_answer_that_it_did_not_ask_for() {
    for (answer, accepted) in [
        ("permessage-deflate; server_no_context_takeover", true),
        ("permessage-deflate; server_no_context_takeover; client_max_window_bits=8", true),
        // It has demanded that the server keeps no context.
        ("permessage-deflate", false),
        ("permessage-deflate; server_no_context_takeover; client_max_window_bits", false),
        ("permessage-deflate; server_no_context_takeover; x", false),
        ("x-other", false),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await.unwrap();
            assert!(head.contains("permessage-deflate; server_no_context_takeover"), "{head}");
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = wirelet::proto::handshake::accept_key(key.as_bytes());
            let accept = std::str::from_utf8(&accept).unwrap();
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n"
            );
            write(&mut stream, response.as_bytes()).await;
            let _ = read_all(&mut stream).await;
        });
        let builder = Client::builder(&url).compression(Compression::shared());
        match builder.connect_once().await {
            Ok((mut socket, _)) => {
                assert!(accepted, "{answer}");
                // A server that wants a window of 256 bytes gets what is not compressed.
                socket.send(json(1, 1000)).await.unwrap();
                let sent = socket.compression().unwrap().sent;
                assert_eq!(sent.wire < sent.plain, !answer.contains("=8"), "{answer}: {sent:?}");
            }
            Err(ConnectError::Handshake { .. }) => assert!(!accepted, "{answer}"),
            Err(error) => panic!("{answer}: {error}"),
        }
        server.await.unwrap();
    }
}

#[tokio::test]
async fn fragments_are_compressed_and_control_frames_go_between() {
    for compression in MODES {
        let (mut server, mut far) = over_pipe(compression, Config::new());
        let takeover = compression.settings().unwrap().outgoing.takeover;
        let mut inflate = Inflate::new(false, 15);
        for round in 0..3 {
            let (text, tail) = (json(round, 2000), json(round + 100, 100));
            let mut fragments = server.text_fragments();
            fragments.write(&text).await.unwrap();
            fragments.write("").await.unwrap();
            fragments.write(&tail).await.unwrap();
            write(&mut far, &client_frame(PING, b"between")).await;
            fragments.finish(if round == 1 { "" } else { "end" }).await.unwrap();
            let mut receive = Box::pin(server.recv());
            assert!(futures_util::poll!(&mut receive).is_pending());
            drop(receive);
            let mut joined = Vec::new();
            let mut firsts = Vec::new();
            loop {
                let (first, payload) = read_frame(&mut far).await.unwrap();
                if first == PONG {
                    continue;
                }
                firsts.push(first);
                // What has been sent so far can be read so far.
                joined.extend(payload);
                if first & 0x80 != 0 {
                    break;
                }
                assert!(joined.is_empty() || joined.ends_with(&zlib::TAIL), "{compression:?}");
            }
            assert_eq!(firsts, [0x01 | COMPRESSED, 0, 0, 0x80]);
            if !takeover {
                inflate.reset(false);
            }
            let end = if round == 1 { "" } else { "end" };
            assert_eq!(zlib::inflated(&mut inflate, &joined), format!("{text}{tail}{end}").as_bytes());
            assert!(joined.len() * 2 < text.len() + tail.len(), "{compression:?}");
        }
        // The other way round, a byte in a fragment.
        let text = json(7, 1000);
        let message = zlib::message(text.as_bytes());
        for (n, byte) in message.iter().enumerate() {
            let first = if n == 0 { 0x01 | COMPRESSED } else { 0 };
            let fin = if n + 1 == message.len() { 0x80 } else { 0 };
            write(&mut far, &client_frame(first | fin, &[*byte])).await;
            if n % 50 == 0 {
                write(&mut far, &client_frame(PING, b"")).await;
            }
        }
        assert_eq!(server.recv().await.unwrap(), Some(text.into()), "{compression:?}");
    }
}

#[tokio::test]
async fn a_message_may_say_whether_it_is_compressed() {
    let (server, mut far) = over_pipe(Compression::shared(), Config::new());
    let (short, long) = ("short, short, short, short, short", json(1, 1000));
    let server = tokio::spawn(server.drive(move |mut socket| async move {
        socket.send(short).await?;
        socket.send_with(short, Compress::Always).await?;
        socket.send(json(1, 1000)).await?;
        socket.send_with(json(1, 1000), Compress::Never).await?;
        let mut fragments = socket.text_fragments().compress(Compress::Never);
        fragments.write(&json(1, 1000)).await?;
        fragments.finish("").await?;
        let sender = socket.sender();
        sender.send(json(1, 1000)).await.unwrap();
        sender.send_with(json(1, 1000), Compress::Never).await.unwrap();
        sender.try_send_with(short, Compress::Always).unwrap();
        while socket.recv().await?.is_some() {}
        Ok::<_, Error>(())
    }));
    let expected: [(u8, &str); 9] = [
        (TEXT, short),
        (TEXT | COMPRESSED, short),
        (TEXT | COMPRESSED, &long),
        (TEXT, &long),
        (0x01, &long),
        (0x80, ""),
        (TEXT | COMPRESSED, &long),
        (TEXT, &long),
        (TEXT | COMPRESSED, short),
    ];
    for (first, text) in expected {
        let (got, payload) = read_frame(&mut far).await.unwrap();
        assert_eq!(got, first, "{text}");
        let payload = match got & COMPRESSED {
            0 => payload,
            _ => zlib::inflated(&mut Inflate::new(false, 15), &payload),
        };
        assert_eq!(payload, text.as_bytes());
    }
    drop(far);
    server.await.unwrap();
}

/// 256 MB in chunks, of which only a few kilobytes are there at a time, in either mode.
#[tokio::test]
async fn a_compressed_message_larger_than_memory_arrives_in_chunks() {
    for compression in [Compression::shared(), Compression::dedicated(15)] {
        let config = Config {
            limits: Limits { message: 1 << 40, ..Limits::new() },
            delivery: Delivery::Chunks,
            ..Config::new()
        };
        let (mut server, mut far) = over_pipe(compression, config);
        let bomb = zlib::zeros(256);
        let sending = async {
            for (n, piece) in bomb.chunks(10_000).enumerate() {
                let first = if n == 0 { 0x02 | COMPRESSED } else { 0 };
                write(&mut far, &client_frame(first, piece)).await;
                write(&mut far, &client_frame(PING, b"")).await;
            }
            write(&mut far, &client_frame(0x80, b"")).await;
            far
        };
        let receiving = async {
            let (mut total, mut first) = (0, true);
            loop {
                let chunk = server.recv_chunk().await.unwrap().unwrap();
                assert_eq!((chunk.first, chunk.offset, chunk.frame), (first, total, None));
                assert!(chunk.data.len() <= 68 * 1024 && chunk.data.iter().all(|byte| *byte == 0));
                first = false;
                total += chunk.data.len() as u64;
                if chunk.last {
                    return total;
                }
            }
        };
        let (far, total) = tokio::join!(sending, receiving);
        assert_eq!(total, 256 << 20);
        drop(far);
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_kind_of_connection() {
    let router = |compression| ws(|socket, _| echo(socket)).compression(compression);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let routes = Router::new()
        .ws("/0", router(Compression::shared()))
        .ws("/1", router(Compression::windowed(1024)))
        .ws("/2", router(Compression::dedicated(15)))
        .ws("/3", router(Compression::off()));
    tokio::spawn(server.serve(routes));
    let mut clients = Vec::new();
    for n in 0..12 {
        let builder =
            Client::builder(format!("ws://{address}/{}", n % 4)).compression(Compression::dedicated(15));
        clients.push(builder.connect_once().await.unwrap().0);
    }
    for round in 0..5 {
        let text = json(round, 100 << round);
        assert_eq!(handle.broadcast(text.clone()), clients.len());
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.recv().await.unwrap(), Some(text.clone().into()), "client {n}");
            // What it says itself comes between.
            client.send(json(n, 500)).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(json(n, 500).into()), "client {n}");
        }
    }
    handle.stop();
}

#[tokio::test]
async fn a_client_tells_what_was_saved() {
    let (url, handle) = serve(Compression::shared(), |server| server).await;
    let mut client = Client::builder(&url).compression(Compression::shared()).connect().unwrap();
    assert_eq!(client.compression(), None);
    client.send(json(1, 10_000)).await.unwrap();
    loop {
        match client.next().await.unwrap() {
            wirelet::client::Event::Message(message) => {
                assert_eq!(message, json(1, 10_000).into());
                break;
            }
            wirelet::client::Event::Disconnected { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
    let info = client.compression().unwrap();
    assert_eq!(info.params, Params { server: Window::fresh(15), client: Window::fresh(15) });
    assert!(info.sent.ratio().unwrap() > 3.0 && info.received.ratio().unwrap() > 3.0, "{info:?}");
    handle.stop();
}

/// A final block without the empty one behind it, no bytes at all, and a tail that was left on got 1007; the other driver delivered them.
#[tokio::test]
async fn a_message_that_ends_between_two_blocks_was_corrupt() {
    for compression in MODES {
        let (mut ws, mut far) = over_pipe(compression, Config::new());
        for _ in 0..2 {
            for (payload, text) in testkit::vectors::BETWEEN_BLOCKS {
                for pieces in [1, 2] {
                    let (front, back) = payload.split_at(payload.len() / pieces);
                    if pieces == 1 {
                        write(&mut far, &client_frame(0xc1, payload)).await;
                    } else {
                        write(&mut far, &client_frame(0x41, front)).await;
                        write(&mut far, &client_frame(0x80, back)).await;
                    }
                    let message = ws.recv().await.unwrap().unwrap();
                    assert_eq!(message, Message::from(text), "{compression:?} {payload:x?}");
                }
            }
        }
    }
}
