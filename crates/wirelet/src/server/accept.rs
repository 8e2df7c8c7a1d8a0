//! Accepting connections, and stopping.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use wirelet_proto::CloseCode;

use super::admission::Admitted;
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
pub(crate) async fn run(listener: TcpListener, serving: Arc<Serving>, stop: Option<Stop>, grace: Duration) {
    let tasks = &*serving.tasks;
    let _bound = tasks.bound();
    let ticker = Tasks::default();
    ticker.spawn(|place| kept(tick(Arc::clone(&serving)), place));
    let stop = pin!(stopped(&serving.handle, stop));
    race(stop, pin!(accept(&listener, &serving, tasks))).await;
    drop(listener);
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

async fn accept(listener: &TcpListener, serving: &Arc<Serving>, tasks: &Tasks) {
    let mut rest = FIRST_REST;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                rest = FIRST_REST;
                admit(stream, peer, serving, tasks);
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

fn admit(stream: TcpStream, peer: SocketAddr, serving: &Arc<Serving>, tasks: &Tasks) {
    let _ = stream.set_nodelay(true);
    let Some((admitted, handshake)) = serving.admission.admit(peer.ip()) else {
        match serving.admission.linger() {
            Some(permit) => tasks.spawn(|place| {
                let refusing = async move {
                    handshake::refuse(Transport::Tcp(stream), FULL).await;
                    drop(permit);
                };
                kept(refusing, place)
            }),
            // The socket's buffer is empty: this fits, or the peer is gone.
            None => drop(stream.try_write(FULL)),
        }
        return;
    };
    let opening = Box::pin(handshake::open(Arc::clone(serving), stream, peer, handshake));
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
