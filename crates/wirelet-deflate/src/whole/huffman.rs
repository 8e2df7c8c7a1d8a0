//! Huffman codes for a block: code lengths of given frequencies, and canonical codes (RFC 1951 3.2.2).

use crate::alphabet::LONGEST;
use crate::huffman::{self, Histogram, Tree, limit};

/// Symbols that are looked at together.
const PART: usize = 16;
/// Symbols that occur less often than this are sorted by counting.
const COUNTED: usize = 64;

/// A code word as it is written, its first bit lowest, and its length in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) len: u8,
}

/// A prefix code.
#[derive(Clone, Debug)]
pub(super) struct Lengths<'a, const N: usize> {
    /// Of each symbol's code, bits; 0: it has none.
    pub(super) lengths: [u8; N],
    /// How many codes have each length.
    counts: Histogram,
    /// The symbols that have a code, in their order.
    pub(super) symbols: &'a [u16],
}

impl<'a, const N: usize> Lengths<'a, N> {
    /// An optimal prefix code for symbols that occur as often as `frequencies` says, with lengths of at most `longest` bits
    /// (nearly optimal where the limit bites). `symbols` are those that occur, in their order; no other has a code. A single
    /// one gets one bit.
    pub(super) fn of(symbols: &'a [u16], frequencies: &[u32; N], longest: usize) -> Self {
        let mut this = Self { lengths: [0; N], counts: [0; LONGEST + 1], symbols };
        let mut sorted = [Leaf::default(); N];
        match sort(symbols, frequencies, &mut sorted) {
            [] => {}
            [only] => {
                this.lengths[usize::from(only.symbol)] = 1;
                this.counts[1] = 1;
            }
            leaves => {
                this.counts = huffman::depths(&mut Arrays::<N>::of(leaves), leaves.len());
                limit(&mut this.counts, longest);
                // The rarest symbols have the longest codes.
                let mut leaves = leaves.iter();
                for len in (1..=longest).rev() {
                    for leaf in leaves.by_ref().take(usize::from(this.counts[len])) {
                        this.lengths[usize::from(leaf.symbol)] = len as u8;
                    }
                }
            }
        }
        this
    }

    /// The symbols that have a code, with its length.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u8)> {
        self.symbols.iter().map(|symbol| (*symbol, self.lengths[usize::from(*symbol)]))
    }

    /// The canonical codes of the lengths (RFC 1951 3.2.2).
    pub(super) fn codes(&self) -> [Code; N] {
        let mut codes = [Code::default(); N];
        let symbols = self.iter().map(|(symbol, len)| (usize::from(symbol), len));
        huffman::number(&self.counts, symbols, |symbol, code, len| {
            codes[symbol] = Code { bits: (u32::from(reversed(code)) >> (16 - len)) as u16, len };
        });
        codes
    }
}

/// The symbols that occur, in their order, at the front of `symbols`. Which they are cannot be predicted: there is no
/// branch for it. But large parts of the alphabet mostly are not used at all.
pub(super) fn occurring<'a, const N: usize>(frequencies: &[u32; N], symbols: &'a mut [u16; N]) -> &'a [u16] {
    let mut count = 0;
    for (part, first) in frequencies.chunks(PART).zip((0..).step_by(PART)) {
        if part.iter().fold(0, |all, frequency| all | frequency) == 0 {
            continue;
        }
        for (symbol, frequency) in (first..).zip(part) {
            symbols[count.min(N - 1)] = symbol;
            count += usize::from(*frequency > 0);
        }
    }
    &symbols[..count]
}

/// The bits of `value` from the last to the first.
#[inline]
pub(super) const fn reversed(value: u16) -> u16 {
    let [low, high] = value.to_le_bytes();
    u16::from_le_bytes([REVERSED[high as usize], REVERSED[low as usize]])
}

static REVERSED: [u8; 256] = {
    let mut reversed = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        reversed[byte] = (byte as u8).reverse_bits();
        byte += 1;
    }
    reversed
};

#[derive(Clone, Copy, Default)]
struct Leaf {
    frequency: u32,
    symbol: u16,
}

/// Fills the front of `sorted` with the symbols, the rarest first.
fn sort<'a, const N: usize>(
    symbols: &[u16],
    frequencies: &[u32; N],
    sorted: &'a mut [Leaf; N],
) -> &'a [Leaf] {
    let sorted = &mut sorted[..symbols.len()];
    let mut at = [0_u16; COUNTED + 1];
    let class = |frequency: u32| (frequency as usize).min(COUNTED - 1);
    symbols.iter().for_each(|symbol| at[class(frequencies[usize::from(*symbol)]) + 1] += 1);
    for n in 1..COUNTED {
        at[n + 1] += at[n];
    }
    let often = usize::from(at[COUNTED - 1]);
    for &symbol in symbols {
        let frequency = frequencies[usize::from(symbol)];
        let place = &mut at[class(frequency)];
        sorted[usize::from(*place)] = Leaf { frequency, symbol };
        *place += 1;
    }
    sorted[often..].sort_unstable_by_key(|leaf| leaf.frequency);
    sorted
}

/// Leaves, weights of inner nodes and their parents, each by itself. Nodes that don't exist yet weigh more than any.
struct Arrays<'l, const N: usize> {
    leaves: &'l [Leaf],
    weights: [u32; N],
    parents: [u16; N],
}

impl<'l, const N: usize> Arrays<'l, N> {
    const fn of(leaves: &'l [Leaf]) -> Self {
        Self { leaves, weights: [u32::MAX; N], parents: [0; N] }
    }
}

impl<const N: usize> Tree for Arrays<'_, N> {
    #[inline]
    fn leaf(&self, index: usize) -> u32 {
        self.leaves.get(index).map_or(u32::MAX, |leaf| leaf.frequency)
    }

    #[inline]
    fn node(&self, index: usize, _: usize) -> u32 {
        self.weights[index]
    }

    #[inline]
    fn adopt(&mut self, index: usize, parent: usize, _: bool) {
        // Where it is not taken it is overwritten when it is.
        self.parents[index] = parent as u16;
    }

    #[inline]
    fn make(&mut self, index: usize, weight: u32) {
        self.weights[index] = weight;
    }

    #[inline]
    fn parent(&self, index: usize) -> usize {
        self.parents[index].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alphabet::{DISTANCES, LITERALS, LONGEST_PRECODE, PRECODES};

    fn lengths<const N: usize>(frequencies: &[u32; N], longest: usize) -> [u8; N] {
        Lengths::of(occurring(frequencies, &mut [0; N]), frequencies, longest).lengths
    }

    /// Kraft's sum is 1 and every symbol that occurs, and none else, has a length within the limit.
    fn check<const N: usize>(frequencies: &[u32; N], longest: usize) -> u64 {
        let lengths = lengths(frequencies, longest);
        let used = frequencies.iter().filter(|frequency| **frequency > 0).count();
        let mut sum = 0_u64;
        for (frequency, len) in frequencies.iter().zip(lengths) {
            assert_eq!(*frequency > 0, len > 0);
            assert!(usize::from(len) <= longest);
            sum += if len > 0 { 1 << (longest - usize::from(len)) } else { 0 };
        }
        assert_eq!(sum, if used == 1 { 1 << (longest - 1) } else { 1 << longest }, "{frequencies:?}");
        frequencies.iter().zip(lengths).map(|(frequency, len)| u64::from(*frequency) * u64::from(len)).sum()
    }

    #[test]
    fn lengths_make_a_complete_code() {
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut frequencies = [0; LITERALS];
            let mut precodes = [0; PRECODES];
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 8
            };
            let (used, most) = (next() % 287, 1 << (next() % 20));
            for _ in 0..used.max(2) {
                frequencies[(next() % 286) as usize] = 1 + next() % most;
                precodes[(next() % 19) as usize] = 1 + next() % most;
            }
            check(&frequencies, LONGEST);
            check(&precodes, LONGEST_PRECODE);
        }
    }

    #[test]
    fn lengths_are_optimal_where_the_limit_does_not_bite() {
        // The example of D. Huffman's tree by hand: 45, 13, 12, 16, 9, 5 costs 224 bits.
        let mut frequencies = [0; PRECODES];
        frequencies[..6].copy_from_slice(&[45, 13, 12, 16, 9, 5]);
        assert_eq!(check(&frequencies, LONGEST_PRECODE), 224);
        // Fibonacci numbers make the deepest tree: limited to 7 bits here.
        let mut deep = [1; PRECODES];
        (2..PRECODES).for_each(|n| deep[n] = deep[n - 1] + deep[n - 2]);
        check(&deep, LONGEST_PRECODE);
    }

    #[test]
    fn codes_are_canonical() {
        // RFC 1951 3.2.2: the example, ABCDEFGH.
        let mut counts = [0; LONGEST + 1];
        counts[2..=4].copy_from_slice(&[1, 5, 2]);
        let lengths =
            Lengths { lengths: [3, 3, 3, 3, 3, 2, 4, 4], counts, symbols: &[0, 1, 2, 3, 4, 5, 6, 7] };
        let codes = lengths.codes();
        let expected = [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111_u16];
        for (code, value) in codes.iter().zip(expected) {
            assert_eq!(code.bits, value.reverse_bits() >> (16 - code.len));
        }
    }

    #[test]
    fn none_and_one() {
        assert_eq!(lengths(&[0; DISTANCES], LONGEST), [0; DISTANCES]);
        let mut one = [0; DISTANCES];
        one[7] = 12;
        assert_eq!(lengths(&one, LONGEST)[7], 1);
        check(&one, LONGEST);
    }
}
