//! A file that is put together from pieces, over any number of processes.
//!
//! It lies in `incoming` under a name of its own, has its full size from the beginning, and its room is set
//! aside; what has not come is a hole, or reads as zeros. Each piece is written where it belongs, once, and
//! is durable before it counts as finished. Nothing else is written down: which pieces are there, the
//! caller knows.
//! Where there may be data, only the same bytes are written again.

use super::names::{assembly_name, bucket_assembly_of};
use super::place::{Place, WriteBack};
use super::{not_found_or_unavailable, unavailable};
use crate::model::BlobId;
use crate::store::compare::Before;
use crate::store::{Assembly, Piece, StoreError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The unit in which `st_blocks` counts, in bytes.
const BLOCK: u64 = 512;

/// A blob that is being put together.
pub(super) struct DiskAssembly {
    place: Arc<Place>,
    id: BlobId,
    size: u64,
}

impl DiskAssembly {
    /// Begins it.
    pub(super) fn begin(place: &Arc<Place>, id: &BlobId, size: u64) -> Result<Self, StoreError> {
        let name = assembly_name(id);
        let mut promised = place.promised();
        let new = match place.new_file(&promised, &name, OFlags::WRONLY, size) {
            Err(StoreError::Unavailable(e)) if Errno::from_io_error(&e) == Some(Errno::EXIST) => {
                return Err(StoreError::Exists);
            }
            new => new?,
        };
        if !new.set_aside {
            promised.promise(id, size);
        }
        drop(promised);
        // The size is what the next process promises room by.
        let durable = rustix::fs::ftruncate(&new.file, size)
            .and_then(|()| rustix::fs::fsync(&new.file))
            .and_then(|()| rustix::fs::fsync(&place.incoming));
        if let Err(error) = durable {
            place.remove(&name);
            place.promised().settle(id, 0);
            return Err(match error {
                Errno::FBIG | Errno::INVAL => place.full_or_unavailable(Errno::NOSPC.into(), size),
                error => place.full_or_unavailable(error.into(), size),
            });
        }
        Ok(Self::new(place, id, size))
    }

    /// Goes on with it.
    pub(super) fn resume(place: &Arc<Place>, id: &BlobId, size: u64) -> Result<Self, StoreError> {
        let assembly = Self::new(place, id, size);
        assembly.open()?;
        Ok(assembly)
    }

    fn new(place: &Arc<Place>, id: &BlobId, size: u64) -> Self {
        Self {
            place: Arc::clone(place),
            id: *id,
            size,
        }
    }

    /// Opens the file anew: whether a sync has failed, the kernel tells each open file once.
    fn open(&self) -> Result<File, StoreError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let name = assembly_name(&self.id);
        let file = rustix::fs::openat(&self.place.incoming, name, flags, Mode::empty());
        let file = file.map_err(|e| match e {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => StoreError::Refused(e.into()),
            e => not_found_or_unavailable(e),
        })?;
        let stat = rustix::fs::fstat(&file).map_err(unavailable)?;
        if length_of(&stat) != Some(self.size) {
            return Err(StoreError::Unavailable(io::Error::other(
                "an unfinished upload is not a file of the size that it was begun with",
            )));
        }
        Ok(File::from(file))
    }

    /// Whether the file is in its place as well: a process ended between both steps of a move.
    fn is_in_place(&self, file: &File) -> bool {
        let own = rustix::fs::fstat(file);
        let shard = self.place.shard(super::names::Shard::of(&self.id));
        let (Ok(own), Ok(shard)) = (own, shard) else {
            return false;
        };
        rustix::fs::statat(&shard, self.id.to_hex(), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|stored| rustix::fs::fsync(&shard).map(|()| stored))
            .is_ok_and(|stored| (stored.st_dev, stored.st_ino) == (own.st_dev, own.st_ino))
    }
}

impl Assembly for DiskAssembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        Ok(Box::new(DiskPiece {
            file: self.open()?,
            place: Arc::clone(&self.place),
            id: self.id,
            size: self.size,
            at: offset,
            before: Before::from(offset),
            write_back: WriteBack::from(offset),
        }))
    }

    fn commit(&self) -> Result<(), StoreError> {
        let file = self.open()?;
        let name = assembly_name(&self.id);
        match self.place.publish(&file, &name, &self.id, self.size) {
            Err(StoreError::Exists) if self.is_in_place(&file) => self.place.remove(&name),
            result => result?,
        }
        self.place.promised().settle(&self.id, 0);
        Ok(())
    }
}

/// Gives up what is being assembled, if it is.
pub(super) fn abandon(place: &Place, id: &BlobId) -> Result<(), StoreError> {
    // Not made durable: after a power cut it may be back, and is found among the assemblies.
    match rustix::fs::unlinkat(&place.incoming, assembly_name(id), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(unavailable(e)),
    }
    place.promised().settle(id, 0);
    abandon_for_bucket(place, id).map_err(unavailable)
}

/// Removes what waits to go into a bucket. While that is in use, it was removed there.
fn abandon_for_bucket(place: &Place, id: &BlobId) -> rustix::io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(&place.incoming)? {
        let entry = entry?;
        if bucket_assembly_of(entry.file_name()).as_ref() == Some(id) {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        match rustix::fs::unlinkat(&place.incoming, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// How many bytes of an assembly the file system has neither stored nor set aside.
pub(super) fn unwritten(incoming: &OwnedFd, id: &BlobId) -> Result<u64, StoreError> {
    let stat = rustix::fs::statat(incoming, assembly_name(id), AtFlags::SYMLINK_NOFOLLOW);
    match stat {
        Ok(stat) => Ok(still_to_come(&stat)),
        Err(Errno::NOENT) => Ok(0),
        Err(e) => Err(unavailable(e)),
    }
}

fn still_to_come(stat: &Stat) -> u64 {
    let taken = u64::try_from(stat.st_blocks).unwrap_or(0);
    let taken = taken.saturating_mul(BLOCK);
    length_of(stat).unwrap_or(0).saturating_sub(taken)
}

/// The length of a file; nothing of what is none.
fn length_of(stat: &Stat) -> Option<u64> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then_some(u64::try_from(stat.st_size).unwrap_or(0))
}

/// A piece that is being written.
struct DiskPiece {
    file: File,
    place: Arc<Place>,
    id: BlobId,
    size: u64,
    /// Where the next byte goes.
    at: u64,
    before: Before,
    write_back: WriteBack,
}

impl Piece for DiskPiece {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        if length > self.size.saturating_sub(self.at) {
            return Err(StoreError::Unavailable(io::Error::other(
                "a piece goes beyond the end of its blob",
            )));
        }
        self.before.allows(&self.file, self.at, bytes)?;
        // The same bytes, too: what lies there need not have reached the medium.
        self.file
            .write_all_at(bytes, self.at)
            .map_err(|e| self.place.full_or_unavailable(e, length))?;
        self.at += length;
        self.write_back.advance(&self.file, self.at);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        rustix::fs::fdatasync(&self.file)
            .map_err(|e| self.place.full_or_unavailable(e.into(), self.size))?;
        if let Ok(stat) = rustix::fs::fstat(&self.file) {
            let left = still_to_come(&stat);
            self.place.promised().settle(&self.id, left);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
