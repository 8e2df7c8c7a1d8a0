//! What every task of the firmware may do with a client's connection.

use core::fmt;
use core::time::Duration;

use wirelet_proto::{CloseCode, MessageKind};

use super::{Options, SetUriError};
use crate::counters::{Counters, Counts};
use crate::fragments::Fragments;
use crate::table::{
    Changes, ConnectionId, Message, Phase, SendError, SendReason, Slot, Standing, Table, Waits,
};
use crate::wait::Wait;

/// Sends through a client, over all its connections: from any task, and from interrupts or another executor as far as the
/// board's critical section allows.
///
/// What is queued when a connection ends is dropped with it, or waits for the next one, as
/// [`Options::gap`] says.
#[derive(Clone, Copy)]
pub struct Sender<'t> {
    table: &'t dyn Table,
    options: &'t Options<'t>,
}

impl<'t> Sender<'t> {
    pub(super) const fn new(table: &'t dyn Table, options: &'t Options<'t>) -> Self {
        Self { table, options }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The message comes back: there is no open connection ([`SendReason::Gone`]; but see [`Options::gap`]), the queue is full, or it is
    /// too long for the queue.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError<Message<'m>>> {
        self.table.try_send_any(message.into(), self.options.counters)
    }

    /// Queues a message, as soon as there is room for it.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for a full queue: that is waited for. With
    /// [`Overflow::Close`](crate::Overflow::Close) a full queue closes the connection all the same.
    ///
    /// # Cancel safety
    /// Safe: the message was queued or not.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError<Message<'m>>> {
        self.table.send(None, message.into(), self.options.counters).await
    }

    /// Waits until a message of `len` bytes would be queued.
    ///
    /// # Errors
    /// There is no open connection, or it never fits.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, len: usize) -> Result<(), SendReason> {
        self.table.ready(None, len).await
    }

    /// Queues a ping with up to 125 bytes, behind the messages that wait. Keepalive pings are sent by themselves.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendReason> {
        self.table.ping(self.id(), payload)
    }

    fn id(&self) -> ConnectionId {
        let generation = self.table.with(0, |slot, _| slot.generation).unwrap_or_default();
        ConnectionId { index: 0, generation }
    }

    /// Begins a message in fragments; one at a time.
    ///
    /// # Errors
    /// Another task's fragments are under way, or there is no open connection.
    pub fn fragments(&self, kind: MessageKind) -> Result<Fragments<'t>, SendReason> {
        Fragments::new(self.table, self.id(), kind)
    }

    /// Whether there is an open connection.
    pub fn is_connected(&self) -> bool {
        self.table.snapshot(0).is_some_and(|info| info.phase == Phase::Open)
    }

    /// Waits for an open connection: whether there is one. `false` says that the client has finished, its `run` has
    /// returned.
    ///
    /// Any number of tasks may wait. They are woken one by the other, so that who does not poll this future any more drops
    /// it.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn connected(&self) -> bool {
        Wait::new(self.table, 0, |slot: &mut Slot, _: &mut [u8]| slot.connected()).await
    }

    /// Ends the wait for the next attempt, which then begins at once; answers whether there was one to end. The attempts are
    /// counted on.
    pub fn retry_now(&self) -> bool {
        let waiting = self.table.with(0, |slot, _| {
            let waiting = slot.standing == Standing::Waiting;
            if waiting {
                slot.standing = Standing::Hurried;
                slot.notice();
            }
            waiting
        });
        waiting == Some(true)
    }

    /// Goes to another server from the next attempt on. To go there at once, [`close`](Self::close) the connection that is open.
    ///
    /// # Errors
    /// It is no URI of a WebSocket, or has no room in [`Options::server`]. All stays as it was. One that is longer than a quarter of the
    /// receive buffer is not gone to.
    pub fn set_uri(&self, uri: &str) -> Result<(), SetUriError> {
        self.options.server.ok_or(SetUriError::TooLong)?.set(uri)
    }

    /// Sets a fixed delay before further attempts, from 1 ms to 49 days; `None`: as the options say. It counts from the end of the last
    /// attempt, also for one that is waited for now.
    pub fn set_reconnect_delay(&self, delay: Option<Duration>) {
        let millis = delay.map_or(0, millis);
        self.table.with(0, |slot, _| {
            slot.waits = Waits::Never(Changes { delay: millis, ..slot.changes() });
            if slot.standing == Standing::Waiting {
                slot.standing = Standing::Changed;
            }
            slot.notice();
        });
    }

    /// Sets the interval of keepalive pings, for the open connection and for later ones; `None`: no pings. How long a pong is waited for
    /// stays as configured.
    pub fn set_ping_interval(&self, interval: Option<Duration>) {
        let millis = interval.map_or(u32::MAX, millis);
        self.table.with(0, |slot, _| {
            slot.waits = Waits::Never(Changes { ping: millis, ..slot.changes() });
            slot.notice();
        });
    }

    /// The subprotocol of the open connection, as its position in the list that was offered.
    pub fn subprotocol(&self) -> Option<u16> {
        self.table.snapshot(0).and_then(|info| info.subprotocol)
    }

    /// Payload bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.table.snapshot(0).map_or(0, |info| info.queued)
    }

    /// What has happened so far; `None` without [`Options::counters`](super::Options::counters).
    pub fn counts(&self) -> Option<Counts> {
        self.options.counters.map(Counters::counts)
    }

    /// Starts the closing handshake after what is queued; answers whether there is an open connection. Whether another one
    /// follows is for [`Options::connect_after_close`](super::Options::connect_after_close) to say.
    ///
    /// Who asks first names the code. One that must not be sent becomes 1011 ([`CloseCode::is_sendable`]). A `reason`, up to 123
    /// bytes, waits in the queue with the messages; one that has no room there is left out.
    pub fn close(&self, code: CloseCode, reason: &str) -> bool {
        let id = self.id();
        self.is_connected() && self.table.close(id, code, reason)
    }

    /// Waits until the connection that is open now has ended, which is at once when there is none.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) {
        self.table.closed(self.id()).await;
    }

    /// Ends the client: an open connection is closed with 1000 after what is queued, an attempt is given up, and `run` returns,
    /// at the latest [`Limits::closing_time`](wirelet_proto::Limits::closing_time) after it has noticed, whatever the server
    /// takes.
    ///
    /// To start again, call `run` again once it has returned. When it does not run, its next call returns at once.
    pub fn stop(&self) {
        self.table.with(0, |slot, _| {
            slot.stop(CloseCode::NORMAL);
        });
    }
}

/// Milliseconds that are neither of the two with another meaning.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, u32::MAX - 1)
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("connection", &self.table.snapshot(0)).finish()
    }
}
