//! The alphabets of deflate: what their symbols stand for (RFC 1951 3.2.5, 3.2.7).

/// Symbols of the literal/length alphabet.
pub(super) const LITERALS: usize = 286;
/// Symbols of the distance alphabet.
pub(super) const DISTANCES: usize = 30;
/// Symbols of the alphabet that code lengths are written in.
pub(super) const PRECODES: usize = 19;
/// Lengths beyond these do not exist (RFC 1951 3.2.7).
pub(super) const LONGEST: usize = 15;
pub(super) const LONGEST_PRECODE: usize = 7;

/// The longest match, bytes.
pub(super) const LONGEST_MATCH: usize = 258;
/// The shortest match, bytes.
pub(super) const SHORTEST_MATCH: usize = 3;
/// The symbol that ends a block.
pub(super) const END: usize = 256;
/// The symbol of the shortest match.
pub(super) const FIRST_LENGTH: usize = 257;

/// The order in which the lengths of the precode are written.
pub(super) const PRECODE_ORDER: [u8; PRECODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeats the length before 3–6 times.
pub(super) const REPEAT: u8 = 16;
/// 3–10 times no code.
pub(super) const ZEROS: u8 = 17;
/// 11–138 times no code.
pub(super) const MANY_ZEROS: u8 = 18;

/// Of a symbol of the alphabet that code lengths are written in.
pub(super) const fn precode_extra_bits(symbol: u8) -> u8 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// The symbol and the extra bits of a match's length (RFC 1951 3.2.5).
#[derive(Clone, Copy)]
pub(super) struct Length {
    /// From [`FIRST_LENGTH`] on.
    pub(super) symbol: u8,
    pub(super) extra_bits: u8,
    pub(super) extra: u8,
}

impl Length {
    /// Of 3–258 bytes.
    #[inline]
    pub(super) const fn of(length: usize) -> Self {
        LENGTHS[length - SHORTEST_MATCH]
    }
}

/// The shortest match of each symbol from [`FIRST_LENGTH`] on.
pub(super) const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_EXTRA_BITS: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

pub(super) static LITERAL_EXTRA_BITS: [u8; LITERALS] = {
    let mut bits = [0; LITERALS];
    let mut symbol = FIRST_LENGTH;
    while symbol < LITERALS {
        bits[symbol] = LENGTH_EXTRA_BITS[symbol - FIRST_LENGTH];
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

/// The shortest distance of each symbol.
pub(super) static DISTANCE_BASES: [u16; DISTANCES] = {
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
pub(super) const fn distance_symbol(distance: u32) -> usize {
    let before = distance - 1;
    if before < 4 {
        return before as usize;
    }
    let top = before.ilog2();
    (2 * top + (before >> (top - 1) & 1)) as usize
}

#[inline]
pub(super) const fn distance_extra_bits(symbol: usize) -> u8 {
    if symbol < 4 { 0 } else { symbol as u8 / 2 - 1 }
}

/// The lengths of the fixed code for literals and lengths (RFC 1951 3.2.6). The two last symbols only take part in the code.
pub(super) static FIXED_LENGTHS: [u8; LITERALS + 2] = {
    let mut lengths = [8; LITERALS + 2];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};

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
