//! Messages and fragments that wait in a ring of bytes: four bytes of length and kind, then the payload.

use wirelet_proto::MessageKind;

/// What a record costs besides its payload, bytes.
pub(crate) const RECORD: usize = 4;

const BINARY: u32 = 1 << 31;
/// More fragments of the same message follow.
const MORE: u32 = 1 << 30;
/// A fragment of a message in several frames.
const PART: u32 = 1 << 29;
const FLAGS: u32 = BINARY | MORE | PART;

/// The cursors of a ring whose bytes are somewhere else.
#[derive(Debug)]
pub(crate) struct Queue {
    start: usize,
    used: usize,
    /// Payload bytes, without what the records cost.
    payload: usize,
}

/// The message at the front, in two pieces where the ring wraps round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Front<'q> {
    pub(crate) kind: MessageKind,
    /// A whole message, not a fragment.
    pub(crate) whole: bool,
    /// The message ends here.
    pub(crate) fin: bool,
    pub(crate) pieces: [&'q [u8]; 2],
}

impl Front<'_> {
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { start: 0, used: 0, payload: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Payload bytes that wait.
    pub(crate) const fn payload(&self) -> usize {
        self.payload
    }

    pub(crate) const fn clear(&mut self) {
        *self = Self::new();
    }

    /// Appends a message, whole or not at all.
    pub(crate) fn push(&mut self, ring: &mut [u8], kind: MessageKind, payload: &[u8]) -> bool {
        self.record(ring, kind, 0, payload)
    }

    /// Appends a fragment, whole or not at all.
    pub(crate) fn push_fragment(
        &mut self,
        ring: &mut [u8],
        kind: MessageKind,
        payload: &[u8],
        fin: bool,
    ) -> bool {
        self.record(ring, kind, if fin { PART } else { PART | MORE }, payload)
    }

    fn record(&mut self, ring: &mut [u8], kind: MessageKind, flags: u32, payload: &[u8]) -> bool {
        let free = ring.len().saturating_sub(self.used);
        let Ok(len) = u32::try_from(payload.len()) else { return false };
        if len & FLAGS != 0 || payload.len().saturating_add(RECORD) > free {
            return false;
        }
        let word = len | flags | if kind == MessageKind::Binary { BINARY } else { 0 };
        self.append(ring, &word.to_le_bytes());
        self.append(ring, payload);
        self.payload = self.payload.saturating_add(payload.len());
        true
    }

    /// The message that has waited longest.
    pub(crate) fn front<'q>(&self, ring: &'q [u8]) -> Option<Front<'q>> {
        if self.is_empty() {
            return None;
        }
        let mut word = [0; RECORD];
        let [first, second] = pieces(ring, self.start, RECORD);
        for (to, from) in word.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
        let word = u32::from_le_bytes(word);
        let kind = if word & BINARY == 0 { MessageKind::Text } else { MessageKind::Binary };
        let len = (word & !FLAGS) as usize;
        Some(Front {
            kind,
            whole: word & PART == 0,
            fin: word & MORE == 0,
            pieces: pieces(ring, wrapped(self.start.saturating_add(RECORD), ring.len()), len),
        })
    }

    /// Drops the message at the front.
    pub(crate) fn pop(&mut self, ring: &[u8]) {
        let Some(len) = self.front(ring).map(|front| front.len()) else { return };
        let record = len.saturating_add(RECORD);
        self.start = wrapped(self.start.saturating_add(record), ring.len());
        self.used = self.used.saturating_sub(record);
        self.payload = self.payload.saturating_sub(len);
    }

    fn append(&mut self, ring: &mut [u8], bytes: &[u8]) {
        let end = wrapped(self.start.saturating_add(self.used), ring.len());
        let (behind, at) = ring.split_at_mut_checked(end).unwrap_or_default();
        for (to, from) in at.iter_mut().chain(behind).zip(bytes) {
            *to = *from;
        }
        self.used = self.used.saturating_add(bytes.len());
    }
}

/// Where `at`, less than twice the length of the ring, stands in it.
const fn wrapped(at: usize, len: usize) -> usize {
    if at >= len { at.saturating_sub(len) } else { at }
}

fn pieces(ring: &[u8], start: usize, len: usize) -> [&[u8]; 2] {
    let (behind, at) = ring.split_at_checked(start).unwrap_or_default();
    let first = at.get(..len).unwrap_or(at);
    let second = behind.get(..len.saturating_sub(first.len())).unwrap_or_default();
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn take(queue: &mut Queue, ring: &[u8]) -> Option<(MessageKind, Vec<u8>)> {
        let front = queue.front(ring)?;
        let taken = (front.kind, front.pieces.concat());
        queue.pop(ring);
        Some(taken)
    }

    #[test]
    fn messages_come_out_as_they_went_in_at_every_position_of_the_ring() {
        for size in 8..40 {
            let mut ring = std::vec![0xaa; size];
            let mut queue = Queue::new();
            for round in 0..size * 2 {
                let payload: Vec<u8> = (0..size - RECORD).map(|i| (i + round) as u8).collect();
                let kind = if round % 2 == 0 { MessageKind::Text } else { MessageKind::Binary };
                let shorter = &payload[..payload.len() - round % 3];
                assert!(queue.push(&mut ring, kind, shorter), "{size} {round}");
                assert_eq!(queue.payload(), shorter.len());
                assert_eq!(take(&mut queue, &ring), Some((kind, shorter.to_vec())), "{size} {round}");
                assert!(queue.is_empty() && queue.payload() == 0);
            }
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_queue_as_it_was() {
        let mut ring = [0; 20];
        let mut queue = Queue::new();
        assert!(!queue.push(&mut ring, MessageKind::Text, &[1; 17]));
        assert!(queue.push(&mut ring, MessageKind::Text, &[1; 5]));
        assert!(queue.push(&mut ring, MessageKind::Binary, &[]));
        assert!(!queue.push(&mut ring, MessageKind::Text, &[2; 4]));
        assert_eq!(take(&mut queue, &ring), Some((MessageKind::Text, std::vec![1; 5])));
        assert_eq!(take(&mut queue, &ring), Some((MessageKind::Binary, std::vec![])));
        assert_eq!(take(&mut queue, &ring), None);
    }
}
