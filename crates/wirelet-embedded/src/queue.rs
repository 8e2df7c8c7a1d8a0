//! Messages and fragments that wait in a ring of bytes: four bytes of length and kind, then the payload.

use wirelet_proto::MessageKind;

/// What a record costs besides its payload, bytes.
pub(crate) const RECORD: usize = 4;

const BINARY: u32 = 1 << 31;
/// More fragments of the same message follow.
const MORE: u32 = 1 << 30;
/// A fragment of a message in several frames.
const PART: u32 = 1 << 29;
/// No message: a ping, or, with [`BINARY`], the reason of a close frame.
const CONTROL: u32 = 1 << 28;
const FLAGS: u32 = BINARY | MORE | PART | CONTROL;

/// The cursors of a ring whose bytes are somewhere else.
#[derive(Debug)]
pub(crate) struct Queue {
    start: u32,
    used: u32,
    /// Payload bytes, without what the records cost.
    payload: u32,
    /// The record of the front that was claimed, which is gone from the ring, with the length that is left of its payload; 0: none
    /// was. (An `Option<Front>` is not all zeros when it is empty, and a static of many queues would take flash.)
    begun: u32,
}

/// The message or fragment that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) kind: MessageKind,
    /// No message, but for a control frame.
    pub(crate) control: Option<Control>,
    /// A whole message (or a ping), not a fragment.
    pub(crate) whole: bool,
    /// The message ends here.
    pub(crate) fin: bool,
    /// Payload bytes that have not been taken.
    len: u32,
}

/// What waits for a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The payload of a ping.
    Ping,
    /// The reason of the close frame that is sent when all before it has left.
    Reason,
}

impl Front {
    /// What a record says.
    const fn new(word: u32) -> Self {
        let kind = if word & BINARY == 0 { MessageKind::Text } else { MessageKind::Binary };
        let control = match (word & CONTROL, kind) {
            (0, _) => None,
            (_, MessageKind::Text) => Some(Control::Ping),
            (_, MessageKind::Binary) => Some(Control::Reason),
        };
        let whole = word & PART == 0 && !matches!(control, Some(Control::Reason));
        Self { kind, control, whole, fin: word & MORE == 0, len: word & !FLAGS }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { start: 0, used: 0, payload: 0, begun: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Payload bytes that wait.
    pub(crate) const fn payload(&self) -> usize {
        self.payload as usize
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

    /// Appends what a control frame is to carry, whole or not at all.
    pub(crate) fn push_control(&mut self, ring: &mut [u8], control: Control, payload: &[u8]) -> bool {
        match control {
            Control::Ping => self.record(ring, MessageKind::Text, CONTROL, payload),
            Control::Reason => self.record(ring, MessageKind::Binary, CONTROL, payload),
        }
    }

    /// Whether `len` bytes have room.
    pub(crate) const fn has_room(&self, ring: &[u8], len: usize) -> bool {
        len.saturating_add(RECORD) <= ring.len().saturating_sub(self.used as usize)
    }

    fn record(&mut self, ring: &mut [u8], kind: MessageKind, flags: u32, payload: &[u8]) -> bool {
        let Ok(len) = u32::try_from(payload.len()) else { return false };
        if len & FLAGS != 0 || !self.has_room(ring, payload.len()) {
            return false;
        }
        let word = len | flags | if kind == MessageKind::Binary { BINARY } else { 0 };
        self.append(ring, &word.to_le_bytes());
        self.append(ring, payload);
        self.payload = self.payload.saturating_add(len);
        true
    }

    /// The message or fragment that has waited longest.
    pub(crate) fn front(&self, ring: &[u8]) -> Option<Front> {
        self.word(ring).map(Front::new)
    }

    fn word(&self, ring: &[u8]) -> Option<u32> {
        if self.begun != 0 || self.used == 0 {
            return Some(self.begun).filter(|word| *word != 0);
        }
        let mut word = [0; RECORD];
        copy_out(self.pieces(ring, RECORD), &mut word);
        Some(u32::from_le_bytes(word))
    }

    /// Claims the front, which from now on nobody drops: its payload is to be taken. One without payload is gone at once.
    pub(crate) fn claim(&mut self, ring: &[u8]) {
        if self.begun == 0 {
            self.begun = self.word(ring).filter(|word| word & !FLAGS > 0).unwrap_or_default();
            self.advance(ring, RECORD);
        }
    }

    /// Takes the next payload bytes of the front that was claimed, as many as `into` has room for; how many they were. With
    /// the last of them the front is gone.
    pub(crate) fn take(&mut self, ring: &[u8], into: &mut [u8]) -> usize {
        let (flags, left) = (self.begun & FLAGS, self.begun & !FLAGS);
        let n = (left as usize).min(into.len());
        copy_out(self.pieces(ring, n), into);
        self.advance(ring, n);
        self.payload = self.payload.saturating_sub(n as u32);
        let left = left.saturating_sub(n as u32);
        self.begun = if left > 0 { flags | left } else { 0 };
        n
    }

    /// Drops the whole message at the front, if that is one and was not claimed.
    pub(crate) fn drop_whole(&mut self, ring: &[u8]) -> bool {
        let Some(front) = self.front(ring).filter(|front| front.whole && self.begun == 0) else {
            return false;
        };
        self.advance(ring, front.len().saturating_add(RECORD));
        self.payload = self.payload.saturating_sub(front.len);
        true
    }

    /// Drops all but whole messages.
    pub(crate) fn keep_whole(&mut self, ring: &mut [u8]) {
        let left = core::mem::take(&mut self.begun) & !FLAGS;
        self.advance(ring, left as usize);
        self.payload = self.payload.saturating_sub(left);
        self.keep_records(ring);
    }

    fn keep_records(&mut self, ring: &mut [u8]) {
        let mut left = self.used as usize;
        while let Some(front) = self.front(ring).filter(|_| left > 0) {
            let size = front.len().saturating_add(RECORD);
            left = left.saturating_sub(size);
            if !front.whole || front.control.is_some() {
                self.advance(ring, size);
                self.payload = self.payload.saturating_sub(front.len);
                continue;
            }
            // It goes round to the end.
            for _ in 0..size {
                let byte = ring.get(self.start as usize).copied().unwrap_or_default();
                self.advance(ring, 1);
                self.append(ring, &[byte]);
            }
        }
    }

    fn advance(&mut self, ring: &[u8], n: usize) {
        self.start = wrapped((self.start as usize).saturating_add(n), ring.len()) as u32;
        self.used = self.used.saturating_sub(n as u32);
    }

    /// The first `n` bytes, in two pieces where the ring wraps round.
    fn pieces<'q>(&self, ring: &'q [u8], n: usize) -> [&'q [u8]; 2] {
        let (behind, at) = ring.split_at_checked(self.start as usize).unwrap_or_default();
        let first = at.get(..n).unwrap_or(at);
        let second = behind.get(..n.saturating_sub(first.len())).unwrap_or_default();
        [first, second]
    }

    fn append(&mut self, ring: &mut [u8], bytes: &[u8]) {
        let end = wrapped((self.start as usize).saturating_add(self.used as usize), ring.len());
        let (behind, at) = ring.split_at_mut_checked(end).unwrap_or_default();
        let (first, second) = bytes.split_at_checked(at.len()).unwrap_or((bytes, &[]));
        copy(first, at);
        copy(second, behind);
        self.used = self.used.saturating_add(bytes.len() as u32);
    }
}

/// Where `at`, less than twice the length of the ring, stands in it.
const fn wrapped(at: usize, len: usize) -> usize {
    if at >= len { at.saturating_sub(len) } else { at }
}

fn copy_out([first, second]: [&[u8]; 2], into: &mut [u8]) {
    copy(first, into);
    copy(second, into.get_mut(first.len()..).unwrap_or_default());
}

/// Copies all of `from`, for which there is room, to the front of `to`.
fn copy(from: &[u8], to: &mut [u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn take(queue: &mut Queue, ring: &[u8]) -> Option<(MessageKind, Vec<u8>)> {
        let front = queue.front(ring)?;
        let mut bytes = std::vec![0; front.len()];
        queue.claim(ring);
        // In bites, so that the front is taken in parts.
        for bite in bytes.chunks_mut(3) {
            assert_eq!(queue.take(ring, bite), bite.len());
        }
        Some((front.kind, bytes))
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

    #[test]
    fn whole_messages_are_kept_in_their_order_at_every_position_of_the_ring() {
        for start in 0..60 {
            let (mut ring, mut queue) = ([0xaa; 60], Queue { start, ..Queue::new() });
            assert!(queue.push(&mut ring, MessageKind::Text, b"begun to leave"));
            assert!(queue.push(&mut ring, MessageKind::Text, b"one"));
            assert!(queue.push_control(&mut ring, Control::Ping, b"ping"));
            assert!(queue.push_fragment(&mut ring, MessageKind::Binary, b"half", false));
            assert!(queue.push(&mut ring, MessageKind::Binary, b"two"));
            let full = queue.push(&mut ring, MessageKind::Text, b"12345678");
            assert!(full && !queue.has_room(&ring, 1));
            queue.claim(&ring);
            assert_eq!(queue.take(&ring, &mut [0; 5]), 5);
            queue.keep_whole(&mut ring);
            assert_eq!(queue.payload(), 14, "{start}");
            assert_eq!(take(&mut queue, &ring), Some((MessageKind::Text, b"one".to_vec())));
            assert_eq!(take(&mut queue, &ring), Some((MessageKind::Binary, b"two".to_vec())));
            assert_eq!(take(&mut queue, &ring), Some((MessageKind::Text, b"12345678".to_vec())));
            assert!(queue.is_empty() && queue.payload() == 0);
        }
    }

    #[test]
    fn a_message_that_is_being_taken_is_not_dropped() {
        let mut ring = [0; 40];
        let mut queue = Queue::new();
        for text in [b"one", b"two"] {
            assert!(queue.push(&mut ring, MessageKind::Text, text));
        }
        queue.claim(&ring);
        assert!(!queue.drop_whole(&ring));
        let mut bite = [0; 2];
        assert_eq!(queue.take(&ring, &mut bite), 2);
        assert!(!queue.drop_whole(&ring));
        assert_eq!(take(&mut queue, &ring), Some((MessageKind::Text, b"e".to_vec())));
        assert!(queue.drop_whole(&ring) && queue.is_empty() && queue.payload() == 0);
        assert!(!queue.drop_whole(&ring));
    }
}
