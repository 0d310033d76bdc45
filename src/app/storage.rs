//! Where files are kept: the data directory, and the bucket that the settings name, with its secrets.

use super::StartError;
use crate::config::{Downloads, Held, Settings, StorageKind};
use crate::metadata::RedbMetadata;
use crate::model::{Clock, Secret, SystemClock};
use crate::pipeline::seal::keys;
use crate::store::s3::{self, Client, Credentials, Retries, S3Settings, S3Store, Uploads};
use crate::store::{BothStores, Place, Store, StoreError};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

pub use crate::store::s3::{
    Finding, Mend, Outcome, Trouble, endpoint_in as bucket_endpoint_in, is_temporary_key,
};

/// Where the parts of uploads wait, in the data directory.
pub(super) const INCOMING: &str = "incoming";

/// The bucket, with the secrets read; `None` when the settings name none.
///
/// # Errors
/// [`StartError::Secret`] when a secret cannot be read.
pub(super) fn bucket(settings: &Settings) -> Result<Option<S3Settings>, StartError> {
    let of = &settings.s3;
    let (Some(endpoint), Some(bucket)) = (&of.endpoint, &of.bucket) else {
        return Ok(None);
    };
    let (Some(key_id), Some(secret)) = (read(&of.key_id)?, read(&of.secret)?) else {
        return Ok(None);
    };
    Ok(Some(S3Settings {
        endpoint: endpoint.clone(),
        region: of.region.clone(),
        bucket: bucket.clone(),
        prefix: of.prefix.clone(),
        path_style: of.path_style,
        credentials: Credentials {
            key_id,
            secret,
            token: read(&of.token)?,
        },
        ca_file: of.ca_file.clone(),
        concurrency: of.concurrency,
    }))
}

fn read(held: &Held) -> Result<Option<Zeroizing<String>>, StartError> {
    held.read().map_err(|source| StartError::Secret {
        path: held
            .file
            .as_ref()
            .map(|file| file.path().to_owned())
            .unwrap_or_default(),
        source,
    })
}

/// Where files are kept.
pub(super) struct Storage {
    /// All places as one.
    pub store: Arc<dyn Store>,
    /// The data directory alone.
    pub disk: Arc<dyn Store>,
    /// The bucket, where there is one.
    pub bucket: Option<Bucket>,
}

/// A bucket that is in use.
#[derive(Clone)]
pub(super) struct Bucket {
    /// The bucket alone.
    pub store: Arc<S3Store>,
    /// Disk and bucket as one.
    pub both: Arc<BothStores>,
    /// Whether new files go there.
    pub takes_new: bool,
    /// Why it cannot be used, as far as [`BucketWatch`](super::bucket_watch::BucketWatch) has found out.
    pub trouble: Arc<Mutex<Option<String>>>,
}

/// Puts the places together. Touches no network: a server that is away keeps nobody from starting.
pub(super) fn open(
    settings: &Settings,
    disk: Arc<dyn Store>,
    metadata: &Arc<RedbMetadata>,
    server_key: &Secret,
) -> Result<Storage, StartError> {
    let Some(of) = bucket(settings)? else {
        return Ok(Storage {
            store: Arc::clone(&disk),
            disk,
            bucket: None,
        });
    };
    // Signatures carry the time that the machine shows, whatever else is thought of it.
    let clock = Arc::new(SystemClock::new());
    let client = Client::new(&of, clock).map_err(|e| StartError::Bucket(e.to_string()))?;
    let uploads = Uploads::new(
        client.clone(),
        Arc::<RedbMetadata>::clone(metadata),
        &settings.data_dir.join(INCOMING),
        settings.min_free_space,
        Retries::default(),
    )
    .map_err(|e| StartError::Store(StoreError::Unavailable(e)))?;
    let database = metadata.identity(u64::from_be_bytes(keys::random()))?;
    let mark = keys::owner_mark(server_key, database);
    let redirects = settings.s3.downloads == Downloads::Redirected;
    let store = Arc::new(S3Store::new(client, uploads, &mark).with_redirects(redirects));
    let takes_new = settings.storage == StorageKind::S3;
    let place = if takes_new { Place::Far } else { Place::Near };
    let far = Arc::<S3Store>::clone(&store);
    let both = Arc::new(BothStores::new(Arc::clone(&disk), far, place));
    Ok(Storage {
        store: Arc::<BothStores>::clone(&both),
        disk,
        bucket: Some(Bucket {
            store,
            both,
            takes_new,
            trouble: Arc::new(Mutex::new(Some("it has not answered yet".to_owned()))),
        }),
    })
}

/// Tries the bucket of the settings out; no findings when they name none. Takes as long as the server
/// and the network do: up to some minutes when both are bad.
///
/// # Errors
/// [`StartError::Secret`] when a secret cannot be read.
pub fn try_bucket(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Vec<Finding>, StartError> {
    let Some(bucket) = bucket(settings)? else {
        return Ok(Vec::new());
    };
    let mut findings = s3::diagnose(&bucket, Arc::clone(&clock));
    let fails = |finding: &Finding| matches!(finding.outcome, Outcome::Fails(_));
    if settings.s3.downloads == Downloads::Redirected && !findings.iter().any(fails) {
        findings.extend(s3::diagnose_redirects(&bucket, clock));
    }
    Ok(findings)
}
