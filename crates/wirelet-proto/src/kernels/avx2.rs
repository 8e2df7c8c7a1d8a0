//! The safe kernels compiled for AVX2, which handles 32 bytes at a time.
//!
//! Measured against the baseline of x86-64: 1.4–1.6 times as fast from 1 KiB up, nothing below 100 bytes.

use super::words;

/// From this length on the wider registers gain more than the call costs.
pub(super) const WORTHWHILE: usize = 128;

/// Proof that the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The standard library remembers what it found.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn unmask(self, data: &mut [u8], key: [u8; 4]) -> bool {
        // SAFETY: `Avx2` is only made where the processor has AVX2.
        unsafe { unmask(data, key) }
    }

    pub(super) fn copy_masked(self, src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
        // SAFETY: `Avx2` is only made where the processor has AVX2.
        unsafe { copy_masked(src, dst, key) }
    }
}

#[target_feature(enable = "avx2")]
fn unmask(data: &mut [u8], key: [u8; 4]) -> bool {
    words::unmask(data, key)
}

#[target_feature(enable = "avx2")]
fn copy_masked(src: &[u8], dst: &mut [u8], key: [u8; 4]) -> usize {
    words::copy_masked(src, dst, key)
}
