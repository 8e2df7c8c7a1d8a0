//! TLS by rustls.

pub(crate) mod client;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
compile_error!("the feature `__tls` is private: choose `tls-ring` or `tls-aws-lc`");

/// The cryptography that all TLS here is made of: ring's, or where only that was chosen aws-lc's.
///
/// Why not the process-wide default of rustls: it belongs to the program, and there may be none or another one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls-ring")]
    let provider = rustls::crypto::ring::default_provider();
    #[cfg(all(feature = "tls-aws-lc", not(feature = "tls-ring")))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    /// Finding a provider must not make it the program's.
    #[test]
    fn the_program_keeps_its_choice() {
        assert!(!super::provider().cipher_suites.is_empty());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
