//! The open database file, and how it is read: what a failure of the engine means is decided here.

use super::clock::Ride;
use super::schema::{BLOBS, SCHEMA, STATE, View, storage_error};
use super::writer::Writer;
use super::{MetadataError, OnFatal, file};
use crate::model::{Blob, BlobId};
use redb::{Database, ReadableDatabase};
use std::sync::Arc;

/// The database file.
///
/// Dropping it ends the writing thread and closes the file.
pub struct RedbMetadata {
    pub(super) database: Arc<Database>,
    pub(super) on_fatal: OnFatal,
    pub(super) ride: Ride,
    // Dropped last: its thread closes the database, where a panic of the engine does no harm.
    pub(super) writer: Writer,
}

impl RedbMetadata {
    /// The blob of that name, for whoever checks how many links refer to it.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn blob(&self, id: &BlobId) -> Result<Option<Blob>, MetadataError> {
        self.read(|view| BLOBS.get(view, &id.0))
    }

    /// After an I/O error the engine refuses everything, reads as well: that is fatal. A damaged
    /// page is not, unless the engine gave up on it in a way that it does not come back from.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&View) -> Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        let result = self.try_read(read);
        let fatal = match &result {
            Err(MetadataError::Unavailable(what)) => Some(what),
            Err(MetadataError::Corrupt(what)) => self
                .try_read(|view| STATE.has(view, SCHEMA))
                .is_err()
                .then_some(what),
            _ => None,
        };
        if let Some(what) = fatal {
            (self.on_fatal)(what);
        }
        result
    }

    fn try_read<T>(
        &self,
        read: impl FnOnce(&View) -> Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        file::guarded(|| {
            let transaction = self.database.begin_read().map_err(|e| match e {
                redb::TransactionError::Storage(e) => storage_error(&e),
                other => MetadataError::Unavailable(other.to_string()),
            })?;
            read(&View(transaction))
        })
    }
}

impl std::fmt::Debug for RedbMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbMetadata").finish_non_exhaustive()
    }
}
