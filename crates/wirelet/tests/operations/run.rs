//! Runs a case: the connection, its tasks and its peer on one thread and on a clock that moves when everybody waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use testkit::operations::executor::Step;
use testkit::operations::ledger::Fact;
use testkit::operations::peer::Pace;
use testkit::operations::{Executor, Ledger, Link, Peer, Pulse};
use testkit::wire;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use wirelet::proto::deflate::{Params, Window};
use wirelet::proto::{Extensions, Upgraded};
use wirelet::{Compression, Error, Sender, WebSocket};

use super::case::{Case, Exit};
use super::program::{Program, Sending};
use super::stream::Stream;

/// How long a task may last when nothing but the end is left, beyond the closing handshake, while the peer reads; and when it does not:
/// then deadlines of up to two minutes hold. Milliseconds.
const ENDS: u64 = 8000;
const ENDS_UNREAD: u64 = 300_000;

/// Whether the case keeps all promises.
///
/// # Errors
/// What it has broken.
pub(crate) fn run(case: &Case) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let lent = wirelet::diagnostics::pool().lent;
    let outcome = runtime.block_on(bench(case));
    drop(runtime);
    outcome?;
    match wirelet::diagnostics::pool().lent - lent {
        0 => Ok(()),
        leaked => Err(format!("{leaked} blocks of the pool are lent and nobody has them")),
    }
}

async fn bench(case: &Case) -> Result<(), String> {
    Bench::new(case).run(case).await
}

struct Bench {
    pulse: Pulse,
    link: Link,
    ledger: Ledger,
    executor: RefCell<Executor<'static>>,
    peer: Rc<RefCell<Peer>>,
    probe: Option<Arc<Sender>>,
    began: Instant,
}

impl Bench {
    fn new(case: &Case) -> Self {
        let began = Instant::now();
        let pulse = Pulse::default();
        let (link, local) = Link::new(case.shape, case.seed, pulse.clone());
        let ledger = Ledger::new(pulse.clone(), link.clone(), case.times(), case.drops());
        let script = [&case.peer[..], &case.finish].concat();
        let role = wire::peer(case.role);
        let (peer_link, peer_ledger) = (link.clone(), ledger.clone());
        let peer =
            Peer::new(peer_link, peer_ledger, pulse.clone(), role, case.compressed, &script, case.seed);
        let ws = connection(case, Stream(local));
        let probe = case.probe.then(|| Arc::new(ws.sender()));
        let mut bench = Self {
            executor: RefCell::new(Executor::new(case.seed, pulse.clone())),
            pulse,
            link,
            ledger,
            peer: Rc::new(RefCell::new(peer)),
            probe,
            began,
        };
        bench.spawn(case, ws);
        bench
    }

    fn spawn(&mut self, case: &Case, ws: WebSocket) {
        let executor = self.executor.get_mut();
        let (peer, began) = (Rc::clone(&self.peer), self.began);
        executor.spawn_trusted("peer", play(peer, began));
        let names = ["sender 0", "sender 1", "sender 2"];
        for (at, (ops, name)) in case.senders.iter().zip(names).enumerate() {
            let program = program(case, &self.pulse, &self.ledger, &self.probe);
            let mut program = Program { source: at + 1, sender: Some(ws.sender()), ..program };
            let ops = ops.clone();
            executor.spawn(name, async move { program.run(&ops).await });
        }
        let halves = Halves(self.ledger.clone(), Arc::new(AtomicUsize::new(2)));
        let main = program(case, &self.pulse, &self.ledger, &self.probe);
        let receiver = program(case, &self.pulse, &self.ledger, &self.probe);
        let (to_receiver, from_main) = oneshot::channel();
        let (done, joined) = oneshot::channel::<()>();
        let (ops, half) = (case.receiver.clone(), halves.clone());
        executor.spawn("receiver", async move {
            let mut receiver = receiver;
            if let Ok(received) = from_main.await {
                receiver.sending = Sending::Receive(received);
                receiver.run(&ops).await;
                receiver.ledger.note(Fact::Discards);
                receiver.sending = Sending::Nothing;
                half.less();
            }
            drop(done);
        });
        let plan = case.clone();
        let ledger = self.ledger.clone();
        let body = move |main: Program, ws: WebSocket| async move {
            let mut main = main;
            let joined = match plan.split {
                true => {
                    let (send, receive) = ws.split();
                    main.sending = Sending::Send(send);
                    let _ = to_receiver.send(receive);
                    Some(joined)
                }
                false => {
                    main.sending = Sending::Whole(ws);
                    halves.less();
                    None
                }
            };
            main.run(&plan.main).await;
            if !plan.split {
                ledger.note(Fact::Discards);
            }
            if plan.joins
                && let Some(joined) = joined
            {
                let _ = joined.await;
            }
            halves.less();
            main
        };
        if !case.driven {
            executor.spawn("main", async move {
                drop(body(main, ws).await);
            });
            return;
        }
        let (exit, away, ledger) = (case.exit, case.away, self.ledger.clone());
        let (to_main, from_handler) = oneshot::channel();
        let (main_done, main_joined) = oneshot::channel::<()>();
        let mut body = Some(body);
        let mut main = Some(main);
        let elsewhere = away.then(|| (body.take(), main.take()));
        executor.spawn("main", async move {
            if let Some((Some(body), Some(main))) = elsewhere
                && let Ok(ws) = from_handler.await
            {
                drop(body(main, ws).await);
            }
            drop(main_done);
        });
        let guard = Ended(self.ledger.clone());
        let driver = ws.drive(move |ws| async move {
            let _guard = guard;
            let main = match (body, main) {
                (Some(body), Some(main)) => Some(body(main, ws).await),
                _ => {
                    let _ = to_main.send(ws);
                    let _ = main_joined.await;
                    None
                }
            };
            ledger.note(Fact::Discards);
            ledger.closes(if exit == Exit::Return { 1000 } else { 1011 });
            drop(main);
            match exit {
                Exit::Return => Ok(()),
                Exit::Error => Err(Error::Closed),
                Exit::Panic => std::panic::resume_unwind(Box::new("on purpose")),
            }
        });
        executor.spawn("driver", driver);
    }

    async fn run(self, case: &Case) -> Result<(), String> {
        let mut abort = pin!(case.abort.map(|after| sleep(Duration::from_millis(after))));
        let mut tick = Box::pin(sleep(Duration::from_secs(1)));
        let mut still = (0, 0);
        poll_fn(|cx| {
            if let Some(timer) = abort.as_mut().as_pin_mut()
                && timer.poll(cx).is_ready()
            {
                abort.set(None);
                self.ledger.note(Fact::Aborted);
                self.ledger.note(Fact::Discards);
                self.executor.borrow_mut().abort(if case.driven { "driver" } else { "main" });
            }
            self.step(case, cx, &mut tick, &mut still)
        })
        .await?;
        self.end(case).await
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn step(
        &self,
        case: &Case,
        cx: &mut Context<'_>,
        tick: &mut std::pin::Pin<Box<Sleep>>,
        still: &mut (u64, u64),
    ) -> Poll<Result<(), String>> {
        let step = self.executor.borrow_mut().step(self.now(), cx.waker());
        if let Some(failure) = self.ledger.failure() {
            return Poll::Ready(Err(failure));
        }
        match step? {
            Step::Polled => cx.waker().wake_by_ref(),
            Step::Ended => return Poll::Ready(Ok(())),
            Step::Waiting => {
                while tick.as_mut().poll(cx).is_ready() {
                    self.look(case, still)?;
                    tick.as_mut().reset(Instant::now() + Duration::from_secs(1));
                }
            }
        }
        Poll::Pending
    }

    /// A second has passed and nobody is ready.
    fn look(&self, case: &Case, still: &mut (u64, u64)) -> Result<(), String> {
        let reads = self.peer.borrow().reads();
        if *still == (self.pulse.moved(), self.pulse.moved()) {
            self.ledger.stands_still(reads, case.driven);
        }
        *still = (self.pulse.moved(), still.0);
        let unread = case.finish.contains(&testkit::operations::peer::Act::Pace(Pace::Nothing))
            || case.finish.contains(&testkit::operations::peer::Act::Polite(false));
        let closing = case.times().closing;
        let bound = if unread { ENDS_UNREAD } else { ENDS + closing };
        match self.ledger.idle_since() {
            Some(since) if self.now() > since + bound => Err(format!(
                "tasks {:?} have not ended {} ms after everything else",
                self.executor.borrow().unfinished(),
                self.now() - since
            )),
            _ => Ok(()),
        }
    }

    /// All tasks have ended: so must the connection.
    async fn end(self, case: &Case) -> Result<(), String> {
        let began = Instant::now();
        while !self.link.is_dropped() {
            if began.elapsed() > Duration::from_millis(ENDS_UNREAD) {
                return Err("all tasks have ended, and the connection has not".to_owned());
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.ledger.finish(case.driven);
        if let Some(probe) = &self.probe
            && (!probe.is_closed() || probe.try_send("late").is_ok())
        {
            return Err("a sender of a connection that has ended takes messages".to_owned());
        }
        self.ledger.failure().map_or(Ok(()), Err)
    }
}

/// When no half is left the application has dropped the connection.
#[derive(Clone)]
struct Halves(Ledger, Arc<AtomicUsize>);

impl Halves {
    fn less(&self) {
        if self.1.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.note(Fact::Dropped);
        }
    }
}

/// The handler is gone.
struct Ended(Ledger);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.note(Fact::Discards);
    }
}

fn program(case: &Case, pulse: &Pulse, ledger: &Ledger, probe: &Option<Arc<Sender>>) -> Program {
    Program {
        pulse: pulse.clone(),
        ledger: ledger.clone(),
        source: 0,
        chunks: case.chunks,
        fills: case.fills(),
        driven: case.driven,
        sending: Sending::Nothing,
        sender: None,
        probe: probe.clone(),
    }
}

fn connection(case: &Case, stream: Stream) -> WebSocket {
    let config = Arc::new(case.config());
    if !case.compressed {
        return WebSocket::from_upgraded(stream, case.role, config, &[]);
    }
    let fresh = Window::fresh(15);
    let params = Params { server: fresh, client: fresh };
    let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
    WebSocket::with_compression(stream, case.role, config, upgraded, &Compression::shared(), &[])
}

/// The peer's task.
async fn play(peer: Rc<RefCell<Peer>>, began: Instant) {
    let mut timer: Option<std::pin::Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        let mut peer = peer.borrow_mut();
        if peer.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(deadline) = peer.deadline() else { return Poll::Pending };
        let due = began + Duration::from_millis(deadline);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        if timer.as_mut().poll(cx).is_ready() {
            // The time that the peer is told is the step's: the next one's is later.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}
