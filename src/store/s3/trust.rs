//! Whom to believe that they are the server: the public authorities, those in a file, and a certificate that is
//! in that file itself, as is usual at home.

use super::error::{Kind, S3Error};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Largest CA file, in bytes: that of all public authorities has 220,000.
const LARGEST: u64 = 4 << 20;

/// The usual verification, and one exception.
#[derive(Debug)]
pub(super) struct Trust {
    usual: Arc<WebPkiServerVerifier>,
    /// The certificates of the CA file.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(super) fn new(
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        // Those that are no authorities do no harm, and may be the server's own.
        roots.add_parsable_certificates(named.iter().cloned());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|e| Error::Other(OtherError(Arc::new(e))))?;
        Ok(Self { usual, named })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self
            .usual
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        // What `openssl req -x509` makes is marked as an authority, and refused as a server's certificate for that.
        // Whoever named this very certificate trusts the server that has its key, for the names in it.
        if let Err(Error::InvalidCertificate(CertificateError::Other(_))) = &usual
            && self.named.iter().any(|named| named == certificate)
        {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        usual
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// The certificates in a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, S3Error> {
    let failed = |what: &str| {
        let message = format!("the ca_file {} {what}", path.display());
        S3Error::new(Kind::Tls, message).coded(CA_FILE)
    };
    let size = fs::metadata(path).map_err(|e| failed(&format!("cannot be read: {e}")))?;
    if size.len() > LARGEST {
        return Err(failed("is too large for one"));
    }
    let pem = fs::read(path).map_err(|e| failed(&format!("cannot be read: {e}")))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| failed("is not in PEM form"))?;
    if found.is_empty() {
        return Err(failed("has no certificate in it"));
    }
    let (readable, _) = RootCertStore::empty().add_parsable_certificates(found.iter().cloned());
    if readable == 0 {
        return Err(failed("has no certificate in it that can be read"));
    }
    Ok(found)
}

/// What the error says about the CA file.
pub(super) const CA_FILE: &str = "CaFile";

/// A failure of TLS in words: a code, and a message.
pub(super) fn explain(error: &Error) -> (&'static str, String) {
    use CertificateError as C;
    let (code, message) = match error {
        // The others: an authority of the same name, and one that signed itself and is not in the file.
        Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature | C::Other(_)) => (
            "UnknownIssuer",
            "nobody who is trusted here has signed the server's certificate",
        ),
        Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => (
            "NotValidNow",
            "the server's certificate is not valid at the time of this machine",
        ),
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => (
            "OtherName",
            "the server's certificate is for another host name",
        ),
        Error::InvalidMessage(_) => ("NoTls", "the server does not speak TLS at this port"),
        other => return ("Tls", format!("TLS failed: {other}")),
    };
    (code, message.to_owned())
}

/// What to do about a failure that [`explain`] gave `code` to.
pub(super) fn remedy(code: &str) -> &'static str {
    match code {
        CA_FILE => "Name a PEM file with the certificate of your authority as ca_file in [s3].",
        "UnknownIssuer" => {
            "If the certificate is your own, name the file of its authority, or of itself, as ca_file in [s3]."
        }
        "NotValidNow" => {
            "Look at this machine's clock; if it is right, renew the server's certificate."
        }
        "OtherName" => {
            "Write the endpoint of [s3] with a name that is in the certificate; a bucket with dots in its name needs path_style = true."
        }
        "NoTls" => "Correct the port in the endpoint of [s3].",
        _ => "Look which versions and ciphers of TLS the server allows; TLS 1.2 or 1.3 is needed.",
    }
}
