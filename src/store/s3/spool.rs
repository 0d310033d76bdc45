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
mod tests;
