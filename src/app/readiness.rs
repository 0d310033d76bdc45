//! Whether the server can do its work. Asks no other machine, and takes no time.

use super::storage::Storage;
use crate::api::Readiness;
use crate::metadata::Metadata;
use crate::service::Service;
use crate::tasks::Endings;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Whether it can do its work: both media answer, there is space, and nothing wants it to end.
pub(super) fn of(
    metadata: &Arc<dyn Metadata>,
    storage: &Storage,
    database: &Path,
    endings: &Endings,
    service: &Arc<Service>,
) -> Readiness {
    let (metadata, disk) = (Arc::clone(metadata), Arc::clone(&storage.disk));
    let bucket = storage.bucket.clone();
    let database = database.to_owned();
    let service = Arc::downgrade(service);
    let is_ending = endings.watch();
    Box::new(move || {
        if is_ending() {
            return Err("stopping".to_owned());
        }
        metadata.link_count().map_err(|e| e.to_string())?;
        metadata.room_for_more().map_err(|e| e.to_string())?;
        // A file system that has turned read-only refuses this, and nothing else changes it.
        let writable = OpenOptions::new().write(true).open(&database);
        writable.map_err(|e| format!("{}: {e}", database.display()))?;
        // What goes into a bucket waits on the disk for a moment.
        match disk.available() {
            Ok(0) => {
                return Err("the disk is full: delete files, or lower min_free_space".to_owned());
            }
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
        let problem = bucket.as_ref().and_then(|bucket| {
            let trouble = || {
                bucket
                    .trouble
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            };
            bucket.store.problem().or_else(|| trouble().clone())
        });
        match (problem, bucket.as_ref().is_some_and(|of| of.takes_new)) {
            (Some(problem), true) => Err(format!("the bucket cannot be used: {problem}")),
            (Some(_), false) => Ok(Some("files in the bucket cannot be fetched now")),
            (None, _)
                if bucket
                    .as_ref()
                    .is_some_and(|of| of.store.remark().is_some()) =>
            {
                Ok(Some(
                    "another process of this Mayfly uses the bucket, so nothing is removed from it: stop one \
                 of them; the log says more",
                ))
            }
            (None, _) => Ok(service.upgrade().and_then(|service| service.clock_remark())),
        }
    })
}
