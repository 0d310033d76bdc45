//! What is known of multipart uploads beyond the life of a process: whoever dies leaves parts in the
//! bucket, which cost money and which no listing of objects shows.

use crate::model::{BlobId, Timestamp};
use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A multipart upload that has begun. A blob may have several: whoever fails to store it may try again
/// before the first is given up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpenUpload {
    /// The blob.
    pub id: BlobId,
    /// Tells the bucket from others, in which this upload would be looked for in vain.
    pub place: [u8; 16],
    /// The name that the server gave it; empty until it is known: an upload of that blob may have begun.
    pub upload: String,
    /// When that was taken down.
    pub begun: Timestamp,
}

/// Takes down which multipart uploads are open. What it was told is durable when it returns.
pub trait Journal: Send + Sync {
    /// An upload has begun, or is about to.
    ///
    /// # Errors
    /// When it could not be taken down: the upload is not to go on.
    fn begun(&self, upload: &OpenUpload) -> io::Result<()>;
    /// The upload that was about to begin has, under this name: `unnamed` is no more.
    ///
    /// # Errors
    /// When it could not be taken down: the upload is not to go on.
    fn named(&self, unnamed: &OpenUpload, upload: &OpenUpload) -> io::Result<()>;
    /// An upload has ended, and nothing of it is left but the object, if that.
    ///
    /// # Errors
    /// When it could not be taken down: it will be ended again.
    fn ended(&self, upload: &OpenUpload) -> io::Result<()>;
    /// Up to `limit` uploads that have begun and not ended, which come after `after`, those of one blob
    /// together.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn open(&self, after: Option<&OpenUpload>, limit: usize) -> io::Result<Vec<OpenUpload>>;
}

/// A journal that lasts as long as the process, for tests.
#[derive(Default)]
pub struct MemoryJournal(Mutex<BTreeSet<OpenUpload>>);

impl MemoryJournal {
    fn rows(&self) -> MutexGuard<'_, BTreeSet<OpenUpload>> {
        // Every change is one call: nothing is ever half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn begun(&self, upload: &OpenUpload) -> io::Result<()> {
        self.rows().insert(upload.clone());
        Ok(())
    }

    fn named(&self, unnamed: &OpenUpload, upload: &OpenUpload) -> io::Result<()> {
        let mut rows = self.rows();
        rows.remove(unnamed);
        rows.insert(upload.clone());
        Ok(())
    }

    fn ended(&self, upload: &OpenUpload) -> io::Result<()> {
        self.rows().remove(upload);
        Ok(())
    }

    fn open(&self, after: Option<&OpenUpload>, limit: usize) -> io::Result<Vec<OpenUpload>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows();
        let above = rows.range((from, Bound::Unbounded));
        Ok(above.take(limit).cloned().collect())
    }
}
