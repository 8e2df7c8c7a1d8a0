//! A client over TLS, against servers of rustls with certificates of every kind.
#![cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]

mod client_peer;
mod tls_peer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client_peer::{Peer, accept_on, unhung};
use rustls::{AlertDescription, CertificateError, Error as Rustls, ServerConfig};
use tls_peer::{Authority, Clients, Identity, TlsPeer, self_signed, server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wirelet::client::{
    Alert, Builder, ConnectError, Event, Phase, Reason, ReconnectConfig, RedirectError, Response, Tls,
    TlsBuilder,
};
use wirelet::{Client, CloseCode, Message, Timeout, WebSocket};

const ANY: &[&rustls::SupportedProtocolVersion] = rustls::ALL_VERSIONS;
const TLS_1_2: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS_1_3: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// One attempt of a client with `tls`, and what the server made of it.
async fn meet(
    config: ServerConfig,
    tls: TlsBuilder,
    host: &str,
) -> (Result<WebSocket, ConnectError>, io::Result<(WebSocket, String)>) {
    let peer = TlsPeer::bind(config).await;
    let url = format!("wss://{host}:{}/x", peer.port());
    let builder =
        Client::builder(url).addresses([peer.listener.local_addr().unwrap()]).tls(tls.build().unwrap());
    let client = async {
        let opened = builder.connect_once().await;
        opened.map(|(websocket, _)| websocket)
    };
    unhung(async { tokio::join!(client, async { accept_on(peer.accept().await?).await }) }).await
}

async fn echo(client: &mut WebSocket, server: &mut WebSocket, message: &str) {
    let serve = async {
        let message = server.recv().await.unwrap().unwrap();
        server.send(message).await.unwrap();
    };
    let ask = async {
        client.send(message).await.unwrap();
        assert_eq!(client.recv().await.unwrap().unwrap().as_text(), Some(message));
    };
    unhung(async { tokio::join!(serve, ask) }).await;
}

#[tokio::test]
async fn messages_pass_over_both_versions_and_the_end_is_clean() {
    for versions in [TLS_1_2, TLS_1_3] {
        let authority = Authority::new();
        let config = server(&authority.local(), Clients::Any, versions);
        let (client, accepted) = meet(config, Tls::builder().roots_pem(authority.pem()), "127.0.0.1").await;
        let (mut client, (mut server, head)) = (client.unwrap(), accepted.unwrap());
        assert!(head.starts_with("GET /x HTTP/1.1\r\n") && head.contains("Host: 127.0.0.1:"), "{head}");
        for len in [0, 1, 16_384, 300_000] {
            echo(&mut client, &mut server, &"x".repeat(len)).await;
        }
        let (closed, received) =
            unhung(async { tokio::join!(client.close(CloseCode::NORMAL, ""), server.recv()) }).await;
        closed.unwrap();
        assert!(received.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_keeps_its_error_and_the_alert() {
    let authority = Authority::new();
    let past = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let future = |params: &mut rcgen::CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let stranger = Authority::new();
    type Expected = fn(&CertificateError) -> bool;
    let cases: [(&str, Identity, Expected, AlertDescription); 5] = [
        (
            "expired",
            authority.identity(&["127.0.0.1"], past),
            |error| matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }),
            AlertDescription::CertificateExpired,
        ),
        (
            "not yet valid",
            authority.identity(&["127.0.0.1"], future),
            |error| {
                matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })
            },
            AlertDescription::CertificateExpired,
        ),
        (
            "wrong name",
            authority.identity(&["example.com", "127.0.0.2"], |_| {}),
            |error| {
                matches!(
                    error,
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                )
            },
            AlertDescription::BadCertificate,
        ),
        (
            "unknown root",
            stranger.local(),
            |error| *error == CertificateError::UnknownIssuer,
            AlertDescription::UnknownCA,
        ),
        (
            "self-signed",
            self_signed(&["127.0.0.1"], |_| {}),
            |error| *error == CertificateError::UnknownIssuer,
            AlertDescription::UnknownCA,
        ),
    ];
    for (what, identity, expected, alert) in cases {
        let tls = Tls::builder().roots_pem(authority.pem());
        let (client, accepted) = meet(server(&identity, Clients::Any, ANY), tls, "127.0.0.1").await;
        let error = client.unwrap_err();
        assert_eq!((error.phase(), error.is_callers()), (Phase::Tls, false), "{what}: {error}");
        let tls = error.tls().unwrap();
        let Some(Rustls::InvalidCertificate(certificate)) = tls.rustls() else { panic!("{what}: {error}") };
        assert!(expected(certificate) && tls.is_certificate(), "{what}: {error}");
        assert_eq!(tls.alert(), Some(Alert::Sent(alert.into())), "{what}: {error}");
        let refused = accepted.unwrap_err();
        let told = refused.get_ref().unwrap().downcast_ref::<Rustls>().unwrap();
        assert!(matches!(told, Rustls::AlertReceived(_)), "{what}: {told}");
        assert!(error.address().is_some() && error.raw_os_error().is_none());
    }
}

#[tokio::test]
async fn without_settings_the_platforms_roots_count() {
    let authority = Authority::new();
    let peer = TlsPeer::bind(server(&authority.local(), Clients::Any, ANY)).await;
    let builder = Client::builder(peer.url());
    let (client, accepted) = unhung(async { tokio::join!(builder.connect_once(), peer.accept()) }).await;
    let error = client.unwrap_err();
    // A platform without any root is told as such, and nothing is tried.
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    assert!(error.tls().unwrap().is_certificate() && accepted.is_err(), "{error}");
}

#[cfg(feature = "tls-webpki-roots")]
#[tokio::test]
async fn mozillas_roots_do_not_know_a_private_one() {
    let authority = Authority::new();
    let config = server(&authority.local(), Clients::Any, ANY);
    let (client, _) = meet(config, Tls::builder().webpki_roots(), "127.0.0.1").await;
    assert!(client.unwrap_err().tls().unwrap().is_certificate());
}

#[tokio::test]
async fn a_server_sees_the_clients_certificate_and_refuses_one_without() {
    for versions in [TLS_1_2, TLS_1_3] {
        let (authority, clients) = (Authority::new(), Authority::new());
        let device = clients.identity(&["device-7"], |_| {});
        let tls = || Tls::builder().roots_pem(authority.pem());
        let with = tls().client_certificate_pem(device.certificate.pem(), device.key.serialize_pem());
        let peer = TlsPeer::bind(server(&authority.local(), Clients::Required(&clients), versions)).await;
        let builder = Client::builder(peer.url()).tls(with.build().unwrap());
        let serve = async {
            let stream = peer.accept().await.unwrap();
            assert_eq!(shown(&stream), Some(device.certificate.der().to_vec()));
            accept_on(stream).await.unwrap()
        };
        let (client, _server) = unhung(async { tokio::join!(builder.connect_once(), serve) }).await;
        client.unwrap();

        let config = server(&authority.local(), Clients::Required(&clients), versions);
        let (client, accepted) = meet(config, tls(), "127.0.0.1").await;
        let error = client.unwrap_err();
        assert!(accepted.is_err());
        let Some(Alert::Received(alert)) = error.tls().unwrap().alert() else { panic!("{error}") };
        // RFC 8446 6.2: certificate_required, which rustls sends with TLS 1.2 too.
        assert_eq!((error.phase(), alert), (Phase::Tls, 116), "{error}");
        assert!(matches!(error.tls().unwrap().rustls(), Some(Rustls::AlertReceived(_))));
    }
}

/// The certificate that a client has shown.
fn shown(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.to_vec())
}

fn fingerprint(identity: &Identity) -> [u8; 32] {
    let provider = tls_peer::provider();
    let mut hashes = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
    let hash = hashes
        .find_map(|suite| Some(suite.common.hash_provider).filter(|hash| hash.output_len() == 32))
        .unwrap();
    hash.hash(identity.certificate.der()).as_ref().try_into().unwrap()
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_for_what_it_is() {
    for versions in [TLS_1_2, TLS_1_3] {
        let identity =
            self_signed(&["elsewhere"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        let pin = fingerprint(&identity);
        let tls = Tls::builder().pin_sha256([0; 32]).pin_sha256(pin);
        let (client, _server) = meet(server(&identity, Clients::Any, versions), tls, "127.0.0.1").await;
        client.unwrap();

        let other = self_signed(&["127.0.0.1"], |_| {});
        let tls = Tls::builder().pin_sha256(pin);
        let (client, _) = meet(server(&other, Clients::Any, versions), tls, "127.0.0.1").await;
        assert!(client.unwrap_err().tls().unwrap().is_certificate());

        // The certificate alone is not enough: whoever shows it must have its key.
        let thief = Identity { certificate: identity.certificate, key: other.key };
        let tls = Tls::builder().pin_sha256(pin);
        let (client, _) = meet(server(&thief, Clients::Any, versions), tls, "127.0.0.1").await;
        let error = client.unwrap_err();
        let bad = Rustls::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(error.tls().unwrap().rustls(), Some(&bad), "{error}");
    }
}

#[tokio::test]
async fn a_name_may_be_another_one_than_the_urls() {
    let authority = Authority::new();
    let tls = || Tls::builder().roots_pem(authority.pem());
    let named = || server(&authority.identity(&["device.internal"], |_| {}), Clients::Any, ANY);
    let (client, _server) = meet(named(), tls(), "device.internal").await;
    client.unwrap();
    let (client, _server) = meet(named(), tls().server_name("device.internal"), "127.0.0.1").await;
    client.unwrap();
    let (client, _) = meet(named(), tls().server_name("other.internal"), "device.internal").await;
    assert!(client.unwrap_err().tls().unwrap().is_certificate());
}

#[tokio::test]
async fn checks_that_are_switched_off_leave_the_others() {
    let authority = Authority::new();
    let tls = || Tls::builder().roots_pem(authority.pem());
    let elsewhere = || server(&authority.identity(&["elsewhere"], |_| {}), Clients::Any, ANY);
    let (client, _server) = meet(elsewhere(), tls().danger_accept_any_name(), "127.0.0.1").await;
    client.unwrap();
    let stranger = || server(&self_signed(&["elsewhere"], |_| {}), Clients::Any, ANY);
    let (client, _) = meet(stranger(), tls().danger_accept_any_name(), "127.0.0.1").await;
    assert!(client.unwrap_err().tls().unwrap().is_certificate());
    let (client, _server) = meet(stranger(), tls().danger_accept_any_certificate(), "127.0.0.1").await;
    client.unwrap();
}

#[tokio::test]
async fn protocols_are_offered_and_an_answer_that_fits_none_is_an_alert() {
    let authority = Authority::new();
    let offered = async |tls: TlsBuilder, served: &[&[u8]]| {
        let mut config = server(&authority.local(), Clients::Any, ANY);
        config.alpn_protocols = served.iter().map(|name| name.to_vec()).collect();
        let peer = TlsPeer::bind(config).await;
        let builder = Client::builder(peer.url()).tls(tls.roots_pem(authority.pem()).build().unwrap());
        let serve = async {
            let stream = peer.accept().await.ok()?;
            let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            accept_on(stream).await.ok().map(|_| chosen)
        };
        unhung(async { tokio::join!(builder.connect_once(), serve) }).await
    };
    let (client, chosen) = offered(Tls::builder(), &[b"h2", b"http/1.1"]).await;
    assert!(client.is_ok() && chosen == Some(Some(b"http/1.1".to_vec())));
    let (client, chosen) = offered(Tls::builder().alpn(["x", "http/1.1"]), &[b"x", b"http/1.1"]).await;
    assert!(client.is_ok() && chosen == Some(Some(b"x".to_vec())));
    let none: [&str; 0] = [];
    let (client, chosen) = offered(Tls::builder().alpn(none), &[b"h2"]).await;
    assert!(client.is_ok() && chosen == Some(None));
    let (client, _) = offered(Tls::builder(), &[b"h2"]).await;
    // RFC 7301 3.2: no_application_protocol.
    assert_eq!(client.unwrap_err().tls().unwrap().alert(), Some(Alert::Received(120)));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told() {
    let peer = Peer::bind().await;
    let builder = Client::builder(format!("wss://{}/", peer.address))
        .tls(Tls::builder().danger_accept_any_certificate().build().unwrap());
    let serve = async {
        let mut stream = peer.connection().await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (client, _stream) = unhung(async { tokio::join!(builder.connect_once(), serve) }).await;
    let error = client.unwrap_err();
    assert!(matches!(error.tls().unwrap().rustls(), Some(Rustls::InvalidMessage(_))), "{error}");
}

// ---- cut off ----

/// What is done when so many bytes have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    End,
    Stall,
}

/// Passes bytes on, at most `most`.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    most: usize,
    passed: &AtomicUsize,
) {
    let mut buffer = [0; 4096];
    loop {
        let room = most - passed.load(Ordering::Relaxed);
        if room == 0 {
            return;
        }
        let room = room.min(buffer.len());
        let Ok(len @ 1..) = from.read(&mut buffer[..room]).await else { return };
        passed.fetch_add(len, Ordering::Relaxed);
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// A client and a server with a line between that passes `down` bytes to the client and `up` bytes to the server.
/// What the client says, and how many bytes the server had sent.
async fn cut(
    builder: &Builder,
    config: &Arc<ServerConfig>,
    (up, down): (usize, usize),
    then: Then,
) -> (Result<(WebSocket, Response), ConnectError>, usize) {
    let (near, line) = duplex(1 << 16);
    let (other, far) = duplex(1 << 16);
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let serving = tokio::spawn(async move {
        let (mut websocket, _) = accept_on(acceptor.accept(far).await?).await?;
        let _ = websocket.recv().await;
        io::Result::Ok(())
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let passing = tokio::spawn(async move {
        let ((line_read, line_write), (far_read, far_write)) = (split(line), split(other));
        let received = AtomicUsize::new(0);
        let upwards = pass(line_read, far_write, up, &received);
        let downwards = pass(far_read, line_write, down, &counted);
        if then == Then::End {
            tokio::select! { () = upwards => {}, () = downwards => {} }
        } else {
            tokio::join!(upwards, downwards);
            std::future::pending::<()>().await;
        }
    });
    let result = unhung(builder.connect_on(near)).await;
    if then == Then::Stall {
        passing.abort();
    }
    // Nothing is left behind: the line ends when the client has let go of it, and the server with it.
    let result = match result {
        Ok((websocket, response)) => {
            drop((websocket, response));
            None
        }
        Err(error) => Some(error),
    };
    let _ = unhung(passing).await;
    let _ = unhung(serving).await.unwrap();
    (result.map_or_else(|| Err(opened()), Err), sent.load(Ordering::Relaxed))
}

/// Stands for an attempt that has succeeded.
fn opened() -> ConnectError {
    ConnectError::NoTls { host: "opened".into() }
}

fn has_opened(error: &ConnectError) -> bool {
    matches!(error, ConnectError::NoTls { host } if host == "opened")
}

#[tokio::test]
async fn a_handshake_cut_off_at_every_byte_ends_with_the_right_error() {
    for versions in [TLS_1_2, TLS_1_3] {
        let authority = Authority::new();
        let config = Arc::new(server(&authority.identity(&["x"], |_| {}), Clients::Any, versions));
        // Each attempt is a first one: a resumed session has another length.
        let fresh = || {
            let tls = Tls::builder().roots_pem(authority.pem()).build().unwrap();
            Client::builder("wss://x/").tls(tls)
        };
        let (whole, total) = cut(&fresh(), &config, (usize::MAX, usize::MAX), Then::End).await;
        assert!(has_opened(&whole.unwrap_err()));
        let (mut in_tls, mut behind) = (0, 0);
        for down in 0..total {
            let (result, _) = cut(&fresh(), &config, (usize::MAX, down), Then::End).await;
            let error = result.unwrap_err();
            if has_opened(&error) {
                // The last bytes are the close of the server.
                continue;
            }
            assert!(error.address().is_some(), "{down}: {error}");
            match error.phase() {
                Phase::Tls => {
                    assert_eq!(behind, 0, "{down}: {error}");
                    in_tls += 1;
                }
                Phase::Handshake => behind += 1,
                phase => panic!("{down}: {phase:?}: {error}"),
            }
            // Whether the client reads or writes when the line ends.
            let kind = error.io_error().unwrap_or_else(|| panic!("{down}: {error}")).kind();
            assert!(
                matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe),
                "{down}: {error}"
            );
        }
        assert!(in_tls > 400 && behind > 100, "{in_tls} {behind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_at_every_byte_ends_at_the_deadline() {
    let authority = Authority::new();
    let config = Arc::new(server(&authority.identity(&["x"], |_| {}), Clients::Any, TLS_1_3));
    let fresh =
        || Client::builder("wss://x/").tls(Tls::builder().roots_pem(authority.pem()).build().unwrap());
    let (_, total) = cut(&fresh(), &config, (usize::MAX, usize::MAX), Then::End).await;
    let mut seen = [0, 0];
    // Every seventh: the offsets within a record are those of the test above.
    for down in (0..total).step_by(7) {
        let (result, _) = cut(&fresh(), &config, (usize::MAX, down), Then::Stall).await;
        match result.unwrap_err() {
            error if has_opened(&error) => {}
            ConnectError::Timeout { which: Timeout::Tls, .. } => seen[0] += 1,
            ConnectError::Timeout { which: Timeout::Handshake, .. } => seen[1] += 1,
            error => panic!("{down}: {error}"),
        }
    }
    assert!(seen[0] > 50 && seen[1] > 10, "{seen:?}");
}

#[tokio::test]
async fn a_client_that_is_cut_off_at_every_byte_hangs_nowhere() {
    let authority = Authority::new();
    let config = Arc::new(server(&authority.identity(&["x"], |_| {}), Clients::Any, TLS_1_3));
    let fresh =
        || Client::builder("wss://x/").tls(Tls::builder().roots_pem(authority.pem()).build().unwrap());
    let mut failed = 0;
    for up in (0..700).step_by(3) {
        let (result, _) = cut(&fresh(), &config, (up, usize::MAX), Then::End).await;
        let error = result.unwrap_err();
        if !has_opened(&error) {
            assert!(matches!(error.phase(), Phase::Tls | Phase::Handshake), "{up}: {error}");
            failed += 1;
        }
    }
    assert!(failed > 100, "{failed}");
}

// ---- redirects ----

#[tokio::test]
async fn a_redirect_never_leads_from_tls_to_none() {
    let authority = Authority::new();
    let peer = TlsPeer::bind(server(&authority.local(), Clients::Any, ANY)).await;
    let tls = Tls::builder().roots_pem(authority.pem()).build().unwrap();
    for location in ["ws://127.0.0.1/", "http://127.0.0.1/"] {
        let builder = Client::builder(peer.url()).redirects(3).tls(tls.clone());
        let serve = async {
            let mut stream = peer.accept().await.unwrap();
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (result, _stream) = unhung(async { tokio::join!(builder.connect_once(), serve) }).await;
        let error = result.unwrap_err();
        assert!(matches!(error, ConnectError::Redirect { error: RedirectError::Insecure, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_stranger_is_shown_no_client_certificate_and_checked_by_its_own_name() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let device = clients.identity(&["device"], |_| {});
    let first = TlsPeer::bind(server(
        &authority.identity(&["name.internal"], |_| {}),
        Clients::Required(&clients),
        ANY,
    ))
    .await;
    let second = TlsPeer::bind(server(&authority.local(), Clients::Asked(&clients), ANY)).await;
    let tls = Tls::builder()
        .roots_pem(authority.pem())
        .client_certificate_pem(device.certificate.pem(), device.key.serialize_pem())
        .server_name("name.internal")
        .build()
        .unwrap();
    let builder = Client::builder(first.url()).redirects(1).tls(tls.clone());
    let serve = async {
        let mut stream = first.accept().await.unwrap();
        assert!(shown(&stream).is_some());
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\n\r\n", second.url());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let stream = second.accept().await.unwrap();
        assert_eq!(shown(&stream), None);
        accept_on(stream).await.unwrap()
    };
    let (result, _server) = unhung(async { tokio::join!(builder.connect_once(), serve) }).await;
    assert_eq!(result.unwrap().1.url, second.url());
    // The same server is shown it when it is the URL's own, also after a session without.
    let direct = Client::builder(second.url()).tls(
        Tls::builder()
            .roots_pem(authority.pem())
            .client_certificate_pem(device.certificate.pem(), device.key.serialize_pem())
            .build()
            .unwrap(),
    );
    let serve = async {
        let stream = second.accept().await.unwrap();
        assert!(shown(&stream).is_some());
        accept_on(stream).await.unwrap()
    };
    let (result, _server) = unhung(async { tokio::join!(direct.connect_once(), serve) }).await;
    result.unwrap();
}

// ---- ends ----

/// A peer's TCP socket may end without TLS's own goodbye, which is no error behind a close frame.
#[tokio::test]
async fn an_end_without_close_notify_is_clean_behind_a_close_frame_and_a_loss_before() {
    let authority = Authority::new();
    let tls = Tls::builder().roots_pem(authority.pem()).build().unwrap();
    for closes in [true, false] {
        let peer = TlsPeer::bind(server(&authority.local(), Clients::Any, ANY)).await;
        let builder = Client::builder(peer.url()).tls(tls.clone());
        let serve = async {
            let mut stream = peer.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = wirelet::proto::handshake::accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                std::str::from_utf8(&accept).unwrap()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(b"\x81\x02hi").await.unwrap();
            if closes {
                stream.write_all(b"\x88\x02\x03\xe8").await.unwrap();
            }
            stream.flush().await.unwrap();
            let mut end = [0; 64];
            if closes {
                let _ = stream.read(&mut end).await;
            }
            let (mut tcp, _) = stream.into_inner();
            tcp.shutdown().await.unwrap();
            let _ = tcp.read(&mut end).await;
        };
        let talk = async {
            let (mut websocket, _) = builder.connect_once().await.unwrap();
            let first = websocket.recv().await.unwrap().unwrap();
            (first, websocket.recv().await)
        };
        let ((first, end), ()) = unhung(async { tokio::join!(talk, serve) }).await;
        assert_eq!(first.as_text(), Some("hi"));
        match end {
            Ok(None) => assert!(closes),
            Err(error) => assert!(!closes && error.close_code() == CloseCode::ABNORMAL, "{error}"),
            Ok(Some(message)) => panic!("{message:?}"),
        }
    }
}

#[tokio::test]
async fn the_reconnecting_client_comes_back_over_tls() {
    let authority = Authority::new();
    let peer = TlsPeer::bind(server(&authority.local(), Clients::Any, ANY)).await;
    let quick = ReconnectConfig { initial_max: 1, cap: 1, ..ReconnectConfig::DEFAULT };
    let tls = Tls::builder().roots_pem(authority.pem()).build().unwrap();
    let mut client = Client::builder(peer.url()).tls(tls).reconnect(quick).connect().unwrap();
    client.send("kept").await.unwrap();
    let serve = async {
        drop(peer.accept().await.unwrap());
        let (mut websocket, _) = accept_on(peer.accept().await.unwrap()).await.unwrap();
        let message = websocket.recv().await.unwrap().unwrap();
        websocket.send(message).await.unwrap();
        websocket
    };
    let talk = async {
        let mut losses = 0;
        loop {
            match client.next().await.unwrap() {
                Event::Message(message) => return (message, losses),
                Event::Disconnected { reason: Reason::Connect(error), .. } => {
                    assert!(matches!(error.phase(), Phase::Tls | Phase::Handshake), "{error}");
                    losses += 1;
                }
                _ => {}
            }
        }
    };
    let ((message, losses), _websocket) = unhung(async { tokio::join!(talk, serve) }).await;
    assert_eq!((message, losses), (Message::from("kept"), 1));
}
