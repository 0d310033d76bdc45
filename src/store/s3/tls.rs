//! How connections are made: TLS by rustls with ring, the cipher that this CPU is good at first.

use super::error::{Kind, S3Error};
use crate::pipeline::seal::Cipher;
use rustls::crypto::{CryptoProvider, ring};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// The TLS settings: the public authorities, or those in `ca_file`.
pub(super) fn config(ca_file: Option<&Path>) -> Result<TlsConfig, S3Error> {
    let roots = match ca_file {
        None => RootCerts::WebPki,
        Some(path) => RootCerts::from(certificates(path)?.into_iter()),
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(provider(Cipher::for_this_cpu())))
        .build())
}

/// ring, with the suites in the order of `cipher`.
fn provider(cipher: Cipher) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if cipher == Cipher::ChaCha20Poly1305 {
        provider
            .cipher_suites
            .sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("CHACHA20"));
    }
    provider
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, S3Error> {
    let failed =
        |what: String| S3Error::new(Kind::Tls, format!("the ca_file {}: {what}", path.display()));
    let pem = fs::read(path).map_err(|e| failed(e.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(failed("is not PEM".to_owned())),
        }
    }
    if found.is_empty() {
        return Err(failed("has no certificate in it".to_owned()));
    }
    Ok(found)
}
