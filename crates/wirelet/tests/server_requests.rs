//! What becomes of a request does not depend on what came before it on the connection, nor on how its bytes were split.

mod peer;
mod running;

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use peer::*;
use running::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wirelet::server::{Page, Router, Verdict, ws};
use wirelet::{Bytes, Limits};

/// A page, an echo of bodies, one that leaves its body unread, a WebSocket, and another protocol.
fn router() -> Router {
    let echo_body = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(http::Response::new(Full::new(body)))
    });
    let unread = hyper::service::service_fn(|_: http::Request<hyper::body::Incoming>| {
        std::future::ready(Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"unread")))))
    });
    let other = hyper::service::service_fn(|mut request: http::Request<hyper::body::Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut response = http::Response::new(Full::new(Bytes::new()));
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("upgrade", "other".parse().unwrap());
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    Router::new()
        .page("/", Page::html("x"))
        .service("/echo", echo_body)
        .service("/unread", unread)
        .service("/other", other)
        .ws("/ws", ws(echo))
        .ws("/asked", ws(echo).gate(|_| async { Verdict::accept() }))
}

/// A library judged the requests that came behind another one: with other rules, and without a word on what was wrong.
#[tokio::test]
async fn a_request_was_judged_by_what_came_before_it() {
    let running = serve(router()).await;
    let upgrade = |target: &str| upgrade_request(target, "");
    let plain = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
    let large = |bytes: usize| format!("X: {}\r\n", "y".repeat(bytes));
    for (request, status) in [
        (upgrade("/ws?f=\"x\""), 400),
        (upgrade("/ws?f=<b>"), 400),
        (upgrade("/ws#a"), 400),
        (upgrade("/ws?caf\u{e9}"), 400),
        (upgrade("/ws?a|b^c`d{e}f\\g"), 101),
        (upgrade("/ws").replace("\r\n", "\n"), 400),
        (upgrade("/ws").replacen("\r\n", "\n", 1), 400),
        (upgrade("/ws").replace("HTTP/1.1", "HTTP/1.2"), 505),
        (upgrade("/ws").replace("HTTP/1.1", "HTTP/1.0"), 505),
        (upgrade("/ws").replace("HTTP/1.1", "HTTP/2.0"), 505),
        (format!("\r\n{}", upgrade("/ws")), 101),
        (format!("\r\n\r\n{}", upgrade("/ws")), 400),
        (format!("\n{}", upgrade("/ws")), 400),
        (upgrade("/ws").replace("Host: localhost:8080", "Host: fd00::1:8081"), 400),
        (upgrade_request("/ws", "X : y\r\n"), 400),
        (upgrade_request("/ws", "X: y\r\n z\r\n"), 400),
        (upgrade_request("/ws", "X: \u{7f}\r\n"), 400),
        (upgrade_request("/ws", &large(9_000)), 101),
        (upgrade_request("/ws", &large(17_000)), 431),
        (upgrade_request("/ws", &"X: y\r\n".repeat(100)), 101),
        (upgrade_request("/ws", &"X: y\r\n".repeat(129)), 431),
        (upgrade_request(&format!("/ws?{}", "x".repeat(7_900)), ""), 101),
        (upgrade_request(&format!("/ws?{}", "x".repeat(17_000)), ""), 414),
        (upgrade("/asked"), 101),
        (upgrade("/none"), 404),
        (plain("GET / HTTP/1.1"), 200),
        (plain("GET /?f=\"x\" HTTP/1.1"), 400),
        (plain("GET /#a HTTP/1.1"), 400),
        (plain("GET /?caf\u{e9} HTTP/1.1"), 400),
        (plain("GET / HTTP/1.2"), 505),
        (plain("GET / HTTP/1.1").replace("\r\n", "\n"), 400),
        (format!("\r\n{}", plain("GET / HTTP/1.1")), 200),
        (format!("\r\n\r\n{}", plain("GET / HTTP/1.1")), 400),
        (plain("GET / HTTP/1.1").replace("Host", &format!("X: {}\r\nHost", "y".repeat(15_000))), 200),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), 400),
    ] {
        let mut answers = Vec::new();
        for before in [
            "",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
        ] {
            let mut stream = running.connect().await;
            if !before.is_empty() {
                write(&mut stream, before.as_bytes()).await;
                assert_eq!(read_response(&mut stream).await.unwrap().0, 200);
            }
            write(&mut stream, request.as_bytes()).await;
            let (got, _, body) = read_response(&mut stream).await.unwrap();
            assert_eq!(got, status, "{before:?} {request:.200?}");
            assert!(status < 400 || !body.is_empty(), "a refusal says why: {before:?} {request:.200?}");
            if status >= 400 {
                assert_eq!(read_all(&mut stream).await, b"", "{request:.200?}");
            }
            answers.push(body);
        }
        assert!(answers.iter().all(|body| *body == answers[0]), "{request:.200?}: {answers:?}");
    }
}

/// Reads a response to `method`, which may have no body.
async fn answered(stream: &mut TcpStream, status: u16, body: &[u8]) {
    let (got, head, received) = read_response(stream).await.unwrap();
    assert_eq!((got, &received[..]), (status, body), "{head}");
}

#[tokio::test]
async fn requests_that_come_at_once_or_in_any_pieces_are_answered_in_order() {
    let running = serve(router()).await;
    let all = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nGET / ",
        b"\r\nGET /none HTTP/1.1\r\nHost: localhost\r\n\r\n",
        upgrade_request("/ws", "").as_bytes(),
        &client_frame(TEXT, b"hello"),
    ]
    .concat();
    for cut in 0..all.len() {
        let mut stream = running.connect().await;
        let (front, back) = all.split_at(cut);
        write(&mut stream, front).await;
        // As often as it takes the server to have read it.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        write(&mut stream, back).await;
        answered(&mut stream, 200, b"x").await;
        answered(&mut stream, 200, b"GET / ").await;
        answered(&mut stream, 404, b"not found").await;
        answered(&mut stream, 101, b"").await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"hello".to_vec()), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_body_that_the_service_leaves_is_no_request() {
    let running = serve(router()).await;
    let request = "POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nHEAD";
    let mut stream = running.connect().await;
    write(&mut stream, format!("{request}{}", upgrade_request("/ws", "")).as_bytes()).await;
    answered(&mut stream, 200, b"unread").await;
    answered(&mut stream, 101, b"").await;
    // One that does not come ends the connection.
    let mut stream = running.connect().await;
    write(&mut stream, &request.as_bytes()[..request.len() - 1]).await;
    answered(&mut stream, 200, b"unread").await;
    assert_eq!(read_all(&mut stream).await, b"");
}

/// A body in chunks has no length that could be counted: what follows it is not read on this connection.
#[tokio::test]
async fn a_body_in_chunks_is_read_and_ends_its_connection() {
    let running = serve(router()).await;
    let mut stream = running.connect().await;
    let chunked =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    write(&mut stream, chunked.as_bytes()).await;
    let (status, head, body) = read_response(&mut stream).await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"hi"[..]));
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(read_all(&mut stream).await, b"");
}

#[tokio::test]
async fn a_service_may_still_upgrade_to_another_protocol() {
    let running = serve(router()).await;
    for before in ["", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = running.connect().await;
        let request =
            "GET /other HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
        write(&mut stream, format!("{before}{request}GET is no request").as_bytes()).await;
        if !before.is_empty() {
            answered(&mut stream, 200, b"x").await;
        }
        answered(&mut stream, 101, b"").await;
        write(&mut stream, b" here\r\n\r\n").await;
        stream.shutdown().await.unwrap();
        assert_eq!(read_all(&mut stream).await, b"GET is no request here\r\n\r\n");
    }
}

/// A refusal of HEAD had a body where the request asked for a WebSocket or was malformed (RFC 9110 9.3.2).
#[tokio::test]
async fn the_answer_to_a_request_for_a_head_had_a_body() {
    let running = serve(router()).await;
    for kept in [false, true] {
        for (request, status) in [
            (upgrade_request("/ws", "").replace("GET", "HEAD"), 405),
            ("HEAD /#a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("\r\nHEAD / HTTP/1.2\r\nHost: x\r\n\r\n".to_owned(), 505),
            (format!("HEAD /{} HTTP/1.1\r\n", "x".repeat(17_000)), 414),
            ("HEAD /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), 404),
        ] {
            let mut stream = running.connect_or_keep(kept).await;
            write(&mut stream, request.as_bytes()).await;
            let head = read_head(&mut stream).await.unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(read_all(&mut stream).await, b"", "{request:.100?}");
        }
        // What comes behind one that is kept begins where its head ends.
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, b"HEAD /none HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 404 "));
        answered(&mut stream, 200, b"x").await;
    }
}

/// 101 was sent at once to who waits for 100 first (RFC 9110 7.8).
#[tokio::test]
async fn who_expects_100_got_101_at_once() {
    let running = serve(router()).await;
    for kept in [false, true] {
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, upgrade_request("/ws", "Expect: 100-continue\r\n").as_bytes()).await;
        assert_eq!(read_head(&mut stream).await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
        write(&mut stream, &client_frame(TEXT, b"hi")).await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"hi".to_vec()));
        let mut refused = running.connect_or_keep(kept).await;
        write(&mut refused, upgrade_request("/none", "Expect: 100-continue\r\n").as_bytes()).await;
        assert!(read_head(&mut refused).await.unwrap().starts_with("HTTP/1.1 404 "));
    }
}

/// The limits on heads held for the first request of a connection alone: others had the library's own.
#[tokio::test]
async fn later_heads_had_other_limits() {
    let limits = Limits { head_bytes: 1000, head_fields: 20, ..Limits::new() };
    let running = serve_with(router(), |server| server.limits(limits)).await;
    for (request, status) in [
        (upgrade_request("/ws", &"X: y\r\n".repeat(30)), 431),
        (upgrade_request("/ws", &format!("X: {}\r\n", "y".repeat(2000))), 431),
        (upgrade_request(&format!("/{}", "y".repeat(2000)), ""), 414),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(2000)), 414),
        (upgrade_request("/ws", ""), 101),
    ] {
        for kept in [false, true] {
            let mut stream = running.connect_or_keep(kept).await;
            write(&mut stream, request.as_bytes()).await;
            assert_eq!(read_response(&mut stream).await.unwrap().0, status, "{kept} {request:.100?}");
        }
    }
}

/// What the map in `docs/http.md` says remains with hyper: its type of targets is narrower, and has no text.
#[tokio::test]
async fn a_target_that_only_hyper_refuses_gets_the_same_answer_everywhere() {
    let running = serve(router()).await;
    for kept in [false, true] {
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, b"GET /a`b HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answered(&mut stream, 400, b"").await;
        assert_eq!(read_all(&mut stream).await, b"");
        // A handshake is not hyper's: there is no such route.
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, upgrade_request("/a`b", "").as_bytes()).await;
        assert_eq!(read_response(&mut stream).await.unwrap().0, 404);
    }
}
