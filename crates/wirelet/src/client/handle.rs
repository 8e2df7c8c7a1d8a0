//! What the application holds of a client.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "deflate")]
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wirelet_proto::reconnect::Reconnect;
use wirelet_proto::{CloseCode, CloseFrame};

use super::builder::Builder;
use super::event::{Closed, Event};
use super::inbox::{Consumer, inbox};
use super::queue::Queue;
#[cfg(doc)]
use super::queue::WhileAway;
use super::session::{Latest, Session, Wish};
#[cfg(feature = "deflate")]
use crate::CompressionInfo;
use crate::deflate::Compress;
use crate::{Error, Message, SendError, TrySendError};

/// A client that connects, and connects again.
///
/// It lives in a task of its own: it answers pings and sends what is queued also while the application does
/// something else. [`next`](Self::next) tells what happens; somebody has to look: when 64 KiB of messages and other
/// events wait, the client reads no further, and makes no further attempt.
///
/// Dropping it aborts the task and drops the socket, without a close frame; what was queued is dropped too.
///
/// # Fate of messages
///
/// [`sender`](Self::sender) queues messages whether there is a connection or not, up to
/// [`Limits::queued`](wirelet_proto::Limits::queued) bytes, unless [`Builder::while_away`] says otherwise.
/// - A message that waits when a connection breaks waits on, in its place.
/// - A message that a connection had taken, and whose last byte had not left when it broke, is sent again, first
///   ([`Event::Disconnected`] says how many). The server cannot have received it whole, so it gets it once.
/// - A message has been *sent* when the operating system has taken its last byte; with `wss`, or over another stream, when that
///   has. What the server does not read of
///   that before the connection breaks is lost, as with every program that uses TCP: where that matters the
///   application protocol has to acknowledge.
/// - Whatever has not been sent when the client ends is in [`Closed::unsent`].
#[derive(Debug)]
pub struct Client {
    events: Consumer,
    queue: Arc<Queue>,
    connected: watch::Receiver<bool>,
    wish: watch::Sender<Option<Wish>>,
    now: Arc<Notify>,
    #[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "nobody asks"))]
    latest: Latest,
    delay: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

/// Queues messages for a [`Client`], from any task, in any number of clones. It outlives connections.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: Arc<Queue>,
    connected: watch::Receiver<bool>,
}

impl Client {
    /// A client for `url`: `ws[s]://[user[:password]@]host[:port][/path][?query]`. Nothing happens before
    /// [`Builder::connect`] or [`Builder::connect_once`], which also say what is wrong with the URL. User information
    /// becomes Basic authorization (RFC 7617).
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }

    pub(super) fn start(builder: Builder) -> Self {
        let settings = builder.settings().clone();
        let queue = Arc::new(Queue::new(settings.config.limits.queued, builder.while_away));
        let (producer, events) = inbox();
        let (connected, is_connected) = watch::channel(false);
        let (wish, wished) = watch::channel(None);
        let now = Arc::new(Notify::new());
        let latest = Latest::default();
        let (delay, delayed) = watch::channel(builder.delay);
        let session = Session {
            settings,
            reconnect: Reconnect::new(builder.reconnect),
            events: producer,
            queue: Arc::clone(&queue),
            connected,
            wish: wished,
            now: Arc::clone(&now),
            latest: Latest::clone(&latest),
            delay: delayed,
            started: Instant::now(),
        };
        let task = tokio::spawn(session.run(builder.retry_if));
        Self { events, queue, connected: is_connected, wish, now, latest, delay, task }
    }

    /// What happens next; `None` after [`Event::Closed`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.events.poll_take(cx)).await
    }

    /// Queues messages from any task.
    pub fn sender(&self) -> Sender {
        Sender { queue: Arc::clone(&self.queue), connected: self.connected.clone() }
    }

    /// Queues a message, as [`Sender::send`].
    ///
    /// # Errors
    /// The client has ended.
    ///
    /// # Cancel safety
    /// A dropped future has queued the message whole or not at all.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.queue.send(message.into(), Compress::default()).await
    }

    /// [`send`](Self::send), saying whether the message is compressed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[cfg(feature = "deflate")]
    pub async fn send_with(&self, message: impl Into<Message>, compress: Compress) -> Result<(), SendError> {
        self.queue.send(message.into(), compress).await
    }

    /// What was agreed on about compression for the current connection, or the last one, and what it has saved so far.
    /// `None` without it, and before the first connection.
    #[cfg(feature = "deflate")]
    pub fn compression(&self) -> Option<CompressionInfo> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.compression()
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// [`Error::Closed`]: the client has ended, there will be none.
    ///
    /// # Cancel safety
    /// It only looks.
    pub async fn wait_connected(&self) -> Result<(), Error> {
        connected(&self.connected).await
    }

    /// Ends the pause before the next attempt: the network has come back, for example.
    pub fn reconnect_now(&self) {
        self.now.notify_waiters();
    }

    /// How long to wait between attempts from now on, without jitter; `None`: as [`Builder::reconnect`] says. A pause that is going on becomes
    /// so long, counted from its beginning.
    pub fn set_reconnect_delay(&self, delay: Option<Duration>) {
        self.delay.send_replace(delay);
    }

    /// Starts to close: what is queued is sent, then the closing handshake is performed, both together within
    /// [`Limits::closing_time`](wirelet_proto::Limits::closing_time) from now on. An attempt to connect is given up.
    /// [`next`](Self::next) goes on to tell what happens until [`Event::Closed`]. [`CloseCode::NO_STATUS`] closes
    /// without a code. The first call counts.
    ///
    /// # Errors
    /// [`Error::Misuse`]: the code must not be sent, or the reason is longer than 123 bytes.
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        CloseFrame { code, reason }.check()?;
        self.wish.send_if_modified(|wish| {
            let first = wish.is_none();
            wish.get_or_insert_with(|| (code, reason.to_owned()));
            first
        });
        Ok(())
    }

    /// Closes as [`start_close`](Self::start_close) does, and waits for the end. Events on the way, messages too, are
    /// dropped. It takes at most [`Limits::closing_time`](wirelet_proto::Limits::closing_time).
    /// `None` when [`Event::Closed`] has been told before.
    ///
    /// # Errors
    /// As [`start_close`](Self::start_close).
    ///
    /// # Cancel safety
    /// A dropped future has started to close.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<Option<Closed>, Error> {
        self.start_close(code, reason)?;
        while let Some(event) = self.next().await {
            if let Event::Closed(closed) = event {
                return Ok(Some(closed));
            }
        }
        Ok(None)
    }
}

impl Stream for Client {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_take(cx)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sender {
    /// Queues `message`, waiting for room. What becomes of it then: see [`Client`].
    ///
    /// # Errors
    /// The client has ended; the message comes back.
    ///
    /// # Cancel safety
    /// A dropped future has queued the message whole or not at all.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.queue.send(message.into(), Compress::default()).await
    }

    /// Queues `message` if there is room. Any message is taken while no other waits.
    ///
    /// # Errors
    /// [`TrySendError`], which hands the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.queue.try_send(message.into(), Compress::default())
    }

    /// [`try_send`](Self::try_send), saying whether the message is compressed.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[cfg(feature = "deflate")]
    pub fn try_send_with(&self, message: impl Into<Message>, compress: Compress) -> Result<(), TrySendError> {
        self.queue.try_send(message.into(), compress)
    }

    /// Bytes that wait for a connection to take them: payload, and 40 for each message.
    pub fn queued(&self) -> usize {
        self.queue.waiting()
    }

    /// Messages that were dropped since there was no connection ([`WhileAway`]), so far.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Whether the client has ended.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// As [`Client::wait_connected`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// It only looks.
    pub async fn wait_connected(&self) -> Result<(), Error> {
        connected(&self.connected).await
    }
}

async fn connected(state: &watch::Receiver<bool>) -> Result<(), Error> {
    state.clone().wait_for(|connected| *connected).await.map(drop).map_err(|_| Error::Closed)
}
