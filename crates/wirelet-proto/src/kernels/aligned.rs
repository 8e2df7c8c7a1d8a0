//! Kernels for 32-bit processors, which load words from addresses that are multiples of four: elsewhere a word takes four
//! loads and three shifts.
//!
//! An echo is nearly always as far from such an address as what it answers, since a frame to a server has exactly four bytes
//! more of header. So copies go word by word where both ends allow it at once, which takes half the instructions of the
//! compiler's own `memcpy`.

const HIGH_BITS: u32 = 0x8080_8080;

/// What `words::unmask`, its safe twin, does, with the words where the processor wants them.
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) -> bool {
    let key = u32::from_le_bytes(key);
    // SAFETY: every four bytes are a u32, and every u32 is four bytes.
    let (before, words, after) = unsafe { data.align_to_mut::<u32>() };
    let key_of_words = turned(key, before.len());
    let mut seen = unmask_bytes(before, key);
    let wide = key_of_words.to_le();
    let (fours, rest) = words.as_chunks_mut::<4>();
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
    seen |= unmask_bytes(after, key_of_words);
    seen & HIGH_BITS == 0
}

/// What `words::copy`, its safe twin, does.
pub(super) fn copy(src: &[u8], dst: &mut [u8]) -> usize {
    let len = src.len().min(dst.len());
    let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) else { return 0 };
    let Some(Parts { from, to }) = in_words(src, dst) else {
        dst.copy_from_slice(src);
        return len;
    };
    copy_bytes(from.0, to.0, 0);
    let ((from_fours, from_rest), (to_fours, to_rest)) = (from.1.as_chunks::<4>(), to.1.as_chunks_mut::<4>());
    for (to, from) in to_fours.iter_mut().zip(from_fours) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
    copy_bytes(from.2, to.2, 0);
    len
}

/// What `words::copy_masked`, its safe twin, does.
pub(super) fn copy_masked(src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
    let len = src.len().min(dst.len());
    let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) else { return 0 };
    let Some(Parts { from, to }) = in_words(src, dst) else {
        dst.copy_from_slice(src);
        unmask(dst, key);
        return len;
    };
    let key = u32::from_le_bytes(key);
    copy_bytes(from.0, to.0, key);
    let key = turned(key, from.0.len());
    let wide = key.to_le();
    let ((from_fours, from_rest), (to_fours, to_rest)) = (from.1.as_chunks::<4>(), to.1.as_chunks_mut::<4>());
    for (to, [a, b, c, d]) in to_fours.iter_mut().zip(from_fours) {
        *to = [a ^ wide, b ^ wide, c ^ wide, d ^ wide];
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = from ^ wide;
    }
    copy_bytes(from.2, to.2, key);
    len
}

/// Bytes before the first word, words, and bytes after the last one, of both.
struct Parts<'s, 'd> {
    from: (&'s [u8], &'s [u32], &'s [u8]),
    to: (&'d mut [u8], &'d mut [u32], &'d mut [u8]),
}

/// Both in words, if they have them in the same places.
#[inline]
fn in_words<'s, 'd>(src: &'s [u8], dst: &'d mut [u8]) -> Option<Parts<'s, 'd>> {
    // SAFETY: every four bytes are a u32, and every u32 is four bytes.
    let (from, to) = unsafe { (src.align_to::<u32>(), dst.align_to_mut::<u32>()) };
    (from.0.len() == to.0.len() && from.1.len() == to.1.len()).then_some(Parts { from, to })
}

/// Less than four bytes, with a key whose next byte is its lowest; answers all their bits.
#[inline]
fn unmask_bytes(data: &mut [u8], mut key: u32) -> u32 {
    debug_assert!(data.len() < 4);
    let mut seen = 0;
    for byte in data {
        *byte ^= key as u8;
        seen |= u32::from(*byte);
        key >>= 8;
    }
    seen
}

/// As many bytes, less than four, with such a key.
#[inline]
fn copy_bytes(src: &[u8], dst: &mut [u8], mut key: u32) {
    for (to, from) in dst.iter_mut().zip(src) {
        *to = from ^ key as u8;
        key >>= 8;
    }
}

/// Such a key, `n` bytes further on.
const fn turned(key: u32, n: usize) -> u32 {
    key.rotate_right((n as u32 & 3) << 3)
}
