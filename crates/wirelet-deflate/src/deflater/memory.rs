//! The encoder's memory: one slice of bytes, cut into parts.

use crate::alphabet::{DISTANCES, FIXED_LITERALS};

/// The smallest and the largest window, as powers of two.
pub(super) const WINDOW_BITS: core::ops::RangeInclusive<u8> = 8..=12;

/// What is behind the log, so that a token is read and written as one word.
const LOG_PADDING: usize = 3;

/// How many chains the positions of a window are spread over, as a power of two.
pub(super) const fn head_bits(window_bits: u8) -> u8 {
    match window_bits {
        8 => 7,
        9 | 10 => 8,
        11 => 9,
        _ => 10,
    }
}

/// Bytes of a log that is worth its memory.
const fn log_len(window_bits: u8) -> usize {
    match window_bits {
        8 => 320,
        9 | 10 => 440,
        11 => 1024,
        _ => 2048,
    }
}

/// The shortest log: a few dozen tokens.
const SHORTEST_LOG: usize = 64;

/// The longest log: positions in it, which are counted in bits, fit 16 of them.
const LONGEST_LOG: usize = 8190;

/// Bytes that an encoder with a window of 2^`window_bits` should have.
pub(super) const fn memory(window_bits: u8) -> usize {
    besides_log(window_bits).wrapping_add(log_len(window_bits))
}

/// Bytes without which it cannot work.
pub(super) const fn least_memory(window_bits: u8) -> usize {
    besides_log(window_bits).wrapping_add(SHORTEST_LOG)
}

const fn besides_log(window_bits: u8) -> usize {
    let window = 1usize.wrapping_shl(window_bits as u32);
    let heads = 1usize.wrapping_shl(head_bits(window_bits) as u32);
    // Ring, chain and heads; codes and lengths; log.
    let finding = window.wrapping_mul(4).wrapping_add(heads.wrapping_mul(2));
    let huffman = 3 * (FIXED_LITERALS + DISTANCES);
    finding.wrapping_add(huffman)
}

/// The parts of the encoder's memory.
pub(super) struct Memory<'a> {
    /// The window, and as much again that has not been compressed yet.
    pub(super) ring: Ring<'a>,
    /// For each position of the window the one before it with the same hash.
    pub(super) chain: Table<'a>,
    /// For each hash the last position that has it.
    pub(super) heads: Table<'a>,
    /// The tokens of the block.
    pub(super) log: Log<'a>,
    /// The codes of the block's symbols; before that, how frequent they are.
    pub(super) codes: Table<'a>,
    /// The lengths of those codes, bits.
    pub(super) lengths: &'a mut [u8],
}

impl<'a> Memory<'a> {
    /// Cuts `memory`; what is too short makes empty parts, of which nothing comes.
    pub(super) fn cut(memory: &'a mut [u8], window_bits: u8) -> Self {
        let window = 1usize.checked_shl(window_bits.into()).unwrap_or_default();
        let heads = 1usize.checked_shl(head_bits(window_bits).into()).unwrap_or_default();
        let mut rest = memory;
        let mut part = |len: usize| {
            let (part, after) = core::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
            rest = after;
            part
        };
        Self {
            ring: Ring(part(window.wrapping_mul(2))),
            chain: Table::new(part(window.wrapping_mul(2))),
            heads: Table::new(part(heads.wrapping_mul(2))),
            codes: Table::new(part(2 * (FIXED_LITERALS + DISTANCES))),
            lengths: part(FIXED_LITERALS + DISTANCES),
            log: {
                let len = rest.len().min(LONGEST_LOG);
                Log(rest.get_mut(..len).unwrap_or_default())
            },
        }
    }
}

/// Bytes by position, counted from anywhere.
pub(super) struct Ring<'a>(&'a mut [u8]);

impl Ring<'_> {
    /// The byte at `position`.
    #[inline]
    pub(super) fn byte(&self, position: u16) -> u8 {
        let mask = self.0.len().wrapping_sub(1);
        self.0.get(usize::from(position) & mask).copied().unwrap_or_default()
    }

    /// Copies as much of `input` as `room` says to `position`; answers how much.
    pub(super) fn write(&mut self, position: u16, input: &[u8], room: u16) -> u16 {
        let mask = self.0.len().wrapping_sub(1);
        let mut written = 0u16;
        for byte in input.iter().take(room.into()) {
            if let Some(slot) = self.0.get_mut(usize::from(position.wrapping_add(written)) & mask) {
                *slot = *byte;
            }
            written = written.wrapping_add(1);
        }
        written
    }
}

/// Numbers by index; what is out of range reads as zero.
pub(super) struct Table<'a>(&'a mut [[u8; 2]]);

impl<'a> Table<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes.as_chunks_mut().0)
    }

    #[inline]
    pub(super) fn at(&self, index: usize) -> u16 {
        self.0.get(index).map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    #[inline]
    pub(super) fn set(&mut self, index: usize, value: u16) {
        if let Some(bytes) = self.0.get_mut(index) {
            *bytes = value.to_le_bytes();
        }
    }

    #[inline]
    pub(super) fn add(&mut self, index: usize, n: u16) {
        self.set(index, self.at(index).wrapping_add(n));
    }

    pub(super) fn clear(&mut self) {
        self.0.fill([0; 2]);
    }
}

/// Numbers of a few bits, one behind the other.
pub(super) struct Log<'a>(&'a mut [u8]);

impl Log<'_> {
    /// How many bits can be written.
    pub(super) fn capacity(&self) -> u16 {
        let bytes = self.0.len().saturating_sub(LOG_PADDING);
        u16::try_from(bytes.saturating_mul(8)).unwrap_or(u16::MAX)
    }

    /// The bits from `at` on; at least 25 of them.
    #[inline]
    pub(super) fn bits(&self, at: u16) -> u32 {
        let word = self.0.get(usize::from(at >> 3)..).and_then(|rest| rest.first_chunk());
        word.map_or(0, |word| u32::from_le_bytes(*word).wrapping_shr(u32::from(at & 7)))
    }

    /// Writes `value`, which has no more than 25 bits, to `at` on.
    #[inline]
    pub(super) fn write(&mut self, at: u16, value: u32) {
        let shift = u32::from(at & 7);
        let word = self.0.get_mut(usize::from(at >> 3)..).and_then(|rest| rest.first_chunk_mut());
        if let Some(word) = word {
            let before = u32::from_le_bytes(*word) & !u32::MAX.wrapping_shl(shift);
            *word = (before | value.wrapping_shl(shift)).to_le_bytes();
        }
    }
}
