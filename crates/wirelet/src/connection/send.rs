//! What is sent: messages and fragments become frames behind what is queued, and the closing handshake begins behind them.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wirelet_proto::{CloseCode, CloseFrame, MessageKind};

use super::Shared;
use super::engine::Engine;
use super::later;
use super::mailbox::Wait;
use super::outbound::BY_REFERENCE;
use super::queue::{Body, Origin, Queued};
use crate::Error;
use crate::deflate::{Compress, Prepared};
use crate::keys::ThreadKeys;

/// A payload to be sent.
pub(crate) enum Payload<'a> {
    /// Written from where it is when it is large and need not be masked.
    Owned(Bytes),
    /// Copied.
    Borrowed(&'a [u8]),
    /// For many connections.
    Prepared(Arc<Prepared>),
}

/// A frame to be sent: a whole message, or a fragment of one.
pub(crate) struct Outgoing<'a> {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Payload<'a>,
    pub(crate) fin: bool,
    pub(crate) compress: Compress,
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Borrowed(bytes) => bytes,
            Self::Prepared(message) => message.payload(),
        }
    }
}

impl From<Body> for Payload<'_> {
    fn from(body: Body) -> Self {
        match body {
            Body::Own(bytes) => Self::Owned(bytes),
            Body::Prepared(message) => Self::Prepared(message),
        }
    }
}

impl Outgoing<'_> {
    /// The same for the mailbox: the connection is moved by another task.
    pub(super) fn queued(self) -> Queued {
        let Self { kind, payload, fin, compress } = self;
        let body = match payload {
            Payload::Owned(bytes) => Body::Own(bytes),
            Payload::Borrowed(bytes) => Body::Own(Bytes::copy_from_slice(bytes)),
            Payload::Prepared(message) => Body::Prepared(message),
        };
        Queued { body, kind, compress, origin: Origin::Half { fin } }
    }
}

impl Engine {
    /// Ready when a frame may be queued; a pending handler is noted with `cx`.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(super) fn poll_room(&mut self, cx: Option<&Context<'_>>) -> Poll<Result<(), Error>> {
        if !self.is_open() {
            return Poll::Ready(Err(Error::Closed));
        }
        if self.has_room() && !self.is_spent() {
            return Poll::Ready(Ok(()));
        }
        if let Some(cx) = cx {
            self.wait_to_send(cx, Wait::Room);
        }
        Poll::Pending
    }

    /// Queues `frame` when there is room for it, and takes it then; a pending handler is noted with `cx`.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`].
    #[inline]
    pub(super) fn poll_send(
        &mut self,
        shared: &Shared,
        cx: &Context<'_>,
        frame: &mut Option<Outgoing<'_>>,
    ) -> Poll<Result<(), Error>> {
        if !self.has_room() || self.is_spent() {
            ready!(self.poll_room(Some(cx)))?;
        }
        self.let_others_first(shared);
        let Some(outgoing) = frame else { return Poll::Ready(Ok(())) };
        let Outgoing { kind, payload, fin: true, .. } = outgoing else {
            return Poll::Ready(frame.take().map_or(Ok(()), |frame| self.append(frame)));
        };
        let payload = payload.bytes();
        if self.deflate.is_some() || payload.len() >= BY_REFERENCE || self.core.is_sending_message() {
            return Poll::Ready(frame.take().map_or(Ok(()), |frame| self.append(frame)));
        }
        let sent = self.append_copy(*kind, payload);
        *frame = None;
        Poll::Ready(sent)
    }

    /// Queues a whole message that is copied, behind what other tasks have queued before, whether there is room for it or not.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`].
    #[inline]
    pub(crate) fn send_copy(
        &mut self,
        shared: &Shared,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), Error> {
        self.let_others_first(shared);
        if self.deflate.is_none() && !self.core.is_sending_message() {
            return self.append_copy(kind, payload);
        }
        let payload = Payload::Borrowed(payload);
        self.append(Outgoing { kind, payload, fin: true, compress: Compress::default() })
    }

    /// Queues a whole message that is copied.
    ///
    /// # Errors
    /// [`Error::Closed`].
    #[inline]
    fn append_copy(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        let core = self.core.steady();
        let head = core.begin_frame(kind, payload.len() as u64, true, &mut ThreadKeys)?;
        core.mask(self.out.push_frame(&head, payload));
        Ok(())
    }

    /// Queues a frame, whole, behind what other tasks have queued before.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Misuse`]; nothing is queued then.
    pub(super) fn send(&mut self, shared: &Shared, frame: Outgoing<'_>) -> Result<(), Error> {
        self.let_others_first(shared);
        self.append(frame)
    }

    /// Queues a ping behind what other tasks have queued before.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Misuse`] for more than 125 bytes.
    pub(super) fn ping(&mut self, shared: &Shared, payload: &[u8]) -> Result<(), Error> {
        self.let_others_first(shared);
        self.append_ping(payload)
    }

    /// Does what other tasks have asked for, and queues all that they have queued.
    #[inline]
    fn let_others_first(&mut self, shared: &Shared) {
        if !shared.attention.is_clear() {
            self.read_mailbox(shared);
            self.take_mail(shared, true);
        }
    }

    /// Queues what other tasks have queued, as far as there is room, or all of it. Whether there was something.
    ///
    /// Where the handler waits for room it is its turn: it takes all of it before its own message.
    pub(super) fn take_mail(&mut self, shared: &Shared, all: bool) -> bool {
        let mut taken = false;
        // What waits when nothing can be sent any more is dropped with the intake, and whoever flushes is told.
        while self.is_open() && (all || self.has_room() && !self.handler_waits_for_room()) {
            let inside_message = self.core.is_sending_message();
            let Some(queued) = shared.mail(inside_message) else { break };
            taken = true;
            let Queued { body, kind, compress, origin } = queued;
            // It can be sent: the connection is open, and it is not inside another message.
            let _ = match (origin, &body) {
                (Origin::Ping, Body::Own(payload)) => self.append_ping(payload),
                (Origin::Half { fin }, _) => {
                    self.append(Outgoing { kind, payload: body.into(), fin, compress })
                }
                _ => self.append(Outgoing { kind, payload: body.into(), fin: true, compress }),
            };
        }
        taken
    }

    #[inline]
    fn append(&mut self, frame: Outgoing<'_>) -> Result<(), Error> {
        let Outgoing { kind, mut payload, fin, compress } = frame;
        let appended = self.append_payload(kind, &mut payload, fin, compress);
        later::dispose(payload);
        appended
    }

    /// What is written from where it is is taken out of `payload`.
    #[inline]
    fn append_payload(
        &mut self,
        kind: MessageKind,
        payload: &mut Payload<'_>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        if self.deflate.is_none() {
            return self.append_plain(kind, payload, fin);
        }
        // A compressor's context can't be taken back.
        self.core.may_begin_frame(kind)?;
        self.has_compressed(payload.bytes().len());
        let Self { deflate, core, out, .. } = self;
        let Some(deflate) = deflate else { return Ok(()) };
        let mut send = |compressed: &[u8]| {
            let head = core.begin_compressed_frame(kind, compressed.len() as u64, fin, &mut ThreadKeys)?;
            out.push(&head);
            core.mask(out.push(compressed));
            Ok::<_, Error>(())
        };
        let prepared = match &*payload {
            Payload::Prepared(message) => deflate.prepared(message, compress),
            _ => None,
        };
        let sent = match prepared {
            Some(prepared) => prepared.as_deref().map(send),
            None => deflate.compress(payload.bytes(), fin, compress, |compressed| compressed.map(&mut send)),
        };
        match sent {
            None => self.append_plain(kind, payload, fin),
            Some(sent) => sent,
        }
    }

    #[inline]
    fn append_plain(&mut self, kind: MessageKind, payload: &mut Payload<'_>, fin: bool) -> Result<(), Error> {
        let len = payload.bytes().len();
        let head = self.core.begin_frame(kind, len as u64, fin, &mut ThreadKeys)?;
        match payload {
            Payload::Owned(bytes) if len >= BY_REFERENCE && !self.core.is_masking() => {
                self.out.push(&head);
                self.out.push_owned(std::mem::take(bytes));
            }
            Payload::Prepared(message) if len >= BY_REFERENCE && !self.core.is_masking() => {
                self.out.push(&head);
                self.out.push_owned(message.payload().clone());
            }
            payload => self.core.mask(self.out.push_frame(&head, payload.bytes())),
        }
        Ok(())
    }

    fn append_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        while self.move_slot_once() {}
        self.refresh_clock();
        let now = self.now();
        self.core.ping(payload, &mut ThreadKeys, now)?;
        while self.move_slot_once() {}
        Ok(())
    }

    /// Starts the closing handshake, behind all that has been queued. A fragmented message that has begun stays without an
    /// end: control frames may stand between fragments (RFC 6455 5.4).
    ///
    /// # Errors
    /// [`Error::Closed`] when it has been started already, [`Error::Misuse`]; nothing has changed then.
    pub(crate) fn close(&mut self, shared: &Shared, code: CloseCode, reason: &str) -> Result<(), Error> {
        CloseFrame { code, reason }.check()?;
        // Why: who has asked first, in another task, names the code.
        self.let_others_first(shared);
        if !self.is_open() {
            return Err(Error::Closed);
        }
        while self.move_slot_once() {}
        self.refresh_clock();
        let now = self.now();
        self.core.close(code, reason, &mut ThreadKeys, now)?;
        while self.move_slot_once() {}
        shared.close_intake();
        Ok(())
    }
}
