//! Bytes out: the control slot, frame headers and masking.

use core::ops::Deref;

use super::progress::Rest;
use super::{Connection, ControlSlot, State, Transport};
use crate::close::{CloseCode, CloseFrame, Initiator};
use crate::frame::{FrameHead, MAX_CONTROL_PAYLOAD, MessageKind, OpCode, Role};
use crate::{Config, Instant, MaskKeys, SendError, kernels};

/// What is being sent.
#[derive(Debug)]
pub(super) struct Sending<K> {
    slot: K,
    len: u8,
    sent: u8,
    /// What is in the slot.
    control: Option<OpCode>,
    /// A failure's close frame that waits for the slot, with the key it will be masked with.
    waiting_close: Option<(CloseCode, [u8; 4])>,
    /// The fragmented message that has begun and not ended.
    fragments_of: Option<MessageKind>,
    /// The masking key of the frame that was begun last, turned to the next byte.
    key: [u8; 4],
}

impl<K: ControlSlot> Sending<K> {
    pub(super) const fn new() -> Self {
        Self {
            slot: K::EMPTY,
            len: 0,
            sent: 0,
            control: None,
            waiting_close: None,
            fragments_of: None,
            key: [0; 4],
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Nothing can be sent any more.
    pub(super) fn abandon(&mut self) {
        self.empty_slot();
        self.waiting_close = None;
        self.fragments_of = None;
    }

    fn empty_slot(&mut self) {
        self.slot.release();
        self.len = 0;
        self.sent = 0;
        self.control = None;
    }

    /// Writes a control frame into the slot, over what is there.
    fn fill(&mut self, opcode: OpCode, payload: [&[u8]; 2], key: Option<[u8; 4]>) {
        let [first, second] = payload;
        let len = first.len().saturating_add(second.len());
        let head = FrameHead::new(opcode, true, false, len as u64, key);
        let mut end = 0_u8;
        let slot = self.slot.bytes_mut();
        for (to, from) in slot.iter_mut().zip(head.iter().chain(first).chain(second)) {
            *to = *from;
            end = end.saturating_add(1);
        }
        if let Some(key) = key {
            let payload = slot.get_mut(head.len()..usize::from(end)).unwrap_or_default();
            kernels::unmask(payload, key);
        }
        self.len = end;
        self.sent = 0;
        self.control = Some(opcode);
    }

    fn fill_close(&mut self, code: CloseCode, reason: &str, key: Option<[u8; 4]>) {
        let number = u16::from(code).to_be_bytes();
        let number: &[u8] = if code == CloseCode::NO_STATUS { &[] } else { &number };
        self.fill(OpCode::Close, [number, reason.as_bytes()], key);
    }
}

impl<C: Deref<Target = Config>, K: ControlSlot> Connection<C, K> {
    /// Bytes that wait to be sent: a pong, a ping or a close frame. Empty when there are none.
    ///
    /// They may go between any two frames, never inside one, and a close frame never before a frame that was
    /// accepted by [`begin_frame`](Self::begin_frame). Bytes that have been reported as
    /// [`transmitted`](Self::transmitted) in part are never replaced.
    #[inline]
    pub fn poll_transmit(&self) -> &[u8] {
        let sending = &self.sending;
        // Nearly always; the slot may have no memory.
        if sending.is_empty() {
            return &[];
        }
        sending.slot.bytes().get(usize::from(sending.sent)..usize::from(sending.len)).unwrap_or_default()
    }

    /// The first `n` bytes of [`poll_transmit`](Self::poll_transmit) have been sent, or copied to where they
    /// will be. When they have left is what [`sent`](Self::sent) reports.
    pub fn transmitted(&mut self, n: usize) {
        let sending = &mut self.sending;
        let sent = usize::from(sending.sent).saturating_add(n);
        if sent < usize::from(sending.len) {
            sending.sent = sent as u8;
            return;
        }
        match sending.control {
            Some(OpCode::Ping) => self.clock.ping.taken(),
            Some(OpCode::Close) => self.clock.closing.taken(),
            _ => {}
        }
        sending.empty_slot();
        if let Some((code, key)) = sending.waiting_close.take() {
            let key = (self.role == Role::Client).then_some(key);
            self.sending.fill_close(code, "", key);
        }
    }

    /// What the driver's attempt to write has come to: `n` bytes of output have left since the last call, and `waiting`
    /// bytes still wait for the transport to take them. To be called after every attempt, whatever became of it.
    ///
    /// Output is all that goes to the transport: frames, control frames and anything that the driver has put before them.
    /// Bytes that are still in [`poll_transmit`](Self::poll_transmit) need not be counted.
    ///
    /// This is how the core knows time on the sending side: the deadline for the answer to a ping or a close frame begins
    /// when that frame has left, which is when all has left that waited at the first call after
    /// [`transmitted`](Self::transmitted). A peer that takes bytes after it had taken none is alive. A peer that takes
    /// none, or takes them too slowly, is given up ([`Limits::stalled_time`](crate::Limits::stalled_time),
    /// [`Limits::slowest`](crate::Limits::slowest)).
    #[inline]
    pub fn sent(&mut self, n: usize, waiting: usize, now: Instant) {
        if waiting > 0 || self.is_watching_output() {
            self.report(n, waiting, now);
        }
    }

    /// Whether [`sent`](Self::sent) has something to note although nothing waits: something did before, or the next fragment
    /// of a message is owed. Otherwise such a call changes nothing.
    #[inline]
    pub const fn is_watching_output(&self) -> bool {
        !self.clock.output.is_empty() || self.sending.fragments_of.is_some()
    }

    fn report(&mut self, n: usize, waiting: usize, now: Instant) {
        if !self.transport.can_send() {
            return;
        }
        let rest = match self.sending.fragments_of {
            _ if waiting > 0 => Rest::Blocked,
            _ if !self.sending.is_empty() => Rest::Slot,
            Some(_) => Rest::Fragment,
            None => Rest::Nothing,
        };
        self.clock.sent(n, waiting, rest, &self.config.limits, now);
    }

    /// The system says that the peer has acknowledged more bytes of those that have left: a sign of life, as if the
    /// transport had taken bytes that waited.
    ///
    /// It is no answer to a ping, since a peer's system acknowledges what its application never reads: a ping that has left
    /// is waited for as long again. Ask the system only when a deadline has come, since a peer that hangs could otherwise
    /// go on for as long as there is something to acknowledge.
    pub fn acknowledged(&mut self, now: Instant) {
        self.clock.acknowledged(now);
    }

    /// Whether a fragmented message has been begun and not ended: frames of the other kind, and other messages, have to
    /// wait.
    #[inline]
    pub const fn is_sending_message(&self) -> bool {
        self.sending.fragments_of.is_some()
    }

    /// Begins a frame of `len` payload bytes: send the header that it answers, then the payload, which on a
    /// client goes through [`mask`](Self::mask) or [`copy_masked`](Self::copy_masked).
    ///
    /// With `fin` false it is a fragment; the following frames continue the message by themselves, until one
    /// with `fin` (RFC 6455 5.4). Queue a frame wholly before its first byte leaves.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] after a close frame; [`SendError::WrongKind`] inside a message of the other kind;
    /// [`SendError::TooLong`] for 2^63 bytes or more.
    #[inline]
    pub fn begin_frame(
        &mut self,
        kind: MessageKind,
        len: u64,
        fin: bool,
        keys: &mut impl MaskKeys,
    ) -> Result<FrameHead, SendError> {
        self.begin(kind, len, fin, false, keys)
    }

    /// [`begin_frame`](Self::begin_frame) with RSV1 on the first frame of the message: its payload has been
    /// compressed (RFC 7692 6).
    ///
    /// # Errors
    /// As [`begin_frame`](Self::begin_frame), and [`SendError::WrongKind`] where compression was not negotiated.
    pub fn begin_compressed_frame(
        &mut self,
        kind: MessageKind,
        len: u64,
        fin: bool,
        keys: &mut impl MaskKeys,
    ) -> Result<FrameHead, SendError> {
        if self.upgraded.extensions.deflate.is_none() {
            return Err(SendError::WrongKind);
        }
        self.begin(kind, len, fin, true, keys)
    }

    #[inline]
    fn begin(
        &mut self,
        kind: MessageKind,
        len: u64,
        fin: bool,
        rsv1: bool,
        keys: &mut impl MaskKeys,
    ) -> Result<FrameHead, SendError> {
        let opcode = self.next_opcode(kind)?;
        // RFC 6455 5.2: the most significant bit of a payload length MUST be 0.
        if len >> 63 != 0 {
            return Err(SendError::TooLong);
        }
        if opcode == OpCode::Continuation {
            self.clock.output.fragment_begun();
        }
        self.sending.fragments_of = (!fin).then_some(kind);
        let key = self.frame_key(keys);
        self.sending.key = key.unwrap_or_default();
        Ok(FrameHead::new(opcode, fin, rsv1 && opcode != OpCode::Continuation, len, key))
    }

    /// Whether a frame of `kind` may be begun now: to be asked before its payload is compressed, which cannot be taken
    /// back.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] and [`SendError::WrongKind`], as [`begin_frame`](Self::begin_frame).
    pub fn may_begin_frame(&self, kind: MessageKind) -> Result<(), SendError> {
        self.next_opcode(kind).map(|_| ())
    }

    #[inline]
    fn next_opcode(&self, kind: MessageKind) -> Result<OpCode, SendError> {
        // RFC 6455 5.5.1: no data frame is sent after a close frame.
        if self.transport != Transport::Open || self.close.sent.is_some() || self.close.received.is_some() {
            return Err(SendError::NotOpen);
        }
        match self.sending.fragments_of {
            None => Ok(kind.opcode()),
            Some(begun) if begun == kind => Ok(OpCode::Continuation),
            Some(_) => Err(SendError::WrongKind),
        }
    }

    /// Whether the payload of what is sent has to be masked: this is a client.
    #[inline]
    pub const fn is_masking(&self) -> bool {
        matches!(self.role, Role::Client)
    }

    /// Masks the next bytes of the frame that was begun last, in place. On a server it changes nothing.
    #[inline]
    pub fn mask(&mut self, payload: &mut [u8]) {
        if self.role == Role::Client {
            kernels::unmask(payload, self.sending.key);
            self.sending.key = kernels::rotate(self.sending.key, payload.len());
        }
    }

    /// Copies the next bytes of the frame that was begun last to the front of `dst` and masks them on the way
    /// where this is a client. Answers how many bytes were copied: the shorter of the two lengths.
    #[inline]
    pub fn copy_masked(&mut self, src: &[u8], dst: &mut [u8]) -> usize {
        match self.role {
            Role::Client => {
                let copied = kernels::copy_masked(src, dst, self.sending.key);
                self.sending.key = kernels::rotate(self.sending.key, copied);
                copied
            }
            Role::Server => kernels::copy(src, dst),
        }
    }

    /// Sends a ping with up to 125 bytes of payload.
    ///
    /// # Errors
    /// [`SendError::TooLong`], [`SendError::NotOpen`], or [`SendError::Busy`] while the slot holds bytes.
    pub fn ping(&mut self, payload: &[u8], keys: &mut impl MaskKeys, now: Instant) -> Result<(), SendError> {
        // RFC 6455 5.5: control frames have a payload of 125 bytes or less.
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        if self.state() != State::Open {
            return Err(SendError::NotOpen);
        }
        if !self.sending.is_empty() {
            return Err(SendError::Busy);
        }
        self.queue_ping(payload, keys, now);
        Ok(())
    }

    /// Starts the closing handshake (RFC 6455 7.1.2). [`CloseCode::NO_STATUS`] makes a close frame without code.
    ///
    /// Messages of the peer are still delivered until its close frame arrives.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] when closing already; [`SendError::InvalidCloseCode`] for a code that must not be
    /// sent, or a reason without code; [`SendError::TooLong`] for a reason of more than 123 bytes;
    /// [`SendError::Busy`] while the slot holds bytes.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<(), SendError> {
        CloseFrame { code, reason }.check()?;
        if self.state() != State::Open {
            return Err(SendError::NotOpen);
        }
        if !self.queue_close(code, reason, keys, now) {
            return Err(SendError::Busy);
        }
        self.close.initiator = Some(Initiator::Local);
        Ok(())
    }

    /// _Fail the WebSocket Connection_ (RFC 6455 7.1.7): a close frame with `code` is sent as soon as the slot
    /// is free, and nothing more is delivered. A code that must not be sent becomes 1011.
    pub fn fail(&mut self, code: CloseCode, keys: &mut impl MaskKeys, now: Instant) {
        self.close.failed = true;
        if self.close.sent.is_some() || self.transport != Transport::Open {
            return;
        }
        let code = if code.is_sendable() { code } else { CloseCode::INTERNAL_ERROR };
        if !self.queue_close(code, "", keys, now) {
            let key = self.frame_key(keys).unwrap_or_default();
            self.sending.waiting_close = Some((code, key));
            self.close_queued(code, now);
        }
        if self.close.initiator.is_none() {
            self.close.initiator = Some(Initiator::Local);
        }
    }

    /// Puts a close frame into the slot if it is free.
    pub(super) fn queue_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> bool {
        if !self.sending.is_empty() {
            return false;
        }
        let key = self.frame_key(keys);
        self.sending.fill_close(code, reason, key);
        self.close_queued(code, now);
        true
    }

    fn close_queued(&mut self, code: CloseCode, now: Instant) {
        self.close.sent = Some(code);
        self.clock.closing.queued();
        self.clock.output.queued(now);
    }

    /// Puts a pong into the slot if it is free, or in the place of one that has not begun to leave: of pings
    /// that wait, the latest counts (RFC 6455 5.5.3).
    pub(super) fn queue_pong(&mut self, payload: &[u8], keys: &mut impl MaskKeys, now: Instant) -> bool {
        let replaceable = self.sending.control == Some(OpCode::Pong) && self.sending.sent == 0;
        if !self.sending.is_empty() && !replaceable {
            return false;
        }
        let key = self.frame_key(keys);
        self.sending.fill(OpCode::Pong, [payload, &[]], key);
        self.clock.output.queued(now);
        true
    }

    /// Puts a ping into the slot, which is free.
    pub(super) fn queue_ping(&mut self, payload: &[u8], keys: &mut impl MaskKeys, now: Instant) {
        let key = self.frame_key(keys);
        self.sending.fill(OpCode::Ping, [payload, &[]], key);
        self.clock.ping.queued();
        self.clock.output.queued(now);
    }

    /// RFC 6455 5.3: a client draws a fresh masking key for each frame; a server masks nothing.
    fn frame_key(&self, keys: &mut impl MaskKeys) -> Option<[u8; 4]> {
        (self.role == Role::Client).then(|| keys.next_key())
    }
}
