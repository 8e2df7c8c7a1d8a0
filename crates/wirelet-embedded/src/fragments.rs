//! A message that a task sends in pieces, not knowing its length when it begins.

use wirelet_proto::{CloseCode, MessageKind};

use crate::table::{ConnectionId, Phase, SendReason, Table};

/// A fragmented message of a task's own (RFC 6455 5.4): what is too large for the queue, or not there yet.
///
/// The frames of a message follow each other. From the first fragment on nothing else is sent to this peer but control
/// frames, and nothing is delivered to its handler, which might want to answer: the peer is held back by TCP. Other tasks
/// get [`SendReason::Full`]. So whoever begins a message ends it soon.
///
/// Dropped before the end, it closes the connection with 1011: the peer must not take half a message for a whole one. When
/// nothing was sent, nothing happens.
pub struct Fragments<'t> {
    table: &'t dyn Table,
    id: ConnectionId,
    kind: MessageKind,
    begun: bool,
    ended: bool,
}

impl<'t> Fragments<'t> {
    pub(crate) fn new(table: &'t dyn Table, id: ConnectionId, kind: MessageKind) -> Result<Self, SendReason> {
        let reserved = table.with_id(id, |slot, _| match slot.phase {
            Phase::Open if slot.fragments => Err(SendReason::Full),
            Phase::Open => {
                slot.fragments = true;
                Ok(())
            }
            _ => Err(SendReason::Gone),
        });
        reserved.unwrap_or(Err(SendReason::Gone))?;
        Ok(Self { table, id, kind, begun: false, ended: false })
    }

    /// Queues the next fragment; the one with `fin` ends the message. A text may be cut anywhere, also inside a character; the
    /// whole has to be UTF-8.
    ///
    /// # Errors
    /// It was not queued: there is no room now, it is larger than the queue or the transmit buffer, or the connection, or
    /// the message, has ended.
    pub fn try_send(&mut self, payload: &[u8], fin: bool) -> Result<(), SendReason> {
        if self.ended {
            return Err(SendReason::Gone);
        }
        let most = self.table.largest();
        let queued = self.table.with_id(self.id, |slot, ring| match slot.phase {
            Phase::Open => slot.queue_fragment(ring, most, self.kind, payload, fin),
            _ => Err(SendReason::Gone),
        });
        queued.unwrap_or(Err(SendReason::Gone))?;
        self.begun = true;
        self.ended = fin;
        Ok(())
    }
}

impl Drop for Fragments<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.table.with_id(self.id, |slot, _| {
            slot.fragments = false;
            if self.begun {
                slot.close.get_or_insert(CloseCode::INTERNAL_ERROR);
                slot.notice();
            }
        });
    }
}

impl core::fmt::Debug for Fragments<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fragments").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
