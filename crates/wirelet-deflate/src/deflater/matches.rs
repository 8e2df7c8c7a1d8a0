//! What was sent before and comes again: the window and its hash chains.

use super::memory::{Memory, head_bits};
use crate::alphabet::{LONGEST_MATCH, SHORTEST_MATCH};

/// The shortest and the longest match.
pub(super) const SHORTEST: u16 = SHORTEST_MATCH as u16;
pub(super) const LONGEST: u16 = LONGEST_MATCH as u16;

/// How many earlier positions are looked at.
const DEPTH: u16 = 64;

/// Bytes that were sent before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Match {
    /// How many; 0 when there are none.
    pub(super) len: u16,
    /// How far back.
    pub(super) distance: u16,
}

/// Where the encoder stands in its window.
///
/// Positions are counted modulo 2^16, and what chains and heads hold may be as old as it likes: a candidate
/// counts when it is within the history and its bytes are the same, so nothing has to be cleared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    window_bits: u8,
    /// The next byte to compress.
    position: u16,
    /// Bytes from there on that have come in.
    ahead: u16,
    /// Bytes before it that a distance may reach.
    history: u16,
    /// The first position that is not in a chain: its hash needs bytes that had not come in.
    unchained: u16,
}

impl Cursor {
    pub(super) const fn new(window_bits: u8) -> Self {
        Self { window_bits, position: 0, ahead: 0, history: 0, unchained: 0 }
    }

    /// Bytes that a distance may reach at most.
    pub(super) fn window(&self) -> u16 {
        1u16.wrapping_shl(self.window_bits.into())
    }

    pub(super) fn position(&self) -> u16 {
        self.position
    }

    /// Bytes that wait to be compressed.
    pub(super) fn ahead(&self) -> u16 {
        self.ahead
    }

    /// Takes in what fits of `input`; answers how much.
    ///
    /// Never more than a window ahead, so that the ring keeps a whole one behind.
    pub(super) fn take_in(&mut self, memory: &mut Memory<'_>, input: &[u8]) -> usize {
        let room = self.window().saturating_sub(self.ahead);
        let taken = memory.ring.write(self.position.wrapping_add(self.ahead), input, room);
        self.ahead = self.ahead.wrapping_add(taken);
        taken.into()
    }

    /// `len` bytes have been compressed.
    pub(super) fn advance(&mut self, len: u16) {
        self.position = self.position.wrapping_add(len);
        self.ahead = self.ahead.saturating_sub(len);
        self.history = self.history.saturating_add(len).min(self.window());
    }

    /// No distance reaches back before here.
    pub(super) fn forget(&mut self) {
        self.history = 0;
        self.unchained = self.position;
    }

    /// The longest match `skipped` bytes ahead, if it is longer than `beat`.
    pub(super) fn find(&mut self, memory: &mut Memory<'_>, skipped: u16, beat: u16) -> Match {
        let at = self.position.wrapping_add(skipped);
        self.chain_up_to(memory, at);
        let most = self.ahead.saturating_sub(skipped).min(LONGEST);
        let mut best = Match { len: beat.max(SHORTEST.wrapping_sub(1)), distance: 0 };
        if best.len >= most {
            return Match::default();
        }
        let reach = self.history.saturating_add(skipped).min(self.window());
        let mut candidate = memory.heads.at(self.hash(memory, at));
        let mut nearer = 0;
        for _ in 0..DEPTH {
            let distance = at.wrapping_sub(candidate);
            if distance <= nearer || distance > reach {
                break;
            }
            let end = best.len;
            if memory.ring.byte(candidate.wrapping_add(end)) == memory.ring.byte(at.wrapping_add(end)) {
                let len = common(memory, candidate, at, most);
                if len > best.len {
                    best = Match { len, distance };
                    if len == most {
                        break;
                    }
                }
            }
            nearer = distance;
            candidate = memory.chain.at(self.slot(candidate));
        }
        if best.distance == 0 { Match::default() } else { best }
    }

    /// Puts all positions before `at` into their chains, as far as their hashes can be computed.
    fn chain_up_to(&mut self, memory: &mut Memory<'_>, at: u16) {
        let end = self.position.wrapping_add(self.ahead);
        while self.unchained != at && end.wrapping_sub(self.unchained) >= SHORTEST {
            let hash = self.hash(memory, self.unchained);
            memory.chain.set(self.slot(self.unchained), memory.heads.at(hash));
            memory.heads.set(hash, self.unchained);
            self.unchained = self.unchained.wrapping_add(1);
        }
    }

    fn slot(&self, position: u16) -> usize {
        usize::from(position & self.window().wrapping_sub(1))
    }

    /// Of the three bytes at `at`.
    fn hash(&self, memory: &Memory<'_>, at: u16) -> usize {
        let byte = |n| u32::from(memory.ring.byte(at.wrapping_add(n)));
        let three = byte(0) | byte(1).wrapping_shl(8) | byte(2).wrapping_shl(16);
        let unused = 32u32.wrapping_sub(u32::from(head_bits(self.window_bits)));
        three.wrapping_mul(0x9e37_79b1).wrapping_shr(unused) as usize
    }
}

/// How many bytes are the same at both positions, up to `most`.
fn common(memory: &Memory<'_>, a: u16, b: u16, most: u16) -> u16 {
    let same = |n: &u16| memory.ring.byte(a.wrapping_add(*n)) == memory.ring.byte(b.wrapping_add(*n));
    (0..most).take_while(same).count() as u16
}
