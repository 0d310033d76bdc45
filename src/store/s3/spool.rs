//! Where a part waits until the server has it: a file without a name, so that it can be sent again,
//! costs no memory that counts, and is gone with the process.
//!
//! Nobody waits for the disk, so nobody would hear that it failed to write a page which the kernel then
//! forgot: each time that a part is read, its bytes are compared with those that came by a sum.
//!
//! Each part has a file of its own, which is closed when the part is stored. The kernel drops the
//! pages of a file that nobody has any more, mostly before it has written them to the disk
//! (`docs/decisions/0009-parts-wait-in-files-without-a-name.md`).

use crate::store::StoreError;
use crc32fast::Hasher as Crc32;
use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often the reserve of the disk is looked at, in bytes.
const GRANT: u64 = 8 << 20;

/// The directory of the files.
pub(in crate::store) struct SpoolDir {
    directory: OwnedFd,
    min_free: u64,
    /// Bytes that spools were granted and have not written.
    promised: Arc<Mutex<u64>>,
    /// Numbers the names on file systems that have no files without one.
    named: AtomicU64,
}

impl SpoolDir {
    /// Files in `directory`, which exists, on a file system of which `min_free` bytes stay free.
    pub(in crate::store) fn open(directory: &Path, min_free: u64) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::openat(CWD, directory, flags, Mode::empty())?,
            min_free,
            promised: Arc::default(),
            named: AtomicU64::new(0),
        })
    }

    /// A new spool. It computes the SHA-256 of its bytes if `hashed`.
    pub(in crate::store) fn spool(&self, hashed: bool) -> Result<Spool, StoreError> {
        let file = self.file().map_err(|e| self.full_or(e.into(), 1))?;
        Ok(Spool {
            file,
            length: 0,
            granted: self.no_grant(),
            sum: Crc32::new(),
            hash: hashed.then(|| Context::new(&SHA256)),
        })
    }

    fn file(&self) -> rustix::io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        match rustix::fs::openat(&self.directory, ".", flags | OFlags::TMPFILE, private) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            other => return other.map(File::from),
        }
        // A name of an earlier process was swept at the start.
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        let name = format!("spool-{}-{number}", std::process::id());
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.directory, &name, flags, private)?;
        match rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty()) {
            // A sweep was faster.
            Ok(()) | Err(Errno::NOENT) => Ok(file.into()),
            Err(error) => Err(error),
        }
    }

    /// Bytes that spools may still take.
    fn available(&self) -> io::Result<u64> {
        let promised = lock(&self.promised);
        Ok(self.free()?.saturating_sub(*promised))
    }

    /// A grant of nothing yet.
    pub(super) fn no_grant(&self) -> Grant {
        Grant {
            promised: Arc::clone(&self.promised),
            bytes: 0,
        }
    }

    /// Puts bytes into a file of the directory, beside the reserve.
    pub(super) fn write_at(
        &self,
        grant: &mut Grant,
        file: &File,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        if length > grant.bytes {
            self.grant(grant, length)?;
        }
        file.write_all_at(bytes, at)
            .map_err(|e| self.full_or(e, length))?;
        grant.written(length);
        Ok(())
    }

    /// Opens a file of the directory that has a name.
    pub(super) fn named(&self, name: &str, flags: OFlags) -> rustix::io::Result<File> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(&self.directory, name, flags, private).map(File::from)
    }

    /// Removes such a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> rustix::io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    /// Makes the names durable.
    pub(super) fn sync(&self) -> rustix::io::Result<()> {
        rustix::fs::fsync(&self.directory)
    }

    /// Calls `found` with each name.
    pub(super) fn each_name(&self, mut found: impl FnMut(&str)) -> rustix::io::Result<()> {
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            if let Ok(name) = entry?.file_name().to_str() {
                found(name);
            }
        }
        Ok(())
    }

    /// Makes the grant at least `needed` bytes, and some more where there is room.
    fn grant(&self, grant: &mut Grant, needed: u64) -> Result<(), StoreError> {
        // Looked at and taken as one, or two would be given the same room.
        let mut promised = lock(&self.promised);
        let others = *promised - grant.bytes;
        let available = self.free().map_err(StoreError::Unavailable)?;
        let available = available.saturating_sub(others);
        if needed > available {
            return Err(StoreError::Full { needed, available });
        }
        grant.bytes = needed + GRANT.min(available - needed);
        *promised = others + grant.bytes;
        Ok(())
    }

    /// Bytes that are free beside the reserve.
    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(free.saturating_sub(self.min_free))
    }

    pub(super) fn full_or(&self, error: io::Error, needed: u64) -> StoreError {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => StoreError::Full {
                needed,
                available: self.available().unwrap_or(0),
            },
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => StoreError::Refused(error),
            _ => StoreError::Unavailable(error),
        }
    }
}

/// Room beside the reserve that a spool may fill.
pub(super) struct Grant {
    promised: Arc<Mutex<u64>>,
    bytes: u64,
}

impl Grant {
    /// So many bytes are on the disk: whoever looks how much is free sees them there.
    fn written(&mut self, bytes: u64) {
        *lock(&self.promised) -= bytes;
        self.bytes -= bytes;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        *lock(&self.promised) -= self.bytes;
    }
}

fn lock(promised: &Mutex<u64>) -> MutexGuard<'_, u64> {
    // Every change is one assignment: it is never half done.
    promised.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part that is being filled.
pub(in crate::store) struct Spool {
    file: File,
    length: u64,
    granted: Grant,
    sum: Crc32,
    hash: Option<Context>,
}

impl Spool {
    /// Bytes so far.
    pub(in crate::store) fn length(&self) -> u64 {
        self.length
    }

    /// Appends all of `bytes`; `directory` is the one that it was made in.
    pub(in crate::store) fn append(
        &mut self,
        bytes: &[u8],
        directory: &SpoolDir,
    ) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let end = self.length + length;
        if length > self.granted.bytes {
            directory.grant(&mut self.granted, length)?;
        }
        self.file
            .write_all(bytes)
            .map_err(|e| directory.full_or(e, length))?;
        self.granted.written(length);
        self.sum.update(bytes);
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.length = end;
        Ok(())
    }

    /// The part as it will be sent.
    pub(in crate::store) fn finish(self) -> Part {
        let sha256 = self.hash.map(|hash| {
            let mut sum = [0; 32];
            sum.copy_from_slice(hash.finish().as_ref());
            sum
        });
        Part {
            file: Some(self.file),
            length: self.length,
            sum: self.sum.finalize(),
            sha256,
        }
    }
}

/// A part that is complete, and can be sent any number of times.
pub(in crate::store) struct Part {
    file: Option<File>,
    length: u64,
    sum: u32,
    sha256: Option<[u8; 32]>,
}

impl Part {
    /// All of a file of `length` bytes with this CRC-32, with their SHA-256 if it is wanted.
    pub(super) fn of_file(file: File, length: u64, sum: u32, sha256: Option<[u8; 32]>) -> Self {
        Self {
            file: Some(file),
            length,
            sum,
            sha256,
        }
    }

    /// Without any byte.
    pub(in crate::store) fn empty(hashed: bool) -> Self {
        let mut sum = [0; 32];
        sum.copy_from_slice(Context::new(&SHA256).finish().as_ref());
        Self {
            file: None,
            length: 0,
            sum: Crc32::new().finalize(),
            sha256: hashed.then_some(sum),
        }
    }

    /// Bytes.
    pub(in crate::store) fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of the bytes, if it was to be computed.
    pub(in crate::store) fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }

    /// The bytes from the start, until `ended` says that nobody wants them any more. Other bytes than those
    /// that came are an error before the last of them: whoever sends them does not send a whole part then.
    pub(in crate::store) fn reader<'a>(&'a self, ended: &'a dyn Fn() -> bool) -> impl Read + 'a {
        Bytes {
            part: self,
            at: 0,
            sum: Crc32::new(),
            ended,
        }
    }
}

struct Bytes<'a> {
    part: &'a Part,
    at: u64,
    sum: Crc32,
    ended: &'a dyn Fn() -> bool,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.ended)() {
            return Err(io::Error::other("the upload was given up"));
        }
        let Some(file) = &self.part.file else {
            return Ok(0);
        };
        let count = file.read_at(buffer, self.at)?;
        self.at += count as u64;
        self.sum.update(&buffer[..count]);
        let ends = count == 0 || self.at >= self.part.length;
        let same = self.at == self.part.length && self.sum.clone().finalize() == self.part.sum;
        if ends && !buffer.is_empty() && !same {
            return Err(io::Error::other(
                "a part of the upload was changed while it waited: the disk or the memory may be failing",
            ));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(min_free: u64) -> (tempfile::TempDir, SpoolDir) {
        let dir = tempfile::tempdir().unwrap();
        let spools = SpoolDir::open(dir.path(), min_free).unwrap();
        (dir, spools)
    }

    fn read(part: &Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        part.reader(&|| false).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_part_can_be_read_again_and_again_and_has_no_name() {
        let (dir, spools) = directory(0);
        let mut spool = spools.spool(true).unwrap();
        spool.append(b"some", &spools).unwrap();
        spool.append(b" bytes", &spools).unwrap();
        assert_eq!(spool.length(), 10);
        let part = spool.finish();
        assert_eq!(read(&part), b"some bytes");
        assert_eq!(read(&part), b"some bytes");
        assert_eq!(part.length(), 10);
        let sum = ring::digest::digest(&SHA256, b"some bytes");
        assert_eq!(part.sha256().unwrap(), sum.as_ref());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_part_that_the_disk_has_changed_is_never_sent_whole() {
        let (_dir, spools) = directory(0);
        let bytes = vec![7; 100_000];
        let mut spool = spools.spool(false).unwrap();
        spool.append(&bytes, &spools).unwrap();
        let part = spool.finish();
        assert_eq!(read(&part), bytes);
        let file = part.file.as_ref().unwrap();
        // As after a failed write: the page is empty.
        file.write_at(&[0; 4096], 8192).unwrap();
        let (mut seen, mut reader) = (Vec::new(), part.reader(&|| false));
        assert!(reader.read_to_end(&mut seen).is_err());
        assert!(seen.len() < bytes.len());
        file.write_at(&[7; 4096], 8192).unwrap();
        assert_eq!(read(&part), bytes);
        file.set_len(99_999).unwrap();
        assert!(part.reader(&|| false).read_to_end(&mut seen).is_err());
    }

    #[test]
    fn nothing_is_hashed_that_nobody_asks_for_and_nothing_has_its_hash() {
        let (_dir, spools) = directory(0);
        assert!(spools.spool(false).unwrap().finish().sha256().is_none());
        assert!(Part::empty(false).sha256().is_none());
        let empty = spools.spool(true).unwrap().finish();
        assert_eq!(empty.sha256(), Part::empty(true).sha256());
        assert_eq!(read(&Part::empty(true)), b"");
    }

    #[test]
    fn a_part_that_nobody_wants_any_more_fails_to_be_read() {
        let (_dir, spools) = directory(0);
        let mut spool = spools.spool(false).unwrap();
        spool.append(&[7; 100], &spools).unwrap();
        let part = spool.finish();
        let ended = std::cell::Cell::new(false);
        let is_ended = || ended.get();
        let mut reader = part.reader(&is_ended);
        let mut buffer = [0; 10];
        reader.read_exact(&mut buffer).unwrap();
        ended.set(true);
        assert!(reader.read(&mut buffer).is_err());
    }

    #[test]
    fn the_reserve_of_the_disk_is_not_touched() {
        let (_dir, spools) = directory(u64::MAX);
        let mut spool = spools.spool(false).unwrap();
        let error = spool.append(b"x", &spools).unwrap_err();
        let StoreError::Full { needed, available } = error else {
            panic!("not full but {error}");
        };
        assert_eq!((needed, available), (1, 0));
    }

    #[test]
    fn what_one_spool_was_granted_no_other_is_given_and_it_comes_back() {
        let (_dir, spools) = directory(0);
        let promised = || *lock(&spools.promised);
        let mut held: Vec<_> = (0..3).map(|_| spools.spool(false).unwrap()).collect();
        for spool in &mut held {
            spool.append(&[1; 1000], &spools).unwrap();
            spool.append(&[1; 24], &spools).unwrap();
        }
        assert_eq!(promised(), 3 * (GRANT - 24));
        // The rest of a disk that has but a little more is for nobody else.
        let all = u64::MAX / 2;
        *lock(&spools.promised) += all;
        let error = spools.spool(false).unwrap().append(b"x", &spools);
        assert!(matches!(error, Err(StoreError::Full { available: 0, .. })));
        // Who was granted goes on.
        held[0].append(&[1; 1 << 20], &spools).unwrap();
        *lock(&spools.promised) -= all;
        // A complete part takes no more.
        let part = held.pop().map(Spool::finish);
        assert_eq!(promised(), 2 * (GRANT - 24) - (1 << 20));
        drop((part, held));
        assert_eq!(promised(), 0);
    }
}
