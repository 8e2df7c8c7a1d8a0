//! Bits on their way out.

/// Bits that do not fill a byte yet, or for which there was no room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    bits: u64,
    count: u8,
}

impl Bits {
    /// Adds the lowest `count` bits of `value`, which has no others.
    ///
    /// Out of line, as in [`tokens`](super::tokens): many use it, and flash is dear.
    #[inline(never)]
    pub(super) fn push(&mut self, value: u32, count: u8) {
        self.bits |= u64::from(value).wrapping_shl(self.count.into());
        self.count = self.count.wrapping_add(count);
    }

    /// Fills the last byte with zeros.
    pub(super) fn align(&mut self) {
        self.count = self.count.wrapping_add(7) & !7;
    }

    /// Moves whole bytes to `output` from `produced` on; `false` when there is no room for all of them.
    pub(super) fn drain(&mut self, output: &mut [u8], produced: &mut usize) -> bool {
        while self.count >= 8 {
            let Some(slot) = output.get_mut(*produced) else { return false };
            *slot = self.bits as u8;
            *produced = produced.wrapping_add(1);
            self.bits = self.bits.wrapping_shr(8);
            self.count = self.count.wrapping_sub(8);
        }
        true
    }
}
