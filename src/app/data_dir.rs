//! The data directory: who has it, and what lies where.
//!
//! ```text
//! lock          held while a process runs
//! mayfly.redb   the database
//! ballast       16 MiB of nothing, given up when others have filled the disk or used up the quota
//! blobs/        the stored files
//! incoming/     uploads that are not complete yet
//! admin.sock    while a server runs: the admin socket, or a link to it
//! server.key    32 random bytes; keys fingerprints, opens nothing
//! ```
//!
//! Everything in it belongs to its owner alone: files 0600, directories 0700.

use super::{StartError, durable};
use crate::config::{SecretError, SecretFile};
use crate::model::Secret;
use crate::pipeline::seal::keys;
use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Root may open files in the directory of another user: links are not followed, pipes not waited for.
const OWN_FILE: i32 = (OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits()) as i32;

/// Bytes of a key file.
const KEY: usize = 32;

/// A data directory that belongs to this process until it is dropped.
pub(super) struct DataDir {
    path: PathBuf,
    /// The lock goes with the descriptor: nothing is left behind, whatever ends the process.
    lock: File,
}

impl DataDir {
    /// Makes the directory if need be, and takes it.
    pub fn lock(path: &Path) -> Result<Self, StartError> {
        make_directory(path).map_err(failed("making the data directory", path))?;
        let name = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OWN_FILE)
            .open(&name)
            .map_err(failed("opening", &name))?;
        Self::take(path, &name, lock)
    }

    /// Takes a directory that has a database. Makes nothing: whoever asks may be another user than
    /// the one whose directory it is.
    pub fn lock_existing(path: &Path) -> Result<Self, StartError> {
        let name = path.join("lock");
        let lock = match OpenOptions::new()
            .read(true)
            .custom_flags(OWN_FILE)
            .open(&name)
        {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StartError::NoData {
                    data_dir: path.to_owned(),
                });
            }
            lock => lock.map_err(failed("opening", &name))?,
        };
        Self::take(path, &name, lock)
    }

    fn take(path: &Path, name: &Path, lock: File) -> Result<Self, StartError> {
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse {
                data_dir: path.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(failed("locking", name)(e)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to serve as root what belongs to another user, who could not use what root makes in it.
    pub fn refuse_foreign(&self) -> Result<(), StartError> {
        let about = std::fs::metadata(&self.path);
        let owner = about.map_err(failed("looking at", &self.path))?.uid();
        if owner != 0 && rustix::process::geteuid().is_root() {
            return Err(StartError::Foreign {
                data_dir: self.path.clone(),
                owner,
            });
        }
        Ok(())
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("mayfly.redb")
    }

    /// The server key, if it is there.
    pub fn server_key_if_any(&self) -> Result<Option<Secret>, StartError> {
        read_key(&self.path.join("server.key"))
    }

    /// The server key, made if there is none. Losing it costs fingerprints, not files.
    pub fn server_key(&self, fresh: bool) -> Result<Secret, StartError> {
        let path = self.path.join("server.key");
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        if !fresh {
            log::warn!(
                "server.key is missing and is made anew: equal uploads no longer find what was stored before"
            );
        }
        make_key(&path)
    }
}

impl Drop for DataDir {
    /// Gives the lock back even while a program that another thread is just starting still has a copy
    /// of the descriptor.
    fn drop(&mut self) {
        // What cannot be unlocked goes with the descriptor.
        let _ = self.lock.unlock();
    }
}

/// The master key. Made only where no account needs one yet: another key would open nothing.
pub(super) fn master_key(file: &SecretFile, may_be_made: bool) -> Result<Secret, StartError> {
    let path = file.path();
    match file.open() {
        Ok(open) => return key_in(open, path),
        Err(SecretError::Io(e)) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(StartError::Secret {
                path: path.to_owned(),
                source,
            });
        }
    }
    if !may_be_made {
        return Err(StartError::Key {
            path: path.to_owned(),
            problem: "the master key is missing, and a new one would open nothing: restore the file from its copy",
        });
    }
    log::info!("a new master key is in {}: keep a copy", path.display());
    make_key(path)
}

fn read_key(path: &Path) -> Result<Option<Secret>, StartError> {
    match OpenOptions::new()
        .read(true)
        .custom_flags(OWN_FILE)
        .open(path)
    {
        Ok(file) => key_in(file, path).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("reading", path)(e)),
    }
}

fn key_in(mut file: File, path: &Path) -> Result<Secret, StartError> {
    // One byte more than fits: a longer file is not read to its end to be refused.
    let mut bytes = Zeroizing::new([0; KEY + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("reading", path)(e)),
        }
    }
    match Secret::from_slice(&bytes[..length]) {
        Some(key) => Ok(key),
        None => Err(StartError::Key {
            path: path.to_owned(),
            problem: "a key file holds exactly 32 bytes, this one does not: restore it from a copy",
        }),
    }
}

fn make_key(path: &Path) -> Result<Secret, StartError> {
    let key = keys::random_secret();
    durable::write(path, key.reveal()).map_err(failed("writing", path))?;
    Ok(key)
}

/// Makes a directory for its owner alone, with those above it that are missing. One that exists
/// stays as it is.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = durable::parent_of(path);
    make_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => durable::sync_directory(parent),
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File {
        attempt,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_free_at_once_though_another_thread_is_starting_a_program() {
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                // Until it runs, a program has copies of all descriptors.
                for _ in 0..300 {
                    assert!(std::process::Command::new("true").status().is_ok());
                }
            });
            while !starting.is_finished() {
                assert!(DataDir::lock(home.path()).is_ok());
            }
        });
    }
}
