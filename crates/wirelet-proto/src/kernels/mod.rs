//! Kernels: masking fused with the search for non-ASCII bytes, and the one conversion to `&str`.
//!
//! The only folder where `unsafe` may stand. Each kernel has a safe twin beside it and a test that compares
//! the two.

#![allow(unsafe_code)]

#[cfg(any(test, target_pointer_width = "32"))]
mod aligned;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
mod text;
#[cfg(any(test, not(target_pointer_width = "32")))]
mod words;

#[cfg(target_pointer_width = "32")]
use aligned as portable;
#[cfg(not(target_pointer_width = "32"))]
use words as portable;

pub(crate) use text::{proven_str, safe_str};

/// XORs `data` with the masking key in place; `key[0]` belongs to `data[0]` (RFC 6455 5.3).
///
/// Answers whether all of the unmasked data is ASCII, which costs nothing on the way.
#[inline]
pub fn unmask(data: &mut [u8], key: [u8; 4]) -> bool {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if data.len() >= avx2::WORTHWHILE
        && let Some(kernel) = avx2::Avx2::detect()
    {
        return kernel.unmask(data, key);
    }
    portable::unmask(data, key)
}

/// Copies `src` to the front of `dst`; answers how many bytes were copied, the shorter of the two lengths.
pub fn copy(src: &[u8], dst: &mut [u8]) -> usize {
    portable::copy(src, dst)
}

/// Copies `src` to the front of `dst` and masks it on the way; answers how many bytes were copied, the
/// shorter of the two lengths.
pub fn copy_masked(src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if src.len() >= avx2::WORTHWHILE
        && let Some(kernel) = avx2::Avx2::detect()
    {
        return kernel.copy_masked(src, dst, key);
    }
    portable::copy_masked(src, dst, key)
}

/// The key that belongs to the byte `n` bytes further on.
pub const fn rotate(key: [u8; 4], n: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right((n as u32 & 3) << 3).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The definition (RFC 6455 5.3).
    fn definition(data: &[u8], key: [u8; 4]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }

    fn sample(len: usize, high: bool) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + 7) as u8 & if high { 0xff } else { 0x7f }).collect()
    }

    #[test]
    fn every_kernel_agrees_with_the_definition_at_every_alignment_and_length() {
        for len in (0..200).chain([255, 256, 257, 1023, 1024, 4099]) {
            for start in 0..9 {
                for high in [false, true] {
                    let plain = sample(len + start, high);
                    let key = [0x11, 0x82, 0xf3, 0x04];
                    let masked = definition(&plain[start..], key);
                    let ascii = plain[start..].is_ascii();
                    for kernel in [unmask, words::unmask, aligned::unmask] {
                        let mut data = plain.clone();
                        data[start..].copy_from_slice(&masked);
                        assert_eq!(kernel(&mut data[start..], key), ascii, "{len} {start}");
                        assert_eq!(data, plain);
                    }
                }
            }
        }
    }

    #[test]
    fn every_copy_agrees_with_the_definition_at_every_pair_of_alignments_and_every_length() {
        let key = [0x11, 0x82, 0xf3, 0x04];
        for len in (0..70).chain([127, 128, 129, 255, 1023, 1024, 4099]) {
            let plain = sample(len + 8, true);
            for (from, to) in (0..8).flat_map(|from| (0..8).map(move |to| (from, to))) {
                let src = &plain[from..from + len];
                let masked = definition(src, key);
                for kernel in [copy_masked, words::copy_masked, aligned::copy_masked] {
                    let mut dst = std::vec![9; len + 16];
                    assert_eq!(kernel(src, &mut dst[to..to + len], key), len);
                    assert_eq!(dst[to..to + len], masked, "{len} {from} {to}");
                    assert!(dst[..to].iter().chain(&dst[to + len..]).all(|byte| *byte == 9));
                }
                for kernel in [copy, words::copy, aligned::copy] {
                    let mut dst = std::vec![9; len + 16];
                    assert_eq!(kernel(src, &mut dst[to..to + len]), len);
                    assert_eq!(&dst[to..to + len], src, "{len} {from} {to}");
                    assert!(dst[..to].iter().chain(&dst[to + len..]).all(|byte| *byte == 9));
                }
            }
        }
    }

    #[test]
    fn a_single_high_byte_is_found_wherever_it_stands() {
        for len in 1..140 {
            for at in 0..len {
                let mut data = std::vec![b'a'; len];
                data[at] = 0xc3;
                assert!(!unmask(&mut data, [0; 4]), "{len} {at}");
            }
        }
    }

    #[test]
    fn copies_stop_at_the_shorter_end() {
        for kernel in [copy_masked, words::copy_masked, aligned::copy_masked] {
            let mut dst = [9; 3];
            assert_eq!(kernel(&[1, 2, 3, 4, 5], &mut dst, [1; 4]), 3);
            assert_eq!(dst, [0, 3, 2]);
            assert_eq!(kernel(&[7; 1], &mut dst, [0; 4]), 1);
            assert_eq!(dst, [7, 3, 2]);
        }
        for kernel in [copy, words::copy, aligned::copy] {
            let mut dst = [9; 3];
            assert_eq!(kernel(&[1, 2, 3, 4, 5], &mut dst), 3);
            assert_eq!(dst, [1, 2, 3]);
            assert_eq!(kernel(&[7; 1], &mut dst), 1);
            assert_eq!(dst, [7, 2, 3]);
        }
    }

    #[test]
    fn a_rotated_key_continues_the_phase() {
        let key = [1, 2, 3, 4];
        for cut in 0..20 {
            let plain = sample(20, true);
            let mut parts = plain.clone();
            let (head, tail) = parts.split_at_mut(cut);
            unmask(head, key);
            unmask(tail, rotate(key, cut));
            assert_eq!(parts, definition(&plain, key));
        }
    }
}
