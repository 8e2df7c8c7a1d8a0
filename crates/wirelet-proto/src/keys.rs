//! Where masking keys come from.

/// A source of masking keys.
///
/// RFC 6455 5.3: the key of each frame is fresh, unpredictable and derived from a strong source of
/// entropy. A driver backs it with a CSPRNG or the hardware's random source; the core draws one key for
/// each frame that a client sends.
pub trait MaskKeys {
    /// The masking key of the next frame.
    fn next_key(&mut self) -> [u8; 4];
}

/// For servers, which never mask (RFC 6455 5.1).
///
/// Given to a client's connection it yields zero keys, which masks nothing: use it for servers only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl MaskKeys for NoKeys {
    fn next_key(&mut self) -> [u8; 4] {
        [0; 4]
    }
}

impl<K: MaskKeys + ?Sized> MaskKeys for &mut K {
    fn next_key(&mut self) -> [u8; 4] {
        (**self).next_key()
    }
}
