//! What the flags say about TLS.

use std::path::Path;

use wirelet::client::Tls;

use crate::arguments::TlsFlags;
use crate::exit::{Exit, Failure};

/// The settings that the flags ask for; `None`: the library's.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub(crate) fn settings(flags: &TlsFlags) -> Result<Option<Tls>, Failure> {
    if flags.cacert.is_none() && flags.cert.is_none() && !flags.insecure {
        return Ok(None);
    }
    let mut builder = Tls::builder();
    if let Some(path) = &flags.cacert {
        builder = builder.roots_pem(read(path)?);
    }
    if let Some(path) = &flags.cert {
        builder = builder.client_certificate_pem(read(path)?, read(flags.key.as_ref().unwrap_or(path))?);
    }
    if flags.insecure {
        builder = builder.danger_accept_any_certificate();
    }
    let built = builder.build().map_err(|error| {
        Failure::new(Exit::Usage, format!("TLS cannot be set up: {error}"))
            .help("--cacert, --cert and --key name PEM files")
    });
    built.map(Some)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("{} cannot be read", path.display()))
            .layer("OS error", error.to_string())
    })
}
