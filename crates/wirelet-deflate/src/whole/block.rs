//! One block of deflated data (RFC 1951 3.2): stored, with fixed codes or with codes of its own, whatever is shortest.

use alloc::vec::Vec;

use super::huffman::{Code, Lengths, occurring};
use crate::alphabet::tables::{FIXED_LENGTHS, LITERAL_EXTRA_BITS, Length, distance_extra_bits};
use crate::alphabet::{
    DISTANCES, END, FIRST_LENGTH, FIXED_DISTANCE, LITERALS, LONGEST, LONGEST_PRECODE, MANY_ZEROS,
    PRECODE_ORDER, PRECODES, REPEAT, Symbol, ZEROS, precode_extra_bits,
};

/// A block of less input than this is never shorter with codes of its own, whose description alone has some 40 bytes.
const WORTH_OWN_CODES: usize = 64;
/// The longest stored block, bytes.
const LONGEST_STORED: usize = 65_535;

/// Literals, and the match that follows them; the last one of a block has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) literals: u32,
    /// Bytes; 0: there is no match.
    pub(super) length: u16,
    /// Bytes back, 1–32768; 0: there is no match.
    pub(super) distance: u16,
}

/// How often each symbol of a block occurs.
#[derive(Clone, Debug)]
pub(super) struct Frequencies {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Frequencies {
    pub(super) const fn new() -> Self {
        Self { literals: [0; LITERALS], distances: [0; DISTANCES] }
    }

    #[inline]
    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    #[inline]
    pub(super) fn a_match(&mut self, length: usize, distance: usize) {
        self.literals[FIRST_LENGTH + usize::from(Length::of(length).symbol)] += 1;
        self.distances[Symbol::of_distance(distance as u16).index] += 1;
    }
}

/// Appends a block, not the last one of its stream, with the literals of `data` and the matches of `sequences`.
pub(super) fn write(
    data: &[u8],
    sequences: &[Sequence],
    frequencies: &mut Frequencies,
    out: &mut BitWriter<'_>,
) {
    frequencies.literals[END] += 1;
    let (mut literals, mut distances) = ([0; LITERALS], [0; DISTANCES]);
    let literals = occurring(&frequencies.literals, &mut literals);
    let distances = occurring(&frequencies.distances, &mut distances);
    let fixed_bits = 3
        + weighted(literals, &frequencies.literals, |symbol| {
            FIXED_LENGTHS[symbol] + LITERAL_EXTRA_BITS[symbol]
        })
        + weighted(distances, &frequencies.distances, |symbol| FIXED_DISTANCE + distance_extra_bits(symbol));
    let own = (data.len() >= WORTH_OWN_CODES).then(|| Description::of(frequencies, literals, distances));
    let own_bits = own.as_ref().map_or(u64::MAX, |own| own.bits);
    let stored_bits = stored_bits(data.len());
    if stored_bits < fixed_bits.min(own_bits) {
        return write_stored(data, out);
    }
    match &own {
        Some(own) if own_bits < fixed_bits => {
            out.reserve(own_bits);
            own.write(out);
            write_sequences(data, sequences, &own.literals.codes(), &own.distances.codes(), out);
        }
        _ => {
            out.reserve(fixed_bits);
            // RFC 1951 3.2.3: not the last block, fixed codes.
            out.put(0b01 << 1, 3);
            write_sequences(data, sequences, &FIXED_CODES, &FIXED_DISTANCES, out);
        }
    }
}

fn write_sequences(
    data: &[u8],
    sequences: &[Sequence],
    literal_codes: &[Code; LITERALS],
    distance_codes: &[Code; DISTANCES],
    out: &mut BitWriter<'_>,
) {
    let mut rest = data;
    // What nothing else sees stays in registers.
    let (mut bits, place) = out.begin();
    for sequence in sequences {
        let (literals, after) = rest.split_at(sequence.literals as usize);
        let (threes, last) = literals.as_chunks::<3>();
        for three in threes {
            three.iter().for_each(|byte| bits.add_code(literal_codes[usize::from(*byte)]));
            bits.flush(place);
        }
        last.iter().for_each(|byte| bits.add_code(literal_codes[usize::from(*byte)]));
        rest = after;
        if sequence.length > 0 {
            write_match(*sequence, literal_codes, distance_codes, &mut bits, place);
            rest = &after[usize::from(sequence.length)..];
        }
    }
    // At most 7 + 15 + 15 + 15.
    bits.add_code(literal_codes[END]);
    bits.flush(place);
    out.bits = bits;
}

/// There are at most two literals before it that have not been flushed.
#[inline]
fn write_match(
    sequence: Sequence,
    literal_codes: &[Code; LITERALS],
    distance_codes: &[Code; DISTANCES],
    bits: &mut Bits,
    out: &mut [u8],
) {
    let length = Length::of(usize::from(sequence.length));
    // At most 7 + 15 + 15 + 15 + 5.
    bits.add_code(literal_codes[FIRST_LENGTH + usize::from(length.symbol)]);
    bits.add(u64::from(length.extra), length.extra_bits);
    bits.flush(out);
    let symbol = Symbol::of_distance(sequence.distance);
    // At most 7 + 15 + 13.
    bits.add_code(distance_codes[symbol.index]);
    bits.add(u64::from(symbol.extra), symbol.extra_bits);
    bits.flush(out);
}

/// RFC 1951 3.2.4.
fn write_stored(data: &[u8], out: &mut BitWriter<'_>) {
    for part in data.chunks(LONGEST_STORED) {
        out.reserve(0);
        out.put(0, 3);
        out.align();
        let len = part.len() as u16;
        out.bytes(&len.to_le_bytes());
        out.bytes(&(!len).to_le_bytes());
        out.bytes(part);
    }
}

/// Three bits, up to seven to the byte's end, and two lengths for each block.
fn stored_bits(len: usize) -> u64 {
    let blocks = len.div_ceil(LONGEST_STORED) as u64;
    blocks * 42 + 8 * len as u64
}

/// The description of a block's own codes (RFC 1951 3.2.7).
struct Description<'a> {
    literals: Lengths<'a, LITERALS>,
    distances: Lengths<'a, DISTANCES>,
    items: Items,
    precode: [u8; PRECODES],
    precode_codes: [Code; PRECODES],
    /// How many lengths of the precode are written.
    precode_count: usize,
    /// What the block has in bits.
    bits: u64,
}

impl<'a> Description<'a> {
    /// `literals` and `distances` are the symbols that occur.
    fn of(frequencies: &Frequencies, literals: &'a [u16], distances: &'a [u16]) -> Self {
        // Decompressors differ in what they think of a code without a symbol; one with a single symbol is legal.
        let distances = if distances.is_empty() { &[0] } else { distances };
        let literals = Lengths::of(literals, &frequencies.literals, LONGEST);
        let distances = Lengths::of(distances, &frequencies.distances, LONGEST);
        let items = Items::of(&literals, &distances);
        let mut symbols = [0; PRECODES];
        let symbols = occurring(&items.frequencies, &mut symbols);
        let precode = Lengths::of(symbols, &items.frequencies, LONGEST_PRECODE);
        let last = PRECODE_ORDER.iter().rposition(|symbol| precode.lengths[usize::from(*symbol)] > 0);
        let precode_count = last.map_or(4, |at| (at + 1).max(4));
        let bits = 3
            + 14
            + 3 * precode_count as u64
            + weighted(symbols, &items.frequencies, |symbol| {
                precode.lengths[symbol] + precode_extra_bits(symbol as u8)
            })
            + weighted(literals.symbols, &frequencies.literals, |symbol| {
                literals.lengths[symbol] + LITERAL_EXTRA_BITS[symbol]
            })
            + weighted(distances.symbols, &frequencies.distances, |symbol| {
                distances.lengths[symbol] + distance_extra_bits(symbol)
            });
        Self {
            precode: precode.lengths,
            precode_codes: precode.codes(),
            literals,
            distances,
            items,
            precode_count,
            bits,
        }
    }

    fn write(&self, out: &mut BitWriter<'_>) {
        // RFC 1951 3.2.3: not the last block, codes of its own.
        let counts = (self.items.literal_count - FIRST_LENGTH) as u64
            | (self.items.distance_count as u64 - 1) << 5
            | (self.precode_count as u64 - 4) << 10;
        let (mut bits, place) = out.begin();
        bits.add(0b10 << 1 | counts << 3, 17);
        for symbol in &PRECODE_ORDER[..self.precode_count] {
            bits.add(u64::from(self.precode[usize::from(*symbol)]), 3);
            bits.flush(place);
        }
        for (symbol, extra) in &self.items.items[..self.items.count] {
            bits.add_code(self.precode_codes[usize::from(*symbol)]);
            bits.add(u64::from(*extra), precode_extra_bits(*symbol));
            bits.flush(place);
        }
        out.bits = bits;
    }
}

/// The lengths of both alphabets' codes, one behind the other, as they are written.
struct Items {
    /// Symbols of the precode with their extra bits.
    items: [(u8, u8); LITERALS + DISTANCES],
    count: usize,
    /// How often each symbol of the precode occurs.
    frequencies: [u32; PRECODES],
    /// How many lengths of each alphabet are written.
    literal_count: usize,
    distance_count: usize,
}

impl Items {
    fn of(literals: &Lengths<'_, LITERALS>, distances: &Lengths<'_, DISTANCES>) -> Self {
        let end = |symbols: &[u16]| symbols.last().map_or(0, |last| usize::from(*last) + 1);
        let literal_count = end(literals.symbols);
        let mut this = Self {
            items: [(0, 0); LITERALS + DISTANCES],
            count: 0,
            frequencies: [0; PRECODES],
            literal_count,
            distance_count: end(distances.symbols),
        };
        let literals = literals.iter().map(|(symbol, len)| (usize::from(symbol), len));
        let distances = distances.iter().map(|(symbol, len)| (usize::from(symbol) + literal_count, len));
        let (mut end, mut run, mut run_len) = (0, 0, 0);
        for (at, len) in literals.chain(distances) {
            if at == end && len == run_len {
                run += 1;
            } else {
                this.run(run_len, run);
                this.zeros(at - end);
                (run, run_len) = (1, len);
            }
            end = at + 1;
        }
        this.run(run_len, run);
        this
    }

    /// `count` symbols without a code.
    fn zeros(&mut self, mut count: usize) {
        while count >= 11 {
            let zeros = count.min(138);
            self.item(MANY_ZEROS, zeros - 11);
            count -= zeros;
        }
        if count >= 3 {
            self.item(ZEROS, count - 3);
        } else {
            (0..count).for_each(|_| self.item(0, 0));
        }
    }

    /// `count` symbols with codes of this length.
    fn run(&mut self, len: u8, count: usize) {
        let Some(mut count) = count.checked_sub(1) else { return };
        self.item(len, 0);
        while count >= 3 {
            let repeated = count.min(6);
            self.item(REPEAT, repeated - 3);
            count -= repeated;
        }
        (0..count).for_each(|_| self.item(len, 0));
    }

    fn item(&mut self, symbol: u8, extra: usize) {
        self.items[self.count] = (symbol, extra as u8);
        self.frequencies[usize::from(symbol)] += 1;
        self.count += 1;
    }
}

/// How many bits the symbols have together, which occur as often as `frequencies` says and have `bits` each. A block is too
/// short for 32 bits to overflow.
#[inline]
fn weighted<const N: usize>(symbols: &[u16], frequencies: &[u32; N], bits: impl Fn(usize) -> u8) -> u64 {
    let one = |symbol: usize| frequencies[symbol].wrapping_mul(u32::from(bits(symbol)));
    u64::from(symbols.iter().map(|symbol| one(usize::from(*symbol))).fold(0, u32::wrapping_add))
}

static FIXED_CODES: [Code; LITERALS] = {
    let mut codes = [Code { bits: 0, len: 0 }; LITERALS];
    let mut symbol = 0;
    while symbol < LITERALS {
        let value = match symbol {
            0..144 => 0x30 + symbol,
            144..256 => 0x190 + symbol - 144,
            256..280 => symbol - 256,
            _ => 0xc0 + symbol - 280,
        };
        let len = FIXED_LENGTHS[symbol];
        codes[symbol] = Code { bits: (value as u16).reverse_bits() >> (16 - len), len };
        symbol += 1;
    }
    codes
};

static FIXED_DISTANCES: [Code; DISTANCES] = {
    let mut codes = [Code { bits: 0, len: FIXED_DISTANCE }; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        codes[symbol].bits = (symbol as u16).reverse_bits() >> 11;
        symbol += 1;
    }
    codes
};

/// Bits that make no whole byte yet, the first one lowest (RFC 1951 3.1.1), and where they will be.
#[derive(Clone, Copy, Debug)]
struct Bits {
    /// Whole bytes before them.
    at: usize,
    bits: u64,
    count: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of `bits`; the others are zero. There may be 64 in all.
    #[inline]
    fn add(&mut self, bits: u64, count: u8) {
        self.bits |= bits << self.count;
        self.count += u32::from(count);
    }

    #[inline]
    fn add_code(&mut self, code: Code) {
        self.add(u64::from(code.bits), code.len);
    }

    /// Leaves at most seven bits, of what may be 63. There is room in `out` for eight bytes.
    #[inline]
    fn flush(&mut self, out: &mut [u8]) {
        if let Some(place) = out.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = self.bits.to_le_bytes();
        }
        self.at += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }
}

/// Appends bits to bytes.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    /// Longer than what has been written.
    out: &'a mut Vec<u8>,
    bits: Bits,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let bits = Bits { at: out.len(), bits: 0, count: 0 };
        let mut this = Self { out, bits };
        this.reserve(0);
        this
    }

    /// `bits` more will be written, and a header.
    fn reserve(&mut self, bits: u64) {
        self.out.resize(self.bits.at + (bits / 8) as usize + 16, 0);
    }

    /// What is to be written to, and where. What comes of the bits has to be put back.
    fn begin(&mut self) -> (Bits, &mut [u8]) {
        (self.bits, self.out)
    }

    /// Appends the lowest `count` bits of `bits`, at most 48; the others are zero. There is room for them.
    fn put(&mut self, bits: u64, count: u8) {
        self.bits.add(bits, count);
        self.bits.flush(self.out);
    }

    /// Goes on at the next whole byte.
    fn align(&mut self) {
        self.put(0, (8 - self.bits.count as u8) % 8);
    }

    /// Appends whole bytes, where whole bytes have been written.
    fn bytes(&mut self, bytes: &[u8]) {
        self.out.truncate(self.bits.at);
        self.out.extend_from_slice(bytes);
        self.bits.at = self.out.len();
    }

    /// Ends with the beginning of an empty stored block, up to the next whole byte: with `00 00 ff ff` behind it the block
    /// is complete (RFC 7692 7.2.1).
    pub(super) fn finish(mut self) {
        self.reserve(0);
        self.put(0, 3);
        self.align();
        self.out.truncate(self.bits.at);
    }
}
