//! Key exchange (RFC 8446 4.2.8.2).

use alloc::boxed::Box;

use p256::elliptic_curve::sec1::ToSec1Point;
use rustls::crypto::{ActiveKeyExchange, SecureRandom, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// RFC 7748.
#[derive(Debug)]
pub(super) struct X25519(pub(super) &'static dyn SecureRandom);

/// secp256r1.
#[derive(Debug)]
pub(super) struct P256(pub(super) &'static dyn SecureRandom);

struct ActiveX25519 {
    secret: x25519_dalek::StaticSecret,
    public: x25519_dalek::PublicKey,
}

struct ActiveP256 {
    secret: p256::SecretKey,
    public: p256::Sec1Point,
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes)?;
        let secret = x25519_dalek::StaticSecret::from(bytes);
        let public = x25519_dalek::PublicKey::from(&secret);
        Ok(Box::new(ActiveX25519 { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for ActiveX25519 {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = <[u8; 32]>::try_from(peer).map_err(|_| invalid())?;
        let secret = self.secret.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
        // RFC 8446 7.4.2: the all-zero value is an error.
        if !secret.was_contributory() {
            return Err(invalid());
        }
        Ok(SharedSecret::from(&secret.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = loop {
            let mut bytes = [0; 32];
            self.0.fill(&mut bytes)?;
            // Zero and what is not below the group's order are no keys: once in four thousand million.
            if let Ok(secret) = p256::SecretKey::from_bytes(&bytes.into()) {
                break secret;
            }
        };
        let public = secret.public_key().to_sec1_point(false);
        Ok(Box::new(ActiveP256 { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

impl ActiveKeyExchange for ActiveP256 {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // RFC 8446 4.2.8.2: uncompressed, and a point on the curve.
        let peer = match peer {
            [4, ..] => p256::PublicKey::from_sec1_bytes(peer).map_err(|_| invalid())?,
            _ => return Err(invalid()),
        };
        let secret = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(&secret.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

fn invalid() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}
