//! What every task of the firmware may do with the connections of a server.

use core::fmt;

use wirelet_proto::{CloseCode, MessageKind};

use crate::counters::{Counters, Counts};
use crate::fragments::Fragments;
use crate::server::{Route, Settings};
use crate::table::{ConnectionId, ConnectionInfo, Message, Phase, SendError, SendReason, Snapshot, Table};

/// Sends to a server's connections, lists and closes them: from any task, and from interrupts or another executor as far
/// as the board's critical section allows.
///
/// What is no `async fn` does not wait. A message is copied into the connection's queue, and the worker that owns the socket writes it
/// between two frames of its own, in the order of queueing. Each call holds a critical section for the copy of a message and
/// for nothing else: compressing, masking and waking come after it. What is queued when its connection ends is dropped with it.
#[derive(Clone, Copy)]
pub struct Handle<'t> {
    table: &'t dyn Table,
    settings: &'t Settings<'t>,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Broadcast {
    /// Connections whose queue took the message.
    pub sent: usize,
    /// Connections whose queue did not.
    pub refused: usize,
}

impl<'t> Handle<'t> {
    pub(crate) const fn new(table: &'t dyn Table, settings: &'t Settings<'t>) -> Self {
        Self { table, settings }
    }

    /// Queues a message for one connection.
    ///
    /// # Errors
    /// The message comes back: the queue is full, it is too long for the queue, or the connection is not open any more.
    pub fn try_send<'m>(
        &self,
        id: ConnectionId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError<Message<'m>>> {
        self.table.try_send(id, message.into(), self.settings.counters)
    }

    /// Queues a message for one connection, as soon as there is room for it.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for a full queue: that is waited for. With
    /// [`Overflow::Close`](crate::Overflow::Close) a full queue closes the connection all the same.
    ///
    /// # Cancel safety
    /// Safe: the message was queued or not.
    pub async fn send<'m>(
        &self,
        id: ConnectionId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError<Message<'m>>> {
        self.table.send(Some(id), message.into(), self.settings.counters).await
    }

    /// Waits until a message of `len` bytes would be queued for a connection.
    ///
    /// # Errors
    /// The connection is not open any more, or it never fits.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, id: ConnectionId, len: usize) -> Result<(), SendReason> {
        self.table.ready(Some(id), len).await
    }

    /// Queues a ping with up to 125 bytes for one connection, behind the messages that wait. Keepalive pings are sent by themselves.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn ping(&self, id: ConnectionId, payload: &[u8]) -> Result<(), SendReason> {
        self.table.ping(id, payload)
    }

    /// Begins a message in fragments for one connection; one at a time.
    ///
    /// # Errors
    /// Another task's fragments are under way, or the connection is not open any more.
    pub fn fragments(&self, id: ConnectionId, kind: MessageKind) -> Result<Fragments<'t>, SendReason> {
        Fragments::new(self.table, id, kind)
    }

    /// Queues a message for every open WebSocket that `choose` answers true for. Who has no room is passed over, or
    /// treated as the route's [`Overflow`](crate::Overflow) says; nobody waits for anybody.
    pub fn broadcast<'m>(
        &self,
        message: impl Into<Message<'m>>,
        mut choose: impl FnMut(&ConnectionInfo<'t>) -> bool,
    ) -> Broadcast {
        let message = message.into();
        let mut outcome = Broadcast::default();
        for connection in self.connections() {
            if connection.phase == Phase::Open && choose(&connection) {
                match self.table.try_send(connection.id, message, self.settings.counters) {
                    Ok(()) => outcome.sent = outcome.sent.saturating_add(1),
                    Err(_) => outcome.refused = outcome.refused.saturating_add(1),
                }
            }
        }
        outcome
    }

    /// The connections there are now, WebSockets and others.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo<'t>> + use<'t> {
        let handle = *self;
        (0..self.table.count()).filter_map(move |at| handle.info(at))
    }

    /// One connection; `None` when it has ended.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionInfo<'t>> {
        self.info(id.index()).filter(|info| info.id == id)
    }

    fn info(&self, index: usize) -> Option<ConnectionInfo<'t>> {
        let Snapshot { id, phase, route, subprotocol, queued } = self.table.snapshot(index)?;
        if phase == Phase::Free {
            return None;
        }
        let route = route.and_then(|at| self.settings.routes.get(usize::from(at)));
        let subprotocol = route.zip(subprotocol).and_then(|(route, at)| route.subprotocol(at));
        Some(ConnectionInfo { id, phase, route: route.map(Route::name), subprotocol, queued })
    }

    /// What has happened so far; `None` without [`Settings::counters`].
    pub fn counts(&self) -> Option<Counts> {
        self.settings.counters.map(Counters::counts)
    }

    /// Starts the closing handshake of a WebSocket, after what is queued for it now, or at once when its handler has not ended a
    /// fragmented message, which would hold the queue up. An HTTP connection just ends. Answers whether there is such a
    /// connection.
    ///
    /// Who asks first names the code. One that must not be sent becomes 1011 ([`CloseCode::is_sendable`]). A `reason`, up to 123
    /// bytes, waits in the queue with the messages; one that has no room there is left out.
    pub fn close(&self, id: ConnectionId, code: CloseCode, reason: &str) -> bool {
        self.table.close(id, code, reason)
    }

    /// Waits until a connection has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self, id: ConnectionId) {
        self.table.closed(id).await;
    }

    /// Ends the server: every WebSocket is closed with 1001 after what is queued for it, responses that have begun are sent,
    /// and each worker's `run` returns, at the latest
    /// [`Settings::closing_time`](crate::server::Settings::closing_time) after it has noticed, whatever its peer takes.
    ///
    /// To start the server again, call `run` again once it has returned. A worker that does not run when this is called
    /// returns from its next `run` at once. For a device that stops when its network is lost and starts when it has an
    /// address again:
    ///
    /// ```
    /// # use wirelet_embedded::{Clock, net::Listen, server::Worker};
    /// # async fn address() {}
    /// # async fn task(mut worker: Worker<'_, '_, 512, 512>, mut listener: impl Listen, clock: impl Clock) {
    /// loop {
    ///     address().await; // `Stack::wait_config_up`
    ///     worker.run(&mut listener, &clock).await; // until another task calls `stop`
    /// }
    /// # }
    /// ```
    pub fn stop(&self) {
        for at in 0..self.table.count() {
            self.table.with(at, |slot, _| {
                slot.stop(CloseCode::GOING_AWAY);
            });
        }
    }

    /// The largest message that can be queued, payload bytes: what the queue holds, and what the transmit buffer has room for
    /// beside 139 bytes that are kept for control frames and short answers.
    pub fn largest_message(&self) -> usize {
        self.table.largest(false)
    }
}

impl fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.connections()).finish()
    }
}
