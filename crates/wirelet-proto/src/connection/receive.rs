//! Bytes in: frames become messages, chunks and control events.

use core::ops::{Deref, Range};

use super::{Connection, ControlSlot};
use crate::buffer::{Detach, RecvBuffer, Spare, Storage};
use crate::close::{CloseCode, CloseFrame, Initiator};
use crate::codec::Codec;
use crate::config::Delivery;
use crate::decoder::{Decoded, WholeFrame};
use crate::event::{Chunk, Event, EventKind, FrameSpan, Front, Status};
use crate::frame::{FrameHeader, MessageKind, OpCode, Role};
use crate::{Config, Failure, Instant, LimitError, MaskKeys, ProtocolError, kernels, utf8};

/// The message and the frame that are being received.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The current frame.
    frame: FrameHeader,
    /// Payload of the current frame that was delivered or joined.
    frame_offset: u64,
    /// The message that has begun and not ended.
    kind: Option<MessageKind>,
    compressed: bool,
    /// The control frame that is being received, perhaps inside a message.
    control: Option<OpCode>,
    /// Payload of the message so far: decompressed where it was compressed.
    bytes: u64,
    /// Payload of the message so far, as it was on the wire.
    received: u64,
    /// Where the chunk that is ready begins in the message.
    chunk_offset: u64,
    fragments: u32,
    step: Step,
    ready: Option<EventKind>,
    /// The message or chunk that is ready is the first of its message.
    first: bool,
    /// The message or chunk that is ready is the last of its message.
    last: bool,
    /// Nothing of the message has been delivered.
    fresh: bool,
}

/// What a compressed message may have on the wire beyond twice the limit, bytes: it is not kept, but read.
const COMPRESSED_SLACK: u64 = 1024;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Take a frame apart.
    Decode,
    /// A control frame has arrived completely: act on it, as soon as its answer has room.
    Control,
    /// Feed a piece of compressed payload to the codec; `end` of its frame.
    Decompress { end: bool },
    /// Feed a compressed message to the codec that has been collected completely.
    DecompressWhole,
}

impl Receiving {
    pub(super) const fn new() -> Self {
        Self {
            frame: FrameHeader { opcode: OpCode::Continuation, fin: true, rsv1: false, len: 0 },
            frame_offset: 0,
            kind: None,
            compressed: false,
            control: None,
            bytes: 0,
            received: 0,
            chunk_offset: 0,
            fragments: 0,
            step: Step::Decode,
            ready: None,
            first: false,
            last: false,
            fresh: false,
        }
    }

    /// How many bytes have arrived of a message that has begun and not ended.
    pub(super) const fn message_in_progress(&self) -> Option<u64> {
        match self.kind {
            Some(_) if !self.last => Some(self.received),
            _ => None,
        }
    }

    /// A message has begun and ended.
    const fn whole_message(&mut self, kind: MessageKind) {
        self.kind = Some(kind);
        self.compressed = false;
        self.last = true;
    }

    /// The message or chunk that was ready has been delivered.
    #[inline]
    const fn delivered(&mut self) {
        self.ready = None;
        if self.last {
            self.kind = None;
        }
    }

    fn begin_message(&mut self, kind: MessageKind, compressed: bool) {
        self.kind = Some(kind);
        self.compressed = compressed;
        self.bytes = 0;
        self.received = 0;
        self.fragments = 0;
        self.last = false;
        self.fresh = true;
    }
}

impl<C: Deref<Target = Config>, K: ControlSlot> Connection<C, K> {
    /// Goes on with what has been received, up to the next event.
    ///
    /// `keys` masks the answers to pings and close frames. `now` is any monotonic clock, the same in every call.
    ///
    /// # Errors
    /// The peer broke the protocol or went over a limit. The connection has been failed (RFC 6455 7.1.7): its
    /// close frame waits in [`poll_transmit`](Self::poll_transmit), and all further calls answer
    /// [`Status::Closed`]. What came before the error has been delivered already.
    pub fn advance<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure> {
        self.step(rx, &mut Uncompressed, keys, now)
    }

    /// [`advance`](Self::advance) with an extension: messages with RSV1 are decompressed by `codec` into `out`.
    ///
    /// [`Status::NeedOutput`] asks for more room in `out`, and [`Status::Paused`] to be called again later. Take events with [`event_with`](Self::event_with).
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_with<S: Storage, O: Spare, D: Codec>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        codec: &mut D,
        out: &mut RecvBuffer<O>,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure> {
        self.step(rx, &mut Decompression { codec, out }, keys, now)
    }

    #[inline]
    fn step<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        inflow: &mut impl Inflow,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure> {
        self.release(rx, inflow);
        let result = self.next_status(rx, inflow, keys, now);
        match result {
            Err(failure) => self.fail(failure.close_code(), keys, now),
            Ok(Status::Ready(kind)) => self.receiving.ready = Some(kind),
            Ok(_) => {}
        }
        result
    }

    /// The event that [`Status::Ready`] announced, from the buffer that `advance` was called with. It stays until the next
    /// `advance`, or until [`take_message`](Self::take_message).
    ///
    /// Without an event it answers an empty pong.
    pub fn event<'r, S: Storage>(&self, rx: &'r RecvBuffer<S>) -> Event<'r> {
        match self.receiving.ready {
            Some(EventKind::Text) => rx.text().map_or(Event::Binary(rx.message()), Event::Text),
            Some(EventKind::Binary) => Event::Binary(rx.message()),
            Some(EventKind::Chunk) => Event::Chunk(self.chunk(rx.message())),
            Some(EventKind::Ping) => Event::Ping(rx.piece()),
            Some(EventKind::Close) => Event::Close(close_frame(rx.piece()).ok().flatten()),
            Some(EventKind::Pong) => Event::Pong(rx.piece()),
            None => Event::Pong(&[]),
        }
    }

    /// [`event`](Self::event) after [`advance_with`](Self::advance_with).
    pub fn event_with<'r, S: Storage, O: Storage>(
        &self,
        rx: &'r RecvBuffer<S>,
        out: &'r RecvBuffer<O>,
    ) -> Event<'r> {
        match self.receiving.ready {
            Some(EventKind::Text | EventKind::Binary | EventKind::Chunk) if self.receiving.compressed => {
                self.event(out)
            }
            _ => self.event(rx),
        }
    }

    /// Takes the message or chunk that [`Status::Ready`] announced out of the buffer that `advance` was called with,
    /// uncopied. The event is over then: [`event`](Self::event) has to be asked before, where more than the payload is
    /// needed.
    ///
    /// `None`, and nothing is changed, when no message or chunk is ready, or when it was compressed
    /// ([`take_message_with`](Self::take_message_with)).
    #[inline]
    pub fn take_message<S: Detach>(&mut self, rx: &mut RecvBuffer<S>) -> Option<S::Piece> {
        (self.is_message_ready() && !self.receiving.compressed).then(|| self.taken(rx))
    }

    /// [`take_message`](Self::take_message) after [`advance_with`](Self::advance_with).
    #[inline]
    pub fn take_message_with<S: Detach, O: Detach<Piece = S::Piece>>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        out: &mut RecvBuffer<O>,
    ) -> Option<S::Piece> {
        match self.is_message_ready() {
            true if self.receiving.compressed => Some(self.taken(out)),
            true => Some(self.taken(rx)),
            false => None,
        }
    }

    /// Takes the next message out of `rx`, uncopied, where it stands there as one whole frame without compression: by far the
    /// most frequent case. It does what [`advance`](Self::advance) and [`take_message`](Self::take_message) do, in one step and
    /// without a state in between. Whatever is not exactly that is left to `advance`, where each rule has its check.
    ///
    /// Invariant: it brings no deadline nearer.
    #[inline]
    pub fn take_whole_message<S: Detach>(&mut self, rx: &mut RecvBuffer<S>, now: Instant) -> Front<S::Piece> {
        match self.front(rx, now) {
            Front::Message(kind, Range { start, end }) => {
                Front::Message(kind, rx.take_front(start, end.wrapping_sub(start)))
            }
            Front::Nothing => Front::Nothing,
            Front::Other => Front::Other,
        }
    }

    /// [`take_whole_message`](Self::take_whole_message) for a driver that only looks at it: the message stands in that range of
    /// [`Storage::filled`] until the next call that reads or takes something.
    ///
    /// Invariant: it brings no deadline nearer.
    #[inline]
    pub fn find_whole_message<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        now: Instant,
    ) -> Front<Range<usize>> {
        let front = self.front(rx, now);
        if let Front::Message(_, range) = &front {
            rx.eat_whole_message(range.end);
        }
        front
    }

    /// The whole message in one frame at the front of `rx`, unmasked where it is, and nothing before it but its header.
    #[inline]
    fn front<S: Storage>(&mut self, rx: &mut RecvBuffer<S>, now: Instant) -> Front<Range<usize>> {
        if self.receiving.ready.is_some() || self.receiving.step != Step::Decode {
            return Front::Other;
        }
        // RFC 6455 5.5.1, 7.1.7: after a close frame, or after failing, data is not processed any more.
        if self.close.received.is_some() || self.close.failed || !self.decoder.is_between_messages() {
            return Front::Other;
        }
        // What arrives now answers a ping, and the next one is due.
        if self.clock.is_waiting_for_pong() {
            return Front::Other;
        }
        rx.discard_released();
        let received = rx.storage().filled();
        if received.is_empty() {
            return if self.transport.has_ended() || !rx.storage_mut().make_room(0) {
                Front::Other
            } else {
                Front::Nothing
            };
        }
        let Some(WholeFrame { kind, key, header_len, len }) = self.recognise(received, rx.storage()) else {
            return Front::Other;
        };
        let payload = rx.unparsed_mut().get_mut(header_len..).and_then(|rest| rest.get_mut(..len));
        let payload = payload.unwrap_or_default();
        let ascii = self.role == Role::Server && kernels::unmask(payload, key);
        // RFC 6455 8.1: text that is not UTF-8 fails the connection, in the general way.
        if kind == MessageKind::Text && !ascii && !utf8::is_valid(payload) {
            if self.role == Role::Server {
                kernels::unmask(payload, key);
            }
            return Front::Other;
        }
        self.clock.heard(now);
        Front::Message(kind, header_len..header_len.wrapping_add(len))
    }

    const fn is_message_ready(&self) -> bool {
        matches!(self.receiving.ready, Some(EventKind::Text | EventKind::Binary | EventKind::Chunk))
    }

    #[inline]
    fn taken<S: Detach>(&mut self, buffer: &mut RecvBuffer<S>) -> S::Piece {
        self.receiving.delivered();
        buffer.take_message()
    }

    fn chunk<'r>(&self, data: &'r [u8]) -> Chunk<'r> {
        let receiving = &self.receiving;
        let frame = receiving.frame;
        Chunk {
            kind: receiving.kind.unwrap_or(MessageKind::Binary),
            data,
            offset: receiving.chunk_offset,
            frame: (!receiving.compressed).then(|| FrameSpan {
                opcode: frame.opcode,
                fin: frame.fin,
                len: frame.len,
                offset: receiving.frame_offset.saturating_sub(data.len() as u64),
            }),
            first: receiving.first,
            last: receiving.last,
        }
    }

    /// Gives up the bytes of the event that was delivered.
    #[inline]
    fn release<S: Storage>(&mut self, rx: &mut RecvBuffer<S>, inflow: &mut impl Inflow) {
        match self.receiving.ready {
            Some(EventKind::Text | EventKind::Binary | EventKind::Chunk) => {
                if self.receiving.compressed {
                    inflow.release_message();
                } else {
                    rx.release_message();
                }
                self.receiving.delivered();
            }
            Some(_) => {
                rx.release_piece();
                self.receiving.ready = None;
            }
            None => {}
        }
    }

    #[inline]
    fn next_status<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        inflow: &mut impl Inflow,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure> {
        loop {
            // RFC 6455 5.5.1, 7.1.7: after a close frame, or after failing, data is not processed any more.
            if self.close.received.is_some() || self.close.failed {
                rx.clear();
                return Ok(Status::Closed);
            }
            let status = match self.receiving.step {
                Step::Decode => self.decode(rx, inflow, now)?,
                Step::Control => self.control(rx, keys, now)?,
                Step::Decompress { end } => inflow.take_in(self, rx, end)?,
                Step::DecompressWhole => inflow.decompress(self, rx, true)?,
            };
            if let Some(status) = status {
                return Ok(status);
            }
        }
    }

    #[inline]
    fn decode<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        inflow: &mut impl Inflow,
        now: Instant,
    ) -> Result<Option<Status>, Failure> {
        if rx.unparsed().is_empty() {
            return self.need_input(rx);
        }
        if let Some(kind) = self.whole_message(rx, now)? {
            return Ok(Some(Status::Ready(kind)));
        }
        if !self.decoder.is_inside_frame() && self.receiving.message_in_progress().is_none() {
            self.clock.message_begins(now);
        }
        let input = rx.unparsed_mut();
        let (mut decoded, mut consumed) = self.decoder.decode(input)?;
        if consumed > 0 {
            self.clock.heard(now);
        }
        if let Decoded::Header(header) = decoded {
            let header_len = consumed;
            let payload = input.get_mut(header_len..).unwrap_or_default();
            (decoded, consumed) = self.decoder.decode(payload)?;
            let starts_message = !header.opcode.is_control() && header.opcode != OpCode::Continuation;
            rx.eat_header(header_len, starts_message);
            self.header(header, rx.storage().message_capacity())?;
            if starts_message && header.rsv1 {
                inflow.begin_message();
            }
        }
        rx.eat_payload(consumed);
        match decoded {
            Decoded::Payload { ascii, end } => self.payload(rx, consumed, ascii, end),
            Decoded::NeedInput => self.need_input(rx),
            // A header is followed by payload, be it empty.
            Decoded::Header(_) => Ok(None),
        }
    }

    /// A whole message in one frame that has arrived completely, by far the most frequent case, without the state that
    /// messages in pieces need. Whatever is not exactly that is left as it is to the general way, where each rule
    /// has its check.
    #[inline]
    fn whole_message<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        now: Instant,
    ) -> Result<Option<EventKind>, Failure> {
        if !self.decoder.is_between_messages() {
            return Ok(None);
        }
        let Some(frame) = self.recognise(rx.unparsed(), rx.storage()) else { return Ok(None) };
        self.clock.heard(now);
        let payload = rx.begin_whole_message(frame.header_len, frame.len);
        let ascii = self.role == Role::Server && kernels::unmask(payload, frame.key);
        self.receiving.whole_message(frame.kind);
        if frame.kind == MessageKind::Binary {
            return Ok(Some(EventKind::Binary));
        }
        // RFC 6455 8.1: text that is not UTF-8 fails the connection.
        rx.check_text(frame.len, ascii)?;
        if !rx.ends_with_whole_character() {
            return Err(ProtocolError::InvalidUtf8.into());
        }
        Ok(Some(EventKind::Text))
    }

    /// A whole message in one frame at the front of `bytes` that no limit forbids.
    #[inline]
    fn recognise(&self, bytes: &[u8], storage: &impl Storage) -> Option<WholeFrame> {
        let Config { limits, delivery, .. } = &*self.config;
        let frame = WholeFrame::recognise(bytes, self.role)?;
        let len = frame.len as u64;
        let allowed = *delivery == Delivery::Messages
            && limits.fragments > 0
            && len <= limits.message
            && len <= limits.frame
            && len <= storage.message_capacity();
        allowed.then_some(frame)
    }

    fn need_input<S: Storage>(&self, rx: &mut RecvBuffer<S>) -> Result<Option<Status>, Failure> {
        if self.transport.has_ended() {
            rx.clear();
            return Ok(Some(Status::Closed));
        }
        if rx.settle(self.decoder.remaining()) {
            Ok(Some(Status::NeedInput))
        } else {
            Err(LimitError::Message.into())
        }
    }

    /// A new frame: limits are checked before room is made for its payload.
    fn header(&mut self, header: FrameHeader, capacity: u64) -> Result<(), Failure> {
        if header.opcode.is_control() {
            // The message around it stays as it is.
            self.receiving.control = Some(header.opcode);
            return Ok(());
        }
        let limits = &self.config.limits;
        let receiving = &mut self.receiving;
        if let Some(kind) = kind_of(header.opcode) {
            receiving.begin_message(kind, header.rsv1);
        }
        receiving.frame = header;
        receiving.frame_offset = 0;
        receiving.fragments = receiving.fragments.saturating_add(1);
        if header.len > limits.frame {
            return Err(LimitError::Frame.into());
        }
        let (so_far, most) = if receiving.compressed {
            // The limit holds for what comes out, where it comes out. Compression may make data larger.
            (receiving.received, limits.message.saturating_mul(2).saturating_add(COMPRESSED_SLACK))
        } else if self.config.delivery == Delivery::Messages {
            (receiving.bytes, limits.message.min(capacity))
        } else {
            (receiving.bytes, limits.message)
        };
        if so_far.saturating_add(header.len) > most {
            return Err(LimitError::Message.into());
        }
        if receiving.fragments > limits.fragments {
            return Err(LimitError::Fragments.into());
        }
        Ok(())
    }

    #[inline]
    fn payload<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        len: usize,
        ascii: bool,
        end: bool,
    ) -> Result<Option<Status>, Failure> {
        if self.receiving.control.is_some() {
            if end {
                self.receiving.step = Step::Control;
            }
            return Ok(None);
        }
        self.receiving.frame_offset = self.receiving.frame_offset.wrapping_add(len as u64);
        self.receiving.received = self.receiving.received.wrapping_add(len as u64);
        if self.receiving.compressed {
            self.receiving.step = Step::Decompress { end };
            return Ok(None);
        }
        rx.join_piece();
        if self.receiving.kind == Some(MessageKind::Text) {
            // RFC 6455 8.1: text that is not UTF-8 fails the connection, here with its first bad byte.
            rx.check_text(len, ascii)?;
        }
        let last = end && self.receiving.frame.fin;
        self.delivered(rx, len, end, last)
    }

    /// Whether what has just joined the message makes an event.
    fn delivered<S: Storage>(
        &mut self,
        rx: &RecvBuffer<S>,
        len: usize,
        end: bool,
        last: bool,
    ) -> Result<Option<Status>, Failure> {
        let receiving = &mut self.receiving;
        receiving.chunk_offset = receiving.bytes;
        receiving.last = last;
        if last && receiving.kind == Some(MessageKind::Text) && !rx.ends_with_whole_character() {
            return Err(ProtocolError::InvalidUtf8.into());
        }
        receiving.bytes = receiving.bytes.wrapping_add(len as u64);
        if self.config.delivery == Delivery::Chunks {
            // An empty frame makes an empty chunk, so that whoever watches sees it.
            let ready = len > 0 || end;
            receiving.first = receiving.fresh;
            receiving.fresh &= !ready;
            return Ok(ready.then_some(Status::Ready(EventKind::Chunk)));
        }
        Ok(last.then_some(Status::Ready(match receiving.kind {
            Some(MessageKind::Text) => EventKind::Text,
            _ => EventKind::Binary,
        })))
    }

    /// A piece of a compressed message that is collected first.
    fn collect<S: Storage>(&mut self, rx: &mut RecvBuffer<S>, end: bool) -> Result<Option<Status>, Failure> {
        rx.join_piece();
        let limit = self.config.limits.message;
        // Compression that makes data larger does so by less.
        if self.receiving.received > limit.saturating_add(limit / 8).saturating_add(COMPRESSED_SLACK) {
            return Err(LimitError::Message.into());
        }
        let last = end && self.receiving.frame.fin;
        self.receiving.step = if last { Step::DecompressWhole } else { Step::Decode };
        Ok(None)
    }

    fn decompress<S: Storage, O: Spare, D: Codec>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        codec: &mut D,
        out: &mut RecvBuffer<O>,
        end: bool,
    ) -> Result<Option<Status>, Failure> {
        let allowed = self.config.limits.message.saturating_sub(self.receiving.bytes);
        let last = end && self.receiving.frame.fin;
        let whole = self.receiving.step == Step::DecompressWhole;
        if codec.is_paused() {
            return Ok(Some(Status::Paused));
        }
        if out.spare_mut().is_empty() && !out.settle(1) {
            return Ok(Some(Status::NeedOutput));
        }
        // One byte more than is allowed, to see that there is more.
        let most = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_add(1);
        let spare = out.spare_mut();
        let room = spare.len().min(most);
        let output = spare.get_mut(..room).unwrap_or_default();
        let input = if whole { rx.message() } else { rx.piece() };
        let progress =
            codec.decompress(input, output, last).map_err(|_| ProtocolError::InvalidCompressedData)?;
        if whole {
            rx.eat_message(progress.consumed);
        } else {
            rx.eat_piece(progress.consumed);
        }
        // A codec that claims more than there was room for is not believed.
        let produced = progress.produced.min(room);
        out.append(produced);
        if produced as u64 > allowed {
            return Err(LimitError::Message.into());
        }
        if self.receiving.kind == Some(MessageKind::Text) {
            out.check_text(produced, false)?;
        }
        if progress.done {
            self.receiving.step = Step::Decode;
            if whole {
                rx.release_message();
            }
        } else if produced == 0 && progress.consumed == 0 && room > 0 {
            return Err(ProtocolError::InvalidCompressedData.into());
        }
        let finished = progress.done && last;
        self.delivered(out, produced, progress.done && end, finished)
    }

    /// A complete control frame. It stays where it is until its answer has room.
    fn control<S: Storage>(
        &mut self,
        rx: &mut RecvBuffer<S>,
        keys: &mut impl MaskKeys,
        now: Instant,
    ) -> Result<Option<Status>, Failure> {
        let kind = match self.receiving.control {
            Some(OpCode::Ping) => {
                // RFC 6455 5.5.2: a pong answers a ping, unless a close frame came before.
                let answers = self.close.sent.is_none() && self.transport.can_send();
                if answers && !self.queue_pong(rx.piece(), keys, now) {
                    return Ok(Some(Status::NeedTransmit));
                }
                EventKind::Ping
            }
            Some(OpCode::Close) => {
                let frame = close_frame(rx.piece())?;
                let code = frame.map_or(CloseCode::NO_STATUS, |frame| frame.code);
                // RFC 6455 5.5.1: a close frame is answered with a close frame, unless one was sent.
                if self.close.sent.is_none() {
                    if self.transport.can_send() && !self.queue_close(code, "", keys, now) {
                        return Ok(Some(Status::NeedTransmit));
                    }
                    self.close.initiator = Some(Initiator::Remote);
                }
                self.close.received = Some(code);
                EventKind::Close
            }
            _ => EventKind::Pong,
        };
        self.receiving.control = None;
        self.receiving.step = Step::Decode;
        Ok(Some(Status::Ready(kind)))
    }
}

/// Where the payload of compressed messages goes.
trait Inflow {
    fn begin_message(&mut self);

    fn release_message(&mut self);

    /// A piece of payload has arrived.
    fn take_in<C: Deref<Target = Config>, K: ControlSlot, S: Storage>(
        &mut self,
        connection: &mut Connection<C, K>,
        rx: &mut RecvBuffer<S>,
        end: bool,
    ) -> Result<Option<Status>, Failure> {
        self.decompress(connection, rx, end)
    }

    fn decompress<C: Deref<Target = Config>, K: ControlSlot, S: Storage>(
        &mut self,
        connection: &mut Connection<C, K>,
        rx: &mut RecvBuffer<S>,
        end: bool,
    ) -> Result<Option<Status>, Failure>;
}

/// No extension was negotiated, or its codec is not at hand: nothing compressed can be read.
struct Uncompressed;

impl Inflow for Uncompressed {
    fn begin_message(&mut self) {}

    fn release_message(&mut self) {}

    fn decompress<C: Deref<Target = Config>, K: ControlSlot, S: Storage>(
        &mut self,
        _: &mut Connection<C, K>,
        _: &mut RecvBuffer<S>,
        _: bool,
    ) -> Result<Option<Status>, Failure> {
        Err(ProtocolError::InvalidCompressedData.into())
    }
}

struct Decompression<'a, D, O> {
    codec: &'a mut D,
    out: &'a mut RecvBuffer<O>,
}

impl<D: Codec, O: Spare> Inflow for Decompression<'_, D, O> {
    fn begin_message(&mut self) {
        self.out.begin_message();
    }

    fn release_message(&mut self) {
        self.out.discard_message();
    }

    fn take_in<C: Deref<Target = Config>, K: ControlSlot, S: Storage>(
        &mut self,
        connection: &mut Connection<C, K>,
        rx: &mut RecvBuffer<S>,
        end: bool,
    ) -> Result<Option<Status>, Failure> {
        if self.codec.collects() {
            return connection.collect(rx, end);
        }
        self.decompress(connection, rx, end)
    }

    fn decompress<C: Deref<Target = Config>, K: ControlSlot, S: Storage>(
        &mut self,
        connection: &mut Connection<C, K>,
        rx: &mut RecvBuffer<S>,
        end: bool,
    ) -> Result<Option<Status>, Failure> {
        connection.decompress(rx, self.codec, self.out, end)
    }
}

const fn kind_of(opcode: OpCode) -> Option<MessageKind> {
    match opcode {
        OpCode::Text => Some(MessageKind::Text),
        OpCode::Binary => Some(MessageKind::Binary),
        _ => None,
    }
}

/// The payload of a close frame (RFC 6455 5.5.1).
fn close_frame(payload: &[u8]) -> Result<Option<CloseFrame<'_>>, ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        // RFC 6455 5.5.1: if there is a body, its first two bytes are the code.
        return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::CloseTooShort) };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code));
    // RFC 6455 7.4: reserved and unused codes MUST NOT be on the wire.
    if !code.is_sendable() {
        return Err(ProtocolError::CloseCodeInvalid);
    }
    // RFC 6455 8.1: the reason is UTF-8 like all text.
    let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonInvalidUtf8)?;
    Ok(Some(CloseFrame { code, reason }))
}
