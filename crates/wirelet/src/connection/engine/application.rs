//! What the application does with a connection, where it has the engine: it takes events, or is lent them, and waits.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wirelet_proto::{Front, RecvBuffer, Storage};

use super::{Engine, Inbound, Parsed, Part, Phase, Ready, Receiver, Waiter};
use crate::connection::Shared;
use crate::connection::mailbox::{Flag, Wait};
use crate::{Error, Event, Message, MessageRef, Peer};

impl Engine {
    /// The next message, where it is the next event and has come as one frame without compression: the most frequent case, and
    /// so without anything else; a pending receiver is noted with `cx`. `None`: [`poll_take`](Self::poll_take) knows more.
    #[inline]
    pub(in crate::connection) fn poll_message(
        &mut self,
        shared: &Shared,
        cx: &Context<'_>,
    ) -> Option<Poll<Message>> {
        if !self.receives_here(shared) {
            return None;
        }
        if self.ready.is_some() {
            return self.take_ready_message().map(Poll::Ready);
        }
        if self.backlog.is_some() {
            return None;
        }
        match self.take_whole_message() {
            Front::Message(kind, payload) => Some(Poll::Ready(Message::checked(kind, payload))),
            Front::Nothing => {
                self.waits.wait(Part::Receiver, cx, self.task.as_ref());
                Some(Poll::Pending)
            }
            Front::Other => None,
        }
    }

    /// Lends each message that has come as one frame without compression to `act`, as long as there is room for answers; whoever
    /// waits is noted with `cx`. `None`: [`poll_take`](Self::poll_take) knows more.
    pub(in crate::connection) fn poll_lend(
        &mut self,
        shared: &Arc<Shared>,
        cx: &Context<'_>,
        act: &mut dyn FnMut(&mut Peer<'_>, MessageRef<'_>),
    ) -> Option<Poll<()>> {
        if self.may_lend(shared)
            && let Some(message) = self.take_ready_message()
        {
            act(&mut Peer::here(self, shared), (&message).into());
        }
        let mut lent = Lent::new(self);
        loop {
            let Lent { engine, rx } = &mut lent;
            if engine.is_open() && !engine.has_room() {
                engine.wait_to_send(cx, Wait::Room);
                return Some(Poll::Pending);
            }
            let may = engine.may_lend(shared) && engine.ready.is_none() && engine.deflate.is_none();
            if !may || !engine.count_message() {
                return None;
            }
            match engine.core.steady().find_whole_message(rx, engine.now) {
                Front::Message(kind, range) => {
                    let payload = rx.storage().filled().get(range).unwrap_or_default();
                    act(&mut Peer::here(engine, shared), MessageRef::checked(kind, payload));
                }
                Front::Nothing => {
                    engine.waits.wait(Part::Receiver, cx, engine.task.as_ref());
                    return Some(Poll::Pending);
                }
                Front::Other => return None,
            }
        }
    }

    /// Whether messages may be taken one after the other without asking for more than the next one.
    #[inline]
    fn may_lend(&self, shared: &Shared) -> bool {
        self.receives_here(shared) && self.backlog.is_none() && (self.has_room() || !self.is_open())
    }

    /// Whether more may come, for whoever has the engine.
    #[inline]
    fn receives_here(&self, shared: &Shared) -> bool {
        self.receiver == Receiver::Here && !shared.attention.has(Flag::REMOTE) && !self.has_ended()
    }

    /// The event that was read ahead, if it is a message.
    #[inline]
    fn take_ready_message(&mut self) -> Option<Message> {
        match self.ready.take() {
            Some(Ready::Message(message)) => Some(message),
            other => {
                self.ready = other;
                None
            }
        }
    }

    /// The next event, or the end; a pending receiver is noted with `cx`. The socket is not touched.
    pub(in crate::connection) fn poll_take(
        &mut self,
        shared: &Shared,
        control: bool,
        cx: Option<&Context<'_>>,
    ) -> Poll<Option<Result<Event, Error>>> {
        self.control |= control;
        if self.receiver == Receiver::Elsewhere || shared.attention.has(Flag::REMOTE) {
            if let Some(event) = shared.mailbox().take_back(&shared.attention) {
                return Poll::Ready(Some(Ok(event)));
            }
            self.receiver = Receiver::Here;
        }
        if let Some(event) = self.ready.take() {
            return Poll::Ready(Some(Ok(event.into())));
        }
        if let Some(backlog) = &mut self.backlog {
            let event = backlog.pop();
            if backlog.is_empty() {
                self.backlog = None;
            }
            if let Some(event) = event {
                return Poll::Ready(Some(Ok(event)));
            }
        }
        loop {
            if self.has_ended() {
                // Whoever is told the end finds the senders closed.
                shared.close_intake();
                return Poll::Ready(self.take_end(shared).err().map(Err));
            }
            match self.parse(shared, None) {
                Parsed::Event(event) if self.receiver == Receiver::Here => {
                    return Poll::Ready(Some(Ok(event)));
                }
                Parsed::Event(_) | Parsed::Ended => {}
                _ => break,
            }
        }
        if let Some(cx) = cx {
            self.waits.wait(Part::Receiver, cx, self.task.as_ref());
        }
        Poll::Pending
    }

    /// Notes that the handler waits to send, to flush, or for the end.
    pub(in crate::connection) fn wait_to_send(&mut self, cx: &Context<'_>, wait: Wait) {
        self.waits.wait(Part::Sender, cx, self.task.as_ref());
        self.waits.sender_for = wait;
    }

    /// Whether the handler waits for room for a frame.
    pub(in crate::connection) const fn handler_waits_for_room(&self) -> bool {
        !matches!(self.waits.sender, Waiter::Nobody) && matches!(self.waits.sender_for, Wait::Room)
    }

    /// From now on what arrives is discarded.
    pub(in crate::connection) fn discard(&mut self) {
        if self.receiver != Receiver::Nobody {
            self.receiver = Receiver::Nobody;
            self.ready = None;
            self.backlog = None;
        }
    }

    /// After this time the connection is over, whatever is queued.
    pub(in crate::connection) fn end_by(&mut self, time: Duration) {
        self.refresh_clock();
        self.core.end_by(self.now.plus(time));
    }

    /// From now on whoever sends waits for all that is queued at this moment.
    pub(in crate::connection) const fn begin_flush(&mut self) {
        self.flush_until = self.out.end() as u32;
    }

    /// What was queued when the flush began has been handed to the network.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    pub(in crate::connection) fn poll_flushed(&self) -> Poll<Result<(), Error>> {
        // As far ahead of what has been written, or behind it, as 32 bits can say.
        let ahead = self.flush_until.wrapping_sub(self.out.written() as u32);
        let is_ahead = ahead < 1 << 31;
        self.poll_written(self.out.written() + if is_ahead { u64::from(ahead) } else { 0 })
    }

    /// All that is queued has been handed to the network.
    ///
    /// # Errors
    /// [`Error::Closed`]: it never will be.
    pub(in crate::connection) fn poll_all_flushed(&self) -> Poll<Result<(), Error>> {
        self.poll_written(self.out.end())
    }

    fn poll_written(&self, until: u64) -> Poll<Result<(), Error>> {
        // While more is to be written the transport is flushed behind that.
        let more = self.out.end() > self.out.written();
        if self.out.written() >= until && (more || !self.out.is_unflushed()) && !self.out.is_lost() {
            return Poll::Ready(Ok(()));
        }
        if self.can_write() { Poll::Pending } else { Poll::Ready(Err(Error::Closed)) }
    }

    /// The error that ended the connection and that nobody has been told.
    pub(in crate::connection) fn take_end(&mut self, shared: &Shared) -> Result<(), Error> {
        let Phase::Ended { end, .. } = &mut self.phase else { return Ok(()) };
        let elsewhere = || shared.mailbox_if_any().and_then(|mailbox| mailbox.take_back_end());
        end.take().or_else(elsewhere).map_or(Ok(()), Err)
    }
}

/// An engine without what it has received, which is lent to the application. It comes back also after a panic.
struct Lent<'e> {
    engine: &'e mut Engine,
    rx: RecvBuffer<Inbound>,
}

impl<'e> Lent<'e> {
    fn new(engine: &'e mut Engine) -> Self {
        let rx = std::mem::replace(&mut engine.rx, RecvBuffer::new(Inbound::default()));
        Self { engine, rx }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.engine.rx, &mut self.rx);
    }
}
