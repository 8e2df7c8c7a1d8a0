//! The check of signatures: in certificates, and in the handshake (RFC 8446 4.4.3).

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384};

/// A curve's check of the signature of a hash: public key, hash, signature.
type Check = fn(&[u8], &[u8], &[u8]) -> Option<()>;

/// ECDSA on a curve with a hash.
#[derive(Debug)]
struct Ecdsa {
    curve: AlgorithmIdentifier,
    check: Check,
    hash: Hash,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
}

#[derive(Debug)]
struct Ed25519;

static P256_SHA256: Ecdsa = Ecdsa { curve: alg_id::ECDSA_P256, check: p256, hash: Hash::Sha256 };
static P256_SHA384: Ecdsa = Ecdsa { curve: alg_id::ECDSA_P256, check: p256, hash: Hash::Sha384 };
static P384_SHA256: Ecdsa = Ecdsa { curve: alg_id::ECDSA_P384, check: p384, hash: Hash::Sha256 };
static P384_SHA384: Ecdsa = Ecdsa { curve: alg_id::ECDSA_P384, check: p384, hash: Hash::Sha384 };

/// For certificates all; for the handshake of TLS 1.3 a scheme names curve and hash (RFC 8446 4.2.3), and its first algorithm
/// counts.
pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&P256_SHA256, &P256_SHA384, &P384_SHA256, &P384_SHA384, &Ed25519],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256, &P384_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384, &P256_SHA384]),
        (SignatureScheme::ED25519, &[&Ed25519]),
    ],
};

impl SignatureVerificationAlgorithm for Ecdsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.curve
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.hash {
            Hash::Sha256 => alg_id::ECDSA_SHA256,
            Hash::Sha384 => alg_id::ECDSA_SHA384,
        }
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        match self.hash {
            Hash::Sha256 => (self.check)(key, &Sha256::digest(message), signature),
            Hash::Sha384 => (self.check)(key, &Sha384::digest(message), signature),
        }
        .ok_or(InvalidSignature)
    }
}

fn p256(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(hash, &p256::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn p384(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(hash, &p384::ecdsa::Signature::from_der(signature).ok()?).ok()
}

impl SignatureVerificationAlgorithm for Ed25519 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = key.try_into().map_err(|_| InvalidSignature)?;
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
        ed25519_dalek::VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(message, &signature))
            .map_err(|_| InvalidSignature)
    }
}
