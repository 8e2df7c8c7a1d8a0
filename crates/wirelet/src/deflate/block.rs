//! One block of deflated data (RFC 1951 3.2): stored, with fixed codes or with codes of its own, whatever is shortest.

use super::huffman::{Code, DISTANCES, LITERALS, LONGEST, LONGEST_PRECODE, PRECODES, code_lengths, codes};

/// The longest match, bytes.
pub(super) const LONGEST_MATCH: usize = 258;
/// The shortest match, bytes.
pub(super) const SHORTEST_MATCH: usize = 3;
/// The symbol that ends a block.
const END: usize = 256;
/// The symbol of the shortest match.
const FIRST_LENGTH: usize = 257;
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
        self.distances[distance_symbol(distance as u32)] += 1;
    }
}

/// Appends a block, not the last one of its stream, with the literals of `data` and the matches of `sequences`.
pub(super) fn write(
    data: &[u8],
    sequences: &[Sequence],
    mut frequencies: Frequencies,
    out: &mut BitWriter<'_>,
) {
    frequencies.literals[END] += 1;
    let fixed_bits = 3 + extra_bits(&frequencies) + coded_bits(&frequencies, &FIXED_LENGTHS, &[5; DISTANCES]);
    let own = (data.len() >= WORTH_OWN_CODES).then(|| Description::of(&frequencies));
    let own_bits = own.as_ref().map_or(u64::MAX, |own| own.bits + extra_bits(&frequencies));
    let stored_bits = stored_bits(data.len());
    if stored_bits < fixed_bits.min(own_bits) {
        return write_stored(data, out);
    }
    match own.filter(|_| own_bits < fixed_bits) {
        Some(own) => {
            out.reserve(own_bits);
            own.write(out);
            write_sequences(data, sequences, &codes(&own.literals), &codes(&own.distances), out);
        }
        None => {
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
    for sequence in sequences {
        let (literals, after) = rest.split_at(sequence.literals as usize);
        let (threes, last) = literals.as_chunks::<3>();
        for three in threes {
            let [a, b, c] = three.map(|byte| literal_codes[usize::from(byte)]);
            let bits = u64::from(a.bits) | u64::from(b.bits) << a.len | u64::from(c.bits) << (a.len + b.len);
            out.put(bits, a.len + b.len + c.len);
        }
        for byte in last {
            out.put_code(literal_codes[usize::from(*byte)]);
        }
        rest = after;
        if sequence.length > 0 {
            write_match(*sequence, literal_codes, distance_codes, out);
            rest = &after[usize::from(sequence.length)..];
        }
    }
    out.put_code(literal_codes[END]);
}

#[inline]
fn write_match(
    sequence: Sequence,
    literal_codes: &[Code; LITERALS],
    distance_codes: &[Code; DISTANCES],
    out: &mut BitWriter<'_>,
) {
    let length = Length::of(usize::from(sequence.length));
    let code = literal_codes[FIRST_LENGTH + usize::from(length.symbol)];
    let mut bits = u64::from(code.bits) | u64::from(length.extra) << code.len;
    let mut count = code.len + length.extra_bits;
    let distance = u32::from(sequence.distance);
    let symbol = distance_symbol(distance);
    let code = distance_codes[symbol];
    bits |= u64::from(code.bits) << count;
    count += code.len;
    bits |= u64::from(distance - u32::from(DISTANCE_BASES[symbol])) << count;
    // At most 15 + 5 + 15 + 13.
    out.put(bits, count + distance_extra_bits(symbol));
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
struct Description {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
    /// How many lengths of each alphabet are written.
    literal_count: usize,
    distance_count: usize,
    /// Symbols of the precode with their extra bits.
    items: [(u8, u8); LITERALS + DISTANCES],
    item_count: usize,
    precode: [u8; PRECODES],
    precode_count: usize,
    /// What the block has in bits, without the extra bits of its matches.
    bits: u64,
}

/// The order in which the lengths of the precode are written.
const PRECODE_ORDER: [u8; PRECODES] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeats the length before 3–6 times.
const REPEAT: u8 = 16;
/// 3–10 times no code.
const ZEROS: u8 = 17;
/// 11–138 times no code.
const MANY_ZEROS: u8 = 18;

impl Description {
    fn of(frequencies: &Frequencies) -> Self {
        let literals = code_lengths(&frequencies.literals, LONGEST);
        let mut distances = code_lengths(&frequencies.distances, LONGEST);
        if distances == [0; DISTANCES] {
            // Decompressors differ in what they think of a code without a symbol; one with a single symbol is legal.
            distances[0] = 1;
        }
        let count = |lengths: &[u8], least| {
            lengths.iter().rposition(|len| *len > 0).map_or(least, |at| (at + 1).max(least))
        };
        let mut this = Self {
            literal_count: count(&literals, FIRST_LENGTH),
            distance_count: count(&distances, 1),
            literals,
            distances,
            items: [(0, 0); LITERALS + DISTANCES],
            item_count: 0,
            precode: [0; PRECODES],
            precode_count: 0,
            bits: 0,
        };
        let mut all = [0; LITERALS + DISTANCES];
        all[..this.literal_count].copy_from_slice(&literals[..this.literal_count]);
        let count = this.literal_count + this.distance_count;
        all[this.literal_count..count].copy_from_slice(&distances[..this.distance_count]);
        all[..count].chunk_by(|a, b| a == b).for_each(|run| this.run(run[0], run.len()));
        this.choose_precode();
        this.bits += coded_bits(frequencies, &this.literals, &this.distances);
        this
    }

    fn run(&mut self, len: u8, mut count: usize) {
        if len == 0 {
            while count >= 11 {
                let zeros = count.min(138);
                self.item(MANY_ZEROS, zeros - 11);
                count -= zeros;
            }
            if count >= 3 {
                self.item(ZEROS, count - 3);
                count = 0;
            }
        } else {
            self.item(len, 0);
            count -= 1;
            while count >= 3 {
                let repeated = count.min(6);
                self.item(REPEAT, repeated - 3);
                count -= repeated;
            }
        }
        (0..count).for_each(|_| self.item(len, 0));
    }

    fn item(&mut self, symbol: u8, extra: usize) {
        self.items[self.item_count] = (symbol, extra as u8);
        self.item_count += 1;
    }

    fn choose_precode(&mut self) {
        let mut frequencies = [0; PRECODES];
        for (symbol, _) in &self.items[..self.item_count] {
            frequencies[usize::from(*symbol)] += 1;
        }
        self.precode = code_lengths(&frequencies, LONGEST_PRECODE);
        let last = PRECODE_ORDER.iter().rposition(|symbol| self.precode[usize::from(*symbol)] > 0);
        self.precode_count = last.map_or(4, |at| (at + 1).max(4));
        let coded = |(symbol, count): (usize, &u32)| {
            u64::from(*count) * u64::from(self.precode[symbol] + precode_extra_bits(symbol as u8))
        };
        let items: u64 = frequencies.iter().enumerate().map(coded).sum();
        self.bits = 3 + 14 + 3 * self.precode_count as u64 + items;
    }

    fn write(&self, out: &mut BitWriter<'_>) {
        // RFC 1951 3.2.3: not the last block, codes of its own.
        let counts = (self.literal_count - FIRST_LENGTH) as u64
            | (self.distance_count as u64 - 1) << 5
            | (self.precode_count as u64 - 4) << 10;
        out.put(0b10 << 1 | counts << 3, 17);
        for symbol in &PRECODE_ORDER[..self.precode_count] {
            out.put(u64::from(self.precode[usize::from(*symbol)]), 3);
        }
        let codes = codes(&self.precode);
        for (symbol, extra) in &self.items[..self.item_count] {
            let code = codes[usize::from(*symbol)];
            let bits = u64::from(code.bits) | u64::from(*extra) << code.len;
            out.put(bits, code.len + precode_extra_bits(*symbol));
        }
    }
}

const fn precode_extra_bits(symbol: u8) -> u8 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// The bits of all symbols, without extra bits. A block is too short for 32 bits to overflow.
fn coded_bits(frequencies: &Frequencies, literals: &[u8; LITERALS], distances: &[u8; DISTANCES]) -> u64 {
    u64::from(weighted(&frequencies.literals, literals) + weighted(&frequencies.distances, distances))
}

/// The extra bits of all matches.
fn extra_bits(frequencies: &Frequencies) -> u64 {
    let lengths = frequencies.literals.last_chunk().map_or(0, |last| weighted(last, &LENGTH_EXTRA_BITS));
    u64::from(lengths + weighted(&frequencies.distances, &DISTANCE_EXTRA_BITS))
}

fn weighted<const N: usize>(counts: &[u32; N], bits: &[u8; N]) -> u32 {
    counts
        .iter()
        .zip(bits)
        .map(|(count, bits)| count.wrapping_mul(u32::from(*bits)))
        .fold(0, u32::wrapping_add)
}

/// The symbol and the extra bits of a match's length (RFC 1951 3.2.5).
#[derive(Clone, Copy)]
struct Length {
    /// From [`FIRST_LENGTH`] on.
    symbol: u8,
    extra_bits: u8,
    extra: u8,
}

impl Length {
    #[inline]
    const fn of(length: usize) -> Self {
        LENGTHS[length - SHORTEST_MATCH]
    }
}

const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_EXTRA_BITS: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

static DISTANCE_EXTRA_BITS: [u8; DISTANCES] = {
    let mut bits = [0; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        bits[symbol] = distance_extra_bits(symbol);
        symbol += 1;
    }
    bits
};

static LENGTHS: [Length; 256] = {
    let mut lengths = [Length { symbol: 0, extra_bits: 0, extra: 0 }; 256];
    let mut at = 0;
    while at < 256 {
        let length = (at + SHORTEST_MATCH) as u16;
        let mut symbol = LENGTH_BASES.len() - 1;
        while LENGTH_BASES[symbol] > length {
            symbol -= 1;
        }
        lengths[at] = Length {
            symbol: symbol as u8,
            extra_bits: LENGTH_EXTRA_BITS[symbol],
            extra: (length - LENGTH_BASES[symbol]) as u8,
        };
        at += 1;
    }
    lengths
};

static DISTANCE_BASES: [u16; DISTANCES] = {
    let mut bases = [1; DISTANCES];
    let mut symbol = 1;
    while symbol < DISTANCES {
        bases[symbol] = bases[symbol - 1] + (1 << distance_extra_bits(symbol - 1));
        symbol += 1;
    }
    bases
};

/// The symbol of a distance, 1–32768 (RFC 1951 3.2.5).
#[inline]
const fn distance_symbol(distance: u32) -> usize {
    let before = distance - 1;
    if before < 4 {
        return before as usize;
    }
    let top = before.ilog2();
    (2 * top + (before >> (top - 1) & 1)) as usize
}

#[inline]
const fn distance_extra_bits(symbol: usize) -> u8 {
    if symbol < 4 { 0 } else { symbol as u8 / 2 - 1 }
}

/// RFC 1951 3.2.6.
static FIXED_LENGTHS: [u8; LITERALS] = {
    let mut lengths = [8; LITERALS];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};

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
    let mut codes = [Code { bits: 0, len: 5 }; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        codes[symbol].bits = (symbol as u16).reverse_bits() >> 11;
        symbol += 1;
    }
    codes
};

/// Appends bits to bytes, the first one lowest (RFC 1951 3.1.1).
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    /// Longer than what has been written.
    out: &'a mut Vec<u8>,
    /// Whole bytes that have been written.
    at: usize,
    /// Bits that make no whole byte yet.
    bits: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let at = out.len();
        let mut this = Self { out, at, bits: 0, count: 0 };
        this.reserve(0);
        this
    }

    /// `bits` more will be written, and a header.
    fn reserve(&mut self, bits: u64) {
        self.out.resize(self.at + (bits / 8) as usize + 16, 0);
    }

    /// Appends the lowest `count` bits of `bits`, at most 48; the others are zero. There is room for them.
    #[inline]
    fn put(&mut self, bits: u64, count: u8) {
        self.bits |= bits << self.count;
        self.count += u32::from(count);
        if let Some(place) = self.out.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = self.bits.to_le_bytes();
        }
        self.at += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    #[inline]
    fn put_code(&mut self, code: Code) {
        self.put(u64::from(code.bits), code.len);
    }

    /// Goes on at the next whole byte.
    fn align(&mut self) {
        self.put(0, (8 - self.count as u8) % 8);
    }

    /// Appends whole bytes, where whole bytes have been written.
    fn bytes(&mut self, bytes: &[u8]) {
        self.out.truncate(self.at);
        self.out.extend_from_slice(bytes);
        self.at = self.out.len();
    }

    /// Ends with the beginning of an empty stored block, up to the next whole byte: with `00 00 ff ff` behind it the block
    /// is complete (RFC 7692 7.2.1).
    pub(super) fn finish(mut self) {
        self.reserve(0);
        self.put(0, 3);
        self.align();
        self.out.truncate(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_distances_and_lengths() {
        // RFC 1951 3.2.5: the first and the last of some rows.
        for (distance, symbol, base, extra) in [
            (1, 0, 1, 0),
            (4, 3, 4, 0),
            (5, 4, 5, 1),
            (6, 4, 5, 1),
            (193, 15, 193, 6),
            (32_768, 29, 24_577, 13),
        ] {
            assert_eq!(distance_symbol(distance), symbol);
            assert_eq!(u32::from(DISTANCE_BASES[symbol]), base);
            assert_eq!(distance_extra_bits(symbol), extra);
        }
        for (length, symbol, bits, extra) in [(3, 0, 0, 0), (12, 8, 1, 1), (257, 27, 5, 30), (258, 28, 0, 0)]
        {
            let found = Length::of(length);
            assert_eq!((found.symbol, found.extra_bits, found.extra), (symbol, bits, extra));
        }
    }
}
