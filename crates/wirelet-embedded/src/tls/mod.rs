//! `wss` for the client: [`Connector`] puts TLS 1.3 between the client and any [`Connect`].
//!
//! ```
//! # use wirelet_embedded::net::Connect;
//! use wirelet_embedded::tls::rustls::crypto::{GetRandomFailed, SecureRandom};
//! use wirelet_embedded::tls::{Connector, Crypto, Dates, Error, LONGEST_RECORD, Memory, client_config};
//!
//! # #[derive(Debug)]
//! # struct Trng;
//! # impl SecureRandom for Trng {
//! #     fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> { bytes.fill(4); Ok(()) }
//! # }
//! # fn unix_time() -> Option<u64> { None }
//! # fn run(tcp: impl Connect, root: &[u8]) -> Option<()> {
//! static CRYPTO: Crypto = Crypto::new(&Trng); // the device's source of random numbers
//!
//! let config = client_config(&CRYPTO, &[root], Dates::Clock(unix_time)).ok()?; // roots as DER
//! let mut memory = Memory::<LONGEST_RECORD, 2048>::new(); // on a device: a `StaticCell`
//! let report = |error: &Error| { /* log it */ };
//! let network = Connector::new(tcp, &mut memory, config, &report);
//! // `network` is a `Connect`: give it to `Client::run`, with a URI of `wss`.
//! # Some(())
//! # }
//! ```
//!
//! ## What is checked
//!
//! Protocol and certificates are rustls's and rustls-webpki's: the chain up to a root that was given, signatures, dates, names and
//! addresses, who may issue (basic constraints, path length, name constraints), what a key is for, and that the server holds it.
//! An end of the stream without TLS's own notice is an error. Revocation is not looked at. Cryptography is RustCrypto's and dalek's
//! ([`Crypto`] says what is there). **There is no RSA**: the crate for it has an advisory that is not resolved
//! (RUSTSEC-2023-0071), and no other does without C. Servers whose certificates public authorities sign with RSA can't be reached;
//! most of these authorities have a chain of ECDSA, too.
//!
//! Dates need a clock. Without one every handshake fails, unless [`Dates::Since`] is chosen, which says what that gives up.
//!
//! ## What it needs
//!
//! - **An allocator** of the firmware's (`#[global_allocator]`): rustls keeps its state and one record there. All else of this crate
//!   does without, and so does this module, with records in [`Memory`].
//! - **Atomics with compare-and-swap**, since rustls counts references with `alloc::sync::Arc`: ESP32, ESP32-S3, ESP32-C6, RP2350,
//!   Cortex-M3 and better have them. RISC-V without the A extension (**ESP32-C3**, C2) and Cortex-M0 (RP2040) have not: there
//!   `tls` does not compile.
//! - **Time**: the executor stands still while keys are computed. Clients whose tasks can't wait that long run in an executor of their
//!   own.
//!
//! ## What it costs
//!
//! Measured for riscv32imac by `python3 bench/tls/run.py`, with a server's certificate under an authority under the root, all of
//! P-256 (of P-384):
//!
//! | what | cost |
//! |---|---|
//! | [`Memory`], for records of every length | 16,645 bytes and what is sent from: 18,693 with `TX` 2,048 |
//! | heap for a connection, with a record of 16,000 bytes in it | 18,416 bytes (18,540) at most |
//! | stack, with the client's future | 19,927 bytes (21,935) at most |
//! | flash, with `--cfg=sha2_backend_soft="compact"` and `--cfg=aes_backend_soft="compact"` in `RUSTFLAGS` | 359,686 bytes |
//! | flash, without | 424,012 bytes |
//! | instructions of the longest poll: keys, chain and handshake's signature | 38 million (132 million) |
//!
//! So a `wss` connection takes 57 KB of RAM besides `RX`, `TX` and `QUEUE` of the client, and at 160 MHz a quarter of a second
//! (with P-384 one) at an instruction for each cycle. That fits the ESP32, ESP32-S3 and ESP32-C6 beside their Wi-Fi, the RP2350, and
//! Cortex-M chips with 128 KB of RAM and 1 MB of flash; nothing smaller.
//!
//! ## Why rustls
//!
//! TLS made by hand is where others had their holes, so that only what is widely used was considered.
//!
//! - **embedded-tls** 0.19 needs no allocator, and a verifier of one's own could check certificates by rustls-webpki. But
//!   messages that are split over records, key updates (RFC 8446 4.6.3) and retried hellos (4.1.4) are not understood, and a
//!   message of a server that it does not expect, or a record without content, meets `unimplemented!` or `unwrap`. Not all of that
//!   can be kept from it by looking at the records first.
//! - **mbedTLS** by `mbedtls-rs` 0.3 is what ESP-IDF has, with RSA, TLS 1.2 and prebuilt libraries for RISC-V and Xtensa, and needs no
//!   compare-and-swap. It is C, with an allocator, with a random source and a clock that are global, no check of dates unless
//!   it is built from source with CMake and Clang, and writes that are not cancel safe. It is the way for chips that rustls does
//!   not fit: its session goes into a [`Connect`] of the firmware's, as in this module.
//! - **rustls** is audited, is without C, knows all of the protocol, and lets its caller keep the records, which makes reading and writing cancel
//!   safe.

mod buffers;
mod crypto;
mod dates;
mod engine;
mod error;
mod socket;

pub use crypto::Crypto;
pub use dates::Dates;
pub use error::Error;
pub use rustls;
pub use socket::{Reader, Stream, Writer};

use alloc::borrow::ToOwned as _;
use alloc::sync::Arc;
use core::cell::RefCell;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::net::{Connect, Remote};
use buffers::{Inbox, Outbox};
use engine::Engine;
use socket::{Secure, network};

/// A [`ClientConfig`] of rustls that trusts these certificates of authorities (DER), and none of the system's.
///
/// Sessions are not resumed: their tickets would be kept in memory.
///
/// # Errors
/// A root is no certificate, or there is none.
pub fn client_config(
    crypto: &'static Crypto,
    roots: &[&[u8]],
    dates: Dates,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(*root))?;
    }
    let provider = crypto.provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(alloc::format!("{error}")))?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(dates))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match dates {
        Dates::Clock(_) => builder.with_webpki_verifier(verifier),
        Dates::Since(_) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(dates::Timeless(verifier)))
        }
    };
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The memory of a connection's records, besides what rustls allocates.
///
/// `RX` bytes hold one record that arrives, and each message of the handshake with all the records that it came in: 16,645
/// ([`LONGEST_RECORD`]) do for every server; fewer do for one that is known to send shorter records. `TX` bytes hold the handshake's
/// messages of this side and then one record: 512 at least; text goes out in records of `TX` − 86 bytes.
#[derive(Debug)]
pub struct Memory<const RX: usize, const TX: usize> {
    rx: [u8; RX],
    tx: [u8; TX],
}

/// RFC 8446 5.2: the longest record, with its header.
pub const LONGEST_RECORD: usize = 5 + (1 << 14) + 256;

impl<const RX: usize, const TX: usize> Memory<RX, TX> {
    /// Memory that nobody uses yet.
    pub const fn new() -> Self {
        const { assert!(RX >= 512 && TX >= 512, "a handshake would not fit") }
        Self { rx: [0; RX], tx: [0; TX] }
    }
}

impl<const RX: usize, const TX: usize> Default for Memory<RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`Connect`] that does TLS for remotes that are [`secure`](Remote::secure), over another one that doesn't.
pub struct Connector<'m, C> {
    inner: C,
    rx: &'m mut [u8],
    tx: &'m mut [u8],
    config: Arc<ClientConfig>,
    report: &'m dyn Fn(&Error),
}

impl<'m, C: Connect> Connector<'m, C> {
    /// Connects by `inner`. `config` comes from [`client_config`], or is one of the application's own.
    ///
    /// `report` is told why a connection could not be had: a client's handler learns only what
    /// [`Failure::Network`](crate::client::Failure::Network) holds.
    pub fn new<const RX: usize, const TX: usize>(
        inner: C,
        memory: &'m mut Memory<RX, TX>,
        config: Arc<ClientConfig>,
        report: &'m dyn Fn(&Error),
    ) -> Self {
        let Memory { rx, tx } = memory;
        Self { inner, rx, tx, config, report }
    }
}

impl<C: Connect> Connect for Connector<'_, C> {
    type Socket<'c>
        = Stream<'c, C::Socket<'c>>
    where
        Self: 'c;
    type Error = Error;

    async fn connect(&mut self, to: Remote<'_>) -> Result<Self::Socket<'_>, Error> {
        let report = self.report;
        let connected = connect(&mut self.inner, self.rx, self.tx, &self.config, to).await;
        connected.inspect_err(|error| report(error))
    }

    fn available(&mut self) -> impl Future<Output = ()> {
        self.inner.available()
    }

    fn restored(&mut self) -> impl Future<Output = ()> {
        self.inner.restored()
    }
}

async fn connect<'c, C: Connect>(
    inner: &'c mut C,
    rx: &'c mut [u8],
    tx: &'c mut [u8],
    config: &Arc<ClientConfig>,
    to: Remote<'_>,
) -> Result<Stream<'c, C::Socket<'c>>, Error> {
    let secure = match to.secure {
        false => None,
        true => {
            let name = ServerName::try_from(to.host.to_owned()).map_err(|_| Error::Name)?;
            let engine = RefCell::new(Engine::new(config.clone(), name)?);
            Some(Secure { engine, inbox: Inbox::new(rx), outbox: Outbox::new(tx) })
        }
    };
    let socket = inner.connect(Remote { secure: false, ..to }).await.map_err(network)?;
    let mut socket = Stream { socket, secure };
    socket.handshake().await?;
    Ok(socket)
}

impl<C> core::fmt::Debug for Connector<'_, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
