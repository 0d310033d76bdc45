//! The tables `[storage]` and `[s3]`: what is in them, what has to fit together, and where the secrets
//! come from. Secrets are read when somebody asks for them, and are not kept here.

use super::resolve::Found;
use super::secret::{ClearText, SecretError, SecretFile};
use super::{Environment, Place, Problem, Settings, s3_values};
use crate::service::Encryption;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Downloads at once where nobody says how many and files may be in a bucket: as many as stay below 30 MB beside uploads,
/// with connections with TLS for both.
pub(super) const DOWNLOADS_AT_ONCE: usize = 256;

/// Where new files are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StorageKind {
    /// In the data directory.
    Disk,
    /// In a bucket.
    S3,
}

/// The table `[s3]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3 {
    /// `https://host[:port]`; present together with [`S3::bucket`] and a key, or not at all.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: String,
    /// The bucket.
    pub bucket: Option<String>,
    /// What the names of objects begin with: empty, or with a slash at its end.
    pub prefix: String,
    /// Whether the bucket stands in the path.
    pub path_style: bool,
    /// The id of the access key.
    pub key_id: Held,
    /// Its secret.
    pub secret: Held,
    /// A session token; mostly none.
    pub token: Held,
    /// Certificates that are trusted as well, PEM.
    pub ca_file: Option<PathBuf>,
    /// Requests at once for uploads, and again for downloads: 1 to 16.
    pub concurrency: usize,
    /// Where recipients get files from.
    pub downloads: Downloads,
}

/// Where recipients get a file from that is in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Downloads {
    /// From us.
    Proxied,
    /// From the bucket, where that goes.
    Redirected,
}

/// Where a secret is: in a file, in the settings, or nowhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Its file.
    pub file: Option<SecretFile>,
    /// The secret itself.
    pub text: Option<ClearText>,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: None,
            prefix: String::new(),
            path_style: true,
            key_id: Held::default(),
            secret: Held::default(),
            token: Held::default(),
            ca_file: None,
            concurrency: 4,
            downloads: Downloads::Proxied,
        }
    }
}

impl Held {
    fn is_there(&self) -> bool {
        self.file.is_some() || self.text.is_some()
    }

    /// The secret, or nothing when there is none.
    ///
    /// # Errors
    /// [`SecretError`], which says what to do.
    pub fn read(&self) -> Result<Option<Zeroizing<String>>, SecretError> {
        match (&self.text, &self.file) {
            (Some(text), _) => Ok(Some(text.0.clone())),
            (None, Some(file)) => {
                let text = file.read_text()?;
                s3_values::sound(&text).map_err(SecretError::Unfit)?;
                Ok(Some(text))
            }
            (None, None) => Ok(None),
        }
    }
}

/// The secrets: the name of each in `[s3]`, its place, and what systemd calls it.
fn secrets(s3: &S3) -> [(&'static str, &Held); 3] {
    [
        ("key_id", &s3.key_id),
        ("secret", &s3.secret),
        ("token", &s3.token),
    ]
}

/// Takes the secrets that systemd passes and no setting names.
pub(super) fn credentials(settings: &mut Settings, environment: &Environment) {
    let is_wanted = settings.storage == StorageKind::S3 || settings.s3.endpoint.is_some();
    let s3 = &mut settings.s3;
    for (name, held) in [
        ("mayfly.s3-key-id", &mut s3.key_id),
        ("mayfly.s3-secret", &mut s3.secret),
        ("mayfly.s3-token", &mut s3.token),
    ] {
        if is_wanted && !held.is_there() {
            held.file = SecretFile::credential(environment, name);
        }
    }
}

/// The most that an object can hold, less what sealing adds, in bytes: 5,000 GiB of the 5 TiB.
const LARGEST_FILE: u64 = 5000 << 30;

/// What has to fit together.
pub(super) fn between_keys(found: &Found) -> Vec<Problem> {
    let mut problems = missing(found);
    let (settings, s3) = (&found.settings, &found.settings.s3);
    for (name, held) in secrets(s3) {
        let keys = [format!("s3.{name}"), format!("s3.{name}_file")];
        if held.file.is_some() && held.text.is_some() {
            problems.push(found.about(
                &keys[0],
                format!("{name}_file is there, too: keep one of the two lines"),
            ));
        }
    }
    let mut about = |keys: &[&str], key: &str, remedy: String| {
        if found.is_sound(keys) {
            problems.push(found.about(key, remedy));
        }
    };
    let endpoint = s3.endpoint.as_deref().unwrap_or("");
    if s3.ca_file.is_some() && endpoint.starts_with("http://") {
        about(
            &["s3.ca_file", "s3.endpoint"],
            "s3.ca_file",
            "only https:// uses it: remove this line, or write https:// in endpoint".to_owned(),
        );
    }
    let host = endpoint.split("://").nth(1).unwrap_or("");
    let rest = s3.bucket.as_ref().and_then(|bucket| {
        let rest = host.strip_prefix(&bucket.to_ascii_lowercase())?;
        rest.strip_prefix('.')
            .filter(|rest| rest.starts_with("s3.") || rest.starts_with("s3-"))
    });
    if let Some(rest) = rest {
        about(
            &["s3.endpoint", "s3.bucket"],
            "s3.endpoint",
            format!("leave the bucket out of it: \"https://{rest}\""),
        );
    }
    if settings.storage == StorageKind::S3 && settings.max_file_size > LARGEST_FILE {
        about(
            &["max_file_size", "storage.kind"],
            "max_file_size",
            "S3 has no larger objects than 5 TiB: write \"5000 GiB\" or less".to_owned(),
        );
    }
    problems
}

/// Whoever wants a bucket has to say all that leads there.
fn missing(found: &Found) -> Vec<Problem> {
    let s3 = &found.settings.s3;
    let leads = [
        "s3.endpoint",
        "s3.bucket",
        "s3.key_id_file",
        "s3.key_id",
        "s3.secret_file",
        "s3.secret",
        "s3.token_file",
        "s3.token",
        "s3.ca_file",
    ];
    let wanted = match found.settings.storage {
        StorageKind::S3 => Some("storage.kind"),
        StorageKind::Disk => leads.into_iter().find(|key| found.is_given(key)),
    };
    let Some(culprit) = wanted.filter(|_| found.is_sound(&["storage.kind"])) else {
        return Vec::new();
    };
    let needs: [(&[&str], bool, &str); 4] = [
        (
            &["s3.endpoint"],
            s3.endpoint.is_some(),
            "the address of the server: below [s3], write endpoint = \"https://...\"",
        ),
        (
            &["s3.bucket"],
            s3.bucket.is_some(),
            "the bucket: below [s3], write bucket = \"NAME\"",
        ),
        (
            &["s3.key_id", "s3.key_id_file"],
            s3.key_id.is_there(),
            "the id of an access key: write it into a file of its own (chmod 600), and below [s3] key_id_file = \"/PATH\"; systemd may pass it as mayfly.s3-key-id",
        ),
        (
            &["s3.secret", "s3.secret_file"],
            s3.secret.is_there(),
            "the secret of the access key: write it into a file of its own (chmod 600), and below [s3] secret_file = \"/PATH\"; systemd may pass it as mayfly.s3-secret",
        ),
    ];
    let absent = needs
        .into_iter()
        .filter(|(keys, is_there, _)| !is_there && found.is_sound(keys));
    let told = absent.map(|(_, _, what)| found.about(culprit, format!("it needs {what}")));
    told.collect()
}

/// What can only be seen on this machine: files with secrets and certificates.
pub(super) fn on_disk(found: &Found) -> Vec<Problem> {
    let s3 = &found.settings.s3;
    let mut problems = Vec::new();
    for (name, held) in secrets(s3) {
        let remedy = match held.read() {
            Ok(_) => continue,
            Err(SecretError::Io(e)) if e.kind() == ErrorKind::NotFound => {
                "there is no such file: write the key into it (chmod 600), or correct the path"
                    .to_owned()
            }
            Err(e) => e.to_string(),
        };
        problems.push(found.about(&format!("s3.{name}_file"), remedy));
    }
    if let Some(path) = &s3.ca_file {
        let remedy = match certificates(path) {
            Ok(true) => return problems,
            Ok(false) => "there is no certificate in it: name a file that has a line -----BEGIN CERTIFICATE-----".to_owned(),
            Err(e) => format!("it cannot be read: {e}; check the path and who may read it"),
        };
        problems.push(found.about("s3.ca_file", remedy));
    }
    problems
}

fn certificates(path: &Path) -> std::io::Result<bool> {
    let mut text = Vec::new();
    File::open(path)?.take(4 << 20).read_to_end(&mut text)?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    Ok(text.windows(begin.len()).any(|window| window == begin))
}

/// What works, and is probably not meant; the settings are in the file `path`.
pub(super) fn warnings(found: &Found, path: &Path) -> Vec<Problem> {
    let (settings, s3) = (&found.settings, &found.settings.s3);
    let mut warnings = Vec::new();
    let mode = std::fs::metadata(path).map_or(0, |about| about.mode());
    let open = mode & 0o044 != 0;
    for (name, held) in secrets(s3) {
        let key = format!("s3.{name}");
        if held.text.is_none() {
            continue;
        }
        let mut warning = found.about(&key, "");
        let readers = match (&warning.place, open) {
            (Place::Variable(_), _) => "an environment is shown to many",
            (_, true) => "others can read this file",
            (_, false) => "it is in every copy of this file",
        };
        warning.remedy = format!(
            "it stands in the clear, and {readers}: write it into a file of its own (chmod 600), and name that as {name}_file"
        );
        warnings.push(warning);
    }
    let endpoint = s3.endpoint.as_deref().unwrap_or("");
    let is_open = endpoint.starts_with("http://") && !s3_values::is_here(endpoint);
    if is_open && settings.encryption == Encryption::None {
        warnings.push(found.about(
            "s3.endpoint",
            "files travel readable, because encryption is \"none\": write https://, or change encryption",
        ));
    }
    if is_open && (s3.token.file.is_some() || s3.token.text.is_some()) {
        warnings.push(found.about(
            "s3.endpoint",
            "the session token travels readable: write https://, or use a key without one",
        ));
    }
    if s3.downloads == Downloads::Redirected
        && let Some(remedy) = redirects(settings, endpoint)
    {
        warnings.push(found.about("s3.downloads", remedy));
    }
    let dotted = s3
        .bucket
        .as_ref()
        .is_some_and(|bucket| bucket.contains('.'));
    if dotted && !s3.path_style && endpoint.starts_with("https://") {
        warnings.push(found.about(
            "s3.path_style",
            "no certificate covers a bucket with a dot in its name this way: write true",
        ));
    }
    warnings
}

/// What is in the way of redirected downloads, if anything is.
fn redirects(settings: &Settings, endpoint: &str) -> Option<&'static str> {
    let host = s3_values::host(endpoint);
    if endpoint.is_empty() {
        Some("it has no effect without a bucket: say where it is, or remove this line")
    } else if settings.encryption != Encryption::None {
        Some(
            "it has no effect on sealed files, which Mayfly alone can open and sends itself, and new files are sealed: remove this line, or write encryption = \"none\", which keeps new files readable in the bucket",
        )
    } else if s3_values::is_here(endpoint) {
        Some(
            "other machines cannot reach a bucket on this one by this address: write an address in endpoint that recipients reach, or \"proxied\"",
        )
    } else if s3_values::is_local(host) {
        Some(
            "recipients outside of the local network cannot reach the bucket: write an address in endpoint that they reach, or \"proxied\"",
        )
    } else if settings.s3.ca_file.is_some() {
        Some(
            "recipients whose machines do not know the certificates of ca_file cannot reach the bucket: use a certificate that everybody trusts, or write \"proxied\"",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
