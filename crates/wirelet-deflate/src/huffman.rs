//! Huffman codes (RFC 1951 3.2.2): what both encoders and the decompressors need of them.
//!
//! Where weights and nodes are kept is the encoder's own ([`Tree`]): in the place of the symbols' codes where memory is dear, in
//! arrays where speed matters.

use crate::alphabet::LONGEST;

/// How many codes have each length.
pub(crate) type Histogram = [u16; LONGEST + 1];

/// The leaves of a Huffman tree, the lightest first, and the inner nodes that are made of them.
pub(crate) trait Tree {
    /// The weight of a leaf; `u32::MAX` behind the last one.
    fn leaf(&self, index: usize) -> u32;

    /// The weight of a node that has no parent yet, of which `made` have been made; `u32::MAX` where there is none.
    fn node(&self, index: usize, made: usize) -> u32;

    /// The last node that was asked for gets the next one as its parent, if it is `taken`; if not it will be said again.
    fn adopt(&mut self, index: usize, parent: usize, taken: bool);

    /// The weight of the next node.
    fn make(&mut self, index: usize, weight: u32);

    /// The parent of a node.
    fn parent(&self, index: usize) -> usize;
}

/// How many of the `leaves`, two or more, stand at each depth of the best tree; those that are deeper than the longest code
/// count as if they had it.
///
/// A. Moffat, J. Katajainen: In-Place Calculation of Minimum-Redundancy Codes (1995). Which of two weights is smaller cannot be
/// predicted: there are no branches for it.
#[inline]
pub(crate) fn depths(tree: &mut impl Tree, leaves: usize) -> Histogram {
    let nodes = leaves.saturating_sub(1);
    let (mut leaf, mut node) = (0usize, 0usize);
    for next in 0..nodes {
        let mut weight = 0u32;
        for _ in 0..2 {
            let (light, heavy) = (tree.leaf(leaf), tree.node(node, next));
            let takes_node = heavy < light;
            weight = weight.wrapping_add(heavy.min(light));
            tree.adopt(node, next, takes_node);
            node = node.wrapping_add(usize::from(takes_node));
            leaf = leaf.wrapping_add(usize::from(!takes_node));
        }
        tree.make(next, weight);
    }
    let inner = nodes_at(tree, nodes.saturating_sub(1));
    let (mut places, mut left) = (1u16, leaves as u16);
    let mut histogram = [0; LONGEST + 1];
    for (count, inner) in histogram.iter_mut().zip(inner) {
        *count = places.wrapping_sub(inner);
        left = left.wrapping_sub(*count);
        places = inner.wrapping_mul(2);
    }
    // What is deeper than the last level that was counted.
    if let Some(last) = histogram.last_mut() {
        *last = left;
    }
    histogram
}

/// How many inner nodes stand at each depth but the last, which has all that are deeper too. The root, which was made last, is
/// `root`. Those of a depth were made one after the other, and before all that stand higher.
#[inline]
fn nodes_at(tree: &impl Tree, root: usize) -> [u16; LONGEST] {
    let mut counts = [0; LONGEST];
    let mut add = |depth: usize, nodes: usize| {
        if let Some(count) = counts.get_mut(depth) {
            *count = nodes as u16;
        }
    };
    add(0, 1);
    // Nodes at `depth` have their parents at `above` or behind it.
    let (mut depth, mut above) = (1usize, root);
    for node in (0..root).rev() {
        if tree.parent(node) < above {
            let first = node.wrapping_add(1);
            add(depth, above.wrapping_sub(first));
            (depth, above) = (depth.wrapping_add(1), first);
        }
    }
    add(depth, above);
    counts
}

/// Makes codes of more than `longest` bits shorter, and as few others as possible longer.
pub(crate) fn limit(histogram: &mut Histogram, longest: usize) {
    let (kept, beyond) = histogram.split_at_mut_checked(longest.wrapping_add(1)).unwrap_or_default();
    let moved: u16 = beyond.iter().sum();
    beyond.fill(0);
    let Some((last, shorter)) = kept.split_last_mut() else { return };
    *last = last.wrapping_add(moved);
    // Kraft's sum, in units of the longest code: a prefix code has at most 2^longest.
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

/// RFC 1951 3.2.2: gives each symbol with its length, not 0, its canonical code, the first bit highest. The symbols come in their
/// order.
#[inline]
pub(crate) fn number(
    histogram: &Histogram,
    symbols: impl Iterator<Item = (usize, u8)>,
    mut set: impl FnMut(usize, u16, u8),
) {
    // The codes of a length begin behind those that are shorter.
    let mut next = [0u16; LONGEST + 1];
    let mut code = 0u16;
    for (first, shorter) in next.iter_mut().skip(1).zip(histogram) {
        code = code.wrapping_add(*shorter).wrapping_shl(1);
        *first = code;
    }
    for (symbol, length) in symbols {
        if let Some(code) = next.get_mut(usize::from(length) & LONGEST) {
            set(symbol, *code, length);
            *code = code.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_1951() {
        // 3.2.2: A to H.
        let lengths = [3, 3, 3, 3, 3, 2, 4, 4];
        let mut histogram = [0; LONGEST + 1];
        lengths.iter().for_each(|length| histogram[usize::from(*length)] += 1);
        let mut codes = [0; 8];
        number(&histogram, lengths.into_iter().enumerate(), |symbol, code, _| codes[symbol] = code);
        assert_eq!(codes, [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]);
    }
}
