//! The server on real sockets: routes, policy, limits, the registry, stopping.

mod peer;
mod running;

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use http_body_util::Full;
use peer::*;
use running::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wirelet::proto::CloseCode;
use wirelet::server::{Capacity, Context, Origins, Page, Router, Server, Verdict, ws, ws_with};
use wirelet::{Bytes, Error, Limits, Message, TrySendError, WebSocket};

#[tokio::test]
async fn the_handler_sees_the_request() {
    let route = ws_with("state", |mut ws: WebSocket, context: Context, state: &'static str| async move {
        let seen = format!(
            "{state} {} {} {:?} {} {:?} {:?} {}",
            context.path(),
            context.param("room").unwrap_or("-"),
            context.query(),
            context.query_value("q").unwrap_or_default(),
            context.header("x-test"),
            context.subprotocol(),
            context.peer().unwrap().ip(),
        );
        ws.send(seen).await
    });
    let running = serve(Router::new().ws("/rooms/{room}", route.subprotocols(["b", "a"]))).await;
    let mut stream = running.connect().await;
    let more = "X-Test: yes\r\nSec-WebSocket-Protocol: a, c, b\r\n";
    write(&mut stream, upgrade_request("/rooms/caf%C3%A9?p=1&q=a+b%21", more).as_bytes()).await;
    let (status, head, _) = read_response(&mut stream).await.unwrap();
    assert_eq!(status, 101);
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: b\r\n"), "{head}");
    let (_, seen) = read_frame(&mut stream).await.unwrap();
    let expected = r#"state /rooms/caf%C3%A9 café Some("p=1&q=a+b%21") a b! Some("yes") Some("b") 127.0.0.1"#;
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
    assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1000).to_vec()));
}

#[tokio::test]
async fn a_request_in_any_pieces_and_with_frames_behind_it_is_served() {
    let running = serve(Router::new().ws("/ws", ws(echo))).await;
    let wire = [upgrade_request("/ws", "").into_bytes(), client_frame(TEXT, b"early")].concat();
    for piece in [1, 7, wire.len() - 3, wire.len()] {
        let mut stream = running.connect().await;
        stream.set_nodelay(true).unwrap();
        for part in wire.chunks(piece) {
            write(&mut stream, part).await;
            tokio::task::yield_now().await;
        }
        assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"early".to_vec()));
    }
}

#[tokio::test]
async fn pages_json_services_and_refusals_of_http() {
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        let text = format!("{} {}", request.method(), request.uri().path());
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(text))))
    });
    let page = Page::html("<p>hi").header("x-frame-options", "DENY").header("bad name", "x");
    let router = Router::new()
        .page("/", page)
        .json("/status", || r#"{"up":1}"#.to_owned())
        .service("/api/*", service)
        .ws("/ws", ws(echo));
    let running = serve(router).await;
    let mut kept = running.connect().await;
    for (request, status, contains, body) in [
        ("GET / HTTP/1.1\r\n", 200, "x-frame-options: deny", "<p>hi"),
        ("GET /status HTTP/1.1\r\n", 200, "content-type: application/json", r#"{"up":1}"#),
        ("POST /api/x HTTP/1.1\r\n", 200, "", "POST /api/x"),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n", 405, "allow: get, head", "method not allowed"),
        ("GET /none HTTP/1.1\r\n", 404, "text/plain", "not found"),
        ("GET /ws HTTP/1.1\r\n", 426, "upgrade: websocket", "here is a WebSocket"),
    ] {
        let request = format!("{request}Host: x\r\n\r\n");
        for stream in [&mut kept, &mut running.connect().await] {
            write(stream, request.as_bytes()).await;
            let (got, head, text) = read_response(stream).await.unwrap();
            assert_eq!((got, String::from_utf8_lossy(&text).as_ref()), (status, body), "{request}");
            assert!(head.contains(contains), "{head}");
        }
    }
    write(&mut kept, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_head(&mut kept).await.unwrap().to_ascii_lowercase().contains("content-length: 5\r\n"));
    // The connection that hyper has kept becomes a WebSocket.
    let wire = [upgrade_request("/ws", "").into_bytes(), client_frame(TEXT, b"early")].concat();
    write(&mut kept, &wire).await;
    assert_eq!(read_response(&mut kept).await.unwrap().0, 101);
    assert_eq!(read_frame(&mut kept).await.unwrap(), (TEXT, b"early".to_vec()));
    assert_eq!(running.handle.count(), 1);
}

/// Class M: every rule holds before 101, on a new connection and on one that hyper has kept.
#[tokio::test]
async fn policy_is_the_same_on_a_new_and_on_a_kept_connection() {
    let gated = ws(echo).subprotocols(["x", "y"]).gate(|context: Context| async move {
        match context.query() {
            Some("no") => Verdict::Reject {
                status: 401,
                headers: vec![("WWW-Authenticate".into(), "Bearer".into())],
                body: "who are you".into(),
            },
            Some("inject") => Verdict::Accept {
                subprotocol: None,
                headers: vec![("X".into(), "a\r\nB: c".into())],
                value: (),
            },
            Some("status") => Verdict::reject(101, ""),
            _ => Verdict::Accept {
                subprotocol: Some("y".into()),
                headers: vec![("X-Seen".into(), "1".into())],
                value: (),
            },
        }
    });
    let router = Router::new()
        .page("/", Page::html("x"))
        .ws("/same", ws(echo))
        .ws(
            "/list",
            ws(echo).origins(Origins::allow([
                "https://good.example",
                "file://",
                "http://dev.example:*",
                "https://*.good.example:443/",
            ])),
        )
        .ws("/any", ws(echo).origins(Origins::any()))
        .ws("/gate", gated);
    let running = serve_with(router, |server| server.hosts(["localhost"])).await;
    let own = "Origin: http://localhost:8080\r\n";
    let good = "Origin: https://good.example\r\n";
    let evil = "Origin: https://evil.example\r\n";
    let request = |path: &str, more: &str| upgrade_request(path, more);
    let without = |line: &str| request("/same", "").replace(line, "");
    let table = [
        (request("/same", ""), 101),
        (request("/same", own), 101),
        // A proxy may have taken TLS off: the scheme does not count.
        (request("/same", "Origin: https://localhost:8080\r\n"), 101),
        (request("/same", "Origin: http://localhost:8081\r\n"), 403),
        (request("/same", "Origin: null\r\n"), 403),
        (request("/same", evil), 403),
        (request("/list", good), 101),
        (request("/list", own), 101),
        (request("/list", evil), 403),
        (request("/list", "Origin: https://good.example.evil.example\r\n"), 403),
        (request("/list", "Origin: https://good.example:443\r\n"), 101),
        (request("/list", "Origin: file://\r\n"), 101),
        (request("/list", "Origin: http://dev.example:3000\r\n"), 101),
        (request("/list", "Origin: https://a.b.good.example\r\n"), 101),
        (request("/list", "Origin: http://a.good.example\r\n"), 403),
        (request("/list", "Origin:\r\n"), 400),
        (request("/list", &[good, good].concat()), 400),
        (request("/same", &[own, own].concat()), 400),
        (request("/same", "Origin:\r\n"), 400),
        (request("/any", evil), 101),
        (request("/any", "Origin:\r\n"), 101),
        (request("/any", &[evil, good].concat()), 101),
        (request("/any", "Origin: http://caf\u{e9}\r\n"), 101),
        (request("/none", ""), 404),
        (request("/same", "").replace("localhost:8080", "rebound.example"), 421),
        (request("/same", "").replace("localhost:8080", "LOCALHOST"), 101),
        (request("/same", own).replace("Host: localhost:8080", "Host: localhost.:8080"), 101),
        (request("/same", "").replace("Version: 13", "Version: 8"), 426),
        (without("Sec-WebSocket-Version: 13\r\n"), 426),
        (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (without("Connection: Upgrade\r\n"), 400),
        (request("/same", "").replace("GET", "POST"), 405),
        (request("/same", "Sec-WebSocket-Protocol: a,a\r\n"), 400),
        (request("/gate?no", ""), 401),
        (request("/gate?no", evil), 403),
        (request("/gate?inject", ""), 500),
        (request("/gate?status", ""), 500),
        (request("/gate", "Sec-WebSocket-Protocol: x, y\r\n"), 101),
        (request("/gate", ""), 500),
    ];
    for (request, expected) in table {
        let (fresh, fresh_head, body) = running.ask(&request).await;
        let mut kept = running.kept().await;
        write(&mut kept, request.as_bytes()).await;
        let (kept, kept_head, kept_body) = read_response(&mut kept).await.unwrap();
        assert_eq!((fresh, kept), (expected, expected), "{request}{fresh_head}{kept_head}");
        assert_eq!(body, kept_body, "{request}");
        for line in fresh_head.lines().skip(1).filter(|line| !line.starts_with("connection")) {
            assert!(kept_head.contains(line), "{line} of {fresh_head} in {kept_head}");
        }
        assert!(!fresh_head.contains("\nb: c"));
    }
    let (_, head, _) = running.ask(&upgrade_request("/gate", "Sec-WebSocket-Protocol: x, y\r\n")).await;
    assert!(head.contains("sec-websocket-protocol: y\r\n") && head.contains("x-seen: 1\r\n"), "{head}");
}

#[tokio::test]
async fn heads_are_limited() {
    let limits = Limits { head_bytes: 1000, head_fields: 20, ..Limits::new() };
    let running = serve_with(Router::new().ws("/ws", ws(echo)), |server| server.limits(limits)).await;
    let many = "X: y\r\n".repeat(2000);
    for (request, status) in [
        (upgrade_request("/ws", &many), 431),
        (upgrade_request("/ws", &format!("X: {}\r\n", "y".repeat(2000))), 431),
        (upgrade_request(&format!("/{}", "y".repeat(2000)), ""), 414),
        ("GET /ws HTTP/1.1\r\nX\0: y\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(running.ask(&request).await.0, status);
    }
    running.open("/ws").await;
}

#[tokio::test]
async fn one_connection_too_many_gets_503_until_another_ends() {
    let full = Capacity { connections: 3, ..Capacity::default() };
    let address = Capacity { per_address: 3, proxies: Vec::new(), ..Capacity::default() };
    for capacity in [full, address] {
        let running = serve_with(Router::new().ws("/ws", ws(echo)), |server| server.capacity(capacity)).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(running.open("/ws").await);
        }
        let mut refused = running.connect().await;
        assert!(read_head(&mut refused).await.unwrap().starts_with("HTTP/1.1 503 "));
        // A close frame, its answer, and the end: then there is room again.
        let mut first = open.swap_remove(0);
        write(&mut first, &client_frame(CLOSE, &close_payload(1000))).await;
        assert_eq!(read_frame(&mut first).await.unwrap().0, CLOSE);
        assert_eq!(read_all(&mut first).await, b"");
        drop(first);
        while running.handle.count() > 2 {
            tokio::task::yield_now().await;
        }
        loop {
            // The permit goes a moment after the connection.
            let mut stream = running.connect().await;
            let _ = stream.write_all(upgrade_request("/ws", "").as_bytes()).await;
            if read_head(&mut stream).await.is_ok_and(|head| head.starts_with("HTTP/1.1 101 ")) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn half_open_handshakes_are_limited_and_do_not_count_when_they_are_done() {
    let capacity = Capacity { handshakes: 2, ..Capacity::default() };
    let running = serve_with(Router::new().ws("/ws", ws(echo)), |server| server.capacity(capacity)).await;
    let done = (running.open("/ws").await, running.open("/ws").await, running.open("/ws").await);
    let half = (running.connect().await, running.connect().await);
    let mut refused = running.connect().await;
    assert!(read_head(&mut refused).await.unwrap().starts_with("HTTP/1.1 503 "));
    drop((done, half));
}

/// The socket of a refused newcomer was closed with its request unread: a reset, which takes the 503 with it.
#[tokio::test]
async fn the_503_of_a_refused_newcomer_was_lost_in_a_reset() {
    let capacity = Capacity { connections: 1, ..Capacity::default() };
    let running = serve_with(Router::new().ws("/ws", ws(echo)), |server| server.capacity(capacity)).await;
    let _open = running.open("/ws").await;
    for _ in 0..30 {
        let mut refused = running.newcomer();
        let mut answer = Vec::new();
        refused.read_to_end(&mut answer).await.expect("an end, and no reset");
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
        // What it sends after the answer does no harm either.
        write(&mut refused, &[0; 1000]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_newcomers_that_stay_are_let_go() {
    let capacity = Capacity { connections: 1, ..Capacity::default() };
    let running = serve_with(Router::new().ws("/ws", ws(echo)), |server| server.capacity(capacity)).await;
    let _open = running.open("/ws").await;
    let mut staying = Vec::new();
    for _ in 0..200 {
        let mut refused = running.newcomer();
        let _ = read_head(&mut refused).await;
        staying.push(refused);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    // There is time for the next one again.
    assert!(running.newcomer().read_to_end(&mut Vec::new()).await.is_ok());
    drop(staying);
}

/// Class P, the first deadline.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_gets_408_and_silence_gets_nothing() {
    let running = serve(Router::new().ws("/ws", ws(echo)).page("/", Page::html("x"))).await;
    let began = tokio::time::Instant::now();
    let mut slow = running.connect().await;
    write(&mut slow, b"GET /ws HTTP/1.1\r\nHost: lo").await;
    assert_eq!(read_response(&mut slow).await.unwrap().0, 408);
    let mut silent = running.connect().await;
    assert_eq!(read_all(&mut silent).await, b"");
    // A kept connection waits no longer for its next request.
    let mut kept = running.kept().await;
    assert_eq!(read_all(&mut kept).await, b"");
    let took = began.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(40)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_servers_ticker_keeps_the_deadlines_of_its_connections() {
    let running = serve(Router::new().ws("/ws", ws(echo))).await;
    let mut stream = running.open("/ws").await;
    let began = tokio::time::Instant::now();
    assert_eq!(read_frame(&mut stream).await.unwrap().0, PING);
    let pinged = began.elapsed();
    assert!((Duration::from_secs(19)..Duration::from_secs(22)).contains(&pinged), "{pinged:?}");
    assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(3008).to_vec()));
    let failed = began.elapsed();
    assert!((Duration::from_secs(39)..Duration::from_secs(43)).contains(&failed), "{failed:?}");
    assert_eq!(read_all(&mut stream).await, b"");
    drop(stream);
    while running.handle.count() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn connections_are_listed_sent_to_broadcast_to_and_closed_by_number() {
    let running = serve(Router::new().ws("/a", ws(echo)).ws("/b/{x}", ws(echo))).await;
    let mut a = running.open("/a").await;
    let mut b = running.open("/b/1").await;
    let list = running.handle.connections();
    assert_eq!(list.iter().map(|info| &*info.route).collect::<Vec<_>>(), ["/a", "/b/{x}"]);
    assert_eq!(list[0].peer, Some(a.local_addr().unwrap()));
    let (first, second) = (list[0].id, list[1].id);
    running.handle.try_send(second, "to b").unwrap();
    assert_eq!(read_frame(&mut b).await.unwrap(), (TEXT, b"to b".to_vec()));
    assert_eq!(running.handle.broadcast(vec![1, 2]), 2);
    for stream in [&mut a, &mut b] {
        assert_eq!(read_frame(stream).await.unwrap(), (BINARY, vec![1, 2]));
    }
    running.handle.try_send(first, "last").unwrap();
    running.handle.close(first, CloseCode::POLICY_VIOLATION, "go").unwrap();
    assert_eq!(read_frame(&mut a).await.unwrap(), (TEXT, b"last".to_vec()));
    assert_eq!(read_frame(&mut a).await.unwrap(), (CLOSE, b"\x03\xf0go".to_vec()));
    assert!(matches!(running.handle.close(first, CloseCode::NORMAL, ""), Err(Error::Closed)));
    write(&mut a, &client_frame(CLOSE, &close_payload(1008))).await;
    assert_eq!(read_all(&mut a).await, b"");
    drop(a);
    while running.handle.count() > 1 {
        tokio::task::yield_now().await;
    }
    // The next connection takes the place, but not the number.
    let mut c = running.open("/a").await;
    assert!(running.handle.sender(first).is_none());
    let lost = running.handle.try_send(first, "stale");
    assert_eq!(lost, Err(TrySendError::Closed("stale".into())));
    assert!(matches!(running.handle.close(first, CloseCode::NORMAL, ""), Err(Error::Closed)));
    assert_eq!(running.handle.broadcast("all"), 2);
    assert_eq!(read_frame(&mut c).await.unwrap(), (TEXT, b"all".to_vec()));
}

#[tokio::test]
async fn a_panic_closes_one_connection_and_no_other() {
    std::panic::set_hook(Box::new(|_| {}));
    let at_once = |_: WebSocket, context: Context| {
        assert!(context.query().is_none(), "a panic before the first await");
        async {}
    };
    let later = |mut ws: WebSocket, _: Context| async move {
        let message = ws.recv().await;
        assert!(message.is_err(), "a panic in the handler");
    };
    let router = Router::new().ws("/echo", ws(echo)).ws("/at-once", ws(at_once)).ws("/later", ws(later));
    let running = serve(router).await;
    let mut survivor = running.open("/echo").await;
    let mut one = running.open("/at-once?x").await;
    assert_eq!(read_frame(&mut one).await.unwrap(), (CLOSE, close_payload(1011).to_vec()));
    let mut two = running.open("/later").await;
    write(&mut two, &client_frame(TEXT, b"now")).await;
    assert_eq!(read_frame(&mut two).await.unwrap(), (CLOSE, close_payload(1011).to_vec()));
    write(&mut survivor, &client_frame(TEXT, b"still here")).await;
    assert_eq!(read_frame(&mut survivor).await.unwrap(), (TEXT, b"still here".to_vec()));
    let _ = std::panic::take_hook();
}

#[tokio::test]
async fn stopping_says_1001_to_all_takes_nobody_and_ends() {
    let router = Router::new().ws("/ws", ws(echo)).page("/", Page::html("x"));
    let mut running = serve(router).await;
    let mut stream = running.open("/ws").await;
    let mut kept = running.kept().await;
    running.handle.stop();
    assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
    write(&mut stream, &client_frame(CLOSE, &close_payload(1001))).await;
    assert_eq!(read_all(&mut stream).await, b"");
    drop(stream);
    assert_eq!(read_all(&mut kept).await, b"");
    (&mut running.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn stopping_is_bounded_when_peers_and_handlers_do_not_end() {
    let deaf = |ws: WebSocket, _: Context| async move {
        std::future::pending::<()>().await;
        drop(ws);
    };
    let router = Router::new().ws("/deaf", ws(deaf)).ws("/ws", ws(echo));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let change = |server: Server| server.grace(Duration::from_secs(7)).shutdown_on(stopped);
    let mut running = serve_with(router, change).await;
    let deaf = (running.open("/deaf").await, running.open("/ws").await);
    let began = tokio::time::Instant::now();
    stop.send(()).unwrap();
    (&mut running.task).await.unwrap().unwrap();
    let took = began.elapsed();
    assert!((Duration::from_secs(6)..Duration::from_secs(9)).contains(&took), "{took:?}");
    assert_eq!(running.handle.count(), 0);
    drop(deaf);
}

#[tokio::test]
async fn a_route_that_cannot_work_is_an_error_of_serve() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let error = server.serve(Router::new().ws("/a", ws(echo)).ws("/a", ws(echo))).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("/a"));
}

#[tokio::test]
async fn other_tasks_send_while_the_handler_waits_and_after_it_has_split() {
    let route = ws(|ws: WebSocket, context: Context| async move {
        let (send, mut receive) = ws.split();
        let sender = send.sender();
        let id = context.id().unwrap();
        while let Some(message) = receive.recv().await? {
            let (sender, server) = (sender.clone(), context.server().clone());
            tokio::spawn(async move {
                sender.send(Message::from("Async data")).await.unwrap();
                server.try_send(id, message).unwrap();
            });
        }
        Ok::<_, Error>(())
    });
    let running = serve(Router::new().ws("/ws", route)).await;
    let mut stream = running.open("/ws").await;
    for _ in 0..3 {
        write(&mut stream, &client_frame(TEXT, b"Trigger async")).await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"Async data".to_vec()));
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"Trigger async".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_connections_senders_and_threads_lose_nothing() {
    let route = ws(|ws: WebSocket, _: Context| async move {
        let sender = ws.sender();
        let (mut send, mut receive) = ws.split();
        // Every other message goes back by another task and through the queue.
        let (to, mut from) = tokio::sync::mpsc::channel(8);
        let other = tokio::spawn(async move {
            while let Some(message) = from.recv().await {
                let message: Message = message;
                sender.send(message).await.unwrap();
            }
        });
        let mut turn = false;
        while let Some(message) = receive.recv().await? {
            turn = !turn;
            match turn {
                true => send.send(message).await?,
                false => to.send(message).await.unwrap(),
            }
        }
        drop(to);
        other.await.unwrap();
        Ok::<_, Error>(())
    });
    let running = serve(Router::new().ws("/ws", route)).await;
    let mut clients = Vec::new();
    for client in 0..20_usize {
        let stream = running.open("/ws").await;
        clients.push(tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let writing = tokio::spawn(async move {
                for n in 0..300 {
                    let text = format!("{n} {}", "x".repeat((n * client) % 3000));
                    peer::write(&mut write, &client_frame(TEXT, text.as_bytes())).await;
                }
                write
            });
            let mut missing: std::collections::BTreeSet<_> = (0..300).collect();
            while !missing.is_empty() {
                let (first, text) = read_frame(&mut read).await.unwrap();
                let text = String::from_utf8(text).unwrap();
                let n: usize = text.split(' ').next().unwrap().parse().unwrap();
                assert_eq!((first, text), (TEXT, format!("{n} {}", "x".repeat((n * client) % 3000))));
                assert!(missing.remove(&n));
            }
            drop(writing.await.unwrap());
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

/// Runs itself again with few file descriptors.
#[test]
#[cfg(target_os = "linux")]
fn running_out_of_file_descriptors_is_waited_out() {
    let program = std::env::current_exe().unwrap();
    let command = format!("ulimit -n 40 && exec {program:?} --ignored --exact with_few_file_descriptors");
    let status = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(String::from_utf8_lossy(&status.stdout).contains("1 passed"));
}

/// How long the thread that has opened the file has run.
struct CpuTime(std::fs::File);

impl CpuTime {
    fn time(&mut self) -> Duration {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0)).unwrap();
        self.0.read_to_string(&mut text).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

#[test]
#[ignore = "needs a limit of 40 file descriptors"]
fn with_few_file_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let running = serve(Router::new().ws("/ws", ws(echo))).await;
        let mut cpu = CpuTime(std::fs::File::open("/proc/thread-self/schedstat").unwrap());
        // One descriptor is kept for a last client, whose connection the server then cannot accept.
        let spare = std::fs::File::open("/dev/null").unwrap();
        let mut open = Vec::new();
        while let Ok(stream) = TcpStream::connect(running.address).await {
            open.push(stream);
            tokio::task::yield_now().await;
        }
        drop(spare);
        let mut last = TcpStream::connect(running.address).await.unwrap();
        write(&mut last, upgrade_request("/ws", "").as_bytes()).await;
        let (began, worked) = (std::time::Instant::now(), cpu.time());
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Accepting again and again would take all of the time, however fast the machine is.
        assert!((cpu.time() - worked) * 2 < began.elapsed());
        drop(open);
        assert!(read_head(&mut last).await.unwrap().starts_with("HTTP/1.1 101 "));
    });
}

/// A socket that is closed with unread input is reset, and takes what it has sent with it.
#[tokio::test]
async fn the_close_frame_of_a_failed_connection_arrives_whatever_the_peer_goes_on_sending() {
    let running = serve(Router::new().ws("/ws", ws(echo))).await;
    for _ in 0..20 {
        let mut stream = running.open("/ws").await;
        write(&mut stream, &client_frame(0x83, b"a reserved opcode")).await;
        for _ in 0..20 {
            write(&mut stream, &[0; 50_000]).await;
        }
        assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(1002).to_vec()));
        // The end of input, and no reset: what the peer goes on sending is discarded.
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        for _ in 0..5 {
            write(&mut stream, &[0; 50_000]).await;
        }
    }
    // So it is with refused handshakes.
    let mut stream = running.connect().await;
    let request = upgrade_request("/none", "");
    write(&mut stream, request.as_bytes()).await;
    write(&mut stream, &[0; 100_000]).await;
    assert_eq!(read_response(&mut stream).await.unwrap().0, 404);
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    for _ in 0..5 {
        write(&mut stream, &[0; 50_000]).await;
    }
}

/// A host or an origin that nothing matches was taken, and refused everybody in silence.
#[tokio::test]
async fn a_host_or_an_origin_that_nothing_matches_was_taken() {
    let bind = || Server::bind("127.0.0.1:0");
    for host in ["http://example.com", "example.com/a", "*", "a.*.com", "example.com:0", ""] {
        let error = bind().await.unwrap().hosts([host]).serve(Router::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{host}");
        assert!(error.to_string().contains(&format!("{host:?}")), "{error}");
    }
    for origin in ["example.com", "*", "https://example.com/a", "https://", "https://a:99999"] {
        let router = Router::new().ws("/ws", ws(echo).origins(Origins::allow([origin])));
        let error = bind().await.unwrap().serve(router).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{origin}");
        assert!(error.to_string().contains(&format!("{origin:?}")), "{error}");
    }
}

/// Only the name alone was looked at, letter by letter.
#[tokio::test]
async fn hosts_are_served_as_their_operator_has_written_them() {
    let hosts = ["example.com:80", "*.example.org", "::1", "Localhost"];
    let running = serve_with(Router::new().page("/", Page::html("x")), |server| server.hosts(hosts)).await;
    for (host, status) in [
        ("example.com", 200),
        ("example.com.", 200),
        ("EXAMPLE.com:80", 200),
        ("example.com:81", 421),
        ("a.b.example.org:8080", 200),
        ("example.org", 421),
        ("[::1]:8080", 200),
        ("[::2]", 421),
        ("localhost.:1", 200),
        ("127.0.0.1", 421),
        ("", 421),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(running.ask(&request).await.0, status, "{host}");
        let absolute = format!("GET http://{host}/ HTTP/1.1\r\nHost: other.example\r\n\r\n");
        if !host.is_empty() {
            assert_eq!(running.ask(&absolute).await.0, status, "{host}");
        }
    }
}
