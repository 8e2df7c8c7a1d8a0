//! Masking keys of a generator that says of itself that it cannot be predicted.

use rand_core::CryptoRng;
use wirelet_proto::MaskKeys;

/// Masking keys and nonces of any generator that is made for cryptography, by its type: a chip's true random source, or a
/// CSPRNG that was seeded with one. What implements only [`Rng`](rand_core::Rng) does not fit.
///
/// RFC 6455 4.1 and 5.3 ask for nonces and keys that cannot be predicted. A client draws both from the same source, and the
/// random part of its delays as well.
///
/// ```
/// # use wirelet_embedded::{Csprng, proto::MaskKeys};
/// # struct Trng; // esp-hal's, say
/// # impl rand_core::TryRng for Trng {
/// #     type Error = core::convert::Infallible;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(4) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { Ok(4) }
/// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> { bytes.fill(4); Ok(()) }
/// # }
/// # impl rand_core::TryCryptoRng for Trng {}
/// let mut keys = Csprng(Trng); // for `Client::run`
/// # assert_eq!(keys.next_key(), [4; 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Csprng<R>(pub R);

impl<R: CryptoRng> MaskKeys for Csprng<R> {
    fn next_key(&mut self) -> [u8; 4] {
        let mut key = [0; 4];
        self.0.fill_bytes(&mut key);
        key
    }
}
