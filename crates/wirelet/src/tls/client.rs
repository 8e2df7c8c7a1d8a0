//! TLS of a client: whom it trusts, and who it is.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};
use tokio_rustls::TlsConnector;

use super::provider;
use crate::transport::Transport;

/// How a client speaks TLS: whom it trusts, and who it is. For [`Builder::tls`](crate::client::Builder::tls).
///
/// Clones share the memory for resumed sessions. TLS 1.2 and 1.3; no early data.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// The same without the client's certificate, and without the sessions in which it was shown.
    anonymous: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

/// Settings of [`Tls`]; made by [`Tls::builder`].
#[must_use = "nothing happens before build"]
pub struct TlsBuilder {
    roots: Roots,
    pins: Vec<[u8; 32]>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    name: Option<String>,
    alpn: Vec<Vec<u8>>,
    any_name: bool,
    any_certificate: bool,
}

/// Whose certificates are trusted.
enum Roots {
    Platform,
    #[cfg(feature = "tls-webpki-roots")]
    Webpki,
    Own(Vec<Vec<u8>>),
}

/// Why TLS has failed, or could not be set up. It keeps what rustls or the operating system has said.
#[derive(Debug)]
pub struct TlsError(Cause);

#[derive(Debug)]
enum Cause {
    Setup(&'static str),
    Tls(rustls::Error),
    Io(io::Error),
}

/// A TLS alert (RFC 8446 6), as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alert {
    /// The server has sent it.
    Received(u8),
    /// This end has sent it.
    Sent(u8),
}

impl Tls {
    /// Settings, with their defaults: the platform's roots, no client certificate.
    pub fn builder() -> TlsBuilder {
        TlsBuilder {
            roots: Roots::Platform,
            pins: Vec::new(),
            identity: None,
            name: None,
            alpn: vec![b"http/1.1".to_vec()],
            any_name: false,
            any_certificate: false,
        }
    }

    /// Speaks TLS by a configuration of rustls: for keys in hardware, revocation lists, and whatever else is not in
    /// [`TlsBuilder`].
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        let mut anonymous = ClientConfig::clone(&config);
        anonymous.client_auth_cert_resolver = Arc::new(Anonymous);
        anonymous.resumption = Resumption::default();
        Self { config, anonymous: Arc::new(anonymous), name: None }
    }

    /// The TLS handshake with `host` over a stream that stands. A stranger, which a redirect has named, is shown no client
    /// certificate and checked by its own name.
    pub(crate) async fn connect(
        &self,
        transport: Transport,
        host: &str,
        stranger: bool,
    ) -> Result<Transport, TlsError> {
        let named = self.name.clone().filter(|_| !stranger);
        let name = match named {
            Some(name) => name,
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| TlsError(Cause::Setup("the host is no name that a certificate could have")))?,
        };
        let config = if stranger { &self.anonymous } else { &self.config };
        match TlsConnector::from(Arc::clone(config)).connect(name, transport).await {
            Ok(stream) => Ok(Transport::new(stream)),
            Err(error) => Err(TlsError::from_io(error).unwrap_or_else(|error| TlsError(Cause::Io(error)))),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the client's key.
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Trusts the certificates in `pem` as roots, and no others. Several calls add to each other.
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        match &mut self.roots {
            Roots::Own(own) => own.push(pem.into()),
            _ => self.roots = Roots::Own(vec![pem.into()]),
        }
        self
    }

    /// Trusts Mozilla's roots, as of the version of the crate `webpki-roots`, instead of the platform's: the same everywhere, also
    /// where the system has none.
    #[cfg(feature = "tls-webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.roots = Roots::Webpki;
        self
    }

    /// Trusts a server whose certificate has this fingerprint (SHA-256 of its DER form), and no other; several calls allow several. No root,
    /// name or date counts then: a certificate is what it is. That the server has its key is proved as always.
    pub fn pin_sha256(mut self, fingerprint: [u8; 32]) -> Self {
        self.pins.push(fingerprint);
        self
    }

    /// Proves who this client is, by a certificate, with those between it and a root behind it, and its private key (PKCS #8, PKCS #1 or
    /// SEC 1), both PEM. A server that a redirect names is not shown it.
    pub fn client_certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// The name, or the IP address, that the server's certificate must have, and that is sent (SNI), instead of the host of
    /// the URL.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The protocols that are offered by ALPN (RFC 7301). Default: `http/1.1`. None: the extension is not sent.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts a certificate that a trusted root has signed for *any* name. Whoever has such a certificate can read and change everything.
    pub const fn danger_accept_any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Accepts *any* certificate. Whoever is in between can read and change everything; [`pin_sha256`](Self::pin_sha256) is
    /// what a certificate without a root needs.
    pub const fn danger_accept_any_certificate(mut self) -> Self {
        self.any_certificate = true;
        self
    }

    /// Puts it together. The platform's roots are read now.
    ///
    /// # Errors
    /// [`TlsError`]: a PEM file without a certificate or key, a key that is not the certificate's, a malformed name, a platform without
    /// roots.
    pub fn build(self) -> Result<Tls, TlsError> {
        let name = self.name.map(ServerName::try_from).transpose();
        let name = name.map_err(|_| TlsError(Cause::Setup("the server name is malformed")))?;
        let provider = provider();
        let trusting = |trust| Arc::new(Verifier { trust, provider: Arc::clone(&provider) });
        let verifier: Arc<dyn ServerCertVerifier> = if self.any_certificate {
            trusting(Trust::Any)
        } else if !self.pins.is_empty() {
            trusting(Trust::Pinned(self.pins))
        } else if self.any_name {
            trusting(Trust::AnyName(self.roots.verifier(&provider)?))
        } else {
            self.roots.verifier(&provider)?
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.identity {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(&key)
                    .map_err(|_| TlsError(Cause::Setup("the PEM of the client's key has no private key")))?;
                builder.with_client_auth_cert(certificates(&chain)?, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        Ok(Tls { name, ..Tls::from_rustls(Arc::new(config)) })
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the client's key.
        f.debug_struct("TlsBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Roots {
    fn verifier(self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let mut store = RootCertStore::empty();
        match self {
            Self::Platform => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider))?;
                return Ok(Arc::new(verifier));
            }
            #[cfg(feature = "tls-webpki-roots")]
            Self::Webpki => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Self::Own(own) => {
                for pem in own {
                    for certificate in certificates(&pem)? {
                        store.add(certificate)?;
                    }
                }
            }
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        match builder.build() {
            Ok(verifier) => Ok(verifier),
            Err(_) => Err(TlsError(Cause::Setup("the roots cannot be used"))),
        }
    }
}

/// All certificates of a PEM file, of which there must be one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError(Cause::Setup("a PEM of certificates has none"))),
        Err(_) => Err(TlsError(Cause::Setup("a PEM of certificates is malformed"))),
    }
}

/// A client without a certificate.
#[derive(Debug)]
struct Anonymous;

impl ResolvesClientCert for Anonymous {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A verifier that checks less of a certificate, or something else, than a name and a root. That the server has the certificate's key is
/// proved as always.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// Which certificates are accepted.
#[derive(Debug)]
enum Trust {
    Any,
    /// Those with one of these fingerprints.
    Pinned(Vec<[u8; 32]>),
    /// Those that this verifier accepts, or would for another name. The name is what it looks at last.
    AnyName(Arc<dyn ServerCertVerifier>),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{ApplicationVerificationFailure, NotValidForName, NotValidForNameContext};
        match &self.trust {
            Trust::Any => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pins) => {
                let is_trusted = sha256(&self.provider, end_entity).is_some_and(|hash| pins.contains(&hash));
                is_trusted
                    .then(ServerCertVerified::assertion)
                    .ok_or_else(|| ApplicationVerificationFailure.into())
            }
            Trust::AnyName(verifier) => {
                match verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                    Err(rustls::Error::InvalidCertificate(
                        NotValidForName | NotValidForNameContext { .. },
                    )) => Ok(ServerCertVerified::assertion()),
                    verified => verified,
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// By the provider, which has it for its cipher suites.
fn sha256(provider: &CryptoProvider, data: &[u8]) -> Option<[u8; 32]> {
    let hash = provider.cipher_suites.iter().find_map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => {
            Some(suite.common.hash_provider).filter(|hash| hash.algorithm() == HashAlgorithm::SHA256)
        }
        SupportedCipherSuite::Tls12(_) => None,
    })?;
    hash.hash(data).as_ref().try_into().ok()
}

impl TlsError {
    /// What TLS has said through a stream; the error itself where it was not TLS.
    pub(crate) fn from_io(error: io::Error) -> Result<Self, io::Error> {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
        tls.map(|tls| Self(Cause::Tls(tls))).ok_or(error)
    }

    /// The error of rustls. None where the network failed, or the settings were wrong.
    pub const fn rustls(&self) -> Option<&rustls::Error> {
        match &self.0 {
            Cause::Tls(error) => Some(error),
            _ => None,
        }
    }

    /// What the operating system said; an end of the connection in the TLS handshake is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    pub const fn io_error(&self) -> Option<&io::Error> {
        match &self.0 {
            Cause::Io(error) => Some(error),
            _ => None,
        }
    }

    /// The alert that the server has sent, or that it was sent for its certificate.
    pub fn alert(&self) -> Option<Alert> {
        match self.rustls()? {
            rustls::Error::AlertReceived(alert) => Some(Alert::Received((*alert).into())),
            rustls::Error::InvalidCertificate(error) => {
                Some(Alert::Sent(AlertDescription::from(error.clone()).into()))
            }
            _ => None,
        }
    }

    /// Whether it is the server's certificate that is not accepted.
    pub const fn is_certificate(&self) -> bool {
        matches!(self.0, Cause::Tls(rustls::Error::InvalidCertificate(_)))
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(Cause::Tls(error))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Setup(what) => f.write_str(what)?,
            Cause::Tls(error) => error.fmt(f)?,
            Cause::Io(error) => error.fmt(f)?,
        }
        match self.alert() {
            Some(Alert::Sent(number)) => write!(f, " (alert {number} sent)"),
            Some(Alert::Received(number)) => write!(f, " (alert {number})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Setup(_) => None,
            Cause::Tls(error) => Some(error),
            Cause::Io(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_sha_256() {
        // FIPS 180-4, "abc".
        let hash = sha256(&provider(), b"abc").unwrap();
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hash[28..], [0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn wrong_settings_are_told_when_they_are_made() {
        for builder in [
            Tls::builder().roots_pem("nothing"),
            Tls::builder().roots_pem("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"),
            Tls::builder().server_name("a b"),
            Tls::builder().pin_sha256([0; 32]).client_certificate_pem("", ""),
        ] {
            let error = builder.build().unwrap_err();
            assert!(matches!(error.0, Cause::Setup(_)), "{error}");
        }
    }
}
