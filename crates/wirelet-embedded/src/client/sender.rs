//! What every task of the firmware may do with a client's connection.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use wirelet_proto::{CloseCode, MessageKind};

use crate::fragments::Fragments;
use crate::table::{Message, Phase, SendError, SendReason, Standing, Table};

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

    /// Waits for an open connection: whether there is one. `false` says that the client has finished, its `run` has
    /// returned.
    ///
    /// Any number of tasks may wait. They are woken one by the other, so that who does not poll this future any more drops
    /// it.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn connected(&self) -> bool {
        Connected { table: self.table, place: None }.await
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
    /// Who asks first names the code. One that must not be sent becomes 1011 ([`CloseCode::is_sendable`]).
    pub fn close(&self, code: CloseCode) -> bool {
        let code = if code.is_sendable() { code } else { CloseCode::INTERNAL_ERROR };
        let asked = self.table.with(0, |slot, _| {
            let open = slot.phase == Phase::Open;
            if open {
                slot.order.close(code);
                slot.notice();
            }
            open
        });
        asked == Some(true)
    }

    /// Ends the client: an open connection is closed with 1000 after what is queued, an attempt is given up, and `run` returns,
    /// at the latest [`Limits::closing_time`](wirelet_proto::Limits::closing_time) after it has noticed, whatever the server
    /// takes.
    ///
    /// To start again, call `run` again once it has returned. When it does not run, its next call returns at once.
    pub fn stop(&self) {
        self.table.with(0, |slot, _| {
            slot.order.stop(CloseCode::NORMAL);
            slot.notice();
        });
    }
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("connection", &self.table.info(0)).finish()
    }
}

/// A wait for a connection: a place in the chain of a [`Watch`](crate::table::Watch).
struct Connected<'t> {
    table: &'t dyn Table,
    place: Option<Place>,
}

/// Where somebody stands in the chain.
struct Place {
    epoch: u32,
    /// Its own waker, as it was registered.
    own: Waker,
    /// Who came before, to be woken in its turn.
    next: Option<Waker>,
}

/// What a look at the slot has come to.
enum Look {
    Over(bool),
    Waits,
    /// The chain was rung since this place was taken.
    Rung,
}

impl Connected<'_> {
    fn look(&mut self, cx: &Context<'_>) -> Look {
        // Cloned before the critical section: wakers are the executor's code.
        let waker = cx.waker();
        let mut own = self.place.is_none().then(|| (waker.clone(), waker.clone()));
        let place = &mut self.place;
        let look = self.table.with(0, |slot, _| {
            if let Some(connected) = slot.connected() {
                return Look::Over(connected);
            }
            let epoch = slot.watch.epoch();
            if let Some((own, registered)) = own.take() {
                *place = Some(Place { epoch, own, next: slot.watch.register(registered) });
            }
            match place {
                Some(place) if place.epoch == epoch => Look::Waits,
                _ => Look::Rung,
            }
        });
        look.unwrap_or(Look::Waits)
    }

    /// Gives the place up. Who is behind it in the chain is woken, and when the chain was not rung, all are, to close the gap.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.table.with(0, |slot, _| {
            if slot.watch.epoch() == place.epoch {
                slot.watch.ring();
            }
        });
        if let Some(next) = place.next {
            next.wake();
        }
    }
}

impl Future for Connected<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if self.place.as_ref().is_some_and(|place| !place.own.will_wake(cx.waker())) {
            self.leave();
        }
        loop {
            match self.look(cx) {
                // What is left of the chain is passed on when this is dropped.
                Look::Over(connected) => return Poll::Ready(connected),
                Look::Waits => return Poll::Pending,
                Look::Rung => self.leave(),
            }
        }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
