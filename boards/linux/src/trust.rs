//! Whom a client with `wss` trusts.

use std::sync::Arc;
use std::time::SystemTime;

use wirelet_embedded::tls::rustls::ClientConfig;
use wirelet_embedded::tls::rustls::crypto::{GetRandomFailed, SecureRandom};
use wirelet_embedded::tls::rustls::pki_types::CertificateDer;
use wirelet_embedded::tls::rustls::pki_types::pem::PemObject;
use wirelet_embedded::tls::{Crypto, Dates, client_config};

use crate::system::SystemRandom;

/// A configuration of TLS that trusts the authorities in a file (PEM), at the system's time.
///
/// # Errors
/// Why not, in words.
pub fn authorities(file: &str) -> Result<Arc<ClientConfig>, String> {
    static CRYPTO: Crypto = Crypto::new(&SystemRandom);
    let pem = std::fs::read(file).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    let certificates: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
    client_config(&CRYPTO, &certificates, Dates::Clock(unix_time)).map_err(|error| error.to_string())
}

fn unix_time() -> Option<u64> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs())
}

impl SecureRandom for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(bytes).map_err(|_| GetRandomFailed)
    }
}
