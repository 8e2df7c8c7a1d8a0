//! What a connection's owner and other tasks leave for each other: messages to send, a wish to close, received events, and
//! who is to be woken.
//!
//! The owner alone moves the connection. Everybody else changes the mailbox and wakes the owner. The owner looks at
//! [`Attention`] first, so that it takes no lock where nobody has left anything.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::Notify;
use wirelet_proto::{CloseCode, Instant};

use super::later::{self, Locked, Thing};
use super::queue::{Queue, Queued};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::{Error, Event, SendError, SlowReceiver, TrySendError};

/// Payload that waits for a receiver in another task, bytes; the last event may go beyond.
const INBOX: usize = 64 * 1024;
/// What an event counts besides its payload, bytes.
const EVENT: usize = 64;
/// From this many bytes on, the sending half in another task waits.
const HALF: usize = 64 * 1024;

/// What the owner has to look for in the mailbox.
#[derive(Debug, Default)]
pub(crate) struct Attention(AtomicU8);

/// A bit of [`Attention`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(u8);

impl Flag {
    /// Messages wait in the queue.
    pub(crate) const MAIL: Self = Self(1);
    /// Somebody wants to close.
    pub(crate) const CLOSE: Self = Self(2);
    /// A task waits to receive.
    pub(crate) const RECEIVER: Self = Self(4);
    /// A task waits to send, to flush or for the end.
    pub(crate) const SENDER: Self = Self(8);
    /// The receiving half lives in another task than the connection.
    pub(crate) const REMOTE: Self = Self(16);
    /// Nobody will receive.
    pub(crate) const DISCARD: Self = Self(32);
    /// Pings and pongs are events.
    pub(crate) const CONTROL: Self = Self(64);
}

impl Attention {
    /// Whether one of `flags` is set.
    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.0.load(Ordering::Acquire) & flag.0 != 0
    }

    /// Whether nobody has left anything.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    fn set(&self, flag: Flag) {
        self.0.fetch_or(flag.0, Ordering::Release);
    }

    fn clear(&self, flag: Flag) {
        self.0.fetch_and(!flag.0, Ordering::Release);
    }
}

/// What whoever sends waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Room for a frame.
    #[default]
    Room,
    /// All that is queued has been written.
    Flush,
    /// The connection has ended.
    End,
}

/// Wakers that are to be woken when no lock is held any more.
#[must_use = "somebody waits for it"]
#[derive(Debug, Default)]
pub(crate) struct Woken {
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Woken {
    #[inline]
    pub(crate) fn wake(self) {
        if self.receiver.is_some() || self.sender.is_some() {
            self.wake_both();
        }
    }

    fn wake_both(self) {
        self.receiver.into_iter().chain(self.sender).for_each(later::wake);
    }

    /// The one that receives needs no waking: it has what it waited for.
    pub(crate) fn but_receiver(mut self) -> Self {
        self.receiver = None;
        self
    }

    /// The one that sends needs no waking: it has what it waited for.
    pub(crate) fn but_sender(mut self) -> Self {
        self.sender = None;
        self
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { receiver: self.receiver.or(other.receiver), sender: self.sender.or(other.sender) }
    }
}

/// What the owner and other tasks leave for each other.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    /// Told when there is room for senders again, or none ever.
    room: Arc<Notify>,
    /// What senders may queue, bytes.
    limit: usize,
    /// Whom the socket of a connection without a task wakes.
    relay: OnceLock<Waker>,
    /// Since when that socket has had news that nobody has looked at, milliseconds; `u64::MAX`: it has none.
    unseen_since: AtomicU64,
}

#[derive(Debug, Default)]
struct Mail {
    queue: Queue,
    intake: Intake,
    /// A sender waits for room.
    awaited: bool,
    close: Option<(CloseCode, Box<str>)>,
    inbox: Inbox,
    flushed: Flushed,
    receiver: Option<Waker>,
    sender: Option<(Waker, Wait)>,
}

/// What has become of what the sending half has queued here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flushed {
    #[default]
    Unknown,
    /// The owner has taken all of it. It is written when so many bytes are.
    At(u64),
    /// All of it has been handed to the network.
    All,
    /// It never will be.
    Never,
}

/// How things stand with a connection, for those who wait in its mailbox.
pub(crate) struct Standing {
    /// Something can be received that is not left in the mailbox.
    pub(crate) news: bool,
    /// Whether a frame can be queued, where that does not depend on the mailbox.
    pub(crate) room: Option<bool>,
    /// Whether what a sender waits for has been written, where that does not depend on the mailbox.
    pub(crate) flushed: Option<bool>,
    /// Where the output ends that is queued, bytes since the connection began.
    pub(crate) end: u64,
    /// How much of it has been written.
    pub(crate) written: u64,
    /// More of it may be written.
    pub(crate) can_write: bool,
    /// Nothing more is received.
    pub(crate) ended: bool,
}

/// Whether messages are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Intake {
    #[default]
    Open,
    Closed,
    /// Nobody owns the connection any more: nothing that is left here is taken.
    Over,
}

/// Received events that wait for whoever receives, bounded by bytes, and the end behind them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: VecDeque<Event>,
    bytes: usize,
    end: End,
}

/// The end of what is received.
#[derive(Debug, Default)]
pub(crate) enum End {
    /// More may come.
    #[default]
    Open,
    /// Nothing more comes, for this reason, which nobody has been told yet.
    Failed(Error),
    /// Nothing more comes.
    Ended,
}

impl Inbox {
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= INBOX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += cost(&event);
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= cost(&event);
        if self.events.is_empty() {
            // Why: an idle connection keeps no memory for what it once received.
            self.events = VecDeque::new();
        }
        Some(event)
    }

    /// The next event, or the end.
    fn poll_take(&mut self) -> Poll<Option<Result<Event, Error>>> {
        if let Some(event) = self.pop() {
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut self.end {
            End::Open => Poll::Pending,
            end => Poll::Ready(end.take().map(Err)),
        }
    }

    fn has_news(&self) -> bool {
        !self.events.is_empty() || !matches!(self.end, End::Open)
    }
}

impl End {
    /// The reason, once.
    pub(crate) fn take(&mut self) -> Option<Error> {
        match std::mem::replace(self, Self::Ended) {
            Self::Failed(error) => Some(error),
            Self::Open | Self::Ended => None,
        }
    }
}

fn cost(event: &Event) -> usize {
    let len = match event {
        Event::Message(message) => message.len(),
        Event::Chunk(chunk) => chunk.data.len(),
        Event::Ping(payload) | Event::Pong(payload) => payload.len(),
    };
    len.saturating_add(EVENT)
}

/// For senders and halves, in any task.
impl Mailbox {
    pub(crate) fn new(limit: usize) -> Self {
        let unseen_since = AtomicU64::new(u64::MAX);
        Self { mail: Mutex::default(), room: Arc::default(), limit, relay: OnceLock::new(), unseen_since }
    }

    /// Queues a sender's message, or does what the policy says when there is no room. Ready at once.
    pub(crate) fn push(
        &self,
        attention: &Attention,
        message: Queued,
        policy: SlowReceiver,
    ) -> Result<(), TrySendError> {
        let mut mail = self.lock();
        if mail.intake != Intake::Open {
            return Err(TrySendError::Closed(message.into_message()));
        }
        let mut dropped = VecDeque::new();
        if !mail.queue.fits(&message, self.limit) {
            match policy {
                SlowReceiver::Wait => {
                    mail.awaited = true;
                    return Err(TrySendError::Full(message.into_message()));
                }
                SlowReceiver::DropNewest => return Ok(()),
                SlowReceiver::DropOldest => dropped = mail.queue.take_oldest_for(&message, self.limit),
                SlowReceiver::Close => {
                    // Why all of it: what has left before is an unbroken beginning.
                    let dropped = mail.drop_all(attention);
                    mail.ask_to_close(attention, CloseCode::TRY_AGAIN_LATER, "");
                    drop(mail);
                    drop(dropped);
                    self.tell_room();
                    return Err(TrySendError::Closed(message.into_message()));
                }
            }
        }
        mail.queue.push(message);
        attention.set(Flag::MAIL);
        drop(mail);
        // Why behind the lock: a payload may be of the application's own making, and so its end.
        drop(dropped);
        Ok(())
    }

    /// Makes `attempt` with `message` whenever there may be room, until it succeeds or nothing is taken any more.
    pub(crate) async fn send(
        &self,
        message: crate::Message,
        attempt: impl Fn(crate::Message) -> Result<(), TrySendError>,
    ) -> Result<(), SendError> {
        super::outbox::when_there_is_room(&self.room, message, attempt).await
    }

    /// Queues a frame or a ping of the sending half, for which there is room.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn post(&self, attention: &Attention, message: Queued) -> Result<(), Error> {
        let mut mail = self.lock();
        if mail.intake != Intake::Open {
            return Err(Error::Closed);
        }
        mail.queue.push(message);
        mail.flushed = Flushed::Unknown;
        attention.set(Flag::MAIL);
        Ok(())
    }

    /// Whether the sending half may queue a frame.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn poll_room(&self, attention: &Attention, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut mail = self.lock();
        if mail.intake != Intake::Open {
            return Poll::Ready(Err(Error::Closed));
        }
        if mail.queue.half_bytes() < HALF {
            return Poll::Ready(Ok(()));
        }
        mail.wait_to_send(attention, waker, Wait::Room);
        Poll::Pending
    }

    /// Notes that a task waits to send.
    pub(crate) fn wait_to_send(&self, attention: &Attention, waker: &Waker, wait: Wait) {
        self.lock().wait_to_send(attention, waker, wait);
    }

    /// Notes that a task waits to receive.
    pub(crate) fn wait_to_receive(&self, attention: &Attention, waker: &Waker) {
        self.lock().wait_to_receive(attention, waker);
    }

    /// The next event that the owner has left here, or the end. From now on the owner leaves events here. Whether the owner
    /// is to be woken stands beside it: it has stopped reading for want of room, or does not know of this receiver.
    pub(crate) fn poll_take(
        &self,
        attention: &Attention,
        waker: &Waker,
        control: bool,
    ) -> (Poll<Option<Result<Event, Error>>>, bool) {
        let mut mail = self.lock();
        let known = attention.has(Flag::REMOTE) && (!control || attention.has(Flag::CONTROL));
        let was_full = mail.inbox.is_full();
        if !known {
            attention.set(Flag::REMOTE);
            if control {
                attention.set(Flag::CONTROL);
            }
        }
        let taken = mail.inbox.poll_take();
        if taken.is_pending() {
            mail.wait_to_receive(attention, waker);
        }
        let wake = !known || was_full && !mail.inbox.is_full();
        (taken, wake)
    }

    /// Asks the owner to close the connection behind what has been queued. Nothing is taken any more.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closing already.
    pub(crate) fn ask_to_close(
        &self,
        attention: &Attention,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Error> {
        let mut mail = self.lock();
        if mail.intake != Intake::Open {
            return Err(Error::Closed);
        }
        mail.ask_to_close(attention, code, reason);
        drop(mail);
        self.tell_room();
        Ok(())
    }

    /// Nobody will receive.
    pub(crate) fn discard(&self, attention: &Attention) {
        let mut mail = self.lock();
        let dropped = std::mem::take(&mut mail.inbox.events);
        mail.inbox.bytes = 0;
        later::dispose(mail.receiver.take().map(Thing::Waker));
        attention.set(Flag::DISCARD);
        drop(mail);
        drop(dropped);
    }

    /// Ready when the owner has left the end here: the error that nobody has been told, or how it was.
    pub(crate) fn poll_end(&self, attention: &Attention, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut mail = self.lock();
        if matches!(mail.inbox.end, End::Open) {
            mail.wait_to_send(attention, waker, Wait::End);
            return Poll::Pending;
        }
        Poll::Ready(mail.inbox.end.take().map_or(Ok(()), Err))
    }

    /// Ready when all that the sending half has queued has been handed to the network.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    pub(crate) fn poll_flushed(&self, attention: &Attention, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut mail = self.lock();
        match mail.flushed {
            Flushed::All => Poll::Ready(Ok(())),
            Flushed::Never => Poll::Ready(Err(Error::Closed)),
            Flushed::Unknown | Flushed::At(_) => {
                mail.wait_to_send(attention, waker, Wait::Flush);
                Poll::Pending
            }
        }
    }

    /// Another flush begins: what has been said of an earlier one does not count.
    pub(crate) fn begin_flush(&self) {
        let mut mail = self.lock();
        if mail.flushed != Flushed::Never {
            let over = mail.intake == Intake::Over;
            mail.flushed = if over { Flushed::Never } else { Flushed::Unknown };
        }
    }

    /// Whom the socket of a connection without a task wakes; made when it is first needed.
    pub(crate) fn relay(&self, make: impl FnOnce() -> Waker) -> &Waker {
        self.relay.get_or_init(make)
    }

    /// The socket of a connection without a task has news.
    pub(crate) fn note_news(&self, now: Instant) {
        self.unseen_since.fetch_min(now.as_millis(), Ordering::Relaxed);
    }

    /// Since when it has had news; they are looked at now.
    pub(crate) fn take_news(&self) -> Option<Instant> {
        let since = self.unseen_since.swap(u64::MAX, Ordering::Relaxed);
        (since != u64::MAX).then(|| Instant::from_millis(since))
    }

    /// Wakes whoever waits: the socket has news, and they move the connection.
    pub(crate) fn wake_all(&self, attention: &Attention) -> Woken {
        let mut mail = self.lock();
        attention.clear(Flag::RECEIVER);
        attention.clear(Flag::SENDER);
        Woken { receiver: mail.receiver.take(), sender: mail.sender.take().map(|(waker, _)| waker) }
    }

    /// What senders have queued, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().intake != Intake::Open
    }

    /// Senders look again whether there is room.
    fn tell_room(&self) {
        later::dispose(Thing::Room(Arc::clone(&self.room)));
    }

    fn lock(&self) -> Locked<'_, Mail> {
        Locked::new(self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For the owner.
impl Mailbox {
    /// The oldest message that may leave now.
    pub(crate) fn pop(&self, attention: &Attention, inside_message: bool) -> Option<Queued> {
        if !attention.has(Flag::MAIL) {
            return None;
        }
        let mut mail = self.lock();
        let message = mail.queue.pop(inside_message);
        if mail.queue.is_empty() {
            attention.clear(Flag::MAIL);
        }
        let room = mail.queue.bytes() <= self.limit / 2 && std::mem::take(&mut mail.awaited);
        if room {
            self.tell_room();
        }
        message
    }

    /// The wish to close.
    pub(crate) fn close_wish(&self, attention: &Attention) -> Option<(CloseCode, Box<str>)> {
        let mut mail = self.lock();
        attention.clear(Flag::CLOSE);
        mail.close.take()
    }

    /// Nothing is taken any more; what is queued is dropped, unless it is still to leave before the close frame.
    pub(crate) fn close_intake(&self, attention: &Attention) {
        let mut mail = self.lock();
        if mail.intake != Intake::Open && mail.queue.is_empty() {
            return;
        }
        if mail.intake == Intake::Open {
            mail.intake = Intake::Closed;
        }
        later::dispose(Thing::Messages(mail.drop_all(attention)));
        self.tell_room();
    }

    /// Leaves events, and the end behind them, for a receiver in another task. Whether there is room for more.
    pub(crate) fn leave(&self, events: impl Iterator<Item = Event>, end: &mut End) -> bool {
        let mut mail = self.lock();
        events.for_each(|event| mail.inbox.push(event));
        if !matches!(end, End::Open) && matches!(mail.inbox.end, End::Open) {
            mail.inbox.end = std::mem::replace(end, End::Ended);
        }
        !mail.inbox.is_full()
    }

    /// Whether there is room for more events.
    pub(crate) fn has_inbox_room(&self) -> bool {
        !self.lock().inbox.is_full()
    }

    /// The receiving half lives in the connection's own task again: gives back the next event that was left here; `None`
    /// when there is none, and from then on events need not be left here.
    pub(crate) fn take_back(&self, attention: &Attention) -> Option<Event> {
        let mut mail = self.lock();
        let event = mail.inbox.pop();
        if event.is_none() {
            attention.clear(Flag::REMOTE);
        }
        event
    }

    /// The end that was left here for a receiver in another task.
    pub(crate) fn take_back_end(&self) -> Option<Error> {
        self.lock().inbox.end.take()
    }

    /// The connection is over: nothing more is left here.
    pub(crate) fn end(&self) {
        let mut mail = self.lock();
        if matches!(mail.inbox.end, End::Open) {
            mail.inbox.end = End::Ended;
        }
        if mail.flushed != Flushed::All {
            mail.flushed = Flushed::Never;
        }
        mail.intake = Intake::Over;
    }

    /// Whom the connection's new state concerns.
    pub(crate) fn concerned(&self, attention: &Attention, standing: Standing) -> Woken {
        let Standing { news, room, flushed, end, written, can_write, ended } = standing;
        let mut woken = Woken::default();
        let mut mail = self.lock();
        let mail = &mut *mail;
        if mail.receiver.is_some() && (news || mail.inbox.has_news()) {
            woken.receiver = mail.receiver.take();
            attention.clear(Flag::RECEIVER);
        }
        let Some((_, wait)) = mail.sender else { return woken };
        let satisfied = match wait {
            Wait::Room => mail.intake != Intake::Open || room.unwrap_or(mail.queue.half_bytes() < HALF),
            Wait::End => ended,
            Wait::Flush if flushed.is_some() => flushed == Some(true),
            Wait::Flush => {
                if mail.flushed == Flushed::Unknown && mail.queue.half_bytes() == 0 {
                    mail.flushed = Flushed::At(end);
                }
                if let Flushed::At(until) = mail.flushed {
                    if written >= until {
                        mail.flushed = Flushed::All;
                    } else if !can_write {
                        mail.flushed = Flushed::Never;
                    }
                }
                matches!(mail.flushed, Flushed::All | Flushed::Never)
            }
        };
        if satisfied {
            woken.sender = mail.sender.take().map(|(waker, _)| waker);
            attention.clear(Flag::SENDER);
        }
        woken
    }
}

impl Mail {
    /// Nothing of what is queued will leave. The answer is dropped when the lock is free again.
    fn drop_all(&mut self, attention: &Attention) -> VecDeque<Queued> {
        if self.queue.half_bytes() > 0 {
            self.flushed = Flushed::Never;
        }
        attention.clear(Flag::MAIL);
        self.queue.drain()
    }

    fn ask_to_close(&mut self, attention: &Attention, code: CloseCode, reason: &str) {
        self.intake = Intake::Closed;
        self.close = Some((code, reason.into()));
        attention.set(Flag::CLOSE);
    }

    fn wait_to_send(&mut self, attention: &Attention, waker: &Waker, wait: Wait) {
        match &mut self.sender {
            Some((known, known_wait)) if known.will_wake(waker) => *known_wait = wait,
            sender => {
                let old = sender.replace((waker.clone(), wait));
                later::dispose(old.map(|(waker, _)| Thing::Waker(waker)));
            }
        }
        attention.set(Flag::SENDER);
    }

    fn wait_to_receive(&mut self, attention: &Attention, waker: &Waker) {
        match &self.receiver {
            Some(known) if known.will_wake(waker) => {}
            _ => later::dispose(self.receiver.replace(waker.clone()).map(Thing::Waker)),
        }
        attention.set(Flag::RECEIVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Compress;

    fn queued(text: &str) -> Queued {
        Queued::new(text.into(), Compress::default())
    }

    #[test]
    fn dropping_the_oldest_never_says_that_the_connection_is_closed() {
        let (mailbox, attention) = (Mailbox::new(200), Attention::default());
        for n in 0..1000 {
            mailbox.push(&attention, queued(&format!("{n}")), SlowReceiver::DropOldest).unwrap();
        }
        assert!(mailbox.bytes() <= 200 && !mailbox.is_closed());
        let mut last = None;
        while let Some(message) = mailbox.pop(&attention, false) {
            last = message.into_message().as_text().map(str::to_owned);
        }
        assert_eq!(last.as_deref(), Some("999"));
        assert!(!attention.has(Flag::MAIL));
    }

    #[test]
    fn a_refused_message_comes_back_and_a_closed_mailbox_takes_nothing() {
        let (mailbox, attention) = (Mailbox::new(100), Attention::default());
        mailbox.push(&attention, queued(&"x".repeat(500)), SlowReceiver::Wait).unwrap();
        let full = mailbox.push(&attention, queued("y"), SlowReceiver::Wait).unwrap_err();
        assert_eq!(full, TrySendError::Full("y".into()));
        let closed = mailbox.push(&attention, queued("z"), SlowReceiver::Close).unwrap_err();
        assert_eq!(closed, TrySendError::Closed("z".into()));
        assert!(mailbox.is_closed() && attention.has(Flag::CLOSE) && !attention.has(Flag::MAIL));
        assert_eq!(mailbox.close_wish(&attention), Some((CloseCode::TRY_AGAIN_LATER, "".into())));
    }
}
