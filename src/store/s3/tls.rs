//! The TLS of connections: rustls with ring, the cipher that this CPU is good at first.

use super::error::{Kind, S3Error};
use super::trust::{self, Trust};
use crate::pipeline::seal::Cipher;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ClientConfig};
use std::path::Path;
use std::sync::Arc;

/// Sessions that are remembered: there is one server.
const SESSIONS: usize = 8;

/// Settings that trust the public authorities, and those in `ca_file`.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, S3Error> {
    let extra = ca_file.map_or(Ok(Vec::new()), trust::certificates)?;
    trusting(extra, Cipher::for_this_cpu())
        .map_err(|e| S3Error::new(Kind::Tls, format!("TLS cannot be set up: {e}")))
}

fn trusting(
    extra: Vec<CertificateDer<'static>>,
    cipher: Cipher,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider(cipher));
    let trust = Trust::new(extra, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// ring, with the suites in the order of `cipher`.
fn provider(cipher: Cipher) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if cipher == Cipher::ChaCha20Poly1305 {
        provider
            .cipher_suites
            .sort_by_key(|suite| !is_chacha(suite.suite()));
    }
    provider
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(cipher: Cipher) -> CipherSuite {
        provider(cipher).cipher_suites[0].suite()
    }

    #[test]
    fn chacha20_is_offered_first_where_the_cpu_has_no_aes_and_nothing_is_left_out() {
        assert!(is_chacha(first(Cipher::ChaCha20Poly1305)));
        assert!(!is_chacha(first(Cipher::Aes256Gcm)));
        let offered = provider(Cipher::ChaCha20Poly1305).cipher_suites;
        assert_eq!(offered.len(), ring::default_provider().cipher_suites.len());
        assert_eq!(offered.iter().filter(|s| is_chacha(s.suite())).count(), 3);
        assert!(offered[..3].iter().all(|s| is_chacha(s.suite())));
    }
}
