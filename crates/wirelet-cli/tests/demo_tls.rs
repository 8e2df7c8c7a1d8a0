//! `wirelet demo wss://…`, against a TLS server that asks for a client certificate, in front of `wirelet serve`.

mod harness;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::{Outcome, Server, run};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// Files in a folder that goes when it is dropped.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("wirelet-demo-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}

/// Speaks TLS for the server at `behind`, and wants to see a client certificate that the root has signed.
fn tls_before(
    behind: SocketAddr,
    root: &CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut near = acceptor.accept(stream).await?;
                    let mut far = tokio::net::TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
    });
    address
}

fn demo(url: &str, arguments: &[&str]) -> Outcome {
    run(&[&["demo", url, "--interval", "1ms", "--watchdog", "500ms"], arguments].concat())
}

#[test]
fn a_server_by_tls_with_certificates_on_both_sides() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap(), key)
    };
    let ((certificate, key), (device, device_key)) = (signed("127.0.0.1"), signed("device"));
    let files = Files::new();
    let ca = files.write("ca.pem", &root.pem());
    let cert = files.write("device.pem", &device.pem());
    let secret = files.write("device.key", &device_key.serialize_pem());
    let both = files.write("both.pem", &format!("{}{}", device.pem(), device_key.serialize_pem()));

    let server = Server::start(&[]);
    let address = tls_before(server.addr, root.der(), certificate.der().clone(), &key);
    let url = format!("wss://{address}/ws");

    for flags in [&["--cert", &cert, "--key", &secret][..], &["--cert", &both]] {
        let outcome = demo(&url, &[&["--cacert", &ca], flags].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("closed cleanly, by this client"), "{outcome:?}");
    }

    // Nobody has told whom to trust: the system does not know this root, or has none at all.
    let outcome = demo(&url, &["--cert", &both]);
    assert!(matches!(outcome.code, Some(2 | 3)), "{outcome:?}");
    assert!(outcome.stderr.contains("TLS"), "{outcome:?}");

    let outcome = demo(&url, &["--insecure", "--cert", &both]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("the server's certificate is not checked"), "{outcome:?}");

    let outcome = demo(&url, &["--cacert", &ca]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    for text in ["TLS handshake", "CertificateRequired", "alert 116", "--cert and --key"] {
        assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
    }

    for flags in [["--cacert", "/nonexistent"], ["--cert", &ca], ["--cacert", &secret]] {
        let outcome = demo(&url, &flags);
        assert_eq!(outcome.code, Some(2), "{flags:?}: {outcome:?}");
    }
}
