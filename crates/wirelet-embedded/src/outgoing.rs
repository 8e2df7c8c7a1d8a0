//! Bytes on their way to the socket: whole frames only.

use core::ops::Deref;

use wirelet_proto::{Config, Connection, MAX_HEADER, MaskKeys, MessageKind, SendError};

use crate::compression::{Outflow, Way, largest, largest_for};

/// A buffer of the caller's with what waits to be written.
#[derive(Debug)]
pub(crate) struct Outgoing<'m> {
    bytes: &'m mut [u8],
    start: usize,
    end: usize,
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

    /// The largest chunk whose echo fits when nothing waits.
    pub(crate) const fn largest_chunk(&self, compressed: bool) -> usize {
        let room = self.bytes.len().saturating_sub(MAX_HEADER);
        if compressed { largest_for(room) } else { room }
    }

    pub(crate) const fn free(&self) -> usize {
        self.bytes.len().saturating_sub(self.end.saturating_sub(self.start))
    }

    /// Whether a frame with `len` bytes of payload fits, now or, when nothing waits, ever.
    pub(crate) const fn fits(&self, len: usize) -> bool {
        self.is_empty() || len.saturating_add(MAX_HEADER) <= self.free()
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

    /// Appends a frame, whole or not at all; its payload comes in pieces. `outflow` compresses it, if it is worth it.
    pub(crate) fn append<C: Deref<Target = Config>>(
        &mut self,
        core: &mut Connection<C>,
        keys: &mut dyn MaskKeys,
        outflow: Option<&mut Way<'_, dyn Outflow + '_>>,
        kind: MessageKind,
        pieces: [&[u8]; 2],
        fin: bool,
    ) -> Result<(), AppendError> {
        let Some(outflow) = outflow else { return self.append_frame(core, keys, kind, pieces, fin) };
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let fits = largest(len).saturating_add(MAX_HEADER) <= self.free();
        // What does not fit for certain goes as it is, unless its message has begun compressed.
        let compressed = outflow.wants(len, fin) && (fits || outflow.in_message());
        if compressed {
            self.append_compressed(core, keys, &mut **outflow, kind, pieces, fin)?;
        } else {
            self.append_frame(core, keys, kind, pieces, fin)?;
        }
        outflow.queued(compressed, fin);
        Ok(())
    }

    fn append_compressed<C: Deref<Target = Config>>(
        &mut self,
        core: &mut Connection<C>,
        keys: &mut dyn MaskKeys,
        outflow: &mut (dyn Outflow + '_),
        kind: MessageKind,
        pieces: [&[u8]; 2],
        fin: bool,
    ) -> Result<(), AppendError> {
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let most = largest(len).saturating_add(MAX_HEADER);
        if most > self.free() {
            return Err(if most > self.bytes.len() { AppendError::TooLong } else { AppendError::Full });
        }
        // Compressing cannot be taken back.
        core.may_begin_frame(kind).map_err(AppendError::Refused)?;
        let before = self.end.saturating_sub(self.start);
        let added = match self.room(most) {
            Some(room) => fill_compressed(room, core, keys, outflow, kind, pieces, fin),
            None => Err(AppendError::Full),
        };
        self.end = self.start.saturating_add(before).saturating_add(added.unwrap_or(0));
        added.map(|_| ())
    }

    fn append_frame<C: Deref<Target = Config>>(
        &mut self,
        core: &mut Connection<C>,
        keys: &mut dyn MaskKeys,
        kind: MessageKind,
        pieces: [&[u8]; 2],
        fin: bool,
    ) -> Result<(), AppendError> {
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let most = len.saturating_add(MAX_HEADER);
        if most > self.free() {
            return Err(if most > self.bytes.len() { AppendError::TooLong } else { AppendError::Full });
        }
        let mut keys = keys;
        let head = core.begin_frame(kind, len as u64, fin, &mut keys).map_err(AppendError::Refused)?;
        if let Some(room) = self.room(head.len()) {
            room.copy_from_slice(&head);
        }
        for piece in pieces {
            if let Some(room) = self.room(piece.len()) {
                core.copy_masked(piece, room);
            }
        }
        Ok(())
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

/// Writes a frame with a compressed payload to the front of `room`; how long it is.
fn fill_compressed<C: Deref<Target = Config>>(
    room: &mut [u8],
    core: &mut Connection<C>,
    keys: &mut dyn MaskKeys,
    outflow: &mut (dyn Outflow + '_),
    kind: MessageKind,
    pieces: [&[u8]; 2],
    fin: bool,
) -> Result<usize, AppendError> {
    let mut keys = keys;
    // The header's length depends on the payload's, which is moved down to it.
    let payload = room.get_mut(MAX_HEADER..).unwrap_or_default();
    let n = outflow.compress(pieces, payload, fin).ok_or(AppendError::TooLong)?;
    let head = core.begin_compressed_frame(kind, n as u64, fin, &mut keys).map_err(AppendError::Refused)?;
    room.copy_within(MAX_HEADER..MAX_HEADER.saturating_add(n), head.len());
    let end = head.len().saturating_add(n);
    core.mask(room.get_mut(head.len()..end).unwrap_or_default());
    if let Some(place) = room.get_mut(..head.len()) {
        place.copy_from_slice(&head);
    }
    Ok(end)
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
        let text = |outgoing: &mut Outgoing<'_>, core: &mut _, pieces| {
            outgoing.append(core, &mut NoKeys, None, MessageKind::Text, pieces, true)
        };
        assert_eq!(text(&mut outgoing, &mut core, [&[7; 51], &[]]), Err(AppendError::TooLong));
        assert_eq!(text(&mut outgoing, &mut core, [&[b'a'; 20], &[b'b'; 10]]), Ok(()));
        assert_eq!(text(&mut outgoing, &mut core, [&[b'c'; 20], &[]]), Err(AppendError::Full));
        outgoing.written(20);
        assert!(outgoing.fits(20) && !outgoing.fits(39));
        assert_eq!(text(&mut outgoing, &mut core, [&[b'c'; 20], &[]]), Ok(()));
        assert_eq!(outgoing.pending(), [&b"aabbbbbbbbbb\x81\x14"[..], &[b'c'; 20]].concat());
        core.ping(b"hi", &mut NoKeys, Instant::from_millis(0)).unwrap();
        outgoing.append_control(&mut core);
        assert!(outgoing.pending().ends_with(b"\x89\x02hi"));
        assert!(core.poll_transmit().is_empty());
    }
}
