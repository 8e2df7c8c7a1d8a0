//! The memory in which a control frame waits to be sent.

/// The size of the slot in which control frames wait: 2 bytes of header, 4 of masking key, 125 of payload.
pub const CONTROL_SLOT: usize = 131;

/// Memory of [`CONTROL_SLOT`] bytes for the one control frame that waits to be sent.
///
/// The slot is empty nearly always. The array is for drivers whose memory is planned in advance: it is a part of the connection. A
/// driver that can allocate may take memory in [`bytes_mut`](Self::bytes_mut) and give it back in [`release`](Self::release).
pub trait ControlSlot {
    /// A slot that holds nothing.
    const EMPTY: Self;

    /// What has been written into [`bytes_mut`](Self::bytes_mut) since the last [`release`](Self::release). Before that it may be
    /// of any length.
    fn bytes(&self) -> &[u8];

    /// All [`CONTROL_SLOT`] bytes, to be written to.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Nothing waits any more.
    fn release(&mut self);
}

impl ControlSlot for [u8; CONTROL_SLOT] {
    const EMPTY: Self = [0; CONTROL_SLOT];

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    #[inline]
    fn release(&mut self) {}
}
