//! Certificates made on the spot, and a TLS server of rustls that answers with them.
#![allow(dead_code)] // each test program uses a part of it

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ED25519,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client_peer::unhung;

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key. Both are of a fixed length, Ed25519's.
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each has a name of its own, by which a certificate says who has signed it.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {:4}", NUMBER.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// An identity for `names`, changed by `change`.
    pub(crate) fn identity(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// An identity for the address of this machine.
    pub(crate) fn local(&self) -> Identity {
        self.identity(&["127.0.0.1", "localhost"], |_| {})
    }
}

/// A server that is trusted by nobody.
pub(crate) fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    change(&mut params);
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    Identity { certificate: params.self_signed(&key).unwrap(), key }
}

/// As the library chooses it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls-ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(feature = "tls-ring"))]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
}

/// Whether a server wants to see a client's certificate, and whose signature it must have.
#[derive(Clone, Copy)]
pub(crate) enum Clients<'a> {
    Any,
    Asked(&'a Authority),
    Required(&'a Authority),
}

/// A server's configuration: who it is, what it wants of clients, which versions it speaks.
pub(crate) fn server(
    identity: &Identity,
    clients: Clients<'_>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let verifier = |authority: &Authority| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
    };
    let builder = match clients {
        Clients::Any => builder.with_no_client_auth(),
        Clients::Asked(authority) => {
            builder.with_client_cert_verifier(verifier(authority).allow_unauthenticated().build().unwrap())
        }
        Clients::Required(authority) => {
            builder.with_client_cert_verifier(verifier(authority).build().unwrap())
        }
    };
    // A resolver, since nobody compares key and certificate then: a test shows a stolen one.
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let key = provider().key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(vec![identity.certificate.der().clone()], key);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.send_tls13_tickets = 0;
    config
}

/// A TLS server on a port of this machine.
pub(crate) struct TlsPeer {
    pub(crate) listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsPeer {
    pub(crate) async fn bind(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(crate) fn url(&self) -> String {
        format!("wss://127.0.0.1:{}/", self.port())
    }

    /// The next connection through its TLS handshake.
    pub(crate) async fn accept(&self) -> io::Result<TlsStream<TcpStream>> {
        let (stream, _) = unhung(self.listener.accept()).await.unwrap();
        let (stream, error) = match unhung(self.acceptor.accept(stream).into_fallible()).await {
            Ok(stream) => return Ok(stream),
            Err((error, stream)) => (stream, error),
        };
        // What the client has sent meanwhile is read, so that a reset cannot overtake the alert.
        let drain = async {
            let (mut stream, mut bytes) = (stream, [0; 1024]);
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            while matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await, Ok(1..)) {}
        };
        unhung(drain).await;
        Err(error)
    }
}
