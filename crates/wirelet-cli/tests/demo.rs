//! `wirelet demo`: the sequence against `wirelet serve`, and what servers of all kinds make of it.

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;

use harness::{Outcome, Peer, Program, Server, fake_server, fake_websocket, field, run};
use rustix::process::Signal;

const CLOSE: u8 = 0x88;

/// Quick, and nothing in it is waited for by the clock.
const QUICK: [&str; 4] = ["--interval", "1ms", "--watchdog", "2s"];

fn demo(url: &str, arguments: &[&str]) -> Outcome {
    run(&[&["demo", url], &QUICK[..], arguments].concat())
}

/// Where in the output each of these comes, each after the one before.
fn assert_in_order(output: &str, phrases: &[&str]) {
    let mut rest = output;
    for phrase in phrases {
        let Some(at) = rest.find(phrase) else { panic!("{phrase:?} is missing, or not in order:\n{output}") };
        rest = &rest[at + phrase.len()..];
    }
}

#[test]
fn the_sequence_against_the_server() {
    let server = Server::start(&[]);
    let outcome = demo(&server.url, &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    let (a, b) = ("a".repeat(32), "b".repeat(32));
    assert_in_order(
        &outcome.stdout,
        &[
            &format!("before connect: {}", server.url),
            "connected after",
            "sending text: hello 0000",
            "sending text: hello 0004",
            "sending one text in 3 fragments",
            "text (opcode 1), no FIN, 32 bytes",
            "continuation (opcode 0), no FIN, 32 bytes",
            "continuation (opcode 0), FIN, 0 bytes",
            "data: text (opcode 1), FIN, total 64 bytes, chunk 64 bytes at offset 0, end of message",
            &format!("received text: {a}{b}"),
            "no data for 2 s",
            "data: close (opcode 8), 1000 (normal closure)",
            "closed cleanly, by this client",
            "disconnected",
            "sent 6 messages (114 bytes), received 6 messages (114 bytes)",
        ],
    );
    let echoes: Vec<_> = (0..5).map(|i| format!("received text: hello {i:04}")).collect();
    assert_in_order(&outcome.stdout, &echoes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(outcome.stdout.matches("total 10 bytes, chunk 10 bytes at offset 0").count(), 5);
}

#[test]
fn the_server_receives_what_the_tutorials_client_sends() {
    let addr = fake_websocket(|mut peer| {
        for i in 0..5 {
            assert_eq!(peer.receive(), (0x81, format!("hello {i:04}").into_bytes()));
        }
        assert_eq!(peer.receive(), (0x01, vec![b'a'; 32]));
        assert_eq!(peer.receive(), (0x00, vec![b'b'; 32]));
        assert_eq!(peer.receive(), (0x80, vec![]));
        peer.send_unmasked(0x81, b"all there");
        assert_eq!(peer.receive_close(), 1000);
        peer.send_unmasked(CLOSE, &[0x03, 0xe8]);
        // Bytes after a close frame disturb nobody.
        let _ = peer.0.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let outcome = demo(&format!("ws://{addr}/"), &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("received text: all there"), "{}", outcome.stdout);
}

#[test]
fn fragments_are_told_as_they_are_on_the_wire() {
    let addr = fake_websocket(|mut peer| {
        peer.send_unmasked(0x02, &[0, 1, 2]);
        peer.send_unmasked(0x80, &[255; 2]);
        answer_close(&mut peer);
    });
    let outcome = demo(&format!("ws://{addr}/"), &["--count", "0"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_in_order(
        &outcome.stdout,
        &[
            "data: binary (opcode 2), no FIN, total 3 bytes, chunk 3 bytes at offset 0",
            "data: continuation (opcode 0), FIN, total 2 bytes, chunk 2 bytes at offset 0, end of message",
            "received binary of 5 bytes: 00 01 02 ff ff",
        ],
    );
}

#[test]
fn json_is_looked_into_and_cannot_hurt() {
    let addr = fake_websocket(|mut peer| {
        peer.send_unmasked(
            0x81,
            br#"[{"id":"1","name":"one\u001b[31m"},{"id":2},{"id":"3","name":"three"},null]"#,
        );
        peer.send_unmasked(0x81, b"");
        peer.send_unmasked(0x81, br#"[{"id":"#);
        peer.send_unmasked(0x81, "[".repeat(60_000).as_bytes());
        peer.send_unmasked(0x81, "x".repeat(70_000).as_bytes());
        answer_close(&mut peer);
    });
    let outcome = demo(&format!("ws://{addr}/"), &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_in_order(
        &outcome.stdout,
        &[
            "JSON array of 4 elements, 2 with id and name",
            "id 1, name one\\u{1b}[31m",
            "id 3, name three",
            "received text of 68.4 KiB: too long",
        ],
    );
}

#[test]
fn a_compressed_demo_says_what_was_agreed_and_saved() {
    let server = Server::start(&["--compress=dedicated:15"]);
    let outcome = demo(&server.url, &["--compress=dedicated:15"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_in_order(
        &outcome.stdout,
        &[
            "connected after",
            "agreed on permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
            "sending text: hello 0000",
            "received text: hello 0004",
            "received text: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbb",
            "sent 6 messages (114 bytes), received 6 messages (114 bytes)",
            "compression: sent 114 bytes as",
        ],
    );
}

#[test]
fn a_demo_goes_on_without_the_compression_that_was_declined() {
    let server = Server::start(&[]);
    let outcome = demo(&server.url, &["--compress"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_in_order(
        &outcome.stdout,
        &["not compressed: the server did not agree", "received text: hello 0004"],
    );
    assert!(!outcome.stdout.contains("compression: sent"), "{}", outcome.stdout);
}

#[test]
fn options_reach_the_server() {
    let addr = fake_server(|mut peer| {
        let head = peer.head();
        assert!(head.starts_with("GET /room?x=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "sec-websocket-protocol"), Some("chat, echo"));
        assert_eq!(field(&head, "authorization"), Some("Bearer abc"));
        let _ = peer.0.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 8\r\n\r\nas asked");
    });
    let arguments =
        ["--subprotocol", "chat", "--subprotocol", "echo", "--header", "Authorization: Bearer abc"];
    let outcome = demo(&format!("ws://{addr}/room?x=1"), &arguments);
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
}

#[test]
fn nobody_listens() {
    // A port that was free a moment ago.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = demo(&format!("ws://{addr}/ws"), &[]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert_in_order(
        &outcome.stderr,
        &[
            &format!("could not connect to ws://{addr}/ws"),
            "TCP connect",
            &addr.to_string(),
            "refused",
            "help:",
        ],
    );
    assert_in_order(&outcome.stdout, &["before connect", "error:", "disconnected"]);
}

#[test]
fn a_refusal_is_shown_with_status_headers_and_body() {
    let addr = fake_server(|mut peer| {
        peer.head();
        let _ = peer.0.write_all(
            b"HTTP/1.1 404 Not Found\r\nServer: test\r\nContent-Length: 24\r\n\r\nno such\r\n\x1b[31mroom here\r\n",
        );
    });
    let outcome = demo(&format!("ws://{addr}/nowhere"), &[]);
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    assert_in_order(
        &outcome.stderr,
        &[
            "refused",
            "opening handshake",
            "404 Not Found",
            "server: test",
            "no such",
            "\\u{1b}[31mroom",
            "/ws",
        ],
    );
}

#[test]
fn a_wrong_accept_and_a_masked_frame_break_the_protocol() {
    let addr = fake_server(|mut peer| {
        peer.head();
        let _ = peer.0.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        let _ = peer.0.read(&mut [0; 16]);
    });
    let outcome = demo(&format!("ws://{addr}/"), &[]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");

    let addr = fake_websocket(|mut peer| {
        peer.send(0x81, b"masked");
        while peer.receive().0 != CLOSE {}
    });
    let outcome = demo(&format!("ws://{addr}/"), &[]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert_in_order(&outcome.stderr, &["masked", "RFC 6455 5.1", "1002"]);
}

#[test]
fn a_silent_server_meets_the_deadlines() {
    let addr = fake_server(|mut peer| drain(&mut peer));
    let outcome = demo(&format!("ws://{addr}/"), &["--timeout", "200ms"]);
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    assert!(outcome.stderr.contains("--timeout"), "{}", outcome.stderr);

    // This one opens a WebSocket and never answers the close frame.
    let addr = fake_websocket(|mut peer| drain(&mut peer));
    let outcome = demo(&format!("ws://{addr}/"), &["--timeout", "2s", "--count", "1"]);
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    assert!(outcome.stderr.contains("closing handshake"), "{}", outcome.stderr);
}

#[test]
fn a_server_that_leaves_early_is_told_apart_from_one_that_is_done() {
    let addr = fake_websocket(|mut peer| {
        peer.receive();
        peer.send_unmasked(CLOSE, b"\x03\xe9tea time");
        drain(&mut peer);
    });
    let outcome = demo(&format!("ws://{addr}/"), &["--interval", "1h"]);
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    assert_in_order(&outcome.stderr, &["before everything was sent", "1001 (going away)", "tea time"]);

    let addr = fake_websocket(|mut peer| {
        while peer.receive() != (0x80, vec![]) {}
        peer.send_unmasked(CLOSE, b"\x03\xe8bye");
        drain(&mut peer);
    });
    let outcome = demo(&format!("ws://{addr}/"), &["--watchdog", "1h"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_in_order(&outcome.stdout, &["1000 (normal closure): bye", "closed cleanly, by the server"]);

    let addr = fake_websocket(|mut peer| while peer.receive() != (0x80, vec![]) {});
    let outcome = demo(&format!("ws://{addr}/"), &["--watchdog", "1h"]);
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    assert_in_order(&outcome.stdout, &["closed not cleanly, without a close frame", "disconnected"]);
}

#[test]
fn what_comes_instead_of_an_answer_to_the_last_close_frame_is_no_failure() {
    for instead in [&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\x88\x02\x03\xe8"[..], b""] {
        let addr = fake_websocket(move |mut peer| {
            while peer.receive().0 != CLOSE {}
            peer.0.write_all(instead).unwrap();
            peer.0.shutdown(std::net::Shutdown::Write).unwrap();
            drain(&mut peer);
        });
        let outcome = demo(&format!("ws://{addr}/"), &["--count", "1"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_in_order(
            &outcome.stdout,
            &["no clean answer to the close frame", "not cleanly, by this client"],
        );
    }
}

#[test]
fn wrong_urls_are_usage_errors() {
    for url in ["http:/x", "ws://", "nonsense", "ws://127.0.0.1:99999/", "ws://127.0.0.1/#part"] {
        let outcome = demo(url, &[]);
        assert_eq!(outcome.code, Some(2), "{url}: {outcome:?}");
        assert!(outcome.stderr.contains("help:"), "{url}: {}", outcome.stderr);
    }
}

#[test]
fn a_signal_closes_with_1001() {
    let addr = fake_websocket(|mut peer| {
        assert_eq!(peer.receive().0, 0x81);
        assert_eq!(peer.receive_close(), 1001);
        peer.send_unmasked(CLOSE, &[0x03, 0xe9]);
    });
    let mut program = Program::start(&["demo", &format!("ws://{addr}/"), "--interval", "1h"]);
    program.wait_for("sending text: hello 0000");
    program.signal(Signal::INT);
    let outcome = program.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert_in_order(&outcome.stdout, &["interrupted", "closed cleanly, by this client", "disconnected"]);
}

fn answer_close(peer: &mut Peer) {
    while peer.receive().0 != CLOSE {}
    peer.send_unmasked(CLOSE, &[0x03, 0xe8]);
}

/// Reads until the client is gone.
fn drain(peer: &mut Peer) {
    let mut bytes = [0; 4096];
    while matches!(peer.0.read(&mut bytes), Ok(1..)) {}
}

#[test]
fn the_environments_proxy_is_asked_unless_the_flag_says_otherwise() {
    let refusing = || {
        fake_server(|mut stream| {
            let mut head = [0; 1024];
            let len = stream.0.read(&mut head).expect("a request");
            assert!(head[..len].starts_with(b"CONNECT server.invalid:80 HTTP/1.1\r\n"));
            stream.0.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").expect("it reads");
        })
    };
    let arguments = ["demo", "ws://server.invalid/"];
    let outcome = Program::start_with(&arguments, |command| {
        command.env("http_proxy", refusing().to_string());
    })
    .finish();
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("407") && outcome.stderr.contains("--proxy none"), "{outcome:?}");

    let outcome = run(&[&arguments[..], &["--proxy", &refusing().to_string()]].concat());
    assert!(outcome.code == Some(3) && outcome.stderr.contains("407"), "{outcome:?}");

    let server = Server::start(&[]);
    for (flag, variables) in [
        ("none", [("all_proxy", "127.0.0.1:1"), ("x", "")]),
        ("env", [("all_proxy", "127.0.0.1:1"), ("no_proxy", "127.0.0.0/8")]),
    ] {
        let arguments = [&["demo", &server.url, "--proxy", flag], &QUICK[..]].concat();
        let outcome = Program::start_with(&arguments, |command| {
            command.envs(variables.iter().copied());
        })
        .finish();
        assert_eq!(outcome.code, Some(0), "{flag}: {outcome:?}");
    }
}
