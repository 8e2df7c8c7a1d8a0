use core::fmt::Write as _;
use std::vec;

use super::support::*;
use crate::http::{BasicAuth, File, Methods, Request, Response};
use crate::server::{Route, Settings};

const PAGE: File<'_> = File {
    gzip: true,
    etag: Some("\"v1\""),
    headers: &[("X-Policy", "strict")],
    ..File::new(b"<page>", "text/html")
};
static BIG: [u8; 5000] = [b'x'; 5000];

fn status(_: &Request<'_>, response: &mut Response<'_>) {
    let _ = write!(response, "{{\"uptime\":{}}}", 17);
}

fn echo(request: &Request<'_>, response: &mut Response<'_>) {
    response.content_type("text/plain").header("X-Len", "7");
    let _ = response.write_str(core::str::from_utf8(request.body()).unwrap_or("?"));
}

fn endless(_: &Request<'_>, response: &mut Response<'_>) {
    while response.write_str("more and more ").is_ok() {}
}

const AUTH: BasicAuth<'_> = BasicAuth { realm: "device", user: "admin", password: "secret" };

static ROUTES: [Route<'static>; 7] = [
    Route::file("/", PAGE),
    Route::file("/big", File::new(&BIG, "text/plain")),
    Route::call("/status", Methods::GET, &status),
    Route::call("/echo", Methods::POST.and(Methods::PUT), &echo),
    Route::call("/endless", Methods::GET, &endless),
    Route::call("/private", Methods::GET, &status).with_auth(AUTH),
    Route::file("/docs/*", File::new(b"docs", "text/plain")),
];

fn http<const N: usize>(script: impl AsyncFnOnce(Rig<'_>)) {
    http_over::<N>(16, script);
}

fn http_over<const N: usize>(capacity: usize, script: impl AsyncFnOnce(Rig<'_>)) {
    serve::<N, 512, 512, 64>(&Settings::new(&ROUTES), capacity, script);
}

#[test]
fn one_connection_answers_many_requests() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        let (head, body) = peer.get("/", "").await;
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\
            Cache-Control: no-cache\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\nETag: \"v1\"\r\nX-Policy: strict\r\n\r\n";
        assert_eq!((head.as_str(), &body[..]), (expected, &b"<page>"[..]));
        let (head, body) = peer.get("/", "If-None-Match: \"v1\"\r\n").await;
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n") && !head.contains("Content-"), "{head}");
        assert!(body.is_empty());
        let (head, body) = peer.get("/big", "").await;
        assert!(head.contains("Content-Length: 5000\r\n") && body == BIG, "{head}");
        let (head, body) = peer.get("/status?x=1", "").await;
        assert!(head.contains("Content-Type: application/json\r\n"), "{head}");
        assert_eq!(body, b"{\"uptime\":17}");
        let (head, _) = peer.get("/", "Accept-Encoding: br\r\n").await;
        assert!(head.starts_with("HTTP/1.1 406 "), "{head}");
        assert_eq!(peer.get("/docs/a/b", "").await.1, b"docs");
        assert_eq!(peer.get("/nothing", "").await.1, b"404 Not Found: there is nothing at this path\n");
        assert_eq!(peer.get("http://device/docs/", "").await.1, b"docs");
    });
}

#[test]
fn head_has_the_length_of_the_body_and_no_body() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        for (path, len) in [("/", 6), ("/big", 5000), ("/status", 13)] {
            peer.send(std::format!("HEAD {path} HTTP/1.1\r\nHost: device\r\n\r\n")).await;
            let head = peer.head().await;
            assert!(head.contains(&std::format!("Content-Length: {len}\r\n")), "{head}");
        }
        assert_eq!(peer.get("/docs/", "").await.1, b"docs");
    });
}

/// A refusal of HEAD had a body, in which the next response on the connection seemed to begin.
#[test]
fn the_answer_to_a_request_for_a_head_had_a_body() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        let both = async |peer: &mut Dialed, method: &str, target: &str| {
            peer.send(std::format!("{method} {target} HTTP/1.1\r\nHost: device\r\n\r\n")).await;
            peer.head().await
        };
        // Refusals after which the connection is kept: the next response begins where they end.
        for target in ["/nope", "/echo", "/private"] {
            let head = both(&mut peer, "HEAD", target).await;
            let got = peer.get("/docs/", "").await;
            assert_eq!(got.1, b"docs", "{target}");
            assert!(!head.contains("Content-Length: 0\r\n"), "{head}");
        }
        let head = both(&mut peer, "HEAD", "/endless").await;
        assert!(head.starts_with("HTTP/1.1 500 ") && peer.rest().await.is_empty(), "{head}");
        // Refusals after which it ends, of heads that are malformed, too large, or announce too much.
        let long = "a".repeat(600);
        for request in [
            std::format!("HEAD /{long} HTTP/1.1\r\n"),
            "HEAD /a#b HTTP/1.1\r\nHost: d\r\n\r\n".into(),
            "\r\nHEAD / HTTP/1.2\r\nHost: d\r\n\r\n".into(),
            "HEAD / HTTP/1.1\r\n\r\n".into(),
            "HEAD /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 600\r\n\r\n".into(),
            "HEAD /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ] {
            let mut peer = rig.net.dial();
            peer.send(&request).await;
            let head = peer.head().await;
            assert!(!head.starts_with("HTTP/1.1 2") && peer.rest().await.is_empty(), "{request}: {head}");
        }
    });
}

/// An empty line in front of a request was refused, also behind a request with a body.
#[test]
fn an_empty_line_in_front_of_a_request_was_refused() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        let post = "\r\nPOST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
        for _ in 0..2 {
            peer.trickle(post).await;
            assert_eq!(peer.response().await.1, b"hello");
        }
        peer.send("\r\n\r\nGET / HTTP/1.1\r\nHost: d\r\n\r\n").await;
        assert!(peer.response().await.0.starts_with("HTTP/1.1 400 "));
    });
}

/// What the tokio driver refuses, or a browser does not send, this one refuses with the same status.
#[test]
fn requests_are_refused_as_the_other_driver_refuses_them() {
    http::<2>(async |rig| {
        for (line, status) in [
            ("GET /?f=\"x\" HTTP/1.1", 400),
            ("GET /?f=<b> HTTP/1.1", 400),
            ("GET /#a HTTP/1.1", 400),
            ("GET /?\u{e9} HTTP/1.1", 400),
            ("GET / HTTP/1.1\nX: y", 400),
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/2.0", 505),
        ] {
            for kept in [false, true] {
                let mut peer = rig.net.dial();
                if kept {
                    peer.get("/docs/", "").await;
                }
                peer.send(std::format!("{line}\r\nHost: d\r\n\r\n")).await;
                let (head, body) = peer.response().await;
                assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{line:?}: {head}");
                assert!(!body.is_empty() && peer.rest().await.is_empty(), "{line:?}");
            }
        }
    });
}

#[test]
fn requests_may_come_at_once_or_byte_by_byte() {
    http_over::<2>(512, async |rig| {
        let mut peer = rig.net.dial();
        let both = "GET /status HTTP/1.1\r\nHost: d\r\n\r\nPOST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
        peer.send(both).await;
        assert_eq!(peer.response().await.1, b"{\"uptime\":17}");
        let (head, body) = peer.response().await;
        assert!(head.contains("X-Len: 7\r\n") && body == b"hello", "{head}");
        peer.trickle(both).await;
        assert_eq!(peer.response().await.1, b"{\"uptime\":17}");
        assert_eq!(peer.response().await.1, b"hello");
    });
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        let (head, body) = peer.get("/echo", "").await;
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{head}");
        assert!(head.contains("Allow: POST, PUT\r\n") && !body.is_empty(), "{head}");
        peer.send("DELETE / HTTP/1.1\r\nHost: d\r\n\r\n").await;
        assert!(peer.response().await.0.contains("Allow: GET, HEAD\r\n"));
    });
}

#[test]
fn what_is_larger_than_the_buffers_is_refused_and_the_refusal_arrives() {
    http::<2>(async |rig| {
        let long = "a".repeat(600);
        for (request, status) in [
            (std::format!("GET /{long} HTTP/1.1\r\n"), 414),
            (std::format!("GET / HTTP/1.1\r\nHost: d\r\nCookie: {long}\r\n\r\n"), 431),
            (std::format!("GET / HTTP/1.1\r\nHost: d\r\n{}\r\n", "a: b\r\n".repeat(40)), 431),
            (std::format!("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 600\r\n\r\n{long}"), 413),
            ("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999999999999\r\n\r\n".into(), 400),
            ("POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 411),
            ("POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), 501),
            ("POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked, gzip\r\n\r\n".into(), 400),
            ("POST /echo HTTP/1.0\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400),
            (
                "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
                    .into(),
                400,
            ),
            ("GET /endless HTTP/1.1\r\nHost: d\r\n\r\n".into(), 500),
            ("GET / HTTP/1.1\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
            ("\x16\x03\x01".into(), 400),
        ] {
            let mut peer = rig.net.dial();
            peer.send(request).await;
            let (head, body) = peer.response().await;
            assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains("Connection: close\r\n") && !body.is_empty(), "{head}");
            assert!(peer.rest().await.is_empty());
        }
    });
}

#[test]
fn a_body_may_wait_for_leave() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        peer.send("POST /echo HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .await;
        assert_eq!(peer.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        peer.send("hi").await;
        assert_eq!(peer.response().await.1, b"hi");
    });
}

#[test]
fn routes_can_ask_for_a_password() {
    http::<2>(async |rig| {
        let mut peer = rig.net.dial();
        let (head, body) = peer.get("/private", "").await;
        assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
        assert!(head.contains("WWW-Authenticate: Basic realm=\"device\"\r\n") && !body.is_empty(), "{head}");
        let (head, _) = peer.get("/private", "Authorization: Basic YWRtaW46c2VjcmV0\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    });
}

#[test]
fn connections_end_when_they_say_so_or_speak_http_1_0() {
    http::<2>(async |rig| {
        for request in [
            "GET /docs/ HTTP/1.1\r\nHost: d\r\nConnection: foo, close\r\n\r\n",
            "GET /docs/ HTTP/1.0\r\n\r\n",
        ] {
            let mut peer = rig.net.dial();
            peer.send(request).await;
            let (head, body) = peer.response().await;
            assert!(head.contains("Connection: close\r\n") && body == b"docs", "{head}");
            assert!(peer.rest().await.is_empty());
        }
    });
}

#[test]
fn who_is_slow_is_given_up() {
    http::<4>(async |rig| {
        let now = || rig.clock.now.get();
        // Nothing at all.
        let mut silent = rig.net.dial();
        assert!(silent.rest().await.is_empty());
        assert_eq!(now(), 10_000);
        // A head that never ends.
        let mut slow = rig.net.dial();
        slow.send("GET / HTTP/1.1\r\n").await;
        assert!(slow.response().await.0.starts_with("HTTP/1.1 408 "));
        assert_eq!(now(), 20_000);
        // No second request.
        let mut idle = rig.net.dial();
        idle.get("/", "").await;
        assert!(idle.rest().await.is_empty());
        assert_eq!(now(), 25_000);
        // A response that is not taken.
        let mut deaf = rig.net.dial();
        deaf.send("GET /big HTTP/1.1\r\nHost: d\r\n\r\n").await;
        rig.clock.sleep(10_001).await;
        assert_eq!(deaf.rest().await.len(), 16);
    });
}

#[test]
fn who_only_waits_makes_way_for_newcomers() {
    http::<2>(async |rig| {
        let mut first = rig.net.dial();
        assert!(!first.get("/", "").await.0.contains("close"));
        // The second takes the last worker, so that the first is given up; the third finds its place.
        let mut second = rig.net.dial();
        second.send("GET / HTTP/1.1\r\n").await;
        assert!(first.rest().await.is_empty());
        let mut third = rig.net.dial();
        let (head, _) = third.get("/docs/", "").await;
        assert!(head.contains("Connection: close\r\n"), "{head}");
        assert_eq!(rig.clock.now.get(), 0);
    });
}

#[test]
fn a_stopped_server_returns() {
    let clock = ManualClock::default();
    let net = Net::new(64);
    let settings = Settings::new(&ROUTES);
    let mut resources = crate::Resources::<1, 512, 512, 64>::new();
    let (server, handle) = crate::Server::new(&mut resources, &settings);
    let [mut worker] = server.into_workers();
    let mut listener = net.clone();
    let script = async {
        let mut peer = net.dial();
        peer.get("/", "").await;
        handle.stop();
        assert!(peer.rest().await.is_empty());
    };
    let stopped = core::cell::Cell::new(false);
    let run = async {
        worker.run(&mut listener, &clock).await;
        stopped.set(true);
    };
    let wait = async {
        script.await;
        while !stopped.get() {
            clock.sleep(1).await;
        }
    };
    block_on(&clock, wait, vec![std::boxed::Box::pin(run)]);
}

#[test]
fn who_has_waited_longest_makes_way_even_before_its_first_request() {
    http::<3>(async |rig| {
        let mut silent = rig.net.dial();
        rig.clock.sleep(1).await;
        let mut kept = rig.net.dial();
        kept.get("/", "").await;
        rig.clock.sleep(1).await;
        let mut newcomer = rig.net.dial();
        assert!(silent.rest().await.is_empty());
        assert_eq!(kept.get("/docs/", "").await.1, b"docs");
        assert_eq!(newcomer.get("/docs/", "").await.1, b"docs");
        assert_eq!(rig.clock.now.get(), 2);
    });
}

/// A preflight of CORS, and the request behind it.
fn cors(request: &Request<'_>, response: &mut Response<'_>) {
    response.header("Access-Control-Allow-Origin", "https://app.example").header("Vary", "Origin");
    if request.head().method() == "OPTIONS" {
        response.status(204).header("Access-Control-Allow-Methods", "PUT");
    } else {
        let name = request.parameter("name").unwrap_or_default();
        let mut room = [0; 16];
        let name = crate::proto::handshake::PercentDecoded::form(name).into_text(&mut room);
        let _ = response.content_type("application/octet-stream").write_bytes(&[0, 0xff, 0x80]);
        let _ = response.write_str(name.unwrap_or("?"));
    }
}

#[test]
fn pages_of_other_origins_may_be_let_in_and_bodies_need_not_be_text() {
    let routes = [Route::call("/led", Methods::PUT.and(Methods::OPTIONS), &cors)];
    serve::<2, 512, 512, 64>(&Settings::new(&routes), 64, async |rig| {
        let mut peer = rig.net.dial();
        peer.send("OPTIONS /led HTTP/1.1\r\nHost: d\r\nOrigin: https://app.example\r\n\r\n").await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 204 ") && head.contains("Allow-Methods: PUT\r\n"), "{head}");
        peer.send("PUT /led?a=b&name=caf%C3%A9+1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n").await;
        let (head, body) = peer.response().await;
        assert!(head.contains("Access-Control-Allow-Origin: https://app.example\r\n"), "{head}");
        assert_eq!(body, b"\0\xff\x80caf\xc3\xa9 1");
    });
}

/// The ports have turns, so that a busy one does not shut the other out.
#[test]
fn a_worker_may_listen_at_two_ports() {
    let other = Net::new(512);
    let second = other.clone();
    let settings = Settings::new(&ROUTES);
    let run =
        async |worker: &mut crate::server::Worker<'_, '_, 512, 512>, net: &mut Net, clock: &ManualClock| {
            let mut both = crate::net::Both::new(net.clone(), second.clone());
            worker.run(&mut both, clock).await;
        };
    serve_by::<1, 512, 512, 64>(&settings, 512, run, async |rig| {
        for _ in 0..3 {
            // Two wait at the one, and one at the other.
            let mut peers = [rig.net.dial(), other.dial(), rig.net.dial()];
            for peer in &mut peers {
                let request = "GET /docs/ HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
                peer.send(request).await;
            }
            let [first, second, third] = &mut peers;
            for peer in [first, second, third] {
                assert_eq!(peer.response().await.1, b"docs");
                assert!(peer.rest().await.is_empty());
                peer.finish().await;
            }
        }
    });
}
