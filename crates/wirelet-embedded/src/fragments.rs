//! A message that a task sends in pieces, not knowing its length when it begins.

use wirelet_proto::{CloseCode, MessageKind};

use crate::table::{ConnectionId, Order, Phase, SendReason, Slot, Table};

/// A fragmented message of a task's own (RFC 6455 5.4): what is too large for the queue, or not there yet.
///
/// The frames of a message follow each other. From the first fragment on nothing else is sent to this peer but control
/// frames, and no message is delivered to its handler, which might want to answer: the peer is held back by TCP. Other tasks
/// get [`SendReason::Full`]. So whoever begins a message ends it soon: when nothing waits to be sent and the next fragment has
/// not come within [`Limits::fragment_time`](wirelet_proto::Limits::fragment_time), the connection fails with 1011.
///
/// Dropped before the end, it closes the connection with 1011: the peer must not take half a message for a whole one. Before
/// its first fragment it holds nothing and nobody up.
pub struct Fragments<'t> {
    table: &'t dyn Table,
    id: ConnectionId,
    kind: MessageKind,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No fragment was queued.
    New,
    /// The last one was not queued.
    Begun,
    Ended,
}

impl<'t> Fragments<'t> {
    pub(crate) fn new(table: &'t dyn Table, id: ConnectionId, kind: MessageKind) -> Result<Self, SendReason> {
        let free = table.with_id(id, |slot, _| match slot.phase {
            Phase::Open if slot.fragments => Err(SendReason::Full),
            Phase::Open => Ok(()),
            _ => Err(SendReason::Gone),
        });
        free.unwrap_or(Err(SendReason::Gone))?;
        Ok(Self { table, id, kind, stage: Stage::New })
    }

    /// Queues the next fragment; the one with `fin` ends the message. A text may be cut anywhere, also inside a character; the
    /// whole has to be UTF-8.
    ///
    /// # Errors
    /// It was not queued: there is no room now or another task's fragments are under way ([`SendReason::Full`]), it is larger
    /// than [`largest`](Self::largest), or the connection, or the message, has ended.
    pub fn try_send(&mut self, payload: &[u8], fin: bool) -> Result<(), SendReason> {
        let queued = self.table.with_id(self.id, |slot, ring| self.queue(slot, ring, payload, fin));
        queued.unwrap_or(Err(SendReason::Gone))?;
        self.stage = if fin { Stage::Ended } else { Stage::Begun };
        Ok(())
    }

    /// Queues the next fragment, which is not the last, as soon as there is room for it.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for a full queue, or another task's fragments: they are waited for.
    ///
    /// # Cancel safety
    /// Safe: the fragment was queued or not.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), SendReason> {
        self.send(payload, false).await
    }

    /// Queues the last fragment, which may be empty, as soon as there is room for it.
    ///
    /// # Errors
    /// As [`write`](Self::write). The connection is then closed with 1011, if anything of the message was queued.
    ///
    /// # Cancel safety
    /// A future that is dropped before it has queued the fragment closes the connection with 1011.
    pub async fn finish(mut self, payload: &[u8]) -> Result<(), SendReason> {
        self.send(payload, true).await
    }

    async fn send(&mut self, payload: &[u8], fin: bool) -> Result<(), SendReason> {
        let queued =
            self.table.wait(Some(self.id), |slot, ring| match self.queue(slot, ring, payload, fin) {
                Err(SendReason::Full) => None,
                queued => Some(queued),
            });
        queued.await?;
        self.stage = if fin { Stage::Ended } else { Stage::Begun };
        Ok(())
    }

    fn queue(&self, slot: &mut Slot, ring: &mut [u8], payload: &[u8], fin: bool) -> Result<(), SendReason> {
        match (slot.phase, self.stage) {
            (Phase::Open, Stage::New) if slot.order != Order::None => Err(SendReason::Gone),
            (Phase::Open, Stage::New) if slot.fragments => Err(SendReason::Full),
            (Phase::Open, Stage::New | Stage::Begun) => {
                let most = self.table.largest(slot.compressed);
                slot.queue_fragment(ring, most, self.kind, payload, fin)
            }
            _ => Err(SendReason::Gone),
        }
    }

    /// The largest fragment that can be queued, payload bytes. On a compressed connection it is less than
    /// [`Handle::largest_message`](crate::Handle::largest_message): a fragment of a message that was begun compressed has to
    /// fit however badly it can be compressed.
    pub fn largest(&self) -> usize {
        self.table.largest(self.table.with_id(self.id, |slot, _| slot.compressed).unwrap_or(false))
    }
}

impl Drop for Fragments<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Begun {
            self.table.with_id(self.id, |slot, _| {
                slot.fragments = false;
                slot.close(CloseCode::INTERNAL_ERROR);
            });
        }
    }
}

impl core::fmt::Debug for Fragments<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fragments").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
