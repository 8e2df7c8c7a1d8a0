//! Requests that async functions answer: bodies and responses that are larger than all buffers.

use std::string::String;
use std::vec::Vec;

use super::support::*;
use crate::http::{BasicAuth, Error, Event, Exchange, File, Methods, Reply};
use crate::server::{Route, Settings};

const AUTH: BasicAuth<'_> = BasicAuth { realm: "device", user: "admin", password: "secret" };

static ROUTES: [Route<'static>; 8] = [
    Route::file("/", File::new(b"page", "text/html")),
    Route::pull("/sum", Methods::POST.and(Methods::GET)).with_body(100_000),
    Route::pull("/count/{lines}", Methods::GET).named("count"),
    Route::pull("/echo", Methods::POST),
    Route::pull("/small", Methods::POST).with_body(8),
    Route::pull("/private", Methods::POST).with_auth(AUTH),
    Route::pull("/ignores", Methods::POST),
    Route::pull("/odd/*", Methods::GET.and(Methods::POST)),
];

async fn answer(mut exchange: Exchange<'_>) -> Result<(), Error> {
    match exchange.route() {
        "/sum" => {
            let (mut block, mut sum, mut count) = ([0; 100], 0_u64, 0);
            loop {
                match exchange.read(&mut block).await? {
                    0 => break,
                    n => {
                        sum += block[..n].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                        count += n;
                    }
                }
            }
            exchange.send(&Reply::new(200, "text/plain"), std::format!("{count} {sum}")).await
        }
        "count" => {
            let lines: usize = exchange.path_parameter("lines").unwrap().parse().unwrap();
            exchange.start(&Reply::new(200, "text/csv").with_headers(&[("X-Made", "here")])).await?;
            for line in 0..lines {
                exchange.write(std::format!("{line:06}\n")).await?;
            }
            Ok(())
        }
        "/echo" => {
            exchange.start(&Reply::new(200, "application/octet-stream")).await?;
            let mut block = [0; 33];
            loop {
                match exchange.read(&mut block).await? {
                    0 => return Ok(()),
                    n => exchange.write(&block[..n]).await?,
                }
            }
        }
        "/small" | "/private" => {
            let mut whole = [0; 6];
            let len = exchange.body(&mut whole).await?.len();
            exchange.send(&Reply::new(201, ""), &whole[..len]).await
        }
        "/ignores" => exchange.send(&Reply::new(507, "text/plain"), "no").await,
        _ => odd(exchange).await,
    }
}

/// What goes wrong.
async fn odd(mut exchange: Exchange<'_>) -> Result<(), Error> {
    match exchange.head().path() {
        "/odd/silent" => Ok(()),
        "/odd/fails" => Err(Error::Misuse),
        "/odd/short" => {
            exchange.start(&Reply { len: Some(10), ..Reply::new(200, "text/plain") }).await?;
            exchange.write("12345").await?;
            assert_eq!(exchange.write("123456").await, Err(Error::Misuse));
            Ok(())
        }
        "/odd/cut" => {
            exchange.start(&Reply::new(200, "text/plain")).await?;
            exchange.write("half").await?;
            Err(Error::Misuse)
        }
        "/odd/twice" => {
            assert_eq!(exchange.write("early").await, Err(Error::Misuse));
            for (status, headers, error) in [
                (100, &[][..], Error::Misuse),
                (200, &[("X", "a\r\nb")][..], Error::Head),
                (200, &[("X:", "a")][..], Error::Head),
                (200, &[("X", LONG)][..], Error::Head),
            ] {
                assert_eq!(
                    exchange.start(&Reply::new(status, "a/b").with_headers(headers)).await,
                    Err(error)
                );
            }
            exchange.send(&Reply::new(200, "text/plain"), "once").await?;
            assert_eq!(exchange.start(&Reply::new(200, "text/plain")).await, Err(Error::Misuse));
            Ok(())
        }
        "/odd/waits" => {
            exchange.start(&Reply::new(200, "text/plain")).await?;
            exchange.write("a").await?;
            exchange.write("b").await?;
            exchange.flush().await?;
            core::future::pending::<()>().await;
            Ok(())
        }
        "/odd/events" => {
            let mut events = exchange.events(&[("X-Made", "here")]).await?;
            events.retry(core::time::Duration::from_millis(1500)).await?;
            events.send(&Event::new("one\ntwo\r\nthree\rfour\n")).await?;
            events.send(&Event { name: Some("warm"), id: Some("17"), data: "" }).await?;
            events.comment("still here").await?;
            let broken = Event { name: Some("a\ndata: b"), ..Event::new("c") };
            assert_eq!(events.send(&broken).await, Err(Error::Misuse));
            Ok(())
        }
        "/odd/empty" => exchange.send(&Reply::new(204, "text/plain"), "never sent").await,
        path => unreachable!("{path}"),
    }
}

const LONG: &str = match core::str::from_utf8(&[b'a'; 600]) {
    Ok(text) => text,
    Err(_) => "",
};

fn over(capacity: usize, script: impl AsyncFnOnce(Rig<'_>)) {
    let settings = Settings::new(&ROUTES);
    let run =
        async |worker: &mut crate::server::Worker<'_, '_, 256, 256>, net: &mut Net, clock: &ManualClock| {
            worker.run_http_with(net, clock, answer).await;
        };
    serve_by::<3, 256, 256, 64>(&settings, capacity, run, script);
}

/// The chunks of a response, checked and joined.
async fn chunks(peer: &mut Dialed) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let head = String::from_utf8(peer.take(4).await).unwrap();
        // The last one has a single digit.
        if let Some(rest) = head.strip_prefix("0\r\n") {
            assert_eq!((rest, peer.take(1).await), ("\r", b"\n".to_vec()));
            return body;
        }
        assert_eq!(peer.take(2).await, b"\r\n");
        let size = usize::from_str_radix(&head, 16).unwrap();
        assert!(size > 0);
        body.extend(peer.take(size).await);
        assert_eq!(peer.take(2).await, b"\r\n");
    }
}

#[test]
fn a_body_larger_than_the_buffers_passes_through_them() {
    for capacity in [1, 16, 4096] {
        over(capacity, async |rig| {
            let mut peer = rig.net.dial();
            let image: Vec<u8> = (0..20_000_u32).map(|at| (at * 7 % 251) as u8).collect();
            let sum: u64 = image.iter().map(|byte| u64::from(*byte)).sum();
            for _ in 0..2 {
                peer.send("POST /sum HTTP/1.1\r\nHost: d\r\nContent-Length: 20000\r\n\r\n").await;
                peer.send(&image).await;
                let (head, body) = peer.response().await;
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("close"), "{head}");
                assert_eq!(body, std::format!("20000 {sum}").as_bytes());
                peer.send("POST /sum HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                for part in image.chunks(777) {
                    peer.send(std::format!("{:x};n=1\r\n", part.len())).await;
                    peer.send(part).await;
                    peer.send("\r\n").await;
                }
                peer.send("0\r\nX-Sum: 1\r\n\r\n").await;
                assert_eq!(peer.response().await.1, std::format!("20000 {sum}").as_bytes());
            }
            assert_eq!(peer.get("/", "").await.1, b"page");
        });
    }
}

/// Every split of two requests behind each other, of which the first has a body of each kind.
#[test]
fn bodies_are_the_same_at_every_split() {
    for framed in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n",
    ] {
        let both = std::format!("POST /sum HTTP/1.1\r\nHost: d\r\n{framed}GET / HTTP/1.1\r\nHost: d\r\n\r\n");
        over(512, async |rig| {
            for at in 0..=both.len() {
                let mut peer = rig.net.dial();
                let (front, back) = both.split_at(at);
                peer.send(front).await;
                rig.clock.sleep(1).await;
                peer.send(back).await;
                assert_eq!(peer.response().await.1, b"5 532", "{at}");
                assert_eq!(peer.response().await.1, b"page", "{at}");
            }
            let mut peer = rig.net.dial();
            peer.trickle(&both).await;
            assert_eq!(peer.response().await.1, b"5 532");
            assert_eq!(peer.response().await.1, b"page");
        });
    }
}

#[test]
fn a_response_of_unknown_length_comes_in_chunks() {
    for capacity in [1, 16, 4096] {
        over(capacity, async |rig| {
            let mut peer = rig.net.dial();
            for lines in [0, 1, 40, 1000] {
                peer.send(std::format!("GET /count/{lines} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
                assert_eq!(
                    peer.head().await,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\nX-Made: here\r\n\r\n"
                );
                let expected: String = (0..lines).map(|line| std::format!("{line:06}\n")).collect();
                assert_eq!(String::from_utf8(chunks(&mut peer).await).unwrap(), expected);
            }
            // HEAD has the same head and no body; HTTP/1.0 knows no chunks.
            peer.send("HEAD /count/1000 HTTP/1.1\r\nHost: d\r\n\r\n").await;
            assert!(peer.head().await.contains("Transfer-Encoding: chunked\r\n"));
            peer.send("GET /count/3 HTTP/1.0\r\n\r\n").await;
            let head = peer.head().await;
            assert!(head.contains("Connection: close\r\n") && !head.contains("Transfer-Encoding"), "{head}");
            assert_eq!(peer.rest().await, b"000000\n000001\n000002\n");
        });
    }
}

#[test]
fn what_was_written_leaves_when_the_function_waits() {
    over(512, async |rig| {
        let mut peer = rig.net.dial();
        peer.send("GET /odd/waits HTTP/1.1\r\nHost: d\r\n\r\n").await;
        peer.head().await;
        assert_eq!(peer.take(10).await, b"0002\r\nab\r\n");
        // A stop does not wait for ever for a function that does.
        rig.handle.stop();
        assert!(peer.rest().await.is_empty());
        assert_eq!(rig.clock.now.get(), 5_000);
    });
}

#[test]
fn a_body_is_echoed_while_it_arrives() {
    over(64, async |rig| {
        let mut peer = rig.net.dial();
        peer.send("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 3000\r\n\r\n").await;
        // Nobody knows yet whether the body will be read to its end.
        assert!(peer.head().await.contains("Connection: close\r\n"));
        let mut back = Vec::new();
        for _ in 0..30 {
            peer.send([b'x'; 100]).await;
            while back.len() < 90 {
                let size = usize::from_str_radix(core::str::from_utf8(&peer.take(6).await[..4]).unwrap(), 16);
                back.extend(peer.take(size.unwrap()).await);
                peer.take(2).await;
            }
            back.drain(..90);
        }
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_before_or_while_it_arrives() {
    over(64, async |rig| {
        for (path, headers, body, status) in [
            ("/small", "Content-Length: 9", "123456789", 413),
            ("/small", "Content-Length: 7", "1234567", 413),
            ("/small", "Content-Length: 6", "123456", 201),
            ("/small", "Transfer-Encoding: chunked", "9\r\n123456789\r\n0\r\n\r\n", 413),
            ("/small", "Transfer-Encoding: chunked", "7\r\n1234567\r\n0\r\n\r\n", 413),
            ("/sum", "Transfer-Encoding: chunked", "18696\r\n", 408),
            ("/sum", "Transfer-Encoding: chunked", "5\nhello", 400),
            ("/sum", "Transfer-Encoding: chunked, gzip", "", 400),
            ("/sum", "Transfer-Encoding: gzip, chunked", "", 501),
            ("/sum", "Transfer-Encoding: chunked\r\nContent-Length: 5", "hello", 400),
            ("/sum", "Content-Length: 100001", "", 413),
            ("/sum", "Content-Length: 99999999999999999999", "", 400),
        ] {
            let mut peer = rig.net.dial();
            peer.send(std::format!("POST {path} HTTP/1.1\r\nHost: d\r\n{headers}\r\n\r\n{body}")).await;
            let (head, text) = peer.response().await;
            assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{path} {headers}: {head}");
            assert!(!text.is_empty());
            // The connection is kept where the body was read to its end.
            let ends = !matches!(body, "123456" | "1234567" | "7\r\n1234567\r\n0\r\n\r\n");
            assert_eq!(head.contains("Connection: close\r\n"), ends, "{path} {headers}: {head}");
            if ends {
                assert!(peer.rest().await.is_empty(), "{path} {headers}");
            }
        }
    });
}

#[test]
fn who_waits_for_leave_has_it_when_the_body_is_wanted() {
    over(64, async |rig| {
        let ask = |path: &str, len: usize, more: &str| {
            std::format!(
                "POST {path} HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: {len}\r\n{more}\r\n"
            )
        };
        let mut peer = rig.net.dial();
        peer.send(ask("/sum", 5, "")).await;
        assert_eq!(peer.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        peer.send("hello").await;
        assert_eq!(peer.response().await.1, b"5 532");
        // Who does not wait gets none, and who is refused neither.
        peer.send(ask("/sum", 5, "") + "hello").await;
        assert!(peer.response().await.0.starts_with("HTTP/1.1 200 "));
        for (path, len, status) in [("/small", 9, 413), ("/private", 5, 401), ("/ignores", 5, 507)] {
            let mut peer = rig.net.dial();
            peer.send(ask(path, len, "")).await;
            let head = peer.head().await;
            assert!(head.starts_with(&std::format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains("Connection: close\r\n"), "{head}");
        }
        let mut peer = rig.net.dial();
        peer.send(ask("/private", 5, "Authorization: Basic YWRtaW46c2VjcmV0\r\n")).await;
        assert_eq!(peer.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        peer.send("hello").await;
        assert_eq!(peer.response().await.1, b"hello");
    });
}

#[test]
fn who_is_refused_may_go_on_sending_and_still_reads_why() {
    over(64, async |rig| {
        let mut peer = rig.net.dial();
        peer.send("POST /ignores HTTP/1.1\r\nHost: d\r\nContent-Length: 10000\r\n\r\n").await;
        peer.send([b'x'; 10_000]).await;
        let (head, body) = peer.response().await;
        assert!(head.starts_with("HTTP/1.1 507 ") && head.contains("Connection: close\r\n"), "{head}");
        assert_eq!(body, b"no");
    });
}

#[test]
fn a_function_without_a_response_has_one() {
    over(64, async |rig| {
        let mut peer = rig.net.dial();
        peer.send("GET /odd/silent HTTP/1.1\r\nHost: d\r\n\r\n").await;
        assert_eq!(peer.head().await, "HTTP/1.1 204 No Content\r\n\r\n");
        peer.send("GET /odd/empty HTTP/1.1\r\nHost: d\r\n\r\n").await;
        assert_eq!(peer.head().await, "HTTP/1.1 204 No Content\r\n\r\n");
        let (head, _) = peer.get("/odd/fails", "").await;
        assert!(head.starts_with("HTTP/1.1 500 ") && !head.contains("close"), "{head}");
        assert_eq!(peer.get("/odd/twice", "").await.1, b"once");
        assert_eq!(peer.get("/", "").await.1, b"page");
    });
}

/// What a function leaves unfinished must not look whole, nor be the front of the next response.
#[test]
fn a_response_that_breaks_off_is_cut_off() {
    over(64, async |rig| {
        for (path, body) in [("/odd/short", &b"12345"[..]), ("/odd/cut", b"0004\r\nhalf\r\n")] {
            let mut peer = rig.net.dial();
            peer.send(std::format!(
                "GET {path} HTTP/1.1\r\nHost: d\r\n\r\nGET / HTTP/1.1\r\nHost: d\r\n\r\n"
            ))
            .await;
            peer.head().await;
            assert_eq!(peer.rest().await, body, "{path}");
        }
    });
}

#[test]
fn slow_peers_of_both_directions_are_given_up() {
    over(16, async |rig| {
        // A body that does not go on: 10 s behind its last byte.
        let mut peer = rig.net.dial();
        peer.send("POST /sum HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nab").await;
        rig.clock.sleep(9_000).await;
        peer.send("c").await;
        assert!(peer.response().await.0.starts_with("HTTP/1.1 408 "));
        assert_eq!(rig.clock.now.get(), 19_000);
        // One byte now and then: ten minutes.
        let mut peer = rig.net.dial();
        let start = rig.clock.now.get();
        peer.send("POST /sum HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n").await;
        while !peer.pending() {
            peer.send("x").await;
            rig.clock.sleep(9_000).await;
        }
        assert!(peer.response().await.0.starts_with("HTTP/1.1 408 "));
        assert!((600_000..610_000).contains(&(rig.clock.now.get() - start)));
        // A response that is not taken.
        let mut deaf = rig.net.dial();
        deaf.send("GET /count/1000 HTTP/1.1\r\nHost: d\r\n\r\n").await;
        rig.clock.sleep(10_001).await;
        assert_eq!(deaf.rest().await.len(), 16);
    });
}

#[test]
fn a_peer_that_is_gone_ends_the_exchange() {
    over(64, async |rig| {
        for request in [
            "POST /sum HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nab",
            "POST /sum HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab",
        ] {
            let mut peer = rig.net.dial();
            peer.send(request).await;
            peer.finish().await;
            assert!(peer.rest().await.is_empty());
            let mut peer = rig.net.dial();
            peer.send(request).await;
            drop(peer);
        }
        // A request may be the last that its peer sends.
        let mut peer = rig.net.dial();
        peer.send("POST /sum HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello").await;
        peer.finish().await;
        assert_eq!(peer.response().await.1, b"5 532");
        assert_eq!(rig.clock.now.get(), 0);
    });
}

/// With callbacks alone there is nobody for such a path.
#[test]
fn without_a_function_its_paths_are_refused() {
    serve::<2, 256, 256, 64>(&Settings::new(&ROUTES), 64, async |rig| {
        let mut peer = rig.net.dial();
        let (head, _) = peer.get("/count/1", "").await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(peer.get("/", "").await.1, b"page");
    });
}

#[test]
fn events_are_sent_line_by_line() {
    for capacity in [1, 64] {
        over(capacity, async |rig| {
            let mut peer = rig.net.dial();
            peer.send("GET /odd/events HTTP/1.1\r\nHost: d\r\n\r\n").await;
            let head = peer.head().await;
            for line in ["Content-Type: text/event-stream", "Cache-Control: no-store", "X-Made: here"] {
                assert!(head.contains(&std::format!("{line}\r\n")), "{head}");
            }
            let expected = "retry: 1500\n\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n\
                event: warm\nid: 17\ndata: \n\n: still here\n";
            assert_eq!(String::from_utf8(chunks(&mut peer).await).unwrap(), expected);
        });
    }
}
