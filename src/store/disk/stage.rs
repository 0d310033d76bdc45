//! A file that is being written: set aside, written once, made durable, moved into its place.

use super::place::{Place, WRITE_BACK, WriteBack};
use crate::model::BlobId;
use crate::store::{Stage, StoreError};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

/// A file in `incoming`. Dropped before its commit, it is removed.
pub(super) struct DiskStage {
    place: Arc<Place>,
    file: File,
    /// In `incoming`.
    name: String,
    id: BlobId,
    written: u64,
    /// What the uploader said would come; 0 when unknown.
    expected: u64,
    /// Up to where there is known to be room beside the reserve.
    granted: u64,
    /// Bytes counted in [`Place::promised`], because the file system could not set them aside.
    promised: u64,
    /// Whether the file system has set `expected` bytes aside.
    set_aside: bool,
    write_back: WriteBack,
    /// Whether the name in `incoming` is still ours to remove.
    removable: bool,
}

impl DiskStage {
    pub(super) fn new(
        place: &Arc<Place>,
        name: String,
        id: &BlobId,
        expected: Option<u64>,
    ) -> Result<Self, StoreError> {
        let needed = expected.unwrap_or(0);
        let mut promised = place.promised();
        let new = place.new_file(&promised, &name, OFlags::WRONLY, needed)?;
        let own = if new.set_aside { 0 } else { needed };
        promised.total += own;
        Ok(Self {
            place: Arc::clone(place),
            file: new.file,
            name,
            id: *id,
            written: 0,
            expected: needed,
            granted: needed,
            promised: own,
            set_aside: new.set_aside,
            write_back: WriteBack::from(0),
            removable: true,
        })
    }

    /// Before bytes beyond what was granted: the reserve stays untouched, to the nearest
    /// [`WRITE_BACK`].
    fn grant_more(&mut self, end: u64) -> Result<(), StoreError> {
        let available = self.place.free_beside(&self.place.promised())?;
        let needed = end - self.granted.max(self.written);
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        self.granted = end.saturating_add(WRITE_BACK.min(available - needed));
        Ok(())
    }

    /// Gives back what was promised and not written yet, down to what is still to come.
    fn settle_promise(&mut self, open: u64) {
        let over = self.promised.saturating_sub(open);
        if over > 0 {
            self.place.promised().total -= over;
            self.promised -= over;
        }
    }

    /// Decides by the end of the commit whether the name in `incoming` goes. A medium without room, or a process
    /// without descriptors, has not taken the file. After any other failure nobody knows what the
    /// medium holds: nothing is removed.
    fn ends_with(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        self.removable = matches!(
            result,
            Err(StoreError::Full { .. }
                | StoreError::Quota { .. }
                | StoreError::Refused(_)
                | StoreError::Exists)
        );
        result
    }
}

impl Stage for DiskStage {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let end = self.written + length;
        if end > self.granted {
            self.grant_more(end)?;
        }
        self.file
            .write_all(bytes)
            .map_err(|e| self.place.full_or_unavailable(e, length))?;
        self.written = end;
        self.settle_promise(self.expected.saturating_sub(end));
        self.write_back.advance(&self.file, end);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.set_aside && self.expected > self.written {
            // Gives back what was set aside beyond the end.
            if let Err(e) = rustix::fs::ftruncate(&self.file, self.written) {
                let error = self.place.full_or_unavailable(e.into(), self.written);
                return self.ends_with(Err(error));
            }
        }
        let place = Arc::clone(&self.place);
        let result = place.publish(&self.file, &self.name, &self.id, self.written);
        self.ends_with(result)
    }
}

impl Drop for DiskStage {
    fn drop(&mut self) {
        self.settle_promise(0);
        if self.removable {
            self.place.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    const ID: BlobId = BlobId([1; 16]);

    #[test]
    fn a_promise_counts_until_its_bytes_are_written_or_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::DiskStore::open(dir.path(), 0).unwrap();
        let place = &store.place;
        // As on a file system that sets nothing aside.
        let promise = |length| {
            let mut stage = DiskStage::new(place, format!("{length}"), &ID, Some(0)).unwrap();
            (stage.expected, stage.granted, stage.promised) = (length, length, length);
            place.promised().total += length;
            stage
        };
        let (mut one, two) = (promise(1000), promise(70));
        one.write(&[0; 300]).unwrap();
        assert_eq!(place.promised().total, 770);
        one.write(&[0; 1700]).unwrap();
        assert_eq!(place.promised().total, 70);
        Box::new(one).commit().unwrap();
        drop(two);
        assert_eq!(place.promised().total, 0);
        drop(promise(5));
        assert_eq!(place.promised().total, 0);
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_removed_and_a_full_medium_is_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::DiskStore::open(dir.path(), 0).unwrap();
        let left = || {
            std::fs::read_dir(dir.path().join("incoming"))
                .unwrap()
                .count()
        };
        for (error, full, remaining) in [
            (Errno::NOSPC, true, 0),
            (Errno::DQUOT, true, 0),
            (Errno::IO, false, 1),
        ] {
            let mut stage = DiskStage::new(&store.place, "name".into(), &ID, None).unwrap();
            let error = store.place.full_or_unavailable(error.into(), 0);
            let error = stage.ends_with(Err(error)).unwrap_err();
            let told = matches!(error, StoreError::Full { .. } | StoreError::Quota { .. });
            assert_eq!(told, full, "{error}");
            drop(stage);
            assert_eq!(left(), remaining);
        }
    }
}
