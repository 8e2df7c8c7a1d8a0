//! The dates of certificates, and what a device without a clock does about them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// What certificates' dates are held against.
#[derive(Clone, Copy, Debug)]
pub enum Dates {
    /// A clock: seconds since 1970, or `None` while it has not been set; every handshake fails then.
    Clock(fn() -> Option<u64>),
    /// **No clock.** Seconds since 1970 when the firmware was built, or another moment that has certainly passed. What had
    /// expired then is refused. What has expired since is *not*, and a certificate that became valid later is believed that it
    /// is valid by now: a key that was stolen after that moment is good for ever.
    Since(u64),
}

impl TimeProvider for Dates {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = match *self {
            Self::Clock(now) => now()?,
            Self::Since(moment) => moment,
        };
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Checks all that webpki checks, at a time that the chain itself gives: [`Dates::Since`].
#[derive(Debug)]
pub(super) struct Timeless(pub(super) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Timeless {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut at = now;
        // Each round is for another certificate of the chain: time only moves forward.
        for _ in 0..=intermediates.len() {
            match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, at) {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before, ..
                })) if not_before > at => {
                    at = not_before;
                }
                result => return result,
            }
        }
        self.0.verify_server_cert(end_entity, intermediates, name, ocsp, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
