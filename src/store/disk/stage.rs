//! A file that is being written: set aside, written once, made durable, moved into its place.

use super::names::Shard;
use super::{PRIVATE_FILE, Place, unavailable};
use crate::model::BlobId;
use crate::store::{Stage, StoreError};
use rustix::fs::{Advice, AtFlags, FallocateFlags, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::Arc;

/// How many bytes are written before the kernel is told to bring them to the medium (see
/// `docs/decisions/0003-early-write-back.md`), and the reserve is looked at again.
const WRITE_BACK: u64 = 8 << 20;

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
    /// Bytes counted in `Place::promised`, because the file system could not set them aside.
    promised: u64,
    /// Whether the file system has set `expected` bytes aside.
    set_aside: bool,
    /// Up to where write-back has been started.
    started: u64,
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
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let needed = expected.unwrap_or(0);
        let mut promised = place.promised();
        let available = place.free_beside(*promised)?;
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        let file = match rustix::fs::openat(&place.incoming, &name, flags, PRIVATE_FILE) {
            Ok(file) => File::from(file),
            Err(Errno::NOSPC) => return Err(StoreError::Full { needed, available }),
            Err(Errno::DQUOT) => return Err(StoreError::Quota { needed }),
            Err(e) => return Err(unavailable(e)),
        };
        let mut stage = Self {
            place: Arc::clone(place),
            file,
            name,
            id: *id,
            written: 0,
            expected: needed,
            granted: needed,
            promised: 0,
            set_aside: false,
            started: 0,
            removable: true,
        };
        if needed > 0 {
            match set_aside(&stage.file, needed) {
                Ok(true) => stage.set_aside = true,
                Ok(false) => {
                    *promised += needed;
                    stage.promised = needed;
                }
                Err(e) => {
                    drop(promised);
                    return Err(place.full_or_unavailable(e.into(), needed));
                }
            }
        }
        Ok(stage)
    }

    /// Before bytes beyond what was granted: the reserve stays untouched, to the nearest
    /// [`WRITE_BACK`].
    fn grant_more(&mut self, end: u64) -> Result<(), StoreError> {
        let available = self.place.free_beside(*self.place.promised())?;
        let needed = end - self.granted.max(self.written);
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        self.granted = end.saturating_add(WRITE_BACK.min(available - needed));
        Ok(())
    }

    /// Tells the kernel to begin writing what is finished. Nothing waits for it here.
    fn start_write_back(&mut self) {
        let end = self.written - self.written % WRITE_BACK;
        if let Some(length) = NonZeroU64::new(end.saturating_sub(self.started)) {
            // Dirty pages cannot be dropped: on Linux the advice starts writing them. Where it
            // does not, the final sync has more to do, and nothing is lost.
            let _ = rustix::fs::fadvise(&self.file, self.started, Some(length), Advice::DontNeed);
            self.started = end;
        }
    }

    /// Gives back what was promised and not written yet, down to what is still to come.
    fn settle_promise(&mut self, open: u64) {
        let over = self.promised.saturating_sub(open);
        if over > 0 {
            *self.place.promised() -= over;
            self.promised -= over;
        }
    }

    /// What a failed step of the commit means. A medium without room has not taken the file, and
    /// the name in `incoming` goes. After any other failure nobody knows what the medium holds:
    /// nothing is removed.
    fn fail(&mut self, error: Errno) -> StoreError {
        let error = self.place.full_or_unavailable(error.into(), self.written);
        if !matches!(error, StoreError::Full { .. } | StoreError::Quota { .. }) {
            self.removable = false;
        }
        error
    }

    /// Removes the name, which nobody else has.
    fn remove(&mut self) {
        if std::mem::take(&mut self.removable)
            && let Err(e) = rustix::fs::unlinkat(&self.place.incoming, &self.name, AtFlags::empty())
        {
            log::warn!("an unfinished upload could not be removed: {e}; the next start does it");
        }
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
        self.start_write_back();
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let place = Arc::clone(&self.place);
        // First, because nothing is lost yet if it cannot be had.
        let shard = place
            .durable_shard(Shard::of(&self.id))
            .map_err(|e| match e {
                Errno::MFILE | Errno::NFILE | Errno::NOMEM => StoreError::Refused(e.into()),
                e => self.fail(e),
            })?;
        if self.set_aside && self.expected > self.written {
            // Gives back what was set aside beyond the end.
            rustix::fs::ftruncate(&self.file, self.written).map_err(|e| self.fail(e))?;
        }
        rustix::fs::fdatasync(&self.file).map_err(|e| self.fail(e))?;
        match move_without_replacing(&place.incoming, &self.name, &shard, &self.id.to_hex()) {
            Ok(()) => self.removable = false,
            Err(Errno::EXIST) => return Err(StoreError::Exists),
            Err(e) => return Err(self.fail(e)),
        }
        rustix::fs::fsync(&shard).map_err(unavailable)
    }
}

impl Drop for DiskStage {
    fn drop(&mut self) {
        self.settle_promise(0);
        self.remove();
    }
}

/// Sets `length` bytes aside on the medium without changing the size of the file. False when the
/// file system cannot do that.
fn set_aside(file: &File, length: u64) -> rustix::io::Result<bool> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            // Larger than any file of this file system.
            Err(Errno::FBIG) => return Err(Errno::NOSPC),
            Err(e) => return Err(e),
        }
    }
}

/// Renames, or fails with `EXIST`. File systems that cannot do that in one step get a second name
/// for the file, which fails in the same way, and lose the first.
fn move_without_replacing(
    from: &impl AsFd,
    old: &str,
    to: &impl AsFd,
    new: &str,
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => link_and_unlink(from, old, to, new),
        result => result,
    }
}

fn link_and_unlink(
    from: &impl AsFd,
    old: &str,
    to: &impl AsFd,
    new: &str,
) -> rustix::io::Result<()> {
    rustix::fs::linkat(from, old, to, new, AtFlags::empty())?;
    if let Err(e) = rustix::fs::unlinkat(from, old, AtFlags::empty()) {
        log::warn!("a second name of a stored file remains until the next start: {e}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode};

    const ID: BlobId = BlobId([1; 16]);

    #[test]
    fn the_move_for_simple_file_systems_replaces_nothing_either() {
        let dir = tempfile::tempdir().unwrap();
        let fd = rustix::fs::openat(CWD, dir.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        std::fs::write(dir.path().join("a"), "new").unwrap();
        std::fs::write(dir.path().join("b"), "old").unwrap();
        assert_eq!(link_and_unlink(&fd, "a", &fd, "b"), Err(Errno::EXIST));
        assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"old");
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        link_and_unlink(&fd, "a", &fd, "c").unwrap();
        assert_eq!(std::fs::read(dir.path().join("c")).unwrap(), b"new");
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn a_promise_counts_until_its_bytes_are_written_or_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::DiskStore::open(dir.path(), 0).unwrap();
        let place = &store.place;
        // As on a file system that sets nothing aside.
        let promise = |length| {
            let mut stage = DiskStage::new(place, format!("{length}"), &ID, Some(0)).unwrap();
            (stage.expected, stage.granted, stage.promised) = (length, length, length);
            *place.promised() += length;
            stage
        };
        let (mut one, two) = (promise(1000), promise(70));
        one.write(&[0; 300]).unwrap();
        assert_eq!(*place.promised(), 770);
        one.write(&[0; 1700]).unwrap();
        assert_eq!(*place.promised(), 70);
        Box::new(one).commit().unwrap();
        drop(two);
        assert_eq!(*place.promised(), 0);
        drop(promise(5));
        assert_eq!(*place.promised(), 0);
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
            let error = stage.fail(error);
            let told = matches!(error, StoreError::Full { .. } | StoreError::Quota { .. });
            assert_eq!(told, full, "{error}");
            drop(stage);
            assert_eq!(left(), remaining);
        }
    }

    #[test]
    fn what_no_file_can_hold_does_not_fit() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(set_aside(&file, 1 << 62), Err(Errno::NOSPC));
    }
}
