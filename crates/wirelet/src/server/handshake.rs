//! The opening handshake: read, decided, answered. What is no request for a WebSocket goes on to HTTP.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use wirelet_proto::handshake::{
    AcceptOptions, HandshakeError, HeadLimits, HeadScanner, Rejection, RequestHead, ResponseHead,
    UpgradeRequest, WriteError, is_head_request, is_upgrade,
};
use wirelet_proto::{Config, Storage};

use super::admission::HandshakePermit;
use super::decide::{Opened, Refusal, borrowed, decide};
use super::registry::Registered;
use super::{Serving, http1};
use crate::connection::driver::{Driver, Handler};
use crate::connection::inbound::Inbound;
use crate::race::{First, race};
use crate::time::{FAR, deadline};
use crate::transport::Transport;

/// The longest time that a refused peer has to take its refusal.
const REFUSAL_TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// Serves a connection from its first byte until it is a WebSocket, or to its end. Every request on it is read and decided in the same
/// way, whatever came before.
pub(crate) async fn open(
    serving: Arc<Serving>,
    mut transport: Transport,
    peer: Option<SocketAddr>,
    permit: HandshakePermit,
) -> Option<(Driver<Handler>, Registered)> {
    let mut permit = Some(permit);
    let mut inbound = Inbound::default();
    loop {
        let next = begin(&serving, transport, inbound, peer, permit.is_none()).await;
        drop(permit.take());
        let received;
        (transport, received) = match next {
            Next::WebSocket(opened) => return Some(opened.start(&serving, peer, true)),
            Next::Http(transport, received) => {
                let head = RequestHead::parse(&received).ok()?;
                Box::pin(http1::answer(&serving, (transport, peer), &head, received.clone())).await?
            }
            Next::End => return None,
        };
        inbound = Inbound::new(&received);
    }
}

/// What follows a request.
enum Next {
    WebSocket(Box<Opened>),
    /// It is none for a WebSocket. What was received begins with its head.
    Http(Transport, Bytes),
    End,
}

/// Reads a request and decides on it. `kept`: there was another one before.
async fn begin(
    serving: &Arc<Serving>,
    mut transport: Transport,
    mut inbound: Inbound,
    peer: Option<SocketAddr>,
    kept: bool,
) -> Next {
    let time = serving.config.limits.handshake_time;
    // Who keeps a connection may be silent for as long as a request may take.
    if kept && inbound.filled().is_empty() {
        let read =
            timeout(time.min(FAR), read_more(&mut transport, &mut inbound, head_limits(&serving.config)));
        let read = race(pin!(read), pin!(serving.handle.stopped())).await;
        if !matches!(read, First::One(Ok(true))) {
            return Next::End;
        }
    }
    let deadline = deadline(time);
    let arrived = head(serving, &mut transport, &mut inbound, deadline).await;
    let bodiless = is_head_request(inbound.filled());
    let answer = match arrived {
        Arrived::Nothing => return Next::End,
        Arrived::Refused(refusal) => Err(refusal),
        Arrived::Head(len) => {
            // Why before the decision: it may take long, and what has arrived needs little memory.
            inbound.rest();
            let answer = match RequestHead::parse(&inbound.filled()[..len]) {
                Err(error) => Err(Refusal::of(error)),
                Ok(request) if is_upgrade(&request) && serving.router.decides_on(request.path()) => {
                    let respond = |request: &UpgradeRequest<'_>, options: &AcceptOptions<'_>| {
                        written(|out| request.accept(options, out))
                    };
                    decide(serving, request, |path| serving.router.socket(path), peer, deadline, respond)
                        .await
                }
                Ok(_) => {
                    return Next::Http(transport, Bytes::copy_from_slice(inbound.filled()));
                }
            };
            inbound.discard_front(len);
            answer
        }
    };
    let (response, accepted) = match answer {
        Ok(accepted) => accepted,
        Err(refusal) => {
            inbound.release();
            let mut response = refusal_response(&refusal);
            if bodiless {
                let head = ResponseHead::parse(&response).map_or(0, |head| head.len());
                response.truncate(head);
            }
            refuse(transport, &response).await;
            return Next::End;
        }
    };
    let leftover = Bytes::copy_from_slice(inbound.filled());
    Next::WebSocket(Box::new(Opened { accepted, transport, response, leftover }))
}

/// What has come.
enum Arrived {
    /// The head of a request, of this length.
    Head(usize),
    /// What is refused before anybody decides.
    Refused(Refusal),
    /// No request that could be answered: the peer has gone or was silent, or the server stops.
    Nothing,
}

/// Reads a request's head until `deadline`, or until the server stops.
async fn head(
    serving: &Arc<Serving>,
    transport: &mut Transport,
    inbound: &mut Inbound,
    deadline: Instant,
) -> Arrived {
    let limits = head_limits(&serving.config);
    let read = timeout_at(deadline, read_head(transport, inbound, &limits));
    // Bound to a name: the future borrows what is looked at below.
    let read = race(pin!(read), pin!(serving.handle.stopped())).await;
    match read {
        First::Other(()) | First::One(Ok(Ok(None))) => Arrived::Nothing,
        First::One(Err(_)) if inbound.filled().is_empty() => Arrived::Nothing,
        First::One(Err(_)) => Arrived::Refused(Refusal::new(408, "the request did not arrive in time")),
        First::One(Ok(Err(error))) => Arrived::Refused(Refusal::of(error)),
        First::One(Ok(Ok(Some(len)))) => Arrived::Head(len),
    }
}

/// The length of the head. `None`: the peer has gone.
async fn read_head(
    transport: &mut Transport,
    inbound: &mut Inbound,
    limits: &HeadLimits,
) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = HeadScanner::new();
    loop {
        if let Some(len) = scanner.scan(inbound.filled(), limits)? {
            return Ok(Some(len));
        }
        if !read_more(transport, inbound, *limits).await {
            return Ok(None);
        }
    }
}

/// Reads once; `false`: the peer has gone.
async fn read_more(transport: &mut Transport, inbound: &mut Inbound, limits: HeadLimits) -> bool {
    let read = poll_fn(|cx| {
        // Why no more: what comes behind the head is kept while the application decides.
        let most = limits.bytes.saturating_add(1).saturating_sub(inbound.filled().len()).max(1);
        let read = inbound.poll_read(transport, most, cx);
        if read.is_pending() {
            inbound.rest();
        }
        read
    });
    read.await.unwrap_or(0) > 0
}

fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits { bytes: config.limits.head_bytes, headers: config.limits.head_fields }
}

/// The response that refuses. One that can't be sent as it is becomes a 500.
fn refusal_response(refusal: &Refusal) -> Vec<u8> {
    let Refusal { status, headers, body } = refusal;
    let rejection = Rejection { status: *status, headers: &borrowed(headers), body };
    written(|out| rejection.write(out))
        .or_else(|_| written(|out| Rejection::new(500).write(out)))
        .unwrap_or_default()
}

/// What `write` writes, into as much memory as it needs.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Result<Vec<u8>, WriteError> {
    let mut out = vec![0; 512];
    loop {
        match write(&mut out) {
            Ok(len) => {
                out.truncate(len);
                return Ok(out);
            }
            Err(WriteError::BufferTooSmall { needed }) if needed > out.len() => out.resize(needed, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a refusal and sees to it that it arrives: a socket that is closed with unread input is reset.
pub(crate) async fn refuse(mut transport: Transport, response: &[u8]) {
    let _ = timeout(REFUSAL_TIME, async {
        transport.write_all(response).await?;
        transport.shutdown().await?;
        let mut rest = [0; 1024];
        while transport.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}
