//! The bucket that the settings name: its secrets are read here, and it can be tried out.

use super::StartError;
use crate::config::{Held, Settings};
use crate::model::Clock;
use crate::store::s3::{self, Credentials, S3Settings};
use std::sync::Arc;
use zeroize::Zeroizing;

pub use crate::store::s3::{Finding, Mend, Outcome, Trouble, endpoint_in as bucket_endpoint_in};

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

/// Tries the bucket of the settings out; no findings when they name none. Takes as long as the server
/// and the network do: up to some minutes when both are bad.
///
/// # Errors
/// [`StartError::Secret`] when a secret cannot be read.
pub fn try_bucket(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Vec<Finding>, StartError> {
    Ok(match bucket(settings)? {
        Some(bucket) => s3::diagnose(&bucket, clock),
        None => Vec::new(),
    })
}
