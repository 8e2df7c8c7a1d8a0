//! The cryptography that rustls asks for, by crates without C: what a TLS 1.3 client needs and no more.

mod aead;
mod exchange;
mod hash;
mod signature;

use alloc::sync::Arc;
use alloc::vec;

use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider, KeyProvider, SecureRandom};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{CipherSuite, Error, SupportedCipherSuite, Tls13CipherSuite};

use aead::Aead;
use exchange::{P256, X25519};
use hash::{HmacSha256, Sha256};

/// The cryptography of a device, around its source of random numbers. It lives as long as the program.
///
/// Cipher suites: `TLS_CHACHA20_POLY1305_SHA256`, `TLS_AES_128_GCM_SHA256`. Key exchange: X25519, P-256. Signatures: ECDSA on
/// P-256 and P-384 with SHA-256 and SHA-384, Ed25519. **No RSA**: a server, and all that signs its certificate up to a root that
/// the device is given, has to have one of these keys. Whoever needs more adds it to what [`provider`](Self::provider) answers.
///
/// ```
/// use wirelet_embedded::tls::rustls::crypto::{GetRandomFailed, SecureRandom};
/// use wirelet_embedded::tls::Crypto;
///
/// #[derive(Debug)]
/// struct Trng;
///
/// impl SecureRandom for Trng {
///     fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
///         // The hardware's random source, or a CSPRNG that was seeded by it.
/// #       bytes.fill(4);
///         Ok(())
///     }
/// }
///
/// static CRYPTO: Crypto = Crypto::new(&Trng);
/// ```
#[derive(Debug)]
pub struct Crypto {
    random: &'static dyn SecureRandom,
    x25519: X25519,
    p256: P256,
}

impl Crypto {
    /// With the device's source of random numbers: keys are made from it, so that it has to be one for cryptography.
    pub const fn new(random: &'static dyn SecureRandom) -> Self {
        Self { random, x25519: X25519(random), p256: P256(random) }
    }

    /// What [`rustls::ClientConfig::builder_with_details`] takes, for a configuration of one's own.
    pub fn provider(&'static self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            cipher_suites: vec![CHACHA20_POLY1305_SHA256, AES_128_GCM_SHA256],
            kx_groups: vec![&self.x25519, &self.p256],
            signature_verification_algorithms: signature::ALGORITHMS,
            secure_random: self.random,
            key_provider: &NoKeys,
        })
    }
}

/// Without hardware for AES the faster one, and the one whose time does not depend on secrets.
const CHACHA20_POLY1305_SHA256: SupportedCipherSuite = SupportedCipherSuite::Tls13(&Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: &Sha256,
        // RFC 8446 5.5: the sequence number would wrap first.
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&HmacSha256),
    aead_alg: &Aead::<chacha20poly1305::ChaCha20Poly1305>::new(),
    quic: None,
});

/// RFC 8446 9.1: the one that everybody has to have.
const AES_128_GCM_SHA256: SupportedCipherSuite = SupportedCipherSuite::Tls13(&Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &Sha256,
        // RFC 8446 5.5: 2^24.5 records with one key; rustls changes the key in time.
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &HkdfUsingHmac(&HmacSha256),
    aead_alg: &Aead::<aes_gcm::Aes128Gcm>::new(),
    quic: None,
});

/// A client without a certificate of its own has no private key.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("private keys are not supported".into()))
    }
}
