//! Files without a name for bytes that have no place yet. They are gone with the process, and mostly the kernel drops
//! their pages before it has written them to the disk.

use super::StoreError;
use super::s3::spool::{Part, Spool, SpoolDir};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// A directory for them.
#[derive(Clone)]
pub struct WaitingFiles(Arc<SpoolDir>);

impl WaitingFiles {
    /// Files in `directory`, which exists, on a file system of which `min_free` bytes stay free.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn open(directory: &Path, min_free: u64) -> io::Result<Self> {
        SpoolDir::open(directory, min_free).map(|spools| Self(Arc::new(spools)))
    }

    /// An empty one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self) -> Result<WaitingFile, StoreError> {
        Ok(WaitingFile {
            spool: self.0.spool(false)?,
            spools: Arc::clone(&self.0),
        })
    }
}

/// A file that is being filled.
pub struct WaitingFile {
    spool: Spool,
    spools: Arc<SpoolDir>,
}

impl WaitingFile {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Full`] when they do not fit beside the reserve; [`StoreError`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.spool.append(bytes, &self.spools)
    }

    /// All bytes are there.
    pub fn finish(self) -> Waited {
        Waited(self.spool.finish())
    }
}

/// Bytes that wait.
pub struct Waited(Part);

impl Waited {
    /// The bytes from the start.
    pub fn reader(&self) -> impl Read + '_ {
        self.0.reader(&|| false)
    }
}
