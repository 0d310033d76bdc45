//! The directories of a store, the room in them, and the steps that every new file goes through.

use super::names::{Names, Shard};
use super::{
    DIRECTORY, PRIVATE_FILE, assembly, make_directory, not_found_or_unavailable, unavailable,
};
use crate::model::BlobId;
use crate::store::StoreError;
use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many bytes are written before the kernel is told to bring them to the medium (see
/// `docs/decisions/0003-early-write-back.md`), and the reserve is looked at again.
pub(super) const WRITE_BACK: u64 = 8 << 20;

/// What stages and assemblies share with their store.
pub(super) struct Place {
    pub(super) blobs: OwnedFd,
    pub(super) incoming: OwnedFd,
    min_free: u64,
    /// The lock is held from looking at the free space to taking it, so that two cannot both have it.
    promised: Mutex<Promised>,
    /// Which directories below `blobs` this process has made durable.
    durable: [AtomicBool; 256],
}

/// Bytes that were promised and that the file system could not set aside.
#[derive(Default)]
pub(super) struct Promised {
    /// All of them.
    pub(super) total: u64,
    /// Those of each assembly that has any.
    assemblies: BTreeMap<BlobId, u64>,
}

impl Promised {
    /// Promises an assembly so much.
    pub(super) fn promise(&mut self, id: &BlobId, bytes: u64) {
        if bytes > 0 {
            self.total += bytes;
            *self.assemblies.entry(*id).or_default() += bytes;
        }
    }

    /// No more than `left` bytes of what an assembly was promised are still to be written.
    pub(super) fn settle(&mut self, id: &BlobId, left: u64) {
        if let Some(promised) = self.assemblies.get_mut(id) {
            let over = promised.saturating_sub(left);
            *promised -= over;
            self.total -= over;
            if *promised == 0 {
                self.assemblies.remove(id);
            }
        }
    }
}

/// A file that is new in `incoming`.
pub(super) struct NewFile {
    pub(super) file: File,
    /// Whether the file system has set the bytes aside. If not, they are to be promised.
    pub(super) set_aside: bool,
}

impl Place {
    /// The store in these directories; what was promised to the assemblies there is promised again.
    pub(super) fn new(
        blobs: OwnedFd,
        incoming: OwnedFd,
        min_free: u64,
    ) -> Result<Self, StoreError> {
        let mut promised = Promised::default();
        for id in Names::assemblies(&incoming).map_err(unavailable)? {
            let id = id.map_err(unavailable)?;
            promised.promise(&id, assembly::unwritten(&incoming, &id)?);
        }
        Ok(Self {
            blobs,
            incoming,
            min_free,
            promised: Mutex::new(promised),
            durable: [const { AtomicBool::new(false) }; 256],
        })
    }

    /// Opens a directory of blobs.
    pub(super) fn shard(&self, shard: Shard) -> Result<OwnedFd, StoreError> {
        rustix::fs::openat(&self.blobs, shard.name(), DIRECTORY, Mode::empty())
            .map_err(not_found_or_unavailable)
    }

    /// Opens a directory of blobs, making it first if need be, and sees to it that it is durable.
    fn durable_shard(&self, shard: Shard) -> rustix::io::Result<OwnedFd> {
        let directory = make_directory(&self.blobs, &shard.name())?;
        let durable = &self.durable[usize::from(shard.0)];
        if !durable.load(Ordering::Acquire) {
            rustix::fs::fsync(&self.blobs)?;
            durable.store(true, Ordering::Release);
        }
        Ok(directory)
    }

    pub(super) fn promised(&self) -> MutexGuard<'_, Promised> {
        // Every change leaves the sum of all, and nothing that can panic runs in between.
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free bytes less the reserve and less what was promised.
    pub(super) fn free_beside(&self, promised: &Promised) -> Result<u64, StoreError> {
        let stat = rustix::fs::fstatvfs(&self.incoming).map_err(unavailable)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(free
            .saturating_sub(self.min_free)
            .saturating_sub(promised.total))
    }

    /// Makes a file in `incoming`, and sets `needed` bytes aside for it without changing its size. The caller
    /// promises them if the file system cannot, before it lets `promised` go.
    pub(super) fn new_file(
        &self,
        promised: &Promised,
        name: &str,
        access: OFlags,
        needed: u64,
    ) -> Result<NewFile, StoreError> {
        let available = self.free_beside(promised)?;
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        let failed = |error: Errno| full_or_unavailable(error.into(), needed, || available);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.incoming, name, access | flags, PRIVATE_FILE);
        let file = File::from(file.map_err(failed)?);
        match set_aside(&file, needed) {
            Ok(set_aside) => Ok(NewFile { file, set_aside }),
            Err(error) => {
                self.remove(name);
                Err(failed(error))
            }
        }
    }

    /// Removes a name in `incoming`, which nobody else has.
    pub(super) fn remove(&self, name: &str) {
        if let Err(e) = rustix::fs::unlinkat(&self.incoming, name, AtFlags::empty()) {
            log::warn!("an unfinished upload could not be removed: {e}; the next start does it");
        }
    }

    /// Makes a file of `incoming` durable and moves it to its place. When it returns, the blob survives a
    /// power cut. `length`: the bytes of it.
    ///
    /// # Errors
    /// As [`Stage::commit`](crate::store::Stage::commit). A medium without room has not taken the file.
    /// After [`StoreError::Unavailable`] nobody knows what the medium holds.
    pub(super) fn publish(
        &self,
        file: &File,
        name: &str,
        id: &BlobId,
        length: u64,
    ) -> Result<(), StoreError> {
        let failed = |error: Errno| self.full_or_unavailable(error.into(), length);
        // First, because nothing is lost yet if it cannot be had.
        let shard = self.durable_shard(Shard::of(id)).map_err(|e| match e {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => StoreError::Refused(e.into()),
            e => failed(e),
        })?;
        rustix::fs::fdatasync(file).map_err(failed)?;
        match move_without_replacing(&self.incoming, name, &shard, &id.to_hex()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(StoreError::Exists),
            Err(e) => return Err(failed(e)),
        }
        rustix::fs::fsync(&shard).map_err(unavailable)
    }

    /// What an error while taking `needed` bytes means.
    pub(super) fn full_or_unavailable(&self, error: io::Error, needed: u64) -> StoreError {
        full_or_unavailable(error, needed, || {
            self.free_beside(&self.promised()).unwrap_or(0)
        })
    }
}

fn full_or_unavailable(
    error: io::Error,
    needed: u64,
    available: impl FnOnce() -> u64,
) -> StoreError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC) => StoreError::Full {
            needed,
            available: available(),
        },
        // Of the free bytes, it gives fewer than there are.
        Some(Errno::DQUOT) => StoreError::Quota { needed },
        _ => StoreError::Unavailable(error),
    }
}

/// Sets `length` bytes aside on the medium without changing the size of the file. False when the
/// file system cannot do that.
fn set_aside(file: &File, length: u64) -> rustix::io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
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

/// How far the kernel was told to write what is written one after the other.
pub(super) struct WriteBack {
    /// Up to where write-back has been started.
    started: u64,
}

impl WriteBack {
    /// For what is written from `offset` on.
    pub(super) fn from(offset: u64) -> Self {
        Self { started: offset }
    }

    /// Tells the kernel to begin writing what is finished, now that all up to `written` is there. Nothing
    /// waits for it here.
    pub(super) fn advance(&mut self, file: &File, written: u64) {
        let end = written - written % WRITE_BACK;
        if let Some(length) = NonZeroU64::new(end.saturating_sub(self.started)) {
            // Dirty pages cannot be dropped: on Linux the advice starts writing them. Where it
            // does not, the final sync has more to do, and nothing is lost.
            let _ = rustix::fs::fadvise(file, self.started, Some(length), Advice::DontNeed);
            self.started = end;
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
    use rustix::fs::CWD;

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
    fn what_no_file_can_hold_does_not_fit() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(set_aside(&file, 1 << 62), Err(Errno::NOSPC));
    }

    #[test]
    fn what_an_assembly_was_promised_only_ever_gets_less() {
        let (one, two) = (BlobId([1; 16]), BlobId([2; 16]));
        let mut promised = Promised::default();
        promised.promise(&one, 100);
        promised.promise(&two, 0);
        promised.settle(&one, 200);
        promised.settle(&two, 200);
        assert_eq!(promised.total, 100);
        promised.settle(&one, 30);
        assert_eq!(promised.total, 30);
        promised.settle(&one, 0);
        promised.settle(&one, 7);
        assert_eq!(promised.total, 0);
        assert!(promised.assemblies.is_empty());
    }
}
