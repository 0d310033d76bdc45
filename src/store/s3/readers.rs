//! Which blobs are being read in this process, and which are being deleted: never one that is both.
//!
//! An object that is deleted is gone for whoever reads it. So what is being read is not deleted, and
//! what is being deleted is not opened.

use crate::model::BlobId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is at which blob.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<BlobId, At>>);

#[derive(Default)]
struct At {
    reading: usize,
    deleting: usize,
}

impl Readers {
    /// `id` is being read until the guard is dropped; `None` when it is being deleted.
    pub(super) fn read(self: &Arc<Self>, id: &BlobId) -> Option<Guard> {
        let mut blobs = self.blobs();
        let at = blobs.entry(*id).or_default();
        if at.deleting > 0 {
            return None;
        }
        at.reading += 1;
        Some(self.guard(*id))
    }

    /// `id` is being deleted until the guard is dropped; `None` when it is being read.
    pub(super) fn delete(self: &Arc<Self>, id: &BlobId) -> Option<Guard> {
        let mut blobs = self.blobs();
        let at = blobs.entry(*id).or_default();
        if at.reading > 0 {
            return None;
        }
        at.deleting += 1;
        Some(self.guard(*id))
    }

    fn guard(self: &Arc<Self>, id: BlobId) -> Guard {
        Guard {
            readers: Arc::clone(self),
            id,
        }
    }

    fn blobs(&self) -> MutexGuard<'_, HashMap<BlobId, At>> {
        // Counts that are changed in one step are never half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who is at a blob.
pub(super) struct Guard {
    readers: Arc<Readers>,
    id: BlobId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut blobs = self.readers.blobs();
        // Nobody reads what is being deleted, so one of both counts is zero.
        if let Some(at) = blobs.get_mut(&self.id) {
            at.reading = at.reading.saturating_sub(1);
            at.deleting = at.deleting.saturating_sub(1);
            if at.reading == 0 && at.deleting == 0 {
                blobs.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_read_is_not_deleted_and_what_is_being_deleted_is_not_read() {
        let readers = Arc::new(Readers::default());
        let id = BlobId([1; 16]);
        let other = readers.delete(&BlobId([2; 16]));
        let first = readers.read(&id).unwrap();
        let second = readers.read(&id).unwrap();
        assert!(readers.delete(&id).is_none());
        drop(first);
        assert!(readers.delete(&id).is_none());
        drop(second);
        let first = readers.delete(&id).unwrap();
        let second = readers.delete(&id).unwrap();
        assert!(readers.read(&id).is_none());
        drop(first);
        assert!(readers.read(&id).is_none());
        drop(second);
        drop(other);
        assert!(readers.blobs().is_empty());
        assert!(readers.read(&id).is_some());
    }
}
