//! The application's decision on a request: too slow, in panic. It is answered the same on a new connection and on one that
//! hyper has kept.

mod peer;
mod running;

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use peer::*;
use running::*;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wirelet::Bytes;
use wirelet::server::{Context, Page, Router, Verdict, ws, ws_gated};

fn gated<F, Fut>(gate: F) -> Router
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Verdict> + Send + 'static,
{
    Router::new().page("/", Page::html("x")).ws("/ws", ws(echo).gate(gate))
}

/// A new connection was told that its request had not arrived in time, which it had.
#[tokio::test(start_paused = true)]
async fn a_slow_decision_was_taken_for_a_slow_request_on_a_new_connection() {
    let running = serve(gated(|_| pending())).await;
    for kept in [false, true] {
        let mut stream = running.connect_or_keep(kept).await;
        let began = Instant::now();
        write(&mut stream, upgrade_request("/ws", "").as_bytes()).await;
        let (status, _, body) = read_response(&mut stream).await.unwrap();
        assert_eq!((status, &body[..]), (503, &b"the decision did not come in time"[..]), "kept: {kept}");
        let took = began.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&took), "{took:?}");
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}

/// Each connection kept the block of 68 KiB that its request had been read into while its decision was made: 680 MB for 10,000
/// slow ones. What follows the request waits in the socket, or is kept.
#[tokio::test]
async fn a_slow_decision_kept_the_block_of_its_request() {
    const CONNECTIONS: usize = 50;
    let gates = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Semaphore::new(0));
    let (open, begin) = (Arc::clone(&gates), Arc::clone(&begun));
    let gate = move |_| {
        let (gates, begun) = (Arc::clone(&gates), Arc::clone(&begun));
        async move {
            begun.add_permits(1);
            gates.acquire().await.unwrap().forget();
            Verdict::accept()
        }
    };
    let running = serve(gated(gate)).await;
    let message = vec![7; 60_000];
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = running.connect().await;
        let mut wire = upgrade_request("/ws", "").into_bytes();
        wire.extend(client_frame(BINARY, &message));
        write(&mut stream, &wire).await;
        streams.push(stream);
    }
    let _ = begin.acquire_many(CONNECTIONS as u32).await.unwrap();
    let usage = wirelet::diagnostics::pool();
    assert_eq!(usage.lent, 0, "{usage:?} while {CONNECTIONS} decisions are made");
    open.add_permits(CONNECTIONS);
    for mut stream in streams {
        assert_eq!(read_response(&mut stream).await.unwrap().0, 101);
        assert_eq!(read_frame(&mut stream).await.unwrap(), (BINARY, message.clone()));
    }
}

/// The context named a subprotocol that the route does not list, and the connection said that there was none.
#[tokio::test]
async fn context_and_connection_disagreed_on_the_subprotocol() {
    const LISTED: [&str; 3] = ["a", "b", "c"];
    let told = |mut ws: wirelet::WebSocket, context: Context| async move {
        let by_position = ws.subprotocol().map(|at| LISTED[usize::from(at)]);
        assert_eq!(context.subprotocol(), by_position);
        ws.send(format!("{by_position:?}")).await
    };
    let gate = |context: Context| async move {
        let subprotocol = context.query().map(str::to_owned);
        Verdict::Accept { subprotocol, headers: Vec::new(), value: () }
    };
    let route = ws(told).subprotocols(LISTED).gate(gate);
    let running = serve(Router::new().page("/", Page::html("x")).ws("/ws", route)).await;
    for (choice, offered, agreed) in [
        ("?b", "c, b", Some("b")),
        ("", "c, b", Some("b")),
        ("", "d", None),
        // Offered, and not listed; listed, and not offered; neither.
        ("?d", "c, d", Some("")),
        ("?a", "c, b", Some("")),
        ("?x", "c", Some("")),
    ] {
        for kept in [false, true] {
            let mut stream = running.connect_or_keep(kept).await;
            let offer = format!("Sec-WebSocket-Protocol: {offered}\r\n");
            write(&mut stream, upgrade_request(&format!("/ws{choice}"), &offer).as_bytes()).await;
            let (status, head, _) = read_response(&mut stream).await.unwrap();
            if agreed == Some("") {
                assert_eq!(status, 500, "{choice} of {offered}");
                continue;
            }
            let answered = head.split("sec-websocket-protocol: ").nth(1).and_then(|rest| rest.lines().next());
            assert_eq!((status, answered), (101, agreed), "{choice} of {offered}");
            let (_, seen) = read_frame(&mut stream).await.unwrap();
            assert_eq!(String::from_utf8(seen).unwrap(), format!("{agreed:?}"));
        }
    }
}

/// What the application panics with.
const PANIC: &str = "a panic of the application";

/// Panics while it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "{PANIC}");
    }
}

/// What the panic hook was told of the application's panics.
static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A gate that panicked took the connection with it: a reset, and no answer.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_application_reset_the_connection() {
    // This test's own panics are reported as usual.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match info.to_string() {
        report if report.contains(PANIC) => REPORTS.lock().unwrap().push(report),
        _ => usual(info),
    }));
    let gate = |context: Context| {
        let how = context.query().unwrap_or_default().to_owned();
        assert_ne!(how, "call", "{PANIC}");
        async move {
            let bomb = (how == "drop").then(|| Bomb);
            tokio::task::yield_now().await;
            assert_ne!(how, "poll", "{PANIC}");
            if bomb.is_some() {
                pending::<()>().await;
            }
            Verdict::accept()
        }
    };
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        assert!(request.uri().query().is_none(), "{PANIC}");
        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
    });
    let json = || panic!("{PANIC}");
    let running = serve(gated(gate).service("/service", service).json("/json", json)).await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (request, expected) in [
        (upgrade_request("/ws?call", ""), 500),
        (upgrade_request("/ws?poll", ""), 500),
        (upgrade_request("/ws?drop", ""), 503),
        (get("/service?poll"), 500),
        (get("/json"), 500),
        (upgrade_request("/ws", ""), 101),
    ] {
        for kept in [false, true] {
            let mut stream = running.connect_or_keep(kept).await;
            write(&mut stream, request.as_bytes()).await;
            let (status, head, _) = read_response(&mut stream).await.expect("an answer");
            assert_eq!(status, expected, "{request}");
            if head.contains("connection: close") {
                assert_eq!(stream.read_to_end(&mut Vec::new()).await.expect("an end, and no reset"), 0);
            }
            let reports = std::mem::take(&mut *REPORTS.lock().unwrap());
            assert_eq!(reports.len(), usize::from(expected != 101), "{request}: {reports:?}");
            assert!(reports.iter().all(|report| report.contains(PANIC)), "{reports:?}");
        }
    }
}

/// A gate could hand nothing to the handler, which looked up again what the gate had found, and could find something else.
#[tokio::test]
async fn a_handler_looked_up_again_what_its_gate_had_found() {
    /// Not `Clone`: there is one of it for each request.
    struct User(String);
    let gate = |context: Context| async move {
        match context.header("authorization") {
            Some(token) => Verdict::accept_with(User(token.to_owned())),
            None => Verdict::reject(401, "who are you?"),
        }
    };
    let told = |mut ws: wirelet::WebSocket, _, user: User| async move { ws.send(user.0).await };
    // The gate that was added last decides first.
    let open = |context: Context| async move {
        match context.query() {
            Some("closed") => Verdict::reject(403, "closed"),
            _ => Verdict::Accept {
                subprotocol: None,
                headers: vec![("X-Open".into(), "yes".into())],
                value: (),
            },
        }
    };
    let route = ws_gated(gate, told).gate(open);
    let running = serve(Router::new().page("/", Page::html("x")).ws("/ws", route)).await;
    for kept in [false, true] {
        for (target, headers, expected) in [
            ("/ws", "Authorization: ann\r\n", 101),
            ("/ws", "", 401),
            ("/ws?closed", "Authorization: ann\r\n", 403),
            ("/ws?closed", "", 403),
        ] {
            let mut stream = running.connect_or_keep(kept).await;
            write(&mut stream, upgrade_request(target, headers).as_bytes()).await;
            let (status, head, _) = read_response(&mut stream).await.unwrap();
            assert_eq!(status, expected, "{target} {headers}");
            if status == 101 {
                assert!(head.contains("x-open: yes"), "{head}");
                assert_eq!(read_frame(&mut stream).await.unwrap().1, b"ann");
            }
        }
    }
}
