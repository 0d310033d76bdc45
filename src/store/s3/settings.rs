//! What the client has to know: where the bucket is, and who asks. Nothing here is read from anywhere; the
//! credentials never show in a `Debug`.

use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A bucket, and the way to it.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// `https://host[:port]`, no path, no slash at the end.
    pub endpoint: String,
    /// The region that requests are signed for, such as `eu-central-1`, `auto` or `garage`.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What every object's name starts with: nothing, or segments of `a-zA-Z0-9_.-`, each with a slash behind it.
    pub prefix: String,
    /// The bucket is a part of the path (`host/bucket/key`), not of the host name (`bucket.host/key`).
    pub path_style: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// A PEM file of certification authorities to trust beside the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Requests in flight at once, for uploads and once more for downloads.
    pub concurrency: usize,
}

/// An access key.
#[derive(Clone)]
pub struct Credentials {
    /// The name of the key.
    pub key_id: Zeroizing<String>,
    /// The key itself.
    pub secret: Zeroizing<String>,
    /// For credentials that end by themselves.
    pub token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use crate::store::s3::Credentials;
    use crate::store::s3::tests::stage::settings;

    #[test]
    fn nothing_of_the_credentials_is_shown() {
        let mut settings = settings("https://s3.example".to_owned());
        settings.credentials = Credentials {
            key_id: "visible-key".to_owned().into(),
            secret: "visible-secret".to_owned().into(),
            token: Some("visible-token".to_owned().into()),
        };
        let shown = format!("{settings:?}");
        assert!(
            shown.contains("s3.example") && !shown.contains("visible"),
            "{shown}"
        );
    }
}
