//! The safe kernels: a word at a time, which the compiler turns into vectors where it has them.

/// A word as wide as pays on most targets; the compiler splits it where registers are narrower.
const WORD: usize = 8;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Up to this length data is handled as its first and its last bytes, which may overlap: no loop.
const SHORT: usize = 32;

#[inline(always)]
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) -> bool {
    if data.len() <= SHORT { unmask_short(data, key) } else { unmask_long(data, key) }
}

#[inline(always)]
fn unmask_short(data: &mut [u8], key: [u8; 4]) -> bool {
    let seen = match data.len() {
        16.. => {
            let (first, last) = unmask_ends(data, key, |bytes: [u8; 16], wide| {
                let plain = u128::from_ne_bytes(bytes) ^ (u128::from(wide) << 64 | u128::from(wide));
                (plain.to_ne_bytes(), plain as u64 | (plain >> 64) as u64)
            });
            first | last
        }
        8.. => {
            let (first, last) = unmask_ends(data, key, |bytes: [u8; 8], wide| {
                let plain = u64::from_ne_bytes(bytes) ^ wide;
                (plain.to_ne_bytes(), plain)
            });
            first | last
        }
        4.. => {
            let (first, last) = unmask_ends(data, key, |bytes: [u8; 4], wide| {
                let plain = u32::from_ne_bytes(bytes) ^ wide as u32;
                (plain.to_ne_bytes(), u64::from(plain))
            });
            first | last
        }
        _ => data.iter_mut().zip(key).fold(0, |seen, (byte, key)| {
            *byte ^= key;
            seen | u64::from(*byte)
        }),
    };
    seen & HIGH_BITS == 0
}

/// Unmasks the first `N` bytes and the last `N`, each with the key that belongs to it; answers the bits of both.
#[inline(always)]
fn unmask_ends<const N: usize>(
    data: &mut [u8],
    key: [u8; 4],
    unmask: impl Fn([u8; N], u64) -> ([u8; N], u64),
) -> (u64, u64) {
    let behind = data.len().wrapping_sub(N);
    let (Some(first), Some(last)) = (data.first_chunk::<N>(), data.last_chunk::<N>()) else { return (0, 0) };
    // Both are read before either is written: where they overlap, both write the same.
    let (first, seen_first) = unmask(*first, widen(key));
    let (last, seen_last) = unmask(*last, widen(super::rotate(key, behind)));
    if let Some(to) = data.first_chunk_mut() {
        *to = first;
    }
    if let Some(to) = data.last_chunk_mut() {
        *to = last;
    }
    (seen_first, seen_last)
}

#[inline(always)]
fn unmask_long(data: &mut [u8], key: [u8; 4]) -> bool {
    let wide = widen(key);
    let mut seen = 0;
    let (words, rest) = data.as_chunks_mut::<WORD>();
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    let (half, rest) = rest.as_chunks_mut::<4>();
    for half in half {
        let plain = u32::from_ne_bytes(*half) ^ u32::from_ne_bytes(key);
        seen |= u64::from(plain);
        *half = plain.to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
        seen |= u64::from(*byte);
    }
    seen & HIGH_BITS == 0
}

/// The standard library's own copy.
#[inline(always)]
pub(super) fn copy(src: &[u8], dst: &mut [u8]) -> usize {
    let len = src.len().min(dst.len());
    if let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) {
        dst.copy_from_slice(src);
    }
    len
}

#[inline(always)]
pub(super) fn copy_masked(src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
    let len = src.len().min(dst.len());
    let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) else { return 0 };
    let wide = widen(key);
    let (from_words, from_rest) = src.as_chunks::<WORD>();
    let (to_words, to_rest) = dst.as_chunks_mut::<WORD>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    let (from_half, from_rest) = from_rest.as_chunks::<4>();
    let (to_half, to_rest) = to_rest.as_chunks_mut::<4>();
    for (to, from) in to_half.iter_mut().zip(from_half) {
        *to = (u32::from_ne_bytes(*from) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for ((to, from), key) in to_rest.iter_mut().zip(from_rest).zip(key) {
        *to = from ^ key;
    }
    len
}

#[inline(always)]
const fn widen(key: [u8; 4]) -> u64 {
    let key = u32::from_ne_bytes(key) as u64;
    key << 32 | key
}
