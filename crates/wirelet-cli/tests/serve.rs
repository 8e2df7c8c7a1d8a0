//! `wirelet serve`: the echo, the pages beside it, refusals, and how it stops.

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Program, Server, field, request, run, upgrade};
use rustix::process::{Pid, Signal, kill_process};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const COMPRESSED: u8 = 0x40;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

#[test]
fn it_says_where_it_listens_and_how_to_stop_it() {
    let mut program = Program::start(&["--addr", "0"]);
    let console = program.wait_for("http://127.0.0.1:");
    assert!(!console.contains(":0/"), "{console}");
    program.wait_for("ws://127.0.0.1:");
    program.wait_for("Ctrl-C");
}

#[test]
fn text_and_binary_come_back_as_they_are() {
    let server = Server::start(&[]);
    let mut peer = server.websocket();
    let long = vec![b'x'; 70_000];
    for (first, payload) in [(TEXT, "grün".as_bytes()), (BINARY, &[0, 255, 1]), (TEXT, b""), (BINARY, &long)]
    {
        peer.send(first, payload);
        assert_eq!(peer.receive(), (first, payload.to_vec()));
    }
    // A fragmented message comes back whole.
    peer.send(0x01, b"he");
    peer.send(PING, b"now");
    peer.send(0x80, b"llo");
    assert_eq!(peer.receive(), (0x8a, b"now".to_vec()));
    assert_eq!(peer.receive(), (TEXT, b"hello".to_vec()));
    peer.send(CLOSE, &[0x03, 0xe8]);
    assert_eq!(peer.receive_close(), 1000);
}

#[test]
fn threads_of_their_own_are_one_server() {
    for threads in ["2", "per-core"] {
        let server = Server::start(&["--threads", threads]);
        let mut peers: Vec<_> = (0..8).map(|_| server.websocket()).collect();
        for peer in &mut peers {
            peer.send(TEXT, b"Trigger async");
            assert_eq!(peer.receive(), (TEXT, b"Async data".to_vec()));
        }
        let (_, body) = server.get("/status", "");
        let status: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status["connections"], 8);
        server.program.signal(Signal::TERM);
        for mut peer in peers {
            assert_eq!(peer.receive_close(), 1001);
        }
        assert_eq!(server.program.finish().code, Some(0));
    }
}

#[test]
fn another_task_answers_trigger_async() {
    let mut server = Server::start(&[]);
    let mut peer = server.websocket();
    peer.send(TEXT, b"Trigger async");
    assert_eq!(peer.receive(), (TEXT, b"Async data".to_vec()));
    // Only exactly this text, and only as text.
    peer.send(TEXT, b"Trigger async ");
    assert_eq!(peer.receive(), (TEXT, b"Trigger async ".to_vec()));
    peer.send(BINARY, b"Trigger async");
    assert_eq!(peer.receive(), (BINARY, b"Trigger async".to_vec()));
    server.program.wait_for("another task");
}

#[test]
fn the_log_tells_what_happens_and_cannot_be_forged() {
    let mut server = Server::start(&[]);
    let mut peer = server.websocket();
    server.program.wait_for("handshake done");
    peer.send(TEXT, b"one\r\n\x1b[31mtwo");
    let line = server.program.wait_for("text");
    assert!(line.contains("one\\u{d}\\u{a}\\u{1b}[31mtwo"), "{line}");
    peer.send(CLOSE, &[0x03, 0xe9, b'b', b'y', b'e']);
    let line = server.program.wait_for("1001 (going away)");
    assert!(line.starts_with("I ("), "{line}");
}

#[test]
fn a_message_over_the_limit_is_closed_with_1009() {
    let server = Server::start(&["--max-message", "1KiB", "-q"]);
    let mut peer = server.websocket();
    peer.send(BINARY, &[7; 1024]);
    assert_eq!(peer.receive().1.len(), 1024);
    peer.send(BINARY, &[7; 1025]);
    assert_eq!(peer.receive_close(), 1009);
}

/// RFC 7692 7.2.3.1: "Hello".
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// A thousand times `a`, by zlib.
const THOUSAND: &[u8] = &[0x4a, 0x4c, 0x1c, 0x05, 0xa3, 0x60, 0x14, 0x0c, 0x77, 0x00, 0x00];

#[test]
fn compression_is_agreed_on_and_what_it_saved_is_told() {
    let mut server = Server::start(&["--compress=dedicated:10"]);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let (head, mut peer) = upgrade(server.addr, "/ws", offer);
    let agreed = field(&head, "sec-websocket-extensions").expect("an agreement");
    assert!(agreed.starts_with("permessage-deflate; server_max_window_bits=10"), "{agreed}");
    let line = server.program.wait_for("handshake done");
    assert!(line.contains("permessage-deflate; server_max_window_bits=10"), "{line}");

    peer.send(TEXT | COMPRESSED, HELLO);
    assert_eq!(peer.receive(), (TEXT, b"Hello".to_vec()), "short messages go as they are");
    peer.send(TEXT | COMPRESSED, THOUSAND);
    let (first, echo) = peer.receive();
    assert_eq!(first, TEXT | COMPRESSED);
    assert!(echo.len() < 100, "{}", echo.len());

    let (_, body) = server.get("/status", "");
    let status: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let compression = &status["compression"];
    let agreements = compression["agreed"].as_object().expect("agreements");
    assert_eq!(agreements.values().collect::<Vec<_>>(), [1], "{body}");
    let wire_bytes = HELLO.len() + THOUSAND.len();
    assert_eq!(compression["received"]["plain_bytes"], 1005, "{body}");
    assert_eq!(compression["received"]["wire_bytes"], wire_bytes, "{body}");
    assert_eq!(compression["sent"]["plain_bytes"], 1005, "{body}");
    assert_eq!(compression["sent"]["wire_bytes"], 5 + echo.len(), "{body}");
    assert!(compression["sent"]["ratio"].as_f64() > Some(9.0), "{body}");

    peer.send(CLOSE, &[0x03, 0xe8]);
    let line = server.program.wait_for("compression: sent 1005 bytes as");
    assert!(line.contains(&format!("received 1005 bytes as {wire_bytes} bytes (55.8:1)")), "{line}");
}

#[test]
fn nothing_is_compressed_that_was_not_asked_for() {
    for (arguments, offer) in [
        (&[][..], "permessage-deflate"),
        (&["--compress=off"], "permessage-deflate"),
        (&["--compress"], "x-webkit-deflate-frame"),
        // zlib has no window of 8 bits; it is not widened in silence.
        (&["--compress"], "permessage-deflate; server_max_window_bits=8"),
    ] {
        let server = Server::start(arguments);
        let (head, mut peer) = upgrade(server.addr, "/ws", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        assert_eq!(field(&head, "sec-websocket-extensions"), None, "{arguments:?} {offer}");
        peer.send(TEXT, &[b'a'; 1000]);
        assert_eq!(peer.receive(), (TEXT, vec![b'a'; 1000]));
        peer.send(TEXT | COMPRESSED, HELLO);
        assert_eq!(peer.receive_close(), 1002);
    }
}

#[test]
fn the_console_is_served_with_a_strict_policy() {
    let server = Server::start(&[]);
    let (head, page) = server.get("/", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "content-type"), Some("text/html; charset=utf-8"));
    assert!(page.to_ascii_lowercase().contains("<!doctype html>"));
    let policy = field(&head, "content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("connect-src 'self' ws: wss:"),
        "{policy}"
    );

    let (head, script) = server.get("/app.js", "");
    assert_eq!(field(&head, "content-type"), Some("text/javascript; charset=utf-8"));
    assert!(field(&head, "content-security-policy").is_some());
    assert!(!script.is_empty());

    let tag = field(&head, "etag").expect("a tag").to_owned();
    let (head, body) = server.get("/app.js", &format!("If-None-Match: {tag}\r\n"));
    assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");
}

#[test]
fn status_tells_counters_as_json() {
    let server = Server::start(&["-q"]);
    let mut peer = server.websocket();
    peer.send(TEXT, b"hello");
    peer.receive();
    let (head, body) = server.get("/status", "");
    assert_eq!(field(&head, "content-type"), Some("application/json"));
    assert_eq!(field(&head, "cache-control"), Some("no-store"));
    let status: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status["name"], "wirelet");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    for (name, value) in
        [("connections", 1), ("messages_in", 1), ("messages_out", 1), ("bytes_in", 5), ("accepted", 1)]
    {
        assert_eq!(status[name], value, "{name}: {body}");
    }
}

#[test]
fn everything_else_is_refused_with_the_right_status() {
    let server = Server::start(&["-q"]);
    assert!(server.get("/nothing", "").0.starts_with("HTTP/1.1 404 "));
    let (head, _) = request(server.addr, "POST", "/", "Content-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert_eq!(field(&head, "allow"), Some("GET, HEAD"));
    let (head, body) = request(server.addr, "HEAD", "/", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
    // RFC 9110 15.5.22: the endpoint of the WebSocket wants an upgrade.
    let (head, _) = server.get("/ws", "");
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
}

#[test]
fn without_the_console_there_is_only_the_endpoint() {
    let server = Server::start(&["--no-console", "--path", "/echo"]);
    assert!(server.url.ends_with("/echo"), "{}", server.url);
    assert!(server.get("/", "").0.starts_with("HTTP/1.1 404 "));
    assert!(server.get("/app.js", "").0.starts_with("HTTP/1.1 404 "));
    assert!(upgrade(server.addr, "/echo", "").0.starts_with("HTTP/1.1 101 "));
    assert!(upgrade(server.addr, "/ws", "").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn pages_of_other_origins_are_refused_unless_allowed() {
    let strict = Server::start(&["-q"]);
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    assert!(upgrade(strict.addr, "/ws", &origin("https://example.org")).0.starts_with("HTTP/1.1 403 "));
    assert!(
        upgrade(strict.addr, "/ws", &origin(&format!("http://{}", strict.addr)))
            .0
            .starts_with("HTTP/1.1 101 ")
    );

    let listed = Server::start(&["-q", "--allow-origin", "https://example.org"]);
    assert!(upgrade(listed.addr, "/ws", &origin("https://example.org")).0.starts_with("HTTP/1.1 101 "));
    assert!(upgrade(listed.addr, "/ws", &origin("https://example.com")).0.starts_with("HTTP/1.1 403 "));
    assert!(
        upgrade(listed.addr, "/ws", &origin(&format!("http://{}", listed.addr)))
            .0
            .starts_with("HTTP/1.1 101 ")
    );

    let written = ["https://example.org:443", "https://*.example.org", "http://localhost:*", "file://"];
    let flags: Vec<&str> = written.iter().flat_map(|origin| ["--allow-origin", origin]).collect();
    let many = Server::start(&[&["-q"], &flags[..]].concat());
    for page in ["https://example.org", "https://a.example.org", "http://localhost:3000", "file://"] {
        assert!(upgrade(many.addr, "/ws", &origin(page)).0.starts_with("HTTP/1.1 101 "), "{page}");
    }

    let any = Server::start(&["-q", "--allow-origin", "*"]);
    assert!(upgrade(any.addr, "/ws", &origin("https://example.com")).0.starts_with("HTTP/1.1 101 "));
    assert!(upgrade(any.addr, "/ws", &origin("null")).0.starts_with("HTTP/1.1 101 "));
}

#[test]
fn other_host_names_are_refused_where_some_are_listed() {
    let listed = Server::start(&["-q", "--allow-host", "localhost", "--allow-host", "127.0.0.1"]);
    assert!(listed.get("/status", "").0.starts_with("HTTP/1.1 200 "));
    assert!(upgrade(listed.addr, "/ws", "").0.starts_with("HTTP/1.1 101 "));
    let others = Server::start(&["-q", "--allow-host", "example.org"]);
    assert!(others.get("/status", "").0.starts_with("HTTP/1.1 421 "));
    assert!(upgrade(others.addr, "/ws", "").0.starts_with("HTTP/1.1 421 "));
}

#[test]
fn subprotocols_are_chosen_from_both_lists() {
    let server = Server::start(&["-q", "--subprotocol", "chat", "--subprotocol", "echo"]);
    let (head, _) = upgrade(server.addr, "/ws", "Sec-WebSocket-Protocol: other, echo\r\n");
    assert_eq!(field(&head, "sec-websocket-protocol"), Some("echo"));
    let (head, _) = upgrade(server.addr, "/ws", "Sec-WebSocket-Protocol: other\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "sec-websocket-protocol"), None);
}

#[test]
fn a_signal_closes_every_connection_and_ends_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&[]);
        let mut peers = [server.websocket(), server.websocket()];
        server.program.signal(signal);
        for peer in &mut peers {
            assert_eq!(peer.receive_close(), 1001);
            peer.send(CLOSE, &[0x03, 0xe9]);
            assert_eq!(peer.0.read(&mut [0; 16]).expect("a clean end"), 0);
        }
        drop(peers);
        let outcome = server.program.finish();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("stopping"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("stopped"), "{}", outcome.stdout);
    }
}

/// Browsers connect in advance and say nothing; that kept the program for as long as such a connection may be silent.
#[test]
fn a_silent_connection_held_the_end_for_ten_seconds() {
    let server = Server::start(&[]);
    let _silent = TcpStream::connect(server.addr).unwrap();
    let mut half = TcpStream::connect(server.addr).unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\nHost: lo").unwrap();
    // They have been accepted when this has been answered.
    assert!(server.get("/status", "").0.starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.finish().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&[]);
    // This peer never answers the close frame.
    let mut peer = server.websocket();
    server.program.signal(Signal::INT);
    assert_eq!(peer.receive_close(), 1001);
    server.program.wait_for("stopping");
    server.program.signal(Signal::INT);
    assert_eq!(server.program.finish().code, Some(130));
}

/// Each flag refuses with 503, and the log says which setting did and for whom; connections of a proxy do not count for its
/// address.
#[test]
fn what_is_refused_is_told_with_the_name_of_the_setting() {
    for (flag, setting) in [
        ("--max-connections", "connections"),
        ("--max-per-address", "per_address"),
        ("--max-handshakes", "handshakes"),
        ("--max-handshakes-per-address", "handshakes_per_address"),
    ] {
        let mut server = Server::start(&["-q", flag, "1", "--proxy", "none"]);
        // It counts as a connection and as a handshake.
        let _silent = TcpStream::connect(server.addr).unwrap();
        for _ in 0..3 {
            assert!(server.get("/status", "").0.starts_with("HTTP/1.1 503 "), "{flag}");
        }
        let line = server.program.wait_for("refused");
        assert!(line.starts_with("W (") && line.contains("wirelet::server: "), "{line}");
        assert!(line.contains(&format!(" setting={setting} limit=1")), "{line}");
        assert!(line.contains(" address=127.0.0.1 "), "{line}");
        server.program.signal(Signal::TERM);
        let outcome = server.program.finish();
        assert_eq!(outcome.stdout.matches("refused").count(), 1, "{}", outcome.stdout);
    }
    let server = Server::start(&["-q", "--max-per-address", "1", "--max-handshakes-per-address", "1"]);
    let _silent = TcpStream::connect(server.addr).unwrap();
    assert!(server.get("/status", "").0.starts_with("HTTP/1.1 200 "), "loopback is a proxy by default");
}

#[test]
fn an_output_that_nobody_reads_stops_the_log_and_not_the_connections() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wirelet"))
        .args(["serve", "--addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ws://") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended");
    }
    let authority = line.split("ws://").nth(1).unwrap().split('/').next().unwrap();
    let (_, mut peer) = upgrade(authority.parse().unwrap(), "/ws", "");
    // More lines than the pipe and the queue hold together.
    for _ in 0..8000 {
        peer.send(TEXT, &[b'x'; 90]);
        assert_eq!(peer.receive().1.len(), 90);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(peer.receive_close(), 1001);
    drop(peer);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_address_in_use_is_named_with_the_flag_that_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let outcome = run(&["serve", "--addr", &addr]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains(&addr), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("in use"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--addr"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}
