//! Huffman codes (RFC 1951 3.2.2), built in place.

use super::memory::Table;

/// Symbols of literals, the end of the block, and lengths. The last two never occur but have a place in the fixed code.
pub(super) const LITERALS: usize = 288;
/// Symbols of distances.
pub(super) const DISTANCES: usize = 30;
/// The longest code of those.
pub(super) const LONGEST: usize = 15;

/// How many codes have each length.
type Histogram = [u16; LONGEST + 1];

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
    let mut histogram = depths(table, used);
    shorten(&mut histogram, longest);
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

/// How many of the `used` leaves, whose weights stand in ascending order, are how deep in the best tree.
///
/// Moffat and Katajainen, "In-Place Calculation of Minimum-Redundancy Codes" (1995): weights become the parents of
/// inner nodes, and those become depths, in the same place.
fn depths(table: &mut Table<'_>, used: usize) -> Histogram {
    let inner = used.saturating_sub(1);
    let (mut root, mut leaf) = (0, 0);
    for node in 0..inner {
        let mut weight = 0u16;
        for _ in 0..2 {
            let from_leaves = leaf < used && (root >= node || table.at(leaf) <= table.at(root));
            if from_leaves {
                weight = weight.wrapping_add(table.at(leaf));
                leaf = leaf.wrapping_add(1);
            } else {
                weight = weight.wrapping_add(table.at(root));
                table.set(root, node as u16);
                root = root.wrapping_add(1);
            }
        }
        table.set(node, weight);
    }
    // From here on: how deep each inner node is. The last one is the root of the tree.
    table.set(inner.saturating_sub(1), 0);
    for node in (0..inner.saturating_sub(1)).rev() {
        let parent = usize::from(table.at(node));
        table.set(node, table.at(parent).wrapping_add(1));
    }
    let mut histogram = [0; LONGEST + 1];
    let (mut nodes, mut next) = (1u16, inner);
    let mut depth = 0u16;
    while nodes > 0 {
        let mut split = 0u16;
        while next > 0 && table.at(next.wrapping_sub(1)) == depth {
            split = split.wrapping_add(1);
            next = next.wrapping_sub(1);
        }
        let slot = histogram.get_mut(usize::from(depth).min(LONGEST));
        if let Some(slot) = slot {
            *slot = nodes.wrapping_sub(split).wrapping_add(*slot);
        }
        nodes = split.wrapping_mul(2);
        depth = depth.wrapping_add(1);
    }
    histogram
}

/// Makes codes of more than `longest` bits shorter, and as few others as possible longer.
fn shorten(histogram: &mut Histogram, longest: usize) {
    let (kept, beyond) = histogram.split_at_mut_checked(longest.wrapping_add(1)).unwrap_or_default();
    let moved: u16 = beyond.iter().sum();
    beyond.fill(0);
    let Some((last, shorter)) = kept.split_last_mut() else { return };
    *last = last.wrapping_add(moved);
    // Kraft's sum, in units of the longest code.
    let full = 1u32.wrapping_shl(longest as u32);
    let mut sum = u32::from(*last);
    for (length, codes) in shorter.iter().enumerate().skip(1) {
        let unit = full.wrapping_shr(length as u32);
        sum = sum.wrapping_add(u32::from(*codes).wrapping_mul(unit));
    }
    // One of the longest goes beside a shorter one that becomes longer by a bit: one unit less.
    while sum > full {
        *last = last.wrapping_sub(1);
        if let Some(length) = shorter.iter().rposition(|codes| *codes > 0) {
            if let Some(codes) = shorter.get_mut(length) {
                *codes = codes.wrapping_sub(1);
            }
            match shorter.get_mut(length.wrapping_add(1)) {
                Some(codes) => *codes = codes.wrapping_add(2),
                None => *last = last.wrapping_add(2),
            }
        }
        sum = sum.wrapping_sub(1);
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
    let mut next = [0u16; LONGEST + 1];
    for length in lengths {
        // Shifted by one: the codes of a length begin behind those that are shorter.
        if let Some(codes) = next.get_mut(usize::from(*length).wrapping_add(1)).filter(|_| *length > 0) {
            *codes = codes.wrapping_add(1);
        }
    }
    let mut code = 0u16;
    for first in next.iter_mut().skip(1) {
        code = code.wrapping_add(*first).wrapping_shl(1);
        *first = code;
    }
    for (symbol, length) in lengths.iter().enumerate() {
        if let Some(code) = next.get_mut(usize::from(*length)).filter(|_| *length > 0) {
            let unused = 16u32.wrapping_sub(u32::from(*length));
            set(symbol, code.reverse_bits().wrapping_shr(unused));
            *code = code.wrapping_add(1);
        }
    }
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
