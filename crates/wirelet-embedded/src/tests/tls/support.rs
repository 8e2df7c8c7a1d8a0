//! Authorities, certificates, and a server with other cryptography than the client's.

use std::io::{Read as _, Write as _};
use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use embedded_io_async::{Read as _, Write as _};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConnection;
use rustls::{ClientConfig, ServerConfig};

use super::super::support::*;
use crate::net::{Connect, Remote, Socket as _};
use crate::tls::{Connector, Crypto, Dates, Error, LONGEST_RECORD, Memory, Stream, client_config};

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        ring::default_provider().secure_random.fill(bytes)
    }
}

pub(super) static CRYPTO: Crypto = Crypto::new(&Random);

/// The middle of 2026, when everybody's certificates are valid.
pub(super) const NOW: u64 = 1_782_000_000;

/// A certificate and its key.
pub(super) struct Issued {
    pub(super) der: CertificateDer<'static>,
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
}

/// Valid from the beginning of one year to the beginning of another.
pub(super) fn params(name: &str, years: [i32; 2]) -> CertificateParams {
    let mut params = CertificateParams::new(vec![String::from(name)]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(years[0], 1, 1);
    params.not_after = date_time_ymd(years[1], 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(super) fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, [2020, 2040]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages.clear();
    params
}

impl Issued {
    pub(super) fn itself(params: CertificateParams) -> Self {
        Self::itself_with(params, &PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn itself_with(params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { der, params, key }
    }

    /// A certificate that this one has signed, whether it may or not.
    pub(super) fn signs(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(self.key.algorithm()).unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Self { der, params, key }
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// A root, an authority under it, and a server's certificate for `device` under that.
pub(super) struct Chain {
    pub(super) root: Issued,
    pub(super) middle: Issued,
    pub(super) leaf: Issued,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self::with(&PKCS_ECDSA_P256_SHA256, params("device", [2025, 2030]))
    }

    pub(super) fn with(algorithm: &'static SignatureAlgorithm, leaf: CertificateParams) -> Self {
        let root = Issued::itself_with(authority("root"), algorithm);
        let middle = root.signs(authority("middle"));
        let leaf = middle.signs(leaf);
        Self { root, middle, leaf }
    }

    /// What the server sends.
    pub(super) fn sent(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.der.clone(), self.middle.der.clone()]
    }

    pub(super) fn server(&self) -> ServerConfig {
        server(ring::default_provider(), self.sent(), self.leaf.private())
    }

    /// One that writes nothing by itself: with pipes of a few bytes, a client that does not read would stop it.
    pub(super) fn server_without_tickets(&self) -> ServerConfig {
        let mut server = self.server();
        server.send_tls13_tickets = 0;
        server
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        client(&self.root)
    }
}

pub(super) fn server(
    provider: CryptoProvider,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

pub(super) fn client(root: &Issued) -> Arc<ClientConfig> {
    client_config(&CRYPTO, &[&root.der], Dates::Clock(|| Some(NOW))).unwrap()
}

/// A server's end of a connection.
pub(super) struct Peer {
    pub(super) connection: ServerConnection,
    pub(super) wire: Wire,
    text: Vec<u8>,
}

impl Peer {
    pub(super) async fn accept(net: &Net, config: ServerConfig) -> Self {
        let Ok(wire) = crate::net::Listen::accept(&mut net.clone()).await;
        Self { connection: ServerConnection::new(Arc::new(config)).unwrap(), wire, text: Vec::new() }
    }

    /// Sends what rustls has to send.
    pub(super) async fn flush(&mut self) {
        let (_, mut writer) = self.wire.split();
        while self.connection.wants_write() {
            let mut records = Vec::new();
            self.connection.write_tls(&mut records).unwrap();
            // The client may be gone.
            let _ = writer.write_all(&records).await;
        }
    }

    /// Takes in what comes next; false at the end of the stream.
    pub(super) async fn receive(&mut self) -> Result<bool, rustls::Error> {
        let mut bytes = vec![0; 4096];
        let n = self.wire.split().0.read(&mut bytes).await.unwrap_or(0);
        let mut rest = &bytes[..n];
        while !rest.is_empty() {
            self.connection.read_tls(&mut rest).unwrap();
            let state = self.connection.process_new_packets();
            self.flush().await;
            let mut text = vec![0; state?.plaintext_bytes_to_read()];
            self.connection.reader().read_exact(&mut text).unwrap();
            self.text.extend(text);
        }
        self.flush().await;
        Ok(n > 0)
    }

    pub(super) async fn handshake(&mut self) -> Result<(), rustls::Error> {
        while self.connection.is_handshaking() {
            if !self.receive().await? {
                return Err(rustls::Error::HandshakeNotComplete);
            }
        }
        Ok(())
    }

    /// The handshake; answers what the server would send after it.
    pub(super) async fn handshake_without_tickets(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        loop {
            let n = self.wire.split().0.read(&mut bytes).await.unwrap();
            self.connection.read_tls(&mut &bytes[..n]).unwrap();
            self.connection.process_new_packets().unwrap();
            if !self.connection.is_handshaking() {
                break;
            }
            self.flush().await;
        }
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).unwrap();
        }
        records
    }

    pub(super) async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.text.len() < n {
            assert!(self.receive().await.unwrap(), "the stream ends");
        }
        self.text.drain(..n).collect()
    }

    /// A head of HTTP.
    pub(super) async fn head(&mut self) -> String {
        while !self.text.ends_with(b"\r\n\r\n") {
            assert!(self.receive().await.unwrap(), "the stream ends");
        }
        String::from_utf8(core::mem::take(&mut self.text)).unwrap()
    }

    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) {
        for part in text.as_ref().chunks(16_384) {
            self.connection.writer().write_all(part).unwrap();
            self.flush().await;
        }
    }

    /// Tells the client that nothing more comes, as TLS does.
    pub(super) async fn finish(&mut self) {
        self.connection.send_close_notify();
        self.flush().await;
    }

    /// All text until the end of the stream.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.receive().await.unwrap() {}
        core::mem::take(&mut self.text)
    }
}

/// Connects to `host` with pipes of `capacity` bytes and `RX` bytes of memory for records, and runs both sides' scripts.
///
/// A script of the client gets what came of it; that of the server begins before the handshake.
pub(super) fn talk<const RX: usize, T, U>(
    capacity: usize,
    host: &str,
    client: Arc<ClientConfig>,
    server: ServerConfig,
    client_script: impl AsyncFnOnce(Result<Stream<'_, Wire>, Error>) -> T,
    server_script: impl AsyncFnOnce(Peer) -> U,
) -> (T, U) {
    let (clock, net) = (ManualClock::default(), Net::new(capacity));
    let mut memory = Memory::<RX, 1024>::new();
    let reported = core::cell::RefCell::new(None);
    let report = |error: &Error| {
        reported.replace(Some(error.clone()));
    };
    let mut connector = Connector::new(net.clone(), &mut memory, client, &report);
    let script = async {
        let stream = connector.connect(Remote { host, port: 443, secure: true }).await;
        // Not every error of rustls is equal to itself.
        assert_eq!(std::format!("{:?}", reported.take()), std::format!("{:?}", stream.as_ref().err()));
        client_script(stream).await
    };
    block_on(&clock, both(script, async { server_script(Peer::accept(&net, server).await).await }), vec![])
}

/// What comes of a handshake, for the client and for the server.
pub(super) fn handshake(
    host: &str,
    client: Arc<ClientConfig>,
    server: ServerConfig,
) -> (Result<(), Error>, Result<(), rustls::Error>) {
    talk::<LONGEST_RECORD, _, _>(
        2048,
        host,
        client,
        server,
        async |stream| stream.map(drop),
        async |mut peer| peer.handshake().await,
    )
}
