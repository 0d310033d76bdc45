//! How connections are made: TCP, then TLS by rustls with ring, the cipher that this CPU is good at first. Who
//! is trusted: the public authorities, and what is in the CA file.

use super::error::{Kind, S3Error};
use super::trust::{self, Trust};
use crate::pipeline::seal::Cipher;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// Sessions that are remembered: there is one server.
const SESSIONS: usize = 8;

/// Puts TLS on a connection to an `https` address.
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the public authorities, and those in `ca_file`.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, S3Error> {
        let extra = ca_file.map_or(Ok(Vec::new()), trust::certificates)?;
        Self::trusting(extra, Cipher::for_this_cpu())
            .map_err(|e| S3Error::new(Kind::Tls, format!("TLS cannot be set up: {e}")))
    }

    fn trusting(
        extra: Vec<CertificateDer<'static>>,
        cipher: Cipher,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(provider(cipher));
        let trust = Trust::new(extra, Arc::clone(&provider))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self(Arc::new(config)))
    }
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

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Sealed>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        // An IPv6 address stands in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("the endpoint's host cannot be in a certificate"))?;
        let mut connection =
            ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        let mut socket =
            TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(Sealed {
            buffers,
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// A connection with TLS on it.
pub(super) struct Sealed {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Sealed {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
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
