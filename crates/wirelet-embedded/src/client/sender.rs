//! What every task of the firmware may do with a client's connection.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

use wirelet_proto::{CloseCode, MessageKind};

use crate::fragments::Fragments;
use crate::table::{Message, Phase, SendError, SendReason, Table};

/// Sends through a client, over all its connections: from any task, and from interrupts or another executor as far as the
/// board's critical section allows.
///
/// What is queued when a connection ends is dropped with it: the server may have got it or not, and what it said about the
/// old connection may not fit the new one.
#[derive(Clone, Copy)]
pub struct Sender<'t> {
    table: &'t dyn Table,
}

impl<'t> Sender<'t> {
    pub(super) const fn new(table: &'t dyn Table) -> Self {
        Self { table }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The message comes back: there is no open connection ([`SendReason::Gone`]), the queue is full, or it is too long for
    /// the queue.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError<Message<'m>>> {
        let message = message.into();
        match self.table.info(0) {
            Some(info) => self.table.try_send(info.id, message),
            None => Err(SendError { message, reason: SendReason::Gone }),
        }
    }

    /// Begins a message in fragments; one at a time.
    ///
    /// # Errors
    /// Another task's fragments are under way, or there is no open connection.
    pub fn fragments(&self, kind: MessageKind) -> Result<Fragments<'t>, SendReason> {
        let info = self.table.info(0).ok_or(SendReason::Gone)?;
        Fragments::new(self.table, info.id, kind)
    }

    /// Whether there is an open connection.
    pub fn is_connected(&self) -> bool {
        self.table.info(0).is_some_and(|info| info.phase == Phase::Open)
    }

    /// Waits for an open connection. One task at a time: two that wait wake each other.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn connected(&self) {
        poll_fn(|cx| self.table.with(0, |slot, _| slot.poll_phase(Phase::Open, cx)).unwrap_or(Poll::Pending))
            .await;
    }

    /// The subprotocol of the open connection, as its position in the list that was offered.
    pub fn subprotocol(&self) -> Option<u16> {
        self.table.info(0).and_then(|info| info.subprotocol)
    }

    /// Payload bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.table.info(0).map_or(0, |info| info.queued)
    }

    /// Starts the closing handshake after what is queued; answers whether there is an open connection. Whether another one
    /// follows is for [`Options::connect_after_close`](super::Options::connect_after_close) to say.
    ///
    /// A code that must not be sent becomes 1011 ([`CloseCode::is_sendable`]).
    pub fn close(&self, code: CloseCode) -> bool {
        let code = if code.is_sendable() { code } else { CloseCode::INTERNAL_ERROR };
        let asked = self.table.with(0, |slot, _| {
            let open = slot.phase == Phase::Open;
            if open {
                slot.close.get_or_insert(code);
                slot.notice();
            }
            open
        });
        asked == Some(true)
    }

    /// Ends the client: an open connection is closed with 1000, an attempt is given up, and `run` returns, at the latest
    /// when the closing deadline has passed.
    pub fn stop(&self) {
        self.table.visit(0, &mut |slot, _| {
            slot.stop = true;
            slot.close.get_or_insert(CloseCode::NORMAL);
            slot.notice();
        });
    }
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("connection", &self.table.info(0)).finish()
    }
}
