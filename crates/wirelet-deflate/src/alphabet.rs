//! The alphabets of deflate: what their symbols stand for (RFC 1951 3.2.5, 3.2.7).
//!
//! [`Symbol`] has the rule. Where memory is dear it is applied to each match; where speed matters there are tables that are made by
//! it when this is compiled.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tables are made when this is compiled; the rest says what it takes"
)]

/// Symbols of the literal/length alphabet.
pub(crate) const LITERALS: usize = 286;
/// Symbols that have a place in the fixed code for those: the two last never occur.
pub(crate) const FIXED_LITERALS: usize = 288;
/// Symbols of the distance alphabet.
pub(crate) const DISTANCES: usize = 30;
/// Symbols of the alphabet that code lengths are written in.
pub(crate) const PRECODES: usize = 19;
/// Lengths beyond these do not exist (RFC 1951 3.2.7).
pub(crate) const LONGEST: usize = 15;
pub(crate) const LONGEST_PRECODE: usize = 7;

/// The longest match, bytes.
pub(crate) const LONGEST_MATCH: usize = 258;
/// The shortest match, bytes.
pub(crate) const SHORTEST_MATCH: usize = 3;
/// The symbol that ends a block.
pub(crate) const END: usize = 256;
/// The symbol of the shortest match.
pub(crate) const FIRST_LENGTH: usize = 257;

/// The order in which the lengths of the precode are written.
pub(crate) const PRECODE_ORDER: [u8; PRECODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeats the length before 3–6 times.
pub(crate) const REPEAT: u8 = 16;
/// 3–10 times no code.
pub(crate) const ZEROS: u8 = 17;
/// 11–138 times no code.
pub(crate) const MANY_ZEROS: u8 = 18;

/// Of a symbol of the alphabet that code lengths are written in.
pub(crate) const fn precode_extra_bits(symbol: u8) -> u8 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// A symbol and the extra bits behind its code (RFC 1951 3.2.5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    pub(crate) index: usize,
    pub(crate) extra_bits: u8,
    pub(crate) extra: u16,
}

impl Symbol {
    /// Of a match's length, 3–258 bytes.
    #[inline(always)]
    pub(crate) const fn of_length(length: u16) -> Self {
        if length == LONGEST_MATCH as u16 {
            // The one length outside of the pattern.
            return Self { index: LITERALS - 1, extra_bits: 0, extra: 0 };
        }
        let found = scaled(length.wrapping_sub(SHORTEST_MATCH as u16), 2);
        Self { index: found.index.wrapping_add(FIRST_LENGTH), ..found }
    }

    /// Of a distance, 1–32768 bytes.
    #[inline(always)]
    pub(crate) const fn of_distance(distance: u16) -> Self {
        scaled(distance.wrapping_sub(1), 1)
    }
}

/// Symbols in groups of 2^`group_bits`, whose extra bits are one more in each group from the third on.
///
/// Out of line where memory is dear: inlined wherever it is used, it would take another KiB of flash.
#[cfg_attr(not(feature = "alloc"), inline(never))]
#[cfg_attr(feature = "alloc", inline)]
const fn scaled(value: u16, group_bits: u16) -> Symbol {
    let significant = 16u16.wrapping_sub(value.leading_zeros() as u16);
    let extra_bits = significant.saturating_sub(group_bits.wrapping_add(1));
    let upper = value.wrapping_shr(extra_bits as u32);
    let index = extra_bits.wrapping_shl(group_bits as u32).wrapping_add(upper);
    let extra = value & !u16::MAX.wrapping_shl(extra_bits as u32);
    Symbol { index: index as usize, extra_bits: extra_bits as u8, extra }
}

/// RFC 1951 3.2.6: the length of a code for a literal or a length in the fixed code, bits.
pub(crate) const fn fixed_length(symbol: usize) -> u8 {
    match symbol {
        0..=143 => 8,
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    }
}

/// RFC 1951 3.2.6: the length of every code for distances in the fixed code, bits.
pub(crate) const FIXED_DISTANCE: u8 = 5;

/// What is looked up where speed matters.
#[cfg(feature = "alloc")]
pub(crate) mod tables {
    use super::{
        DISTANCES, FIRST_LENGTH, FIXED_LITERALS, LITERALS, LONGEST_MATCH, SHORTEST_MATCH, Symbol,
        fixed_length,
    };

    /// Symbols of lengths.
    const LENGTHS: usize = LITERALS - FIRST_LENGTH;

    /// [`Symbol::of_length`] in little memory.
    #[derive(Clone, Copy)]
    pub(crate) struct Length {
        /// From [`FIRST_LENGTH`] on.
        pub(crate) symbol: u8,
        pub(crate) extra_bits: u8,
        pub(crate) extra: u8,
    }

    impl Length {
        /// Of 3–258 bytes.
        #[inline]
        pub(crate) const fn of(length: usize) -> Self {
            BY_LENGTH[length - SHORTEST_MATCH]
        }
    }

    static BY_LENGTH: [Length; 256] = {
        let mut lengths = [Length { symbol: 0, extra_bits: 0, extra: 0 }; 256];
        let mut at = 0;
        while at < 256 {
            let found = Symbol::of_length((at + SHORTEST_MATCH) as u16);
            lengths[at] = Length {
                symbol: (found.index - FIRST_LENGTH) as u8,
                extra_bits: found.extra_bits,
                extra: found.extra as u8,
            };
            at += 1;
        }
        lengths
    };

    /// The shortest match of each symbol from [`FIRST_LENGTH`] on.
    pub(crate) const LENGTH_BASES: [u16; LENGTHS] = {
        let mut bases = [0; LENGTHS];
        let mut length = LONGEST_MATCH;
        while length >= SHORTEST_MATCH {
            bases[Symbol::of_length(length as u16).index - FIRST_LENGTH] = length as u16;
            length -= 1;
        }
        bases
    };

    pub(crate) static LITERAL_EXTRA_BITS: [u8; LITERALS] = {
        let mut bits = [0; LITERALS];
        let mut symbol = FIRST_LENGTH;
        while symbol < LITERALS {
            bits[symbol] = Symbol::of_length(LENGTH_BASES[symbol - FIRST_LENGTH]).extra_bits;
            symbol += 1;
        }
        bits
    };

    /// The shortest distance of each symbol.
    pub(crate) static DISTANCE_BASES: [u16; DISTANCES] = {
        let mut bases = [1; DISTANCES];
        let mut symbol = 1;
        while symbol < DISTANCES {
            bases[symbol] = bases[symbol - 1] + (1 << distance_extra_bits(symbol - 1));
            symbol += 1;
        }
        bases
    };

    #[inline]
    pub(crate) const fn distance_extra_bits(symbol: usize) -> u8 {
        if symbol < 4 { 0 } else { symbol as u8 / 2 - 1 }
    }

    /// The lengths of the fixed code for literals and lengths.
    pub(crate) static FIXED_LENGTHS: [u8; FIXED_LITERALS] = {
        let mut lengths = [0; FIXED_LITERALS];
        let mut symbol = 0;
        while symbol < FIXED_LITERALS {
            lengths[symbol] = fixed_length(symbol);
            symbol += 1;
        }
        lengths
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_distances_and_lengths() {
        // RFC 1951 3.2.5: the first and the last of some rows.
        for (distance, symbol, bits, extra) in [
            (1, 0, 0, 0),
            (4, 3, 0, 0),
            (5, 4, 1, 0),
            (6, 4, 1, 1),
            (193, 15, 6, 0),
            (24_577, 29, 13, 0),
            (32_768, 29, 13, 8191),
        ] {
            let found = Symbol::of_distance(distance);
            assert_eq!((found.index, found.extra_bits, found.extra), (symbol, bits, extra));
        }
        for (length, symbol, bits, extra) in [
            (3, 257, 0, 0),
            (10, 264, 0, 0),
            (12, 265, 1, 1),
            (131, 281, 5, 0),
            (257, 284, 5, 30),
            (258, 285, 0, 0),
        ] {
            let found = Symbol::of_length(length);
            assert_eq!((found.index, found.extra_bits, found.extra), (symbol, bits, extra));
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn tables_say_what_the_rule_says() {
        use super::tables::*;

        for distance in 1..=32_768u16 {
            let found = Symbol::of_distance(distance);
            assert_eq!(DISTANCE_BASES[found.index] + found.extra, distance);
            assert_eq!(distance_extra_bits(found.index), found.extra_bits);
        }
        for length in SHORTEST_MATCH..=LONGEST_MATCH {
            let (found, in_table) = (Symbol::of_length(length as u16), Length::of(length));
            assert_eq!(usize::from(LENGTH_BASES[found.index - FIRST_LENGTH] + found.extra), length);
            assert_eq!(LITERAL_EXTRA_BITS[found.index], found.extra_bits);
            assert_eq!(usize::from(in_table.symbol) + FIRST_LENGTH, found.index);
            assert_eq!((in_table.extra_bits, u16::from(in_table.extra)), (found.extra_bits, found.extra));
        }
    }
}
