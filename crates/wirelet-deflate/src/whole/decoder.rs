//! A decompressor for small messages that are there as a whole, which most messages are.
//!
//! zlib-rs is made for streams: what it prepares for each message takes as long as a small message itself. This one takes
//! what compressors make of small messages, blocks with Huffman codes and the end of the message, and nothing else. Whatever
//! else comes, what is corrupt too, it leaves to another decompressor, which begins with the message anew. What it takes, zlib-rs would
//! have taken with the same result.

use alloc::boxed::Box;
use core::fmt;

use super::huffman::reversed;
use crate::alphabet::tables::{
    DISTANCE_BASES, FIXED_LENGTHS, LENGTH_BASES, LITERAL_EXTRA_BITS, distance_extra_bits,
};
use crate::alphabet::{
    DISTANCES, END, FIRST_LENGTH, FIXED_DISTANCE, LITERALS, LONGEST, LONGEST_PRECODE, MANY_ZEROS,
    PRECODE_ORDER, PRECODES, REPEAT, ZEROS, precode_extra_bits,
};

/// The longest message, bytes, compressed.
const MOST: usize = 2048;
/// Zeros behind the message, so that eight bytes can be read wherever something begins.
const PADDING: usize = 16;
/// Longer codes, bits, are left to others; in a small message they are rare.
const TABLE_BITS: usize = 11;
const TABLE: usize = 1 << TABLE_BITS;
const PRECODE_TABLE: usize = 1 << LONGEST_PRECODE;
/// A symbol of the precode repeats a code's length six times at most; as many places are written for each of them.
const PLACES: usize = 8;
/// Literals that are taken before there must be more bits: with what comes next 5 * 11, less than 56.
const LITERALS_AT_ONCE: usize = 4;
/// Bytes that are copied at once.
const STRIDE: usize = 16;
/// What it takes to read the codes of a block and to make tables of them, in bytes that come out.
const DESCRIPTION: usize = 1024;
/// The bits of a block's header, of which the lowest says that it is the last one of a stream (RFC 1951 3.2.3).
const HEADER: u8 = 3;

/// What the next bits mean.
///
/// From the lowest bit on: the bits of the code and of the number behind it (8), the bits of the code alone (8), a byte or
/// what the number is added to (15), whether it is a byte (1).
type Entry = u32;

/// The entry of a byte.
const LITERAL: Entry = 1 << 31;
/// No code, or one that must not occur: it stands for no length and no distance.
const INVALID: Entry = 0;
/// Stands in the place of a length for the end of a block: no match is as short.
const BLOCK_END: u16 = 1;
/// A code's bit in an entry: once for the code, once for code and number.
const CODE_BIT: Entry = 0x0101;

/// A decompressor for messages of up to [`LONGEST_MESSAGE`](Self::LONGEST_MESSAGE) bytes: 19 KB on the heap.
///
/// ```
/// use wirelet_deflate::whole::Decoder;
///
/// let mut room = [0; 64];
/// // RFC 7692 7.2.3.1.
/// let len = Decoder::new().decompress(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut room);
/// assert_eq!(&room[..len.unwrap()], b"Hello");
/// ```
pub struct Decoder {
    input: [u8; MOST + PADDING],
    precode: Table<PRECODE_TABLE>,
    literals: Table<TABLE>,
    distances: Table<TABLE>,
    /// The tables are those of the fixed codes.
    fixed: bool,
    work: usize,
}

impl Decoder {
    /// The longest message that it takes, compressed, bytes.
    pub const LONGEST_MESSAGE: usize = MOST;

    /// A decompressor for any number of messages, one after the other.
    #[must_use]
    pub fn new() -> Box<Self> {
        Box::new(Self {
            input: [0; MOST + PADDING],
            precode: Table::new(),
            literals: Table::new(),
            distances: Table::new(),
            fixed: false,
            work: 0,
        })
    }

    /// The work since it was asked last, in bytes that come out. What it leaves to others has cost only its tables.
    pub fn take_work(&mut self) -> usize {
        core::mem::take(&mut self.work)
    }

    /// Decompresses the message, whose tail `00 00 ff ff` is missing, to the front of `output`; answers how many bytes it
    /// has. `None`: it is none for this decompressor, or has no room; what is in `output` then means nothing.
    pub fn decompress(&mut self, message: &[u8], output: &mut [u8]) -> Option<usize> {
        let Self { input, precode, literals, distances, fixed, work } = self;
        let input = input.get_mut(..message.len() + PADDING)?;
        let (front, padding) = input.split_at_mut(message.len());
        front.copy_from_slice(message);
        padding.fill(0);
        let mut bits = BitReader { input, at: 0, bits: 0, count: 0 };
        let mut at = 0;
        loop {
            bits.refill()?;
            let left = (8 * message.len()).checked_sub(bits.taken())?;
            // RFC 1951 3.2.3.
            match bits.take(HEADER) {
                // RFC 7692 7.2.1: the message ends with the header of an empty stored block, filled up to a byte.
                0b000 if (3..=10).contains(&left) => {
                    *work += at;
                    return Some(at);
                }
                0b010 if *fixed => {}
                0b010 => {
                    *fixed = true;
                    *work += DESCRIPTION;
                    literals.fill(&FIXED_LITERALS, &LITERAL_ENTRIES)?;
                    distances.fill(&FIXED_DISTANCES, &DISTANCE_ENTRIES)?;
                }
                0b100 => {
                    *fixed = false;
                    *work += DESCRIPTION;
                    own_codes(&mut bits, precode, literals, distances)?;
                }
                // Stored blocks, and those that end a stream.
                _ => return None,
            }
            at = block(&mut bits, literals, distances, output, at)?;
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// Reads the codes of a block (RFC 1951 3.2.7).
fn own_codes(
    bits: &mut BitReader<'_>,
    precode: &mut Table<PRECODE_TABLE>,
    literals: &mut Table<TABLE>,
    distances: &mut Table<TABLE>,
) -> Option<()> {
    let literal_count = bits.take(5) as usize + FIRST_LENGTH;
    let distance_count = bits.take(5) as usize + 1;
    let precode_count = bits.take(4) as usize + 4;
    if literal_count > LITERALS || distance_count > DISTANCES {
        return None;
    }
    read_precode(bits, precode_count, precode)?;
    let mut symbols = [Symbol::default(); LITERALS + DISTANCES + PLACES];
    let used = read_lengths(bits, precode, literal_count + distance_count, &mut symbols)?;
    let symbols = &mut symbols[..used];
    let middle = symbols.partition_point(|symbol| usize::from(symbol.number) < literal_count);
    let (literal_symbols, distance_symbols) = symbols.split_at_mut(middle);
    distance_symbols.iter_mut().for_each(|symbol| symbol.number -= literal_count as u16);
    literals.fill(literal_symbols, &LITERAL_ENTRIES)?;
    match distance_symbols {
        // RFC 1951 3.2.7: no distance, or a single one, whose code has one bit.
        [] => distances.only(INVALID),
        [only] if only.length == 1 => distances.only(DISTANCE_ENTRIES[usize::from(only.number)] + CODE_BIT),
        symbols => distances.fill(symbols, &DISTANCE_ENTRIES)?,
    }
    Some(())
}

fn read_precode(bits: &mut BitReader<'_>, count: usize, precode: &mut Table<PRECODE_TABLE>) -> Option<()> {
    let mut lengths = [0; PRECODES];
    for symbol in &PRECODE_ORDER[..count] {
        bits.refill()?;
        lengths[usize::from(*symbol)] = bits.take(3) as u16;
    }
    let mut symbols = [Symbol::default(); PRECODES + 1];
    let mut used = 0;
    for (number, length) in (0..).zip(lengths) {
        symbols[used] = Symbol { number, length };
        used += usize::from(length > 0);
    }
    precode.fill(&symbols[..used], &PRECODE_ENTRIES)
}

/// Reads `count` lengths. Answers how many symbols have a code; they are at the front of `symbols`.
fn read_lengths(
    bits: &mut BitReader<'_>,
    precode: &Table<PRECODE_TABLE>,
    count: usize,
    symbols: &mut [Symbol; LITERALS + DISTANCES + PLACES],
) -> Option<usize> {
    // Where the first item repeats something there is nothing before it.
    let (mut used, mut number, mut length) = (0, 0, u16::MAX);
    // Which item comes next can't be predicted: there is no branch for it.
    while number < count {
        bits.refill()?;
        let entry = precode.find(bits)?;
        let times = (bits.number(entry) & 0xff) as usize;
        let own = base(entry) >> 8;
        length = if own == u16::from(REPEAT) { length } else { own };
        let places = symbols.get_mut(used..)?.first_chunk_mut::<PLACES>()?;
        *places = core::array::from_fn(|n| Symbol { number: (number + n) as u16, length });
        used += if length > 0 { times } else { 0 };
        number += times;
    }
    (number == count && symbols[0].length < u16::MAX).then_some(used)
}

/// Decompresses a block behind the first `at` bytes of `output`; answers where it ends.
#[inline]
fn block(
    bits: &mut BitReader<'_>,
    literals: &Table<TABLE>,
    distances: &Table<TABLE>,
    output: &mut [u8],
    mut at: usize,
) -> Option<usize> {
    bits.refill()?;
    // What comes next is known before there are more bits for what follows it.
    let mut entry = literals.find(bits)?;
    loop {
        bits.refill()?;
        if entry & LITERAL != 0 {
            let room = output.get_mut(at..)?.first_chunk_mut::<LITERALS_AT_ONCE>()?;
            let mut count = 0;
            while entry & LITERAL != 0 && count < LITERALS_AT_ONCE {
                bits.skip(entry);
                room[count] = base(entry) as u8;
                count += 1;
                entry = literals.find(bits)?;
            }
            at += count;
            continue;
        }
        // A match and what comes next have 11 + 5 + 11 + 13 + 11 bits at most.
        let length = bits.number(entry) as usize;
        if base(entry) <= BLOCK_END {
            return (base(entry) == BLOCK_END).then_some(at);
        }
        let back = distances.find(bits)?;
        let distance = bits.number(back) as usize;
        // RFC 1951 2: no distance goes back behind the beginning.
        if base(back) == 0 || distance > at {
            return None;
        }
        entry = literals.find(bits)?;
        copy(output, at, distance, length)?;
        at += length;
    }
}

/// Copies `length` bytes from `distance` back to `at`; both may overlap. What is behind them may change, too.
#[inline]
fn copy(output: &mut [u8], at: usize, distance: usize, length: usize) -> Option<()> {
    let end = at + length;
    if distance >= STRIDE && end + STRIDE <= output.len() {
        let (mut from, mut to) = (at - distance, at);
        loop {
            let bytes: [u8; STRIDE] = *output.get(from..)?.first_chunk()?;
            *output.get_mut(to..)?.first_chunk_mut()? = bytes;
            from += STRIDE;
            to += STRIDE;
            if to >= end {
                return Some(());
            }
        }
    }
    let output = output.get_mut(..end)?;
    for to in at..end {
        output[to] = output[to - distance];
    }
    Some(())
}

/// A symbol that has a code, and the code's length, bits.
#[derive(Clone, Copy, Default)]
struct Symbol {
    number: u16,
    length: u16,
}

/// What the next bits mean, by as many of them as the longest code has.
struct Table<const N: usize> {
    entries: [Entry; N],
    /// Of the bits that count.
    mask: u64,
}

impl<const N: usize> Table<N> {
    const fn new() -> Self {
        Self { entries: [INVALID; N], mask: 0 }
    }

    /// There always is an entry.
    #[inline]
    fn find(&self, bits: &BitReader<'_>) -> Option<Entry> {
        self.entries.get((bits.bits & self.mask) as usize).copied()
    }

    /// Makes the table of a single code, the bit 0.
    fn only(&mut self, entry: Entry) {
        self.entries[..2].copy_from_slice(&[entry, INVALID]);
        self.mask = 1;
    }

    /// Makes the table of the canonical code with these lengths (RFC 1951 3.2.2), which has to be complete and short enough.
    /// `meanings` are the symbols' entries without the length of the code.
    fn fill(&mut self, symbols: &[Symbol], meanings: &[Entry]) -> Option<()> {
        let mut ends = [0_u16; LONGEST + 1];
        symbols.iter().for_each(|symbol| ends[usize::from(symbol.length) % (LONGEST + 1)] += 1);
        let longest = ends.iter().rposition(|count| *count > 0)?;
        let (mut sum, mut before) = (0, 0);
        for (len, end) in ends.iter_mut().enumerate() {
            sum += u32::from(*end) << (LONGEST - len);
            before += core::mem::replace(end, before);
        }
        if longest > N.ilog2() as usize || sum != 1 << LONGEST {
            return None;
        }
        let mut sorted = [Symbol::default(); FIXED_LITERALS.len()];
        for symbol in symbols {
            let place = &mut ends[usize::from(symbol.length) % (LONGEST + 1)];
            *sorted.get_mut(usize::from(*place))? = *symbol;
            *place += 1;
        }
        self.assign(&sorted[..symbols.len()], meanings);
        self.mask = (1 << longest) - 1;
        Some(())
    }

    /// Gives the symbols, those with short codes first, their codes. The table grows with their length: what it has for the
    /// codes so far stands behind itself for the next bit, and what it has where there is no code yet will be overwritten.
    fn assign(&mut self, sorted: &[Symbol], meanings: &[Entry]) {
        let mut length = sorted.first().map_or(0, |symbol| symbol.length);
        let mut code = 0_u16;
        for symbol in sorted {
            while length < symbol.length {
                let half = (1_usize << length) % N;
                self.entries.copy_within(..half, half);
                length += 1;
                code <<= 1;
            }
            let place = usize::from(reversed(code) >> (16 - length));
            self.entries[place % N] = meanings[usize::from(symbol.number)] + CODE_BIT * Entry::from(length);
            code = code.wrapping_add(1);
        }
    }
}

/// Takes bits from bytes, the first one lowest (RFC 1951 3.1.1).
struct BitReader<'a> {
    input: &'a [u8],
    /// Bytes that are in `bits`.
    at: usize,
    /// The next `count` bits, and perhaps some of those behind them.
    bits: u64,
    count: u32,
}

impl BitReader<'_> {
    /// Has 56 bits or more afterwards.
    #[inline]
    fn refill(&mut self) -> Option<()> {
        let next = u64::from_le_bytes(*self.input.get(self.at..)?.first_chunk()?);
        self.bits |= next << self.count;
        self.at += (63 - self.count as usize) / 8;
        self.count |= 56;
        Some(())
    }

    /// Bits that have been taken.
    const fn taken(&self) -> usize {
        8 * self.at - self.count as usize
    }

    /// Takes `count` bits.
    #[inline]
    fn take(&mut self, count: u8) -> u32 {
        let taken = self.bits & ((1 << count) - 1);
        self.skip(Entry::from(count));
        taken as u32
    }

    /// Takes what an entry has been found by, and the number behind it.
    #[inline]
    fn skip(&mut self, entry: Entry) {
        self.bits >>= entry % 64;
        self.count = self.count.wrapping_sub(entry & 0xff);
    }

    /// Takes what an entry has been found by, and the number behind it; answers what both stand for.
    #[inline]
    fn number(&mut self, entry: Entry) -> u32 {
        let both = self.bits & ((1 << (entry % 64)) - 1);
        self.skip(entry);
        u32::from(base(entry)) + (both >> (entry >> 8 & 0x3f)) as u32
    }
}

#[inline]
const fn base(entry: Entry) -> u16 {
    (entry >> 16) as u16 & 0x7fff
}

const fn entry(base: u16, extra_bits: u8) -> Entry {
    (base as Entry) << 16 | extra_bits as Entry
}

/// The two last symbols never occur.
static LITERAL_ENTRIES: [Entry; LITERALS + 2] = {
    let mut entries = [INVALID; LITERALS + 2];
    let mut symbol = 0;
    while symbol < LITERALS {
        entries[symbol] = match symbol {
            0..END => LITERAL | (symbol as Entry) << 16,
            END => entry(BLOCK_END, 0),
            _ => entry(LENGTH_BASES[symbol - FIRST_LENGTH], LITERAL_EXTRA_BITS[symbol]),
        };
        symbol += 1;
    }
    entries
};

/// The two last symbols never occur.
static DISTANCE_ENTRIES: [Entry; DISTANCES + 2] = {
    let mut entries = [INVALID; DISTANCES + 2];
    let mut symbol = 0;
    while symbol < DISTANCES {
        entries[symbol] = entry(DISTANCE_BASES[symbol], distance_extra_bits(symbol));
        symbol += 1;
    }
    entries
};

/// A length, or [`REPEAT`], above how often it stands there.
static PRECODE_ENTRIES: [Entry; PRECODES] = {
    let mut entries = [INVALID; PRECODES];
    let mut symbol = 0;
    while symbol < PRECODES {
        let (length, times) = match symbol as u8 {
            REPEAT => (REPEAT, 3),
            ZEROS => (0, 3),
            MANY_ZEROS => (0, 11),
            length => (length, 1),
        };
        entries[symbol] = entry((length as u16) << 8 | times, precode_extra_bits(symbol as u8));
        symbol += 1;
    }
    entries
};

static FIXED_LITERALS: [Symbol; LITERALS + 2] = {
    let mut symbols = [Symbol { number: 0, length: 0 }; LITERALS + 2];
    let mut number = 0;
    while number < symbols.len() {
        symbols[number] = Symbol { number: number as u16, length: FIXED_LENGTHS[number] as u16 };
        number += 1;
    }
    symbols
};

/// RFC 1951 3.2.6.
static FIXED_DISTANCES: [Symbol; DISTANCES + 2] = {
    let mut symbols = [Symbol { number: 0, length: FIXED_DISTANCE as u16 }; DISTANCES + 2];
    let mut number = 0;
    while number < symbols.len() {
        symbols[number].number = number as u16;
        number += 1;
    }
    symbols
};

#[cfg(test)]
mod tests {
    use testkit::deflate::{Messages, TAIL};
    use testkit::random::Rng;
    use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

    use super::super::encoder::{Effort, Encoder};
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// By zlib-rs or by our own encoder.
    fn deflated(data: &[u8], rng: &mut Rng) -> Vec<u8> {
        let level = 1 + rng.below(9) as u8;
        let mut out = Vec::new();
        if rng.one_in(2) {
            Encoder::new().encode(data, 0, 15, Effort::of_level(level), &mut out);
        } else {
            out.resize(2 * data.len() + 100, 0);
            let mut zlib = Deflate::new(level.into(), false, 15);
            zlib.compress(data, &mut out, DeflateFlush::SyncFlush).unwrap();
            // RFC 7692 7.2.1. Of nothing zlib makes only what is left out.
            out.truncate((zlib.total_out() as usize).saturating_sub(TAIL.len()));
        }
        out
    }

    /// What zlib-rs makes of it, `None` for an error; `room` is more than enough.
    fn by_zlib(message: &[u8], room: usize) -> Option<Vec<u8>> {
        let (wire, mut out) = ([message, &TAIL].concat(), vec![0; room]);
        let mut zlib = Inflate::new(false, 15);
        zlib.decompress(&wire, &mut out, InflateFlush::SyncFlush).ok()?;
        assert_eq!(zlib.total_in(), wire.len() as u64);
        out.truncate(zlib.total_out() as usize);
        Some(out)
    }

    #[test]
    fn what_compressors_make_of_small_messages_comes_back() {
        let mut decoder = Decoder::new();
        let (mut messages, mut rng, mut taken) = (Messages::new(1), Rng::new(1), 0);
        for round in 0..3000 {
            let data = messages.message();
            let compressed = deflated(&data, &mut rng);
            let mut out = vec![0; data.len() + 64];
            if let Some(len) = decoder.decompress(&compressed, &mut out) {
                assert!(out[..len] == data, "round {round}");
                taken += 1;
            }
        }
        // The rest is stored, or longer than it may be.
        assert!(taken > 2000, "{taken}");
    }

    #[test]
    fn whatever_it_takes_zlib_takes_with_the_same_result() {
        let mut decoder = Decoder::new();
        let (mut messages, mut rng, mut taken) = (Messages::new(2), Rng::new(2), 0);
        for round in 0..20_000 {
            let mut compressed = deflated(&messages.message(), &mut rng);
            for _ in 0..rng.below(4) {
                let at = rng.below(compressed.len());
                match rng.below(4) {
                    0 => compressed.truncate(at + 1),
                    1 => compressed.push(rng.next() as u8),
                    // Damage is most effective where the codes are described.
                    2 => compressed[at % 40 % (at + 1)] ^= 1 << rng.below(8),
                    _ => compressed[at] ^= 1 << rng.below(8),
                }
            }
            let mut out = vec![0; 60_000];
            if let Some(len) = decoder.decompress(&compressed, &mut out) {
                assert_eq!(by_zlib(&compressed, 60_000).as_deref(), Some(&out[..len]), "round {round}");
                taken += 1;
            }
        }
        assert!(taken > 5000, "{taken}");
    }

    #[test]
    fn what_has_no_room_is_left_to_others() {
        let mut rng = Rng::new(7);
        let data: Vec<u8> = (0..600).map(|_| b'a' + rng.below(7) as u8).collect();
        let mut compressed = Vec::new();
        Encoder::new().encode(&data, 0, 15, Effort::of_level(5), &mut compressed);
        let mut decoder = Decoder::new();
        for room in 0..data.len() {
            assert_eq!(decoder.decompress(&compressed, &mut vec![0; room]), None);
        }
        assert_eq!(decoder.decompress(&compressed, &mut [0; 700]), Some(600));
        assert_eq!(decoder.decompress(&vec![0; MOST + 1], &mut [0; 700]), None);
    }

    #[test]
    fn forms_that_the_encoders_do_not_make() {
        let mut decoder = Decoder::new();
        let mut out = [0; 100];
        let mut run = |message: &[u8]| decoder.decompress(message, &mut out).map(|len| out[..len].to_vec());
        // RFC 7692 7.2.3.1: fixed codes; 7.2.3.6: an empty message.
        assert_eq!(run(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
        assert_eq!(run(&[0]).unwrap(), b"");
        // 7.2.3.3 and 7.2.3.4: stored, and the last block of a stream; nothing; two blocks, the last one cut off.
        assert_eq!(run(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]), None);
        assert_eq!(run(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), None);
        assert_eq!(run(&[]), None);
        assert_eq!(run(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07]), None);
        // A distance beyond the beginning.
        assert_eq!(run(&[0xf2, 0x00, 0x11, 0x00, 0x00]), None);
    }

    #[test]
    fn the_first_length_cannot_repeat_the_one_before() {
        /// A block with the literal 255, whose code is described after `first`, the first three lengths.
        fn message(first: &[(u32, usize)]) -> Vec<u8> {
            let precode = [2, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2_u32];
            // Codes as they are read: 0 is 00, 1 is 10, 16 is 01, 18 is 11.
            let zeros = |count: u32| [(0b11, 2), (count - 11, 7)];
            let head = [(0b100, 3), (0, 5), (0, 5), (14, 4)].into_iter();
            let all = head
                .chain(precode.map(|length| (length, 3)))
                .chain(first.iter().copied())
                .chain(zeros(138))
                .chain(zeros(114))
                // The lengths of 255, of the end and of a distance: 1.
                .chain([(0b10, 2); 3])
                // 255, the end, and the header of an empty stored block.
                .chain([(0, 1), (1, 1), (0, 3)]);
            let bits: Vec<u32> =
                all.flat_map(|(bits, count)| (0..count).map(move |n| bits >> n & 1)).collect();
            bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | *bit as u8)).collect()
        }

        let mut out = [0; 100];
        let good = message(&[(0b00, 2); 3]);
        assert_eq!(Decoder::new().decompress(&good, &mut out), Some(1));
        assert_eq!(out[0], 255);
        assert_eq!(by_zlib(&good, 100).unwrap(), [255]);
        let bad = message(&[(0b01, 2), (0, 2)]);
        assert_eq!(Decoder::new().decompress(&bad, &mut out), None);
        assert_eq!(by_zlib(&bad, 100), None);
    }
}
