//! One server on many threads, each of which has a runtime, a listener and connections of its own.

use std::any::Any;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::accept::Stop;
use super::{Serving, accept};
use crate::race::{First, race};
use crate::system;

/// How a thread has ended: with the system's error, or with a panic.
type End = Result<io::Result<()>, Box<dyn Any + Send>>;

/// How long threads have to end after the grace and what [`accept::run`] adds to it.
const ENDING: Duration = Duration::from_millis(500);

/// As many threads as the process may run at a time.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Serves with a thread for each of `threads` until the server is told to stop, and then for at most `grace`.
///
/// # Errors
/// The system's, when a listener or a thread cannot be made. Nothing is served then.
pub(crate) async fn run(
    listener: TcpListener,
    threads: Vec<Arc<Serving>>,
    stop: Option<Stop>,
    grace: Duration,
) -> io::Result<()> {
    let Some(handle) = threads.first().map(|serving| serving.handle.clone()) else { return Ok(()) };
    let listeners = listeners(listener.into_std()?, threads.len())?;
    // Threads see its end when this future is dropped.
    let (_served, abandoned) = watch::channel(());
    let (ended, mut ends) = mpsc::unbounded_channel::<End>();
    let mut running = Vec::with_capacity(threads.len());
    for (number, (serving, listener)) in threads.into_iter().zip(listeners).enumerate() {
        let (ended, abandoned) = (ended.clone(), abandoned.clone());
        let work = move || {
            let end = catch_unwind(AssertUnwindSafe(|| serve(listener, serving, abandoned, grace)));
            // Nobody waits any more when the server was dropped.
            let _ = ended.send(end);
        };
        running.push(Builder::new().name(format!("wirelet-{number}")).spawn(work)?);
    }
    drop(ended);
    let stopped = pin!(accept::stopped(&handle, stop));
    let first = match race(stopped, pin!(ends.recv())).await {
        First::One(()) => None,
        First::Other(end) => end,
    };
    handle.stop();
    let mut all = Vec::from_iter(first);
    let rest = async {
        while let Some(end) = ends.recv().await {
            all.push(end);
        }
    };
    let limit = grace.saturating_add(accept::ABORTED).saturating_add(ENDING);
    if timeout(limit, rest).await.is_ok() {
        // Telling its end is the last thing that a thread does.
        running.into_iter().map(JoinHandle::join).for_each(drop);
    }
    all.into_iter().try_for_each(|end| end.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// The work of one thread.
fn serve(
    listener: StdTcpListener,
    serving: Arc<Serving>,
    mut abandoned: watch::Receiver<()>,
    grace: Duration,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let registry = Arc::clone(&serving.registry);
        tokio::spawn(async move { registry.deliver().await });
        let serving = pin!(accept::run(listener, serving, None, grace));
        race(serving, pin!(abandoned.changed())).await;
        Ok(())
    });
    // Why: what handlers have given to threads for blocking work must not hold up the stop.
    runtime.shutdown_background();
    served
}

/// A listener for each of `threads`, all at the address of `listener`.
///
/// Where the system spreads connections over listeners, they are independent of each other. Otherwise they are one, and the
/// threads take connections from the same backlog.
fn listeners(listener: StdTcpListener, threads: usize) -> io::Result<Vec<StdTcpListener>> {
    let mut listeners = match system::listen_beside(&listener, threads - 1) {
        Ok(listeners) => listeners,
        Err(_) => (1..threads).map(|_| listener.try_clone()).collect::<io::Result<_>>()?,
    };
    listeners.push(listener);
    Ok(listeners)
}
