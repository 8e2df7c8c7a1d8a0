//! Polls the tasks of a case in an order that the seed decides, one at a time, and finds those that wake themselves for nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Pulse;
use crate::random::Rng;

/// A task of a case.
pub type Running<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Polls in a row that one task may have while nothing moves.
const IDLE_POLLS: u64 = 60;

/// And as many more for each second that passes meanwhile: deadlines may fire.
const IDLE_POLLS_A_SECOND: u64 = 4;

/// The tasks of a case.
pub struct Executor<'t> {
    tasks: Vec<Task<'t>>,
    rng: Rng,
    pulse: Pulse,
    root: Arc<Root>,
}

struct Task<'t> {
    name: &'static str,
    future: Option<Running<'t>>,
    flag: Arc<Flag>,
    /// It is part of the test.
    trusted: bool,
    /// What had moved when something had last moved, and since when it has not, milliseconds.
    moved: u64,
    since: u64,
    idle_polls: u64,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A task was polled.
    Polled,
    /// Nobody is ready: time has to pass.
    Waiting,
    /// All tasks have ended.
    Ended,
}

#[derive(Default)]
struct Root(Mutex<Option<Waker>>);

struct Flag {
    ready: AtomicBool,
    root: Arc<Root>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Ordering::Relaxed);
        let root = self.root.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(root) = root {
            root.wake();
        }
    }
}

impl<'t> Executor<'t> {
    /// Without tasks.
    pub fn new(seed: u64, pulse: Pulse) -> Self {
        Self { tasks: Vec::new(), rng: Rng::new(seed), pulse, root: Arc::default() }
    }

    /// Adds a task.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + 't) {
        self.add(name, Box::pin(future), false);
    }

    /// Adds a task that is part of the test: it may wake itself as it likes.
    pub fn spawn_trusted(&mut self, name: &'static str, future: impl Future<Output = ()> + 't) {
        self.add(name, Box::pin(future), true);
    }

    fn add(&mut self, name: &'static str, future: Running<'t>, trusted: bool) {
        let flag = Arc::new(Flag { ready: AtomicBool::new(true), root: Arc::clone(&self.root) });
        let future = Some(future);
        self.tasks.push(Task { name, future, flag, trusted, moved: 0, since: 0, idle_polls: 0 });
    }

    /// Polls one of the tasks that are ready; when none is, `root` is woken as soon as one is.
    ///
    /// # Errors
    /// A task has panicked, or wakes itself while nothing moves.
    pub fn step(&mut self, now: u64, root: &Waker) -> Result<Step, String> {
        *self.root.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(root.clone());
        let ready = |task: &Task<'_>| task.future.is_some() && task.flag.ready.load(Ordering::Relaxed);
        let many = self.tasks.iter().filter(|task| ready(task)).count();
        if many == 0 {
            let ended = self.tasks.iter().all(|task| task.future.is_none());
            return Ok(if ended { Step::Ended } else { Step::Waiting });
        }
        let which = self.rng.below(many);
        let Some(task) = self.tasks.iter_mut().filter(|task| ready(task)).nth(which) else {
            return Ok(Step::Waiting);
        };
        self.pulse.begin_step(now);
        task.poll(&self.pulse)?;
        Ok(Step::Polled)
    }

    /// Drops a task.
    pub fn abort(&mut self, name: &str) {
        for task in self.tasks.iter_mut().filter(|task| task.name == name) {
            task.future = None;
        }
    }

    /// The tasks that have not ended.
    pub fn unfinished(&self) -> Vec<&'static str> {
        self.tasks.iter().filter(|task| task.future.is_some()).map(|task| task.name).collect()
    }

    /// Drops all tasks.
    pub fn clear(&mut self) {
        self.tasks.clear();
    }
}

impl Task<'_> {
    fn poll(&mut self, pulse: &Pulse) -> Result<(), String> {
        let Some(future) = &mut self.future else { return Ok(()) };
        self.flag.ready.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.flag));
        let cx = &mut Context::from_waker(&waker);
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        if pulse.is_endless() {
            return Err(format!("task {} calls the transport without end in one poll", self.name));
        }
        match poll {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => {
                self.future = None;
                pulse.moves();
            }
            Err(panic) => {
                self.future = None;
                return Err(format!("task {} panicked: {}", self.name, message(&*panic)));
            }
        }
        self.count(pulse)
    }

    fn count(&mut self, pulse: &Pulse) -> Result<(), String> {
        if self.trusted || self.moved != pulse.moved() {
            (self.moved, self.since, self.idle_polls) = (pulse.moved(), pulse.now(), 0);
            return Ok(());
        }
        self.idle_polls += 1;
        let seconds = (pulse.now() - self.since) / 1000;
        if self.idle_polls > IDLE_POLLS + seconds * IDLE_POLLS_A_SECOND {
            return Err(format!(
                "task {} was polled {} times in {seconds} s while nothing moved",
                self.name, self.idle_polls
            ));
        }
        Ok(())
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(executor: &mut Executor<'_>) -> Result<Step, String> {
        loop {
            match executor.step(0, Waker::noop())? {
                Step::Polled => {}
                step => return Ok(step),
            }
        }
    }

    #[test]
    fn a_task_that_wakes_itself_for_nothing_is_found() {
        let mut executor = Executor::new(1, Pulse::default());
        executor.spawn("ends", async {});
        executor.spawn("waits", std::future::pending());
        assert_eq!(run(&mut executor), Ok(Step::Waiting));
        assert_eq!(executor.unfinished(), ["waits"]);
        executor.spawn(
            "spins",
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Pending
            }),
        );
        assert!(run(&mut executor).unwrap_err().contains("spins"));
    }

    #[test]
    fn a_task_that_wakes_itself_while_bytes_move_is_right() {
        let pulse = Pulse::default();
        let mut executor = Executor::new(1, pulse.clone());
        let mut left = 10_000;
        executor.spawn(
            "works",
            std::future::poll_fn(move |cx| {
                left -= 1;
                pulse.moves();
                cx.waker().wake_by_ref();
                if left == 0 { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        assert_eq!(run(&mut executor), Ok(Step::Ended));
    }
}
