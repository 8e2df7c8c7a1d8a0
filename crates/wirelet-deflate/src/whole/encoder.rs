//! The encoder for speed: it keeps nothing from message to message, so that many connections can share it.
//!
//! For the small messages that most messages are, zlib-rs is slow where it must not refer to earlier ones: it clears a hash
//! table of 128 KiB before each. Here the part of the table that is used is as large as the message needs, and is not cleared:
//! positions go on from message to message, so that earlier ones are too far back. All decisions that can't be predicted
//! cost as much as ten that can; there are as few of them as possible.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::block::{self, BitWriter, Frequencies, Sequence};
use crate::alphabet::LONGEST_MATCH;

/// The largest hash table, entries.
const TABLE: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 15;
/// The smallest part of it that is used: a small message touches little memory.
const FEWEST_BITS: u32 = 9;
/// The largest window (RFC 1951 2).
const WINDOW: usize = 1 << LARGEST_BITS;
const LARGEST_BITS: u8 = 15;
/// So many positions can be told from each other.
const POSITIONS: usize = 1 << 16;
/// Matches of fewer bytes are not looked for.
const HASHED: usize = 4;
/// A block has as much input, bytes: codes of its own fit it better than longer ones.
const BLOCK: usize = 32 * 1024;
/// The table has 2^SPARSE times as many entries as the data has bytes.
const SPARSE: u32 = 3;

/// How much work is done for a better ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Earlier places that are compared at each position.
    depth: u32,
    /// A match of this length is taken without looking further, bytes.
    nice: usize,
    /// A match of fewer bytes is given up for a longer one at the next byte.
    lazy: usize,
}

impl Effort {
    /// Of a level as zlib numbers them, 1–9.
    pub const fn of_level(level: u8) -> Self {
        let (depth, nice, lazy) = match level {
            0 | 1 => (1, 32, 0),
            2 => (2, 32, 0),
            3 => (4, 64, 0),
            4 => (4, 32, 8),
            5 => (8, 32, 8),
            6 => (16, 64, 32),
            7 => (32, 128, 64),
            8 => (64, LONGEST_MATCH, 128),
            _ => (256, LONGEST_MATCH, LONGEST_MATCH),
        };
        Self { depth, nice, lazy }
    }
}

/// An encoder that keeps nothing between messages: 130 KiB on the heap, and what the largest message so far needed.
///
/// ```
/// use wirelet_deflate::whole::{Effort, Encoder};
///
/// let mut payload = Vec::new();
/// Encoder::new().encode(b"Hello", 0, 15, Effort::of_level(5), &mut payload);
/// // RFC 7692 7.2.3.1.
/// assert_eq!(payload, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
/// ```
pub struct Encoder {
    /// The last position of each hash, or rather its last 16 bits.
    heads: Box<[u16; TABLE]>,
    /// The position before it with the same hash, for each position in the window.
    chains: Box<[u16; WINDOW]>,
    sequences: Vec<Sequence>,
    /// Bytes that have been compressed since `heads` was cleared. What is found of them is farther back than the message
    /// reaches.
    passed: usize,
}

impl Encoder {
    /// An encoder for any number of messages, one after the other.
    #[must_use]
    pub fn new() -> Self {
        Self { heads: zeros(), chains: zeros(), sequences: Vec::new(), passed: 0 }
    }

    /// Appends `data[history..]`, deflated, to `out`. Matches reach back at most 2^`bits` bytes (8–15 bits), also into
    /// `data[..history]`. Behind the last block an empty stored one begins, whose last four bytes `00 00 ff ff` are missing.
    pub fn encode(&mut self, data: &[u8], history: usize, bits: u8, effort: Effort, out: &mut Vec<u8>) {
        let mut out = BitWriter::new(out);
        let hash_bits = (data.len().max(1).ilog2() + SPARSE).clamp(FEWEST_BITS, TABLE_BITS);
        if self.passed + data.len() > POSITIONS {
            self.heads.fill(0);
            self.passed = 0;
        }
        let mut pass = Pass {
            data,
            passed: self.passed,
            heads: &mut self.heads,
            chains: &mut self.chains,
            shift: 32 - hash_bits,
            window: 1 << bits.min(LARGEST_BITS),
            effort,
        };
        pass.skip(0, history, data.len());
        let mut at = history;
        while at < data.len() {
            let end = if data.len() - at <= BLOCK + BLOCK / 2 { data.len() } else { at + BLOCK };
            self.sequences.clear();
            let mut frequencies = Frequencies::new();
            pass.block(at, end, &mut self.sequences, &mut frequencies);
            block::write(&data[at..end], &self.sequences, &mut frequencies, &mut out);
            at = end;
        }
        out.finish();
        self.passed += data.len();
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

fn zeros<const N: usize>() -> Box<[u16; N]> {
    vec![0; N].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; N]))
}

/// What is compressed at the moment.
struct Pass<'a> {
    data: &'a [u8],
    /// Bytes before `data`.
    passed: usize,
    heads: &'a mut [u16; TABLE],
    chains: &'a mut [u16; WINDOW],
    shift: u32,
    /// Bytes.
    window: usize,
    effort: Effort,
}

/// A match that was found.
#[derive(Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

impl Pass<'_> {
    /// Finds the sequences of `data[at..end]`, and counts their symbols.
    fn block(
        &mut self,
        mut at: usize,
        end: usize,
        sequences: &mut Vec<Sequence>,
        frequencies: &mut Frequencies,
    ) {
        loop {
            let literals = at;
            let Some((first, mut found)) = self.first_match(at, end, frequencies) else { break };
            at = first;
            let mut known = at + 1;
            while found.length < self.effort.lazy && at + HASHED < end {
                known = at + 2;
                let Some(longer) = self.find(at + 1, word(self.data, at + 1), end, found.length) else {
                    break;
                };
                frequencies.literal(self.data[at]);
                at += 1;
                found = longer;
            }
            frequencies.a_match(found.length, found.distance);
            sequences.push(Sequence {
                literals: (at - literals) as u32,
                length: found.length as u16,
                distance: found.distance as u16,
            });
            at += found.length;
            self.skip(known, at, end);
        }
        sequences.push(Sequence { literals: (end - at) as u32, length: 0, distance: 0 });
    }

    /// The first match in `data[from..end]` and where it is. What is before it becomes literals: all if there is none.
    #[inline(always)]
    fn first_match(
        &mut self,
        from: usize,
        end: usize,
        frequencies: &mut Frequencies,
    ) -> Option<(usize, Match)> {
        let data = self.data.get(..end)?;
        let mut at = from;
        while let Some(bytes) = data.get(at..).and_then(<[u8]>::first_chunk) {
            let here = u32::from_le_bytes(*bytes);
            if let Some(found) = self.find(at, here, end, HASHED - 1) {
                return Some((at, found));
            }
            frequencies.literal(here as u8);
            at += 1;
        }
        // Not enough bytes for a match.
        data[at..].iter().for_each(|byte| frequencies.literal(*byte));
        None
    }

    /// The longest match of more than `least` bytes, at least three, for what begins at `at` with `here`, and is remembered.
    #[inline(always)]
    fn find(&mut self, at: usize, here: u32, end: usize, least: usize) -> Option<Match> {
        let distance = usize::from(self.position(at).wrapping_sub(self.remember(at, here)));
        if distance.wrapping_sub(1) >= self.window.min(at) {
            return None;
        }
        self.search(at, here, distance, end, least)
    }

    /// The longest match of more than `least` bytes, the nearest of which would be at `distance`.
    #[inline(never)]
    fn search(&self, at: usize, here: u32, mut distance: usize, end: usize, least: usize) -> Option<Match> {
        let (position, reach) = (self.position(at), self.window.min(at));
        let most = (end - at).min(LONGEST_MATCH);
        if least >= most {
            return None;
        }
        let data = &self.data[..end];
        let mut best = Match { length: least, distance: 0 };
        // What a longer match must have too: the four bytes up to the first one beyond the best.
        let mut beyond = word(data, at + least + 1 - HASHED);
        for _ in 0..self.effort.depth {
            let candidate = at - distance;
            if word(data, candidate + best.length + 1 - HASHED) == beyond && word(data, candidate) == here {
                let length = HASHED + common(&data[candidate + HASHED..], &data[at + HASHED..at + most]);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= self.effort.nice || length == most {
                        break;
                    }
                    beyond = word(data, at + length + 1 - HASHED);
                }
            }
            // What is further back than the chain reaches has been overwritten by something nearer.
            let next = usize::from(position.wrapping_sub(self.chains[candidate % WINDOW]));
            if next <= distance || next > reach {
                break;
            }
            distance = next;
        }
        (best.distance > 0).then_some(best)
    }

    /// A position as it is remembered. 0 is none: it is before the first one.
    #[inline(always)]
    const fn position(&self, at: usize) -> u16 {
        (self.passed + at + 1) as u16
    }

    /// Remembers the position `at`; answers the last one before it with the same hash.
    #[inline(always)]
    fn remember(&mut self, at: usize, here: u32) -> u16 {
        // Knuth's multiplicative hash.
        let hash = here.wrapping_mul(0x9e37_79b1) >> self.shift;
        let position = self.position(at);
        let before = core::mem::replace(&mut self.heads[hash as usize % TABLE], position);
        self.chains[at % WINDOW] = before;
        before
    }

    /// Remembers the positions from `from` to `to` without looking for matches, up to where none can begin before `end`.
    #[inline(always)]
    fn skip(&mut self, from: usize, to: usize, end: usize) {
        let data = self.data.get(from..end.min(to + HASHED - 1)).unwrap_or_default();
        for (at, bytes) in (from..).zip(data.array_windows()) {
            self.remember(at, u32::from_le_bytes(*bytes));
        }
    }
}

/// Four bytes.
#[inline]
fn word(data: &[u8], at: usize) -> u32 {
    data[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// How many bytes at the front of both are equal.
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let (eights, rest) = b.as_chunks::<8>();
    let mut len = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(eights) {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            return len + (different.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + rest.iter().zip(&a[len..]).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use testkit::random::Rng;
    use wirelet_proto::Codec;
    use wirelet_proto::deflate::Window;
    use zlib_rs::{Inflate, InflateFlush};

    use super::*;
    use crate::Inflater;

    /// What zlib-rs makes of it, with a window of exactly `bits`: it hands out so little at a time that nothing else is left to
    /// refer to.
    fn inflated(deflated: &[u8], dictionary: &[u8], bits: u8) -> Vec<u8> {
        let mut inflate = Inflate::new(false, bits);
        if !dictionary.is_empty() {
            inflate.set_dictionary(dictionary).unwrap();
        }
        let whole = [deflated, &[0, 0, 0xff, 0xff]].concat();
        let mut back = Vec::new();
        loop {
            let (mut room, before) = ([0; 16], inflate.total_out());
            let rest = &whole[inflate.total_in() as usize..];
            inflate.decompress(rest, &mut room, InflateFlush::SyncFlush).unwrap();
            let some = (inflate.total_out() - before) as usize;
            back.extend_from_slice(&room[..some]);
            if some < room.len() {
                assert_eq!(inflate.total_in(), whole.len() as u64);
                return back;
            }
        }
    }

    /// What our decompressor for any message makes of it.
    fn inflated_by_miniz(deflated: &[u8], bits: u8) -> Vec<u8> {
        let mut inflater = Inflater::new(vec![0; 1 << bits], Window::fresh(bits)).unwrap();
        let (mut back, mut rest, mut room) = (Vec::new(), deflated, [0; 4096]);
        loop {
            let progress = inflater.decompress(rest, &mut room, true).unwrap();
            rest = &rest[progress.consumed..];
            back.extend_from_slice(&room[..progress.produced]);
            if progress.done {
                return back;
            }
        }
    }

    /// Of few or many different bytes, with or without repetitions.
    fn message(rng: &mut Rng) -> Vec<u8> {
        let len = match rng.below(8) {
            0 => rng.below(8),
            7 => rng.below(100_000),
            _ => rng.below(3000),
        };
        let (kinds, repeats) = (1 + rng.below(256), rng.below(4));
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            if repeats > 0 && data.len() > 4 && rng.below(4) < repeats {
                let from = rng.below(data.len());
                let count = rng.below(300).min(data.len() - from);
                data.extend_from_within(from..from + count);
            } else {
                data.push(rng.below(kinds) as u8);
            }
        }
        data.truncate(len);
        data
    }

    #[test]
    fn whatever_is_compressed_comes_back_at_every_window_and_level() {
        let mut encoder = Encoder::new();
        let mut rng = Rng::new(1);
        for round in 0..3000 {
            let data = message(&mut rng);
            let history = if round % 3 == 0 { rng.below(data.len() + 1) } else { 0 };
            let history = history.min(4096);
            let (bits, level) = (9 + rng.below(7) as u8, 1 + rng.below(9) as u8);
            let mut out = b"before".to_vec();
            encoder.encode(&data, history, bits, Effort::of_level(level), &mut out);
            assert_eq!(&out[..6], b"before");
            let back = inflated(&out[6..], &data[..history], bits);
            assert!(back == data[history..], "round {round}, {bits} bits, level {level}");
            if history == 0 {
                assert!(
                    inflated_by_miniz(&out[6..], bits) == data,
                    "round {round}, {bits} bits, level {level}"
                );
            }
            // Never longer than stored blocks.
            let len = data.len() - history;
            assert!(out.len() - 6 <= len + 6 * len.div_ceil(BLOCK) + 1, "{} of {len}", out.len() - 6);
        }
    }

    #[test]
    fn matches_stay_inside_the_window() {
        let block = Rng::new(1).bytes(600);
        let data = [&block[..], &block[..]].concat();
        let mut encoder = Encoder::new();
        let mut lengths = [9, 10].map(|bits| {
            let mut out = Vec::new();
            encoder.encode(&data, 0, bits, Effort::of_level(6), &mut out);
            out.len()
        });
        // 600 bytes back is too far for 512.
        lengths.sort_unstable();
        assert!(lengths[0] < 700 && lengths[1] > 1200, "{lengths:?}");
    }

    #[test]
    fn nothing_becomes_one_byte() {
        let mut out = Vec::new();
        Encoder::new().encode(b"", 0, 15, Effort::of_level(6), &mut out);
        // RFC 7692 7.2.3.6.
        assert_eq!(out, [0]);
    }
}
