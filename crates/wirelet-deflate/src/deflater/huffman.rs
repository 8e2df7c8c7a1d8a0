//! Huffman codes (RFC 1951 3.2.2), built in place.

use super::memory::Table;
use crate::alphabet::LONGEST;
use crate::huffman::{self, Histogram, Tree, limit};

/// Finds the best lengths, none above `longest`, for the symbols that `count` finds in use, into `lengths`.
///
/// `table` is overwritten: `count` adds to it, twice, how often each symbol occurs. (It is no generic parameter, lest the
/// code stand three times in flash.)
pub(super) fn find_lengths(
    lengths: &mut [u8],
    longest: usize,
    table: &mut Table<'_>,
    count: &mut dyn FnMut(&mut Table<'_>),
) {
    let symbols = lengths.len();
    let mut frequencies = |table: &mut Table<'_>| {
        table.clear();
        count(table);
        use_two(table, symbols);
    };
    frequencies(table);
    let used = sort(table, symbols);
    let mut histogram = huffman::depths(&mut InPlace { table, leaves: used }, used);
    limit(&mut histogram, longest);
    frequencies(table);
    assign(lengths, table, &mut histogram);
}

/// A code of one symbol would have a length of zero, and not every decoder takes a code with one of one bit.
fn use_two(table: &mut Table<'_>, symbols: usize) {
    let mut missing =
        2usize.saturating_sub((0..symbols).filter(|symbol| table.at(*symbol) > 0).take(2).count());
    for symbol in 0..symbols {
        if missing > 0 && table.at(symbol) == 0 {
            table.set(symbol, 1);
            missing = missing.saturating_sub(1);
        }
    }
}

/// Moves the frequencies that are not zero to the front, in ascending order; answers how many there are.
fn sort(table: &mut Table<'_>, symbols: usize) -> usize {
    let mut used = 0usize;
    for symbol in 0..symbols {
        let frequency = table.at(symbol);
        if frequency == 0 {
            continue;
        }
        let mut place = used;
        while place > 0 && table.at(place.wrapping_sub(1)) > frequency {
            let larger = table.at(place.wrapping_sub(1));
            table.set(place, larger);
            place = place.wrapping_sub(1);
        }
        table.set(place, frequency);
        used = used.wrapping_add(1);
    }
    used
}

/// Leaves become nodes, and weights of nodes become their parents, in the same place.
struct InPlace<'t, 'a> {
    table: &'t mut Table<'a>,
    leaves: usize,
}

impl Tree for InPlace<'_, '_> {
    fn leaf(&self, index: usize) -> u32 {
        if index < self.leaves { self.table.at(index).into() } else { u32::MAX }
    }

    fn node(&self, index: usize, made: usize) -> u32 {
        if index < made { self.table.at(index).into() } else { u32::MAX }
    }

    fn adopt(&mut self, index: usize, parent: usize, taken: bool) {
        if taken {
            self.table.set(index, parent as u16);
        }
    }

    fn make(&mut self, index: usize, weight: u32) {
        self.table.set(index, weight as u16);
    }

    fn parent(&self, index: usize) -> usize {
        self.table.at(index).into()
    }
}

/// Gives the longest codes to the symbols that are least frequent.
fn assign(lengths: &mut [u8], frequencies: &Table<'_>, histogram: &mut Histogram) {
    lengths.fill(0);
    let mut length = LONGEST;
    let mut frequency = 0;
    // In each round those of one frequency; and which is the next.
    while frequency < u16::MAX {
        let mut next = u16::MAX;
        for (symbol, slot) in lengths.iter_mut().enumerate() {
            let found = frequencies.at(symbol);
            if found > frequency {
                next = next.min(found);
            }
            if found == frequency && found > 0 {
                *slot = take_longest(histogram, &mut length);
            }
        }
        frequency = next;
    }
}

/// The longest length that has a code left.
fn take_longest(histogram: &mut Histogram, length: &mut usize) -> u8 {
    while *length > 1 && histogram.get(*length).is_none_or(|codes| *codes == 0) {
        *length = length.wrapping_sub(1);
    }
    if let Some(codes) = histogram.get_mut(*length) {
        *codes = codes.saturating_sub(1);
    }
    *length as u8
}

/// RFC 1951 3.2.2: the codes of `lengths`, each with its first bit lowest, as they are sent; `set` takes symbol and code.
pub(super) fn assign_codes(lengths: &[u8], set: &mut dyn FnMut(usize, u16)) {
    let mut histogram: Histogram = [0; LONGEST + 1];
    let used = |length: &u8| *length > 0;
    for length in lengths.iter().copied().filter(used) {
        if let Some(codes) = histogram.get_mut(usize::from(length) & LONGEST) {
            *codes = codes.wrapping_add(1);
        }
    }
    let symbols = lengths.iter().copied().enumerate().filter(|(_, length)| used(length));
    huffman::number(&histogram, symbols, |symbol, code, length| {
        let unused = 16u32.wrapping_sub(u32::from(length));
        set(symbol, code.reverse_bits().wrapping_shr(unused));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// The lengths for symbols that are so frequent.
    fn lengths(frequencies: &[u16], longest: usize) -> Vec<u8> {
        let mut bytes = vec![0; 2 * frequencies.len()];
        let mut lengths = vec![9; frequencies.len()];
        let mut table = Table::new(&mut bytes);
        find_lengths(&mut lengths, longest, &mut table, &mut |table| {
            for (symbol, frequency) in frequencies.iter().enumerate() {
                table.add(symbol, *frequency);
            }
        });
        lengths
    }

    /// Bits of the shortest encoding: the weights of all inner nodes of Huffman's tree.
    fn shortest(frequencies: &[u16]) -> u32 {
        let mut weights: Vec<u32> = frequencies.iter().filter(|f| **f > 0).map(|f| u32::from(*f)).collect();
        let mut bits = 0;
        while weights.len() > 1 {
            weights.sort_unstable_by(|a, b| b.cmp(a));
            let node = weights.pop().unwrap() + weights.pop().unwrap();
            bits += node;
            weights.push(node);
        }
        bits
    }

    fn cost(frequencies: &[u16], lengths: &[u8]) -> u32 {
        frequencies.iter().zip(lengths).map(|(f, length)| u32::from(*f) * u32::from(*length)).sum()
    }

    /// A code without gaps: its lengths fill Kraft's sum.
    fn is_complete(lengths: &[u8]) -> bool {
        lengths
            .iter()
            .filter(|length| **length > 0)
            .map(|length| 1 << (LONGEST - usize::from(*length)))
            .sum::<u32>()
            == 1 << LONGEST
    }

    /// Frequencies of all shapes.
    fn samples() -> Vec<Vec<u16>> {
        let mut state = 7u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut samples: Vec<Vec<u16>> = (0..300)
            .map(|i| {
                let most = 1 + random(1 << (i % 9));
                (0..2 + random(284))
                    .map(|_| if random(3) == 0 { random(most + 1) as u16 } else { 0 })
                    .collect()
            })
            .collect();
        samples.retain(|sample| sample.iter().filter(|f| **f > 0).count() > 1);
        samples
    }

    #[test]
    fn codes_are_the_shortest_there_are() {
        for frequencies in samples() {
            let lengths = lengths(&frequencies, LONGEST);
            assert!(is_complete(&lengths));
            assert!(frequencies.iter().zip(&lengths).all(|(f, length)| (*f > 0) == (*length > 0)));
            assert_eq!(cost(&frequencies, &lengths), shortest(&frequencies), "{frequencies:?}");
        }
    }

    #[test]
    fn no_code_is_longer_than_allowed() {
        // Fibonacci's numbers make the deepest tree.
        let fibonacci: Vec<u16> = std::iter::successors(Some((1, 1)), |(a, b)| Some((*b, a + b)))
            .map(|(a, _)| a)
            .take(22)
            .collect();
        assert!(fibonacci.iter().map(|f| u32::from(*f)).sum::<u32>() < 60_000);
        for (frequencies, longest) in [(&fibonacci, 15), (&fibonacci, 7), (&fibonacci, 5)] {
            let lengths = lengths(frequencies, longest);
            assert!(is_complete(&lengths) && lengths.iter().all(|length| usize::from(*length) <= longest));
            // The more frequent, the shorter.
            assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
            let bits = cost(frequencies, &lengths);
            assert!(
                bits >= shortest(frequencies) && bits < shortest(frequencies) * 3 / 2,
                "{longest}: {bits}"
            );
        }
    }

    #[test]
    fn there_are_never_fewer_than_two_codes() {
        for frequencies in [[0, 0, 0, 0], [0, 0, 9, 0], [1, 0, 0, 0], [0, 0, 0, 5]] {
            let lengths = lengths(&frequencies, LONGEST);
            assert_eq!(lengths.iter().filter(|length| **length == 1).count(), 2, "{lengths:?}");
            assert!(is_complete(&lengths));
        }
    }

    #[test]
    fn codes_are_those_of_rfc_1951() {
        // 3.2.2: A to H.
        let mut codes = [0; 8];
        assign_codes(&[3, 3, 3, 3, 3, 2, 4, 4], &mut |symbol, code| codes[symbol] = code);
        let reversed = |code: u16, length: u32| code.reverse_bits() >> (16 - length);
        let expected =
            [(0b010, 3), (0b011, 3), (0b100, 3), (0b101, 3), (0b110, 3), (0b00, 2), (0b1110, 4), (0b1111, 4)];
        assert_eq!(codes, expected.map(|(code, length)| reversed(code, length)));
    }
}
