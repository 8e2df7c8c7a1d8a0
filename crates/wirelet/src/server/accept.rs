//! Accepting connections, and stopping.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use wirelet_proto::CloseCode;

use super::admission::Admitted;
use super::listener::{Incoming, Source};
use super::registry::Registered;
use super::tasks::{Place, Tasks};
use super::{ServerHandle, Serving, handshake};
use crate::connection::driver::{Driver, Handler};
use crate::race::race;
use crate::transport::Transport;

/// How long aborted tasks have to end.
pub(crate) const ABORTED: Duration = Duration::from_millis(200);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long accepting rests after an error of the system, as running out of file descriptors; doubled up to the second.
const FIRST_REST: Duration = Duration::from_millis(10);
const LAST_REST: Duration = Duration::from_secs(1);

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";

type Opening = Pin<Box<dyn Future<Output = Option<(Driver<Handler>, Registered)>> + Send>>;
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until it is told to stop, and then for at most `grace`.
pub(crate) async fn run(
    mut sources: Vec<Source>,
    serving: Arc<Serving>,
    stop: Option<Stop>,
    grace: Duration,
) {
    let tasks = &*serving.tasks;
    let _bound = tasks.bound();
    let ticker = Tasks::default();
    ticker.spawn(|place| kept(tick(Arc::clone(&serving)), place));
    let stop = pin!(stopped(&serving.handle, stop));
    race(stop, pin!(accept_all(&mut sources, &serving, tasks))).await;
    drop(sources);
    serving.handle.stop();
    // RFC 6455 7.4.1: 1001 is for a server that goes down.
    serving.registry.each(|shared| _ = shared.close(CloseCode::GOING_AWAY, ""));
    let _ = timeout(grace, tasks.ended()).await;
    // Aborted. One whose handler blocks its thread cannot be waited for: the limit is absolute.
    tasks.abort_all();
    let _ = timeout(ABORTED, tasks.ended()).await;
}

/// Waits until the server is told to stop, by `stop` or by its handle.
pub(crate) async fn stopped(handle: &ServerHandle, stop: Option<Stop>) {
    let told = pin!(handle.stopped());
    match stop {
        Some(mut stop) => _ = race(stop.as_mut(), told).await,
        None => told.await,
    }
}

/// Never ready.
async fn accept_all(sources: &mut [Source], serving: &Arc<Serving>, tasks: &Tasks) {
    let mut accepting: Vec<_> =
        sources.iter_mut().map(|source| Box::pin(accept(source, serving, tasks))).collect();
    poll_fn(|cx| {
        accepting.iter_mut().for_each(|accept| _ = accept.as_mut().poll(cx));
        Poll::<()>::Pending
    })
    .await;
}

async fn accept(source: &mut Source, serving: &Arc<Serving>, tasks: &Tasks) -> Infallible {
    let mut rest = FIRST_REST;
    loop {
        match source.accept().await {
            Ok(incoming) => {
                rest = FIRST_REST;
                admit(incoming, serving, tasks);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(_) => {
                // Accepting again at once would spin; the backlog waits meanwhile.
                sleep(rest).await;
                rest = (rest * 2).min(LAST_REST);
            }
        }
    }
}

/// The task of a connection. What the handshake needs is not kept for the connection's life.
struct Connection {
    stage: Stage,
    _admitted: Admitted,
    _place: Place,
}

enum Stage {
    Opening(Opening),
    Open(Driver<Handler>, #[allow(dead_code, reason = "held for its end")] Registered),
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Some((driver, registered)) => self.stage = Stage::Open(driver, registered),
                    None => return Poll::Ready(()),
                },
                Stage::Open(driver, _) => return Pin::new(driver).poll(cx),
            }
        }
    }
}

fn admit((transport, peer): Incoming, serving: &Arc<Serving>, tasks: &Tasks) {
    if let Transport::Tcp(tcp) = &transport {
        let _ = tcp.set_nodelay(true);
    }
    let Some((admitted, handshake)) = serving.admission.admit(peer.map(|peer| peer.ip())) else {
        match serving.admission.linger() {
            Some(permit) => tasks.spawn(|place| {
                let refusing = async move {
                    handshake::refuse(transport, FULL).await;
                    drop(permit);
                };
                kept(refusing, place)
            }),
            None => {
                // A socket's buffer is empty: this fits, or the peer is gone.
                if let Transport::Tcp(tcp) = &transport {
                    let _ = tcp.try_write(FULL);
                }
            }
        }
        return;
    };
    let opening = Box::pin(handshake::open(Arc::clone(serving), transport, peer, handshake));
    tasks.spawn(|place| Connection { stage: Stage::Opening(opening), _admitted: admitted, _place: place });
}

/// `future`, which has a place among the tasks until it ends.
async fn kept(future: impl Future<Output = ()> + Send, place: Place) {
    future.await;
    drop(place);
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

/// One timer for all connections: looks at their deadlines while there are any.
async fn tick(serving: Arc<Serving>) {
    loop {
        serving.registry.inhabited().await;
        sleep(TICK).await;
        serving.registry.sweep(serving.clock.now().as_millis());
    }
}
