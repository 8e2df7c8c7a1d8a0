//! Requests that are no WebSocket handshakes, through hyper, and handshakes on a connection that hyper has kept.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use wirelet_proto::handshake::{RequestHead, ResponseHead, is_upgrade};

use super::Serving;
use super::caught::Caught;
use super::handshake::{Accepted, Answer, Opened, decide};
use super::http_socket::HttpSocket;
use super::router::{self, Body};
use crate::time::{FAR, deadline};
use crate::transport::Transport;

/// An upgrade that was accepted and has not happened yet.
type Pending = Arc<Mutex<Option<(OnUpgrade, Accepted)>>>;

/// Serves HTTP until the connection ends, or becomes a WebSocket.
pub(crate) async fn serve(
    serving: &Arc<Serving>,
    stream: TcpStream,
    leftover: Bytes,
    peer: SocketAddr,
) -> Option<Box<Opened>> {
    let pending = Pending::default();
    let service = service_fn(|request| answer(Arc::clone(serving), request, peer, Arc::clone(&pending)));
    let limits = &serving.config.limits;
    let socket = HttpSocket::new(stream, leftover, Arc::clone(&serving.config), serving.clock);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper adds it to the clock.
        .header_read_timeout(limits.handshake_time.min(FAR))
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
    let (upgrade, accepted) = pending.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    let parts = upgrade.await.ok()?.downcast::<TokioIo<HttpSocket>>().ok()?;
    let (stream, leftover) = parts.io.into_inner().into_parts();
    let leftover = Bytes::from([parts.read_buf, leftover].concat());
    let transport = Transport::Tcp(stream);
    Some(Box::new(Opened { accepted, transport, response: Vec::new(), leftover }))
}

async fn answer(
    serving: Arc<Serving>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    pending: Pending,
) -> Result<Response<Body>, Infallible> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !serving
        .serves_host(request.uri().authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default())
    {
        return Ok(router::text(StatusCode::MISDIRECTED_REQUEST, "this host is not served here"));
    }
    let head = head_of(&request);
    if !RequestHead::parse(&head).is_ok_and(|head| is_upgrade(&head)) {
        if serving.handle.is_stopping() {
            return Ok(response_of(&Answer::stopping().response));
        }
        let path = request.uri().path().to_owned();
        let answer = Caught::begin(|| serving.router.answer(&path, request)).await;
        return Ok(answer.unwrap_or_else(router::failed));
    }
    let deadline = deadline(serving.config.limits.handshake_time);
    let Answer { response, accepted } = decide(&serving, &head, peer, deadline).await;
    if let Some(accepted) = accepted {
        let upgrade = hyper::upgrade::on(&mut request);
        *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, accepted));
    }
    Ok(response_of(&response))
}

/// The head as it came, but for the order of the fields' names.
fn head_of(request: &Request<Incoming>) -> Vec<u8> {
    let version = if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
    let mut head = format!("{} {} HTTP/{version}\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A response that has been written already, as hyper wants it.
fn response_of(bytes: &[u8]) -> Response<Body> {
    let Ok(head) = ResponseHead::parse(bytes) else {
        return router::text(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    let body = Bytes::copy_from_slice(bytes.get(head.len()..).unwrap_or_default());
    let mut response = Response::new(router::full(body));
    *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for header in head.headers() {
        let name = HeaderName::from_bytes(header.name().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
