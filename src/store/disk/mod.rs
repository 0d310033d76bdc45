//! Blobs as files in a directory, durable and never half there.
//!
//! ```text
//! DIR/blobs/ab/abcdef...   a blob: 32 hexadecimal digits, in the directory of the first two
//! DIR/incoming/...         a blob that is being written; of no use after a restart
//! DIR/incoming/chunks-...  a blob that is being assembled from pieces; gone on with after a restart
//! DIR/incoming/s3-...      the same on its way into a bucket; known here by name only
//! ```
//!
//! All names are opened relative to open directories, and no symbolic link is followed at any
//! step. Files are 0600, directories 0700, whatever the umask was.
//!
//! A commit is: `fdatasync`, rename that replaces nothing, `fsync` of the directory (and of
//! `blobs`, the first time that this process uses one of its directories: who made it may not have
//! made it durable). A failed sync is never tried again: the kernel reports it once and then
//! forgets (fsync(2), "EIO"). From the rename on, an error leaves the file where it is, because
//! only a sync that succeeds would tell which of both names survives. What remains is an orphan
//! for the sweeps, never a loss.

mod assembly;
mod names;
mod place;
mod stage;
#[cfg(test)]
mod tests;

use super::{Assembly, Pieces, Stage, Store, StoreError, StoredBlob};
use crate::model::BlobId;
use assembly::DiskAssembly;
use names::{Names, Shard, kept};
use place::Place;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use stage::DiskStage;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Blobs in a directory of the local file system.
pub struct DiskStore {
    place: Arc<Place>,
    /// Begins the name of whatever this process stages: the sweep of leftovers spares it.
    process: String,
    staged: AtomicU64,
}

impl DiskStore {
    /// Opens the store in `path`, which is made if it is not there. Uploads leave `min_free` bytes
    /// of the file system free.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be made, or when a symbolic link or a file
    /// stands in its place.
    pub fn open(path: &Path, min_free: u64) -> Result<Self, StoreError> {
        let root = open_root(path).map_err(StoreError::Unavailable)?;
        let blobs = make_directory(&root, "blobs").map_err(unavailable)?;
        let incoming = make_directory(&root, "incoming").map_err(unavailable)?;
        for directory in [&blobs, &root] {
            rustix::fs::fsync(directory).map_err(unavailable)?;
        }
        // Not secret; only never the same as that of an earlier process.
        let process = RandomState::new().hash_one(());
        Ok(Self {
            place: Arc::new(Place::new(blobs, incoming, min_free)?),
            process: format!("{process:016x}"),
            staged: AtomicU64::new(0),
        })
    }
}

/// Opens the data directory itself, making it and what is above it. Its own path may lead over
/// symbolic links: the administrator chose it.
fn open_root(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::DirBuilderExt;
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .collect();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
    for new in missing {
        let parent = new.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        rustix::fs::fsync(rustix::fs::openat(CWD, parent, flags, Mode::empty())?)?;
    }
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

fn make_directory(root: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(root, name, PRIVATE_DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e),
    }
    rustix::fs::openat(root, name, DIRECTORY, Mode::empty())
}

impl Store for DiskStore {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number:x}", self.process);
        Ok(Box::new(DiskStage::new(&self.place, name, id, expected)?))
    }

    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        let shard = self.place.shard(Shard::of(id))?;
        // Without blocking: whatever stands there instead of a file must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(shard, id.to_hex(), flags, Mode::empty())
            .map_err(not_found_or_unavailable)?;
        let stat = rustix::fs::fstat(&file).map_err(unavailable)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::Unavailable(io::Error::other(
                "what stands in the place of a blob is no file",
            )));
        }
        Ok(Box::new(DiskBlob {
            file: File::from(file),
            size: u64::try_from(stat.st_size).unwrap_or(0),
        }))
    }

    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        let shard = match self.place.shard(Shard::of(id)) {
            Ok(shard) => shard,
            Err(StoreError::NotFound) => return Ok(()),
            Err(e) => return Err(e),
        };
        // Not made durable: after a power cut the file may be back, as an orphan for the sweep.
        match rustix::fs::unlinkat(shard, id.to_hex(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(unavailable(e)),
        }
    }

    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let mut found = Vec::new();
        let first = after.map_or(Shard(0), Shard::of);
        for shard in first.onward() {
            if found.len() >= limit {
                break;
            }
            let Some(names) = self.names(shard)? else {
                continue;
            };
            let wanted = limit - found.len();
            found.extend(names.smallest(after, wanted).map_err(unavailable)?);
        }
        Ok(found)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        for shard in Shard(0).onward() {
            if let Some(mut names) = self.names(shard)?
                && names.next().transpose().map_err(unavailable)?.is_some()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sweep_staged(&self) -> Result<u64, StoreError> {
        let incoming = &self.place.incoming;
        let mut removed = 0;
        for entry in rustix::fs::Dir::read_from(incoming).map_err(unavailable)? {
            let entry = entry.map_err(unavailable)?;
            let name = entry.file_name();
            let bytes = name.to_bytes();
            let is_live = bytes.starts_with(self.process.as_bytes()) || kept(name).is_some();
            if bytes == b"." || bytes == b".." || is_live {
                continue;
            }
            match rustix::fs::unlinkat(incoming, name, AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    log::warn!("a directory lies among the incoming files; it was not made here");
                }
                Err(e) => return Err(unavailable(e)),
            }
        }
        Ok(removed)
    }

    fn available(&self) -> Result<u64, StoreError> {
        let promised = self.place.promised();
        self.place.free_beside(&promised)
    }

    fn assemble(&self, id: &BlobId, size: u64, _: Pieces) -> Result<Arc<dyn Assembly>, StoreError> {
        Ok(Arc::new(DiskAssembly::begin(&self.place, id, size)?))
    }

    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        Ok(Arc::new(DiskAssembly::resume(&self.place, id, size)?))
    }

    fn abandon(&self, id: &BlobId) -> Result<(), StoreError> {
        assembly::abandon(&self.place, id)
    }

    /// What waits to go into a bucket is among them: a bucket that is not used any more lists nothing.
    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let names = Names::assemblies(&self.place.incoming).map_err(unavailable)?;
        names.smallest(after, limit).map_err(unavailable)
    }
}

impl DiskStore {
    /// The names in a directory of blobs; None when there is no such directory.
    fn names(&self, shard: Shard) -> Result<Option<Names>, StoreError> {
        match self.place.shard(shard) {
            Ok(directory) => Names::read(shard, &directory)
                .map(Some)
                .map_err(unavailable),
            Err(StoreError::NotFound) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn unavailable(error: Errno) -> StoreError {
    StoreError::Unavailable(error.into())
}

fn not_found_or_unavailable(error: Errno) -> StoreError {
    match error {
        Errno::NOENT => StoreError::NotFound,
        e => unavailable(e),
    }
}

/// An open file. Deleting its name does not disturb it.
struct DiskBlob {
    file: File,
    size: u64,
}

impl StoredBlob for DiskBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}
