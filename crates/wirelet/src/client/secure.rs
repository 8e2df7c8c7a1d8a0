//! What `wss` needs of a client: TLS as the program has set it, or with its defaults.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::address::Address;
use super::error::ConnectError;
use super::target::Target;
use crate::Timeout;
use crate::tls::client::{Tls, TlsError};
use crate::transport::Transport;

/// TLS for the attempts of one builder.
#[derive(Clone, Debug, Default)]
pub(super) struct Secure {
    /// What the program has chosen, or the defaults since they were first needed.
    tls: Arc<OnceLock<Tls>>,
}

impl Secure {
    /// Whether this build speaks TLS.
    pub(super) const AVAILABLE: bool = true;

    pub(super) fn new(tls: Tls) -> Self {
        Self { tls: Arc::new(OnceLock::from(tls)) }
    }

    /// Whether a connection to `target` may be made.
    pub(super) fn check(&self, target: &Target) -> Result<(), ConnectError> {
        if target.secure { self.tls().map(drop) } else { Ok(()) }
    }

    fn tls(&self) -> Result<&Tls, ConnectError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = Tls::builder().build().map_err(ConnectError::TlsSettings)?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// TLS over a connection, before `deadline`. A stranger is a server that a redirect has named.
    pub(super) async fn connect(
        &self,
        transport: Transport,
        address: &Address,
        host: &str,
        stranger: bool,
        deadline: Instant,
    ) -> Result<Transport, ConnectError> {
        let handshake = self.tls()?.connect(transport, host, stranger);
        match tokio::time::timeout_at(deadline, handshake).await {
            Ok(Ok(transport)) => Ok(transport),
            Ok(Err(error)) => Err(ConnectError::Tls { address: address.clone(), error }),
            Err(_) => Err(ConnectError::timeout(Timeout::Tls, address.clone())),
        }
    }
}

/// Why the opening handshake broke. With TLS 1.3 a server refuses a client's certificate when the client is through with its TLS
/// handshake already.
pub(super) fn broken(address: &Address, error: io::Error) -> ConnectError {
    let address = address.clone();
    match TlsError::from_io(error) {
        Ok(error) => ConnectError::Tls { address, error },
        Err(error) => ConnectError::Io { address, error },
    }
}
