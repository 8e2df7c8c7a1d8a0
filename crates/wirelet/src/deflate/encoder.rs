//! A compressor that is shared by all connections of a thread: it keeps nothing from message to message, and needs no time
//! to forget it.
//!
//! zlib-rs clears a hash table of 128 KiB before each message that must not refer to earlier ones, and describes its codes
//! as if they were for more than a kilobyte; for the small messages that most messages are this costs more than all the
//! rest. Here a position in the hash table counts from the first byte that was ever compressed, so that an old
//! one is recognised by being too small.

use super::block::{self, BitWriter, Frequencies, LONGEST_MATCH, Sequence};

/// The largest hash table, entries.
const TABLE: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 15;
/// The smallest part of it that is used: a small message touches little memory.
const FEWEST_BITS: u32 = 9;
/// The largest window, bytes (RFC 1951 2).
const WINDOW: usize = 1 << 15;
/// Matches of fewer bytes are not looked for.
const HASHED: usize = 4;
/// A block has as much input, bytes: codes of its own fit it better than longer ones.
const BLOCK: usize = 32 * 1024;
/// Positions are forgotten before they would not fit any more.
const LAST_POSITION: u32 = u32::MAX - (64 << 20);

/// How much work is done for a better ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    /// Earlier places that are compared at each position.
    depth: u32,
    /// A match of this length is taken without looking further, bytes.
    nice: usize,
    /// Whether a match is given up for a longer one at the next byte.
    lazy: bool,
}

impl Effort {
    /// Of a level as zlib numbers them, 1–9.
    pub(super) const fn of_level(level: u8) -> Self {
        let (depth, nice, lazy) = match level {
            0 | 1 => (1, 32, false),
            2 => (2, 32, false),
            3 => (4, 64, false),
            4 => (4, 32, true),
            5 => (8, 32, true),
            6 => (16, 64, true),
            7 => (32, 128, true),
            8 => (64, LONGEST_MATCH, true),
            _ => (256, LONGEST_MATCH, true),
        };
        Self { depth, nice, lazy }
    }
}

/// See the module.
pub(super) struct Encoder {
    /// The last position of each hash.
    heads: Box<[u32; TABLE]>,
    /// How far back the position before it with the same hash is, for each position in the window; 0: too far.
    chains: Box<[u16; WINDOW]>,
    /// The position of the first byte of the data at hand.
    base: u32,
    sequences: Vec<Sequence>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self {
            heads: vec![0; TABLE].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; TABLE])),
            chains: vec![0; WINDOW].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; WINDOW])),
            base: 1,
            sequences: Vec::new(),
        }
    }

    /// Appends `data[history..]`, deflated, to `out`. Matches reach back at most 2^`bits` bytes, also into
    /// `data[..history]`. Behind the last block an empty stored one begins, whose last four bytes `00 00 ff ff` are missing.
    pub(super) fn encode(
        &mut self,
        data: &[u8],
        history: usize,
        bits: u8,
        effort: Effort,
        out: &mut Vec<u8>,
    ) {
        if u32::try_from(data.len()).map_or(true, |len| len > LAST_POSITION - self.base.min(LAST_POSITION)) {
            self.heads.fill(0);
            self.base = 1;
        }
        let mut out = BitWriter::new(out);
        let hash_bits = data.len().max(1).ilog2().clamp(FEWEST_BITS, TABLE_BITS);
        let mut pass = Pass {
            data,
            heads: &mut self.heads,
            chains: &mut self.chains,
            base: self.base,
            shift: 32 - hash_bits,
            window: 1 << bits,
            effort,
        };
        pass.skip(0, history);
        let mut at = history;
        while at < data.len() {
            let end = if data.len() - at <= BLOCK + BLOCK / 2 { data.len() } else { at + BLOCK };
            self.sequences.clear();
            let frequencies = pass.block(at, end, &mut self.sequences);
            block::write(&data[at..end], &self.sequences, frequencies, &mut out);
            at = end;
        }
        out.finish();
        // A position of this message can't be taken for one of the next: 0 to the window's end is before its beginning.
        self.base = self.base.wrapping_add(data.len() as u32);
    }
}

/// What is compressed at the moment.
struct Pass<'a> {
    data: &'a [u8],
    heads: &'a mut [u32; TABLE],
    chains: &'a mut [u16; WINDOW],
    base: u32,
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
    /// Finds the sequences of `data[at..end]`.
    fn block(&mut self, mut at: usize, end: usize, sequences: &mut Vec<Sequence>) -> Frequencies {
        let mut frequencies = Frequencies::new();
        let mut literals = at;
        // Behind this there are not enough bytes for a match.
        let last = (end + 1).saturating_sub(HASHED);
        while at < last {
            let Some(mut found) = self.find(at, end, HASHED - 1) else {
                frequencies.literal(self.data[at]);
                at += 1;
                continue;
            };
            let mut known = at + 1;
            while self.effort.lazy && found.length < self.effort.nice && at + 1 < last {
                known = at + 2;
                let Some(longer) = self.find(at + 1, end, found.length) else { break };
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
            literals = at;
            self.skip(known, at.min(last));
        }
        for byte in &self.data[at.min(end)..end] {
            frequencies.literal(*byte);
        }
        sequences.push(Sequence { literals: (end - literals) as u32, length: 0, distance: 0 });
        frequencies
    }

    /// The best match of more than `least` bytes for what begins at `at`, which is remembered.
    #[inline]
    fn find(&mut self, at: usize, end: usize, least: usize) -> Option<Match> {
        let data = self.data;
        let here = word(data, at);
        let mut candidate = self.remember(at, here)?;
        let most = (end - at).min(LONGEST_MATCH);
        let mut best = Match { length: least, distance: 0 };
        if least >= most {
            return None;
        }
        for _ in 0..self.effort.depth {
            if word(data, candidate) == here && data[candidate + best.length] == data[at + best.length] {
                let length = HASHED + common(&data[candidate + HASHED..], &data[at + HASHED..at + most]);
                if length > best.length {
                    best = Match { length, distance: at - candidate };
                    if length >= self.effort.nice || length == most {
                        break;
                    }
                }
            }
            let back = usize::from(self.chains[candidate % WINDOW]);
            if back == 0 || at - candidate + back > self.window {
                break;
            }
            candidate -= back;
        }
        (best.distance > 0).then_some(best)
    }

    /// Remembers the position `at`; answers the last one before it with the same hash, if it is in the window.
    #[inline]
    fn remember(&mut self, at: usize, here: u32) -> Option<usize> {
        // Knuth's multiplicative hash.
        let hash = here.wrapping_mul(0x9e37_79b1) >> self.shift;
        let head = &mut self.heads[hash as usize % TABLE];
        let position = self.base + at as u32;
        let before = std::mem::replace(head, position);
        let back = (position - before) as usize;
        let is_near = before >= self.base && back <= self.window;
        self.chains[at % WINDOW] = if is_near { back as u16 } else { 0 };
        is_near.then(|| at - back)
    }

    /// Remembers the positions from `from` to `to` without looking for matches.
    #[inline]
    fn skip(&mut self, from: usize, to: usize) {
        let to = to.min((self.data.len() + 1).saturating_sub(HASHED));
        for at in from..to {
            self.remember(at, word(self.data, at));
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
    use zlib_rs::{Inflate, InflateFlush};

    use super::*;

    /// What zlib-rs makes of it, with a window of exactly `bits`.
    fn inflated(deflated: &[u8], dictionary: &[u8], bits: u8, len: usize) -> Vec<u8> {
        let mut inflate = Inflate::new(false, bits);
        if !dictionary.is_empty() {
            inflate.set_dictionary(dictionary).unwrap();
        }
        let mut back = vec![0; len + 1];
        let whole = [deflated, &[0, 0, 0xff, 0xff]].concat();
        inflate.decompress(&whole, &mut back, InflateFlush::SyncFlush).unwrap();
        assert_eq!(inflate.total_in(), whole.len() as u64);
        back.truncate(inflate.total_out() as usize);
        back
    }

    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state >> 8
    }

    /// Of few or many different bytes, with or without repetitions.
    fn message(state: &mut u64) -> Vec<u8> {
        let len = match next(state) % 8 {
            0 => next(state) % 8,
            7 => next(state) % 100_000,
            _ => next(state) % 3000,
        } as usize;
        let (kinds, repeats) = (1 + next(state) % 256, next(state) % 4);
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            if repeats > 0 && data.len() > 4 && next(state) % 4 < repeats {
                let from = (next(state) as usize) % data.len();
                let count = (next(state) as usize % 300).min(data.len() - from);
                data.extend_from_within(from..from + count);
            } else {
                data.push((next(state) % kinds) as u8);
            }
        }
        data.truncate(len);
        data
    }

    #[test]
    fn whatever_is_compressed_comes_back_at_every_window_and_level() {
        let mut encoder = Encoder::new();
        let mut state = 88_172_645_463_325_252;
        for round in 0..3000 {
            let data = message(&mut state);
            let history = if round % 3 == 0 { next(&mut state) as usize % (data.len() + 1) } else { 0 };
            let history = history.min(4096);
            let (bits, level) = (9 + (next(&mut state) % 7) as u8, 1 + (next(&mut state) % 9) as u8);
            let mut out = b"before".to_vec();
            encoder.encode(&data, history, bits, Effort::of_level(level), &mut out);
            assert_eq!(&out[..6], b"before");
            let back = inflated(&out[6..], &data[..history], bits, data.len());
            assert!(back == data[history..], "round {round}, {bits} bits, level {level}");
            // Never longer than stored blocks.
            let len = data.len() - history;
            assert!(out.len() - 6 <= len + 6 * len.div_ceil(BLOCK) + 1, "{} of {len}", out.len() - 6);
        }
    }

    #[test]
    fn positions_that_no_longer_fit_are_forgotten() {
        let mut encoder = Encoder::new();
        let data = b"twice and twice and twice".repeat(20);
        for base in [LAST_POSITION - 400, LAST_POSITION, u32::MAX - 600] {
            encoder.base = base;
            for _ in 0..4 {
                let mut out = Vec::new();
                encoder.encode(&data, 0, 15, Effort::of_level(6), &mut out);
                assert_eq!(inflated(&out, &[], 15, data.len()), data);
                assert!(out.len() < 60);
            }
        }
    }

    #[test]
    fn matches_stay_inside_the_window() {
        let mut state = 12345;
        let block: Vec<u8> = (0..600).map(|_| next(&mut state) as u8).collect();
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
