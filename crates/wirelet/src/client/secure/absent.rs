//! A client of a build without TLS.

use std::io;

use tokio::time::Instant;

use super::address::Address;
use super::error::ConnectError;
use super::target::Target;
use crate::transport::Transport;

/// No TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Secure {}

impl Secure {
    /// Whether this build speaks TLS.
    pub(super) const AVAILABLE: bool = false;

    /// Whether a connection to `target` may be made.
    pub(super) fn check(&self, target: &Target) -> Result<(), ConnectError> {
        if target.secure { Err(ConnectError::NoTls { host: target.host.clone() }) } else { Ok(()) }
    }

    #[allow(clippy::unused_async, reason = "the other one waits")]
    pub(super) async fn connect(
        &self,
        _: Transport,
        _: &Address,
        host: &str,
        _: bool,
        _: Instant,
    ) -> Result<Transport, ConnectError> {
        Err(ConnectError::NoTls { host: host.to_owned() })
    }
}

/// Why the opening handshake broke.
pub(super) fn broken(address: &Address, error: io::Error) -> ConnectError {
    ConnectError::Io { address: address.clone(), error }
}
