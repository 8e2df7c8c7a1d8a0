//! Kernels for 32-bit processors, which load words from addresses that are multiples of four: elsewhere a word takes four
//! loads and three shifts.

use super::rotate;

const HIGH_BITS: u32 = 0x8080_8080;

/// What `words::unmask`, its safe twin, does, with the words where the processor wants them.
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) -> bool {
    // SAFETY: every four bytes are a u32, and every u32 is four bytes.
    let (before, aligned, after) = unsafe { data.align_to_mut::<u32>() };
    let mut seen = u32::from(bytes(before, key));
    let key = rotate(key, before.len());
    let wide = u32::from_ne_bytes(key);
    let (fours, rest) = aligned.as_chunks_mut::<4>();
    for [a, b, c, d] in fours {
        *a ^= wide;
        *b ^= wide;
        *c ^= wide;
        *d ^= wide;
        seen |= *a | *b | *c | *d;
    }
    for word in rest {
        *word ^= wide;
        seen |= *word;
    }
    seen |= u32::from(bytes(after, key));
    seen & HIGH_BITS == 0
}

/// What `words::copy_masked` does: a copy, which the processor's own routine aligns, and [`unmask`].
pub(super) fn copy_masked(src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
    let len = src.len().min(dst.len());
    let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) else { return 0 };
    dst.copy_from_slice(src);
    unmask(dst, key);
    len
}

/// Less than four bytes; answers all their bits.
fn bytes(data: &mut [u8], key: [u8; 4]) -> u8 {
    debug_assert!(data.len() < 4);
    let mut seen = 0;
    for (byte, key) in data.iter_mut().zip(key) {
        *byte ^= key;
        seen |= *byte;
    }
    seen
}
