//! How a server stops: at once where nothing has been asked, with an answer where something has, and in bounded time.
//!
//! The clock is paused: whatever waits for a deadline makes it jump.

mod peer;
mod running;

use std::future::pending;
use std::time::Duration;

use http_body_util::Full;
use peer::*;
use running::*;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wirelet::server::{Capacity, Context, Page, Router, Verdict, ws};
use wirelet::{Bytes, Config, Keepalive, Limits, WebSocket};

const GRACE: Duration = Duration::from_secs(10);

impl Running {
    /// Stops the server and waits for its end; answers how long that took.
    async fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.handle.stop();
        (&mut self.task).await.unwrap().unwrap();
        began.elapsed()
    }
}

fn routes() -> Router {
    Router::new().ws("/ws", ws(echo)).page("/", Page::html("x"))
}

fn assert_stopping((status, head, body): &(u16, String, Vec<u8>)) {
    assert_eq!(*status, 503, "{head}");
    assert!(head.contains("retry-after: "), "{head}");
    assert_eq!(body, b"the server stops");
}

/// Half a head, or none, as browsers connect in advance, kept the server from stopping for as long as a handshake may take.
#[tokio::test(start_paused = true)]
async fn stopping_waited_for_sockets_that_had_asked_for_nothing() {
    let mut running = serve(routes()).await;
    let mut waiting =
        [running.connect().await, running.connect().await, running.kept().await, running.kept().await];
    write(&mut waiting[1], b"GET /ws HTTP/1.1\r\nHost: lo").await;
    write(&mut waiting[3], b"GET /ws HTTP/1.1\r\nHost: lo").await;
    // Connections are accepted in their order: this one is the last.
    let mut open = running.open("/ws").await;
    let closing = async {
        assert_eq!(read_frame(&mut open).await.unwrap(), (CLOSE, close_payload(1001).to_vec()));
        write(&mut open, &client_frame(CLOSE, &close_payload(1001))).await;
        drop(open);
    };
    let (took, ()) = tokio::join!(running.stop(), closing);
    assert!(took < GRACE / 2, "{took:?}");
    for stream in &mut waiting {
        assert_eq!(read_all(stream).await, b"");
    }
}

/// A request that had arrived when the server stopped was answered with 101, and closed with 1001.
#[tokio::test]
async fn requests_that_came_while_the_server_stopped_were_accepted_and_closed() {
    for kept in [false, true] {
        let mut running = serve(routes()).await;
        let mut streams = [running.connect_or_keep(kept).await, running.connect_or_keep(kept).await];
        // They have been accepted when this one has been served.
        drop(running.kept().await);
        let requests = [upgrade_request("/ws", ""), "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()];
        for (stream, request) in streams.iter().zip(&requests) {
            stream.writable().await.unwrap();
            assert_eq!(stream.try_write(request.as_bytes()).unwrap(), request.len());
        }
        // The server, which runs on this thread, has not seen the requests yet.
        running.handle.stop();
        for stream in &mut streams {
            assert_stopping(&read_response(stream).await.unwrap());
            assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        }
        drop(streams);
        running.stop().await;
    }
}

/// A route whose decision waits until `decide` is told one, and tells that it waits.
fn undecided() -> (Router, oneshot::Receiver<()>, oneshot::Sender<Verdict>) {
    let (begin, begun) = oneshot::channel();
    let (decide, decided) = oneshot::channel();
    let once = std::sync::Mutex::new(Some((begin, decided)));
    let gate = move |_: Context| {
        let (begin, decided) = once.lock().unwrap().take().unwrap();
        async move {
            begin.send(()).unwrap();
            decided.await.unwrap()
        }
    };
    let router = Router::new().ws("/ws", ws(echo).gate(gate)).page("/", Page::html("x"));
    (router, begun, decide)
}

/// Who waited for the application's decision waited on, and was cut off at the end of the grace without an answer.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_being_decided_held_the_stop_and_got_no_answer() {
    for kept in [false, true] {
        let (router, begun, decide) = undecided();
        let mut running = serve(router).await;
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, upgrade_request("/ws", "").as_bytes()).await;
        begun.await.unwrap();
        let asking = async { (read_response(&mut stream).await, drop(stream)) };
        let (took, (answer, ())) = tokio::join!(running.stop(), asking);
        assert_stopping(&answer.unwrap());
        assert!(took < GRACE / 2, "{took:?}");
        assert!(decide.is_closed());
    }
}

#[tokio::test]
async fn a_decision_that_is_ready_when_the_server_stops_is_the_answer() {
    for kept in [false, true] {
        let (router, begun, decide) = undecided();
        let mut running = serve(router).await;
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, upgrade_request("/ws", "").as_bytes()).await;
        begun.await.unwrap();
        decide.send(Verdict::reject(401, "who are you")).unwrap();
        running.handle.stop();
        let (status, _, body) = read_response(&mut stream).await.unwrap();
        assert_eq!((status, &body[..]), (401, &b"who are you"[..]));
        drop(stream);
        running.stop().await;
    }
}

/// What has begun has the whole grace, and not more, whatever it is.
#[tokio::test(start_paused = true)]
async fn one_limit_holds_for_all_that_does_not_end() {
    let service = hyper::service::service_fn(|_: http::Request<hyper::body::Incoming>| {
        pending::<Result<http::Response<Full<Bytes>>, std::convert::Infallible>>()
    });
    let deaf = |ws: WebSocket, _: Context| async move {
        pending::<()>().await;
        drop(ws);
    };
    let router = routes().service("/slow", service).ws("/deaf", ws(deaf));
    let capacity = Capacity { connections: 3, ..Capacity::default() };
    let mut running = serve_with(router, |server| server.grace(GRACE).capacity(capacity)).await;
    let _deaf = running.open("/deaf").await;
    let mut slow = [running.connect().await, running.kept().await];
    for stream in &mut slow {
        write(stream, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    // This one is refused, and stays.
    let mut refused = running.newcomer();
    assert!(read_head(&mut refused).await.unwrap().starts_with("HTTP/1.1 503 "));
    let took = running.stop().await;
    assert!((GRACE - Duration::from_secs(1)..GRACE + Duration::from_secs(1)).contains(&took), "{took:?}");
}

/// `Duration::MAX`, which says "never" in most programs, was added to the clock by the HTTP part, and panicked.
#[tokio::test]
async fn a_duration_that_no_clock_can_hold_panicked_as_a_servers_limit() {
    let max = Duration::MAX;
    let limits = Limits { handshake_time: max, closing_time: max, message_time: Some(max), ..Limits::new() };
    let keepalive = Keepalive { ping: Some(max), pong: max, idle: Some(max) };
    let config = Config { limits, keepalive, ..Config::new() };
    let mut running = serve_with(routes(), |server| server.config(config).grace(max)).await;
    for kept in [false, true] {
        let mut stream = running.connect_or_keep(kept).await;
        write(&mut stream, upgrade_request("/ws", "").as_bytes()).await;
        assert_eq!(read_response(&mut stream).await.unwrap().0, 101);
        write(&mut stream, &client_frame(TEXT, b"hello")).await;
        assert_eq!(read_frame(&mut stream).await.unwrap(), (TEXT, b"hello".to_vec()));
        write(&mut stream, &client_frame(CLOSE, &close_payload(1000))).await;
        assert_eq!(read_frame(&mut stream).await.unwrap().0, CLOSE);
    }
    let _silent = running.connect().await;
    running.stop().await;
}
