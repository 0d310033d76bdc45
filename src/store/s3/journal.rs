//! What is known of multipart uploads beyond the life of a process: whoever dies leaves parts in the
//! bucket, which cost money and which no listing of objects shows.

use crate::model::BlobId;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes down which multipart uploads are open. What it was told is durable when it returns.
pub trait Journal: Send + Sync {
    /// The upload of a blob has begun, under the name that the server gave it.
    ///
    /// # Errors
    /// When it could not be taken down: the upload is not to go on.
    fn begun(&self, id: &BlobId, upload: &str) -> io::Result<()>;
    /// The upload of a blob has ended, and nothing of it is left but the object, if that.
    ///
    /// # Errors
    /// When it could not be taken down: it will be ended again.
    fn ended(&self, id: &BlobId) -> io::Result<()>;
    /// Up to `limit` uploads that have begun and not ended, whose blobs come after `after`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn open(&self, after: Option<&BlobId>, limit: usize) -> io::Result<Vec<(BlobId, String)>>;
}

/// A journal that lasts as long as the process, for tests.
#[derive(Default)]
pub struct MemoryJournal(Mutex<BTreeMap<BlobId, String>>);

impl MemoryJournal {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<BlobId, String>> {
        // Every change is one call: nothing is ever half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn begun(&self, id: &BlobId, upload: &str) -> io::Result<()> {
        self.rows().insert(*id, upload.to_owned());
        Ok(())
    }

    fn ended(&self, id: &BlobId) -> io::Result<()> {
        self.rows().remove(id);
        Ok(())
    }

    fn open(&self, after: Option<&BlobId>, limit: usize) -> io::Result<Vec<(BlobId, String)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows();
        let above = rows.range((from, Bound::Unbounded));
        Ok(above
            .take(limit)
            .map(|(id, upload)| (*id, upload.clone()))
            .collect())
    }
}
