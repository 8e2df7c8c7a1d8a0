//! Requests that are no WebSocket handshakes, one at a time, through hyper.
//!
//! Every head is read and judged before hyper sees it (`handshake.rs`), so that what becomes of a request does not depend on what
//! came before it on the connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use wirelet_proto::handshake::RequestHead;

use super::Serving;
use super::caught::Caught;
use super::decide::stopping;
use super::http_socket::{Exchange, HttpSocket};
use super::page::{self, Body, BoxError};
use super::router::Arrival;
use crate::transport::Transport;

/// How far a request reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// So many bytes, with its body.
    Bytes(u64),
    /// That is for hyper to find out. The connection is not kept behind it.
    Unknown,
}

impl Extent {
    fn of(head: &RequestHead<'_>) -> Self {
        let mut body = None;
        for header in head.headers() {
            // RFC 9112 6.3: chunks, which are not counted here, or a length.
            if header.is("Transfer-Encoding") {
                return Self::Unknown;
            }
            if header.is("Content-Length") {
                let digits =
                    header.value_str().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
                let len: Option<u64> = digits.and_then(|digits| digits.parse().ok());
                if len.is_none() || body.is_some_and(|earlier| Some(earlier) != len) {
                    return Self::Unknown;
                }
                body = len;
            }
        }
        (head.len() as u64).checked_add(body.unwrap_or(0)).map_or(Self::Unknown, Self::Bytes)
    }
}

/// Answers the request with whose `head` the bytes `received` begin. Answers the socket, when the connection is kept, and what was
/// received behind the request.
pub(crate) async fn answer(
    serving: &Arc<Serving>,
    (stream, peer): (Transport, Option<SocketAddr>),
    head: &RequestHead<'_>,
    received: Bytes,
) -> Option<(Transport, Bytes)> {
    let extent = Extent::of(head);
    let exchange = Arc::new(Exchange::default());
    let keep = extent != Extent::Unknown;
    let service =
        service_fn(|request| respond(Arc::clone(serving), (request, peer), keep, Arc::clone(&exchange)));
    let limits = &serving.config.limits;
    let len = match extent {
        Extent::Bytes(len) => len,
        Extent::Unknown => u64::MAX,
    };
    let config = Arc::clone(&serving.config);
    let socket = HttpSocket::new(stream, (received, len), Arc::clone(&exchange), config, serving.clock);
    let connection = http1::Builder::new()
        // The head is there.
        .header_read_timeout(None)
        .max_headers(usize::from(limits.head_fields))
        // hyper asks for at least 8 KiB.
        .max_buf_size(limits.head_bytes.max(8192))
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopped = pin!(serving.handle.stopped());
    let mut told = false;
    let ended = poll_fn(|cx| {
        // First what has arrived: a request that is there is answered. hyper drops what it has not begun.
        let poll = connection.as_mut().poll(cx);
        if poll.is_pending() && !told && stopped.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
            return connection.as_mut().poll(cx);
        }
        poll
    });
    ended.await.ok()?;
    exchange.take_socket()
}

async fn respond(
    serving: Arc<Serving>,
    (request, peer): (Request<Incoming>, Option<SocketAddr>),
    keep: bool,
    exchange: Arc<Exchange>,
) -> Result<Response<Answering>, Infallible> {
    let is_connect = request.method() == Method::CONNECT;
    let mut response = routed(&serving, request, peer).await;
    let status = response.status();
    // What follows belongs to whoever upgraded the connection.
    if status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success()) {
        exchange.upgrade();
    } else if !keep {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answering { body, exchange }))
}

async fn routed(
    serving: &Arc<Serving>,
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Response<Body> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // RFC 9112 3.2.2: a host in the target takes the place of Host.
    if !serving.serves_host(request.uri().authority().map(Authority::as_str).or(host).unwrap_or_default()) {
        return page::text(StatusCode::MISDIRECTED_REQUEST, "this host is not served here");
    }
    if serving.handle.is_stopping() {
        return stopping();
    }
    let path = request.uri().path().to_owned();
    let answer = Caught::begin(|| serving.router.answer(&path, request, Arrival { peer, serving })).await;
    answer.unwrap_or_else(page::failed)
}

/// The body of a response. hyper drops it when all of it is in hyper's hands.
struct Answering {
    body: Body,
    exchange: Arc<Exchange>,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.exchange.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_request_reaches() {
        for (headers, body) in [
            ("", Some(0)),
            ("Content-Length: 5\r\n", Some(5)),
            ("Content-Length: 5\r\ncontent-length: 05\r\n", Some(5)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", None),
            ("Content-Length: 5, 5\r\n", None),
            ("Content-Length: +5\r\n", None),
            ("Content-Length:\r\n", None),
            ("Content-Length: 18446744073709551615\r\n", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: x\r\n", None),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            let head = RequestHead::parse(text.as_bytes()).unwrap();
            let expected = body.map_or(Extent::Unknown, |body| Extent::Bytes(text.len() as u64 + body));
            assert_eq!(Extent::of(&head), expected, "{headers}");
        }
    }
}
