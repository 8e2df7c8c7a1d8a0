//! Who is trusted, and who is not.

use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use embedded_io_async::{Error as _, ErrorKind, Read as _, Write as _};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    AlertDescription, CertificateError, CipherSuite, NamedGroup, PeerIncompatible, ServerConfig,
    SignatureAlgorithm, SignatureScheme,
};

use super::super::support::{ManualClock, Net, block_on};
use super::support::*;
use crate::net::{Connect as _, Remote, Socket as _};
use crate::tls::{Connector, Dates, Error, LONGEST_RECORD, Memory, client_config};

/// Bytes that go there and back.
fn echo(chain: &Chain, server: ServerConfig) -> (Option<CipherSuite>, Option<NamedGroup>) {
    let (echoed, agreed) = talk::<LONGEST_RECORD, _, _>(
        2048,
        "device",
        chain.client(),
        server,
        async |stream| {
            let mut stream = stream.unwrap();
            let (mut reader, mut writer) = stream.split();
            writer.write_all(b"ping").await.unwrap();
            let mut echoed = [0; 4];
            reader.read_exact(&mut echoed).await.unwrap();
            assert_eq!(reader.read(&mut [0; 4]).await, Ok(0));
            echoed
        },
        async |mut peer| {
            peer.handshake().await.unwrap();
            let text = peer.take(4).await;
            peer.send(text).await;
            peer.finish().await;
            let group = peer.connection.negotiated_key_exchange_group();
            (
                peer.connection.negotiated_cipher_suite().map(|suite| suite.suite()),
                group.map(|group| group.name()),
            )
        },
    );
    assert_eq!(&echoed, b"ping");
    agreed
}

#[test]
fn chains_with_intermediates_are_trusted_whatever_their_keys() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let chain = Chain::with(algorithm, params("device", [2025, 2030]));
        echo(&chain, chain.server());
    }
}

#[test]
fn every_cipher_suite_and_every_group_works() {
    let chain = Chain::new();
    for suite in [CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, CipherSuite::TLS13_AES_128_GCM_SHA256] {
        // The client begins with X25519: a server that wants P-256 asks for it (HelloRetryRequest).
        for group in [NamedGroup::X25519, NamedGroup::secp256r1] {
            let mut provider = ring::default_provider();
            provider.cipher_suites.retain(|other| other.suite() == suite);
            provider.kx_groups.retain(|other| other.name() == group);
            let server = server(provider, chain.sent(), chain.leaf.private());
            assert_eq!(echo(&chain, server), (Some(suite), Some(group)));
        }
    }
}

#[test]
fn a_name_may_be_an_address_or_a_wildcard() {
    for (name, host) in [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("*.devices.example", "a.devices.example"),
    ] {
        let chain = Chain::with(&PKCS_ECDSA_P256_SHA256, params(name, [2025, 2030]));
        assert_eq!(handshake(host, chain.client(), chain.server()), (Ok(()), Ok(())), "{name}");
    }
}

/// What the client says to a server with this chain under a root that it trusts, and what it tells the server.
fn refusal(root: &Issued, sent: &[&Issued], host: &str) -> (CertificateError, AlertDescription) {
    let chain: Vec<CertificateDer<'static>> = sent.iter().map(|issued| issued.der.clone()).collect();
    let server = server(ring::default_provider(), chain, sent[0].private());
    let (client, server) = handshake(host, client(root), server);
    let error = client.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    match (error, server) {
        (Error::Tls(rustls::Error::InvalidCertificate(error)), Err(rustls::Error::AlertReceived(alert))) => {
            (error, alert)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let Chain { root, middle, leaf } = Chain::new();
    for host in ["other", "192.0.2.1", "device.example", "evice"] {
        let (error, alert) = refusal(&root, &[&leaf, &middle], host);
        assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
        assert_eq!(alert, AlertDescription::BadCertificate);
    }
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let root = Issued::itself(authority("root"));
    let middle = root.signs(authority("middle"));
    let mut late = authority("late");
    late.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let late = root.signs(late);
    let expired = [middle.signs(params("device", [2020, 2026])), late.signs(params("device", [2025, 2030]))];
    for (leaf, middle) in [(&expired[0], &middle), (&expired[1], &late)] {
        let (error, alert) = refusal(&root, &[leaf, middle], "device");
        assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
        assert_eq!(alert, AlertDescription::CertificateExpired);
    }
    let early = middle.signs(params("device", [2027, 2030]));
    let (error, _) = refusal(&root, &[&early, &middle], "device");
    assert!(matches!(error, CertificateError::NotValidYetContext { .. }), "{error:?}");
}

#[test]
fn authorities_that_are_not_given_are_not_trusted() {
    let Chain { root, middle, leaf } = Chain::new();
    let other = Issued::itself(authority("root"));
    assert_eq!(refusal(&other, &[&leaf, &middle], "device").0, CertificateError::BadSignature);
    let stranger = Issued::itself(authority("stranger"));
    let (error, alert) = refusal(&stranger, &[&leaf, &middle], "device");
    assert_eq!((error, alert), (CertificateError::UnknownIssuer, AlertDescription::UnknownCA));
    // The chain has to be complete.
    assert_eq!(refusal(&root, &[&leaf], "device").0, CertificateError::UnknownIssuer);
    // Whoever signs for himself is trusted by nobody else.
    let itself = Issued::itself(params("device", [2025, 2030]));
    assert_eq!(refusal(&root, &[&itself], "device").0, CertificateError::UnknownIssuer);
}

/// RFC 5280 4.2.1.9, 4.2.1.3: only authorities issue certificates.
#[test]
fn a_server_is_no_authority() {
    let Chain { root, middle, leaf } = Chain::new();
    let under_leaf = leaf.signs(params("device", [2025, 2030]));
    let (error, _) = refusal(&root, &[&under_leaf, &leaf, &middle], "device");
    assert!(matches!(error, CertificateError::Other(_)), "{error:?}");
    assert!(std::format!("{error:?}").contains("EndEntityUsedAsCa"), "{error:?}");
    // One that says that it is none.
    let mut none = params("device", [2025, 2030]);
    none.is_ca = IsCa::ExplicitNoCa;
    let none = middle.signs(none);
    let under_none = none.signs(params("device", [2025, 2030]));
    let (error, _) = refusal(&root, &[&under_none, &none, &middle], "device");
    assert!(std::format!("{error:?}").contains("EndEntityUsedAsCa"), "{error:?}");
}

#[test]
fn an_authority_goes_no_further_than_it_may() {
    let root = Issued::itself(authority("root"));
    // RFC 5280 4.2.1.9: the length of the path under it.
    let mut last = authority("last");
    last.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let last = root.signs(last);
    let beyond = last.signs(authority("beyond"));
    let leaf = beyond.signs(params("device", [2025, 2030]));
    let (error, _) = refusal(&root, &[&leaf, &beyond, &last], "device");
    assert!(std::format!("{error:?}").contains("PathLenConstraintViolated"), "{error:?}");
    // RFC 5280 4.2.1.10: the names under it.
    let mut narrow = authority("narrow");
    narrow.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example".into())],
        excluded_subtrees: vec![],
    });
    let narrow = root.signs(narrow);
    let leaf = narrow.signs(params("device", [2025, 2030]));
    let (error, _) = refusal(&root, &[&leaf, &narrow], "device");
    assert!(std::format!("{error:?}").contains("NameConstraintViolation"), "{error:?}");
}

#[test]
fn a_certificate_for_clients_is_none_for_servers() {
    let Chain { root, middle, .. } = Chain::new();
    let mut user: CertificateParams = params("device", [2025, 2030]);
    user.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let user = middle.signs(user);
    let (error, _) = refusal(&root, &[&user, &middle], "device");
    assert!(matches!(error, CertificateError::InvalidPurposeContext { .. }), "{error:?}");
}

/// Signs the handshake, and spoils the signature at one byte, or signs with another key than its certificate's.
#[derive(Debug)]
struct Forger {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    spoil: Option<usize>,
}

#[derive(Debug)]
struct Spoiled(Arc<dyn SigningKey>, usize);

#[derive(Debug)]
struct SpoiledSigner(std::boxed::Box<dyn Signer>, usize);

impl ResolvesServerCert for Forger {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key: Arc<dyn SigningKey> = match self.spoil {
            Some(at) => Arc::new(Spoiled(self.key.clone(), at)),
            None => self.key.clone(),
        };
        Some(Arc::new(CertifiedKey::new(self.chain.clone(), key)))
    }
}

impl SigningKey for Spoiled {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<std::boxed::Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(std::boxed::Box::new(SpoiledSigner(signer, self.1)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for SpoiledSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut signature = self.0.sign(message)?;
        let at = self.1 % signature.len();
        signature[at] ^= 1;
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

#[test]
fn the_certificate_alone_proves_nothing() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let chain = Chain::with(algorithm, params("device", [2025, 2030]));
        let other = Issued::itself_with(params("device", [2025, 2030]), algorithm);
        let load = |issued: &Issued| ring::default_provider().key_provider.load_private_key(issued.private());
        let forge = |key: &Issued, spoil| {
            let key = load(key).unwrap();
            let forger = Forger { chain: chain.sent(), key, spoil };
            ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(forger))
        };
        let expected = Error::Tls(rustls::Error::InvalidCertificate(CertificateError::BadSignature));
        assert_eq!(handshake("device", chain.client(), forge(&other, None)).0, Err(expected.clone()));
        for at in 0..72 {
            assert_eq!(
                handshake("device", chain.client(), forge(&chain.leaf, Some(at))).0,
                Err(expected.clone())
            );
        }
        assert_eq!(handshake("device", chain.client(), forge(&chain.leaf, None)).0, Ok(()));
    }
}

#[test]
fn a_server_that_speaks_only_older_versions_is_refused() {
    let chain = Chain::new();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.sent(), chain.leaf.private())
        .unwrap();
    let (client, server) = handshake("device", chain.client(), server);
    let alert = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(client, Err(Error::Tls(alert)));
    let reason = PeerIncompatible::Tls12NotOfferedOrEnabled;
    assert_eq!(server, Err(rustls::Error::PeerIncompatible(reason)));
}

#[test]
fn without_a_clock_nobody_is_trusted_unless_it_is_asked_for() {
    let chain = Chain::new();
    let root: &[&[u8]] = &[&chain.root.der];
    let unset = client_config(&CRYPTO, root, Dates::Clock(|| None)).unwrap();
    let (client, _) = handshake("device", unset, chain.server());
    assert_eq!(client, Err(Error::Tls(rustls::Error::FailedToGetCurrentTime)));
    let since = client_config(&CRYPTO, root, Dates::Since(NOW)).unwrap();
    let outcome = |years: [i32; 2], middle: [i32; 2]| {
        let mut authority = authority("middle");
        authority.not_before = rcgen::date_time_ymd(middle[0], 1, 1);
        authority.not_after = rcgen::date_time_ymd(middle[1], 1, 1);
        let middle = chain.root.signs(authority);
        let leaf = middle.signs(params("device", years));
        let server = server(ring::default_provider(), vec![leaf.der.clone(), middle.der], leaf.private());
        handshake("device", since.clone(), server).0
    };
    assert_eq!(outcome([2025, 2027], [2020, 2040]), Ok(()));
    // Issued since then, with an authority that is new, too.
    assert_eq!(outcome([2030, 2031], [2020, 2040]), Ok(()));
    assert_eq!(outcome([2030, 2031], [2028, 2040]), Ok(()));
    // Expired before then; an authority that ends before the certificate begins.
    for (leaf, middle) in [([2020, 2026], [2020, 2040]), ([2030, 2031], [2020, 2029])] {
        let error = outcome(leaf, middle).unwrap_err();
        let Error::Tls(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. })) = error
        else {
            panic!("{error:?}")
        };
    }
    // All else is checked as ever.
    let (client, _) = handshake("other", since, chain.server());
    assert!(matches!(client, Err(Error::Tls(rustls::Error::InvalidCertificate(_)))), "{client:?}");
}

#[test]
fn what_is_no_name_and_what_is_no_root_are_refused_at_once() {
    let chain = Chain::new();
    let (net, mut memory) = (Net::new(64), Memory::<512, 512>::new());
    let mut connector = Connector::new(net.clone(), &mut memory, chain.client(), &|_| {});
    for host in ["", "no name", "-", &"a.".repeat(200)] {
        let connect = async { connector.connect(Remote { host, port: 443, secure: true }).await.map(drop) };
        assert_eq!(block_on(&ManualClock::default(), connect, vec![]), Err(Error::Name));
    }
    assert!(net.remotes().is_empty());
    assert!(client_config(&CRYPTO, &[b"no certificate"], Dates::Since(NOW)).is_err());
    assert!(client_config(&CRYPTO, &[], Dates::Since(NOW)).is_err());
}
