//! The client's task: attempts, connections, and what happens between them.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use wirelet_proto::CloseCode;
use wirelet_proto::reconnect::Reconnect;

use super::attempt::Settings;
use super::builder::RetryIf;
use super::event::{Closed, Event, Reason};
use super::inbox::Producer;
use super::queue::Queue;
use super::race::{First, race, within};
use crate::connection::Shared;
use crate::connection::driver::Driver;
use crate::keys::random_u32;
use crate::time::deadline;
use crate::{Error, ReceiveHalf, SendHalf, WebSocket};

/// A wish to close: code and reason.
pub(super) type Wish = (CloseCode, String);

/// The current connection, or the last one.
pub(super) type Latest = Arc<Mutex<Option<Arc<Shared>>>>;

/// What the client's task works with.
pub(super) struct Session {
    pub(super) settings: Settings,
    pub(super) reconnect: Reconnect,
    pub(super) events: Producer,
    pub(super) queue: Arc<Queue>,
    pub(super) connected: watch::Sender<bool>,
    pub(super) wish: watch::Receiver<Option<Wish>>,
    pub(super) now: Arc<Notify>,
    pub(super) latest: Latest,
    /// How long to wait between attempts, where the program says so.
    pub(super) delay: watch::Receiver<Option<Duration>>,
    pub(super) started: Instant,
}

/// The client is to be closed.
struct Closing;

impl Session {
    /// Lives until the client is closed or goes on no more.
    pub(super) async fn run(mut self, mut retry_if: RetryIf) {
        let ending = Ending { queue: Arc::clone(&self.queue), connected: self.connected.clone() };
        let mut closed = self.live(&mut retry_if).await;
        closed.unsent = ending.queue.end();
        self.events.put(Event::Closed(closed));
    }

    async fn live(&mut self, retry_if: &mut RetryIf) -> Closed {
        let (mut attempt, mut last_status) = (0_u32, None);
        loop {
            attempt = attempt.saturating_add(1);
            let mut last = Closed::default();
            let reason = match self.attempt(attempt, last_status).await {
                Err(Closing) => return last,
                Ok(Err(reason)) => reason,
                Ok(Ok(websocket)) => {
                    attempt = 0;
                    let (closed, lost) = self.connection(websocket).await;
                    last = closed;
                    match lost {
                        Some(reason) => reason,
                        None => return last,
                    }
                }
            };
            last_status = reason.status();
            let again = self.may_retry(&reason) && retry_if(&reason);
            match self.pause(reason, again).await {
                Err(Closing) => return Closed::default(),
                Ok(false) => return last,
                Ok(true) => {}
            }
        }
    }

    /// One attempt to connect.
    async fn attempt(
        &self,
        attempt: u32,
        last_status: Option<u16>,
    ) -> Result<Result<WebSocket, Reason>, Closing> {
        self.emit(Event::Connecting { attempt }).await?;
        match self.unless_closing(self.settings.connect(attempt, last_status)).await? {
            Ok((websocket, response)) => {
                self.emit(Event::Connected(Box::new(response))).await?;
                Ok(Ok(websocket))
            }
            Err(error) => Ok(Err(Reason::Connect(error))),
        }
    }

    /// A connection from its beginning to its end. Why it was lost; `None` when it was to be closed.
    async fn connection(&mut self, websocket: WebSocket) -> (Closed, Option<Reason>) {
        self.reconnect.connected(self.millis());
        let shared = Arc::clone(websocket.shared());
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&shared));
        self.queue.connected();
        self.connected.send_replace(true);
        let (end, wished, written) = self.own(&shared, websocket).await;
        self.queue.left(written);
        self.connected.send_replace(false);
        self.reconnect.disconnected(self.millis());
        let (info, text) = (shared.close_info(), shared.close_reason().unwrap_or_default().to_owned());
        let lost = (!wished).then(|| match end {
            Some(error) => Reason::Failed(error),
            None => Reason::Closed { info, text: text.clone() },
        });
        (Closed { info, text, unsent: Vec::new() }, lost)
    }

    /// Owns the connection until it has ended and what was queued has left, or cannot any more. The error that ended it,
    /// whether the client was to be closed, and how much output has left, bytes.
    async fn own(&self, shared: &Arc<Shared>, websocket: WebSocket) -> (Option<Error>, bool, u64) {
        let mut end = (None, false);
        let (mut send, receive) = websocket.split();
        let conversation = async {
            end = self.converse(shared, &mut send, &receive).await;
            // What is queued now leaves on this connection or on the next one, not on both.
            shared.end_by(self.settings.config.limits.closing_time);
            drop((send, receive));
            true
        };
        let mut driver = Driver::owning(Arc::clone(shared), Some(Box::pin(conversation)));
        let finishing = poll_fn(|cx| driver.poll_flushed(cx)).await;
        drop(driver);
        let written = finishing.written();
        // A close frame on its way is not to be destroyed by a reset.
        tokio::spawn(finishing);
        (end.0, end.1, written)
    }

    /// Sends and receives until the connection has ended; whether the client was to be closed.
    async fn converse(
        &self,
        shared: &Arc<Shared>,
        send: &mut SendHalf,
        receive: &ReceiveHalf,
    ) -> (Option<Error>, bool) {
        let mut reading = pin!(read(receive, &self.events));
        let mut writing = pin!(write(send, &self.queue));
        let wish = {
            let work = pin!(race(reading.as_mut(), writing.as_mut()));
            match race(work, pin!(self.wish())).await {
                First::One(end) => return (ended(end), false),
                First::Other(wish) => wish,
            }
        };
        // One limit for all that follows, whatever is queued and whether the application takes events or not.
        let patience = self.settings.config.limits.closing_time;
        shared.end_by(patience);
        let closing = async {
            {
                let work = pin!(race(reading.as_mut(), writing.as_mut()));
                if let First::One(end) = race(work, pin!(self.queue.idle())).await {
                    return ended(end);
                }
            }
            // When the connection is closing already there is nothing left to say.
            let _ = shared.close(wish.0, &wish.1);
            ended(race(reading, writing).await)
        };
        (within(patience, closing).await.flatten(), true)
    }

    /// Says why there is no connection, and waits for the next attempt; `false`: there is none.
    async fn pause(&mut self, reason: Reason, again: bool) -> Result<bool, Closing> {
        let requeued = self.queue.lost();
        let least =
            reason.retry_after().map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let delay = if again { self.reconnect.next_delay_after(least, random_u32()) } else { None };
        // The policy counts attempts also where the program says how long to wait.
        let fixed = *self.delay.borrow_and_update();
        let retry_in = delay.map(|drawn| {
            let asked = Duration::from_millis(least.min(self.reconnect.config().cap.into()));
            fixed.map_or(Duration::from_millis(drawn), |fixed| fixed.max(asked))
        });
        // Why before the event: whoever sees it may ask for the next attempt at once.
        let mut now = pin!(self.now.notified());
        now.as_mut().enable();
        self.emit(Event::Disconnected { reason, retry_in, requeued }).await?;
        let Some(retry_in) = retry_in else { return Ok(false) };
        let delayed = pin!(self.delayed(retry_in));
        self.unless_closing(race(delayed, now)).await?;
        Ok(true)
    }

    /// Waits for the next attempt: so long, or as long as the program says meanwhile, from now on.
    async fn delayed(&self, first: Duration) {
        let begin = Instant::now();
        let (mut delay, mut retry_in) = (self.delay.clone(), first);
        loop {
            let end = begin.checked_add(retry_in).unwrap_or_else(|| deadline(retry_in));
            let has_changed = {
                let changed = async {
                    if delay.changed().await.is_err() {
                        pending::<()>().await;
                    }
                };
                matches!(race(pin!(tokio::time::sleep_until(end)), pin!(changed)).await, First::Other(()))
            };
            if !has_changed {
                return;
            }
            retry_in = delay.borrow_and_update().unwrap_or(first);
        }
    }

    fn may_retry(&self, reason: &Reason) -> bool {
        reason.status().is_none_or(|status| self.reconnect.is_worth_retrying(status))
    }

    async fn emit(&self, event: Event) -> Result<(), Closing> {
        self.unless_closing(self.events.room()).await?;
        self.events.put(event);
        Ok(())
    }

    async fn unless_closing<F: Future>(&self, future: F) -> Result<F::Output, Closing> {
        match race(pin!(self.wish()), pin!(future)).await {
            First::One(_) => Err(Closing),
            First::Other(output) => Ok(output),
        }
    }

    /// Waits until the client is to be closed.
    async fn wish(&self) -> Wish {
        let mut wish = self.wish.clone();
        match wish.wait_for(Option::is_some).await.map(|wish| wish.clone()) {
            Ok(Some(wish)) => wish,
            // The client is gone, and with it this task, soon.
            _ => pending().await,
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Receives for the application, as long as it has room. The error that ended the connection; `None` when it was
/// closed in good order.
async fn read(half: &ReceiveHalf, events: &Producer) -> Option<Error> {
    loop {
        events.room().await;
        match poll_fn(|cx| half.shared.poll_recv(cx, false)).await? {
            Ok(crate::Event::Message(message)) => events.put(Event::Message(message)),
            Ok(crate::Event::Chunk(chunk)) => events.put(Event::Chunk(chunk)),
            Ok(crate::Event::Ping(_) | crate::Event::Pong(_)) => {}
            Err(error) => return Some(error),
        }
    }
}

/// Sends what is queued. It never ends: when the connection does, reading says why.
async fn write(half: &mut SendHalf, queue: &Queue) -> Infallible {
    loop {
        if send_all(half, queue).await.is_err() {
            return pending().await;
        }
        queue.filled().await;
    }
}

/// Writes until nothing waits: as many messages at once as there are.
async fn send_all(half: &mut SendHalf, queue: &Queue) -> Result<(), Error> {
    while let Some(message) = queue.take() {
        half.feed_queued(message).await?;
        if let Some((pushed, written)) = half.shared.progress() {
            queue.took(pushed);
            queue.left(written);
        }
    }
    let flushed = half.flush().await;
    if let Some((_, written)) = half.shared.progress() {
        queue.left(written);
    }
    flushed
}

fn ended(end: First<Option<Error>, Infallible>) -> Option<Error> {
    match end {
        First::One(end) => end,
        First::Other(never) => match never {},
    }
}

/// However the task ends, senders are told.
struct Ending {
    queue: Arc<Queue>,
    connected: watch::Sender<bool>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.queue.end());
        self.connected.send_replace(false);
    }
}
