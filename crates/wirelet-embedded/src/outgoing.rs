//! Bytes on their way to the socket: whole frames only.

use core::ops::Deref;

use wirelet_proto::{
    Config, Connection, Flush, FrameHead, MAX_CONTROL_PAYLOAD, MAX_HEADER, MaskKeys, MessageKind, SendError,
};

use crate::compression::{Outflow, Way, largest, largest_for};

/// What tasks' messages always leave free, bytes: room for a control frame, or for an answer to a message that is as short as
/// one.
const RESERVE: usize = MAX_CONTROL_PAYLOAD + MAX_HEADER;
/// What is compressed at a time, bytes, on its way from one buffer to another.
const PIECE: usize = 128;

/// The largest payload that a task may queue where the transmit buffer has `tx` bytes; `compressed`: the largest fragment of a
/// message that may be compressed.
pub(crate) const fn largest_queued(tx: usize, compressed: bool) -> usize {
    let room = tx.saturating_sub(RESERVE).saturating_sub(MAX_HEADER);
    if compressed { largest_for(room) } else { room }
}

/// A buffer of the caller's with what waits to be written.
#[derive(Debug)]
pub(crate) struct Outgoing<'m> {
    bytes: &'m mut [u8],
    start: usize,
    end: usize,
}

/// A frame that is to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: MessageKind,
    /// Payload bytes.
    pub(crate) len: usize,
    pub(crate) fin: bool,
}

/// The payload of a frame, read in pieces.
pub(crate) trait Payload {
    /// Moves the next bytes to the front of `into`; how many they were. Fewer than there is room for: there are no more.
    fn next(&mut self, into: &mut [u8]) -> usize;
}

impl Payload for &[u8] {
    fn next(&mut self, into: &mut [u8]) -> usize {
        let (next, rest) = self.split_at_checked(into.len()).unwrap_or((*self, &[]));
        if let Some(into) = into.get_mut(..next.len()) {
            into.copy_from_slice(next);
        }
        *self = rest;
        next.len()
    }
}

/// Why a frame was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendError {
    /// It fits when more has been written.
    Full,
    /// It never fits.
    TooLong,
    /// The core refuses it.
    Refused(SendError),
    /// Its payload was taken away meanwhile.
    Gone,
}

impl<'m> Outgoing<'m> {
    /// `bytes` begin with `filled` bytes that are to be written.
    pub(crate) fn new(bytes: &'m mut [u8], filled: usize) -> Self {
        let end = filled.min(bytes.len());
        Self { bytes, start: 0, end }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `n` bytes have been written.
    pub(crate) fn written(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// How many bytes there is room for when nothing waits.
    pub(crate) const fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn free(&self) -> usize {
        self.bytes.len().saturating_sub(self.end.saturating_sub(self.start))
    }

    /// Whether a frame with `len` bytes of payload fits, now or, when nothing waits, ever.
    pub(crate) const fn fits(&self, len: usize) -> bool {
        self.is_empty() || len.saturating_add(MAX_HEADER) <= self.free()
    }

    /// Whether a task's frame of up to `len` bytes of payload may be appended: it leaves free what is the peer's share, or
    /// nothing waits at all.
    pub(crate) const fn admits(&self, len: usize) -> bool {
        let share = RESERVE.saturating_add(self.answer());
        self.is_empty() || len.saturating_add(MAX_HEADER).saturating_add(share) <= self.free()
    }

    /// What tasks' frames leave free for an answer when there are several of them, bytes with its header.
    const fn answer(&self) -> usize {
        self.bytes.len().saturating_sub(RESERVE) / 2
    }

    /// The largest chunk that may be read now, so that its echo has room; 0 when there is none for a short one.
    pub(crate) const fn chunk(&self, compressed: bool) -> usize {
        if !self.is_empty() && self.free() < RESERVE {
            return 0;
        }
        let room = self.free().saturating_sub(MAX_HEADER);
        if compressed { largest_for(room) } else { room }
    }

    /// The largest chunk of a compressed message: its echo has room whatever tasks have sent.
    pub(crate) const fn compressed_chunk(&self) -> usize {
        largest_for(self.answer().saturating_sub(MAX_HEADER))
    }

    /// Moves the control frames that wait in the core behind what is here, as far as they fit.
    pub(crate) fn append_control<C: Deref<Target = Config>>(&mut self, core: &mut Connection<C>) {
        // A close frame may come up behind what was in the slot.
        while let len @ 1.. = core.poll_transmit().len()
            && let Some(room) = self.room(len)
        {
            room.copy_from_slice(core.poll_transmit());
            core.transmitted(len);
        }
    }

    /// Appends a frame, whole or not at all. `outflow` compresses it, if it is worth it.
    pub(crate) fn append<C: Deref<Target = Config>>(
        &mut self,
        core: &mut Connection<C>,
        keys: &mut dyn MaskKeys,
        outflow: Option<&mut Way<'_, dyn Outflow + '_>>,
        frame: Frame,
        payload: &mut dyn Payload,
    ) -> Result<(), AppendError> {
        let Frame { len, fin, .. } = frame;
        let Some(outflow) = outflow else { return self.append_with(core, keys, None, frame, payload) };
        let fits = largest(len).saturating_add(MAX_HEADER) <= self.free();
        // What does not fit for certain goes as it is, unless its message has begun compressed.
        let compressed = outflow.wants(len, fin) && (fits || outflow.in_message());
        self.append_with(core, keys, compressed.then_some(&mut **outflow), frame, payload)?;
        outflow.queued(compressed, fin);
        Ok(())
    }

    fn append_with<C: Deref<Target = Config>>(
        &mut self,
        core: &mut Connection<C>,
        keys: &mut dyn MaskKeys,
        outflow: Option<&mut (dyn Outflow + '_)>,
        frame: Frame,
        payload: &mut dyn Payload,
    ) -> Result<(), AppendError> {
        let most = if outflow.is_some() { largest(frame.len) } else { frame.len };
        let most = most.saturating_add(MAX_HEADER);
        if most > self.free() {
            return Err(if most > self.bytes.len() { AppendError::TooLong } else { AppendError::Full });
        }
        // Neither compressing nor taking a payload can be taken back.
        core.may_begin_frame(frame.kind).map_err(AppendError::Refused)?;
        let before = self.end.saturating_sub(self.start);
        let added = match self.room(most) {
            Some(room) => fill(room, core, keys, outflow, frame, payload),
            None => Err(AppendError::Full),
        };
        self.end = self.start.saturating_add(before).saturating_add(added.unwrap_or(0));
        added.map(|_| ())
    }

    /// The next `n` bytes behind what is here.
    fn room(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.free() {
            return None;
        }
        if n > self.bytes.len().saturating_sub(self.end) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let from = self.end;
        self.end = from.saturating_add(n);
        self.bytes.get_mut(from..self.end)
    }
}

/// Writes a frame to the front of `room`; how long it is.
fn fill<C: Deref<Target = Config>>(
    room: &mut [u8],
    core: &mut Connection<C>,
    keys: &mut dyn MaskKeys,
    outflow: Option<&mut (dyn Outflow + '_)>,
    frame: Frame,
    payload: &mut dyn Payload,
) -> Result<usize, AppendError> {
    let Frame { kind, len, fin } = frame;
    let mut keys = keys;
    // Where the header is as long as here, the payload need not be moved.
    let at = header(len, core.is_masking()).min(room.len());
    let into = room.get_mut(at..).unwrap_or_default();
    let (n, head) = match outflow {
        None => {
            let into = into.get_mut(..len).unwrap_or_default();
            if payload.next(into) < len {
                return Err(AppendError::Gone);
            }
            (len, core.begin_frame(kind, len as u64, fin, &mut keys))
        }
        Some(outflow) => {
            let n = compress(outflow, frame, payload, into)?;
            (n, core.begin_compressed_frame(kind, n as u64, fin, &mut keys))
        }
    };
    let head: FrameHead = head.map_err(AppendError::Refused)?;
    if head.len() != at {
        room.copy_within(at..at.saturating_add(n), head.len());
    }
    let end = head.len().saturating_add(n);
    core.mask(room.get_mut(head.len()..end).unwrap_or_default());
    if let Some(place) = room.get_mut(..head.len()) {
        place.copy_from_slice(&head);
    }
    Ok(end)
}

/// Compresses a payload to the front of `out`; how long it has become.
fn compress(
    outflow: &mut (dyn Outflow + '_),
    frame: Frame,
    payload: &mut dyn Payload,
    out: &mut [u8],
) -> Result<usize, AppendError> {
    let mut piece = [0; PIECE];
    let (mut left, mut end) = (frame.len, 0_usize);
    loop {
        let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
        if payload.next(piece) < piece.len() {
            outflow.abandon();
            return Err(AppendError::Gone);
        }
        left = left.saturating_sub(piece.len());
        let flush = match (left, frame.fin) {
            (1.., _) => Flush::None,
            (_, true) => Flush::Message,
            (_, false) => Flush::Fragment,
        };
        let room = out.get_mut(end..).unwrap_or_default();
        end = end.saturating_add(outflow.compress(piece, room, flush).ok_or(AppendError::TooLong)?);
        if left == 0 {
            return Ok(end);
        }
    }
}

/// How long the header of a frame is (RFC 6455 5.2).
const fn header(len: usize, masking: bool) -> usize {
    let length = match len {
        ..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    if masking { length + 4 } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelet_proto::{Instant, NoKeys, Role};

    #[test]
    fn frames_are_appended_whole_or_not_at_all() {
        let config = Config::new();
        let mut core = Connection::new(Role::Server, &config, Instant::from_millis(0));
        let mut memory = [0; 64];
        let mut outgoing = Outgoing::new(&mut memory, 0);
        let text = |outgoing: &mut Outgoing<'_>, core: &mut _, mut payload: &[u8]| {
            let frame = Frame { kind: MessageKind::Text, len: payload.len(), fin: true };
            outgoing.append(core, &mut NoKeys, None, frame, &mut payload)
        };
        assert_eq!(text(&mut outgoing, &mut core, &[7; 51]), Err(AppendError::TooLong));
        assert_eq!(text(&mut outgoing, &mut core, b"aaaaaaaaaaaaaaaaaaaabbbbbbbbbb"), Ok(()));
        assert_eq!(text(&mut outgoing, &mut core, &[b'c'; 20]), Err(AppendError::Full));
        outgoing.written(20);
        assert!(outgoing.fits(20) && !outgoing.fits(39));
        assert_eq!(text(&mut outgoing, &mut core, &[b'c'; 20]), Ok(()));
        assert_eq!(outgoing.pending(), [&b"aabbbbbbbbbb\x81\x14"[..], &[b'c'; 20]].concat());
        core.ping(b"hi", &mut NoKeys, Instant::from_millis(0)).unwrap();
        outgoing.append_control(&mut core);
        assert!(outgoing.pending().ends_with(b"\x89\x02hi"));
        assert!(core.poll_transmit().is_empty());
    }
}
