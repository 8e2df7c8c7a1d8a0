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
use super::listener::Source;
use super::{ServerHandle, Serving, accept};
use crate::race::{First, both, race};
use crate::system;

/// How a thread has ended: with the system's error, or with a panic.
type End = Result<io::Result<()>, Box<dyn Any + Send>>;

/// How long threads have to end after the grace and what [`accept::run`] adds to it.
const ENDING: Duration = Duration::from_millis(500);

/// As many threads as the process may run at a time.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Serves with a thread for each of `threads` but the last, until the server is told to stop, and then for at most `grace`. What
/// is not accepted from TCP is served in the caller's runtime, whose part is the last one.
///
/// # Errors
/// The system's, when a listener or a thread cannot be made. Nothing is served then.
pub(crate) async fn run(
    sources: Vec<Source>,
    mut threads: Vec<Arc<Serving>>,
    stop: Option<Stop>,
    grace: Duration,
) -> io::Result<()> {
    let Some(here) = threads.pop() else { return Ok(()) };
    let (mut listeners, mut others) = (Vec::from_iter(threads.iter().map(|_| Vec::new())), Vec::new());
    for source in sources {
        match source {
            Source::Tcp(tcp) => {
                let split = self::listeners(tcp.into_std()?, threads.len())?;
                listeners.iter_mut().zip(split).for_each(|(listeners, listener)| listeners.push(listener));
            }
            other => others.push(other),
        }
    }
    let handle = here.handle.clone();
    both(accept::run(others, here, None, grace), on_threads(listeners, threads, handle, stop, grace)).await.1
}

/// The threads, until they have ended. All stops with them.
async fn on_threads(
    listeners: Vec<Vec<StdTcpListener>>,
    threads: Vec<Arc<Serving>>,
    handle: ServerHandle,
    stop: Option<Stop>,
    grace: Duration,
) -> io::Result<()> {
    // Whatever ends this ends what is served elsewhere.
    let _stopping = Stopping(&handle);
    // Threads see its end when this future is dropped.
    let (_served, abandoned) = watch::channel(());
    let (ended, mut ends) = mpsc::unbounded_channel::<End>();
    let mut running = Vec::with_capacity(threads.len());
    for (number, (serving, listeners)) in threads.into_iter().zip(listeners).enumerate() {
        let (ended, abandoned) = (ended.clone(), abandoned.clone());
        let work = move || {
            let end = catch_unwind(AssertUnwindSafe(|| serve(listeners, serving, abandoned, grace)));
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

/// Tells the server to stop when it is dropped.
struct Stopping<'a>(&'a ServerHandle);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The work of one thread.
fn serve(
    listeners: Vec<StdTcpListener>,
    serving: Arc<Serving>,
    mut abandoned: watch::Receiver<()>,
    grace: Duration,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let tcp = |listener| TcpListener::from_std(listener).map(Source::Tcp);
        let sources = listeners.into_iter().map(tcp).collect::<io::Result<_>>()?;
        let registry = Arc::clone(&serving.registry);
        tokio::spawn(async move { registry.deliver().await });
        let serving = pin!(accept::run(sources, serving, None, grace));
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
